r"""The branches of the state's trie in a file, so that a start need not build the trie.

    "AITOKEN-TRUNK-3\n" | msgpack [block number, block hash, nodes, packed] | msgpack {path: branch node} ...
    | msgpack {path: packed boughs} ... | digest [32]

See `chain.state.held` for what is packed.
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
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgpack

from aitoken.types import BlockNumber, Hash32
from chain.state.held import Branches
from node.store.files import write_pieces

MAGIC: Final = b"AITOKEN-TRUNK-3\n"
_DIGEST: Final = 32
_NODES_PER_PIECE: Final = 1_000  # a millisecond or two
_READ: Final = 1 << 20


class Trunk(NamedTuple):
    """The branches after a final block."""

    number: BlockNumber
    hash: Hash32
    branches: Branches


def write(path: Path, trunk: Trunk) -> None:
    """Put `trunk` into the file `path`, in place of what is there.

    Raises:
        WriteFailed: the disk refuses.
    """
    write_pieces(path, _pieces(trunk))


def _pieces(trunk: Trunk) -> Iterator[bytes]:
    """Yield the file bit by bit: other threads get their turn, and it is never in memory whole."""
    pack, digest = msgpack.Packer().pack, blake2b(digest_size=_DIGEST)
    nodes, packed = trunk.branches
    yield MAGIC
    head = (trunk.number, trunk.hash, len(nodes), len(packed))
    for some in chain((head,), _some(nodes), _some(packed)):
        piece = pack(some)
        digest.update(piece)
        yield piece
    yield digest.digest()


def _some(nodes: Mapping[str, bytes]) -> Iterator[dict[str, bytes]]:
    coming = iter(nodes.items())
    while some := dict(islice(coming, _NODES_PER_PIECE)):
        yield some


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
    number, block_hash, *sizes = next(coming)
    parts: list[dict[str, bytes]] = []
    for size in sizes:
        part: dict[str, bytes] = {}
        while len(part) < size:
            part |= next(coming)
        parts.append(part)
    return Trunk(BlockNumber(number), Hash32(block_hash), Branches(*parts))
