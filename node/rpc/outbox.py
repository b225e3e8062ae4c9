"""When connections are written to: soon for answers, together for what a crowd is told of a block, never for long.

What the chain tells is queued on every connection at once, which is cheap and keeps the order; the system calls are
what costs. So:

- An answer, and whatever else is meant for one connection, goes out in the next turn of the loop.
- A new head is told to a crowd together with the finality that follows at once, in one write a connection: `later`
  waits for `release`, for `PATIENCE_S` at most. Until then votes and blocks have the loop. A few connections are no
  crowd and do not wait.
- Who has asked for something lately waits for news of it and comes first; among the rest nobody always does.
- Writing is done in slices of `SLICE_S`; answers that come meanwhile go before the crowd.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

FEW: Final = 32
"""Connections that take no longer to write to than a slice."""
PATIENCE_S: Final = 0.05
SLICE_S: Final = 0.001
LATELY_S: Final = 5.0
STEP: Final = 7919
"""By how much the beginning moves on; a prime, so that all have their turn."""


class Line(Protocol):
    """One connection with something to write."""

    due: Due | None
    """When that will be; kept by the outbox."""
    asked_at: float
    """Loop time of its last request."""

    def flush(self) -> None:
        """Write what is queued."""


class Due:
    """When a connection is written to: one of the two below."""


LATER: Final = Due()
SOON: Final = Due()


class Outbox:
    """All connections that wait to be written to."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready: deque[Line] = deque()
        self._crowd: deque[Line] = deque()
        self._patient: list[Line] = []
        self._timer: asyncio.TimerHandle | None = None
        self._is_busy = False
        self._first = 0

    def soon(self, line: Line) -> None:
        """Write to this connection in the next turn of the loop."""
        if line.due is not SOON:
            line.due = SOON
            self._ready.append(line)
            self._wake()

    def later(self, line: Line) -> None:
        """Write to this connection when `release` is called, or a little later."""
        if line.due is not None:
            return
        line.due = LATER
        self._patient.append(line)
        if len(self._patient) == 1:
            self._loop.call_soon(self._count)

    def release(self) -> None:
        """Let out what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._patient:
            return
        lines, self._patient = self._patient, []
        self._first += STEP
        first = self._first % len(lines)
        lately = self._loop.time() - LATELY_S
        waiting = [line for line in (*lines[first:], *lines[:first]) if line.due is LATER]
        self._crowd.extend(line for line in waiting if line.asked_at >= lately)
        self._crowd.extend(line for line in waiting if line.asked_at < lately)
        self._wake()

    def _count(self) -> None:
        """See whether those that wait are a crowd."""
        if len(self._patient) <= FEW:
            self.release()
        elif self._timer is None:
            self._timer = self._loop.call_later(PATIENCE_S, self.release)

    def _wake(self) -> None:
        if not self._is_busy:
            self._is_busy = True
            self._loop.call_soon(self._slice)

    def _slice(self) -> None:
        ready, crowd, time = self._ready, self._crowd, self._loop.time
        end = time() + SLICE_S
        while ready or crowd:
            line = ready.popleft() if ready else crowd.popleft()
            line.due = None
            line.flush()
            if time() >= end:
                self._loop.call_soon(self._slice)
                return
        self._is_busy = False
