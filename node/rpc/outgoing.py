"""What is on its way to one connection: frames in order, all of it counted, nobody waited for.

Frames go to the transport while it takes them. Once it holds more than its mark, which means that the system's buffer
is full too, the rest stays here and counts as unread, and so does what the transport was given last.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from node.rpc.limits import Backlog, Limits
from node.rpc.outbox import Due, Outbox

if TYPE_CHECKING:
    from node.rpc.session import Sink

WRITE_BYTES: Final = 64 * 1024
"""Frames written in one piece; longer ones go alone."""

Cut = Callable[[str], None]
"""Ends the connection at once; takes the reason for the log."""


class Wire(Protocol):
    """Where frames are written."""

    @property
    def is_full(self) -> bool:
        """Whether the other side does not keep up."""

    def write(self, data: bytes, /) -> None:
        """Send; must not raise."""


class Outgoing:
    """The queue of one connection; a `node.rpc.outbox.Line`."""

    __slots__ = (
        "_backlog", "_cut", "_given", "_is_closed", "_limits", "_outbox", "_queue", "_room", "_sent", "_watchdog",
        "_wire", "asked_at", "due", "unread",
    )  # fmt: skip

    def __init__(self, limits: Limits, cut: Cut, backlog: Backlog, wire: Wire, outbox: Outbox) -> None:
        self._limits = limits
        self._cut = cut
        self._backlog = backlog
        self._wire = wire
        self._outbox = outbox
        self._queue: deque[tuple[bytes, Sink | None]] = deque()
        self._given: list[tuple[bytes, Sink | None]] = []
        """What the transport has and could not pass on yet."""
        self._sent = 0
        self._watchdog: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._is_closed = False
        self.due: Due | None = None
        self.asked_at = 0.0
        self.unread = 0
        """Bytes."""

    def push(self, frame: bytes, sink: Sink | None = None, *, patient: bool = False) -> None:
        """Queue a frame; cut the connection when it reads too slowly.

        Args:
            frame: one WebSocket frame.
            sink: the subscription it belongs to.
            patient: whether it may wait for what else happens to the same block.
        """
        if self._is_closed:
            return
        size = len(frame)
        self._queue.append((frame, sink))
        self.unread += size
        self._backlog.size += size
        if self.unread > self._limits.outgoing_share and not self._backlog.has_room():
            self._cut(f"{self.unread} bytes unread while others wait")
            return
        if sink is not None:
            sink.pending += 1
            if sink.pending > self._limits.notifications_pending:
                self._cut(f"{sink.pending} notifications unread")
                return
        if self.unread > self._limits.outgoing_bytes:
            self._room.clear()
            if sink is not None:
                self._cut(f"{self.unread} bytes unread")
                return
        if patient:
            self._outbox.later(self)
        else:
            self._outbox.soon(self)

    async def wait_for_room(self) -> None:
        """Return when less than `outgoing_bytes` is unread."""
        await self._room.wait()

    def flush(self) -> None:
        """Write what the other side takes."""
        queue, wire = self._queue, self._wire
        while queue and not wire.is_full:
            size = len(queue[0][0])
            some = [queue.popleft()]
            while queue and (size := size + len(queue[0][0])) <= WRITE_BYTES:
                some.append(queue.popleft())
            wire.write(some[0][0] if len(some) == 1 else b"".join([frame for frame, _ in some]))
            if wire.is_full:
                self._given = some
            else:
                self._settle(some)
        if (queue or self._given) and self._watchdog is None and not self._is_closed:
            self._watch()

    def resume(self) -> None:
        """The other side has read: go on."""
        given, self._given = self._given, []
        self._settle(given)
        if self._queue:
            self._outbox.soon(self)

    def _settle(self, taken: list[tuple[bytes, Sink | None]]) -> None:
        """Count frames as read."""
        if self._is_closed:
            return
        size = 0
        for frame, sink in taken:
            size += len(frame)
            if sink is not None:
                sink.pending -= 1
        self._sent += len(taken)
        self.unread -= size
        self._backlog.size -= size
        if self.unread <= self._limits.outgoing_bytes:
            self._room.set()

    def close(self) -> None:
        """Forget what is queued and let go of whoever waits for room."""
        self._is_closed = True
        self._queue.clear()
        self._given = []
        self._backlog.size -= self.unread
        self.unread = 0
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._room.set()

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        self._watchdog = loop.call_later(self._limits.write_s, self._look, self._sent)

    def _look(self, sent: int) -> None:
        """See whether anything was taken since `sent` frames."""
        self._watchdog = None
        if self._is_closed or not self.unread:
            return
        if self._sent == sent:
            self._cut(f"nothing read for {self._limits.write_s:g} s")
        else:
            self._watch()
