"""Real node processes: one begins with a state instead of at genesis, and what it holds can be proven and checked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.devnet.plan import NodePlan
from tests.support.devnet import GENESIS, Net, answer_of, client_of, final_head, run_aitoken, wait_final

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(300)]

NEW = 9


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    spec = json.loads(GENESIS.read_text())
    spec["params"] = spec.get("params", {}) | {"sessionBlocks": 6, "idleIntervalMs": 500}
    file = tmp_path / "short.json"
    file.write_text(json.dumps(spec))
    net = Net.make(tmp_path / "net", 2, chain=file)
    net.start()
    yield net
    net.close()


def plan_new(net: Net, folder: Path) -> tuple[NodePlan, list[str]]:
    first = net.plan.nodes[0]
    node = NodePlan(NEW, "new", "", first.rpc_port + 10, first.p2p_port + 10, folder / "new", folder / "new.log")
    arguments = [argument for argument in net.plan.arguments(node) if argument != "--validator"]
    at = arguments.index("--dev-key")
    del arguments[at : at + 2]
    return node, arguments


async def test_a_node_begins_with_a_state_follows_and_proves(net: Net, tmp_path: Path) -> None:
    await wait_final(net.url(0), 14)
    node, arguments = plan_new(net, tmp_path)
    checkpoint = answer_of("checkpoint", "--url", net.url(0))
    trusted = tmp_path / "trusted.json"
    trusted.write_text(json.dumps(checkpoint))

    net.start_by_hand(NEW, [*arguments, "--sync", "warp", "--checkpoint", str(trusted)], node.log)

    height, _ = await final_head(node.url)
    assert height >= 12
    assert await wait_final(node.url, height + 2) == await wait_final(net.url(0), height + 2)
    log = node.log.read_text()
    assert "snapshot sync is done" in log, log
    async with client_of(node.url) as client:
        assert await client.request("chain_getBlockHash", [1]) is None
        assert len(await client.request("smpx_epochProof", [0])) >= 2
        told = await asyncio.wait_for(anext(client.subscribe_heads(final=True)), 10)
        assert told.number >= 12
    of_new = answer_of("balance", "//Alice", "--light", "--checkpoint", str(trusted), "--url", node.url)
    of_old = answer_of("balance", "//Alice", "--url", net.url(0))
    assert {name: of_new[name] for name in of_old} == of_old
    assert of_new["provenAt"]["number"] >= 12
    query = ("query", "System", "LastRuntimeUpgrade", "--light", "--checkpoint", str(trusted), "--url", node.url)
    assert answer_of(*query)["spec_name"] == "aitoken"

    assert net.stop(NEW)[0] == 0
    verified = run_aitoken("node", "verify", "--chain", str(net.plan.genesis), "--data-dir", str(node.folder))
    assert verified.returncode == 0, verified.stdout + verified.stderr


async def test_before_the_first_epoch_has_ended_it_executes_blocks_and_says_so(net: Net, tmp_path: Path) -> None:
    await wait_final(net.url(0), 1)
    node, arguments = plan_new(net, tmp_path)
    net.kill()  # nobody to ask

    net.start_by_hand(NEW, [*arguments, "--sync", "warp"], node.log)

    async with client_of(node.url) as client:
        assert await client.request("chain_getFinalizedHead", []) == await client.request("chain_getBlockHash", [0])
    assert "executing blocks from genesis instead" in node.log.read_text()
