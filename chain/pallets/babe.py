"""Babe: a view for explorers. Consensus of this chain is not BABE.

polkadot-js computes session and era progress from these three numbers. With the slot being the block number, the
epoch the session and sessions of a fixed number of blocks, its formula
`slot - (epoch * duration + genesis slot)` is exactly the number of blocks of the session so far. Whoever looks for
randomness where BABE keeps it finds the seed of the running epoch.
"""

from __future__ import annotations

from aitoken.codec.hints import Bytes32, u64
from aitoken.types import BlockNumber
from chain.frame.pallet import Pallet, constant
from chain.frame.storage import Value, value


class Babe(Pallet, index=3, crate="pallet_babe"):
    """A view for explorers; consensus of this chain is not BABE."""

    epoch_index: Value[u64] = value(doc="Current epoch index: the index of the session.")
    genesis_slot: Value[u64] = value(doc="The slot at which the first epoch actually started: 0.")
    current_slot: Value[u64] = value(doc="Current slot number: the number of the block.")

    randomness: Value[Bytes32] = value(doc="The epoch randomness for the current epoch: the seed of its leaders.")

    epoch_duration: u64 = constant(
        lambda env: env.params.session_blocks, doc="The amount of time, in slots, that each epoch should last."
    )
    expected_block_time: u64 = constant(
        lambda env: env.params.block_time_ms, doc="The least time between two blocks, in milliseconds."
    )

    def on_initialize(self, number: BlockNumber) -> int:
        """Follow the block number."""
        self.current_slot.put(number)
        return self.cost_of("on_initialize").base

    def on_new_session(self, index: int, seed: bytes) -> None:
        """Follow the session and the seed of its epoch."""
        self.epoch_index.put(index)
        self.randomness.put(seed)
