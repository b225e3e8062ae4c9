"""What strangers try on a node's JSON-RPC port, one kind a method; used against real processes."""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, cast

import aiohttp
import msgspec

MIB = 1024 * 1024
STRANGER = ("127.0.0.2", 0)
"""Another address than the canary's, so that its share of connections is its own."""
BROKEN = (
    b"",
    b"{",
    b'{"jsonrpc":"2.0","id":1,"method":',
    b"\xff\xfe\x00",
    b'{"jsonrpc":"2.0","id":1,"method":"chain_getBlock","params":[1e999999]}',
    b'{"jsonrpc":"2.0","id":1,"method":"state_getStorage","params":["0x' + b"f" * 100_001 + b'"]}',
    b'{"jsonrpc":"2.0","id":1,"method":"author_submitExtrinsic","params":["0x' + b"00" * 200_000 + b'"]}',
    b"[" * 64 + b"]" * 63,
    b'"' + b"\\u0000" * 10_000 + b'"',
    b"123456789" * 10_000,
)
SUBSCRIPTIONS = (
    ("chain_subscribeNewHeads", []),
    ("chain_subscribeFinalizedHeads", []),
    ("chain_subscribeAllHeads", []),
    ("state_subscribeRuntimeVersion", []),
    ("state_subscribeStorage", [["0x26aa394eea5630e07c48ae0c9558cef780d41e5e16056765bc8461851072c9d7"]]),
    ("chainHead_v1_follow", [True]),
)


class RpcAttacks:
    """Attacks on one port; `done` counts those carried out, `answers` how the node took them."""

    def __init__(self, port: int) -> None:
        self.done: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self._url = f"http://127.0.0.1:{port}"
        self._port = port
        self._open: list[asyncio.Transport] = []
        self._all: tuple[Callable[[aiohttp.ClientSession], Awaitable[None]], ...] = (
            self.malformed,
            self.large_bodies,
            self.endless_body,
            self.nesting,
            self.batch_bombs,
            self.idle_connections,
            self.slow_readers,
            self.slow_headers,
        )

    async def run(self, until: float) -> None:
        """Do everything, all kinds at once, again and again, until `until` (monotonic seconds)."""
        connector = aiohttp.TCPConnector(limit=0, local_addr=STRANGER)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(20)) as session:
            await asyncio.gather(*(self._repeat(attack, session, until) for attack in self._all))
            for transport in self._open:
                transport.abort()
        await asyncio.sleep(0.1)

    @property
    def all_were_done(self) -> bool:
        """Whether every kind of attack was carried out at least once."""
        return len(self.done) == len(self._all)

    async def _repeat(
        self, attack: Callable[[aiohttp.ClientSession], Awaitable[None]], session: aiohttp.ClientSession, until: float
    ) -> None:
        while time.monotonic() < until:
            try:
                async with asyncio.timeout(max(until - time.monotonic(), 0.1) + 5):
                    await attack(session)
            except (aiohttp.ClientError, OSError, TimeoutError, EOFError) as cut:
                self.answers[f"cut: {type(cut).__name__}"] += 1
            self.done[attack.__name__] += 1
            await asyncio.sleep(0.1)

    async def _post(self, session: aiohttp.ClientSession, body: Any) -> bytes:
        if isinstance(body, bytes):
            body = io.BytesIO(body)
        async with session.post(self._url, data=body, headers={"Content-Type": "application/json"}) as answer:
            self.answers[f"HTTP {answer.status}"] += 1
            return await answer.read()

    async def _connect(self) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", self._port, local_addr=STRANGER)
        self._open.append(transport)
        return transport

    async def malformed(self, session: aiohttp.ClientSession) -> None:
        """Send what is no JSON, or no request."""
        for body in BROKEN:
            await self._post(session, body)

    async def large_bodies(self, session: aiohttp.ClientSession) -> None:
        """Announce and send 6 MiB."""
        await self._post(session, b" " * (6 * MIB))

    async def endless_body(self, session: aiohttp.ClientSession) -> None:
        """Send 6 MiB without saying so, in chunks."""

        async def chunks() -> Any:
            for _ in range(96):
                yield b"[" * (64 * 1024)

        await self._post(session, chunks())

    async def nesting(self, session: aiohttp.ClientSession) -> None:
        """Nest ten thousand deep."""
        await self._post(session, b"[" * 10_000 + b"]" * 10_000)
        await self._post(session, b'{"a":' * 10_000 + b"1" + b"}" * 10_000)

    async def batch_bombs(self, session: aiohttp.ClientSession) -> None:
        """Ask ten thousand expensive things in one batch, and a hundred in the largest one allowed."""
        request = {"jsonrpc": "2.0", "id": 1, "method": "state_getMetadata", "params": []}
        await self._post(session, msgspec.json.encode([request] * 10_000))
        await self._post(session, msgspec.json.encode([request] * 100))

    async def idle_connections(self, session: aiohttp.ClientSession) -> None:
        """Open five hundred connections and say nothing."""
        opened = [await self._connect() for _ in range(500)]
        await asyncio.sleep(5)
        self.answers["idle connection cut"] += sum(transport.is_closing() for transport in opened)
        for transport in opened:
            transport.abort()

    async def slow_headers(self, session: aiohttp.ClientSession) -> None:
        """Begin a request and never end it."""
        for _ in range(20):
            transport = await self._connect()
            transport.write(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nX-A: ")
        await asyncio.sleep(1)

    async def slow_readers(self, session: aiohttp.ClientSession) -> None:
        """Subscribe to everything, ask for the largest answers, and read nothing."""
        for _ in range(5):
            socket = await session.ws_connect(self._url, max_msg_size=0)
            transport = cast(asyncio.Transport, socket._conn.transport)
            transport.pause_reading()
            self._open.append(transport)
            calls = [*SUBSCRIPTIONS * 5, *[("state_getMetadata", [])] * 40]
            for number, (method, params) in enumerate(calls):
                await socket.send_bytes(
                    msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
                )
        await asyncio.sleep(3)
