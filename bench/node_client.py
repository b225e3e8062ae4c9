"""A JSON-RPC client for the benchmarks: many requests under way on one WebSocket, or HTTP posts kept alive.

It does as little as a client can, because its processor time is part of what is measured on one machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

from node.tasks import cancel, spawn

encode = msgspec.json.encode
decode = msgspec.json.decode


class NodeError(Exception):
    """The node answered with an error object."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error.get('code')} {error.get('message')} {error.get('data', '')}")
        self.number = int(error.get("code", 0))


class WsClient:
    """One WebSocket; answers are matched by number, notifications by subscription."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._session = session
        self._socket = socket
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._listeners: dict[str, Callable[[Any], None]] = {}
        self._next = 0
        self._reader = spawn(self._read(), "bench reader")

    @staticmethod
    async def connect(url: str, source: str | None = None) -> WsClient:
        """Open a connection, from a local address if one is named."""
        connector = aiohttp.TCPConnector(local_addr=None if source is None else (source, 0))
        session = aiohttp.ClientSession(connector=connector)
        return WsClient(session, await session.ws_connect(url, max_msg_size=0, compress=0))

    async def call(self, method: str, *params: Any) -> Any:
        """Ask, and wait for the answer."""
        self._next += 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[self._next] = answer
        request = {"jsonrpc": "2.0", "id": self._next, "method": method, "params": params}
        await self._socket.send_str(encode(request).decode())
        return await answer

    async def subscribe(self, method: str, listener: Callable[[Any], None], *params: Any) -> None:
        """Call `listener` with the result of each notification."""
        self._listeners[await self.call(method, *params)] = (
            listener  # what came before this line is lost, which is harmless
        )

    async def _read(self) -> None:
        async for message in self._socket:
            answer = decode(message.data)
            if "method" in answer:
                params = answer["params"]
                listener = self._listeners.get(params["subscription"])
                if listener is not None:
                    listener(params["result"])
                continue
            waiting = self._waiting.pop(answer["id"], None)
            if waiting is None or waiting.done():
                continue
            if "error" in answer:
                waiting.set_exception(NodeError(answer["error"]))
            else:
                waiting.set_result(answer["result"])
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("the node closed the connection"))

    async def close(self) -> None:
        """Close the connection."""
        await self._socket.close()
        await cancel([self._reader])
        await self._session.close()


class HttpClient:
    """Posts one request after another; use several at once for several connections."""

    def __init__(self, url: str, connections: int) -> None:
        self._url = url.replace("ws://", "http://", 1)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections))

    async def call(self, method: str, *params: Any) -> Any:
        """Ask, and wait for the answer."""
        answer = await self._post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        if "error" in answer:
            raise NodeError(answer["error"])
        return answer["result"]

    async def batch(self, size: int, method: str, *params: Any) -> None:
        """Ask the same so often in one request, and wait for the answers."""
        asked = [{"jsonrpc": "2.0", "id": index, "method": method, "params": params} for index in range(size)]
        answers = await self._post(asked)
        if len(answers) != size or any("error" in answer for answer in answers):
            raise NodeError(answers[0].get("error", {}))

    async def _post(self, question: object) -> Any:
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self._url, data=encode(question), headers=headers) as response:
            return decode(await response.read())

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()
