r"""The branches of the state's trie in a file, so that a start need not build the trie.

    "AITOKEN-TRUNK-4\n" | msgpack [block number, block hash] | msgpack [branch, ...] ... [] | digest [32]

Each branch comes after those below it, so that the tree is put together as it is read: see `chain.state.tree.walk`.

The file is of a final block that may lie some blocks back; what changed since is found in the history and taken in at
the start (`Database.open`). It is written at intervals and when the node stops. Nothing is believed of it: the digest
is blake2-256 of all between it and the first line, each branch must be the one that the branch above it holds, and the
root must be the one the header names. Where it does not fit, or there is none, the trie is built: 5 to 7 us per key,
the reading included.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from io import SEEK_END
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgpack

from aitoken.codec.base import DecodeError
from aitoken.types import BlockNumber, Hash32
from chain.state.base import StateDamaged
from chain.state.tree import Node, regrown, walk
from node.store.files import write_pieces

MAGIC: Final = b"AITOKEN-TRUNK-4\n"
_DIGEST: Final = 32
_BRANCHES_PER_PIECE: Final = 1_000  # a millisecond or two
_READ: Final = 1 << 20


class Trunk(NamedTuple):
    """The branches after a final block."""

    number: BlockNumber
    hash: Hash32
    top: Node | None
    """The one at the root, with all below it."""


def size(path: Path) -> int:
    """Return the bytes of the file `path`; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def write(path: Path, trunk: Trunk) -> None:
    """Put `trunk` into the file `path`, in place of what is there.

    Raises:
        WriteFailed: the disk refuses.
    """
    write_pieces(path, _pieces(trunk))


def _pieces(trunk: Trunk) -> Iterator[bytes]:
    """Yield the file bit by bit: other threads get their turn, and it is never in memory whole."""
    pack, digest = msgpack.Packer().pack, blake2b(digest_size=_DIGEST)
    yield MAGIC
    for some in chain(((trunk.number, trunk.hash),), _some(walk(trunk.top)), ((),)):
        piece = pack(some)
        digest.update(piece)
        yield piece
    yield digest.digest()


def _some(branches: Iterator[bytes]) -> Iterator[list[bytes]]:
    while some := list(islice(branches, _BRANCHES_PER_PIECE)):
        yield some


def read(path: Path) -> Trunk | None:
    """Return what is in the file `path`; None where there is nothing whole.

    Raises:
        StateDamaged: what is in it are not the branches of one trie.
    """
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
    """Return what is in a whole file.

    Raises:
        StateDamaged: these are not the branches of one trie.
    """
    file.seek(len(MAGIC))
    coming = msgpack.Unpacker(file, read_size=_READ)
    try:
        number, block_hash = next(coming)
        top = regrown(chain.from_iterable(takewhile(bool, coming)))
    except (DecodeError, IndexError, TypeError, ValueError) as error:
        raise StateDamaged(f"what is in it are no branches: {error}") from error
    return Trunk(BlockNumber(number), Hash32(block_hash), top)
