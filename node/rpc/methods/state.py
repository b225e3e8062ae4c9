"""`state_*`: storage, proofs, metadata, runtime calls, at any block whose state is kept.

Source: `sc_rpc_api::state::StateApi`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aitoken.crypto.hashing import blake2_256
from aitoken.types import Hash32
from chain.state.base import State, StateDiscarded
from node.rpc import errors
from node.rpc.feed import Feed
from node.rpc.params import HexBytes
from node.rpc.proofs import Prover
from node.rpc.query import Query
from node.rpc.registry import rpc, subscription
from node.rpc.session import Sink
from node.rpc.version import VersionView

KEYS_PAGE_MAX = 1_000


@rpc("state_getStorage", aliases=["state_getStorageAt"])
def storage(query: Query, key: HexBytes, at: Hash32 | None = None) -> bytes | None:
    """Return the value of a storage key, or null."""
    return query.state(at).get(key)


@rpc("state_getStorageHash", aliases=["state_getStorageHashAt"])
def storage_hash(query: Query, key: HexBytes, at: Hash32 | None = None) -> Hash32 | None:
    """Return the blake2-256 of the value of a storage key, or null."""
    value = query.state(at).get(key)
    return None if value is None else blake2_256(value)


@rpc("state_getStorageSize", aliases=["state_getStorageSizeAt"])
def storage_size(query: Query, key: HexBytes, at: Hash32 | None = None) -> int | None:
    """Return how many bytes the value of a storage key has, or null."""
    value = query.state(at).get(key)
    return None if value is None else len(value)


@rpc("state_getKeysPaged", aliases=["state_getKeysPagedAt"], cost=20)
def keys_paged(
    query: Query, prefix: HexBytes, count: int, start_key: HexBytes | None = None, at: Hash32 | None = None
) -> list[bytes]:
    """Return up to `count` keys that start with `prefix`, ascending, those greater than `start_key` only."""
    if count > KEYS_PAGE_MAX:
        raise errors.page_too_large(count, KEYS_PAGE_MAX)
    return _keys(query.state(at), prefix, count, start_key)


def _keys(state: State, prefix: bytes, count: int, after: bytes | None) -> list[bytes]:
    found: list[bytes] = []
    if count:
        for key, _ in state.iterate(prefix, after):
            found.append(key)
            if len(found) == count:
                break
    return found


@rpc("state_queryStorageAt", cost=2)
def query_storage_at(query: Query, keys: list[HexBytes], at: Hash32 | None = None) -> list[dict[str, Any]]:
    """Return the values of several keys at one block, one pair per asked key, in the asked order."""
    state = query.state(at)
    return [{"block": query.block(at), "changes": [[key, state.get(key)] for key in keys]}]


@rpc("state_getReadProof", cost=20)
def read_proof(query: Query, prover: Prover, keys: list[HexBytes], at: Hash32 | None = None) -> dict[str, Any]:
    """Return the trie nodes that prove the values of `keys`, or their absence, under the block's state root."""
    block = query.block(at)
    try:
        proof = prover.prove(block, query.state(at), keys)
    except StateDiscarded:
        raise errors.state_discarded(block) from None
    return {"at": block, "proof": proof}


@rpc("state_call", aliases=["state_callAt"], cost=5)
def call(query: Query, method: str, data: HexBytes, at: Hash32 | None = None) -> bytes:
    """Run a runtime API on the state of a block; arguments and result are SCALE."""
    return query.call(at, method, data)


@rpc("state_getMetadata", cost=5)
def metadata(query: Query, at: Hash32 | None = None) -> bytes:
    """Return the V14 metadata of the runtime at a block."""
    query.state(at)
    return query.metadata(14)


@rpc("state_getRuntimeVersion", aliases=["chain_getRuntimeVersion"])
def runtime_version(query: Query, versions: VersionView, at: Hash32 | None = None) -> msgspec.Raw:
    """Return name, versions and APIs of the runtime at a block."""
    return msgspec.Raw(versions.legacy_json(query.state(at)))


@subscription(
    "state_subscribeRuntimeVersion",
    aliases=["chain_subscribeRuntimeVersion"],
    notifies="state_runtimeVersion",
    unsubscribes=["state_unsubscribeRuntimeVersion", "chain_unsubscribeRuntimeVersion"],
)
def runtime_versions(feed: Feed, sink: Sink) -> None:
    """Send the runtime version now and when it changes."""
    feed.subscribe_versions(sink)


@subscription(
    "state_subscribeStorage",
    notifies="state_storage",
    unsubscribes=["state_unsubscribeStorage"],
    cost=2,
)
def storage_changes(feed: Feed, sink: Sink, keys: list[HexBytes]) -> None:
    """Send the values of all `keys` now, then those that change with a new head."""
    feed.storage.add(sink, keys, feed.head)
