"""The journal as the consensus driver wants it (`node.driver.ports.Journal`), written as `node.store.background` says.

Appended records are kept until the next barrier and go to the file with it, in one write and one sync; those without a
barrier behind them may be lost in a crash, which is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from node.store.background import Background
from node.store.journal import PAGE, Journal

_HANDED_OVER_BYTES: Final = 1 << 20  # so much is not held back for a barrier


class JournalWriter:
    """A journal and what writes it."""

    def __init__(
        self,
        journal: Journal,
        on_failure: Callable[[BaseException], None],
        observe_ms: Callable[[float], None] | None = None,
        settle: Callable[[], None] | None = None,
    ) -> None:
        """Be ready.

        Args:
            journal: the file.
            on_failure: called on the running event loop.
            observe_ms: told what a write took.
            settle: waits for another file that is being synced at the same time; a barrier ends after both.
        """
        self._journal = journal
        self._settle = settle
        self._background = Background("journal", on_failure, observe_ms)
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._size = journal.size

    @property
    def size(self) -> int:
        """Bytes since the last opening, those not yet written included; rather too many than too few."""
        return self._size

    def append(self, record: bytes) -> None:
        """Add a record, in order; it need not be on disk yet."""
        self._pending.append(record)
        size = len(record)
        self._pending_bytes += size
        self._size += size
        if self._pending_bytes > _HANDED_OVER_BYTES:
            records = self._taken()
            self._background.run(lambda: self._journal.append_all(records), short=True)

    def barrier(self, done: Callable[[], None]) -> None:
        """Call `done` when everything appended is on disk; before this returns where the disk is quick."""
        records = self._taken()

        def work() -> None:
            self._journal.append_all(records)
            self._journal.flush()
            if self._settle is not None:
                self._settle()

        self._background.run(work, done, short=True)

    def restart(self, records: Sequence[bytes], done: Callable[[], None]) -> None:
        """Begin anew with exactly `records`, durable before `done`; what was before is given up only then."""
        self._pending.clear()
        self._pending_bytes = 0
        kept = list(records)
        self._size = sum(map(len, kept))
        self._background.run(lambda: self._journal.restart(kept), done, short=True)

    def close(self) -> None:
        """Write and sync what is left, and let go of the file."""
        records = self._taken()
        if records:
            self._background.run(lambda: self._journal.append_all(records), short=True)
        self._background.close()
        self._journal.close()

    def _taken(self) -> list[bytes]:
        records, self._pending, self._pending_bytes = self._pending, [], 0
        self._size += PAGE  # they begin on one of their own
        return records
