"""The clock of a real node: the machine's time and the event loop's timers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from node.ports import Cancellable


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
