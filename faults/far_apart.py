"""Validators far apart on bad links: how long until a block is final, next to three message delays.

    python -m faults.far_apart --seconds 60 --nodes 7 --delay-ms 100 --loss 0.03

As root each node runs in a network namespace, and a switch (`faults.switch`) delays and loses the packets between them.
Elsewhere, or with --proxies, the nodes reach each other through TCP proxies, which cannot lose a packet: there a loss
is a chunk that comes later by a retransmission. The table says which of the two was measured.

Held means: packets were lost (chunks were late), nobody forked, nothing final was lost, no half minute went by without
a final block, and 95 of 100 blocks were final on a quorum within three seconds and six delays. Exits with 0, else 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final

import click

from cli.devnet.plan import NodePlan
from faults.figures import percentile
from faults.links import Links
from faults.load import SETTLE_S, Load
from faults.nodes import Nodes, RiggedPlan, plan_of, through
from faults.program import START_S, WHOLE_S
from faults.switch import READY, NoNamespaces, address, namespace
from faults.watch import Watch

STALL_S: Final = 30.0
SLOW_S: Final = 3.0
"""95 of 100 blocks are final on a quorum within this and six delays."""
SWITCH_S: Final = 20.0


@dataclass(frozen=True)
class Conditions:
    """What lies between two nodes."""

    delay_s: float
    loss: float
    seed: int


@dataclass(frozen=True)
class DistantPlan(RiggedPlan):
    """A devnet with each node in a namespace of its own."""

    prefix: str

    def program(self, node: NodePlan) -> list[str]:
        """The command, inside the node's namespace, which unlike `ip netns exec` keeps to our mounts."""
        return ["nsenter", f"--net=/run/netns/{namespace(self.prefix, node.index)}", *super().program(node)]


class Faults:
    """What was done to the links, once it is over."""

    def __init__(self) -> None:
        self.kind = ""
        self.sent = 0
        self.lost = 0


@contextlib.asynccontextmanager
async def switched(plan: RiggedPlan, conditions: Conditions, faults: Faults) -> AsyncIterator[Nodes]:
    """Nodes in namespaces, joined by the switch.

    Raises:
        NoNamespaces: there are none here.
    """
    if shutil.which("nsenter") is None:
        raise NoNamespaces("the command nsenter is not installed (package util-linux)")
    number = os.getpid() % 10_000
    prefix, subnet = f"ait{number}", f"10.{90 + number // 250}.{number % 250}"
    arguments = ["--nodes", len(plan.nodes), "--delay-ms", conditions.delay_s * 1000, "--loss", conditions.loss]
    arguments += ["--seed", conditions.seed, "--prefix", prefix, "--subnet", subnet]
    command = [sys.executable, "-m", "faults.switch", *map(str, arguments)]
    pipe = asyncio.subprocess.PIPE
    switch = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(SWITCH_S):
            line = await _read_line(switch)
        if line != READY:
            raise NoNamespaces((await _read_rest(switch)).strip())
        faults.kind = "packets between namespaces"
        nodes = tuple(replace(node, host=address(subnet, node.index)) for node in plan.nodes)
        yield Nodes(DistantPlan(plan.folder, plan.genesis, plan.spec, plan.preset, nodes, prefix))
    finally:
        if switch.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                switch.send_signal(signal.SIGTERM)
            counts = json.loads(await _read_line(switch) or "{}")
            faults.sent, faults.lost = counts.get("sent", 0), counts.get("lost", 0)
        await switch.wait()


async def _read_line(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None:
        return ""
    return (await process.stdout.readline()).decode().strip()


async def _read_rest(process: asyncio.subprocess.Process) -> str:
    return "" if process.stderr is None else (await process.stderr.read()).decode()


@contextlib.asynccontextmanager
async def proxied(plan: RiggedPlan, conditions: Conditions, faults: Faults) -> AsyncIterator[Nodes]:
    """Nodes on this machine, joined by proxies."""
    links = Links([node.p2p_port for node in plan.nodes], seed=conditions.seed)
    await links.start()
    for a in range(len(plan.nodes)):
        for b in range(a):
            links.slow(a, b, delay_s=conditions.delay_s)
            links.lose(a, b, conditions.loss)
    faults.kind = "chunks through proxies, late instead of lost"
    try:
        yield Nodes(through(links, plan))
    finally:
        faults.sent, faults.lost = links.felt["slowed"], links.felt["retransmitted"]
        await links.close()


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="How long to measure.")
@click.option("--nodes", "count", default=7, show_default=True, help="Validators.")
@click.option("--delay-ms", default=100.0, show_default=True, help="From node to node, one way.")
@click.option("--loss", default=0.03, show_default=True, help="Share of packets that are lost.")
@click.option("--seed", default=1, show_default=True, help="Which packets.")
@click.option("--rate", default=10.0, show_default=True, help="Transfers a second.")
@click.option("--proxies", is_flag=True, help="Use TCP proxies even where namespaces can be had.")
def main(**options: Any) -> None:
    """Measure finality between validators far apart."""
    folder = Path(tempfile.mkdtemp(prefix="aitoken-far-"))
    wrong = asyncio.run(measure(folder, **options))
    if wrong:
        print("\n".join(["", "DID NOT HOLD:", *wrong, f"everything is in {folder}"]))
        sys.exit(1)
    shutil.rmtree(folder)
    print("all held")


async def measure(
    folder: Path,
    *,
    seconds: float,
    count: int,
    delay_ms: float,
    loss: float,
    seed: int,
    rate: float,
    proxies: bool,
) -> list[str]:
    """Measure, print a table, and return what did not hold."""
    watch = Watch()
    load = Load(watch, 40, Random(seed))  # noqa: S311 - who sends when
    plan = plan_of(folder, count, load.balances)
    conditions, faults = Conditions(delay_ms / 1000, loss, seed), Faults()
    if not proxies:
        try:
            async with switched(plan, conditions, faults) as nodes:
                wrong = await _run(nodes, watch, load, seconds, rate, conditions)
            return [*wrong, *_bite(faults, loss)]
        except NoNamespaces as why:
            print(f"no network namespaces here ({why}): measured through TCP proxies")
    async with proxied(plan, conditions, faults) as nodes:
        wrong = await _run(nodes, watch, load, seconds, rate, conditions)
    return [*wrong, *_bite(faults, loss)]


def _bite(faults: Faults, loss: float) -> list[str]:
    share = 100 * faults.lost / faults.sent if faults.sent else 0.0
    print(f"{faults.sent} {faults.kind}, of them {faults.lost} lost ({share:.1f} %)")
    if not faults.sent:
        return ["nothing went over the links: this proves nothing"]
    return ["nothing was lost: this proves nothing"] if loss > 0 and not faults.lost else []


async def _run(
    nodes: Nodes, watch: Watch, load: Load, seconds: float, rate: float, conditions: Conditions
) -> list[str]:
    everybody = range(len(nodes))
    try:
        await nodes.start()
        watch.follow(nodes.urls)
        await watch.until(2, everybody, 2 * START_S)
        await load.start(nodes.urls[0], rate)
        await watch.until(watch.top + 3, everybody, WHOLE_S)  # connections have found their pace
        began, first = time.monotonic(), watch.top
        await asyncio.sleep(seconds)
        ended, last = time.monotonic(), min(told.height for told in watch.told)
        sent = list(load.latencies)
        wrong = await load.settle(SETTLE_S)
        wrong += watch.forks + nodes.conflicts() + nodes.fallen() + nodes.complaints()
        wrong += [] if wrong else await load.check(watch.top)
        gap = watch.longest_gap(began, ended)
        print(f"{len(nodes)} validators, {conditions.delay_s * 1000:.0f} ms one way, loss {conditions.loss:.1%}:")
        print(f"{last - first} blocks in {ended - began:.0f} s, {len(sent)} transfers; longest gap {gap:.1f} s")
        wrong += _table(watch, range(first + 1, last + 1), sent, conditions)
        if gap > STALL_S:
            wrong.append(f"{gap:.1f} s without a final block")
    finally:
        await load.close()
        await watch.close()
        await nodes.close()
    return wrong


def _table(watch: Watch, heights: Sequence[int], sent: Sequence[float], conditions: Conditions) -> list[str]:
    """Print the figures; what is out of bounds."""
    count = len(watch.told)
    quorum = 2 * count // 3 + 1
    ranks = {"the first node": 0, f"a quorum ({quorum})": quorum - 1, "every node": count - 1}
    rows: dict[str, list[float]] = {f"proposed -> final on {name}": [] for name in ranks}
    for height in heights:
        told = sorted(each.times.get(height, float("inf")) for each in watch.told)
        for row, rank in zip(rows.values(), ranks.values(), strict=True):
            row.append(told[rank] - watch.proposed[height])
    slow = list(rows.values())[1]
    rows["transfer sent -> seen final"] = list(sent)
    print(f"{'ms':36} {'median':>8} {'p95':>8} {'most':>8}")
    print(f"{'three message delays':36} {3000 * conditions.delay_s:8.0f}")
    for name, values in rows.items():
        if values:
            figures = (percentile(values, 50), percentile(values, 95), max(values))
            print(f"{name:36}" + "".join(f" {1000 * figure:8.0f}" for figure in figures))
    if not slow:
        return ["no block was final"]
    limit = SLOW_S + 6 * conditions.delay_s
    found = percentile(slow, 95)
    return [f"final on a quorum after {found:.1f} s in 95 of 100 blocks, not {limit:.1f}"] if found > limit else []


if __name__ == "__main__":
    main()
