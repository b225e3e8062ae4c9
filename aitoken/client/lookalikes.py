"""What somebody typed or pasted, read as a name of this chain: letters of other scripts that only look the part.

Names are ASCII (`aitoken.names`). Here all of Unicode is looked at, which no chain has to agree on:

* Capitals and the compatibility forms of a letter (`Ａ`, `ﬁ`) are the letter itself, by NFKC and case folding.
* Any other letter is refused and named. What it may want to be taken for is looked up in the confusables of Unicode
  Technical Standard 39, as the library confusable-homoglyphs has them, where it is installed; without it the letter's
  own name in Unicode has to do.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import ClassVar

from aitoken.errors import Rejected
from aitoken.names import LENGTH_MAX, LENGTH_MIN, is_name


@dataclass(frozen=True, slots=True)
class Foreign:
    """A letter that is none of a name.

    Attributes:
        letter: as it was typed.
        called: by Unicode.
        looks_like: what of ASCII it resembles, empty where that is not known.
    """

    letter: str
    called: str
    looks_like: str


class NoName(Rejected):
    """This is no name of this chain.

    Attributes:
        foreign: the letters that cannot be part of one, each once.
        looks_like: the name it may want to be taken for, empty where there is none.
    """

    code: ClassVar[str] = "client.no_name"

    def __init__(self, typed: str, foreign: tuple[Foreign, ...], looks_like: str) -> None:
        super().__init__(_sentence(typed, foreign, looks_like))
        self.foreign = foreign
        self.looks_like = looks_like


def read_name(typed: str) -> str:
    """Return the name that was typed, with or without "@".

    Raises:
        NoName: it is none; says why, and what it may want to be taken for.
    """
    text = unicodedata.normalize("NFKC", typed.strip().removeprefix("@")).casefold()
    if is_name(text.encode()):
        return text
    letters = [
        letter for letter in dict.fromkeys(text) if not (letter.isascii() and (letter.isalnum() or letter == "-"))
    ]
    foreign = tuple(
        Foreign(letter, unicodedata.name(letter, f"U+{ord(letter):04X}"), _ascii_of(letter)) for letter in letters
    )
    likeness = {each.letter: each.looks_like for each in foreign}
    imitated = "".join(likeness.get(letter, letter) for letter in text)
    can_be = all(likeness.values()) and foreign and is_name(imitated.encode())
    raise NoName(typed, foreign, imitated if can_be else "")


def _sentence(typed: str, foreign: tuple[Foreign, ...], looks_like: str) -> str:
    if not foreign:
        return (
            f"{typed!r} is no name: {LENGTH_MIN} to {LENGTH_MAX} of a-z, 0-9 and single hyphens inside, a letter first"
        )
    each = ", ".join(
        f"{row.letter!r} is {row.called}" + (f" and looks like {row.looks_like!r}" if row.looks_like else "")
        for row in foreign
    )
    if looks_like:
        return f"this is not @{looks_like} but looks like it: {each}"
    return f"{typed!r} is no name: {each}"


def _ascii_of(letter: str) -> str:
    """Return what of ASCII a letter looks like by the standard's table, empty where that is not known."""
    try:
        from confusable_homoglyphs import confusables
    except ImportError:
        return ""
    found = confusables.is_confusable(letter, greedy=True)
    rows = found[0]["homoglyphs"] if isinstance(found, list) and found else []
    return next((str(row["c"]).casefold() for row in rows if str(row["c"]).isascii()), "")
