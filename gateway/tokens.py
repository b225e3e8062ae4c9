"""Tokenizers that the gateway can count with, by name and version; books and receipts name them.

`pieces@1` is the one of the built-in models: runs of up to four characters with the white space before them. It needs
no table, so buyers in any language can count again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice
from typing import Final

PIECES: Final = "pieces@1"
_USUAL: Final = 6
"""Characters, with the white space before them, that most tokens have at most."""

_PIECE: Final = re.compile(r"\s*\S{1,4}|\s+$")


def pieces(text: str) -> list[str]:
    """Split text into tokens of `pieces@1`; joined they are the text again."""
    return _PIECE.findall(text)


def first_pieces(text: str, limit: int) -> tuple[list[str], bool]:
    """Return at most `limit` tokens of `pieces@1`, and whether there are more."""
    usual = text[: _USUAL * limit + _USUAL]
    found = _PIECE.findall(usual)
    if len(found) < limit + 2 and len(usual) < len(text):  # the cut shows in the last of them only
        found = [match[0] for match in islice(_PIECE.finditer(text), limit + 1)]
    return found[:limit], len(found) > limit


def count_pieces(text: str) -> int:
    """Count the tokens of `pieces@1` without making them."""
    return sum([(len(run) + 3) // 4 for run in text.split()]) + text[-1:].isspace()


TOKENIZERS: Final[dict[str, Callable[[str], int]]] = {PIECES: count_pieces}
"""Name to counting function."""
