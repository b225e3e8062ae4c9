"""Real node processes for end-to-end tests, started as a person starts them and looked at through their RPC."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from aitoken.client.client import Client
from aitoken.errors import Unavailable
from cli.devnet.plan import Plan, make_plan, prepare
from faults.rigged import RIG, Rig
from tests.support.ports import free_ports

GENESIS = Path(__file__).resolve().parents[2] / "genesis.json"
START_SECONDS = 60
"""For a node to answer, on a machine that runs other things as well."""
AITOKEN = [sys.executable, "-P", "-m", "cli"]
_PORTS = 20


def environment() -> dict[str, str]:
    """Ours without settings of a node, so that a test is the same on every machine."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AITOKEN_")}


def run_aitoken(*arguments: str, seconds: float = 60, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command, settings = [*AITOKEN, *arguments], {"env": environment()} | options
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, **settings)


def answer_of(*arguments: str, seconds: float = 60) -> Any:
    """Run a command that must succeed and return its JSON."""
    done = run_aitoken(*arguments, "--output", "json", seconds=seconds)
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout)


def quick_chain(folder: Path, **params: Any) -> Path:
    """A genesis file whose blocks come fast, with parameters of its own."""
    spec = json.loads(GENESIS.read_bytes())
    spec["params"] |= {"blockTimeMs": 200, "idleIntervalMs": 400} | params
    file = folder / "quick.json"
    file.write_text(json.dumps(spec))
    return file


@dataclass
class Net:
    """Validators that are started, killed and stopped one by one."""

    plan: Plan
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, count: int, chain: Path = GENESIS) -> Net:
        """Plan a net with its own ports; nothing runs yet."""
        port = free_ports(2 * _PORTS)
        plan = make_plan(
            folder=folder, chain=chain, count=count, base_port=port, p2p_base_port=port + _PORTS, preset=None
        )
        prepare(plan)
        return cls(plan)

    def start(self, *indices: int, extra: tuple[str, ...] = ()) -> None:
        """Start nodes; all of them when none is named."""
        for index in indices or range(len(self.plan.nodes)):
            node = self.plan.nodes[index]
            with node.log.open("ab") as log:
                command = [*AITOKEN, *self.plan.arguments(node), *extra]
                self.processes[index] = subprocess.Popen(command, stdout=log, stderr=log, env=environment())

    def start_by_hand(self, index: int, arguments: list[str], log_file: Path) -> None:
        """Start a further node with arguments of its own, under a number of its own."""
        with log_file.open("ab") as log:
            self.processes[index] = subprocess.Popen([*AITOKEN, *arguments], stdout=log, stderr=log)

    def start_liar(self, index: int) -> Path:
        """Start a node that lies (`tests.support.liar`) once the returned file is there."""
        node = self.plan.nodes[index]
        folder = node.log.parent
        command = [sys.executable, "-m", "tests.support.liar", str(folder), *self.plan.arguments(node)]
        settings = environment() | {"PYTHONPATH": str(GENESIS.parent)}
        with node.log.open("ab") as log:
            self.processes[index] = subprocess.Popen(command, stdout=log, stderr=log, env=settings)
        return folder / "lie"

    def start_rigged(self, index: int) -> Callable[[int], None]:
        """Start a node (`faults.rigged`) whose clock the returned function puts forward, by milliseconds in all."""
        node = self.plan.nodes[index]
        strings = node.log.parent / f"strings-{index}"
        strings.mkdir()
        command = [sys.executable, "-P", "-m", "faults.rigged", str(strings), *self.plan.arguments(node)]
        with node.log.open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment())
        self.processes[index] = process

        def put_forward(ms: int) -> None:
            (strings / RIG).write_bytes(msgspec.json.encode(Rig(clock_ms=ms)))
            process.send_signal(signal.SIGUSR1)

        return put_forward

    def kill(self, *indices: int) -> None:
        """End nodes as a power cut would end their processes."""
        for index in indices or list(self.processes):
            self.processes[index].kill()
        for index in indices or list(self.processes):
            self.processes.pop(index).wait(10)

    def stop(self, index: int, seconds: float = 10) -> tuple[int, float]:
        """Ask a node to stop; its exit code and how long it took."""
        started = time.monotonic()
        process = self.processes.pop(index)
        process.send_signal(signal.SIGTERM)
        return process.wait(seconds), time.monotonic() - started

    def url(self, index: int) -> str:
        """Where a node's RPC is."""
        return self.plan.nodes[index].url

    def log(self, index: int) -> str:
        """What a node wrote so far."""
        return self.plan.nodes[index].log.read_text(errors="replace")

    def close(self) -> None:
        """End everything."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait(10)


@contextlib.asynccontextmanager
async def client_of(url: str, seconds: float = START_SECONDS) -> AsyncIterator[Client]:
    """A connection, as soon as the node answers."""
    client = await _connect(url, seconds)
    try:
        yield client
    finally:
        await client.close()


async def _connect(url: str, seconds: float) -> Client:
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await Client.connect(url)
            except Unavailable:
                await asyncio.sleep(0.1)


async def wait_final(url: str, height: int, seconds: float = START_SECONDS) -> str:
    """Wait until a node has a final block of at least `height`; the hash it has at exactly that height."""
    async with asyncio.timeout(seconds), client_of(url, seconds) as client:
        async for head in client.subscribe_heads(final=True):
            if head.number >= height:
                found = await client.request("chain_getBlockHash", [height])
                assert isinstance(found, str)
                return found
    raise AssertionError("the subscription ended")


async def final_head(url: str) -> tuple[int, str]:
    """Height and hash of a node's last final block."""
    async with client_of(url) as client:
        head = await client.head(final=True)
        return head.number, head.hash


def children_of(pid: int) -> list[int]:
    """The processes another one started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    """Whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def quick_genesis(folder: Path) -> Path:
    """A genesis file with eras of a second or two."""
    spec = json.loads(GENESIS.read_text())
    spec["params"] |= {
        "blockTimeMs": 150, "idleIntervalMs": 250, "sessionBlocks": 6, "sessionsPerEra": 1, "bondingEras": 3,
        "slashDeferEras": 1,
    }  # fmt: skip
    file = folder / "quick-genesis.json"
    file.write_text(json.dumps(spec))
    return file


def other_genesis(folder: Path) -> Path:
    """A genesis file that differs only in one balance."""
    spec = json.loads(GENESIS.read_text())
    spec["genesis"]["balances"]["//Ferdie"] = "1_234 AIT"
    spec["genesis"].pop("vesting", None)
    file = folder / "other-genesis.json"
    file.write_text(json.dumps(spec))
    return file
