"""What is final stays final: processes are killed at any moment, and what was told is still there afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.devnet import Net, answer_of, client_of, final_head, wait_final

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(300)]


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    net = Net.make(tmp_path / "net", 4)
    yield net
    net.close()


async def wait_voted(net: Net) -> None:
    """Wait until each has voted: one that came late holds back first, and can make up no majority meanwhile."""
    async with asyncio.timeout(60):
        for node in net.plan.nodes:
            async with client_of(net.url(node.index)) as client:
                while not (await client.request("smpx_roundState"))["votes_made"]:
                    await asyncio.sleep(0.1)


async def test_nothing_final_is_lost_when_all_are_killed(net: Net) -> None:
    net.start()
    await wait_final(net.url(0), 1)
    for cycle in range(3):
        receipt = answer_of("transfer", "//Alice", "//Eve", "1", "--url", net.url(cycle))
        told = [await final_head(net.url(index)) for index in range(4)]

        net.kill()
        net.start()

        for index in range(4):
            number, block_hash = told[index]
            assert await wait_final(net.url(index), number) == block_hash
        assert await wait_final(net.url(3), receipt["block_number"]) == receipt["block_hash"]
        await wait_final(net.url(3), max(number for number, _ in told) + 2)


async def test_a_node_that_was_away_catches_up_and_two_are_not_enough(net: Net) -> None:
    net.start()
    await wait_final(net.url(0), 2)
    await wait_voted(net)
    net.kill(3)
    receipt = answer_of("transfer", "//Alice", "//Eve", "1", "--url", net.url(0))

    net.kill(2)
    stood, _ = await final_head(net.url(0))
    sent = answer_of("transfer", "//Alice", "//Eve", "1", "--wait", "none", "--url", net.url(0))
    assert sent["hash"]

    net.start(3)
    assert await wait_final(net.url(3), receipt["block_number"]) == receipt["block_hash"]
    await wait_final(net.url(0), stood + 2)
    assert await wait_final(net.url(3), stood + 2) == await wait_final(net.url(0), stood + 2)


async def test_a_node_stops_in_order_when_asked(net: Net) -> None:
    net.start()
    await wait_final(net.url(0), 2)

    for index in range(4):
        code, seconds = net.stop(index)
        assert code == 0, net.log(index)[-2_000:]
        assert seconds < 10
        assert "Traceback" not in net.log(index)
