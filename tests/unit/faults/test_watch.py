"""Who watches must see a fork, a stall and a gap."""

from __future__ import annotations

import asyncio

import pytest

from faults.watch import Told, Watch


@pytest.fixture
def watch() -> Watch:
    watch = Watch()
    watch.told = [Told(), Told()]
    return watch


def test_two_hashes_at_one_height_are_a_fork_whoever_tells_them(watch: Watch) -> None:
    watch._note(0, 1, "0xa")
    watch._note(1, 1, "0xa")
    assert watch.forks == []

    watch._note(1, 1, "0xb")  # the same node, after a restart

    assert len(watch.forks) == 1
    assert "0xb" in watch.forks[0]


def test_the_top_is_of_the_network_and_a_height_of_a_node(watch: Watch) -> None:
    watch._note(0, 5, "0xa")
    watch._note(1, 3, "0xb")

    assert (watch.top, watch.height(0), watch.height(1)) == (5, 5, 3)


def test_the_ends_of_a_span_count_for_its_longest_gap(watch: Watch) -> None:
    watch.times = [1.0, 12.0, 13.0, 40.0]

    assert watch.longest_gap(10.0, 20.0) == 7.0
    assert watch.longest_gap(10.0, 13.5) == 2.0


async def test_waiting_names_the_heights_it_saw(watch: Watch) -> None:
    watch._note(0, 4, "0xa")

    with pytest.raises(TimeoutError, match=r"\[4, -1\]"):
        await watch.until(4, (0, 1), 0.05)

    waiting = asyncio.ensure_future(watch.until(4, (0, 1), 5))
    await asyncio.sleep(0)
    watch._note(1, 4, "0xa")
    async with watch._news:
        watch._news.notify_all()
    await waiting
