"""Power cuts at exact moments, done to real validators on disks that really lose what was not written, under load.

    python -m faults.power --runs 200 --seed 1

Each node has a file system of its own (`faults.disks`): ext4, ext4 without its kindnesses, and xfs if it can be made.
In a run the power of one node goes, every eighth time of all at once: just before a drawn sync of its disk, just after
it, at any moment, or while the node starts. Then, before the node starts again, its folder is looked into
(`faults.remains`); after the start the network must be whole in time. A file that nobody synced must be gone, or the
run does not count as a power cut.

Held means: no block that was told final is missing from the very disk of the node that told it, no transfer that was
final is missing anywhere, no vote that left or was signed is forgotten, no two votes of a key exclude each other, every
database opens without repair. Exits with 0 if all held and at least one power was cut, else 1. Needs root.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

import click

from aitoken.client.client import Client
from aitoken.types import Hash32
from faults.disks import EXT4, LAX_EXT4, XFS, Disk, NoDisk
from faults.figures import spread
from faults.load import SETTLE_S, Load
from faults.nodes import Nodes, RiggedPlan, plan_of
from faults.program import START_S, WHOLE_S, NotWhole
from faults.remains import look
from faults.rigged import Rig
from faults.watch import Watch

MOMENTS: Final = ("before a sync", "after a sync", "at any moment", "while it starts")
ALL_EVERY: Final = 8
"""In every so many runs the power goes everywhere."""
SYNCS_MAX: Final = 40
"""Two seconds or so of a node's life."""
SYNCS_OF_START: Final = 8
STOP_S: Final = 30.0
UNSYNCED: Final = "unsynced"
NOTHING: Final = "no power was cut"


class Power:
    """The nodes, their disks, and who takes the power away."""

    def __init__(self, nodes: Nodes, disks: list[Disk], watch: Watch, random: Random) -> None:
        self._nodes = nodes
        self.disks = disks
        self._watch = watch
        self._random = random
        self.genesis_hash = Hash32(bytes(32))
        self.done: Counter[tuple[str, bool]] = Counter()
        """Power cuts by moment and whether everybody's power went; a cut of one node is one."""
        self.looked = 0
        """Folders looked into."""
        self.firsts: list[float] = []
        self.alls: list[float] = []
        self.wrong: list[str] = []

    async def run(self, runs: int) -> None:
        """Cut the power `runs` times.

        Raises:
            NotWhole: the network did not come back.
        """
        for run in range(runs):
            moment = MOMENTS[run % len(MOMENTS)]
            everybody = list(range(len(self._nodes)))
            is_all = run % ALL_EVERY == ALL_EVERY - 1 - run // ALL_EVERY % len(MOMENTS)
            victims = everybody if is_all else [self._random.choice(everybody)]
            await self._reach(moment, victims)
            if await self._cut(victims):
                self.done[moment, is_all] += 1
            for index in victims:
                found = await asyncio.to_thread(self._look, index)
                self.wrong += [f"run {run}, {moment}, node {index}: {each}" for each in found]
                self._nodes.rig(index)
            await self._nodes.start(*victims)
            await self._recover(f"run {run}, {moment}")

    # -- one cut

    async def _reach(self, moment: str, victims: list[int]) -> None:
        """Wait until one of them stands still at the moment."""
        if moment == "at any moment":
            await asyncio.sleep(self._random.uniform(0, 2))
            self._nodes.freeze(victims[0])
            return
        after = self._random.random() < 0.5 if moment == "while it starts" else moment == "after a sync"
        if moment == "while it starts":
            await self._nodes.kill(*victims)
        most = SYNCS_OF_START if moment == "while it starts" else SYNCS_MAX
        for index in victims:
            self._nodes.rig(index, Rig(stop_at=self._random.randint(1, most), is_after=after))
        if moment == "while it starts":
            await self._nodes.start(*victims)
        try:
            async with asyncio.timeout(STOP_S):
                while not any(self._is_still(index) for index in victims):
                    await asyncio.sleep(0.002)
        except TimeoutError:
            raise NotWhole(f"{moment}: no node of {victims} came to its sync") from None

    async def _cut(self, victims: list[int]) -> bool:
        """Stop all of them in the middle of whatever they do, take the power, and whether that lost anything."""
        for index in victims:
            self._nodes.freeze(index)
        async with asyncio.timeout(STOP_S):
            while not all(self._is_still(index) for index in victims):
                await asyncio.sleep(0.001)
        for index in victims:
            (self.disks[index].path / UNSYNCED).write_bytes(b"never synced")
            self.disks[index].shut_down()
        await self._nodes.kill(*victims)
        lost = True
        for index in victims:
            self.disks[index].come_back()
            left = self.disks[index].path / UNSYNCED
            if left.exists():
                lost = lost and not left.read_bytes()
                left.unlink()
        return lost

    def _look(self, index: int) -> list[str]:
        plan = self._nodes.plan
        node, copy = plan.nodes[index], plan.folder / f"copy-{index}"
        signed, left = self._nodes.notes(index)
        self.looked += 1
        return look(node.folder, copy, self.genesis_hash, self._watch.told[index].hashes, signed, left)

    async def _recover(self, name: str) -> None:
        ended, height = time.monotonic(), self._watch.top
        try:
            await self._watch.until_any(height + 1, WHOLE_S)
            self.firsts.append(time.monotonic() - ended)
            await self._watch.until(height + 2, range(len(self._nodes)), WHOLE_S)
        except TimeoutError as late:
            raise NotWhole(f"after {name}: {late}; {'; '.join(self._nodes.fallen())}") from late
        self.alls.append(time.monotonic() - ended)

    def _is_still(self, index: int) -> bool:
        stat = Path(f"/proc/{self._nodes.running[index].process.pid}/stat").read_text(encoding="ascii")
        return stat.rpartition(")")[2].split()[0] in "TZ"


@click.command()
@click.option("--runs", default=20, show_default=True, help="How often the power goes.")
@click.option("--seed", default=1, show_default=True, help="When, and whose.")
@click.option("--nodes", "count", default=4, show_default=True, help="Validators.")
@click.option("--rate", default=20.0, show_default=True, help="Transfers a second.")
def main(runs: int, seed: int, count: int, rate: float) -> None:
    """Cut the power of real nodes."""
    folder = Path(tempfile.mkdtemp(prefix="aitoken-power-"))
    wrong = asyncio.run(cut_power(folder, runs, seed, count, rate))
    if wrong:
        print("\n".join(["", "DID NOT HOLD:", *wrong[:20], f"everything is in {folder}"]))
        sys.exit(1)
    shutil.rmtree(folder)
    print("all held")


async def cut_power(folder: Path, runs: int, seed: int, count: int, rate: float) -> list[str]:
    """Do it, print figures, and return what did not hold."""
    random = Random(seed)  # noqa: S311 - whose power goes when
    watch = Watch()
    load = Load(watch, 40, Random(seed + 1))  # noqa: S311
    disks: list[Disk] = []
    kinds = (EXT4, LAX_EXT4, XFS if XFS.is_here else EXT4, LAX_EXT4)
    nodes = Nodes(_powered(plan_of(folder, count, load.balances), folder))
    power = Power(nodes, disks, watch, random)
    wrong: list[str] = []
    try:
        for index in range(count):
            disks.append(Disk(folder / f"power-{index}", kinds[index % len(kinds)]))  # noqa: PERF401 - one by one
        watch.follow(nodes.urls)
        await nodes.start()
        await watch.until(2, range(count), 2 * START_S)
        power.genesis_hash = await _genesis_hash(nodes.urls[0])
        await load.start(nodes.urls[0], rate)
        began = time.monotonic()
        try:
            await power.run(runs)
        except NotWhole as failure:
            wrong.append(str(failure))
        ended = time.monotonic()
        wrong += await load.settle(SETTLE_S)
        wrong += power.wrong + nodes.conflicts() + watch.forks + nodes.fallen() + nodes.complaints()
        if not wrong:
            wrong += await load.check(watch.top)
        _report(power, nodes, load, watch, began, ended)
        if not power.done:
            wrong.append(NOTHING)
    except NoDisk as why:
        wrong.append(f"{'a disk is gone' if power.done else NOTHING}: {why}")
    finally:
        await load.close()
        await watch.close()
        await nodes.close()
        for disk in disks:
            disk.remove()
    return wrong


def _powered(plan: RiggedPlan, folder: Path) -> RiggedPlan:
    """The same devnet with each node's data on a disk of its own."""
    nodes = tuple(replace(node, folder=folder / f"power-{node.index}" / "disk" / "data") for node in plan.nodes)
    return replace(plan, nodes=nodes)


async def _genesis_hash(url: str) -> Hash32:
    client = await Client.connect(url)
    try:
        return Hash32(bytes.fromhex((await client.request("chain_getBlockHash", [0]))[2:]))
    finally:
        await client.close()


def _report(power: Power, nodes: Nodes, load: Load, watch: Watch, began: float, ended: float) -> None:
    votes = sum(len(nodes.notes(index)[0]) for index in range(len(nodes)))
    print(
        f"{sum(power.done.values())} power cuts in {(ended - began) / 60:.1f} min; {power.looked} folders looked into"
    )
    print(f"{'moment':16} {'of one node':>12} {'of all':>8}")
    for moment in MOMENTS:
        print(f"{moment:16} {power.done[moment, False]:12} {power.done[moment, True]:8}")
    print(f"disks: {'; '.join(disk.kind.name for disk in power.disks)}")
    print(f"blocks: {watch.top}, transfers: {len(load.final)} final, votes signed: {votes}")
    print(f"after the start: next final block {spread(power.firsts)} s, two on all nodes {spread(power.alls)} s")
    print(f"longest time without a final block: {watch.longest_gap(began, ended):.1f} s")


if __name__ == "__main__":
    main()
