"""A JSON-RPC server on a free port of this machine that answers as a test tells it to, over WebSocket and HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import WSMsgType, web


class Refusal(Exception):
    """Raised by a method: the node answers with this error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


@dataclass
class Stream:
    """Returned by a method that subscribes: the id, then these notifications at once; `hang_up` closes the socket."""

    id: Any
    notifications: list[Any] = field(default_factory=list)
    hang_up: bool = False


class Silence:
    """Returned by a method: the node never answers."""


@dataclass
class Raw:
    """Returned by a method: the node sends this text instead of an answer."""

    text: str


Method = Callable[[list[Any]], Any]


class FakeNode:
    """Use as `async with FakeNode(methods) as node`; `node.url`, `node.http_url`, `node.calls`."""

    def __init__(self, methods: dict[str, Method]) -> None:
        self.methods = methods
        self.calls: list[tuple[str, list[Any]]] = []
        self.batches = 0
        self.port = 0
        self._sockets: list[web.WebSocketResponse] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/", self._socket)
        app.router.add_post("/", self._post)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for socket in self._sockets:
            await socket.close()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def called(self, method: str) -> list[list[Any]]:
        """The parameters of every call of a method."""
        return [params for name, params in self.calls if name == method]

    def _answer(self, message: dict[str, Any]) -> tuple[Any, Stream | None]:
        method, params = message["method"], message.get("params") or []
        self.calls.append((method, params))
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if method not in self.methods:
            return reply | {"error": {"code": -32601, "message": "Method not found"}}, None
        try:
            result = self.methods[method](params)
        except Refusal as refusal:
            return reply | {"error": refusal.error}, None
        if isinstance(result, Silence | Raw):
            return result, None
        if isinstance(result, Stream):
            return reply | {"result": result.id}, result
        return reply | {"result": result}, None

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        self._sockets.append(socket)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            parsed = json.loads(message.data)
            if isinstance(parsed, list):
                self.batches += 1
                answers = [self._answer(part)[0] for part in parsed]
                if not any(isinstance(answer, Silence) for answer in answers):
                    await socket.send_str(json.dumps(answers[::-1]))  # any order is allowed
                continue
            answer, stream = self._answer(parsed)
            if isinstance(answer, Silence):
                continue
            await socket.send_str(answer.text if isinstance(answer, Raw) else json.dumps(answer))
            if stream is not None:
                await self._stream(socket, stream)
        return socket

    async def _stream(self, socket: web.WebSocketResponse, stream: Stream) -> None:
        for result in stream.notifications:
            params = {"subscription": stream.id, "result": result}
            await socket.send_str(json.dumps({"jsonrpc": "2.0", "method": "news", "params": params}))
        if stream.hang_up:
            await socket.close()

    async def _post(self, request: web.Request) -> web.Response:
        parsed = json.loads(await request.text())
        if isinstance(parsed, list):
            self.batches += 1
            answers = [self._answer(part)[0] for part in parsed]
            if any(isinstance(answer, Raw) for answer in answers):
                return web.Response(text=next(answer.text for answer in answers if isinstance(answer, Raw)))
            return web.Response(text=json.dumps(answers[::-1]))
        answer, _ = self._answer(parsed)
        if isinstance(answer, Silence):
            await asyncio.Event().wait()
        if isinstance(answer, Raw):
            status = 500 if answer.text == "500" else 200
            return web.Response(text=answer.text, status=status)
        return web.Response(text=json.dumps(answer))
