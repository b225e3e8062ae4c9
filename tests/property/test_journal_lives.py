"""Law: over any number of lives, power cuts and orders of pages, a journal holds what was flushed and nothing else.

What may be found besides is a start of what was written since, in order; once found it is as good as flushed.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.store.journal import NAME, Journal
from tests.support.crashing_files import CrashingFiles, PowerCut

SIZES = st.sampled_from([1, 30, 4_000, 4_052, 4_053, 9_000])
DEEDS = st.lists(st.tuples(st.sampled_from(["append", "append", "flush", "restart"]), SIZES), min_size=1, max_size=14)
LIVES = st.lists(st.tuples(DEEDS, st.integers(0, 40), st.integers(0, 10_000)), min_size=1, max_size=6)


class Life:
    """A journal that is written to, and what must and may be found of it."""

    def __init__(self, journal: Journal, sure: list[bytes]) -> None:
        self.journal = journal
        self.sure = sure
        self.written = list(sure)
        self.instead: list[bytes] | None = None

    def live(self, deeds: list[tuple[str, int]], name: bytes) -> None:
        for number, (deed, size) in enumerate(deeds):
            record = (b"%s-%d." % (name, number)).ljust(size, b"x")
            if deed == "append" and self.written:
                self.written.append(record)
                self.journal.append(record)
            elif deed == "flush" and self.written:
                self.journal.flush()
                self.sure = list(self.written)
            elif deed == "restart":
                self.instead = [record, record]
                self.journal.restart(self.instead)
                self.sure, self.written, self.instead = self.instead, list(self.instead), None

    def may_be(self, found: list[bytes]) -> bool:
        return found == self.instead or (len(found) >= len(self.sure) and found == self.written[: len(found)])


@given(lives=LIVES)
def test_a_journal_outlives_any_lives(lives: list[tuple[list[tuple[str, int]], int, int]]) -> None:
    content: dict[str, bytes] = {}
    last: Life | None = None
    for index, (deeds, cut_at, draw) in enumerate(lives):
        files = CrashingFiles(content, cut_at)
        try:
            journal = Journal(files, lambda: b"8 bytes.")
            found = journal.found or []
            assert journal.damage is None
            assert last is None or last.may_be(found)
            if last is not None and journal.found is not None:
                assert files.directory[NAME].synced
            last = Life(journal, found)
            last.live(deeds, b"%d" % index)
        except PowerCut:
            outcomes = list(files.after_power_cut())
            content = outcomes[draw % len(outcomes)]
        else:
            content = {name: inode.data for name, inode in files.directory.items()}
