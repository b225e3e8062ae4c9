"""Answers that nobody reads: bounded for all callers together, and given up when nothing is taken for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import msgspec

from node.rpc.limits import MIB, Limits
from node.rpc.outgoing import WRITE_BYTES
from tests.support.rpc_fakes import RpcBench, RpcClient
from tests.support.rpc_wire import Line

BIG = {"jsonrpc": "2.0", "id": 1, "method": "state_getStorage", "params": ["0x626967"]}
HEADERS = {"Content-Type": "application/json"}


@asynccontextmanager
async def slow_reader(bench: RpcBench) -> AsyncIterator[RpcClient]:
    """A socket that is not read, and is not waited for at the end."""
    patience = aiohttp.ClientWSTimeout(ws_close=0.05)
    async with aiohttp.ClientSession() as http, http.ws_connect(bench.ws, max_msg_size=0, timeout=patience) as socket:
        transport = socket._response.connection.transport
        transport.pause_reading()
        yield RpcClient(socket)
        transport.abort()


async def test_many_slow_readers_hold_no_more_than_one_might_and_others_are_served() -> None:
    async with RpcBench(Limits(outgoing_total=4 * MIB)) as bench, AsyncExitStack() as stack:
        bench.chain.grow(changes={b"big": bytes(MIB)})
        server = bench.rpc.server
        for _ in range(8):
            client = await stack.enter_async_context(slow_reader(bench))
            for _ in range(6):
                try:
                    await client.send("state_getStorage", "0x626967")
                except ConnectionError:
                    break
        async with asyncio.timeout(10):
            await bench.until(lambda: server.cut_count >= 4)
        assert server._backlog.size <= 4 * MIB

        async with aiohttp.ClientSession() as http:
            small = BIG | {"method": "system_chain", "params": []}
            async with http.post(bench.http, data=msgspec.json.encode(small), headers=HEADERS) as answer:
                assert answer.status == 200

    assert server._backlog.size == 0


async def test_a_large_answer_over_http_finds_no_room_while_slow_readers_hold_it() -> None:
    async with RpcBench(Limits(outgoing_total=MIB)) as bench, aiohttp.ClientSession() as http:
        bench.chain.grow(changes={b"big": bytes(MIB)})
        try:
            async with http.post(bench.http, data=msgspec.json.encode(BIG), headers=HEADERS) as answer:
                raise AssertionError(f"answered with {answer.status}")
        except aiohttp.ClientError:
            pass

    assert bench.rpc.server.cut_count == 1


async def test_a_socket_that_takes_nothing_for_long_is_cut() -> None:
    async with RpcBench(Limits(write_s=0.2)) as bench, slow_reader(bench) as client:
        bench.chain.grow(changes={b"big": bytes(4 * MIB)})
        await client.send("state_getStorage", "0x626967")
        await client.send("state_getStorage", "0x626967")

        async with asyncio.timeout(10):
            await bench.until(lambda: bench.rpc.server.sockets == 0)

        assert bench.rpc.server.cut_count == 1


async def test_a_reader_that_is_slow_but_reads_is_not_cut() -> None:
    line = Line(Limits(outgoing_bytes=WRITE_BYTES))
    line.wire.fills = True
    for _ in range(3):
        line.session.push(bytes(WRITE_BYTES))
    line.out.flush()
    assert len(line.wire.sent) == 1
    assert line.out.unread > 3 * WRITE_BYTES, "what the wire could not pass on is unread"

    line.wire.is_full = False
    line.out.resume()
    line.out.flush()
    assert len(line.wire.sent) == 2
    assert 2 * WRITE_BYTES < line.out.unread < 3 * WRITE_BYTES

    line.out._look(sent=0)
    assert line.cuts == []
    line.out._look(sent=1)
    assert line.cuts == ["nothing read for 30 s"]

    line.session.close()
    assert line.backlog.size == 0
