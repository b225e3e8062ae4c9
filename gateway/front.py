"""The way in: the usual paid request is read, served and answered here, all others by aiohttp's server and the rooms.

aiohttp's server takes as long for a small request as the admission and the receipt do. So a connection looks at each
request first. One that is a POST of a chat completion with a voucher, in the one spelling nobody can read in two ways,
whole and not too long, is offered to `gateway.straight`. What is not so, or not wanted there, is handed on byte by byte
to aiohttp, which stays the reference. What cannot even be framed with certainty (chunks, upgrades, obsolete lines)
hands the whole connection over for good.

One request of a connection is served at a time; what a client sends meanwhile waits, and beyond some bytes unread.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from aiohttp import web

from gateway.apis.text import Chat
from gateway.head import FIELD_MAX, read_head
from gateway.reply import Reply
from gateway.straight import Asked, Straight

log = logging.getLogger(__name__)

HEAD_MAX: Final = 32 << 10
QUICK_BODY_MAX: Final = 256 << 10
"""A longer body is aiohttp's, which reads it piece by piece."""

WAITING_MAX: Final = 64 << 10
"""Bytes read ahead while a request is served."""

READ_MAX: Final = 64 << 10
"""Bytes that are taken from a connection at a time."""

IDLE_S: Final = 3600.0
NEVER_S: Final = 1e9


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
        straight: serves the usual request.
        serve: the same, and counts it.
        line: the first line of a request that may be a usual one.
        connections: those that are open.
        buffer: what a connection has received, until it has looked at it.
        serving: how many requests are being served here.
    """

    def __init__(
        self, runner: web.AppRunner, straight: Straight, serve: Callable[[Asked], Awaitable[Reply | None]]
    ) -> None:
        self.straight = straight
        self.serve = serve
        self.line = f"POST {Chat.path} HTTP/1.1"
        self.connections: set[Connection] = set()
        self.closing = False
        self.serving = 0
        self.buffer = memoryview(bytearray(READ_MAX))
        self._runner = runner
        self._server: asyncio.Server | None = None
        self._over: asyncio.Future[None] | None = None

    def served(self) -> None:
        """Count a request that is served here no more."""
        self.serving -= 1
        if not self.serving and self._over is not None and not self._over.done():
            self._over.set_result(None)

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
        if self.serving:
            self._over = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._over], timeout=seconds)
        tasks = [task for one in self.connections if (task := one.task) is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in list(self.connections):
            one.close_if_idle()


class Connection(asyncio.BufferedProtocol):
    """One connection.

    For a protocol without a buffer asyncio makes one of 256 KiB whenever bytes come, which takes twice as long as all
    that is done to read them.

    Attributes:
        task: what serves its request, once that is admitted here.
    """

    def __init__(self, front: Front, loop: asyncio.AbstractEventLoop) -> None:
        self.task: asyncio.Task[None] | None = None
        self._front = front
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._plain: _Plain | None = None
        self._served: bytes | None = None
        """The request that is served here, in case it has to be handed on."""
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

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - there is one
        """Return where bytes are to be put: all connections have one place, because it is read out at once."""
        return self._front.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes."""
        self.data_received(bytes(self._front.buffer[:nbytes]))

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
        return self._served is not None or self._handed > 0 or self._full

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
            head = read_head(data[:end], self._front.line) if 0 <= end <= HEAD_MAX else None
            if head is None:
                self._give_away(data)
                return
            size = end + 4 + head.length
            quick = head.usual and head.length <= QUICK_BODY_MAX
            if quick and len(data) < size:
                self._need = size
                break
            raw, data = (data, b"") if len(data) == size else (data[:size], data[size:])
            asked = self._front.straight.read(head, raw[end + 4 :]) if quick else None
            if asked is None:
                self._passing = size - len(raw)
                self._hand_on(raw)
            else:
                self._served = raw
                self._front.serving += 1
                self._front.straight.check(asked, self._checked)
        self._rest += data

    def _checked(self, asked: Asked, good: bool) -> None:  # noqa: FBT001 - a callback
        """Serve a request whose signature is good, as far as that was looked at."""
        if good and self._transport is not None:
            self.task = self._loop.create_task(self._serve(asked))
        else:
            self._answer(None)

    async def _serve(self, asked: Asked) -> None:
        answer: bytes | None = b""
        try:
            reply = await self._front.serve(asked)
            answer = None if reply is None else reply.render()
        except ConnectionError:
            log.debug("a client is hung up on")
        except Exception:
            log.exception("an answer cannot be written")
        finally:
            self._answer(answer)

    def _answer(self, answer: bytes | None) -> None:
        """End what is served here: with an answer, with none (b""), or by handing the request on."""
        raw, self._served, self.task = self._served, None, None
        self._front.served()
        if self._transport is None or self._transport.is_closing():
            return
        if answer is None:
            self._hand_on(raw or b"")
        elif not answer:
            self._close()
        else:
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
        if self._served is None and not self._handed:
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
