"""Ten times more transfers than four validators can make final, all to one of them: what others feel, and for how long.

Before, during and after, this process asks that node for its health every few milliseconds and sends a transfer now
and then that pays more than the flood; a process of its own floods it. Senders and tips of the flood all differ.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from aitoken.crypto.hashing import blake2_128_concat
from bench.accounts import Terms, public, transfer
from bench.crowd import ACCOUNT
from bench.flood import READY, TIP_STEP, tip_of
from bench.load import terms_of
from bench.network import Network, network
from bench.node_client import HttpClient, NodeError, WsClient
from bench.row import Row
from node.tasks import cancel, spawn

VALIDATORS = 4
TIMES = 10
NAME = "overload"
OTHERS = 2_000
"""Accounts with which it is found out how much the network can take."""
PAYERS = 500
"""Accounts of this process, a payment each; all others are the flood's."""
BEST_TIP = 70_000 * TIP_STEP
HEALTH_EVERY_S = 0.02
QUESTIONS = 50
"""Connections for them; an address may have 128."""
PAYER_ADDRESS = "127.0.0.2"
"""Payments come from elsewhere than the flood; questions about health from the same address."""
PAY_EVERY_S = 0.1
CALM_S = 5.0
NORMAL = 1.5
"""Latency is normal again when three payments in a row took no longer than so many times the median before."""
PATIENCE_S = 30.0


def run(quick: bool) -> list[Row]:
    return asyncio.run(_measure(*((12_000, 3.0) if quick else (100_000, 5.0))))


@dataclass(slots=True)
class Probe:
    """What somebody else feels: pairs of when and how long, in seconds."""

    health: list[tuple[float, float]] = field(default_factory=list)
    payments: list[tuple[float, float]] = field(default_factory=list)
    final_at: list[float] = field(default_factory=list)
    failed: int = 0

    async def ask_health(self, url: str) -> None:
        """Ask again and again, whether earlier questions are answered or not."""
        client = HttpClient(url, QUESTIONS)
        asking: set[asyncio.Task[None]] = set()

        async def ask(due: float) -> None:
            await client.call("system_health")
            self.health.append((due, time.perf_counter() - due))

        due = time.perf_counter()
        try:
            while True:
                due += HEALTH_EVERY_S
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                task = spawn(ask(due), "health")
                asking.add(task)
                task.add_done_callback(asking.discard)
        finally:
            await cancel(asking)
            await client.close()

    async def pay(self, url: str, terms: Terms) -> None:
        """Send one transfer after the other, each of another account."""
        client = await WsClient.connect(url, PAYER_ADDRESS)
        under_way: dict[str, float] = {}

        async def follow() -> None:
            heads: asyncio.Queue[tuple[int, float]] = asyncio.Queue(10_000)

            def note(head: dict[str, str]) -> None:
                self.final_at.append(time.perf_counter())
                heads.put_nowait((int(head["number"], 16), self.final_at[-1]))

            await client.subscribe("chain_subscribeFinalizedHeads", note)
            while True:
                number, when = await heads.get()
                block = await client.call("chain_getBlock", await client.call("chain_getBlockHash", number))
                for raw in block["block"]["extrinsics"]:
                    began = under_way.pop(raw, None)
                    if began is not None:
                        self.payments.append((began, when - began))

        follower = spawn(follow(), "bench finality")

        async def submit(raw: str) -> None:
            try:
                await client.call("author_submitExtrinsic", raw)
            except NodeError:
                self.failed += 1
                del under_way[raw]

        due = time.perf_counter()
        sending: set[asyncio.Task[None]] = set()
        try:
            for payer in range(PAYERS):
                raw = "0x" + transfer(terms, OTHERS + payer, OTHERS + payer + 1, 0, BEST_TIP).hex()
                due += PAY_EVERY_S
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                under_way[raw] = due
                task = spawn(submit(raw), "payment")
                sending.add(task)
                task.add_done_callback(sending.discard)
            await asyncio.sleep(PATIENCE_S)
        finally:
            await cancel([follower, *sending])
            await client.close()


async def _measure(count: int, seconds: float) -> list[Row]:
    async with network(VALIDATORS, OTHERS + PAYERS + 1 + count) as devnet:
        await asyncio.sleep(3)
        outcome = await devnet.load(seconds=5, accounts=OTHERS, connections=8, window=2_000, most=15_000)
        capacity = outcome["tps"]
        rate = min(TIMES * capacity, count / seconds)
        print(f"overload: {rate:,.0f} a second where {capacity:,.0f} become final", file=sys.stderr)
        async with _flood(devnet, count, rate) as flood:
            probe, memory = Probe(), [devnet.memory_mb()[0]]
            url = devnet.urls[0]
            watcher = await WsClient.connect(url)
            probing = [spawn(probe.ask_health(url), "health"),
                       spawn(probe.pay(url, await terms_of(watcher)), "payments")]  # fmt: skip
            try:
                await asyncio.sleep(CALM_S)
                begins = time.perf_counter()
                out, _ = await flood.communicate(b"go\n")
                ends = time.perf_counter()
                memory.append(devnet.memory_mb()[0])
                normal = NORMAL * statistics.median(took for when, took in probe.payments if when < begins)
                while _normal_again(probe, ends, normal) is None and time.perf_counter() < ends + PATIENCE_S:  # noqa: ASYNC110 - other processes
                    await asyncio.sleep(0.2)
                while await _backlog(watcher) and time.perf_counter() < ends + 2 * PATIENCE_S:  # noqa: ASYNC110 - other processes
                    await asyncio.sleep(0.5)
                drained = time.perf_counter()
                memory.append(devnet.memory_mb()[0])
                included = await _included(watcher, count)
            finally:
                await cancel(probing)
                await watcher.close()
    told = json.loads(out)
    print(f"overload: {told}, payments refused {probe.failed}", file=sys.stderr)
    return _rows(probe, told, included, memory, capacity, (begins, ends, drained), normal)


def _rows(
    probe: Probe,
    told: dict[str, float],
    included: list[int],
    memory: list[float],
    capacity: float,
    times: tuple[float, float, float],
    normal: float,
) -> list[Row]:
    begins, ends, drained = times
    count = int(told["offered"])
    calm = [took for when, took in probe.health if when < begins]
    health = [took for when, took in probe.health if begins <= when < ends]
    paid = [took for when, took in probe.payments if begins <= when < ends]
    final = [when for when in probe.final_at if begins <= when <= ends]
    ranks = {index: rank for rank, index in enumerate(sorted(range(count), key=tip_of))}
    again = _normal_again(probe, ends, normal)
    return [
        Row(NAME, "final without it", capacity, "per second"),
        Row(NAME, "offered", told["offered"] / told["seconds"], "per second"),
        Row(NAME, "sent, before the node read no more", told["sent"] / told["seconds"], "per second"),
        Row(NAME, "system_health before, p99", 1e3 * quantile(calm, 0.99), "ms"),
        Row(NAME, "system_health, p50", 1e3 * quantile(health, 0.5), "ms"),
        Row(NAME, "system_health, p99", 1e3 * quantile(health, 0.99), "ms"),
        Row(NAME, "system_health, longest", 1e3 * max(health, default=0.0), "ms"),
        Row(NAME, "payment before, to finality, p50", 1e3 * normal / NORMAL, "ms"),
        Row(NAME, "payment that pays more, to finality, p50", 1e3 * quantile(paid, 0.5), "ms"),
        Row(NAME, "payment that pays more, to finality, p99", 1e3 * quantile(paid, 0.99), "ms"),
        Row(NAME, "payments that pay more and were refused", probe.failed, ""),
        Row(NAME, "final heads", len(final) / (ends - begins), "per second"),
        Row(NAME, "longest pause between final heads",
            1e3 * max((b - a for a, b in pairwise([begins, *final, ends])), default=0.0), "ms"),
        Row(NAME, "of the flood became final", len(included), ""),
        Row(NAME, "those paid more than, of the flood", 100 * statistics.mean(ranks[i] for i in included) / count, "%"),
        Row(NAME, "memory before, at the end of the flood", memory[0], "MB"),
        Row(NAME, "memory it took", max(memory) - memory[0], "MB"),
        Row(NAME, "latency is normal again after", 1e3 * (again if again is not None else PATIENCE_S), "ms"),
        Row(NAME, "the last of the flood was final after", drained - ends, "s"),
    ]  # fmt: skip


def quantile(figures: list[float], share: float) -> float:
    """The figure below which that share is."""
    return sorted(figures)[min(len(figures) - 1, int(len(figures) * share))] if figures else 0.0


def _normal_again(probe: Probe, ends: float, normal: float) -> float | None:
    """Seconds after the end until the first of three payments in a row that took no longer than normal was sent."""
    later = sorted((when, took) for when, took in probe.payments if when >= ends)
    for first in range(len(later) - 2):
        if all(took <= normal for _, took in later[first : first + 3]):
            return later[first][0] - ends
    return None


async def _backlog(watcher: WsClient) -> bool:
    """Whether more waits than the next payments."""
    return len(await watcher.call("author_pendingExtrinsics")) > 50


async def _included(watcher: WsClient, count: int) -> list[int]:
    """Which of the flood's transfers are in a block."""
    keys = ["0x" + (ACCOUNT + blake2_128_concat(public(OTHERS + PAYERS + 1 + index))).hex() for index in range(count)]
    found: list[int] = []
    for start in range(0, count, 500):
        values = await asyncio.gather(*(watcher.call("state_getStorage", key) for key in keys[start : start + 500]))
        found += [start + index for index, value in enumerate(values) if value[2:10] != "00000000"]
    return found


@asynccontextmanager
async def _flood(devnet: Network, count: int, rate: float) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that floods the first node as soon as it is sent a line."""
    flood = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.flood", "--url", devnet.urls[0], "--first", str(OTHERS + PAYERS + 1),
        "--count", str(count), "--rate", str(rate),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        if flood.stderr is None:
            raise RuntimeError("no pipe")
        while READY.encode() not in (line := await flood.stderr.readline()):
            if not line:
                raise RuntimeError("the flood failed")
        yield flood
    finally:
        if flood.returncode is None:
            flood.kill()
            await flood.wait()


if __name__ == "__main__":
    for row in run("--quick" in sys.argv):
        print(row)
