"""Virtual time: a heap of calls. One seed, one order, no threads."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class Timer:
    """A pending call (`node.ports.Cancellable`)."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Call it off."""
        self.call = None


class Loop:
    """Calls in order of time, then of being asked for."""

    __slots__ = ("_heap", "_sequence", "events", "now")

    def __init__(self) -> None:
        self.now = 0
        self.events = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0

    def at(self, delay_ms: int, call: Callable[..., None], *arguments: Any) -> None:
        """Run `call(*arguments)` after `delay_ms`."""
        self._sequence += 1
        heappush(self._heap, (self.now + delay_ms, self._sequence, call, arguments))

    def run(self, until_ms: int, stop: Callable[[], bool]) -> None:
        """Run calls up to a time, or until `stop` says so after one of them."""
        heap = self._heap
        while heap and heap[0][0] <= until_ms:
            self.now, _, call, arguments = heappop(heap)
            self.events += 1
            call(*arguments)
            if stop():
                return
        self.now = until_ms
