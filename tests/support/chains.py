"""Small chains of blocks that change a state, for tests of what stores them."""

from __future__ import annotations

from collections.abc import Mapping

from aitoken.proto.digest import Digest
from aitoken.proto.header import Header
from aitoken.types import BlockNumber, Hash32
from chain.state.base import Changes
from chain.state.layer import FinalState, Layer
from chain.state.ordered import ordered_root
from node.store.database import CommittedBlock


def header(number: int, parent: Hash32, root: Hash32, body: tuple[bytes, ...] = ()) -> Header:
    """Return a header without anything special."""
    return Header(parent, BlockNumber(number), root, ordered_root(body), Digest(()))


def genesis(pairs: Mapping[bytes, bytes]) -> Header:
    """Return the header of block 0 over `pairs`."""
    return header(0, Hash32(bytes(32)), FinalState.in_memory(pairs).root)


def next_block(
    parent: Header, state: FinalState | Layer, changes: Changes, body: tuple[bytes, ...] = ()
) -> tuple[CommittedBlock, Header, Layer]:
    """Return the block that makes `changes`, its header and the state after it."""
    layer = state.child(changes)
    head = header(parent.number + 1, parent.hash, layer.root, body)
    justification = b"certificate of %d" % head.number
    block = CommittedBlock(head.number, head.hash, head.encode(), body, justification, layer.changes, layer.before)
    return block, head, layer
