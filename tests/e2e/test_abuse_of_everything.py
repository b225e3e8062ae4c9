"""Strangers do everything to a running network at once, and a client beside them notices nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from faults.nodes import EVIDENCE
from tests.support.attacker import hang_up
from tests.support.attacks import Attacks
from tests.support.canary import Canary
from tests.support.devnet import Net, client_of, final_head, wait_final
from tests.support.rpc_attacks import RpcAttacks

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(300)]

SECONDS = 15
MEMORY_GROWTH_MAX = 120 * 1024 * 1024
LOG_GROWTH_MAX = 1024 * 1024


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Net]:
    net = Net.make(tmp_path / "net", 4)
    net.start()
    try:
        await wait_final(net.url(3), 2)
        yield net
    finally:
        await hang_up()
        net.close()


def memory(net: Net) -> list[int]:
    """Resident bytes of every node."""
    statms = (Path(f"/proc/{net.processes[index].pid}/statm").read_text() for index in range(4))
    return [int(statm.split()[1]) * 4096 for statm in statms]


async def test_every_transfer_is_final_while_strangers_do_everything(net: Net) -> None:
    before, logs = memory(net), [len(net.log(index)) for index in range(4)]
    height, _ = await final_head(net.url(0))
    until = time.monotonic() + SECONDS
    async with client_of(net.url(0)) as attacked, client_of(net.url(2)) as calm:
        genesis = bytes.fromhex((await calm.request("chain_getBlockHash", [0]))[2:])
        rpc = [RpcAttacks(net.plan.nodes[index].rpc_port) for index in (0, 1)]
        p2p = [Attacks(net.plan.nodes[index].p2p_port, genesis) for index in (0, 3)]
        canaries = [Canary(attacked, "//Charlie"), Canary(calm, "//Dave")]

        await asyncio.gather(
            *(attacks.run(until) for attacks in (*rpc, *p2p)), *(canary.sing(until) for canary in canaries)
        )

    for name, attacks in zip(
        ("RPC of node 0", "RPC of node 1", "P2P of node 0", "P2P of node 3"), (*rpc, *p2p), strict=True
    ):
        print(f"{name}: {dict(attacks.done)}")
    print(f"answers: {dict(rpc[0].answers + rpc[1].answers)}")
    for canary in canaries:
        slowest = max(canary.seconds)
        print(f"canary {canary.suri}: {len(canary.receipts)} of {canary.sent} final, slowest {slowest:.1f} s")
        assert len(canary.receipts) == canary.sent
        assert canary.sent >= SECONDS // 3
        assert all(receipt.success for receipt in canary.receipts)
    assert all(attacks.all_were_done for attacks in (*rpc, *p2p)), "or this proves nothing"

    top, found = await final_head(net.url(0))
    print(f"blocks {top - height} in {SECONDS} s")
    assert top - height >= SECONDS // 2
    for index in range(4):
        assert await wait_final(net.url(index), top) == found
    growth = [now - then for now, then in zip(memory(net), before, strict=True)]
    grown = [len(net.log(index)) - length for index, length in enumerate(logs)]
    print(f"memory grew by {[size >> 20 for size in growth]} MiB, logs by {[size >> 10 for size in grown]} KiB")
    assert max(growth) < MEMORY_GROWTH_MAX
    assert max(grown) < LOG_GROWTH_MAX
    for index in range(4):
        assert "Traceback" not in net.log(index)
        assert EVIDENCE.search(net.log(index)) is None
