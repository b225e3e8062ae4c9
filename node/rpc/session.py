"""One WebSocket connection as the methods see it: its subscriptions and what is on its way out.

Order is kept by having one outgoing queue per connection: a response goes in first, then what was held back for its
subscription. Nobody waits for a slow reader: while much is unsent its requests are not read any more, and a
subscriber that falls behind is cut, because leaving out a notification would be a lie.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Generic, NewType, TypeVar

from node.rpc import errors
from node.rpc.limits import Backlog, Limits
from node.rpc.registry import Method

T = TypeVar("T")

Source = NewType("Source", str)
"""Whose request it is, for fairness between callers: the address of the connection."""

Cut = Callable[[str], None]
"""Ends the connection at once; takes the reason for the log."""


class Later(Generic[T]):
    """What a method returns whose result comes by a call: cheaper than a coroutine with a task of its own.

    `start` is given what to call with the result, or with an exception; it is called once.
    """

    __slots__ = ("start",)

    def __init__(self, start: Callable[[Callable[[T | Exception], None]], None]) -> None:
        self.start = start


class Sink:
    """One subscription of one connection.

    What is sent before `open` waits, so that no notification overtakes the response that names the subscription.
    """

    __slots__ = ("_ends", "_held", "_prefix", "_releases", "id", "is_closed", "method", "pending", "session")

    def __init__(self, session: Session, method: Method, sink_id: str) -> None:
        self.session = session
        self.method = method
        self.id = sink_id
        self.is_closed = False
        self.pending = 0
        self._ends = False
        self._held: list[bytes] | None = []
        self._releases: list[Callable[[], object]] = []
        head = f'{{"jsonrpc":"2.0","method":"{method.notifies}","params":{{"subscription":"{sink_id}","result":'
        self._prefix = head.encode()

    def send(self, result: bytes) -> None:
        """Notify with a result that is JSON already."""
        if self.is_closed or self._ends:
            return
        message = b"%b%b}}" % (self._prefix, result)
        if self._held is not None:
            self._held.append(message)
        else:
            self.session.push(message, self)

    def open(self) -> None:
        """Let notifications out: the response has been queued."""
        held, self._held = self._held, None
        if self.is_closed:
            return
        for message in held or ():
            self.session.push(message, self)
        if self._ends:
            self.close()

    def end(self) -> None:
        """Finish from our side; what was sent before still goes out, nothing after it."""
        self._ends = True
        if self._held is None:
            self.close()

    def on_release(self, call: Callable[[], object]) -> None:
        """Run `call` when the subscription is over, whoever ended it; at once when it is over already."""
        if self.is_closed:
            call()
        else:
            self._releases.append(call)

    def close(self) -> None:
        """Stop now; runs what `on_release` collected, once."""
        if self.is_closed:
            return
        self.is_closed = True
        self.session.forget(self)
        releases, self._releases = self._releases, []
        for call in releases:
            call()


class Exchange:
    """One request on a connection, for methods whose notifications belong to an older subscription."""

    __slots__ = ("_after", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self._after: list[Callable[[], object]] = []

    def after_response(self, call: Callable[[], object]) -> None:
        """Run `call` once the response has been queued."""
        self._after.append(call)

    def release(self) -> None:
        """The response has been queued."""
        after, self._after = self._after, []
        for call in after:
            call()


class Session:
    """One WebSocket connection."""

    def __init__(self, limits: Limits, cut: Cut, backlog: Backlog | None = None) -> None:
        self.limits = limits
        self._backlog = backlog if backlog is not None else Backlog(limits.outgoing_total)
        self._sent = 0
        self._watchdog: asyncio.TimerHandle | None = None
        self.is_closed = False
        self._cut = cut
        self._sinks: dict[str, Sink] = {}
        self._slots: dict[Any, Any] = {}
        self._releases: list[Callable[[], object]] = []
        self._queue: deque[tuple[bytes, Sink | None]] = deque()
        self._queued_bytes = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def subscribe(self, method: Method) -> Sink:
        """Open a subscription.

        Raises:
            RpcError: the connection has too many.
        """
        if len(self._sinks) >= self.limits.subscriptions:
            raise errors.exceeds(errors.TOO_MANY_SUBSCRIPTIONS, self.limits.subscriptions)
        sink = Sink(self, method, secrets.token_urlsafe(12))
        self._sinks[sink.id] = sink
        return sink

    def sink(self, sink_id: str, name: str) -> Sink | None:
        """The live subscription of that id, if the method `name` made it."""
        sink = self._sinks.get(sink_id)
        return sink if sink is not None and sink.method.name == name else None

    def unsubscribe(self, sink_id: str, method: Method) -> bool:
        """End a subscription of that kind; whether there was one."""
        sink = self.sink(sink_id, method.name)
        if sink is None:
            return False
        sink.close()
        return True

    def forget(self, sink: Sink) -> None:
        """Take a subscription off the list."""
        self._sinks.pop(sink.id, None)

    @property
    def subscriptions(self) -> int:
        """How many subscriptions are live."""
        return len(self._sinks)

    def slot(self, kind: Callable[[], T]) -> T:
        """What a namespace keeps per connection: made by `kind` on first use, one of each."""
        if kind not in self._slots:
            self._slots[kind] = kind()
        found: T = self._slots[kind]
        return found

    def on_close(self, call: Callable[[], object]) -> None:
        """Run `call` when the connection ends."""
        self._releases.append(call)

    def push(self, message: bytes, sink: Sink | None = None) -> None:
        """Queue one message; cut the connection when a subscription is too far behind."""
        if self.is_closed:
            return
        self._queue.append((message, sink))
        self._queued_bytes += len(message)
        self._backlog.size += len(message)
        if self._queued_bytes > self.limits.outgoing_share and not self._backlog.has_room():
            self._cut(f"{self._queued_bytes} bytes unread while others wait")
            return
        if sink is not None:
            sink.pending += 1
            if sink.pending > self.limits.notifications_pending:
                self._cut(f"{sink.pending} notifications unread")
                return
        if self._queued_bytes > self.limits.outgoing_bytes:
            self._room.clear()
            if sink is not None:
                self._cut(f"{self._queued_bytes} bytes unread")
                return
        self._filled.set()

    async def wait_for_room(self) -> None:
        """Return when less than `outgoing_bytes` is unsent."""
        await self._room.wait()

    async def write_out(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Give every message to `send`, in order, until the connection is closed; cut it when nothing is taken."""
        loop = asyncio.get_running_loop()
        while not self.is_closed:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                message, sink = self._queue.popleft()
                if self._watchdog is None:
                    self._watchdog = loop.call_later(self.limits.write_s, self._look, self._sent)
                await send(message)
                if self.is_closed:
                    return
                self._sent += 1
                if sink is not None:
                    sink.pending -= 1
                self._queued_bytes -= len(message)
                self._backlog.size -= len(message)
                if self._queued_bytes <= self.limits.outgoing_bytes:
                    self._room.set()

    def close(self) -> None:
        """Release everything the connection held."""
        if self.is_closed:
            return
        self.is_closed = True
        for sink in list(self._sinks.values()):
            sink.close()
        releases, self._releases = self._releases, []
        for call in releases:
            call()
        self._queue.clear()
        self._backlog.size -= self._queued_bytes
        self._queued_bytes = 0
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._filled.set()
        self._room.set()

    def _look(self, sent: int) -> None:
        """See whether anything was taken since `sent` messages."""
        self._watchdog = None
        if self.is_closed or not self._queued_bytes:
            return
        if self._sent == sent:
            self._cut(f"nothing read for {self.limits.write_s:g} s")
        else:
            self._watchdog = asyncio.get_running_loop().call_later(self.limits.write_s, self._look, self._sent)
