from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.support.rpc_fakes import RpcBench, RpcClient


@pytest.fixture
async def bench() -> AsyncIterator[RpcBench]:
    async with RpcBench() as bench:
        yield bench


@pytest.fixture
async def client(bench: RpcBench) -> AsyncIterator[RpcClient]:
    async with aiohttp.ClientSession() as http, http.ws_connect(bench.ws, max_msg_size=0) as socket:
        yield RpcClient(socket)
