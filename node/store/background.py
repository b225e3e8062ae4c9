"""A thread that does what may wait for the disk, while the event loop goes on.

Work is done in the order in which it was given; `done` is called on the event loop afterwards. The first failure is
reported once, also on the loop, and nothing is done or called back any more: after a failed write the process must end.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger(__name__)


class Background:
    """One thread of work beside the running event loop."""

    def __init__(
        self,
        name: str,
        on_failure: Callable[[BaseException], None],
        observe_ms: Callable[[float], None] | None = None,
    ) -> None:
        """Start the thread; `on_failure` is called on the running event loop, `observe_ms` in the thread."""
        self._observe_ms = observe_ms
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, name)
        self._failed = False

    @property
    def failed(self) -> bool:
        """Whether something went wrong; nothing is done any more then."""
        return self._failed

    def run(self, work: Callable[[], None], done: Callable[[], None] | None = None) -> None:
        """Do `work` in the thread, then call `done` on the event loop."""
        if self._failed:
            return

        def do() -> None:
            if self._failed:
                return
            started = time.perf_counter()
            try:
                work()
            except BaseException as failure:  # noqa: BLE001 - whatever it is, it is reported where the process can end
                self._failed = True
                self._tell(self._on_failure, failure)
            else:
                if self._observe_ms is not None:
                    self._observe_ms((time.perf_counter() - started) * 1000)
                self._tell(self._finish, done)

        self._thread.submit(do)

    def close(self) -> None:
        """End the thread after what it was given; waits for it."""
        self._thread.shutdown(wait=True)

    def _tell(self, call: Callable[..., None], argument: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, argument)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.debug("nobody is left to tell")

    def _finish(self, done: Callable[[], None] | None) -> None:
        if done is not None and not self._failed:
            done()
