"""A node with many accounts: how long it takes from its start until it votes, and what memory it holds."""

from __future__ import annotations

import asyncio
import sys

from bench.network import network
from bench.row import Row

START_SECONDS = 1_200
"""For the first start, which makes the genesis state."""


def run(quick: bool) -> list[Row]:
    return asyncio.run(_measure(20_000 if quick else 1_000_000))


async def _measure(accounts: int) -> list[Row]:
    print(f"start: {accounts:,} accounts", file=sys.stderr)
    name = f"node with {accounts:,} accounts"
    async with network(1, accounts, patience=START_SECONDS) as node:
        rows = [Row(name, "first start, genesis made, until a block is final", node.final_seconds, "s")]
        serving, final = await node.restart()
        rows += [
            Row(name, "start until it answers", serving, "s"),
            Row(name, "start until a new block is final", final, "s"),
            Row(name, "memory", max(node.memory_mb()), "MB"),
        ]
        await node.load(rate=200, seconds=10, accounts=2_000, transport="ws")
        rows.append(Row(name, "memory after 2,000 transfers", max(node.memory_mb()), "MB"))
    return rows
