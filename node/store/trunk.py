r"""The trunk of the state's trie in a file, so that a start need not build the trie.

    "AITOKEN-TRUNK-1\n" | digest [32] | msgpack [block number, block hash, path -> branch node]

The file is of a final block that may lie some blocks back; what changed since is found in the history and taken in at
the start (`Database.open`). It is written at intervals and when the node stops. Nothing is believed of it: the digest
is blake2-256 of what follows, each node must have the Merkle value its parent holds, and the root must be the one the
header names. Where it does not fit, or there is none, the trie is built: 5 to 7 us per key, the reading included.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgpack

from aitoken.crypto.hashing import blake2_256
from aitoken.types import BlockNumber, Hash32
from node.store.files import write_whole

MAGIC: Final = b"AITOKEN-TRUNK-1\n"
_START: Final = len(MAGIC) + 32


class Trunk(NamedTuple):
    """The trunk after a final block."""

    number: BlockNumber
    hash: Hash32
    nodes: Mapping[str, bytes]


def write(path: Path, trunk: Trunk) -> None:
    """Put `trunk` into the file `path`, in place of what is there.

    Raises:
        WriteFailed: the disk refuses.
    """
    data = msgpack.packb(tuple(trunk))
    write_whole(path, MAGIC + blake2_256(data) + data)


def read(path: Path) -> Trunk | None:
    """Return what is in the file `path`; None where there is nothing that can be used."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if data[: len(MAGIC)] != MAGIC or data[len(MAGIC) : _START] != blake2_256(data[_START:]):
        return None
    number, block_hash, nodes = msgpack.unpackb(data[_START:])
    return Trunk(BlockNumber(number), Hash32(block_hash), nodes)
