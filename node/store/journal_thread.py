"""The journal as the consensus driver wants it: a thread writes, the event loop goes on (`node.driver.ports.Journal`).

Everything that touches the file happens in one thread, in the order in which it was asked for. Appended records are
handed over with the next barrier; those without one behind them may be lost in a crash, which is allowed.
A failure is reported once and nothing is called back any more: the process must end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from node.store.journal import Journal

_HANDED_OVER_BYTES: Final = 1 << 20  # so much is not held back for a barrier

log = logging.getLogger(__name__)


class JournalThread:
    """A journal and the thread that writes it."""

    def __init__(self, journal: Journal, on_failure: Callable[[BaseException], None]) -> None:
        """Start the thread; `on_failure` is called on the running event loop."""
        self._journal = journal
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "journal")
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._size = journal.size
        self._failed = False

    @property
    def size(self) -> int:
        """Bytes in the current segment, those not yet written included."""
        return self._size

    def append(self, record: bytes) -> None:
        """Add a record, in order; it need not be on disk yet."""
        self._pending.append(record)
        self._pending_bytes += len(record)
        self._size += len(record)
        if self._pending_bytes > _HANDED_OVER_BYTES:
            self._run(_writing(self._journal, self._taken()), None)

    def barrier(self, done: Callable[[], None]) -> None:
        """Call `done` when everything appended is on disk."""
        records = self._taken()

        def work() -> None:
            for record in records:
                self._journal.append(record)
            self._journal.flush()

        self._run(work, done)

    def restart(self, records: Sequence[bytes], done: Callable[[], None]) -> None:
        """Begin a new segment that holds exactly `records`, durable before `done`; the old one is gone only then."""
        self._pending.clear()
        self._pending_bytes = 0
        kept = list(records)
        self._size = sum(map(len, kept))
        self._run(lambda: self._journal.restart(kept), done)

    def close(self) -> None:
        """Write and sync what is left, and end the thread; waits for it."""
        records = self._taken()
        if records and not self._failed:
            self._run(_writing(self._journal, records), None)
        self._thread.shutdown(wait=True)
        self._journal.close()

    def _taken(self) -> list[bytes]:
        records, self._pending, self._pending_bytes = self._pending, [], 0
        return records

    def _run(self, work: Callable[[], None], done: Callable[[], None] | None) -> None:
        if self._failed:
            return

        def run() -> None:
            try:
                work()
            except BaseException as failure:  # noqa: BLE001 - whatever it is, it is reported where the process can end
                self._tell(self._fail, failure)
            else:
                self._tell(self._finish, done)

        self._thread.submit(run)

    def _tell(self, call: Callable[..., None], argument: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, argument)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.debug("the journal has nobody left to tell")

    def _finish(self, done: Callable[[], None] | None) -> None:
        if done is not None and not self._failed:
            done()

    def _fail(self, failure: BaseException) -> None:
        if not self._failed:
            self._failed = True
            self._on_failure(failure)


def _writing(journal: Journal, records: Sequence[bytes]) -> Callable[[], None]:
    def work() -> None:
        for record in records:
            journal.append(record)

    return work
