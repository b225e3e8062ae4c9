"""Finality over load: four validators at one rate after another, from little to more than they can take."""

from __future__ import annotations

import asyncio
import sys

from bench.network import network
from bench.row import Row

VALIDATORS = 4
RATES = (50, 100, 250, 500, 750, 1_000, 1_500)


def run(quick: bool) -> list[Row]:
    return asyncio.run(_measure(RATES[1:4:2] if quick else RATES, 5 if quick else 15))


async def _measure(rates: tuple[int, ...], seconds: int) -> list[Row]:
    rows = []
    async with network(VALIDATORS, 2_000) as devnet:
        await asyncio.sleep(3)
        for rate in rates:
            print(f"sweep: {rate}/s", file=sys.stderr)
            outcome = await devnet.load(rate=rate, seconds=seconds, accounts=2_000, transport="ws")
            subject = f"load of {rate}/s"
            rows += [
                Row(subject, "final", outcome["tps"], "transfers/s"),
                Row(subject, "submission to finality, p50", outcome["p50_ms"], "ms"),
                Row(subject, "submission to finality, p99", outcome["p99_ms"], "ms"),
            ]
            await asyncio.sleep(2)
    return rows
