"""Each house rule finds a planted mistake and leaves its honest neighbour alone."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tidy import rules

HERE = Path("chain/planted.py")

Rule = Callable[[Path, str], Iterator[str]]


@pytest.mark.parametrize(
    "code",
    [
        "x = 1.5",
        "x = a / b",
        "x /= 2",
        "assert x",
        "x = hash(key)",
        "x = id(key)",
        "x = float(key)",
        "x = round(key)",
        "for x in {1, 2}: pass",
        "for x in set(y): pass",
        "z = [x for x in frozenset(y)]",
        "seen = set()\nfor x in seen: pass",
        "seen: set[bytes] = set()\ny = list(seen)",
        "def f(seen: frozenset[bytes]):\n    return tuple(seen)",
        "self.seen = {1}\nfor x in self.seen: pass",
        "seen: set[int] = set()\nfor x in seen - other: pass",
    ],
)
def test_what_differs_between_machines_is_found(code: str) -> None:
    assert len(list(rules.determinism(HERE, code))) == 1


@pytest.mark.parametrize(
    "code",
    [
        "x = a // b",
        "x = blake2_256(key)",
        "for x in sorted({1, 2}): pass",
        "seen: set[bytes] = set()\nif key in seen: pass",
        "for x in {1: 2}: pass",
        "x = header.hash()",
        "def __hash__(self):\n    return hash(self.raw)",
        "x = len({1, 2})",
        '"a / b costs 1.5"',
    ],
)
def test_honest_code_is_left_alone(code: str) -> None:
    assert list(rules.determinism(HERE, code)) == []


def test_long_modules_and_functions_are_found() -> None:
    assert list(rules.size(HERE, "x = 1\n" * 600)) == []
    assert "601 lines" in next(rules.size(HERE, "x = 1\n" * 601))
    assert list(rules.size(HERE, "def f():\n" + "    x = 1\n" * 69)) == []
    assert "f has 71 lines" in next(rules.size(HERE, "def f():\n" + "    x = 1\n" * 70))


@pytest.mark.parametrize("code", ["", "x = 1", '"""Room."""\nfrom a import b'])
def test_an_init_with_code_or_without_words_is_found(code: str) -> None:
    assert list(rules.door_sign(HERE, code))
    assert list(rules.door_sign(HERE, '"""Room."""\n')) == []


@pytest.mark.parametrize(
    "line",
    [
        "see https://files.python" + "hosted.org/x",
        "pip install --index" + "-url https://x",
        "path = '/ro" + "ot/x'",
        "path = '/wo" + "rk/main'",
        "path = '../sha" + "red/vectors'",
        "see sha" + "red/design/x.md",
    ],
)
def test_words_of_one_machine_are_found(line: str) -> None:
    assert list(rules.words(rules.ROOT / "chain/planted.py", line))


def test_urls_and_words_that_only_look_like_a_machine_are_left_alone() -> None:
    text = "node/work/queue\nthe state is shared/immutable\nhttps://a.b/home/x\n~/work/x\n$HOME/work/x"

    assert list(rules.words(rules.ROOT / "chain/planted.py", text)) == []


def test_a_page_nobody_links_is_found(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("[a](a.md)")
    (tmp_path / "a.md").write_text("[b](b.md#x)")
    (tmp_path / "b.md").write_text("# X")
    (tmp_path / "lost.md").write_text("")

    assert [line.partition(":")[0] for line in rules.orphans(tmp_path)] == ["lost.md"]


def test_a_name_that_is_gone_is_found() -> None:
    good = "`tests/tidy/rules.py: links` `tests/tidy/rules.py` `tests/tidy/rules.py::anchors` `__init__.py`"

    assert list(rules.named_code(HERE, good)) == []
    assert len(list(rules.named_code(HERE, "`tests/tidy/none.py` `tests/tidy/rules.py: gone`"))) == 2


def test_a_dead_link_and_a_dead_anchor_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    (tmp_path / "other.md").write_text("# The Way, in short\n")

    assert list(rules.links(page, "[a](other.md) [b](other.md#the-way-in-short) [c](https://x.y) `[d](e)`")) == []
    assert len(list(rules.links(page, "[a](none.md) [b](other.md#elsewhere)"))) == 2
