"""The divisor of every ratio: signatures this machine checks per second and core, each under another key; and the VRF.

One signature checked again and again reads a tenth too fast, so keys, messages and signatures all differ.

What runs for long is compared with checks made beside it (`Beside`): the pace of a shared machine changes within
seconds, by a third and more.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from itertools import cycle, islice
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from types import TracebackType

from aitoken.crypto import ed25519, sr25519, vrf
from bench.row import Row
from node.tasks import cancel, spawn

ROUNDS = 5
TOGETHER_SECONDS = 60
BESIDE_COUNT = 50
BESIDE_SECONDS = 0.25


def run(quick: bool) -> list[Row]:
    count = 500 if quick else 2_000
    return [
        Row("one core", "ed25519 verifications", rate(ed25519.Pair, ed25519.verify, count), "per second"),
        Row("one core", "sr25519 verifications", rate(sr25519.Pair, sr25519.verify, count), "per second"),
        Row("one core", "VRF verifications", vrf_rate(count // 5), "per second"),
    ]


def vrf_rate(count: int) -> float:
    """VRF verifications per second of CPU time, the median of some rounds."""
    cases = []
    for index in range(count):
        pair = ed25519.Pair(index.to_bytes(32, "little"))
        message = index.to_bytes(88, "little")
        cases.append((vrf.prove(pair, message), message, pair.public))
    return _median_rate(cases, vrf.verify)


def rate(
    make: Callable[[bytes], ed25519.Pair | sr25519.Pair], verify: Callable[[bytes, bytes, bytes], bool], count: int
) -> float:
    """Verifications per second of CPU time, the median of some rounds."""
    return _median_rate(_cases(make, count), verify)


def rate_of_all_cores(count: int) -> float:
    """ed25519 verifications a second of all cores together, each busy with `count` of them at the same time.

    Where cores share what they are made of this is less than the rate of one times their number. Wall time.
    """
    context = multiprocessing.get_context("spawn")
    cores = os.cpu_count() or 1
    together = context.Barrier(cores)
    rates: Queue[float] = context.Queue()
    processes = [context.Process(target=_rate_beside_others, args=(count, together, rates)) for _ in range(cores)]
    for process in processes:
        process.start()
    found = sum(rates.get(timeout=TOGETHER_SECONDS) for _ in processes)
    for process in processes:
        process.join()
    return found


class Beside:
    """Checks some signatures four times a second for as long as it is entered: 2 % of a core.

    `rate` is then how many of them a core could check in the same seconds.
    """

    def __init__(self) -> None:
        self._cases = cycle(_cases(ed25519.Pair, 1_000))
        self._task: asyncio.Task[None] | None = None
        self._count = 0
        self._spent = 0.0

    @property
    def rate(self) -> float:
        """Verifications a second of processor time."""
        return self._count / self._spent

    async def __aenter__(self) -> Beside:
        self._check()
        self._task = spawn(self._go_on(), "bench raw")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            await cancel((self._task,))

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(BESIDE_SECONDS)
            self._check()

    def _check(self) -> None:
        some = list(islice(self._cases, BESIDE_COUNT))
        start = time.process_time()
        for signature, message, public in some:
            ed25519.verify(signature, message, public)
        self._spent += time.process_time() - start
        self._count += len(some)


def _rate_beside_others(count: int, together: Barrier, rates: Queue[float]) -> None:
    cases = _cases(ed25519.Pair, count)
    together.wait()
    start = time.perf_counter()
    for signature, message, public in cases:
        ed25519.verify(signature, message, public)
    rates.put(count / (time.perf_counter() - start))


def _cases(make: Callable[[bytes], ed25519.Pair | sr25519.Pair], count: int) -> list[tuple[bytes, bytes, bytes]]:
    cases = []
    for index in range(count):
        pair = make(index.to_bytes(32, "little"))
        message = index.to_bytes(107, "little")
        cases.append((pair.sign(message), message, pair.public))
    return cases


def _median_rate(cases: list[tuple[bytes, bytes, bytes]], verify: Callable[[bytes, bytes, bytes], object]) -> float:
    rates = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for signature, message, public in cases:
            verify(signature, message, public)
        rates.append(len(cases) / (time.process_time() - start))
    return statistics.median(rates)
