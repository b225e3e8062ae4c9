"""A bounded queue that serves its sources in turn, and of each source those first that promise most.

Rules
- A flood from one source delays the others by one item.
- Of one source what promises more is served first; of equals, what came first. Each `OLDEST_EVERY`th turn is that of
  the one that has waited longest, so nobody waits for ever.
- Upon lack of room, who promises less than the newcomer leaves, the least first; if that is not enough, the newcomer.
- A promise is believed until it is checked. A source whose promises are broken more often than one in `BROKEN` is in
  doubt: all its items count as equal, as if it had promised nothing, until it has kept enough of them.

Cost: a sorted list for each source, about a microsecond an item in lanes of a thousand.
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


class _Lane(Generic[T]):
    """The items of one source."""

    __slots__ = ("by_turn", "by_worth", "served")

    def __init__(self) -> None:
        self.by_worth: list[tuple[int, int]] = []
        """What is promised and minus the turn, the least first."""
        self.by_turn: dict[int, tuple[int, T, int]] = {}
        """Turn -> what is promised, the item, its size; the oldest first."""
        self.served = 0

    def put(self, turn: int, worth: int, item: T, size: int) -> None:
        self.by_turn[turn] = (worth, item, size)
        insort(self.by_worth, (worth, -turn))

    def next(self) -> tuple[int, T, int]:
        """Take the item whose turn it is."""
        self.served += 1
        if self.served % OLDEST_EVERY:
            return self.by_turn.pop(-self.by_worth.pop()[1])
        turn = next(iter(self.by_turn))
        entry = self.by_turn.pop(turn)
        del self.by_worth[bisect_left(self.by_worth, (entry[0], -turn))]
        return entry

    def level(self) -> None:
        """Let all promises count for nothing."""
        self.by_turn = {turn: (0, item, size) for turn, (_, item, size) in self.by_turn.items()}
        self.by_worth = sorted((0, -turn) for turn in self.by_turn)


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
        self._doubts: dict[str, int] = {}

    def __len__(self) -> int:
        """Items queued."""
        return self._count

    def push(self, source: str, item: T, size: int, worth: int = 0) -> list[T]:
        """Queue an item of `size` bytes that promises `worth`; return what has to leave, which may be itself.

        A source that has nothing queued gets in even when others filled the queue, up to twice its bounds.
        """
        lane = self._lanes.get(source)
        if self._doubts and not self.believes(source):
            worth = 0
        leaving: list[T] = []
        if lane is not None:
            victims = self._victims(lane, size, worth)
            if victims < 0:
                return [item]
            for _, turn in lane.by_worth[:victims]:
                _, gone, gone_size = lane.by_turn.pop(-turn)
                self._bytes -= gone_size
                leaving.append(gone)
            del lane.by_worth[:victims]
            self._count -= victims
        else:
            if self._count >= 2 * self._count_max or self._bytes + size > 2 * self._bytes_max:
                return [item]
            lane = self._lanes[source] = _Lane()
            self._turns.append(source)
        self._turn += 1
        lane.put(self._turn, worth, item, size)
        self._count += 1
        self._bytes += size
        return leaving

    def _victims(self, lane: _Lane[T], size: int, worth: int) -> int:
        """How many of a lane have to leave for an item; -1 where that would be some that promise as much."""
        over_count = max(self._count + 1 - self._count_max, len(lane.by_worth) + 1 - self._per_source_max)
        over_bytes = self._bytes + size - self._bytes_max
        victims = 0
        while victims < over_count or over_bytes > 0:
            if victims == len(lane.by_worth) or lane.by_worth[victims][0] >= worth:
                return -1
            over_bytes -= lane.by_turn[-lane.by_worth[victims][1]][2]
            victims += 1
        return victims

    def pop(self) -> T:
        """Take the next item; the queue must not be empty."""
        source = self._turns.popleft()
        lane = self._lanes[source]
        _, item, size = lane.next()
        if lane.by_turn:
            self._turns.append(source)
        else:
            del self._lanes[source]
        self._count -= 1
        self._bytes -= size
        return item

    def least(self, source: str) -> int | None:
        """What one has to promise more than to get in where a source's lane is full; None where no promise helps."""
        lane = self._lanes.get(source)
        return lane.by_worth[0][0] if lane is not None and self.believes(source) else None

    # Promises

    def believes(self, source: str) -> bool:
        """Whether what a source promises counts."""
        return self._doubts.get(source, 0) <= DOUBT

    def judge(self, source: str, *, kept: bool) -> None:
        """Take note that a promise of a source was kept, or was not."""
        doubt = self._doubts.get(source, 0)
        if kept and not doubt:
            return
        was_believed = doubt <= DOUBT
        doubt = doubt - 1 if kept else min(doubt + BROKEN, DOUBT_MAX)
        if not doubt:
            del self._doubts[source]
            return
        self._doubts[source] = doubt
        if was_believed and doubt > DOUBT and source in self._lanes:
            self._lanes[source].level()
        if len(self._doubts) > DOUBTED_MAX:
            del self._doubts[next(iter(self._doubts))]
