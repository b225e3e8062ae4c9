"""Four validators on this machine, real processes and sockets: finality under load, idle cost, start-up.

The client runs on the same cores. "efficiency" is what the design is judged by: final transfers a second times the
validators, over the signatures all cores could check, measured in small pieces beside the load.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
from typing import Any

from bench.network import Network, network
from bench.raw import Beside
from bench.row import Row

VALIDATORS = 4


def run(quick: bool) -> list[Row]:
    return asyncio.run(_measure(quick))


async def _measure(quick: bool) -> list[Row]:
    accounts = 2_000 if quick else 20_000
    seconds = 10 if quick else 30
    print(f"devnet: {VALIDATORS} validators, {accounts:,} accounts", file=sys.stderr)
    raws = []
    rows = []
    async with network(VALIDATORS, accounts) as devnet:
        rows.append(Row("devnet start", "all nodes answer", devnet.serving_seconds, "s"))
        rows.append(Row("devnet start", "block 1 is final", devnet.final_seconds, "s"))
        await asyncio.sleep(5)
        rows += await _idle(devnet, seconds)
        for transport in ("ws", "http"):
            outcome = await devnet.load(rate=500, seconds=seconds, accounts=accounts, transport=transport)
            rows += _rows(f"devnet 500/s {transport}", outcome)
        for transport, connections in (("ws", 8), ("http", 32)):
            async with Beside() as beside:
                outcome = await devnet.load(
                    seconds=seconds,
                    accounts=accounts,
                    transport=transport,
                    connections=connections,
                    window=3_000,
                    most=3_000 * seconds,
                )
            rows += _rows(f"devnet saturated {transport}", outcome)
            raws.append(beside.rate)
            efficiency = outcome["tps"] * VALIDATORS / ((os.cpu_count() or 1) * beside.rate)
            rows.append(Row(f"devnet saturated {transport}", "efficiency", efficiency, "of signatures possible"))
        rows.append(Row("devnet after load", "memory, greatest of the nodes", max(devnet.memory_mb()), "MB"))
    return [Row("devnet", "ed25519 verifications", statistics.mean(raws), "per second and core"), *rows]


async def _idle(devnet: Network, seconds: int) -> list[Row]:
    before = devnet.cpu_seconds()
    await asyncio.sleep(seconds)
    share = (devnet.cpu_seconds() - before) / seconds
    return [
        Row("devnet idle", "processor, all nodes", share * 100, "% of one core"),
        Row("devnet idle", "memory, greatest of the nodes", max(devnet.memory_mb()), "MB"),
    ]


def _rows(subject: str, outcome: dict[str, Any]) -> list[Row]:
    if outcome["refused"]:
        print(f"{subject}: refused {outcome['refused']}", file=sys.stderr)
    final = max(outcome["final"], 1)
    return [
        Row(subject, "final", outcome["tps"], "transfers/s"),
        Row(subject, "not final, of sent", outcome["sent"] - outcome["final"], "transfers"),
        Row(subject, "submission to finality, p50", outcome["p50_ms"], "ms"),
        Row(subject, "submission to finality, p99", outcome["p99_ms"], "ms"),
        Row(subject, "processor, all nodes", outcome["node_cpu"] / final * 1e6, "us/transfer"),
        Row(subject, "processor, client", outcome["client_cpu"] / final * 1e6, "us/transfer"),
    ]
