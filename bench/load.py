"""Load from outside: signed transfers at a fixed rate or as fast as they become final, and how long each took.

    python -m bench.load --url ws://127.0.0.1:9944 --accounts 20000 --rate 500 --seconds 20
    python -m bench.load --url ... --window 4000 --seconds 20        closed loop: so many under way at once

Transfers are signed before the clock starts. Latency is from handing the bytes to the socket to the notification of
the finalised head whose body has the transfer (the body is read after the time was taken). With a fixed rate the
clock of a transfer starts when it was due, not when the client got to it, so a stall of the node is not hidden
(no coordinated omission). Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import click
import msgspec

from bench.accounts import Terms, public, transfers
from bench.node_client import HttpClient, NodeError, WsClient
from node.tasks import spawn

TICK = 0.004
"""How often a fixed rate sends what is due."""
PATIENCE = 20.0
"""How long the last ones may take to become final."""
STORE_BATCH = 100
UNANSWERED = 900
"""Submissions to one node without an answer: it keeps no more than 1,024 of one address waiting at its door."""


@dataclass(slots=True)
class Outcome:
    """What a run gave."""

    sent: int
    refused: dict[str, int]
    final: int
    seconds: float
    """From the first submission to the last final one."""
    tps: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    blocks: int
    """Blocks that held some of them."""
    client_cpu: float
    """Processor seconds of this process, signing not counted."""


@dataclass(slots=True)
class Run:
    """Transfers under way."""

    started: dict[str, float] = field(default_factory=dict)
    """Transfer -> when its clock began."""
    latencies: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    blocks: int = 0
    sent: int = 0
    last_final: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def submit(self, client: WsClient | HttpClient, raw: str, began: float) -> None:
        """Send one whose clock began at `began`."""
        self.started[raw] = began
        self.sent += 1
        try:
            await client.call("author_submitExtrinsic", raw)
        except NodeError as error:
            self.started.pop(raw, None)
            self.refused[str(error)[:60]] += 1
            self.changed.set()

    def settle(self, body: list[str], when: float) -> None:
        """Note that the transfers of `body` were final at `when`."""
        found = [self.started.pop(raw) for raw in body if raw in self.started]
        if found:
            self.blocks += 1
            self.last_final = when
            self.latencies.extend(when - began for began in found)
            self.changed.set()


async def follow_finality(watcher: WsClient, run: Run) -> None:
    """Match the bodies of final blocks with what is under way, in order."""
    heads: asyncio.Queue[tuple[int, float]] = asyncio.Queue(10_000)
    await watcher.subscribe(
        "chain_subscribeFinalizedHeads", lambda head: heads.put_nowait((int(head["number"], 16), time.perf_counter()))
    )
    while True:
        number, when = await heads.get()
        block = await watcher.call("chain_getBlock", await watcher.call("chain_getBlockHash", number))
        run.settle(block["block"]["extrinsics"], when)


async def open_loop(run: Run, clients: list[Any], signed: Iterator[str], rate: float, seconds: float) -> None:
    """Send at a fixed rate, whatever happens."""
    start = time.perf_counter()
    under_way: set[asyncio.Task[None]] = set()
    number, total = 0, int(rate * seconds)
    while number < total:
        due = min(total, int((time.perf_counter() - start) * rate))
        for number in range(number, due):  # noqa: B020 - goes on where it was
            work = run.submit(clients[number % len(clients)], next(signed), start + number / rate)
            task = spawn(work, "bench submit")
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        number = due
        await asyncio.sleep(TICK)
    while under_way:
        await asyncio.wait(under_way)


async def closed_loop(
    run: Run, clients: list[Any], signed: Iterator[str], window: int, unanswered: int, seconds: float
) -> None:
    """Keep `window` transfers under way, `unanswered` of them without an answer, until the time is over."""
    end = time.perf_counter() + seconds
    under_way: set[asyncio.Task[None]] = set()
    number = 0
    while time.perf_counter() < end:
        while len(run.started) < window and len(under_way) < unanswered:
            raw = next(signed, None)
            if raw is None:
                return
            number += 1
            task = spawn(run.submit(clients[number % len(clients)], raw, time.perf_counter()), "bench submit")
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            if number % 64 == 0:
                await asyncio.sleep(0)
        run.changed.clear()
        try:
            await asyncio.wait_for(run.changed.wait(), 0.02)
        except TimeoutError:
            continue


async def terms_of(watcher: WsClient) -> Terms:
    """What to sign against: born at the last final block."""
    genesis = await watcher.call("chain_getBlockHash", 0)
    version = await watcher.call("state_getRuntimeVersion")
    birth_hash = await watcher.call("chain_getFinalizedHead")
    header = await watcher.call("chain_getHeader", birth_hash)
    return Terms(
        version["specVersion"],
        version["transactionVersion"],
        bytes.fromhex(genesis[2:]),
        int(header["number"], 16),
        bytes.fromhex(birth_hash[2:]),
    )


async def nonces_of(watcher: WsClient, accounts: int) -> list[int]:
    """The next nonce of every account."""
    from aitoken.crypto import ss58

    nonces: list[int] = []
    for start in range(0, accounts, STORE_BATCH):
        batch = range(start, min(accounts, start + STORE_BATCH))
        calls = (watcher.call("system_accountNextIndex", ss58.encode(public(index))) for index in batch)
        nonces += await asyncio.gather(*calls)
    return nonces


async def measure(
    urls: list[str],
    transport: str,
    connections: int,
    accounts: int,
    rate: float,
    window: int,
    seconds: float,
    most: int,
    fresh: bool,
) -> Outcome:
    watcher = await WsClient.connect(urls[0])
    terms = await terms_of(watcher)
    nonces = [0] * accounts if fresh else await nonces_of(watcher, accounts)
    count = int(rate * seconds) if rate else most
    print(f"load: signing {count:,} transfers of {accounts:,} accounts", file=sys.stderr)
    signed = ["0x" + raw.hex() for raw in transfers(terms, accounts, count, nonces)]
    clients: list[WsClient | HttpClient] = []
    for index in range(connections):
        url = urls[index % len(urls)]
        clients.append(await WsClient.connect(url) if transport == "ws" else HttpClient(url, 1))
    run = Run()
    follower = spawn(follow_finality(watcher, run), "bench finality")
    await asyncio.sleep(1.0)
    start, cpu = time.perf_counter(), time.process_time()
    if rate:
        await open_loop(run, clients, iter(signed), rate, seconds)
    else:
        await closed_loop(run, clients, iter(signed), window, UNANSWERED * len(urls), seconds)
    deadline = time.perf_counter() + PATIENCE
    while run.started and time.perf_counter() < deadline and not follower.done():  # noqa: ASYNC110 - three ends
        await asyncio.sleep(0.05)
    cpu = time.process_time() - cpu
    follower.cancel()
    for client in (watcher, *clients):
        await client.close()
    return summary(run, start, cpu)


def summary(run: Run, start: float, cpu: float) -> Outcome:
    ordered = sorted(run.latencies)
    seconds = max(run.last_final - start, 1e-9)
    final = len(ordered)

    def quantile(share: float) -> float:
        return ordered[min(final - 1, int(final * share))] * 1e3 if ordered else 0.0

    return Outcome(
        run.sent, dict(run.refused), final, seconds, final / seconds, quantile(0.5), quantile(0.99), quantile(1.0),
        run.blocks, cpu,
    )  # fmt: skip


@click.command()
@click.option("--url", "urls", multiple=True, default=["ws://127.0.0.1:9944"], help="A node; several share the load.")
@click.option("--transport", type=click.Choice(["ws", "http"]), default="ws", show_default=True)
@click.option("--connections", default=8, show_default=True)
@click.option(
    "--accounts",
    type=click.IntRange(min=1),
    default=1_000,
    show_default=True,
    help="Funded accounts of the genesis to send from.",
)
@click.option("--rate", default=0.0, help="Transfers a second; without it as fast as they become final.")
@click.option("--window", default=2_000, show_default=True, help="Transfers under way when there is no rate.")
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--most", default=50_000, show_default=True, help="Transfers signed beforehand when there is no rate.")
@click.option("--fresh", is_flag=True, help="Nobody has sent anything yet: no node is asked for nonces.")
def main(**options: Any) -> None:
    """Send load to a devnet and print what came of it."""
    options["urls"] = list(options["urls"])
    outcome = asyncio.run(measure(**options))
    print(msgspec.json.encode(outcome).decode())


if __name__ == "__main__":
    main()
