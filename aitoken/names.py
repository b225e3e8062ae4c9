"""Readable names: what may be one, which look alike, and what is committed to before one is registered.

    name        3 to 32 characters of a-z, 0-9 and "-"; the first is a letter, the last is no "-", no two "-" together
    skeleton    the name with look-alikes made one: 0 o, 1 i l, m rn, w vv, d cl; a "-" counts nothing
    commitment  blake2b-256("AITPname" | owner | salt | name)

Two names with one skeleton cannot both exist. Names are ASCII, so all other letters that look like one of these cannot
be part of a name; what people type is looked at by `aitoken.client.lookalikes`.

Source: payments paper, section 5.17; the method of skeletons is that of Unicode Technical Standard 39, the table is
our own for the few characters there are.
"""

from __future__ import annotations

import re
from typing import Final

from aitoken.crypto.hashing import blake2_256
from aitoken.types import AccountId, Hash32

MAGIC: Final = b"AITPname"
LENGTH_MIN: Final = 3
LENGTH_MAX: Final = 32
SKELETON_MAX: Final = 2 * LENGTH_MAX

_NAME: Final = re.compile(rb"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_LOOKS_LIKE: Final = {b"0": b"o", b"1": b"l", b"i": b"l", b"m": b"rn", b"w": b"vv", b"d": b"cl", b"-": b""}
_PROTOTYPE: Final = tuple(_LOOKS_LIKE.get(bytes((each,)), bytes((each,))) for each in range(256))


def is_name(text: bytes) -> bool:
    """Whether this may be a name."""
    return LENGTH_MIN <= len(text) <= LENGTH_MAX and _NAME.fullmatch(text) is not None


def skeleton_of(name: bytes) -> bytes:
    """Return what a name has in common with all names that look like it."""
    return b"".join([_PROTOTYPE[each] for each in name])


def commitment_of(owner: AccountId, salt: bytes, name: bytes) -> Hash32:
    """Return what says that an owner will register a name, without saying which; the salt is 32 random bytes."""
    return Hash32(blake2_256(MAGIC + owner + salt + name))
