"""Submissions that one node accepts, each an HTTP POST of its own: the way of a script that sends payments.

One validator, so the node also builds, executes and keeps the blocks that what it accepts goes into; the client has a
process of its own. The line is by the node's processor time, so it says what one core does, signature checks included.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

from aitoken.crypto import ed25519
from bench.network import network
from bench.posts import STARTS
from bench.raw import rate
from bench.row import Row

CONNECTIONS = 32


def run(quick: bool) -> list[Row]:
    return asyncio.run(_measure(*((2_000, 4_000) if quick else (15_000, 30_000))))


async def _measure(accounts: int, count: int) -> list[Row]:
    print(f"submissions: {count:,} posts", file=sys.stderr)
    raw = rate(ed25519.Pair, ed25519.verify, 1_000)
    async with network(1, accounts) as node:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.posts", "--url", node.urls[0], "--accounts", str(accounts),
            "--count", str(count), "--connections", str(CONNECTIONS), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        if process.stdout is None or process.stderr is None:
            raise RuntimeError("no pipes")
        while STARTS.encode() not in (line := await process.stderr.readline()):
            if not line:
                raise RuntimeError("the client failed")
        before, start = node.cpu_seconds(), time.perf_counter()
        outcome = json.loads(await process.stdout.read())
        cpu, seconds = node.cpu_seconds() - before, time.perf_counter() - start
        await process.wait()
    if outcome["refused"]:
        print(f"submissions: refused {outcome['refused']}", file=sys.stderr)
    accepted = outcome["accepted"]
    name = "submissions, one POST each"
    return [
        Row(name, "ed25519 verifications", raw, "per second and core"),
        Row(name, "accepted", accepted / outcome["seconds"], "per second"),
        Row(name, "accepted, of one core", accepted / cpu, "per second"),
        Row(name, "accepted, of one core, over ed25519 verifications", accepted / cpu / raw, ""),
        Row(name, "cores the node took", cpu / seconds, ""),
        Row(name, "processor, client", outcome["client_cpu"] / max(accepted, 1) * 1e6, "us each"),
    ]


if __name__ == "__main__":
    for row in run("--quick" in sys.argv):
        print(row)
