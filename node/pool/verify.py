"""Signature checks, the dearest part of a transaction (about 40 us): in slices on the event loop, or in a process.

Inline suits a host with more validators than cores. A worker process suits a free core; bytes go over a pipe in
batches, the next ones before the last are answered. Threads suit neither: a busy event loop starves them (performance
paper, 3.3).

A worker that ends, hangs or cannot be started takes nothing with it: what it had is checked inline, which is said once,
and so is all that comes in the next `REST_SECONDS`; then another one is tried.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final, Protocol

from aitoken.crypto.checks import Check, pack
from aitoken.errors import Unavailable
from node.tasks import cancel, spawn

SLICE_SECONDS: Final = 0.002
"""How long checks may hold the event loop: votes wait no longer than this."""
BATCH_MAX: Final = 256
ANSWER_SECONDS: Final = 10.0
"""A worker that is silent for so long is broken."""
REST_SECONDS: Final = 5.0
"""How long after a loss nothing is given to a worker."""
PIPE_BYTES: Final = 256 * 1024
"""Checks for some 80 ms, so that the worker has work while the loop is held up."""
log = logging.getLogger(__name__)


class WorkerLost(Unavailable):
    """The process that checks signatures does not answer."""

    code = "pool.worker_lost"


class Verifier(Protocol):
    """Checks many signatures."""

    @property
    def inline(self) -> bool:
        """Whether the caller had better check one by one between its other work."""

    async def verify(self, checks: Sequence[Check]) -> list[bool]:
        """The verdict on each, in order."""

    async def close(self) -> None:
        """Give back what it holds; it may be used again."""


class InlineVerifier:
    """Checks on the event loop, letting others run after each slice."""

    inline = True

    def __init__(self, seconds: Callable[[], float] = perf_counter) -> None:
        """`seconds` is a monotonic clock."""
        self._seconds = seconds

    async def verify(self, checks: Sequence[Check]) -> list[bool]:
        """The verdict on each, in order."""
        verdicts: list[bool] = []
        end = self._seconds() + SLICE_SECONDS
        for check in checks:
            verdicts.append(check.run())
            if self._seconds() >= end:
                await asyncio.sleep(0)
                end = self._seconds() + SLICE_SECONDS
        return verdicts

    async def close(self) -> None:
        """Nothing to give back."""


class _Worker:
    """A running process; frames are answered in the order in which they were sent."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise WorkerLost("no pipe")
        self._process = process
        self._to, self._back = process.stdin, process.stdout
        self._asked: deque[tuple[int, asyncio.Future[list[bool] | None]]] = deque()
        self._reading = spawn(self._read(), "signature worker")

    @staticmethod
    async def start() -> _Worker:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "aitoken.crypto.checks"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the node, which closes the pipe
        )
        worker = _Worker(process)
        if sys.platform == "linux":
            with contextlib.suppress(OSError, ValueError):  # it may not be that large, or is closed: it works as well
                fcntl.fcntl(worker._to.get_extra_info("pipe").fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return worker

    async def ask(self, batch: Sequence[Check]) -> list[bool]:
        """The verdicts of the process.

        Raises:
            WorkerLost, OSError: it is gone.
        """
        if self._reading.done():
            raise WorkerLost("it has ended")
        answer: asyncio.Future[list[bool] | None] = asyncio.get_running_loop().create_future()
        self._asked.append((len(batch), answer))
        self._to.write(pack(batch, len(batch)))
        await self._to.drain()
        verdicts = await answer
        if verdicts is None:
            raise WorkerLost("it has ended")
        return verdicts

    async def _read(self) -> None:
        try:
            while True:
                first = await self._back.readexactly(1)
                if not self._asked:
                    return  # what it says is no answer to us
                verdicts = first + await self._back.readexactly(self._asked[0][0] - 1)
                _, answer = self._asked.popleft()
                if not answer.done():
                    answer.set_result([verdict == 1 for verdict in verdicts])
        except (OSError, EOFError):
            return
        finally:
            for _, answer in self._asked:
                if not answer.done():
                    answer.set_result(None)

    async def stop(self) -> None:
        """End it at once."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        await cancel([self._reading])

    async def close(self) -> None:
        """End it when it has done what it was given; it leaves by itself when its input closes."""
        self._to.close()
        try:
            await asyncio.wait_for(self._process.wait(), ANSWER_SECONDS)
        except TimeoutError:
            pass
        await self.stop()


class WorkerVerifier:
    """Checks in a process of its own, which starts with the first batch."""

    def __init__(self, seconds: Callable[[], float] = perf_counter) -> None:
        """`seconds` is a monotonic clock."""
        self._seconds = seconds
        self._worker: _Worker | None = None
        self._starting = asyncio.Lock()
        self._fallback = InlineVerifier(seconds)
        self._rest_until = float("-inf")
        self._said = False

    @property
    def inline(self) -> bool:
        """Whether there is no process just now, because one was lost."""
        return self._is_resting()

    def _is_resting(self) -> bool:
        return self._seconds() < self._rest_until

    async def verify(self, checks: Sequence[Check]) -> list[bool]:
        """The verdict on each, in order."""
        verdicts: list[bool] = []
        for start in range(0, len(checks), BATCH_MAX):
            batch = checks[start : start + BATCH_MAX]
            verdicts += await self._ask(batch) or await self._fallback.verify(batch)
        return verdicts

    async def _ask(self, batch: Sequence[Check]) -> list[bool] | None:
        """The verdicts of the process, None where there is none."""
        worker = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                worker = await self._running()
                verdicts = await worker.ask(batch) if worker is not None else None
        except (OSError, TimeoutError, WorkerLost) as failure:
            await self._lost(worker, failure)
            return None
        if verdicts is not None:
            self._said = False
        return verdicts

    async def _running(self) -> _Worker | None:
        async with self._starting:
            if self._worker is None and not self._is_resting():
                self._worker = await _Worker.start()
            return self._worker

    async def _lost(self, worker: _Worker | None, failure: Exception) -> None:
        """Rest for a while; several batches may find out about one loss."""
        if worker is not self._worker:
            return
        self._worker = None
        self._rest_until = self._seconds() + REST_SECONDS
        if not self._said:
            self._said = True
            log.warning("signature worker lost (%r): checking inline, trying another one later", failure)
        if worker is not None:
            await worker.stop()

    async def close(self) -> None:
        """End the process; the next batch starts another one."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def verifier_for(workers: int | None) -> Verifier:
    """What `--workers` asks for: 0 checks inline, 1 in a process (more are no use to one event loop)."""
    return WorkerVerifier() if workers else InlineVerifier()
