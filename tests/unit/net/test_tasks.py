"""The spawn helper: references are kept, failures are seen, critical failures reach the handler."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from node.tasks import cancel, spawn


async def test_a_task_nobody_holds_survives_a_collection() -> None:
    done = asyncio.Event()
    gate = asyncio.Event()

    async def work() -> None:
        await gate.wait()
        done.set()

    spawn(work(), "worker")
    await asyncio.sleep(0)
    gc.collect()
    gate.set()

    await asyncio.wait_for(done.wait(), 1)


async def test_a_failure_is_logged_and_only_a_critical_one_is_handled(caplog: pytest.LogCaptureFixture) -> None:
    handled: list[str] = []

    async def fail() -> None:
        raise ValueError("no")

    with caplog.at_level(logging.ERROR):
        for name, critical in (("ordinary", False), ("vital", True)):
            task = spawn(fail(), name, critical=critical, on_critical=lambda task, _: handled.append(task))
            await asyncio.wait([task])
            await asyncio.sleep(0)

    assert handled == ["vital"]
    assert [record.getMessage() for record in caplog.records] == ["task ordinary failed", "task vital failed"]


async def test_cancel_waits_for_the_end() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned")

    task = spawn(work(), "worker")
    await asyncio.sleep(0)

    await cancel([task])

    assert ended == ["cleaned"]
    assert task.cancelled()


async def test_a_task_that_forgets_a_cancellation_is_cancelled_again() -> None:
    """As a loop around `asyncio.wait_for` does on Python 3.11 when the result comes in the same turn."""
    forgotten: list[str] = []

    async def work() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if forgotten:
                    raise
                forgotten.append("once")

    task = spawn(work(), "forgetful")
    await asyncio.sleep(0)

    async with asyncio.timeout(10):
        await cancel([task])

    assert task.cancelled()
