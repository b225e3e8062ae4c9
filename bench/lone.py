"""One validator with a worker process for signatures, on this machine with its client: finality as fast as it goes.

"efficiency" is the rate of final transfers over the signatures one core could check in the same run: the worker checks
them beside the node, so the node's own loop (the door, JSON, execution, roots, the disk) or the client is what is full.
"""

from __future__ import annotations

import asyncio
import sys

from bench.network import network
from bench.raw import Beside
from bench.row import Row

WORKERS = 1
WINDOW = 3_000
BLOCK_WEIGHT_MS = 500
"""Blocks of the devnet take 1,100 transfers, which is less than one validator with two cores to itself can do."""


def run(quick: bool) -> list[Row]:
    return asyncio.run(_measure(2_000 if quick else 20_000, 8 if quick else 20))


async def _measure(accounts: int, seconds: int) -> list[Row]:
    print(f"lone: a validator with {WORKERS} worker, {accounts:,} accounts", file=sys.stderr)
    subject = "validator with a worker"
    async with network(
        1, accounts, params={"blockWeightMs": BLOCK_WEIGHT_MS}, extra=("--workers", str(WORKERS))
    ) as node:
        await asyncio.sleep(2)
        worker_before, node_before = node.cpu_seconds_of_children(), node.cpu_seconds()
        async with Beside() as beside:
            outcome = await node.load(
                seconds=seconds,
                accounts=accounts,
                transport="ws",
                connections=8,
                window=WINDOW,
                most=6_000 * seconds,
                fresh=True,
            )
        worker = node.cpu_seconds_of_children() - worker_before
        all_of_it = node.cpu_seconds() - node_before
    final = max(outcome["final"], 1)
    if outcome["refused"]:
        print(f"{subject}: refused {outcome['refused']}", file=sys.stderr)
    return [
        Row(subject, "ed25519 verifications, beside it", beside.rate, "per second and core"),
        Row(subject, "final", outcome["tps"], "transfers/s"),
        Row(subject, "efficiency", outcome["tps"] / beside.rate, "of signatures a core could check"),
        Row(subject, "submission to finality, p50", outcome["p50_ms"], "ms"),
        Row(subject, "processor, the node's own process", (all_of_it - worker) / final * 1e6, "us/transfer"),
        Row(subject, "processor, its worker", worker / final * 1e6, "us/transfer"),
        Row(subject, "processor, client", outcome["client_cpu"] / final * 1e6, "us/transfer"),
        Row(subject, "not final, of sent", outcome["sent"] - outcome["final"], "transfers"),
    ]
