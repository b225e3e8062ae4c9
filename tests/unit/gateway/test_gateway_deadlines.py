"""Waits of one length under one timer: who waits too long is interrupted, and nobody else."""

from __future__ import annotations

import asyncio

import pytest

from gateway.deadlines import Deadlines


async def _forever(deadlines: Deadlines) -> None:
    with deadlines.wait():
        await asyncio.Event().wait()


async def test_a_wait_that_takes_too_long_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        await _forever(Deadlines(0))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_wait_that_ends_in_time_is_left_alone() -> None:
    deadlines, ended = Deadlines(0), asyncio.Event()
    with deadlines.wait():
        pass
    asyncio.get_running_loop().call_soon(ended.set)
    for _ in range(3):
        await asyncio.sleep(0)
    assert ended.is_set()


async def test_every_wait_that_is_over_is_interrupted_and_a_later_one_is_watched() -> None:
    deadlines = Deadlines(0)
    found = await asyncio.gather(*(_forever(deadlines) for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in found] == [TimeoutError] * 5
    with pytest.raises(TimeoutError):
        await _forever(deadlines)


async def test_a_wait_among_others_ends_alone() -> None:
    deadlines, free = Deadlines(60), asyncio.Event()

    async def until_free() -> str:
        with deadlines.wait():
            await free.wait()
            return "free"

    waiting = [asyncio.ensure_future(until_free()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    free.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)  # cancelled from outside is no timeout
    assert found[1:] == ["free", "free"]


async def test_an_error_in_a_wait_stays_that_error() -> None:
    with pytest.raises(ValueError, match="x"), Deadlines(0).wait():
        raise ValueError("x")
