"""Work that waits for the disk: at once where the disk is quick, in a thread beside the event loop where it is not.

A write of a few kilobytes with its sync takes a third of a millisecond on a quiet local disk. To have a thread do it
takes 8 where the loop is busy, because the thread must wait for the interpreter's lock twice. So *short* work is done
on the loop; once it took longer than `SLOW_MS`, the next `BESIDE` go to the thread, and so on while the disk is slow.

Work is done in the order in which it was given, whichever way. The first failure is reported once, on the loop, and
nothing is done or called back any more: after a failed write the process must end.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

SLOW_MS: Final = 20.0
"""The event loop may stand still for so long, not longer."""
BESIDE: Final = 8
"""So much work goes to the thread before the disk is trusted again."""

log = logging.getLogger(__name__)


class Background:
    """What one file or database is to do, in order."""

    def __init__(
        self,
        name: str,
        on_failure: Callable[[BaseException], None],
        observe_ms: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Start the thread; `on_failure` is called on the running event loop, `observe_ms` with what work took."""
        self._observe_ms = observe_ms
        self._on_failure = on_failure
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, name)
        self._failed = False
        self._under_way = 0
        self._beside = 0

    @property
    def failed(self) -> bool:
        """Whether something went wrong; nothing is done any more then."""
        return self._failed

    def run(self, work: Callable[[], None], done: Callable[[], None] | None = None, *, short: bool = False) -> None:
        """Do `work`, then call `done` on the event loop; `short` work may be over before this returns."""
        if self._failed:
            return
        if short and not self._under_way and not self._beside:
            if self._do(work, self._on_failure):
                self._finish(done)
            return
        self._beside = max(0, self._beside - 1)
        self._under_way += 1
        self._thread.submit(self._do_beside, work, done)

    def close(self) -> None:
        """End the thread after what it was given; waits for it."""
        self._thread.shutdown(wait=True)

    def _do(self, work: Callable[[], None], on_failure: Callable[[BaseException], None]) -> bool:
        started = self._clock()
        try:
            work()
        except BaseException as failure:  # noqa: BLE001 - whatever it is, it is reported where the process can end
            self._failed = True
            on_failure(failure)
            return False
        took_ms = (self._clock() - started) * 1000
        if took_ms > SLOW_MS:
            self._beside = BESIDE
        if self._observe_ms is not None:
            self._observe_ms(took_ms)
        return True

    def _do_beside(self, work: Callable[[], None], done: Callable[[], None] | None) -> None:
        if not self._failed and self._do(work, lambda failure: self._tell(self._on_failure, failure)):
            self._tell(self._written, done)

    def _tell(self, call: Callable[..., None], argument: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, argument)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.debug("nobody is left to tell")

    def _written(self, done: Callable[[], None] | None) -> None:
        self._under_way -= 1
        self._finish(done)

    def _finish(self, done: Callable[[], None] | None) -> None:
        if done is not None and not self._failed:
            done()
