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


class Alarm:
    """A timer that is set anew by calling off the one before (`node.ports.Timer`)."""

    __slots__ = ("_call", "_later", "_pending")

    def __init__(self, later: Callable[[int, Callable[[], None]], Timer], call: Callable[[], None]) -> None:
        self._later = later
        self._call = call
        self._pending: Timer | None = None

    def set(self, delay_ms: int) -> None:
        """Make the call once after `delay_ms`, instead of when it was due before."""
        self.cancel()
        self._pending = self._later(delay_ms, self._call)

    def cancel(self) -> None:
        """Do not make it, until it is set again."""
        if self._pending is not None:
            self._pending.cancel()


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
