"""The first digest items of blocks that others execute: with the VRF proof of their leader, a development key."""

from __future__ import annotations

from functools import cache

from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.ed25519 import Pair
from aitoken.proto import randomness
from aitoken.proto.digest import NEXT_EPOCH, DigestItem, NextEpoch, SmpxDigest, leading_items_of
from chain.frame.runtime import Runtime
from chain.state.base import State

NAMES = ("Alice", "Bob", "Charlie", "Dave", "A", "B", "C", "D")


@cache
def keys() -> dict[bytes, Pair]:
    """The voting keys of the chains in these tests."""
    pairs = [pair_from_uri(f"//{name}", "ed25519") for name in NAMES]
    return {pair.public: pair for pair in pairs if isinstance(pair, Pair)}


def epoch_of(runtime: Runtime, state: State) -> NextEpoch:
    """The epoch of the block after this state."""
    return NEXT_EPOCH.decode(runtime.call(state, "ConsensusApi_epoch", b""))


def proof_of(epoch: NextEpoch, genesis_hash: bytes, view: int, leader: int = 0) -> bytes:
    """The proof of a validator for a view."""
    pair = keys()[bytes(epoch.authorities[leader][0])]
    return randomness.prove(pair, genesis_hash, bytes(epoch.seed), epoch.epoch, view)


def items(
    runtime: Runtime,
    state: State,
    genesis_hash: bytes,
    *,
    view: int,
    parent_view: int,
    timestamp_ms: int,
    leader: int = 0,
) -> tuple[DigestItem, DigestItem]:
    """The first items of a block on this state, as its leader writes them."""
    epoch = epoch_of(runtime, state)
    proof = proof_of(epoch, genesis_hash, view, leader)
    output = randomness.output_of(proof)
    return leading_items_of(SmpxDigest(1, epoch.epoch, view, parent_view, leader, timestamp_ms, output, proof))
