"""What is done to a network, one fault after another, drawn from a seed; after each it must be whole again in time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from faults.links import Links
from faults.nodes import Nodes
from faults.rigged import Rig
from faults.watch import Watch
from node.service import EXIT_FAILED

WHOLE_S: Final = 60.0
"""So long after a fault every node must have the next final blocks; generous, for machines that run other things."""
START_S: Final = 60.0
STOP_S: Final = 30.0
"""A node whose disk failed has ended by then; it takes a few syncs until one fails."""
HOUR_MS: Final = 3_600_000

KINDS: Final = (
    "kill -9",
    "kill -9 twice",
    "freeze",
    "flap",
    "lone",
    "halves",
    "one-way",
    "slow link",
    "blackout",
    "clock",
    "slow disk",
    "failed sync",
)
Fault = Callable[[], Awaitable[None]]


class NotWhole(Exception):
    """After a fault the network did not come back in time."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long a fault was felt after its end."""

    fault: str
    first_s: float
    """Until anybody had a new final block."""
    all_s: float
    """Until every node had two."""


class Program:
    """Draws and does faults."""

    def __init__(self, nodes: Nodes, links: Links, watch: Watch, random: Random, only: Sequence[str] = ()) -> None:
        self._nodes = nodes
        self._links = links
        self._watch = watch
        self._random = random
        faults: tuple[Fault, ...] = (
            self.kill,
            self.kill_in_start,
            self.freeze,
            self.flap,
            self.lone,
            self.halves,
            self.one_way,
            self.slow_link,
            self.blackout,
            self.clock,
            self.slow_disk,
            self.failed_sync,
        )
        self._faults = {name: fault for name, fault in zip(KINDS, faults, strict=True) if name in (only or KINDS)}
        self.done: Counter[str] = Counter()
        self.recoveries: list[Recovery] = []

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of all faults."""
        return tuple(self._faults)

    async def run(self, until: float) -> None:
        """Do one fault after another until `until` (monotonic seconds).

        Raises:
            NotWhole: the network did not recover.
        """
        coming: list[str] = []
        while time.monotonic() < until:
            if not coming:  # every kind comes in each round, so that a short run has seen all
                coming = list(self._faults)
                self._random.shuffle(coming)
            name = coming.pop()
            await self._faults[name]()
            self.done[name] += 1
            await self._recover(name)
            await asyncio.sleep(self._random.uniform(0.2, 2.0))

    async def _recover(self, name: str) -> None:
        ended, height = time.monotonic(), self._watch.top
        everybody = range(len(self._nodes))
        try:
            await self._watch.until_any(height + 1, WHOLE_S)
            first = time.monotonic() - ended
            await self._watch.until(height + 2, everybody, WHOLE_S)
        except TimeoutError as late:
            raise NotWhole(f"after {name}: {late}; {'; '.join(self._nodes.fallen())}") from late
        self.recoveries.append(Recovery(name, first, time.monotonic() - ended))

    def _one(self) -> int:
        return self._random.randrange(len(self._nodes))

    async def _wait(self, least: float, most: float) -> None:
        await asyncio.sleep(self._random.uniform(least, most))

    # -- the faults

    async def kill(self) -> None:
        """End one process at any moment, start it again some time later."""
        index = self._one()
        await self._nodes.kill(index)
        await self._wait(0, 4)
        await self._nodes.start(index)

    async def kill_in_start(self) -> None:
        """End one process, and again while it starts."""
        index = self._one()
        for _ in range(2):
            await self._nodes.kill(index)
            await self._nodes.start(index)
            await self._wait(0.5, 3)

    async def freeze(self) -> None:
        """Stop one process in its tracks, then let it go on."""
        index = self._one()
        self._nodes.freeze(index)
        await self._wait(1, 10)
        self._nodes.thaw(index)

    async def flap(self) -> None:
        """Let a link come and go, with its connections lost half of the times."""
        a, b = self._random.sample(range(len(self._nodes)), 2)
        for _ in range(5):
            self._links.cut(a, b)
            if self._random.random() < 0.5:
                self._links.drop(a, b)
            await self._wait(0.2, 1)
            self._links.heal()
            await self._wait(0.2, 1)

    async def lone(self) -> None:
        """Cut one node off from all others."""
        index = self._one()
        self._links.split([index], [other for other in range(len(self._nodes)) if other != index])
        await self._wait(2, 8)
        self._links.heal()

    async def halves(self) -> None:
        """Cut the network in two halves, of which none can go on."""
        order = self._random.sample(range(len(self._nodes)), len(self._nodes))
        middle = len(order) // 2
        self._links.split(order[:middle], order[middle:])
        await self._wait(2, 6)
        self._links.heal()

    async def one_way(self) -> None:
        """Let one node hear nobody, or nobody hear it."""
        index, deaf = self._one(), self._random.random() < 0.5
        for node, other in self._links.pairs_of(index):
            self._links.cut_way(*((other, node) if deaf else (node, other)))
        await self._wait(2, 8)
        self._links.heal()

    async def slow_link(self) -> None:
        """Delay everything from and to one node by up to a quarter of a second, and let little pass."""
        index, delay_s = self._one(), self._random.uniform(0.05, 0.25)
        for node, other in self._links.pairs_of(index):
            self._links.slow(node, other, delay_s=delay_s, bytes_per_s=100_000)
        await self._wait(3, 8)
        self._links.heal()

    async def blackout(self) -> None:
        """End all processes at once and start them again."""
        await self._nodes.kill(*range(len(self._nodes)))
        await self._nodes.start()

    async def clock(self) -> None:
        """Let the wall clock of one node jump by an hour, and back some seconds later."""
        index = self._one()
        self._nodes.rig(index, Rig(clock_ms=self._random.choice((-HOUR_MS, HOUR_MS))))
        await self._wait(3, 10)
        self._nodes.rig(index)

    async def slow_disk(self) -> None:
        """Let every sync of one node take a tenth of a second longer."""
        index = self._one()
        self._nodes.rig(index, Rig(slow_ms=100))
        await self._wait(3, 8)
        self._nodes.rig(index)

    async def failed_sync(self) -> None:
        """Let the syncs of one node fail: it must end by itself, and is started again some time later."""
        index = self._one()
        self._nodes.rig(index, Rig(fail_at=self._random.randint(1, 20)))
        try:
            code = await self._nodes.ended(index, STOP_S)
        except TimeoutError:
            raise NotWhole(f"node {index} went on after a failed sync") from None
        if code != EXIT_FAILED:
            raise NotWhole(f"node {index} ended with {code} after a failed sync, not with {EXIT_FAILED}")
        self._nodes.rig(index)
        await self._wait(0, 4)
        await self._nodes.start(index)
