"""What a crowd of wallets costs everybody else: 1,000 connections that follow heads and an account each.

Four validators under a steady load, with and without 250 connections on each of them, in turn. The line is by how much
finality got later. Load and crowd have processes of their own; since they share the cores with the nodes, the time that
nodes and crowd take for a notification and a block stands beside it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.network import Network, network
from bench.node_client import WsClient
from bench.row import Row

VALIDATORS = 4
CROWD = 1_000
RATE = 100
BLOCK_TIME_MS = 250
"""The aim speaks of four blocks a second; a crowd that is told of twenty has five times as much to hear."""
ROUNDS = 3


def run(quick: bool) -> list[Row]:
    return asyncio.run(_measure(*((100, 4) if quick else (CROWD, 10))))


async def _measure(crowd: int, seconds: int) -> list[Row]:
    without: list[Turn] = []
    beside: list[Turn] = []
    heard: list[dict[str, float]] = []
    async with network(VALIDATORS, 2_000, params={"blockTimeMs": BLOCK_TIME_MS}) as devnet:
        await asyncio.sleep(3)
        for turn in range(ROUNDS):
            print(f"subscribers: {turn + 1} of {ROUNDS}", file=sys.stderr)
            without.append(await _turn(devnet, seconds))
            async with _crowd(devnet, crowd) as told:
                beside.append(await _turn(devnet, seconds))
            heard.append(told)
    name = f"{crowd:,} subscribers"
    before, after = statistics.median(turn[0] for turn in without), statistics.median(turn[0] for turn in beside)
    alone, busy = statistics.median(turn[1] for turn in without), statistics.median(turn[1] for turn in beside)
    notifications = sum(told["heard"] for told in heard)
    blocks = sum(turn[2] for turn in beside)
    return [
        Row(name, "submission to finality without them, p50", before, "ms"),
        Row(name, "submission to finality beside them, p50", after, "ms"),
        Row(name, "finality is later by", 100 * (after / before - 1), "%"),
        Row(name, "processor, all nodes, without them", alone, "ms/block"),
        Row(name, "processor, all nodes, beside them", busy, "ms/block"),
        Row(name, "processor, the crowd", 1e3 * sum(told["seconds"] for told in heard) / blocks, "ms/block"),
        Row(name, "processor, nodes, a notification", 1e3 * (busy - alone) * blocks / notifications, "us"),
        Row(name, "notifications", notifications, ""),
    ]


Turn = tuple[float, float, int]
"""Median latency in ms, processor time of the nodes a block in ms, blocks."""


async def _turn(devnet: Network, seconds: int) -> Turn:
    """Latency and processor time under load."""
    first = await _height(devnet)
    outcome = await devnet.load(rate=RATE, seconds=seconds, accounts=2_000, transport="ws")
    blocks = await _height(devnet) - first
    return float(outcome["p50_ms"]), 1e3 * float(outcome["node_cpu"]) / blocks, blocks


async def _height(devnet: Network) -> int:
    client = await WsClient.connect(devnet.urls[0])
    header = await client.call("chain_getHeader")
    await client.close()
    return int(header["number"], 16)


@asynccontextmanager
async def _crowd(devnet: Network, count: int) -> AsyncIterator[dict[str, float]]:
    """So many wallets; what is yielded holds what they heard once they have left."""
    urls = [argument for url in devnet.urls for argument in ("--url", url)]
    crowd = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.crowd", *urls, "--count", str(count),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    told: dict[str, float] = {}
    try:
        if crowd.stdout is None or await crowd.stdout.readline() != b"ready\n":
            raise RuntimeError("the crowd did not come")
        yield told
        out, _ = await crowd.communicate(b"")  # which ends its input
        told.update(json.loads(out))
    finally:
        if crowd.returncode is None:
            crowd.kill()
            await crowd.wait()


if __name__ == "__main__":
    for row in run("--quick" in sys.argv):
        print(row)
