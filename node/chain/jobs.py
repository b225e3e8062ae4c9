"""Long work in slices on the event loop, one job at a time.

Executing a block of thousands of transfers takes tens of milliseconds. As a generator that yields between steps it
shares the loop with votes and timers: a slice ends after `SLICE_MS`, the rest follows in the next turn of the loop.
One job runs at a time because the runtime's typed caches belong to one block; the others wait in order.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Final, Protocol, TypeAlias

from aitoken.errors import Unavailable

SLICE_MS: Final = 6.0
JOBS_MAX: Final = 64

Job: TypeAlias = Generator[None, None, None]

log = logging.getLogger(__name__)


class TooManyJobs(Unavailable):
    """Blocks arrive faster than they are executed."""

    code = "chain.too_many_jobs"


class Soon(Protocol):
    """Runs a call in the next turn of the event loop."""

    def __call__(self, call: Callable[[], None], /) -> object:
        """Schedule `call`."""


class JobRunner:
    """Runs generators to their end, in slices, in the order they were given."""

    def __init__(self, soon: Soon, on_failure: Callable[[BaseException], None], slice_ms: float = SLICE_MS) -> None:
        self._soon = soon
        self._on_failure = on_failure
        self._slice_s = slice_ms / 1000
        self._waiting: deque[Job] = deque()
        self._scheduled = False

    def add(self, job: Job) -> None:
        """Queue a job. It never starts before this call returns, so callers need not expect its end.

        Raises:
            TooManyJobs: more wait than the consensus window can ask for.
        """
        if len(self._waiting) >= JOBS_MAX:
            raise TooManyJobs(f"{JOBS_MAX} blocks wait to be executed")
        self._waiting.append(job)
        if not self._scheduled:
            self._scheduled = True
            self._soon(self._slice)

    def _slice(self) -> None:
        end = time.perf_counter() + self._slice_s
        while self._waiting:
            job = self._waiting[0]
            try:
                for _ in job:
                    if time.perf_counter() >= end:
                        self._soon(self._slice)
                        return
            except Exception as failure:  # a job that fails is a bug; the owner ends the process
                log.critical("block execution failed", exc_info=failure)
                self._waiting.popleft()
                self._scheduled = False
                self._on_failure(failure)
                return
            self._waiting.popleft()
            if self._waiting and time.perf_counter() >= end:
                self._soon(self._slice)
                return
        self._scheduled = False
