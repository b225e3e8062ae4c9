"""`author_*`: handing in transactions and watching them.

A rejected transaction gets an error response, never a subscription. Source: `sc_rpc_api::author::AuthorApi`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from aitoken.crypto import ed25519
from aitoken.crypto.derive import Scheme, pair_from_uri
from aitoken.errors import Rejected
from aitoken.types import Hash32
from node.pool.status import Stage, Status
from node.rpc import errors
from node.rpc.feed import Feed
from node.rpc.params import HexBytes
from node.rpc.ports import ConsensusView, PoolView
from node.rpc.registry import rpc, subscription
from node.rpc.render import to_json
from node.rpc.session import Later, Sink, Source

FINALIZED_AFTER_S: Final = 0.3
"""Least time between inBlock and finalized: polkadot-js loses the first of two statuses that arrive together."""

_BARE: Final = frozenset({Stage.FUTURE, Stage.READY, Stage.DROPPED, Stage.INVALID})
"""Stages that are told as a bare string; the others are objects with one key."""


@rpc("author_submitExtrinsic", cost=2)
def submit(pool: PoolView, source: Source, extrinsic: HexBytes) -> Later[Hash32]:
    """Take a transaction and return its hash; it is checked against the head first."""
    return Later(partial(pool.submit_then, extrinsic, source))


@rpc("author_pendingExtrinsics", cost=5)
def pending(pool: PoolView) -> list[bytes]:
    """Return the transactions that could be in the next block, in that order."""
    return list(pool.ready())


@rpc("author_removeExtrinsic", safe=False)
def remove(pool: PoolView, extrinsics: list[Hash32]) -> list[Hash32]:
    """Forget transactions by hash; returns those that were there."""
    return [tx_hash for tx_hash in extrinsics if pool.remove(tx_hash)]


@rpc("author_rotateKeys", safe=False)
def rotate_keys(consensus: ConsensusView) -> bytes:
    """Make new session keys, keep them, and return their public keys, one after the other."""
    return _rotated(consensus, None)[0]


@rpc("author_rotateKeysWithOwner", safe=False)
def rotate_keys_with_owner(consensus: ConsensusView, owner: HexBytes) -> dict[str, bytes]:
    """Make new session keys; `proof` is what `Session.set_keys` of the account `owner` wants to see with them."""
    if len(owner) != 32:
        raise errors.invalid_params("parameter 1 (owner): an account has 32 bytes")
    keys, proof = _rotated(consensus, owner)
    return {"keys": keys, "proof": proof}


@rpc("author_insertKey", safe=False)
def insert_key(consensus: ConsensusView, key_type: str, suri: str, public_key: HexBytes) -> None:
    """Keep a session key somebody made: `bft_` votes, `net_` names the peer; one the chain knows is refused."""
    try:
        pair = pair_from_uri(suri, Scheme.ED25519)
    except Rejected as error:
        raise errors.invalid_params(f"parameter 2 (suri): {error}") from None
    if not isinstance(pair, ed25519.Pair) or pair.public != public_key:
        raise errors.invalid_params("parameter 3 (publicKey): it is not the ed25519 key of the secret")
    try:
        consensus.insert_key(key_type, pair)
    except Rejected as error:
        raise errors.RpcError(errors.INTERNAL, str(error)) from None


@rpc("author_hasKey", safe=False)
def has_key(consensus: ConsensusView, public_key: HexBytes, key_type: str) -> bool:
    """Return whether this node keeps a key of the type `bft_` or `net_`."""
    return consensus.has_key(key_type, public_key)


@rpc("author_hasSessionKeys", safe=False)
def has_session_keys(consensus: ConsensusView, session_keys: HexBytes) -> bool:
    """Return whether this node signs with these session keys."""
    return consensus.has_keys(session_keys)


def _rotated(consensus: ConsensusView, owner: bytes | None) -> tuple[bytes, bytes]:
    try:
        return consensus.rotate_keys(owner)
    except Rejected as error:
        raise errors.RpcError(errors.INTERNAL, str(error)) from None


@subscription(
    "author_submitAndWatchExtrinsic",
    notifies="author_extrinsicUpdate",
    unsubscribes=["author_unwatchExtrinsic"],
    cost=2,
)
async def submit_and_watch(
    pool: PoolView, feed: Feed, loop: asyncio.AbstractEventLoop, source: Source, sink: Sink, extrinsic: HexBytes
) -> None:
    """Take a transaction and tell what becomes of it, up to finality."""
    watch = LegacyWatch(sink, feed.soon, loop)
    tx_hash = await pool.submit(extrinsic, watch.on_status, source=source)
    sink.on_release(lambda: pool.unwatch(tx_hash, watch.on_status))


class LegacyWatch:
    """Turns statuses of the pool into those of the legacy methods, in order and with the pause wallets need."""

    def __init__(self, sink: Sink, soon: Callable[[Callable[[], None]], None], loop: asyncio.AbstractEventLoop) -> None:
        self._sink = sink
        self._soon = soon
        self._loop = loop
        self._in_block_at = -FINALIZED_AFTER_S
        self._in_block: Hash32 | None = None

    def on_status(self, status: Status) -> None:
        """Tell a status after the heads and storage changes of the same block."""
        self._soon(lambda: self._tell(status))

    def _tell(self, status: Status) -> None:
        if status.stage is Stage.FINALIZED and self._in_block != status.hash:
            self._tell(Status(Stage.IN_BLOCK, status.hash, status.index))
        if status.stage is Stage.IN_BLOCK:
            self._in_block_at = self._loop.time()
            self._in_block = status.hash
        if status.stage is Stage.FINALIZED:
            wait_s = self._in_block_at + FINALIZED_AFTER_S - self._loop.time()
            if wait_s > 0:
                timer = self._loop.call_later(wait_s, self._send, status)
                self._sink.on_release(timer.cancel)
                return
        self._send(status)

    def _send(self, status: Status) -> None:
        self._sink.send(to_json(legacy_status(status)))
        if status.ends:
            self._sink.end()


def legacy_status(status: Status) -> object:
    """Return a status as the JSON value of `author_extrinsicUpdate`."""
    name = status.stage.value
    if status.stage in _BARE:
        return name
    if status.stage is Stage.BROADCAST:
        return {name: list(status.peers)}
    return {name: status.hash}
