"""A worker process checks signatures, and whatever becomes of it, every check has its answer."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from aitoken.crypto.checks import Check
from node.pool import verify
from node.pool.verify import WorkerVerifier, usable_cores
from tests.support.pool_fakes import PAIRS

pytestmark = pytest.mark.slow

VERDICTS = [True, False, False, True]


def make_checks() -> list[Check]:
    pair = PAIRS[1]
    good = Check(0, pair.sign(b"payload"), b"payload", pair.public)
    return [good, Check(0, good.signature, b"other", pair.public), Check(2, b"", b"", pair.public), good]


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def process_of(verifier: WorkerVerifier) -> asyncio.subprocess.Process:
    assert verifier._worker is not None
    return verifier._worker._process


def losses(caplog: pytest.LogCaptureFixture) -> int:
    return sum(record.name == "node.pool.verify" for record in caplog.records)


async def test_many_batches_at_once_are_each_answered_in_order() -> None:
    verifier = WorkerVerifier()
    answers = await asyncio.gather(*(verifier.verify(make_checks() * count) for count in (1, 100, 7, 1, 0)))
    assert answers == [VERDICTS * count for count in (1, 100, 7, 1, 0)]
    assert not verifier.inline
    process = process_of(verifier)
    await verifier.close()
    assert process.returncode == 0


async def test_a_lost_worker_costs_no_answer_is_told_of_once_and_replaced_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    verifier = WorkerVerifier(clock)
    assert await verifier.verify(make_checks()) == VERDICTS
    first = process_of(verifier)
    os.kill(first.pid, signal.SIGSTOP)  # so that what follows is under way when it dies
    under_way = [asyncio.ensure_future(verifier.verify(make_checks() * 20)) for _ in range(3)]
    await asyncio.sleep(0)
    first.kill()

    assert await asyncio.gather(*under_way) == [VERDICTS * 20] * 3
    assert verifier.inline
    assert await verifier.verify(make_checks()) == VERDICTS
    assert verifier._worker is None
    assert losses(caplog) == 1

    clock.now = verify.REST_SECONDS
    assert not verifier.inline
    assert await verifier.verify(make_checks()) == VERDICTS
    assert process_of(verifier) is not first
    await verifier.close()


async def test_a_silent_worker_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = WorkerVerifier(Clock())
    assert await verifier.verify(make_checks()) == VERDICTS
    first = process_of(verifier)
    monkeypatch.setattr(verify, "ANSWER_SECONDS", 0.05)
    os.kill(first.pid, signal.SIGSTOP)

    assert await verifier.verify(make_checks()) == VERDICTS
    assert first.returncode is not None
    assert verifier.inline


@pytest.mark.parametrize("program", ["/nowhere/python", "/bin/false"])
async def test_where_no_worker_can_be_started_everything_is_checked_inline(
    program: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    clock = Clock()
    verifier = WorkerVerifier(clock)
    for _ in range(3):
        assert await verifier.verify(make_checks()) == VERDICTS
        assert verifier.inline
        clock.now += verify.REST_SECONDS
    assert losses(caplog) == 1
    await verifier.close()


async def test_a_closed_one_can_be_used_again() -> None:
    verifier = WorkerVerifier()
    for _ in range(2):
        assert await verifier.verify(make_checks()) == VERDICTS
        await verifier.close()


def test_a_machine_has_a_core() -> None:
    assert usable_cores() >= 1
