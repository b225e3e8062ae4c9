"""Nodes are stopped in order, the stubborn are killed, the dead are told of; with a stand-in for the node."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import Result

from cli.devnet import processes
from cli.devnet.plan import NodePlan, Plan
from cli.devnet.processes import ending_of, start, stop, wait_until_serving
from tests.support.ports import free_ports
from tests.support.specs import TWO_VALIDATORS

pytestmark = pytest.mark.slow

SERVES = """
import signal, socket, sys, threading
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
done = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: done.set())
print("serving", flush=True)
done.wait()
"""
IGNORES = SERVES.replace("lambda *_: done.set()", "signal.SIG_IGN")
DIES = "import sys; print('one'); print('the disk is full', file=sys.stderr); sys.exit(5)"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    port = free_ports(4)
    nodes = tuple(
        NodePlan(i, name, f"//{name}", port + i, port + 2 + i, tmp_path / f"node-{i}", tmp_path / f"node-{i}.log")
        for i, name in enumerate(("Alice", "Bob"))
    )
    return Plan(tmp_path, tmp_path / "genesis.json", {"genesis": {}}, None, nodes)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def use(*scripts: str) -> None:
        def command(plan: Plan, node: NodePlan) -> list[str]:
            return [sys.executable, "-c", scripts[node.index % len(scripts)], str(node.rpc_port)]

        monkeypatch.setattr(processes, "command_of", command)

    return use


async def test_a_node_serves_and_stops_when_asked(plan: Plan, stand_in) -> None:
    stand_in(SERVES)
    node = await start(plan, plan.nodes[0])

    assert await wait_until_serving(node, 20)
    assert await stop([node]) == []

    assert node.process.returncode == 0
    assert processes.last_lines(node.plan.log, node.log_start) == ["serving"]


async def test_a_node_that_ignores_the_request_is_killed(plan: Plan, stand_in, monkeypatch) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    stand_in(IGNORES)
    node = await start(plan, plan.nodes[0])
    assert await wait_until_serving(node, 20)

    assert await stop([node]) == [node]

    assert node.process.returncode == -signal.SIGKILL


async def test_a_dead_node_is_noticed_and_quoted(plan: Plan, stand_in) -> None:
    plan.nodes[0].log.write_text("an older run\n")
    stand_in(DIES)
    node = await start(plan, plan.nodes[0])

    assert not await wait_until_serving(node, 20)
    await node.process.wait()

    text = node.obituary()
    assert "exit code 5" in text
    assert "the disk is full" in text
    assert "an older run" not in text
    assert await stop([node]) == []


async def test_a_huge_log_is_put_aside(plan: Plan, stand_in, monkeypatch) -> None:
    monkeypatch.setattr(processes, "LOG_BYTES_MAX", 3)
    plan.nodes[0].log.write_text("long")
    stand_in(DIES)

    node = await start(plan, plan.nodes[0])
    await node.process.wait()

    assert plan.nodes[0].log.with_suffix(".log.1").read_text() == "long"
    assert node.log_start == 0


def test_endings_are_told_in_words() -> None:
    assert ending_of(-9) == "was ended by SIGKILL"
    assert ending_of(5) == "ended with exit code 5"
    assert ending_of(-200) == "was ended by signal 200"
    assert ending_of(None) == "still runs"


def test_a_devnet_whose_nodes_all_die_ends_with_its_own_code(
    aitoken: Callable[..., Result], stand_in, tmp_path
) -> None:
    stand_in(DIES)
    result = run_devnet(aitoken, tmp_path, TWO_VALIDATORS)

    assert result.exit_code == 6
    assert result.stderr.count("ended with exit code 5") == 2
    assert "the disk is full" in result.stderr
    assert "2 of 2 nodes died" in result.stderr


def test_a_stopped_devnet_ends_well(aitoken: Callable[..., Result], client, stand_in, tmp_path: Path) -> None:
    """The fake client's heads end; the stand-in for Ctrl-C comes from the display's first final block."""
    import os

    stand_in(SERVES)
    client.answers |= {
        "heads": [SimpleNamespace(number=5, hash="0x" + "ab" * 32)],
        "chain_getBlock": lambda _: os.kill(os.getpid(), signal.SIGTERM) or {"block": {"extrinsics": ["0x00"]}},
    }
    result = run_devnet(aitoken, tmp_path, TWO_VALIDATORS)

    assert result.exit_code == 0, result.output
    assert "//Alice" in result.stdout
    assert "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY" in result.stdout
    assert "polkadot.js.org" in result.stdout
    assert "pace: a block every 0.05 s while transactions wait, every 2 s otherwise" in result.stdout
    assert "stopping" in result.stderr


def run_devnet(aitoken: Callable[..., Result], tmp_path: Path, spec: object) -> Result:
    import json

    chain = tmp_path / "genesis.json"
    chain.write_text(json.dumps(spec))
    port = free_ports(4)
    arguments = ["devnet", "--chain", str(chain), "--data-dir", str(tmp_path / "net"), "--price", "none"]
    return aitoken(*arguments, "--base-port", str(port), "--p2p-base-port", str(port + 2))


async def test_waiting_for_a_port_gives_up(plan: Plan, stand_in) -> None:
    stand_in("import time; time.sleep(60)")
    node = await start(plan, plan.nodes[0])

    assert not await wait_until_serving(node, 0)

    node.process.kill()
    await asyncio.wait_for(node.process.wait(), 10)
