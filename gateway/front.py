"""The way in: most paid requests are plain enough to be read and answered without aiohttp's server.

aiohttp's server takes as long for a small request as the admission and the receipt do. So a connection looks at each
request first. One that is a POST to an API, in the one spelling nobody can read in two ways, whole and not too long, is
served here, in one task. Everything else is handed on byte by byte to aiohttp, which stays the reference: other
endpoints, answers that flow, odd or long requests, and whatever it has to refuse. What cannot even be framed with
certainty (chunks, upgrades, obsolete lines) hands the whole connection over for good.

One request of a connection is served at a time; what a client sends meanwhile waits, and beyond some bytes unread.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Collection
from functools import lru_cache
from re import compile as regex
from typing import Any, Final, cast

import msgspec
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy, istr
from yarl import URL

from gateway.reply import Flows, Reply

log = logging.getLogger(__name__)

HEAD_MAX: Final = 32 << 10
FIELD_MAX: Final = 16_384
FIELDS_MAX: Final = 100
QUICK_BODY_MAX: Final = 256 << 10
"""A longer body is aiohttp's, which reads it piece by piece."""

WAITING_MAX: Final = 64 << 10
"""Bytes read ahead while a request is served."""

SHORT_LINE: Final = 128
IDLE_S: Final = 3600.0
NEVER_S: Final = 1e9

_TOKEN: Final = regex(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LINE: Final = regex(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[^ ]*) HTTP/1\.1")
_LENGTH: Final = regex(r"0|[1-9][0-9]{0,9}")
_JSON: Final = frozenset({"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"})
_UNFRAMED: Final = frozenset({"transfer-encoding", "upgrade", "sec-websocket-key", "http2-settings"})
_ODD: Final = frozenset({"content-encoding", "expect", "te", "trailer", "x-forwarded-proto", "forwarded"})


class Head(msgspec.Struct):
    """What is known of a request by its head.

    Attributes:
        length: of its body.
        path: of the API, if the request is served here.
        host: where the client believes to be.
        headers: all of them.
    """

    length: int
    path: str
    host: str
    headers: CIMultiDictProxy[str]


class QuickCall(msgspec.Struct):
    """A request that is served here."""

    path: str
    headers: CIMultiDictProxy[str]
    body: bytes | None
    host: str
    flowing: web.Request | None = None

    @property
    def url(self) -> str:
        """The whole address, as the client wrote it."""
        return str(URL.build(scheme="http", authority=self.host).join(URL.build(path=self.path, encoded=True)))


_PLAIN, _LENGTH_IS, _TYPE_IS, _HOST_IS, _LEFT, _BAD = range(6)
"""What a line means for how a request is served: nothing, what it says, aiohttp serves it, it cannot be framed."""

_MEANINGS: Final = {"content-length": _LENGTH_IS, "content-type": _TYPE_IS, "host": _HOST_IS}


def _read_line(text: str) -> tuple[int, tuple[istr, str]]:
    """Read one line of a head."""
    name, colon, value = text.partition(":")
    small, value = name.lower(), value.strip(" ")
    if not colon or not _TOKEN.fullmatch(name) or small in _UNFRAMED:
        return _BAD, (istr(), "")
    meaning = _MEANINGS.get(small, _PLAIN)
    if small in _ODD or len(value) > FIELD_MAX - 1024 or (small == "connection" and value.lower() != "keep-alive"):
        meaning = _LEFT
    return meaning, (istr(name), value)


_line = lru_cache(1024)(_read_line)
"""The same for short lines, which nearly all requests of a client have in common."""


def read_head(head: bytes, paths: Collection[str]) -> Head | None:
    """Read a head without its empty line; None where the request cannot be framed with certainty.

    `path` of the result is empty where the request is not plain enough to be served here.
    """
    if not head.isascii():
        return None
    lines = head.decode("ascii").split("\r\n")
    line = _LINE.fullmatch(lines[0])
    if line is None or len(lines) > FIELDS_MAX or not "".join(lines).isprintable():
        return None
    quick = line[1] == "POST" and line[2] in paths
    fields: list[tuple[istr, str]] = []
    hosts, lengths, types = [], [], []
    for text in lines[1:]:
        meaning, field = _line(text) if len(text) < SHORT_LINE else _read_line(text)
        fields.append(field)
        if meaning == _PLAIN:
            continue
        if meaning == _LENGTH_IS:
            lengths.append(field[1])
        elif meaning == _TYPE_IS:
            types.append(field[1])
        elif meaning == _HOST_IS:
            hosts.append(field[1])
        elif meaning == _LEFT:
            quick = False
        else:
            return None
    if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0])):
        return None
    quick = quick and len(lengths) == 1 and len(hosts) == 1 and len(types) == 1 and types[0].lower() in _JSON
    host = hosts[0] if quick else ""
    return Head(int(lengths[0]) if lengths else 0, line[2] if quick and host else "", host,
                CIMultiDictProxy(CIMultiDict(fields)))  # fmt: skip


class _Plain(web.RequestHandler):
    """aiohttp's side of a connection, which says when a request is answered."""

    __slots__ = ("_answered",)

    def __init__(self, answered: Callable[[bool], None], manager: web.Server, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._answered = answered

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write what is left of a response."""
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._answered(bool(resp.keep_alive))


class Front:
    """All connections.

    Attributes:
        connections: those that are open.
        quick: how many requests were served here and not by aiohttp's server.
        serving: how many are being served here.
    """

    def __init__(
        self, runner: web.AppRunner, serve: Callable[[QuickCall], Awaitable[Reply]], paths: Collection[str]
    ) -> None:
        self.serve = serve
        self.paths = frozenset(paths)
        self.connections: set[Connection] = set()
        self.closing = False
        self.quick = 0
        self.serving = 0
        self._runner = runner
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Listen; return the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self, loop), host, port, backlog=1024)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def plain(self, answered: Callable[[bool], None], loop: asyncio.AbstractEventLoop, idle_s: float) -> _Plain | None:
        """Return aiohttp's side for a connection; None once it has been stopped."""
        manager = self._runner.server
        if manager is None:
            return None
        return _Plain(
            answered, manager, loop=loop, access_log=None, max_line_size=FIELD_MAX, max_field_size=FIELD_MAX,
            keepalive_timeout=idle_s,
        )  # fmt: skip

    async def stop(self, seconds: float) -> None:
        """Take nothing new, let what is served here end, and close what is idle."""
        self.closing = True
        if self._server is not None:
            self._server.close()
        tasks = [task for one in self.connections if (task := one.task) is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in list(self.connections):
            one.close_if_idle()


class Connection(asyncio.Protocol):
    """One connection.

    Attributes:
        task: what serves its request, if one is served here.
    """

    def __init__(self, front: Front, loop: asyncio.AbstractEventLoop) -> None:
        self.task: asyncio.Task[None] | None = None
        self._front = front
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._plain: _Plain | None = None
        self._handed = 0
        """Requests that aiohttp has not answered yet."""
        self._passing = 0
        """Bytes that are still to come of a request that was handed on."""
        self._full = False
        """The client does not read its answers."""
        self._rest = bytearray()
        self._need = 0
        self._used = loop.time()
        self._timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------------------------------- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._front.connections.add(self)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._timer = self._loop.call_later(IDLE_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; whoever serves its request is told by a cancellation."""
        self._end()
        if self.task is not None:
            self.task.cancel()
        if self._plain is not None:
            self._plain.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads slower than it is written to."""
        self._full = True
        if self._plain is not None:
            self._plain.pause_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._full = False
        if self._plain is not None:
            self._plain.resume_writing()
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self._passing and self._plain is not None:
            part, data = data[: self._passing], data[self._passing :]
            self._passing -= len(part)
            self._plain.data_received(part)
            if not data:
                return
        if self._rest or self._busy:
            self._rest += data
            if self._busy:
                if len(self._rest) > WAITING_MAX and self._transport is not None:
                    self._transport.pause_reading()
                return
            if len(self._rest) < self._need:
                return
            data = bytes(self._rest)
            self._rest.clear()
        self._feed(data)

    # ------------------------------------------------------------------------------------------- request by request

    @property
    def _busy(self) -> bool:
        return self.task is not None or self._handed > 0 or self._full

    def _go_on(self) -> None:
        """Take the next request, if it is there."""
        if self._transport is None or self._busy:
            return
        if self._front.closing:
            self.close_if_idle()
            return
        self._transport.resume_reading()
        if self._rest and len(self._rest) >= self._need:
            data = bytes(self._rest)
            self._rest.clear()
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        """Begin the request with which `data` begins, and keep what is not whole or not its turn."""
        self._need = 0
        if self._front.closing:
            self.close_if_idle()
            return
        while data and not self._busy:
            end = data.find(b"\r\n\r\n")
            if end < 0 and len(data) <= HEAD_MAX:
                self._need = len(data) + 1
                break
            head = read_head(data[:end], self._front.paths) if 0 <= end <= HEAD_MAX else None
            if head is None:
                self._give_away(data)
                return
            size = end + 4 + head.length
            if head.path and head.length <= QUICK_BODY_MAX:
                if len(data) < size:
                    self._need = size
                    break
                raw, data = (data, b"") if len(data) == size else (data[:size], data[size:])
                call = QuickCall(head.path, head.headers, raw[end + 4 :], head.host)
                self._front.serving += 1
                self.task = self._loop.create_task(self._serve(call, raw))
            else:
                raw, data = data[:size], data[size:]
                self._passing = size - len(raw)
                self._hand_on(raw)
        self._rest += data

    async def _serve(self, call: QuickCall, raw: bytes) -> None:
        try:
            answer = (await self._front.serve(call)).render()
            self._front.quick += 1
        except Flows:
            self.task = None
            self._hand_on(raw)
            return
        except ConnectionError:
            self._close()
            return
        except asyncio.CancelledError:
            self._close()
            raise
        except Exception:
            log.exception("an answer cannot be written")
            self._close()
            return
        finally:
            self.task = None
            self._front.serving -= 1
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)
            self._used = self._loop.time()
            if self._rest or self._front.closing:
                self._go_on()

    def _hand_on(self, data: bytes) -> None:
        """Let aiohttp serve what follows."""
        if self._transport is None:
            return
        if self._plain is None:
            self._plain = self._front.plain(self._plain_answered, self._loop, NEVER_S)
            if self._plain is None:
                self._close()
                return
            self._plain.connection_made(self._transport)
        self._handed += 1
        self._plain.data_received(data)

    def _plain_answered(self, stays: bool) -> None:  # noqa: FBT001 - a callback
        if not stays:  # aiohttp closes the connection in a moment
            return
        self._handed -= 1
        self._used = self._loop.time()
        self._loop.call_soon(self._go_on)

    def _give_away(self, data: bytes) -> None:
        """Let aiohttp have the connection for good."""
        transport = self._transport
        if transport is None:
            return
        plain = self._plain
        if plain is None:
            plain = self._front.plain(lambda stays: None, self._loop, IDLE_S)  # noqa: ARG005 - nobody asks
            if plain is None:
                self._close()
                return
            plain.connection_made(transport)
        self._end()
        transport.set_protocol(plain)
        plain.data_received(data)

    # ------------------------------------------------------------------------------------------- ends

    def _look(self) -> None:
        """Close a connection that nobody has used for long."""
        left = self._used + IDLE_S - self._loop.time()
        if left <= 0 and not self._busy:
            self._close()
        else:
            self._timer = self._loop.call_later(max(left, 60.0), self._look)

    def close_if_idle(self) -> None:
        """Close it, unless aiohttp still has to answer."""
        if self.task is None and not self._handed:
            self._close()

    def _end(self) -> None:
        self._front.connections.discard(self)
        self._transport = None
        self._rest.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
