"""Activity: who led the views it was given, counted from headers.

A block of view v on a parent of view p says that the views in between came to nothing: v was led by its author, the
others by whom the schedule of the epoch names. The voters of the block have checked that those views were nullified, so
the count is as objective as the block.

    for p < w < v (the latest `GAP_MAX`):  missed(leader(w)) + 1;      produced(author) + 1

A validator that missed more than half of its views of a session, with at least `LEAST` in all, was absent: it is left
out of one session, without a slash. That is the next one that is not queued yet.

Source: consensus paper, section 13.4. Commit certificates are not in blocks, so participation by votes is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from aitoken.codec.hints import u32
from aitoken.proto.digest import Digest, NextEpoch, smpx_of
from aitoken.proto.leaders import CYCLE, cycle_of
from aitoken.types import AccountId, BlockNumber
from chain.frame.pallet import Ev, Events, Pallet
from chain.frame.storage import TWOX_64_CONCAT, Map, storage_map
from chain.pallets.session import SessionIndex

if TYPE_CHECKING:
    from chain.frame.machine import Machine

GAP_MAX: Final = 4_096
"""The most views without a block that one block accounts for."""
LEAST: Final = 4
"""Fewer views than these say nothing."""


class Header(Protocol):
    """The block being executed."""

    def current_digest(self) -> Digest:
        """The digest so far."""


class Schedule(Protocol):
    """The epoch the block belongs to."""

    def epoch(self) -> NextEpoch:
        """Return it."""


class Activity(Pallet, index=12, crate="pallet_activity"):
    """Who led the views it was given, counted from headers."""

    slots: Map[u32, tuple[u32, u32]] = storage_map(
        TWOX_64_CONCAT, doc="Views led with and without a block in this session, by index of the validator."
    )

    class Event(Events):
        """What Activity tells."""

        class Absent(Ev, index=0):
            """A validator missed most of its views of a session and is left out of a later one."""

            session: SessionIndex
            validator: AccountId
            produced: u32
            missed: u32

    def __init__(self, machine: Machine, header: Header, consensus: Schedule) -> None:
        super().__init__(machine)
        self._header = header
        self._consensus = consensus

    def on_initialize(self, number: BlockNumber) -> int:  # noqa: ARG002 - the same for every block
        """Count the views since the parent."""
        smpx = smpx_of(self._header.current_digest())
        produced, missed = self.slots.get(smpx.leader)
        self.slots.put(smpx.leader, (produced + 1, missed))
        first = max(smpx.parent_view + 1, smpx.view - GAP_MAX)
        absent = self._count_missed(range(first, smpx.view)) if first < smpx.view else 0
        return self.cost_of("on_initialize").at(absent)

    def _count_missed(self, views: range) -> int:
        """Count the views against those who were to lead them; return how many these are."""
        epoch = self._consensus.epoch()
        weights = tuple(weight for _, weight in epoch.authorities)
        gaps: dict[int, int] = {}
        number, cycle = -1, tuple[int, ...]()
        for view in views:
            if (view - 1) // CYCLE != number:
                number = (view - 1) // CYCLE
                cycle = cycle_of(epoch.seed, epoch.epoch, weights, number)
            index = cycle[(view - 1) % CYCLE]
            gaps[index] = gaps.get(index, 0) + 1
        for index, count in gaps.items():
            produced, missed = self.slots.get(index)
            self.slots.put(index, (produced, missed + count))
        return len(gaps)

    def end_session(self, index: int, validators: Sequence[AccountId]) -> list[AccountId]:
        """Return which validators were absent in the session that ends, worst first, and start counting anew."""
        absent: list[tuple[int, AccountId]] = []
        for position, who in enumerate(validators):
            produced, missed = self.slots.get(position)
            if produced + missed >= LEAST and missed > produced:
                absent.append((-missed, who))
                self.emit(self.Event.Absent(index, who, produced, missed))
        self.slots.clear()
        return [who for _, who in sorted(absent)]
