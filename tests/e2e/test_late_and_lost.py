"""Nodes that come late, and nodes that lost their disk: they help again soon, and never vote twice."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.nodes import EVIDENCE
from tests.support.devnet import START_SECONDS, Net, final_head, wait_final

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(300)]


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    net = Net.make(tmp_path / "net", 4)
    yield net
    net.close()


async def grow(net: Net, by: int, on: int = 0) -> None:
    height, _ = await final_head(net.url(on))
    await wait_final(net.url(on), height + by)


async def test_a_node_that_starts_late_votes_at_once_not_only_in_the_next_epoch(net: Net) -> None:
    net.start(0, 1, 2)
    await wait_final(net.url(0), 2)

    net.start(3)
    await wait_final(net.url(3), 2)
    await grow(net, 4)
    net.kill(0)

    await grow(net, 2, on=1)  # of the three left, every one is needed


async def test_a_validator_whose_disk_was_lost_comes_back_and_cheats_nobody(net: Net) -> None:
    net.start()
    await wait_final(net.url(3), 3)
    net.kill(3)
    shutil.rmtree(net.plan.nodes[3].folder)
    await grow(net, 1)

    net.start(3)
    height, found = await final_head(net.url(0))
    assert await wait_final(net.url(3), height) == found
    await grow(net, 4)
    net.kill(0)

    await grow(net, 2, on=1)
    for index in range(4):
        assert EVIDENCE.search(net.log(index)) is None


@pytest.mark.parametrize("at", ["db.unfinished", "db", "genesis.hash", "journal/votes.log"])
async def test_a_node_killed_while_it_is_born_is_born_again(tmp_path: Path, at: str) -> None:
    net = Net.make(tmp_path / "net", 1)
    try:
        net.start()
        async with asyncio.timeout(START_SECONDS):
            while not (net.plan.nodes[0].folder / at).exists():
                await asyncio.sleep(0.001)
        net.kill()

        net.start()

        await wait_final(net.url(0), 1)
    finally:
        net.close()
