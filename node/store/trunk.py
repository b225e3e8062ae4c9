r"""The trunk of the state's trie in a file, so that a start need not build the trie.

    "AITOKEN-TRUNK-2\n" | msgpack [block number, block hash, nodes] | msgpack {path: branch node} ... | digest [32]

The file is of a final block that may lie some blocks back; what changed since is found in the history and taken in at
the start (`Database.open`). It is written at intervals and when the node stops. Nothing is believed of it: the digest
is blake2-256 of all between it and the first line, each node must have the Merkle value its parent holds, and the root
must be the one the header names. Where it does not fit, or there is none, the trie is built: 5 to 7 us per key, the
reading included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from io import SEEK_END
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import msgpack

from aitoken.types import BlockNumber, Hash32
from node.store.files import write_pieces

MAGIC: Final = b"AITOKEN-TRUNK-2\n"
_DIGEST: Final = 32
_NODES_PER_PIECE: Final = 2_000  # a millisecond or two
_READ: Final = 1 << 20


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
    write_pieces(path, _pieces(trunk))


def _pieces(trunk: Trunk) -> Iterator[bytes]:
    """Yield the file bit by bit: other threads get their turn, and it is never in memory whole."""
    pack, digest = msgpack.Packer().pack, blake2b(digest_size=_DIGEST)
    coming = iter(trunk.nodes.items())
    yield MAGIC
    some: Any = (trunk.number, trunk.hash, len(trunk.nodes))
    while some:
        piece = pack(some)
        digest.update(piece)
        yield piece
        some = dict(islice(coming, _NODES_PER_PIECE))
    yield digest.digest()


def read(path: Path) -> Trunk | None:
    """Return what is in the file `path`; None where there is nothing that can be used."""
    try:
        with path.open("rb") as file:
            return _nodes_in(file) if _is_whole(file) else None
    except OSError:
        return None


def _is_whole(file: BinaryIO) -> bool:
    left = file.seek(0, SEEK_END) - len(MAGIC) - _DIGEST
    file.seek(0)
    if left < 0 or file.read(len(MAGIC)) != MAGIC:
        return False
    digest = blake2b(digest_size=_DIGEST)
    while left > 0:
        piece = file.read(min(left, _READ))
        digest.update(piece)
        left -= len(piece)
    return file.read() == digest.digest()


def _nodes_in(file: BinaryIO) -> Trunk:
    file.seek(len(MAGIC))
    coming = msgpack.Unpacker(file, read_size=_READ)
    number, block_hash, count = next(coming)
    nodes: dict[str, bytes] = {}
    while len(nodes) < count:
        nodes |= next(coming)
    return Trunk(BlockNumber(number), Hash32(block_hash), nodes)
