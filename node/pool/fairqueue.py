"""A bounded queue that serves its sources in turn, so that a flood from one delays the others by one item."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """First in, first out per source; round robin between sources."""

    def __init__(self, count_max: int, bytes_max: int, per_source_max: int) -> None:
        """Bound items, their bytes, and items of one source."""
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._per_source_max = per_source_max
        self._lanes: dict[str, deque[tuple[T, int]]] = {}
        self._turns: deque[str] = deque()
        self._count = 0
        self._bytes = 0

    def __len__(self) -> int:
        """Items queued."""
        return self._count

    def push(self, source: str, item: T, size: int) -> bool:
        """Queue an item of `size` bytes; False when there is no room for it.

        A source that has nothing queued gets in even when others filled the queue, up to twice its bounds.
        """
        lane = self._lanes.get(source)
        grace = 1 if lane is not None else 2
        if self._count >= grace * self._count_max or self._bytes + size > grace * self._bytes_max:
            return False
        if lane is None:
            lane = self._lanes[source] = deque()
            self._turns.append(source)
        elif len(lane) >= self._per_source_max:
            return False
        lane.append((item, size))
        self._count += 1
        self._bytes += size
        return True

    def pop(self) -> T:
        """Take the next item; the queue must not be empty."""
        source = self._turns.popleft()
        lane = self._lanes[source]
        item, size = lane.popleft()
        if lane:
            self._turns.append(source)
        else:
            del self._lanes[source]
        self._count -= 1
        self._bytes -= size
        return item
