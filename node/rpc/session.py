"""One WebSocket connection as the methods see it: its subscriptions and what is on its way out.

Order is kept by having one outgoing queue per connection (`node.rpc.outgoing`): a response goes in first, then what was
held back for its subscription. Nobody waits for a slow reader: while much is unread its requests are not read any
more, and a subscriber that falls behind is cut, because leaving out a notification would be a lie.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final, Generic, NewType, TypeVar

from node.rpc import errors
from node.rpc.frames import header, text_frame
from node.rpc.limits import Limits
from node.rpc.outgoing import Outgoing
from node.rpc.registry import Method

T = TypeVar("T")

Source = NewType("Source", str)
"""Whose request it is, for fairness between callers: the address of the connection."""

ID_BYTES: Final = 12
ID_CHARS: Final = 16
"""Length of every subscription's id: those bytes in base 64."""


class Later(Generic[T]):
    """What a method returns whose result comes by a call: cheaper than a coroutine with a task of its own.

    `start` is given what to call with the result, or with an exception; it is called once.
    """

    __slots__ = ("start",)

    def __init__(self, start: Callable[[Callable[[T | Exception], None]], None]) -> None:
        self.start = start


class Notice:
    """The frame of a notification but for the subscription's id, which is all that differs between subscribers."""

    __slots__ = ("end", "start")

    def __init__(self, method: str, result: bytes) -> None:
        """Encode what `method` tells, a result that is JSON already."""
        before = b'{"jsonrpc":"2.0","method":"%b","params":{"subscription":"' % method.encode()
        self.end = b'","result":%b}}' % result
        self.start = header(len(before) + ID_CHARS + len(self.end)) + before


class Sink:
    """One subscription of one connection.

    What is sent before `open` waits, so that no notification overtakes the response that names the subscription.
    """

    __slots__ = ("_ends", "_held", "_id", "_releases", "id", "is_closed", "method", "pending", "session")

    def __init__(self, session: Session, method: Method, sink_id: str) -> None:
        self.session = session
        self.method = method
        self.id = sink_id
        self.is_closed = False
        self.pending = 0
        self._id = sink_id.encode()
        self._ends = False
        self._held: list[bytes] | None = []
        self._releases: list[Callable[[], object]] = []

    def send(self, result: bytes) -> None:
        """Notify with a result that is JSON already."""
        self.tell(Notice(self.method.notifies or "", result))

    def tell(self, notice: Notice, *, patient: bool = False) -> None:
        """Notify with what others are told as well; `patient` where it may wait for what else happens to a block."""
        if self.is_closed or self._ends:
            return
        frame = notice.start + self._id + notice.end
        if self._held is not None:
            self._held.append(frame)
        else:
            self.session.out.push(frame, self, patient=patient)

    def open(self) -> None:
        """Let notifications out: the response has been queued."""
        held, self._held = self._held, None
        if self.is_closed:
            return
        for frame in held or ():
            self.session.out.push(frame, self)
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

    def __init__(self, limits: Limits, out: Outgoing) -> None:
        """Begin.

        Args:
            limits: how much one connection may ask for.
            out: what is on its way to it.
        """
        self.limits = limits
        self.out = out
        self.is_closed = False
        self._sinks: dict[str, Sink] = {}
        self._slots: dict[Any, Any] = {}
        self._releases: list[Callable[[], object]] = []

    def subscribe(self, method: Method) -> Sink:
        """Open a subscription.

        Raises:
            RpcError: the connection has too many.
        """
        if len(self._sinks) >= self.limits.subscriptions:
            raise errors.exceeds(errors.TOO_MANY_SUBSCRIPTIONS, self.limits.subscriptions)
        sink = Sink(self, method, secrets.token_urlsafe(ID_BYTES))
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

    def push(self, message: bytes) -> None:
        """Queue an answer."""
        self.out.push(text_frame(message))

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
        self.out.close()
