"""Does everything in a database fit together? What `open` does not look at: all blocks, all values, now and before.

The node must not run meanwhile. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from aitoken.errors import AiTokenError
from aitoken.proto.header import Header
from aitoken.types import BlockNumber, Hash32
from chain.state.layer import FinalState
from chain.state.ordered import ordered_root
from node.store.database import Database

_ALL: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit."""

    number: int
    what: str


def check(database: Database) -> Iterator[Finding | BlockNumber]:
    """Yield what is wrong, and every thousandth block number as progress.

    Each block must have a header with its hash, its number and the hash of the block before; a body with the root the
    header names. The whole state must have the root of the last block, and the way back through the past values must
    lead to that of the oldest block kept.
    Where the database was made from a state, it begins with the block of that state.
    """
    first = database.first
    parent = Hash32(bytes(32))
    if first and (data := database.header(first)) is not None:
        parent = Header.decode(data).parent_hash
    for number in range(first, database.finalized()[0] + 1):
        if number % 1000 == 0:
            yield BlockNumber(number)
        try:
            wrong, parent = _block(database, BlockNumber(number), parent)
        except AiTokenError as error:
            wrong = str(error)
        if wrong:
            yield Finding(number, wrong)
    last = database.finalized()[0]
    try:
        if FinalState(database.state).root != database.state.root:
            yield Finding(last, "the state is not the one after this block")
    except AiTokenError as error:
        yield Finding(last, str(error))
    oldest = BlockNumber(database.oldest)
    try:
        layer = database.state.child(database.undo(oldest, _ALL))
        header = database.header(oldest)
        if header is None or Header.decode(header).state_root != layer.root:
            yield Finding(oldest, "the past values do not lead back to the state after this block")
    except AiTokenError as error:
        yield Finding(oldest, str(error))


def _block(database: Database, number: BlockNumber, parent: Hash32) -> tuple[str, Hash32]:
    """Return what is wrong with a block, and its hash."""
    block_hash, data, body = database.hash_of(number), database.header(number), database.body(number)
    if block_hash is None or data is None:
        return "the block is missing", parent
    header = Header.decode(data)
    if header.hash != block_hash or header.number != number or database.number_of(block_hash) != number:
        return "the header is not the one that was final", block_hash
    if header.parent_hash != parent:
        return "the block does not follow the one before", block_hash
    if body is None or ordered_root(body) != header.extrinsics_root:
        return "the body is not the one the header names", block_hash
    return "", block_hash
