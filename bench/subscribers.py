"""What a crowd of wallets costs everybody else: 1,000 connections that follow heads and an account each.

Four validators under a steady load, with and without 250 connections on each of them, in turn; the crowd lives in this
process, the load has its own. The line is by how much finality got later.
"""

from __future__ import annotations

import asyncio
import statistics
import sys

from aitoken.crypto.hashing import blake2_128_concat, twox_128
from bench.accounts import public
from bench.network import Network, network
from bench.node_client import WsClient
from bench.row import Row

VALIDATORS = 4
CROWD = 1_000
RATE = 100
ROUNDS = 3
ACCOUNT = twox_128(b"System") + twox_128(b"Account")


def run(quick: bool) -> list[Row]:
    return asyncio.run(_measure(*((100, 4) if quick else (CROWD, 10))))


async def _measure(crowd: int, seconds: int) -> list[Row]:
    without: list[float] = []
    beside: list[float] = []
    heard = [0]
    async with network(VALIDATORS, 2_000) as devnet:
        await asyncio.sleep(3)
        for turn in range(ROUNDS):
            print(f"subscribers: {turn + 1} of {ROUNDS}", file=sys.stderr)
            without.append(await _latency(devnet, seconds))
            clients = [await _wallet(devnet, index, heard) for index in range(crowd)]
            beside.append(await _latency(devnet, seconds))
            await asyncio.gather(*(client.close() for client in clients))
    name = f"{crowd:,} subscribers"
    before, after = statistics.median(without), statistics.median(beside)
    return [
        Row(name, "submission to finality without them, p50", before, "ms"),
        Row(name, "submission to finality beside them, p50", after, "ms"),
        Row(name, "finality is later by", 100 * (after / before - 1), "%"),
        Row(name, "notifications", heard[0], ""),
    ]


async def _latency(devnet: Network, seconds: int) -> float:
    outcome = await devnet.load(rate=RATE, seconds=seconds, accounts=2_000, transport="ws")
    return float(outcome["p50_ms"])


async def _wallet(devnet: Network, index: int, heard: list[int]) -> WsClient:
    # A node takes so many connections of one address only; these are wallets of many people.
    client = await WsClient.connect(devnet.urls[index % VALIDATORS], f"127.0.1.{1 + index % 200}")

    def count(_: object) -> None:
        heard[0] += 1

    await client.subscribe("chain_subscribeNewHeads", count)
    await client.subscribe("chain_subscribeFinalizedHeads", count)
    await client.subscribe("state_subscribeStorage", count, ["0x" + (ACCOUNT + blake2_128_concat(public(index))).hex()])
    return client
