"""Real validators whose every connection goes through `Links`: started, killed, frozen, let go."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from aitoken.proto.votes import Vote
from cli.devnet.plan import NodePlan, Plan, make_plan, port_is_free, prepare
from cli.devnet.processes import NodeProcess, start, stop
from faults.links import Links
from faults.remains import conflicts, notes_of
from faults.rigged import RIG, VOTES, Rig

GENESIS: Final = Path(__file__).resolve().parents[1] / "genesis.json"
EVIDENCE: Final = re.compile(r"signed two votes|consensus\.doppelganger|consensus\.safety|vote_not_durable")
"""What a log says of votes that exclude each other, of whomever."""
TROUBLE: Final = re.compile(r"Traceback|^\S+ critical (?!.*Input/output error)", re.MULTILINE)
"""An input/output error is always ours: see `Rig.fail_at`."""


@dataclass(frozen=True)
class RiggedPlan(Plan):
    """A devnet whose nodes have strings attached (`faults.rigged`)."""

    def strings(self, index: int) -> Path:
        """The folder through which a node is played with, and where it notes its votes."""
        return self.folder / f"strings-{index}"

    def program(self, node: NodePlan) -> list[str]:
        """The rigged command."""
        return [sys.executable, "-P", "-m", "faults.rigged", str(self.strings(node.index))]


@dataclass(frozen=True)
class LinkedPlan(RiggedPlan):
    """A devnet whose nodes know each other by their proxies only."""

    links: Links

    def dialled_by(self, node: NodePlan) -> list[str]:
        """Where a node reaches the others."""
        return self.links.addresses(node.index)

    def arguments(self, node: NodePlan) -> list[str]:
        """The arguments that run a node which looks for no other ways."""
        return [*super().arguments(node), "--reserved-only"]


def through(links: Links, plan: Plan) -> LinkedPlan:
    """The same devnet, with its connections through proxies that listen."""
    return LinkedPlan(plan.folder, plan.genesis, plan.spec, plan.preset, plan.nodes, links)


class Nodes:
    """The processes of one devnet."""

    def __init__(self, plan: RiggedPlan) -> None:
        self.plan = plan
        for node in plan.nodes:
            plan.strings(node.index).mkdir(exist_ok=True)
        self.running: dict[int, NodeProcess] = {}

    def __len__(self) -> int:
        return len(self.plan.nodes)

    @property
    def urls(self) -> list[str]:
        """Where each node answers."""
        return [node.url for node in self.plan.nodes]

    async def start(self, *indices: int) -> None:
        """Start nodes; all of them when none is named."""
        extra = ("--force-sign",) if self.plan.begins else ()
        for index in indices or range(len(self)):
            self.running[index] = await start(self.plan, self.plan.nodes[index], *extra)

    async def kill(self, *indices: int) -> None:
        """End processes as a power cut would."""
        for index in indices:
            self.running[index].process.kill()
        for index in indices:
            await self.running.pop(index).process.wait()

    def rig(self, index: int, rig: Rig | None = None) -> None:
        """Attach other strings to a node, from its next start on if it does not run; without any, let it go on."""
        (self.plan.strings(index) / RIG).write_bytes(msgspec.json.encode(rig or Rig()))
        if index in self.running:
            self.running[index].process.send_signal(signal.SIGUSR1)

    async def ended(self, index: int, seconds: float) -> int:
        """Wait until a process has ended by itself; its exit code.

        Raises:
            TimeoutError: it did not.
        """
        async with asyncio.timeout(seconds):
            code = await self.running[index].process.wait()
        del self.running[index]
        return code

    def notes(self, index: int) -> tuple[list[Vote], list[Vote]]:
        """The votes a node signed and those that left it, in all its lives."""
        return notes_of(self.plan.strings(index) / VOTES)

    def conflicts(self) -> list[str]:
        """Votes of one key that exclude each other, in all its lives."""
        found = []
        for node in self.plan.nodes:
            signed, left = self.notes(node.index)
            found += [f"node {node.index}: {each}" for each in (*conflicts(signed), *conflicts(left))]
        return found

    def freeze(self, index: int) -> None:
        """Stop a process in the middle of whatever it does."""
        self.running[index].process.send_signal(signal.SIGSTOP)

    def thaw(self, index: int) -> None:
        """Let it go on."""
        self.running[index].process.send_signal(signal.SIGCONT)

    def fallen(self) -> list[str]:
        """The obituaries of those that ended by themselves."""
        return [node.obituary() for node in self.running.values() if not node.alive]

    def complaints(self) -> list[str]:
        """What no log of a sound network says."""
        found = []
        for node in self.plan.nodes:
            text = node.log.read_text(errors="replace") if node.log.exists() else ""
            for pattern in (EVIDENCE, TROUBLE):
                match = pattern.search(text)
                if match is not None:
                    line = text[text.rfind("\n", 0, match.start()) + 1 :].splitlines()[0]
                    found.append(f"log of node {node.index}: {line[:300]}")
        return found

    async def close(self) -> None:
        """End everything."""
        for index, node in self.running.items():
            if node.alive:
                self.thaw(index)
        await stop(list(self.running.values()))


def plan_of(folder: Path, count: int, balances: dict[str, str]) -> RiggedPlan:
    """Plan a devnet with further accounts in its genesis; nothing runs yet."""
    spec: dict[str, Any] = json.loads(GENESIS.read_text(encoding="utf-8"))
    spec["genesis"]["balances"] |= balances
    chain = folder / "chain.json"
    chain.write_text(json.dumps(spec), encoding="utf-8")
    port = _free_ports(2 * count)
    plan = make_plan(
        folder=folder / "net", chain=chain, count=count, base_port=port, p2p_base_port=port + count, preset=None
    )
    prepare(plan)
    return RiggedPlan(plan.folder, plan.genesis, plan.spec, plan.preset, plan.nodes)


async def make_nodes(folder: Path, count: int, balances: dict[str, str]) -> tuple[Nodes, Links]:
    """Plan such a devnet and its wires; nothing runs yet but the wires."""
    plan = plan_of(folder, count, balances)
    links = Links([node.p2p_port for node in plan.nodes])
    await links.start()
    return Nodes(through(links, plan)), links


def _free_ports(count: int) -> int:
    """The first of neighbouring ports nobody listens on, below those the system gives to outgoing connections."""
    for first in Random().sample(range(12_000, 20_000 - count, count), 100):  # noqa: S311
        if all(port_is_free(port) for port in range(first, first + count)):
            return first
    raise RuntimeError("no free ports on this machine")
