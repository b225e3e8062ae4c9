"""Signatures are checked alike by the loop, by the process beside it, and when that is lost in the middle."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.crypto.checks import Check, pack, serve, unpack
from aitoken.crypto.ed25519 import Pair
from gateway import checks as c
from gateway.checks import Checks
from gateway.tokens import count_pieces, first_pieces, pieces
from tests.support.gateways import Reply, shop

KEY = Pair(b"\x05" * 32)
HELLO = {"model": "echo", "messages": [{"role": "user", "content": "hello paid world"}]}
RIGHT = [number % 3 != 0 for number in range(20)]


def check(number: int, *, good: bool) -> Check:
    statement = bytes([number]) * (124 if number % 2 else 176)
    return Check(0, KEY.sign(statement) if good else bytes(64), statement, KEY.public)


CHECKS = [check(number, good=good) for number, good in enumerate(RIGHT)]


@asynccontextmanager
async def running() -> AsyncIterator[Checks]:
    """Checks for a crowd, whose process is there."""
    checks = Checks(lambda: c.CROWD)
    task = asyncio.ensure_future(checks.run())
    try:
        assert not checks.crowded  # but it is wanted now
        await asyncio.wait_for(checks.ready.wait(), 60)
        assert checks.crowded
        yield checks
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def verdict(checks: Checks, check: Check) -> bool:
    """What is said of a signature."""
    told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    checks.ask(check, lambda good: None if told.done() else told.set_result(good))
    return await told


needs_two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is no process on one core")


def test_the_process_gives_a_verdict_on_each_in_order() -> None:
    sink = io.BytesIO()
    serve(io.BytesIO(pack(CHECKS, 3) + pack(CHECKS[:1], 1) + b"\x01"), sink)
    assert [verdict == 1 for verdict in sink.getvalue()] == [*RIGHT, RIGHT[0]]
    assert unpack(pack(CHECKS, 3)[8:]) == CHECKS


def test_who_is_nearly_alone_is_not_crowded() -> None:
    assert not Checks(lambda: c.CROWD - 1).crowded


async def test_without_a_process_the_loop_checks() -> None:
    checks = Checks(lambda: c.CROWD)
    assert not checks.crowded
    assert await asyncio.gather(*(verdict(checks, one) for one in CHECKS)) == RIGHT
    assert checks.helped == 0


@needs_two_cores
async def test_a_group_comes_back_from_the_process() -> None:
    async with running() as checks:
        assert await asyncio.gather(*(verdict(checks, one) for one in CHECKS)) == RIGHT
        assert checks.helped == len(CHECKS)


@needs_two_cores
async def test_what_a_lost_process_had_is_checked_here() -> None:
    async with running() as checks:
        assert checks.process is not None
        os.kill(checks.process, signal.SIGSTOP)
        asked = [asyncio.ensure_future(verdict(checks, one)) for one in CHECKS]
        gone = asyncio.ensure_future(verdict(checks, CHECKS[1]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gone.cancel()
        os.kill(checks.process, signal.SIGKILL)
        assert await asyncio.gather(*asked) == RIGHT
        assert not checks.crowded
        assert await verdict(checks, CHECKS[1])
        assert checks.helped == 0


@needs_two_cores
async def test_a_silent_process_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c, "SILENCE_S", 0.05)
    async with running() as checks:
        assert checks.process is not None
        os.kill(checks.process, signal.SIGSTOP)
        assert await asyncio.gather(*(verdict(checks, one) for one in CHECKS)) == RIGHT
        assert checks.process is None


@needs_two_cores
async def test_many_requests_at_once_are_paid_and_a_stranger_is_refused(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer, stranger = here.buyer(), here.buyer()
        await buyer.ask(HELLO)
        await stranger.ask(HELLO)
        checks = here.gateway.checks

        async def strange() -> Reply:
            promise = stranger.promise(10**9)
            return await stranger.ask(
                HELLO, promise=replace(promise, signed=replace(promise.signed, signature=bytes(64)))
            )

        async with asyncio.timeout(60):
            while not checks.helped:
                replies = await asyncio.gather(strange(), *(buyer.ask(HELLO) for _ in range(12)))
                assert [reply.status for reply in replies] == [402] + [200] * 12
        known = buyer.seller
        assert known.reserved == sum(lane.total for lane in known.lanes.values()) == buyer.session.spent


@given(st.text(st.sampled_from("ab \n\t\u2003\x1c\xa0ü"), max_size=40), st.integers(1, 12))
def test_tokens_are_counted_and_taken_as_if_all_were_made(text: str, limit: int) -> None:
    whole = pieces(text)
    assert "".join(whole) == text
    assert count_pieces(text) == len(whole)
    assert first_pieces(text, limit) == (whole[:limit], len(whole) > limit)
