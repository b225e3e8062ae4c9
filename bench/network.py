"""A devnet of real node processes for the benchmarks, in a folder of its own, with funded accounts in its genesis."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.accounts import with_accounts
from bench.node_client import WsClient
from cli.devnet.plan import Plan, check_ports, make_plan, port_is_free, prepare
from cli.devnet.processes import NodeProcess, start, stop, wait_until_serving
from cli.specs import read_spec, write_spec

GENESIS = Path(__file__).parent.parent / "genesis.json"
START_SECONDS = 120
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Network:
    """Nodes that run."""

    plan: Plan
    nodes: list[NodeProcess]
    serving_seconds: float
    """Until every node answered on its RPC port."""
    final_seconds: float
    """Until block 1 was final."""
    extra: tuple[str, ...] = ()
    """Arguments every node has besides."""

    @property
    def urls(self) -> list[str]:
        """Where each node is reached."""
        return [node.plan.url for node in self.nodes]

    def cpu_seconds(self) -> float:
        """Processor time of all nodes so far, with the processes they have started."""
        return sum(cpu_seconds_of(node.process.pid) for node in self.nodes)

    def cpu_seconds_of_children(self) -> float:
        """Processor time of the processes the nodes have started."""
        return sum(cpu_seconds_of_children(node.process.pid) for node in self.nodes)

    def memory_mb(self) -> list[float]:
        """Resident memory of each node."""
        return [_memory(node.process.pid) for node in self.nodes]

    async def restart(self) -> tuple[float, float]:
        """Stop all nodes and start them again; seconds until they answer, and until a block after the last is final."""
        await stop(self.nodes)
        check_ports(self.plan)
        began = time.perf_counter()
        self.nodes[:] = [await start(self.plan, node, *self.extra) for node in self.plan.nodes]
        for running in self.nodes:
            if not await wait_until_serving(running, START_SECONDS):
                raise RuntimeError(f"node {running.plan.index} does not serve")
        serving = time.perf_counter() - began
        await _next_final(self.urls[0])
        final = time.perf_counter() - began
        if not all(running.alive and _listens(running) for running in self.nodes):
            raise RuntimeError("somebody else answered: another program has taken the ports of these nodes")
        return serving, final

    async def load(self, **options: Any) -> dict[str, Any]:
        """Run the load generator in a process of its own; its outcome, and the nodes' processor time as `node_cpu`."""
        arguments: list[str] = []
        for url in self.urls:
            arguments += ["--url", url]
        for name, value in options.items():
            arguments += [f"--{name}"] if value is True else [f"--{name}", str(value)]
        before = self.cpu_seconds()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.load", *arguments, stdout=subprocess.PIPE
        )
        out, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError("the load generator failed")
        outcome: dict[str, Any] = json.loads(out)
        outcome["node_cpu"] = self.cpu_seconds() - before
        return outcome


@asynccontextmanager
async def network(
    count: int,
    accounts: int,
    *,
    base_port: int = 19_944,
    params: dict[str, int] | None = None,
    patience: float = START_SECONDS,
    extra: tuple[str, ...] = (),
) -> AsyncIterator[Network]:
    """Run `count` validators whose chain has `accounts` funded accounts; they are stopped and deleted at the end."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # start-up as a user sees it the second time
    while not all(port_is_free(base_port + offset) for offset in (*range(count), *range(100, 100 + count))):
        base_port += 10
    with tempfile.TemporaryDirectory(prefix="aitoken-bench-") as name:
        folder = Path(name)
        chain = folder / "chain.json"
        spec = read_spec(GENESIS)
        spec["params"] = spec.get("params", {}) | (params or {})
        chain.write_text(write_spec(with_accounts(spec, accounts)), encoding="utf-8")
        plan = make_plan(
            folder=folder / "devnet",
            chain=chain,
            count=count,
            base_port=base_port,
            p2p_base_port=base_port + 100,  # below the ports that outgoing connections take
            preset=None,
        )
        prepare(plan)
        nodes: list[NodeProcess] = []
        began = time.perf_counter()
        try:
            for node in plan.nodes:
                nodes.append(await start(plan, node, *extra))  # noqa: PERF401 - those that started are stopped on failure
            for running in nodes:
                if not await wait_until_serving(running, patience):
                    raise RuntimeError(f"node {running.plan.index} does not serve")
            serving = time.perf_counter() - began
            await _next_final(nodes[0].plan.url, 0)
            yield Network(plan, nodes, serving, time.perf_counter() - began, extra)
        except BaseException:
            for running in nodes:
                if not running.alive:
                    print(running.obituary(), file=sys.stderr)
            raise
        finally:
            await stop(nodes)


async def _next_final(url: str, after: int | None = None) -> None:
    """Wait for a final block after this one, or after the one that is final now."""
    client = await WsClient.connect(url)
    try:
        async with asyncio.timeout(START_SECONDS):
            while True:
                header = await client.call("chain_getHeader", await client.call("chain_getFinalizedHead"))
                number = int(header["number"], 16)
                after = number if after is None else after
                if number > after:
                    return
                await asyncio.sleep(0.05)
    finally:
        await client.close()


def _listens(node: NodeProcess) -> bool:
    """Whether it is this process that listens on the RPC port."""
    wanted = f":{node.plan.rpc_port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    sockets = {f"socket:[{each[9]}]" for each in lines if each[1].endswith(wanted) and each[3] == "0A"}
    for link in Path(f"/proc/{node.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed just now
            if str(link.readlink()) in sockets:
                return True
    return False


def cpu_seconds_of(process: int) -> float:
    """Processor time of a process and of those it has started."""
    return _cpu(process)[0] + cpu_seconds_of_children(process)


def cpu_seconds_of_children(process: int) -> float:
    """Processor time of the processes that a process has started, those that have ended included."""
    running = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    return _cpu(process)[1] + sum(_cpu(int(child))[0] for child in running)


def _cpu(process: int) -> tuple[float, float]:
    """Processor time of a process, and of its children that have ended."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    own, ended = fields[11:13], fields[13:15]
    return sum(map(int, own)) / TICKS, sum(map(int, ended)) / TICKS


def _memory(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
