"""JSON-RPC of one node: requests per second, one connection or several, HTTP and WebSocket.

The client shares the machine: on two cores it has one to itself.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial

from aitoken.crypto.hashing import blake2_128_concat, twox_128
from bench.accounts import public
from bench.network import network
from bench.node_client import HttpClient, WsClient
from bench.raw import Beside
from bench.row import Row

ACCOUNT = "0x" + (twox_128(b"System") + twox_128(b"Account") + blake2_128_concat(public(0))).hex()
CALLS: tuple[tuple[str, tuple[object, ...]], ...] = (
    ("system_health", ()),
    ("chain_getHeader", ()),
    ("state_getStorage", (ACCOUNT,)),
)
PIPELINED = 64
BATCH = 50


def run(quick: bool) -> list[Row]:
    return asyncio.run(_measure(2.0 if quick else 5.0))


async def _measure(seconds: float) -> list[Row]:
    rows = []
    async with network(1, 100) as node:
        url = node.urls[0]
        for method, params in CALLS:
            print(f"rpc: {method}", file=sys.stderr)
            http = HttpClient(url, 32)
            for width in (1, 32):
                figure = await _rate(partial(http.call, method, *params), width, seconds)
                rows.append(Row(f"rpc http, {width} at once", method, figure, "requests/s"))
            async with Beside() as beside:
                before, start = node.cpu_seconds(), time.perf_counter()
                figure = await _rate(partial(http.batch, BATCH, method, *params), 2, seconds) * BATCH
                share = (node.cpu_seconds() - before) / (time.perf_counter() - start)
            subject = f"rpc http, batches of {BATCH}"
            rows.append(Row(subject, method, figure, "requests/s"))
            rows.append(Row(f"{subject}, of one core", method, figure / share, "requests/s"))
            rows.append(Row(f"{subject}, over raw signature checks", method, figure / share / beside.rate, "ratio"))
            await http.close()
            ws = await WsClient.connect(url)
            figure = await _rate(partial(ws.call, method, *params), PIPELINED, seconds)
            rows.append(Row(f"rpc websocket, {PIPELINED} at once", method, figure, "requests/s"))
            await ws.close()
    return rows


async def _rate(call: Callable[[], Awaitable[object]], width: int, seconds: float) -> float:
    """Calls per second with `width` of them under way."""
    start = time.perf_counter()
    end = start + seconds
    done = 0

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await call()
            done += 1

    await asyncio.gather(*(one() for _ in range(width)))
    return done / (time.perf_counter() - start)
