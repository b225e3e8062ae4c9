"""Peers of real node processes: strangers attack one, a node without a vote follows, a frozen one comes back.

What must hold meanwhile: blocks stay final at their pace, honest connections stay, memory and log stay bounded.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli.devnet.plan import NodePlan
from tests.support.attacker import hang_up
from tests.support.attacks import Attacks
from tests.support.devnet import Net, client_of, final_head, wait_final

pytestmark = pytest.mark.slow

MEMORY_GROWTH_MAX = 120 * 1024 * 1024
LOG_GROWTH_MAX = 5 * 1024 * 1024
FOLLOWER = 9


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Net]:
    net = Net.make(tmp_path / "devnet", 4)
    net.start(extra=("--force-sign",))  # as a new devnet is started
    try:
        await wait_final(net.url(0), 2)
        yield net
    finally:
        await hang_up()
        net.close()


def resident(net: Net, index: int) -> int:
    pages = int(Path(f"/proc/{net.processes[index].pid}/statm").read_text().split()[1])
    return pages * 4096


async def genesis_of(net: Net) -> bytes:
    async with client_of(net.url(0)) as client:
        found = await client.request("chain_getBlockHash", [0])
        assert isinstance(found, str)
        return bytes.fromhex(found.removeprefix("0x"))


async def validators_of(net: Net, index: int) -> int:
    async with client_of(net.url(index)) as client:
        peers = await client.request("system_peers", [])
        assert isinstance(peers, list)
        return sum(1 for peer in peers if isinstance(peer, dict) and peer["roles"] == "AUTHORITY")


async def wait_validators(net: Net, index: int, count: int, seconds: float = 30) -> None:
    """Wait until a node knows so many of its peers as validators: three of four agree before the last has proved it."""
    async with asyncio.timeout(seconds):
        while await validators_of(net, index) != count:
            await asyncio.sleep(0.1)


async def test_attacks_on_one_validator_neither_stop_finality_nor_eat_memory(net: Net) -> None:
    genesis = await genesis_of(net)
    await wait_validators(net, 0, 3)
    memory, log = resident(net, 0), len(net.log(0))
    before, _ = await final_head(net.url(1))

    attacks = Attacks(net.plan.nodes[0].p2p_port, genesis)
    await attacks.run(time.monotonic() + 12)

    after, _ = await final_head(net.url(1))
    height, found = await final_head(net.url(0))
    assert attacks.all_were_done, f"or this proves nothing: {attacks.done}"
    assert after - before >= 3, "an idle chain makes a block every 2 s"
    assert await wait_final(net.url(0), after, 10) == await wait_final(net.url(1), after), "the attacked one keeps up"
    await wait_validators(net, 0, 3)
    assert resident(net, 0) - memory < MEMORY_GROWTH_MAX
    assert len(net.log(0)) - log < LOG_GROWTH_MAX
    assert await wait_final(net.url(2), height) == found
    assert "Traceback" not in net.log(0)


async def test_a_node_without_a_vote_catches_up_and_follows(net: Net, tmp_path: Path) -> None:
    height, _ = await final_head(net.url(0))
    await wait_final(net.url(0), height + 5)
    first = net.plan.nodes[0]
    port = first.rpc_port + 10
    node = NodePlan(
        FOLLOWER, "follower", "", port, first.p2p_port + 10, tmp_path / "follower", tmp_path / "follower.log"
    )
    arguments = [argument for argument in net.plan.arguments(node) if argument != "--validator"]
    at = arguments.index("--dev-key")
    del arguments[at : at + 2]

    net.start_by_hand(FOLLOWER, arguments, node.log)

    target, _ = await final_head(net.url(0))
    for ahead in (0, 3):
        assert await wait_final(node.url, target + ahead) == await wait_final(net.url(0), target + ahead)


async def test_a_frozen_validator_catches_up_when_it_is_let_go(net: Net) -> None:
    net.processes[3].send_signal(signal.SIGSTOP)
    height, _ = await final_head(net.url(0))
    await wait_final(net.url(0), height + 6)
    net.processes[3].send_signal(signal.SIGCONT)

    target, _ = await final_head(net.url(0))
    assert await wait_final(net.url(3), target + 1, 20) == await wait_final(net.url(0), target + 1)
