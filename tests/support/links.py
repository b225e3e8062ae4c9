"""A network of real node processes whose every connection goes through proxies of this process."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

from faults.links import Links
from faults.nodes import EVIDENCE, through
from faults.watch import Watch
from tests.support.devnet import Net


@dataclass
class LinkedNet:
    """Processes, the wires between them, and what they tell."""

    net: Net
    links: Links
    watch: Watch

    @property
    def all(self) -> range:
        return range(len(self.net.plan.nodes))

    def freeze(self, *indices: int) -> None:
        """Stop the clock of nodes, as a paused virtual machine does."""
        for index in indices:
            self.links.injected["freeze"] += 1
            self.net.processes[index].send_signal(signal.SIGSTOP)

    def thaw(self, *indices: int) -> None:
        for index in indices:
            self.net.processes[index].send_signal(signal.SIGCONT)

    def must_be_well(self, ended: Iterable[int] = ()) -> None:
        """Faults were injected and felt; nobody forked, cheated, crashed or ended unasked."""
        assert self.links.injected, "no fault was injected: this proves nothing"
        assert self.watch.forks == []
        for index in self.all:
            log = self.net.log(index)
            assert EVIDENCE.search(log) is None, EVIDENCE.search(log)
            assert "Traceback" not in log
            if index not in ended:
                assert self.net.processes[index].poll() is None, log[-2_000:]

    async def must_be_one_chain(self, seconds: float) -> None:
        """Two more blocks become final everywhere, and everybody tells the same hash at every height."""
        target = self.watch.top + 2
        await self.watch.until(target, self.all, seconds)
        for told in self.watch.told:
            assert all(self.watch.hashes[height] == found for height, found in told.hashes.items())


@contextlib.asynccontextmanager
async def linked_net(folder: Path, count: int = 4) -> AsyncIterator[LinkedNet]:
    """Run `count` validators behind proxies, until the first blocks are final everywhere."""
    net = Net.make(folder, count)
    links = Links([node.p2p_port for node in net.plan.nodes])
    await links.start()
    net.plan = through(links, net.plan)
    watch = Watch()
    try:
        net.start()
        watch.follow([node.url for node in net.plan.nodes])
        await watch.until(2, range(count), 90)
        yield LinkedNet(net, links, watch)
    finally:
        await watch.close()
        net.close()
        await links.close()
