"""What people type as a name: letters of other scripts are found, named, and said what they look like."""

from __future__ import annotations

import sys

import pytest

from aitoken.client.lookalikes import NoName, read_name


@pytest.mark.parametrize(
    ("typed", "name"),
    [("golden", "golden"), ("@golden", "golden"), (" @Golden\n", "golden"), ("ＧＯＬＤ１", "gold1"),
     ("o\ufb03ce", "office"), ("@gpt-5", "gpt-5")],
)  # fmt: skip
def test_the_forms_of_a_letter_are_the_letter(typed: str, name: str) -> None:
    assert read_name(typed) == name


@pytest.mark.parametrize(
    ("typed", "imitated", "called"),
    [
        ("@раураl", "paypal", "CYRILLIC SMALL LETTER ER"),
        ("gοοgle", "google", "GREEK SMALL LETTER OMICRON"),
        ("cıaude", "ciaude", "LATIN SMALL LETTER DOTLESS I"),
        ("mistrаl-ai", "mistral-ai", "CYRILLIC SMALL LETTER A"),
    ],
)
def test_letters_of_other_scripts_are_no_letters_of_a_name(typed: str, imitated: str, called: str) -> None:
    with pytest.raises(NoName, match=f"not @{imitated} but looks like it") as caught:
        read_name(typed)
    assert caught.value.looks_like == imitated
    assert called in str(caught.value)


def test_without_the_library_letters_are_still_refused_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confusable_homoglyphs", None)
    with pytest.raises(NoName, match=r"'а' is CYRILLIC SMALL LETTER A$") as caught:
        read_name("раypal".replace("р", "p"))
    assert caught.value.looks_like == ""


@pytest.mark.parametrize("typed", ["", "ab", "a--b", "1abc", "a.b", "a b", "gol\u200bden", "gol\u202eden", "日本語"])
def test_what_is_no_name_looks_like_none(typed: str) -> None:
    with pytest.raises(NoName) as caught:
        read_name(typed)
    assert caught.value.looks_like == ""
