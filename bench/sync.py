"""A new node comes to the head of a chain: by executing all blocks, and from the state at the end of an epoch.

A lone validator makes the chain under load and stops. Three copies of it serve, of which one lies in every piece of
state. Then a node with nothing starts twice: `full` fetches and executes every block, `warp` fetches the state piece by
piece and executes what comes after. Both must end at the same head and state root, the liar must have been caught, and
`aitoken node verify` must find nothing wrong. Times are from the start of the process to the head, on loopback.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.network import START_SECONDS, Network, network
from bench.node_client import WsClient
from bench.row import Row
from cli.devnet.plan import LOOPBACK, NodePlan, Plan
from cli.devnet.processes import NodeProcess, start, stop, wait_until_serving
from faults.rigged import LIES, RIG, Rig

SERVERS = 3
LIAR = 1
KEPT = ("sign-state", "journal", "voting.json", "lock")
"""What a copy of a validator leaves behind."""
SYNC_SECONDS = 1200


@dataclass(frozen=True)
class FollowerPlan(Plan):
    """Nodes that do not vote: some serve, some are new."""

    checkpoint: Path

    def program(self, node: NodePlan) -> list[str]:
        """The liar is rigged."""
        if node.name == "liar":
            return [sys.executable, "-P", "-m", "faults.rigged", str(node.folder.with_suffix(".strings"))]
        return super().program(node)

    def arguments(self, node: NodePlan) -> list[str]:
        """As a node without a key, that knows the servers."""
        arguments = ["node", "run", "--chain", str(self.genesis), "--data-dir", str(node.folder), "--name", node.name]
        arguments += ["--rpc-port", str(node.rpc_port), "--p2p-port", str(node.p2p_port), "--p2p-host", LOOPBACK]
        for server in self.nodes[:SERVERS]:
            if server is not node:
                arguments += ["--bootnode", f"{LOOPBACK}:{server.p2p_port}"]
        if node.name == "warp":
            arguments += ["--sync", "warp", "--checkpoint", str(self.checkpoint)]
        return arguments


def run(quick: bool) -> list[Row]:
    return asyncio.run(_measure(10_000 if quick else 100_000, 10 if quick else 120))


async def _measure(accounts: int, seconds: int) -> list[Row]:
    print(f"sync: {accounts:,} accounts, {seconds} s of blocks", file=sys.stderr)
    async with network(1, accounts, params={"blockTimeMs": 100}) as devnet:
        outcome = await devnet.load(rate=150, seconds=seconds, accounts=min(accounts, 20_000))
        plan = await _copies(devnet)
        running: list[NodeProcess] = []
        try:
            for node in plan.nodes[:SERVERS]:
                running.append(await start(plan, node))  # noqa: PERF401 - those that started are stopped on failure
            for server in running:
                if not await wait_until_serving(server, START_SECONDS):
                    raise RuntimeError(server.obituary())
            head = await _head(plan.nodes[0].url)
            subject = f"sync, {accounts:,} accounts"
            rows = [
                Row(subject, "blocks of the chain", int(head["number"], 16), "blocks"),
                Row(subject, "transfers in them", outcome["final"], "transfers"),
            ]
            for node in plan.nodes[SERVERS:]:
                seconds_taken = await _sync(plan, node, head)
                rows.append(Row(subject, f"{node.name}, from start to head", seconds_taken, "s"))
            return rows + _caught(plan, subject)
        finally:
            await stop(running)


async def _copies(devnet: Network) -> FollowerPlan:
    """Stop the validator, and plan three copies of it and two new nodes."""
    validator = devnet.nodes[0].plan
    checkpoint = validator.folder.with_name("checkpoint.json")
    checkpoint.write_text(json.dumps(_answer("checkpoint", "--url", validator.url, "--output", "json")))
    await stop(devnet.nodes)
    names = ["honest", "liar", "honest", "full", "warp"]
    nodes = []
    for index, name in enumerate(names):
        folder = validator.folder.with_name(f"copy-{index}")
        rpc, p2p = validator.rpc_port + 10 + index, validator.p2p_port + 10 + index
        nodes.append(NodePlan(index, name, "", rpc, p2p, folder, folder.with_suffix(".log")))
        if index < SERVERS:
            shutil.copytree(validator.folder, folder, ignore=shutil.ignore_patterns(*KEPT))
    strings = nodes[LIAR].folder.with_suffix(".strings")
    strings.mkdir()
    (strings / RIG).write_bytes(msgspec.json.encode(Rig(lies=True)))
    genesis = validator.folder.parent / "genesis.json"
    return FollowerPlan(validator.folder.parent, genesis, {}, None, tuple(nodes), checkpoint)


async def _sync(plan: FollowerPlan, node: NodePlan, head: dict[str, Any]) -> float:
    """Start a node with nothing, wait until it has this head, and stop it; how long that took."""
    began = time.perf_counter()
    process = await start(plan, node)
    try:
        if not await wait_until_serving(process, SYNC_SECONDS):
            raise RuntimeError(process.obituary())
        client = await WsClient.connect(node.url)
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                while (found := await _head_of(client))["number"] != head["number"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        finally:
            await client.close()
        took = time.perf_counter() - began
        if found["stateRoot"] != head["stateRoot"]:
            raise RuntimeError(f"{node.name} has state root {found['stateRoot']}, right is {head['stateRoot']}")
    finally:
        await stop([process])
    verified = _run("node", "verify", "--chain", str(plan.genesis), "--data-dir", str(node.folder))
    if verified.returncode != 0:
        raise RuntimeError(f"{node.name}: {verified.stdout}{verified.stderr}")
    return took


def _caught(plan: FollowerPlan, subject: str) -> list[Row]:
    """What the liar did, and what came of it."""
    noted = plan.nodes[LIAR].folder.with_suffix(".strings") / LIES
    lies = noted.stat().st_size if noted.exists() else 0
    log = plan.nodes[-1].log.read_text(encoding="utf-8")
    done = re.search(r"snapshot sync is done number=(\d+) pieces=(\d+)", log)
    if done is None or not lies or "wrong piece" not in log:
        raise RuntimeError(f"{lies} lies, and the new node says: {log[-2000:]}")
    return [
        Row(subject, "warp: block whose state was fetched", int(done[1]), "height"),
        Row(subject, "warp: pieces of state", int(done[2]), "pieces"),
        Row(subject, "warp: lies until the liar was dropped", lies, "pieces"),
    ]


async def _head(url: str) -> dict[str, Any]:
    client = await WsClient.connect(url)
    try:
        return await _head_of(client)
    finally:
        await client.close()


async def _head_of(client: WsClient) -> dict[str, Any]:
    head: dict[str, Any] = await client.call("chain_getHeader", await client.call("chain_getFinalizedHead"))
    return head


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _answer(*arguments: str) -> Any:
    done = _run(*arguments)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)
