"""`archive_v1_*`: final blocks of any age whose state is kept, without following the tip.

Something unknown is null. Source: https://paritytech.github.io/json-rpc-interface-spec/ (archive, version 1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from aitoken.types import BlockNumber, Hash32
from chain.state.base import StateDiscarded
from node.ports import ChainView
from node.rpc import errors
from node.rpc.errors import RpcError
from node.rpc.params import HexBytes
from node.rpc.query import Query
from node.rpc.registry import rpc, subscription
from node.rpc.render import to_json
from node.rpc.session import Session, Sink
from node.rpc.storage_query import Hit, Item, items_param, search

HITS_PER_SLICE = 64
STORAGE = "archive_v1_storage"


@rpc("archive_v1_finalizedHeight")
def finalized_height(chain: ChainView) -> int:
    """Return the height of the last final block."""
    return chain.finalized.number


@rpc("archive_v1_genesisHash")
def genesis_hash(chain: ChainView) -> Hash32:
    """Return the hash of block 0."""
    return chain.genesis_hash


@rpc("archive_v1_hashByHeight")
def hash_by_height(chain: ChainView, height: BlockNumber) -> list[Hash32]:
    """Return the hashes of the known blocks at a height; one, once it is final."""
    if height <= chain.finalized.number:
        found = chain.hash_of(height)
        return [] if found is None else [found]
    return [block.hash for block in chain.unfinalized() if block.number == height]


@rpc("archive_v1_header")
def header(chain: ChainView, block: Hash32) -> bytes | None:
    """Return the SCALE header of a block."""
    found = chain.header(block)
    return None if found is None else found.encode()


@rpc("archive_v1_body", cost=2)
def body(chain: ChainView, block: Hash32) -> list[bytes] | None:
    """Return the extrinsics of a block."""
    found = chain.body(block)
    return None if found is None else list(found)


@rpc("archive_v1_call", cost=5)
def call(
    chain: ChainView, query: Query, block: Hash32, function: str, call_parameters: HexBytes
) -> dict[str, Any] | None:
    """Run a runtime API on the state of a block."""
    if chain.number_of(block) is None:
        return None
    try:
        return {"success": True, "value": query.call(block, function, call_parameters)}
    except RpcError as error:
        return {"success": False, "error": error.message}


@subscription(STORAGE, notifies="archive_v1_storageEvent", unsubscribes=[], cost=5)
def storage(
    query: Query,
    loop: asyncio.AbstractEventLoop,
    sink: Sink,
    block: Hash32,
    items: Annotated[list[Item], items_param],
    child_trie: HexBytes | None = None,
) -> None:
    """Read storage of a block; what is found comes as events."""
    if child_trie is not None:
        raise errors.invalid_params("this chain has no child tries")
    try:
        state = query.state(block)
    except RpcError as error:
        sink.send(to_json({"event": "storageError", "error": error.message}))
        sink.end()
        return
    loop.call_soon(_step, loop, sink, search(state, items))


def _step(loop: asyncio.AbstractEventLoop, sink: Sink, hits: Iterator[Hit | None]) -> None:
    if sink.is_closed:
        return
    if sink.pending > HITS_PER_SLICE:
        loop.call_later(0.02, _step, loop, sink, hits)  # the reader is slow: no more until it has taken some
        return
    try:
        found, done = _slice(hits)
    except StateDiscarded:
        sink.send(to_json({"event": "storageError", "error": "the state is not kept any more"}))
        sink.end()
        return
    for hit in found:
        sink.send(to_json({"event": "storage", **hit}))
    if done:
        sink.send(b'{"event":"storageDone"}')
        sink.end()
    else:
        loop.call_soon(_step, loop, sink, hits)


def _slice(hits: Iterator[Hit | None]) -> tuple[Sequence[Hit], bool]:
    found: list[Hit] = []
    for steps, hit in enumerate(hits, 1):
        if hit is not None:
            found.append(hit)
        if steps >= HITS_PER_SLICE:
            return found, False
    return found, True


@rpc("archive_v1_stopStorage")
def stop_storage(session: Session, subscription: str) -> None:
    """Give up reading storage."""
    sink = session.sink(subscription, STORAGE)
    if sink is not None:
        sink.close()
