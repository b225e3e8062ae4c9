"""The keys of the database, version 2.

| key | value |
| --- | --- |
| `m` name | facts about the database: `schema`, `genesis`, `final`, `oldest`, `first`; `m` `c` name: consensus |
| `s` key | the value of a state key after the last final block |
| `h` number | hash of the final block of that height |
| `n` hash | its number |
| `d` number | its header, SCALE |
| `b` number | its body: msgpack list of the extrinsics as submitted |
| `j` number | its finality certificate, SCALE, where one was made and is kept (see `node.store.retention`) |
| `t` escaped name, number | what state keys held before that block changed them: msgpack list of the rest of a key \
after the name, its value or nil, the next rest ... |
| `k` number | msgpack list of the names under which it is stored what that block changed |

Numbers are u32 big-endian, so that order of keys is order of blocks. A name is the first 33 bytes of a key: those of
pallet and item and one of what follows. So a full block's past values are stored eight at a time. A shorter key is a
name by itself, and so is every key in an archive, where a read should not pass all that others held. A name is escaped
to make the end of it smaller than everything that can follow: `00` becomes `00 ff`, the end is `00 01`. Then names keep
their order, and the entries of one name are side by side, oldest first.

The whole database is written in synced batches of one or several final blocks; between batches it is consistent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgpack

from chain.state.base import Changes
from node.store.errors import Damaged

SCHEMA_VERSION: Final = 2

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

NAME_SIZE: Final = 33
_WHOLE: Final = 1 << 31
_NAME_END: Final = b"\x00\x01"


def number(of: int) -> bytes:
    """Return the four bytes of a block number."""
    return of.to_bytes(4, "big")


def past_prefix(start: bytes) -> bytes:
    """Return what all past values under names that start with `start` start with."""
    return PAST + start.replace(b"\x00", b"\x00\xff")


def past_key(name: bytes) -> bytes:
    """Return what all past values under `name` start with; the number of the block that changed them follows."""
    return PAST + name.replace(b"\x00", b"\x00\xff") + _NAME_END


def past_parts(stored: bytes) -> tuple[bytes, int]:
    """Return name and block number of the database key of past values."""
    return stored[1:-6].replace(b"\x00\xff", b"\x00"), int.from_bytes(stored[-4:], "big")


def past_records(before: Changes, *, apart: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield names, and what is stored under them of what keys held before a block.

    Args:
        before: keys and their values.
        apart: every key is its own name.
    """
    size = _WHOLE if apart else NAME_SIZE
    last, place = b"", list[bytes | None]()
    places = [(last, place)]
    for key in sorted(before):
        name = key[:size]
        if name != last:
            last, place = name, []
            places.append((name, place))
        place += key[size:], before[key]
    pack = msgpack.Packer().pack
    for name, place in places:
        if place:
            yield name, pack(place)


def past_pairs(name: bytes, record: bytes) -> Changes:
    """Return the keys and values in a record of past values.

    Raises:
        Damaged: it is none.
    """
    try:
        place = msgpack.unpackb(record)
        return {name + rest: value for rest, value in zip(place[::2], place[1::2], strict=True)}
    except (ValueError, TypeError) as error:
        raise Damaged(f"the database has no past values under {name.hex()} where it should: {error}") from error


def after_prefix(prefix: bytes) -> bytes:
    """Return the first key greater than all that start with `prefix`, whose first byte is below 0xff."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1])
