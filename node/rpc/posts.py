"""The short way of a POST: read, answered and written in one turn of the loop, without aiohttp's server.

aiohttp's request, response and two tasks take longer for a submission than the check of its signature. So a connection
begins here. As long as its requests are plain ones (a POST of JSON, in the one spelling nobody can read in two ways,
whole, of bounded length, to a name of this node and from no web page) they are answered here. The first that is not
gives the connection to aiohttp for good, with every byte that was not answered yet. So this reader never refuses
anything, and what is refused, and how, is said in one place (`node.rpc.server`).

One request of a connection is answered at a time; what comes meanwhile waits, and is not read beyond some bytes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiohttp.helpers import rfc822_formatted_time

from node.rpc.dispatch import Answer, Caller, Deferred
from node.rpc.door import Door, Guarded
from node.tasks import spawn

if TYPE_CHECKING:
    from aiohttp import web

    from node.rpc.dispatch import Dispatcher
    from node.rpc.limits import Backlog, Limits
    from node.rpc.origins import Hosts
    from node.rpc.turn import Turn

HEAD_MAX: Final = 8 << 10
CACHED_HEAD_MAX: Final = 1 << 10
BODY_MAX: Final = 256 << 10
"""A longer one is aiohttp's, which reads it piece by piece."""
WAITING_MAX: Final = 64 << 10
"""Bytes read ahead while a request is answered."""
SMALL_BYTES: Final = 32 << 10
"""Answers below this fit into the buffers of an idle connection; aiohttp waits for the reader above 64 KiB."""
BODY_WAIT_S: Final = 1.0
"""A body that has not come whole by then is waited for by aiohttp."""
JSON: Final = "application/json"

_REQUEST: Final = re.compile(r"POST /[!-~]* HTTP/1\.1")
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")
_LENGTH: Final = re.compile(r"0|[1-9][0-9]{0,9}")
_ODD: Final = frozenset(
    {"transfer-encoding", "upgrade", "http2-settings", "content-encoding", "expect", "te", "trailer", "origin"}
)
"""Headers that change what a body means, or who asks."""


class Head(NamedTuple):
    """What matters of the head of a plain POST."""

    length: int
    host: str


def read_head(head: bytes) -> Head | None:
    """Read a head without its empty line; None where it is not a plain one."""
    return _cached(head) if len(head) <= CACHED_HEAD_MAX else _read(head)


def _read(head: bytes) -> Head | None:
    if not head.isascii():
        return None
    request, *lines = head.decode("ascii").split("\r\n")
    if not _REQUEST.fullmatch(request) or not "".join(lines).isprintable():
        return None
    said: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not _NAME.fullmatch(name) or name in _ODD or (name in said and name in _WANTED):
            return None
        said[name] = value.strip(" ")
    if said.get("connection", "keep-alive").lower() != "keep-alive" or not said.keys() >= _WANTED:
        return None
    if said["content-type"].partition(";")[0].strip().lower() != JSON or not _LENGTH.fullmatch(said["content-length"]):
        return None
    return Head(int(said["content-length"]), said["host"])


_ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nServer: aitoken\r\nDate: %b\r\n\r\n%b"
)
_WANTED: Final = frozenset({"content-length", "content-type", "host"})
_cached = lru_cache(512)(_read)
"""Nearly all requests of a client have the same head."""


class Counter:
    """What all connections share; the counter at which requests are answered.

    Attributes:
        answered: how many were, here and not by aiohttp's server.
        cut: how many connections were, because they did not read.
    """

    def __init__(self, dispatcher: Dispatcher, limits: Limits, backlog: Backlog, hosts: Hosts, turn: Turn) -> None:
        self.dispatcher = dispatcher
        self.turn = turn
        self.limits = limits
        self.backlog = backlog
        self.hosts = hosts
        self.answered = 0
        self.cut = 0

    def guest(self, door: Door, server: web.Server, **settings: Any) -> Guest:
        """Make the protocol of a new connection."""
        return Guest(self, door, server, **settings)


class Guest(Guarded):
    """One connection."""

    __slots__ = ("_counter", "_is_aiohttps", "_is_busy", "_need", "_rest", "_wait")

    def __init__(self, counter: Counter, door: Door, server: web.Server, **settings: Any) -> None:
        super().__init__(door, server, **settings)
        self._counter = counter
        self._is_aiohttps = False
        self._is_busy = False
        self._rest = b""
        self._need = 0
        """Bytes of `_rest` with which it is worth another look."""
        self._wait: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self._is_aiohttps:
            super().data_received(data)
            return
        if self._force_close or self._close:
            return
        if self._rest:
            data = self._rest + data
        if self._is_busy or len(data) < self._need:
            self._rest = data
            if self._is_busy and len(data) > WAITING_MAX:
                self._pause_reading_for_buffer()
            return
        self._rest = b""
        self._take(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget."""
        self._rest = b""
        self._stop_waiting()
        super().connection_lost(exc)

    def _take(self, data: bytes) -> None:
        """Answer the requests that `data` begins with, one after the other, and keep what is not whole."""
        counter = self._counter
        self._stop_waiting()
        self._need = 0
        while data and not self._is_busy:
            end = data.find(b"\r\n\r\n", 0, HEAD_MAX)
            if end < 0 and len(data) < HEAD_MAX:
                self._need = len(data) + 1
                break
            head = read_head(data[:end]) if end >= 0 else None
            if head is None or head.length > min(BODY_MAX, counter.limits.request_bytes):
                self._give_away(data)
                return
            if not counter.hosts.allows(head.host):
                self._give_away(data)
                return
            body_at, size = end + 4, end + 4 + head.length
            if len(data) < size:
                self._need = size
                self._wait = self._loop.call_later(min(BODY_WAIT_S, counter.limits.body_s), self._give_up)
                break
            if not self.has_asked:
                self.asked()
            body, data = data[body_at:size], data[size:]
            self._answer(body)
            if data and counter.turn.is_over() and not self._is_busy:
                self._is_busy = True
                self._loop.call_soon(self._next_turn)
        self._rest = data
        if self._buffer_paused and (not self._is_busy or len(data) <= WAITING_MAX):
            self._resume_reading_for_buffer()

    def _next_turn(self) -> None:
        self._is_busy = False
        self._go_on()

    def _answer(self, body: bytes) -> None:
        outcome = self._counter.dispatcher.process(body, Caller(self.bucket(), source=self.address))
        if isinstance(outcome, Answer):
            self._deliver(outcome)
            return
        self._is_busy = True
        if isinstance(outcome, Deferred):
            outcome.then(self._deliver_late)
        else:
            spawn(self._finish(outcome), "rpc request")

    async def _finish(self, outcome: Awaitable[Answer]) -> None:
        self._deliver_late(await outcome)

    def _deliver_late(self, answer: Answer) -> None:
        self._is_busy = False
        self._deliver(answer)
        self._go_on()

    def _deliver(self, answer: Answer) -> None:
        """Write an answer; one that does not fit into the buffers is watched."""
        body, transport = answer.body or b"", self.transport
        self._counter.answered += 1
        if transport is None or transport.is_closing():
            return
        # What aiohttp looks at when its timer of idle connections runs out.
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        written = _ANSWER % (len(body), rfc822_formatted_time().encode(), body)
        if len(body) < SMALL_BYTES and not transport.get_write_buffer_size():
            transport.write(written)
            return
        self._is_busy = True
        spawn(self._write(transport, written), "rpc answer")

    async def _write(self, transport: asyncio.Transport, written: bytes) -> None:
        """Write within `write_s`, or cut the connection."""
        counter, size = self._counter, len(written)
        if size > counter.limits.outgoing_share and not counter.backlog.has_room(size):
            counter.cut += 1
            transport.abort()
            return
        counter.backlog.size += size
        try:
            async with asyncio.timeout(counter.limits.write_s):
                transport.write(written)
                await self._drain_helper()
        except TimeoutError:
            transport.abort()
        except ConnectionError:
            pass
        finally:
            counter.backlog.size -= size
            self._is_busy = False
        self._go_on()

    def _go_on(self) -> None:
        """Take what came meanwhile."""
        if self._is_busy or self.transport is None:
            return
        data, self._rest = self._rest, b""
        self._take(data)

    def _give_up(self) -> None:
        """A body does not come: aiohttp waits for the rest."""
        data, self._rest = self._rest, b""
        self._give_away(data)

    def _give_away(self, data: bytes) -> None:
        """Let aiohttp have the connection for good."""
        self._is_aiohttps = True
        if self._buffer_paused:
            self._resume_reading_for_buffer()
        super().data_received(data)

    def _stop_waiting(self) -> None:
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None
