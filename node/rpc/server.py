"""JSON-RPC over HTTP POST and WebSocket on one port, and `/health`, `/metrics` beside it.

    POST, any path, JSON          one request or batch; no subscriptions
    WebSocket, any path           one JSON value per text frame
    OPTIONS                       CORS preflight for allowed origins
    GET /health                   200 with `system_health`, 503 while blocks are being caught up
    GET /metrics                  Prometheus text format
    GET /claim                    the page on which codes are claimed, and its files

What is refused before anything is read: foreign origins and hosts (403), other content types (415), bodies with an
encoding (415), bodies announced or found to be too large (413), other methods (405). The low-level aiohttp server is
used: no routing, no middleware, no decompression, no access log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web
from multidict import CIMultiDict

from aitoken.errors import Bug
from node.rpc import errors
from node.rpc.dispatch import NO_ID, Answer, Caller, Deferred, Dispatcher
from node.rpc.door import Door, Guarded
from node.rpc.limits import Backlog, Limits
from node.rpc.origins import Hosts, Origins, is_own_origin
from node.rpc.outbox import Outbox
from node.rpc.outgoing import Outgoing
from node.rpc.posts import JSON, SMALL_BYTES, Counter
from node.rpc.render import failure
from node.rpc.session import Session
from node.rpc.turn import Turn
from node.tasks import cancel, spawn

log = logging.getLogger(__name__)

PREFLIGHT_AGE_S: Final = "600"
SHUTDOWN_S: Final = 2.0
GUARD: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""What a browser may do with a page: run its own files, ask its own node, and nothing else."""
Page = Callable[[], tuple[int, str, bytes]]
"""Status, content type and body of something served to GET."""


class RpcServer:
    """Listens, reads, answers. `start` it on the event loop, `close` it at the end."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        limits: Limits,
        outbox: Outbox,
        origins: Origins,
        hosts: Hosts,
        pages: dict[str, Page],
    ) -> None:
        self._dispatcher = dispatcher
        self._limits = limits
        self._outbox = outbox
        self._backlog = Backlog(limits.outgoing_total)
        self._origins = origins
        self._hosts = hosts
        self._turn = Turn(asyncio.get_running_loop())
        self._posts = Counter(dispatcher, limits, self._backlog, hosts, self._turn)
        self._pages = pages
        self._sockets: dict[web.WebSocketResponse, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self._web: web.Server | None = None
        self.door: Door | None = None
        self.port = 0
        self._cuts = 0

    async def start(self, host: str, port: int) -> None:
        """Listen on `host`:`port`; 0 lets the system choose, `port` tells which."""
        loop = asyncio.get_running_loop()
        self._web = web.Server(self._handle)
        self.door = Door(
            self._web,
            self._limits,
            loop,
            self._posts.guest,
            keepalive_timeout=self._limits.idle_s,
            auto_decompress=False,
            access_log=None,
            logger=logging.getLogger("node.rpc.http"),
            lingering_time=1.0,
        )
        self._listener = await loop.create_server(self.door, host, port, backlog=128)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, close every connection, wait for the handlers."""
        if self._listener is not None:
            self._listener.close()
        for socket, session in list(self._sockets.items()):
            session.out.flush()
            session.close()
            self._keep(spawn(_close_quietly(socket), "rpc goodbye"))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=SHUTDOWN_S)
        if self._web is not None:
            self._web.pre_shutdown()
            await self._web.shutdown(SHUTDOWN_S)
        await cancel(tuple(self._tasks))

    @property
    def subscriptions(self) -> int:
        """Live subscriptions of all connections."""
        return sum(session.subscriptions for session in self._sockets.values())

    @property
    def cut_count(self) -> int:
        """Connections cut for reading too slowly."""
        return self._cuts + self._posts.cut

    @property
    def sockets(self) -> int:
        """Open WebSockets."""
        return len(self._sockets)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._serve(request)
        except ConnectionError:  # the caller hung up meanwhile; aiohttp would log a page about each
            return _closing(_plain(400, "gone"))

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        guest = _guest(request)
        guest.asked()
        headers = request.headers
        origin = headers.get("Origin")
        if not self._is_allowed(headers.get("Host"), origin):
            return await self._send(request, _plain(403, "this origin or host is not allowed"))
        if headers.get("Upgrade", "").lower() == "websocket" and request.method == "GET":
            return await self._serve_socket(request, guest)
        response = await self._answer(request)
        if origin is not None:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Vary"] = "Origin"
        return await self._send(request, response)

    def _is_allowed(self, host: str | None, origin: str | None) -> bool:
        if not self._hosts.allows(host):
            return False
        return origin is None or self._origins.allows(origin) or is_own_origin(origin, host, self._hosts)

    async def _send(self, request: web.BaseRequest, response: web.Response) -> web.StreamResponse:
        """Write within `write_s`, or cut the connection: a reader that stalls holds nothing for long."""
        response.headers["Server"] = "aitoken"
        transport = request.transport
        if transport is None:
            return response
        size = len(response.body or b"")  # type: ignore[arg-type]  # ours are bytes
        if size < SMALL_BYTES and not transport.get_write_buffer_size():
            return response  # aiohttp writes it without waiting for the reader
        if size > self._limits.outgoing_share and not self._backlog.has_room(size):
            self._cuts += 1
            _abort(request)
            return response
        self._backlog.size += size
        try:
            async with asyncio.timeout(self._limits.write_s):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            _abort(request)
        finally:
            self._backlog.size -= size
        return response

    # HTTP

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.method == "POST":
            return await self._post(request)
        if request.method == "OPTIONS":
            return _preflight()
        if request.method in ("GET", "HEAD"):
            page = self._pages.get(request.path)
            if page is not None:
                status, content_type, body = page()
                return web.Response(status=status, body=body, headers={"Content-Type": content_type, **GUARD})
        return _plain(405, "Used HTTP Method is not allowed. POST or OPTIONS is required")

    async def _post(self, request: web.BaseRequest) -> web.Response:
        headers = request.headers
        if headers.get("Content-Type", "").partition(";")[0].strip().lower() != JSON:
            return _plain(415, "Supplied content type is not allowed. Content-Type: application/json is required")
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            return _plain(415, "the body must not be encoded")
        try:
            body = await self._body(request)
        except TimeoutError:
            return _closing(_plain(408, "the body took too long"))
        if body is None:
            told = failure(NO_ID, errors.exceeds(errors.REQUEST_TOO_BIG, self._limits.request_bytes))
            return _closing(_json(told, 413))
        guest = _guest(request)
        outcome = self._dispatcher.process(body, Caller(guest.bucket(), source=guest.address))
        answer = outcome if isinstance(outcome, Answer) else await outcome
        return _json(b"" if answer.body is None else answer.body)

    async def _body(self, request: web.BaseRequest) -> bytes | None:
        """Return the body, None when it is too large; no more than the limit is ever held."""
        limit = self._limits.request_bytes
        if (request.content_length or 0) > limit:
            return None
        if request.content.is_eof():  # it came with the headers, as nearly always
            body = request.content.read_nowait()
            return body if len(body) <= limit else None
        async with asyncio.timeout(self._limits.body_s):
            return await self._read(request, limit)

    @staticmethod
    async def _read(request: web.BaseRequest, limit: int) -> bytes | None:
        chunks: list[bytes] = []
        size = 0
        while True:
            try:
                chunk = await request.content.readany()
            except RuntimeError as error:  # what aiohttp raises when the connection is closed while somebody reads
                raise ConnectionResetError("the caller hung up") from error
            if not chunk:
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)
            size += len(chunk)
            if size > limit:
                return None
            chunks.append(chunk)

    # WebSocket

    async def _serve_socket(self, request: web.BaseRequest, guest: Guarded) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            heartbeat=self._limits.ping_s,
            max_msg_size=self._limits.request_bytes,
            compress=False,
            autoclose=True,
        )
        if not socket.can_prepare(request).ok:
            return await self._send(request, _plain(400, "not a WebSocket handshake"))
        await socket.prepare(request)

        def cut(why: str) -> None:
            self._cuts += 1
            log.info("cut a connection: %s", why, extra={"address": guest.address})
            session.close()
            _abort(request)

        guest.out = Outgoing(self._limits, cut, self._backlog, guest, self._outbox)
        session = Session(self._limits, guest.out)
        self._sockets[socket] = session
        running: set[asyncio.Task[None]] = set()
        try:
            await self._read_socket(socket, session, Caller(guest.bucket(), session, source=guest.address), running)
        finally:
            del self._sockets[socket]
            session.close()
            await cancel(running)
        return socket

    async def _read_socket(
        self, socket: web.WebSocketResponse, session: Session, caller: Caller, running: set[asyncio.Task[None]]
    ) -> None:
        loop = asyncio.get_running_loop()
        slots = asyncio.Semaphore(self._limits.requests_in_flight)

        def deliver_deferred(answer: Answer) -> None:
            slots.release()
            _deliver(session, answer)

        while not session.is_closed:
            message = await socket.receive()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            data = message.data.encode() if message.type is WSMsgType.TEXT else message.data
            session.out.asked_at = loop.time()
            outcome = self._dispatcher.process(data, caller)
            if isinstance(outcome, Answer):
                _deliver(session, outcome)
            elif isinstance(outcome, Deferred):
                await slots.acquire()
                outcome.then(deliver_deferred)
            else:
                await slots.acquire()
                task = spawn(_finish(session, outcome, slots), "rpc request")
                running.add(task)
                task.add_done_callback(running.discard)
            await session.out.wait_for_room()
            if self._turn.is_over():
                await asyncio.sleep(0)


def _deliver(session: Session, answer: Answer) -> None:
    if answer.body is not None:
        session.push(answer.body)
    answer.release()


async def _finish(session: Session, outcome: Awaitable[Answer], slots: asyncio.Semaphore) -> None:
    try:
        _deliver(session, await outcome)
    finally:
        slots.release()


async def _close_quietly(socket: web.WebSocketResponse) -> None:
    await socket.close(code=WSCloseCode.GOING_AWAY)


def _guest(request: web.BaseRequest) -> Guarded:
    guest = request.protocol
    if not isinstance(guest, Guarded):
        raise Bug("a connection the door did not make")
    return guest


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


def _plain(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n")


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, headers=CIMultiDict({"Content-Type": JSON}))


def _closing(response: web.Response) -> web.Response:
    response.force_close()
    return response


def _preflight() -> web.Response:
    return web.Response(
        status=200,
        headers={
            "Access-Control-Allow-Methods": "POST, OPTIONS",
            "Access-Control-Allow-Headers": "content-type",
            "Access-Control-Max-Age": PREFLIGHT_AGE_S,
        },
    )
