"""The keys of the database, version 1.

| key | value |
| --- | --- |
| `m` name | facts about the database: `schema`, `genesis`, `final`, `oldest`, `first`; `m` `c` name: consensus |
| `s` key | the value of a state key after the last final block |
| `h` number | hash of the final block of that height |
| `n` hash | its number |
| `d` number | its header, SCALE |
| `b` number | its body: msgpack list of the extrinsics as submitted |
| `j` number | its finality certificate, SCALE, where one was made and is kept (see `node.store.retention`) |
| `t` escaped key, number | what a state key held before that block changed it: 01 value; empty if absent |
| `k` number | msgpack list of the `t` keys, without number, of what that block changed |

Numbers are u32 big-endian, so that order of keys is order of blocks. A state key is escaped to make the end of it
smaller than everything that can follow: `00` becomes `00 ff`, the end is `00 01`. Then keys keep their order, and the
entries of one key are side by side, oldest first.

The whole database is written in synced batches of one or several final blocks; between batches it is consistent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

SCHEMA_VERSION: Final = 1

META_SCHEMA: Final = b"mschema"
META_GENESIS: Final = b"mgenesis"
META_FINAL: Final = b"mfinal"
META_OLDEST: Final = b"moldest"
META_FIRST: Final = b"mfirst"
"""From this block on all are kept; before it only ends of epochs (`node.store.restore`). Absent: 0."""
META_CONSENSUS: Final = b"mc"

STATE: Final = b"s"
STATE_END: Final = b"t"
HASH: Final = b"h"
NUMBER: Final = b"n"
HEADER: Final = b"d"
BODY: Final = b"b"
JUSTIFICATION: Final = b"j"
PAST: Final = b"t"
PAST_END: Final = b"u"
CHANGED: Final = b"k"

_KEY_END: Final = b"\x00\x01"
_PRESENT: Final = b"\x01"


def number(of: int) -> bytes:
    """Return the four bytes of a block number."""
    return of.to_bytes(4, "big")


def past_prefix(key: bytes) -> bytes:
    """Return what all past values of keys that start with `key` start with."""
    return PAST + key.replace(b"\x00", b"\x00\xff")


def past_key(key: bytes) -> bytes:
    """Return what all past values of `key` start with; the number of the block that changed it follows."""
    return past_prefix(key) + _KEY_END


def past_keys(keys: Iterable[bytes]) -> list[bytes]:
    """Return `past_key` of each key; there are thousands in a block."""
    return [PAST + key.replace(b"\x00", b"\x00\xff") + _KEY_END for key in keys]


def past_parts(stored: bytes) -> tuple[bytes, int]:
    """Return state key and block number of the database key of a past value."""
    return stored[1:-6].replace(b"\x00\xff", b"\x00"), int.from_bytes(stored[-4:], "big")


def past_values(values: Iterable[bytes | None]) -> list[bytes]:
    """Return what is stored for past values; there are as many."""
    return [b"" if value is None else _PRESENT + value for value in values]


def past_value_of(stored: bytes) -> bytes | None:
    """Return the past value that `stored` stands for."""
    return stored[1:] if stored else None


def after_prefix(prefix: bytes) -> bytes:
    """Return the first key greater than all that start with `prefix`, whose first byte is below 0xff."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1])
