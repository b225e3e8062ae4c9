"""`chain_*`: blocks and headers, and subscriptions to new ones.

Something unknown is null here, never an error. Source: `sc_rpc_api::chain::ChainApi`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aitoken.types import BlockNumber, Hash32
from node.ports import ChainView
from node.rpc.feed import Feed
from node.rpc.query import Query
from node.rpc.registry import rpc, subscription
from node.rpc.render import header_json, header_value
from node.rpc.session import Sink

ENGINE = b"SMPX"
"""Engine id of our finality certificates."""


@rpc("chain_getBlockHash")
def block_hash(
    chain: ChainView, number: BlockNumber | list[BlockNumber | None] | None = None
) -> Hash32 | list[Hash32 | None] | None:
    """Return the hash of the block at a height of the best chain; of the head without one; a list for a list."""
    if type(number) is list:
        return [_hash_at(chain, each) for each in number]
    return _hash_at(chain, number)  # type: ignore[arg-type]


def _hash_at(chain: ChainView, number: BlockNumber | None) -> Hash32 | None:
    return chain.best.hash if number is None else chain.hash_of(number)


@rpc("chain_getHead")
def head(chain: ChainView) -> Hash32:
    """Return the hash of the head."""
    return chain.best.hash


@rpc("chain_getFinalizedHead", aliases=["chain_getFinalisedHead"])
def finalized_head(chain: ChainView) -> Hash32:
    """Return the hash of the last final block."""
    return chain.finalized.hash


@rpc("chain_getHeader")
def header(chain: ChainView, query: Query, at: Hash32 | None = None) -> msgspec.Raw | None:
    """Return the header of a block, of the head without one."""
    found = chain.header(query.block(at))
    return None if found is None else msgspec.Raw(header_json(found))


@rpc("chain_getBlock", cost=2)
def block(chain: ChainView, query: Query, at: Hash32 | None = None) -> dict[str, Any] | None:
    """Return a block with its extrinsics as submitted and, once final, its finality certificate."""
    wanted = query.block(at)
    found, body = chain.header(wanted), chain.body(wanted)
    if found is None or body is None:
        return None
    proof = chain.justification(wanted)
    return {
        "block": {"header": header_value(found), "extrinsics": list(body)},
        "justifications": None if proof is None else [[ENGINE, proof]],
    }


@subscription(
    "chain_subscribeNewHeads",
    aliases=["chain_subscribeNewHead", "subscribe_newHead"],
    notifies="chain_newHead",
    unsubscribes=["chain_unsubscribeNewHeads", "chain_unsubscribeNewHead", "unsubscribe_newHead"],
)
def new_heads(feed: Feed, sink: Sink) -> None:
    """Send the head now and every new one; no height is left out while the chain grows."""
    feed.heads.add(sink)
    sink.send(header_json(feed.head.header))


@subscription(
    "chain_subscribeAllHeads",
    notifies="chain_allHead",
    unsubscribes=["chain_unsubscribeAllHeads"],
)
def all_heads(feed: Feed, sink: Sink) -> None:
    """Send the head now and the header of every block that becomes known."""
    feed.all_heads.add(sink)
    sink.send(header_json(feed.head.header))


@subscription(
    "chain_subscribeFinalizedHeads",
    aliases=["chain_subscribeFinalisedHeads"],
    notifies="chain_finalizedHead",
    unsubscribes=["chain_unsubscribeFinalizedHeads", "chain_unsubscribeFinalisedHeads"],
)
def finalized_heads(chain: ChainView, feed: Feed, sink: Sink) -> None:
    """Send the last final header now, then every one that follows."""
    feed.finalized.add(sink)
    sink.send(header_json(chain.finalized.header))
