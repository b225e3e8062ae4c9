"""An agenda: things to be looked at from a time on, a bounded number a block, in the order of their time.

Time is cut into slots of `SLOT_MS`; a thing is due once its slot has begun, so up to one slot late. Entering and
crossing out cost the same however many things there are. What is due but not yet looked at waits; nothing is lost.
Where nothing is entered, the time that has passed is passed over at once: a chain whose genesis is old is up to date
from its second block on.

The maps are storage of the pallet that has the agenda.
"""

from __future__ import annotations

from typing import Annotated, Final, Generic, TypeVar

from aitoken.codec.hints import TypeName, u32
from aitoken.types import Moment
from chain.frame.storage import Map, OptionMap, Value

T = TypeVar("T")

SLOT_MS: Final = 600_000
SLOTS_A_LOOK: Final = 16
"""Empty slots passed over in one block, after a long halt."""

Place = Annotated[tuple[u32, u32], TypeName("Place")]
"""Slot and position in it."""


class Agenda(Generic[T]):
    """Works on the maps of a pallet: entries by place, entries ever made per slot, and how far it has been read."""

    def __init__(
        self,
        entries: OptionMap[tuple[u32, u32], T],
        counts: Map[u32, u32],
        front: Value[tuple[u32, u32]],
    ) -> None:
        self._entries = entries
        self._counts = counts
        self._front = front

    def enter(self, at: Moment, thing: T) -> tuple[int, int]:
        """Note that `thing` is to be looked at from `at` on; return its place."""
        slot = max(-(-at // SLOT_MS), self._front.get()[0])
        position = self._counts.get(slot)
        self._entries.put((slot, position), thing)
        self._counts.put(slot, position + 1)
        return slot, position

    def cross_out(self, place: tuple[int, int]) -> None:
        """Forget what was entered at a place; harmless where it was read."""
        self._entries.remove(place)

    def due(self, now: Moment, most: int) -> list[T]:
        """Take out up to `most` things that are due, earliest slot first."""
        present = now // SLOT_MS
        start = self._front.get()
        if start[0] > present:
            return []
        slot, position = start if start[0] else (present, 0)
        if slot < present and self._is_empty():
            slot, position = present, 0
        found: list[T] = []
        for _ in range(SLOTS_A_LOOK):
            if slot > present:
                break
            count = self._counts.get(slot)
            while position < count and len(found) < most:
                thing = self._entries.take((slot, position))
                position += 1
                if thing is not None:
                    found.append(thing)
            if position < count:
                break
            self._counts.remove(slot)
            slot, position = slot + 1, 0
        if (slot, position) != start:
            self._front.put((slot, position))
        return found

    def _is_empty(self) -> bool:
        """Whether nothing is entered; forgets some of the slots of which everything was crossed out."""
        if self._entries.page(after=None, limit=1):
            return False
        forgotten = self._counts.page(after=None, limit=SLOTS_A_LOOK)
        for slot, _ in forgotten:
            self._counts.remove(slot)
        return len(forgotten) < SLOTS_A_LOOK
