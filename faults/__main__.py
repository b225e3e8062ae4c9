"""Faults at random from a seed, done to a network of real processes under load; figures, and whether all held.

    python -m faults --seconds 120 --seed 1

Held means: no two final blocks at one height, nothing that was told final is missing anywhere, no account's nonce is
other than its final transfers, no vote excludes another, no process ended by itself, and after every fault the network
was whole again in time. Exits with 0 if all held, else 1, and keeps the folder with the logs.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import click

from faults.figures import spread
from faults.links import Links
from faults.load import SETTLE_S, Load
from faults.nodes import make_nodes
from faults.program import KINDS, START_S, NotWhole, Program
from faults.watch import Watch


@click.command()
@click.option("--seconds", default=120.0, show_default=True, help="How long faults are done.")
@click.option("--seed", default=1, show_default=True, help="Which faults, in which order, on whom.")
@click.option("--nodes", "count", default=4, show_default=True, help="Validators.")
@click.option("--rate", default=20.0, show_default=True, help="Transfers a second.")
@click.option("--accounts", default=40, show_default=True, help="Accounts that send, each one transfer at a time.")
@click.option("--fault", "only", multiple=True, type=click.Choice(KINDS), help="Only this kind. Repeatable.")
def main(seconds: float, seed: int, count: int, rate: float, accounts: int, only: tuple[str, ...]) -> None:
    """Do faults to a network of real nodes under load."""
    folder = Path(tempfile.mkdtemp(prefix="aitoken-faults-"))
    wrong = asyncio.run(_run(folder, seconds, seed, count, rate, accounts, only))
    if wrong:
        print("\n".join(["", "DID NOT HOLD:", *wrong, f"everything is in {folder}"]))
        sys.exit(1)
    shutil.rmtree(folder)
    print("all held")


async def _run(
    folder: Path, seconds: float, seed: int, count: int, rate: float, accounts: int, only: tuple[str, ...]
) -> list[str]:
    random = Random(seed)  # noqa: S311 - which fault comes next
    watch = Watch()
    load = Load(watch, accounts, Random(seed + 1))  # noqa: S311
    nodes, links = await make_nodes(folder, count, load.balances)
    watch.follow(nodes.urls)
    program = Program(nodes, links, watch, random, only)
    wrong: list[str] = []
    try:
        await nodes.start()
        await watch.until(2, range(count), 2 * START_S)
        await load.start(nodes.urls[0], rate)
        began = time.monotonic()
        try:
            await program.run(began + seconds)
        except NotWhole as failure:
            wrong.append(str(failure))
        ended = time.monotonic()
        wrong += await load.settle(SETTLE_S)
        wrong += watch.forks + nodes.conflicts() + nodes.fallen() + nodes.complaints()
        if not wrong:
            wrong += await load.check(watch.top)
        _report(program, links, load, watch, began, ended)
        wrong += [f"no {kind} was done" for kind in program.kinds if seconds >= 120 and not program.done[kind]]
    finally:
        await load.close()
        await watch.close()
        await nodes.close()
        await links.close()
    return wrong


def _report(program: Program, links: Links, load: Load, watch: Watch, began: float, ended: float) -> None:
    minutes = (ended - began) / 60
    print(f"{sum(program.done.values())} faults in {minutes:.1f} min; blocks: {watch.top}")
    print(f"{'fault':15} {'done':>5} {'next final block after its end, s':>36} {'two on all nodes, s':>24}")
    for kind in program.kinds:
        found = [recovery for recovery in program.recoveries if recovery.fault == kind]
        first, everywhere = [each.first_s for each in found], [each.all_s for each in found]
        print(f"{kind:15} {program.done[kind]:5} {spread(first):>36} {spread(everywhere):>24}")
    print(f"links: {dict(links.injected)}, felt: {dict(links.felt)}")
    again = load.submissions - len(load.final)
    print(f"transfers: {len(load.final)} final, {again} sent again, time to finality {spread(load.latencies)} s")
    print(f"longest time without a final block: {watch.longest_gap(began, ended):.1f} s")


if __name__ == "__main__":
    main()
