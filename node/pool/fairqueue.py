"""A bounded queue that serves its sources in turn, and of each source those first that promise most.

Rules
- A flood from one source delays the others by one item.
- Of one source what promises more is served first; of equals, what came first. Each `OLDEST_EVERY`th turn is that of
  the one that has waited longest, so nobody waits for ever.
- Upon lack of room, who promises less than the newcomer leaves, the least first; if that is not enough, the newcomer.
- A promise is believed until it is checked. A source whose promises are broken more often than one in `BROKEN` is in
  doubt: all its items count as equal, as if it had promised nothing, until it has kept enough of them.

Cost: a sorted list for each source; where all promise the same it grows at its end.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Final, Generic, TypeVar

T = TypeVar("T")

OLDEST_EVERY: Final = 8
BROKEN: Final = 8
"""What a broken promise adds to the doubt about its source; one that is kept takes one off."""
DOUBT: Final = 64
"""With more than that a source is not believed."""
DOUBT_MAX: Final = 256
DOUBTED_MAX: Final = 1_024
"""Sources about which there is some doubt; of more, the one doubted first is believed again."""


_Entry = tuple[int, int, T, int]
"""Minus what is promised, the turn, the item, its size: the order in which a lane is served."""


class _Lane(Generic[T]):
    """The items of one source."""

    __slots__ = ("best_first", "by_turn", "served")

    def __init__(self) -> None:
        self.best_first: list[_Entry[T]] = []
        self.by_turn: dict[int, _Entry[T]] = {}
        """The oldest first."""
        self.served = 0

    def next(self) -> _Entry[T]:
        """Take the item whose turn it is."""
        self.served += 1
        if self.served % OLDEST_EVERY:
            entry = self.best_first.pop(0)
        else:
            entry = self.by_turn[next(iter(self.by_turn))]
            del self.best_first[bisect_left(self.best_first, entry)]
        del self.by_turn[entry[1]]
        return entry

    def level(self) -> None:
        """Let all promises count for nothing."""
        self.best_first = [(0, turn, item, size) for _, turn, item, size in self.by_turn.values()]
        self.by_turn = {entry[1]: entry for entry in self.best_first}


class FairQueue(Generic[T]):
    """The queue. See the module for the rules."""

    def __init__(self, count_max: int, bytes_max: int, per_source_max: int) -> None:
        """Bound items, their bytes, and items of one source."""
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._per_source_max = per_source_max
        self._lanes: dict[str, _Lane[T]] = {}
        self._turns: deque[str] = deque()
        self._turn = 0
        self._count = 0
        self._bytes = 0
        self.doubts: dict[str, int] = {}
        """How much each source is doubted that has broken promises."""

    def __len__(self) -> int:
        """Items queued."""
        return self._count

    def push(self, source: str, item: T, size: int, worth: int = 0) -> list[T]:
        """Queue an item of `size` bytes that promises `worth`; return what has to leave, which may be itself.

        A source that has nothing queued gets in even when others filled the queue, up to twice its bounds.
        """
        lane = self._lanes.get(source)
        if source in self.doubts and not self.believes(source):
            worth = 0
        leaving: list[T] = []
        if lane is None:
            if self._count >= 2 * self._count_max or self._bytes + size > 2 * self._bytes_max:
                return [item]
            lane = self._lanes[source] = _Lane()
            self._turns.append(source)
        elif (
            self._count >= self._count_max
            or len(lane.by_turn) >= self._per_source_max
            or self._bytes + size > self._bytes_max
        ) and not self._make_room(lane, size, worth, leaving):
            return [item]
        self._turn += 1
        entry = lane.by_turn[self._turn] = (-worth, self._turn, item, size)
        best_first = lane.best_first
        if best_first and entry < best_first[-1]:
            insort(best_first, entry)
        else:  # the usual case: all promise the same
            best_first.append(entry)
        self._count += 1
        self._bytes += size
        return leaving

    def _make_room(self, lane: _Lane[T], size: int, worth: int, leaving: list[T]) -> bool:
        """Let those of a lane leave that promise least; nobody, and False, if one of them promises as much."""
        over_count = max(self._count + 1 - self._count_max, len(lane.best_first) + 1 - self._per_source_max)
        over_bytes = self._bytes + size - self._bytes_max
        victims: list[_Entry[T]] = []
        for entry in reversed(lane.best_first):
            if len(victims) >= over_count and over_bytes <= 0:
                break
            if entry[0] <= -worth:
                return False
            over_bytes -= entry[3]
            victims.append(entry)
        if len(victims) < over_count or over_bytes > 0:
            return False
        for _, turn, item, item_size in victims:
            del lane.by_turn[turn]
            self._bytes -= item_size
            leaving.append(item)
        del lane.best_first[len(lane.best_first) - len(victims) :]
        self._count -= len(victims)
        return True

    def pop(self) -> T | None:
        """Take the next item; None where there is none."""
        turns = self._turns
        if not turns:
            return None
        source = turns[0]
        lane = self._lanes[source]
        _, _, item, size = lane.next()
        if lane.by_turn:
            turns.rotate(-1)
        else:
            turns.popleft()
            del self._lanes[source]
        self._count -= 1
        self._bytes -= size
        return item

    def least(self, source: str) -> int | None:
        """What one has to promise more than to get in where a source's lane is full; None where no promise helps."""
        lane = self._lanes.get(source)
        return -lane.best_first[-1][0] if lane is not None and self.believes(source) else None

    # Promises

    def believes(self, source: str) -> bool:
        """Whether what a source promises counts."""
        return self.doubts.get(source, 0) <= DOUBT

    def judge(self, source: str, *, kept: bool) -> None:
        """Take note that a promise of a source was kept, or was not."""
        doubt = self.doubts.get(source, 0)
        if kept and not doubt:
            return
        was_believed = doubt <= DOUBT
        doubt = doubt - 1 if kept else min(doubt + BROKEN, DOUBT_MAX)
        if not doubt:
            del self.doubts[source]
            return
        self.doubts[source] = doubt
        if was_believed and doubt > DOUBT and source in self._lanes:
            self._lanes[source].level()
        if len(self.doubts) > DOUBTED_MAX:
            del self.doubts[next(iter(self.doubts))]
