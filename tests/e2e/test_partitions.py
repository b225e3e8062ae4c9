"""Links between real nodes are cut, one way and both, and flap: nobody forks, and the chain goes on when they heal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.links import LinkedNet, linked_net

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("e2e"),
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]

CUT_S = 8.0
HEALED_S = 10.0
"""The goal: so soon after the network healed blocks are final again."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LinkedNet]:
    """One network for all tests here: each leaves it whole, or fails."""
    async with linked_net(tmp_path_factory.mktemp("partitions") / "net") as net:
        yield net


@pytest.fixture
def net(running: LinkedNet) -> LinkedNet:
    running.links.heal()
    running.links.injected.clear()
    running.links.felt.clear()
    return running


async def settled(net: LinkedNet) -> int:
    """The height when what was under way has come to its end."""
    await asyncio.sleep(1.5)
    return net.watch.top


async def test_two_halves_make_no_block_and_one_chain_after_healing(net: LinkedNet) -> None:
    net.links.split((0, 1), (2, 3))
    stood = await settled(net)

    await asyncio.sleep(CUT_S)
    assert net.watch.top == stood, "half of the stake is no quorum"
    net.links.heal()

    took = await net.watch.until(stood + 1, net.all, HEALED_S)
    print(f"healed: final again after {took:.1f} s; {dict(net.links.felt)}")
    await net.must_be_one_chain(HEALED_S)
    assert net.links.felt["held"] >= 4, "votes were held back, or nothing was cut"
    net.must_be_well()


async def test_three_go_on_and_the_lone_one_catches_up(net: LinkedNet) -> None:
    net.links.split((0, 1, 2), (3,))
    stood = await settled(net)

    await net.watch.until(stood + 3, (0, 1, 2), 20)
    alone = net.watch.height(3)
    await asyncio.sleep(2)
    assert net.watch.height(3) == alone, "it hears nobody"
    net.links.heal()

    took = await net.watch.until(net.watch.top, net.all, HEALED_S)
    print(f"healed: caught up after {took:.1f} s; {dict(net.links.felt)}")
    await net.must_be_one_chain(HEALED_S)
    assert net.links.felt["held"] >= 1
    net.must_be_well()


async def test_a_ring_of_five_goes_on_because_neighbours_pass_on(tmp_path: Path) -> None:
    """Each hears two others: with itself three of five, where four are a quorum."""
    async with linked_net(tmp_path / "net", 5) as net:
        for a in range(5):
            net.links.cut(a, (a + 2) % 5)
        stood = await settled(net)

        await net.watch.until(stood + 4, net.all, 30)

        assert net.links.felt["held"] >= 1
        net.links.heal()
        await net.must_be_one_chain(HEALED_S)
        net.must_be_well()


@pytest.mark.parametrize("deaf", [True, False], ids=["hears-nobody", "nobody-hears-it"])
async def test_a_node_cut_off_one_way(net: LinkedNet, deaf: bool) -> None:
    for node, other in net.links.pairs_of(3):
        net.links.cut_way(*((other, node) if deaf else (node, other)))
    stood = await settled(net)

    await net.watch.until(stood + 3, (0, 1, 2), 25)
    net.links.heal()

    took = await net.watch.until(net.watch.top, net.all, HEALED_S)
    print(f"healed: caught up after {took:.1f} s; {dict(net.links.felt)}")
    await net.must_be_one_chain(HEALED_S)
    assert net.links.felt["held"] >= 1
    net.must_be_well()


async def test_a_flapping_link_neither_forks_nor_stops_the_chain(net: LinkedNet) -> None:
    started, stood = time.monotonic(), net.watch.top
    for turn in range(8):
        net.links.cut(0, 1)
        if turn % 2:
            net.links.drop(0, 1)
        await asyncio.sleep(1)
        net.links.heal()
        await asyncio.sleep(1)

    assert net.watch.top >= stood + 4
    gap = net.watch.longest_gap(started, time.monotonic())
    print(f"longest gap {gap:.1f} s; {dict(net.links.injected)} {dict(net.links.felt)}")
    assert gap < 10
    await net.must_be_one_chain(HEALED_S)
    assert net.links.felt["held"] + net.links.felt["held dial"] >= 4
    assert net.links.felt["dropped"] >= 1
    net.must_be_well()


async def test_a_node_frozen_for_ten_seconds_catches_up_and_signed_nothing_twice(net: LinkedNet) -> None:
    net.freeze(3)
    stood = net.watch.top
    await asyncio.sleep(10)
    assert net.watch.top >= stood + 2, "three of four go on"
    assert net.watch.height(3) <= stood + 1
    net.thaw(3)

    took = await net.watch.until(net.watch.top, net.all, HEALED_S)
    print(f"thawed: caught up after {took:.1f} s")
    await net.must_be_one_chain(HEALED_S)
    net.must_be_well()
