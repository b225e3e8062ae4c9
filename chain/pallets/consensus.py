"""Consensus: what the agreement below the chain needs to know of it.

One consensus epoch is one session of validators. The last block of a session carries a `NextEpoch` digest item: keys
and weights of those who vote in the next one, and the seed of its leader schedule. That seed is

    seed(e + 1) = blake2_256("SMPX-seed" | seed(e) | u64le(e + 1) | parent hash of the last block of e)

A leader of the last blocks can try several parents, so the schedule is predictable and slightly steerable; a VRF will
take the place of the hash (consensus paper 1.2, 9.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from aitoken.crypto.hashing import blake2_256
from aitoken.proto.digest import DigestItem, NextEpoch, next_epoch_item
from aitoken.types import BlockNumber, Hash32
from chain.frame.pallet import Pallet, runtime_api
from chain.frame.storage import Value, value

if TYPE_CHECKING:
    from chain.frame.machine import Machine

SEED_PREFIX: Final = b"SMPX-seed"
Authorities = list[tuple[bytes, int]]


class Header(Protocol):
    """The block being executed."""

    def current_number(self) -> BlockNumber:
        """Its number."""

    def current_parent(self) -> Hash32:
        """The hash of its parent."""

    def deposit_log(self, item: DigestItem) -> None:
        """Add an item to its digest."""


def _no_epoch() -> NextEpoch:
    return NextEpoch(0, [], bytes(32), 0, 1)


class Consensus(Pallet, index=11, crate="pallet_consensus"):
    """Epochs of the agreement: who votes, with which weight, led in which order."""

    current_epoch: Value[NextEpoch] = value(
        default=_no_epoch, doc="The epoch the next block belongs to: its validators, seed, base block and length."
    )

    def __init__(self, machine: Machine, header: Header) -> None:
        super().__init__(machine)
        self._header = header

    def on_new_session(self, index: int, authorities: Sequence[tuple[bytes, int]]) -> None:
        """Announce the epoch that starts after this block.

        Args:
            index: of the session, hence of the epoch.
            authorities: ed25519 key and voting weight of each validator, by index.
        """
        last = self.current_epoch.get()
        number = self._header.current_number()
        seed = blake2_256(SEED_PREFIX + bytes(last.seed) + index.to_bytes(8, "little") + self._header.current_parent())
        announced = NextEpoch(index, list(authorities), seed, number, last.length)
        self.current_epoch.put(announced)
        self._header.deposit_log(next_epoch_item(announced))

    @runtime_api("ConsensusApi", 1)
    def epoch(self) -> NextEpoch:
        """Return the epoch the next block belongs to."""
        return self.current_epoch.get()
