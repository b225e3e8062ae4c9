"""One timer for many waits of the same length: what `asyncio.timeout` does, without a timer of its own for each.

A paid request waits at least once and a flowing answer at every event, nearly always for much less than it may; a timer
that is set and cancelled each time costs more than what it watches over.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Deadlines:
    """Waits that may take `seconds` each."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[Wait, None] = {}  # in the order in which they end
        self._timer: asyncio.TimerHandle | None = None

    def wait(self) -> Wait:
        """Return a context that ends with `TimeoutError` when it takes too long."""
        return Wait(self)

    def start(self, wait: Wait) -> None:
        """Watch over a wait; its context does this."""
        loop = asyncio.get_running_loop()
        wait.ends = loop.time() + self._seconds
        self._running[wait] = None
        if self._timer is None:
            self._timer = loop.call_at(wait.ends, self._look)

    def end(self, wait: Wait) -> None:
        """Watch over a wait no more."""
        self._running.pop(wait, None)

    def _look(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for wait in list(self._running):
            if wait.ends > now:
                self._timer = loop.call_at(wait.ends, self._look)
                return
            del self._running[wait]
            wait.expire()


class Wait:
    """One wait; the task in it is cancelled when its time is over, and told so by `TimeoutError`."""

    __slots__ = ("_cancelling", "_deadlines", "_expired", "_task", "ends")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._expired = False
        self.ends = 0.0

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a wait is in a task")
        self._task, self._cancelling = task, task.cancelling()
        self._deadlines.start(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.end(self)
        if not self._expired or self._task is None:
            return
        # A cancellation from outside at the same moment is not swallowed, as in `asyncio.timeout`.
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Interrupt the task."""
        self._expired = True
        if self._task is not None:
            self._task.cancel()
