"""Tokenizers that the gateway can count with, by name and version; books and receipts name them.

`pieces@1` is the one of the built-in models: runs of up to four characters with the white space before them. It needs
no table, so buyers in any language can count again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

PIECES: Final = "pieces@1"
_PIECE: Final = re.compile(r"\s*\S{1,4}|\s+$")


def pieces(text: str) -> list[str]:
    """Split text into tokens of `pieces@1`; joined they are the text again."""
    return _PIECE.findall(text)


def _count_pieces(text: str) -> int:
    return len(_PIECE.findall(text))


TOKENIZERS: Final[dict[str, Callable[[str], int]]] = {PIECES: _count_pieces}
"""Name to counting function."""
