"""A heap whose entries may die in place: cheap for orders in which most entries leave by another door."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final, Generic, TypeVar

E = TypeVar("E", bound=tuple[object, ...])

SLACK: Final = 256
"""Dead entries tolerated in a small heap before it is swept."""


class LazyHeap(Generic[E]):
    """Smallest entry first; dead ones are skipped when met and swept when they are the majority.

    Cost: O(log n) a push, amortised O(1) for the sweep.
    """

    __slots__ = ("_alive", "_entries", "_sweep_at")

    def __init__(self, alive: Callable[[E], bool]) -> None:
        """`alive(entry)` tells whether an entry still means something."""
        self._alive = alive
        self._entries: list[E] = []
        self._sweep_at = SLACK

    def push(self, entry: E) -> None:
        """Add an entry; entries must be comparable by their leading members."""
        heapq.heappush(self._entries, entry)
        if len(self._entries) > self._sweep_at:
            self._entries = [kept for kept in self._entries if self._alive(kept)]
            heapq.heapify(self._entries)
            self._sweep_at = 2 * len(self._entries) + SLACK

    def peek(self) -> E | None:
        """The smallest living entry, left where it is."""
        entries = self._entries
        while entries and not self._alive(entries[0]):
            heapq.heappop(entries)
        return entries[0] if entries else None

    def pop(self) -> E | None:
        """Take the smallest living entry."""
        entry = self.peek()
        if entry is not None:
            heapq.heappop(self._entries)
        return entry

    def __len__(self) -> int:
        """Entries held, the dead ones included."""
        return len(self._entries)
