"""Work for the disk: at once while it is quick, beside the loop when it is not, in order, and never after a failure."""

from __future__ import annotations

import asyncio
from threading import Event, get_ident

import pytest

from node.store.background import BESIDE, SLOW_MS, Background


class Disk:
    """Work that takes as long as a test says, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.takes_ms = 1.0
        self.threads: list[int] = []
        self.failures: list[BaseException] = []
        self.background = Background("test", self.failures.append, clock=lambda: self.now)

    def work(self) -> None:
        self.threads.append(get_ident())
        self.now += self.takes_ms / 1000

    async def write(self, *, short: bool = True) -> bool:
        """Whether one piece of work was done on the loop."""
        done = asyncio.Event()
        self.background.run(self.work, done.set, short=short)
        await asyncio.wait_for(done.wait(), 5)
        return self.threads[-1] == get_ident()


async def test_short_work_is_over_when_the_call_returns() -> None:
    disk = Disk()
    told: list[str] = []
    disk.background.run(disk.work, lambda: told.append("done"), short=True)

    assert told == ["done"]
    assert disk.threads == [get_ident()]


async def test_work_that_is_not_short_goes_beside_the_loop() -> None:
    disk = Disk()

    assert not await disk.write(short=False)
    assert await disk.write()


async def test_after_a_slow_one_the_thread_has_the_next_ones_and_then_the_disk_is_tried_again() -> None:
    disk = Disk()
    disk.takes_ms = SLOW_MS + 1
    first = await disk.write()
    disk.takes_ms = 1.0
    ways = [await disk.write() for _ in range(BESIDE + 1)]

    assert [first, *ways] == [True, *[False] * BESIDE, True]


async def test_a_disk_that_stays_slow_holds_the_loop_up_once() -> None:
    disk = Disk()
    disk.takes_ms = SLOW_MS + 1

    assert [await disk.write() for _ in range(3 * BESIDE)] == [True, *[False] * (3 * BESIDE - 1)]


async def test_short_work_does_not_overtake_what_is_under_way() -> None:
    disk = Disk()
    order: list[str] = []
    gate, over = Event(), asyncio.Event()
    disk.background.run(lambda: gate.wait(5) and order.append("long"), lambda: order.append("long done"))
    disk.background.run(lambda: order.append("short"), lambda: (order.append("short done"), over.set()), short=True)
    gate.set()
    await asyncio.wait_for(over.wait(), 5)

    assert order.index("long") < order.index("short")
    assert order.index("long done") < order.index("short done")


@pytest.mark.parametrize("short", [True, False])
async def test_after_a_failure_nothing_is_done_any_more(short: bool) -> None:
    disk = Disk()
    told: list[str] = []

    def fail() -> None:
        raise OSError(5, "Input/output error")

    disk.background.run(fail, lambda: told.append("failed one"), short=short)
    disk.background.run(disk.work, lambda: told.append("after"), short=short)
    disk.background.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    disk.background.run(disk.work, lambda: told.append("later"), short=True)

    assert told == []
    assert len(disk.failures) == 1
    assert disk.threads == []
