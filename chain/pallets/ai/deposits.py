"""What it costs to have the chain remember something: a deposit that comes back with the last byte.

    deposit = base + bytes * per byte

It is held of whoever had the object stored, so that state cannot grow without money standing behind it.

Source: payments paper, section 5, conventions.
"""

from __future__ import annotations

from typing import Final

from aitoken.types import AIT, Balance

BASE: Final = AIT // 100
PER_BYTE: Final = AIT // 10_000


def deposit(size: int) -> Balance:
    """Return the deposit for an object of `size` bytes, its key included."""
    return Balance(BASE + size * PER_BYTE)
