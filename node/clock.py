"""The clock of a real node: the machine's time and the event loop's timers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from node.ports import Cancellable


class LoopTimer:
    """A timer that costs the event loop nothing where it is put off (`node.ports.Timer`).

    The loop is asked to wake it once; only then does it look whether it was put off meanwhile, and sleeps on.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop = loop
        self._call = call
        self._due = self._wakes = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def set(self, delay_ms: int) -> None:
        """Make the call once after `delay_ms`, instead of when it was due before."""
        self._due = self._loop.time() + delay_ms / 1000
        if self._handle is None:
            self._sleep()
        elif self._due < self._wakes:
            self._handle.cancel()
            self._sleep()

    def cancel(self) -> None:
        """Do not make it, until it is set again."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _sleep(self) -> None:
        self._wakes = self._due
        self._handle = self._loop.call_at(self._wakes, self._wake)

    def _wake(self) -> None:
        if self._due > self._wakes:
            self._sleep()
        else:
            self._handle = None
            self._call()


class SystemClock:
    """Wall-clock time and timers of the running event loop (`node.ports.Clock`)."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def call_later(self, delay_ms: int, call: Callable[[], None]) -> Cancellable:
        """Run `call` once after `delay_ms`."""
        return self._loop.call_later(delay_ms / 1000, call)

    def timer(self, call: Callable[[], None]) -> LoopTimer:
        """Return a timer for `call` that is not set."""
        return LoopTimer(self._loop, call)
