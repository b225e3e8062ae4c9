"""A devnet under load for as long as wanted: does anything grow, and does the event loop stay awake?

    python -m faults.soak --seconds 3600 --csv soak.csv

Every few seconds each node is asked for its metrics: resident memory, open descriptors, how late its event loop woke
up. Judged is the second half of the time, when caches are full: memory rises by no more than so much along the line
that fits best, descriptors by no more than five, and the loop is not late by more than a bound in 99 of 100 samples.
Exits with 0 if all held and transfers became final, else 1. The CSV has every sample.
"""

from __future__ import annotations

import asyncio
import csv
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from random import Random
from statistics import linear_regression, median
from typing import Any, Final

import aiohttp
import click

from faults.load import SETTLE_S, Load
from faults.nodes import Nodes, plan_of
from faults.program import START_S
from faults.watch import Watch

MIB: Final = 1 << 20
DESCRIPTORS: Final = 5
SAMPLES_MIN: Final = 8
ANSWER_S: Final = 10.0
_LAG: Final = re.compile(rb'^aitoken_process_loop_lag_ms_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sample:
    """One node at one moment."""

    node: int
    at_s: float
    height: int
    memory_mib: float
    descriptors: int
    late: dict[float, float] = field(repr=False)
    """How many times the loop had been late by at most so many milliseconds."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be."""

    growth_mib: float
    lag_ms: float


def read_metrics(text: bytes) -> tuple[float, int, dict[float, float]]:
    """Memory in MiB, descriptors and the lateness of the loop, out of a page of metrics."""
    return (
        _value(text, b"aitoken_process_memory_bytes") / MIB,
        int(_value(text, b"aitoken_process_descriptors")),
        {float(bound): float(count) for bound, count in _LAG.findall(text)},
    )


def _value(text: bytes, name: bytes) -> float:
    found = re.search(rb"^" + name + rb" (\S+)$", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"no {name.decode()} among the metrics")
    return float(found[1])


def lag_ms(first: Sample, last: Sample, share: float) -> float:
    """The bound below which the loop was late in `share` of the times between two samples."""
    counts = {bound: last.late[bound] - first.late.get(bound, 0.0) for bound in sorted(last.late)}
    total = max(counts.values(), default=0.0)
    return next((bound for bound, count in counts.items() if count >= share * total), 0.0)


def judge(samples: Sequence[Sample], bounds: Bounds) -> tuple[list[str], list[str]]:
    """Lines of a table of all nodes, and what is out of bounds, in the second half of the samples."""
    lines = [f"{'node':>4} {'MiB':>7} {'rise':>7} {'a hour':>7} {'descr.':>7} {'loop late, ms: p50':>19} {'p99':>7}"]
    wrong = []
    for node in sorted({sample.node for sample in samples}):
        mine = [sample for sample in samples if sample.node == node]
        mine = mine[len(mine) // 2 :]
        if len(mine) < SAMPLES_MIN // 2:
            wrong.append(f"node {node}: {len(mine)} samples prove nothing")
            continue
        slope, _ = linear_regression([sample.at_s for sample in mine], [sample.memory_mib for sample in mine])
        rise = slope * (mine[-1].at_s - mine[0].at_s)
        third = max(len(mine) // 3, 1)
        before, after = (median(each.descriptors for each in part) for part in (mine[:third], mine[-third:]))
        half, most = lag_ms(mine[0], mine[-1], 0.5), lag_ms(mine[0], mine[-1], 0.99)
        memory = f"{mine[-1].memory_mib:7.1f} {rise:+7.1f} {3600 * slope:+7.1f}"
        lines.append(f"{node:4} {memory} {mine[-1].descriptors:7} {half:19g} {most:7g}")
        if rise > bounds.growth_mib:
            wrong.append(f"node {node}: memory rose by {rise:.1f} MiB, allowed are {bounds.growth_mib:g}")
        if after > before + DESCRIPTORS:
            wrong.append(f"node {node}: {before:g} open descriptors became {after:g}")
        if most > bounds.lag_ms:
            wrong.append(f"node {node}: the loop was late by up to {most:g} ms in 99 of 100 times")
    return lines, wrong


@click.command()
@click.option("--seconds", default=120.0, show_default=True, help="How long.")
@click.option("--nodes", "count", default=4, show_default=True, help="Validators.")
@click.option("--rate", default=50.0, show_default=True, help="Transfers a second.")
@click.option("--every", default=5.0, show_default=True, help="Seconds between samples, at most an eighth of all.")
@click.option("--growth-mib", default=16.0, show_default=True, help="Memory a node may gain in the second half.")
@click.option("--lag-ms", default=500.0, show_default=True, help="How late the loop may be in 99 of 100 times.")
@click.option("--csv", "table", type=click.Path(path_type=Path), help="Where the samples go.")
@click.option("--seed", default=1, show_default=True, help="Who sends when.")
def main(growth_mib: float, lag_ms: float, **options: Any) -> None:
    """Watch a devnet under load."""
    folder = Path(tempfile.mkdtemp(prefix="aitoken-soak-"))
    wrong = asyncio.run(soak(folder, Bounds(growth_mib, lag_ms), **options))
    if wrong:
        print("\n".join(["", "DID NOT HOLD:", *wrong, f"everything is in {folder}"]))
        sys.exit(1)
    shutil.rmtree(folder)
    print("all held")


async def soak(
    folder: Path,
    bounds: Bounds,
    *,
    seconds: float,
    count: int,
    rate: float,
    every: float,
    table: Path | None,
    seed: int,
) -> list[str]:
    """Do it, print a table, and return what did not hold."""
    watch = Watch()
    load = Load(watch, max(40, int(2 * rate)), Random(seed))  # noqa: S311 - who sends when
    nodes = Nodes(plan_of(folder, count, load.balances))
    samples: list[Sample] = []
    try:
        await nodes.start()
        watch.follow(nodes.urls)
        await watch.until(2, range(count), 2 * START_S)
        await load.start(nodes.urls[0], rate)
        began = time.monotonic()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session:
            while (now := time.monotonic() - began) < seconds:
                samples += await asyncio.gather(*(_sample(session, nodes, watch, each, now) for each in range(count)))
                await asyncio.sleep(min(every, seconds / SAMPLES_MIN))
        wrong = await load.settle(SETTLE_S)
        wrong += watch.forks + nodes.conflicts() + nodes.fallen() + nodes.complaints()
        wrong += [] if wrong else await load.check(watch.top)
        _write(table or folder / "soak.csv", samples)
        lines, out_of_bounds = judge(samples, bounds)
        print(f"{seconds:g} s, {watch.top} blocks, {len(load.final)} transfers final, {len(samples)} samples")
        print("\n".join(["second half:", *lines]))
        wrong += out_of_bounds
        if not load.final:
            wrong.append("there was no load: this proves nothing")
    finally:
        await load.close()
        await watch.close()
        await nodes.close()
    return wrong


async def _sample(session: aiohttp.ClientSession, nodes: Nodes, watch: Watch, index: int, now: float) -> Sample:
    url = nodes.urls[index].replace("ws://", "http://") + "/metrics"
    async with session.get(url) as answer:
        memory, descriptors, late = read_metrics(await answer.read())
    return Sample(index, now, watch.height(index), memory, descriptors, late)


def _write(table: Path, samples: Sequence[Sample]) -> None:
    with table.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file)
        bounds = sorted(samples[0].late) if samples else []
        names = [each.name for each in fields(Sample) if each.name != "late"]
        writer.writerow([*names, *(f"late_at_most_{bound:g}_ms" for bound in bounds)])
        for sample in samples:
            writer.writerow([*(getattr(sample, name) for name in names), *(sample.late[bound] for bound in bounds)])


if __name__ == "__main__":
    main()
