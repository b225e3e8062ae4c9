"""All receipts of a purse checked again, by all processors.

The receipts are cut into parts of a few thousand consecutive numbers of one lane. Each part is an audit of its own
(`aitoken.pay.audit`) that goes on from the last receipt of the part before, so that nothing is checked twice and only
one part a process is in memory. Together they say what one audit of everything in order would say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

from aitoken.client.pay.purse import Kept, Purse, Span, open_purse
from aitoken.pay.audit import FINDINGS_MAX, Audit, Finding
from aitoken.pay.book import BOOK
from aitoken.pay.price import PriceList, price_list

PART: Final = 2_000
"""Receipts of a part."""

ALONE_MAX: Final = 4 * PART
"""So many receipts are checked sooner than another process has started."""


@dataclass(slots=True)
class Checked:
    """What the receipts of one session come to.

    Attributes:
        kept: the session.
        receipts: how many there are.
        charged: what those without findings charge.
        total: what the lanes come to by their last receipts.
        wrong: how many were wrong.
        findings: the first of them.
    """

    kept: Kept
    receipts: int = 0
    charged: int = 0
    total: int = 0
    wrong: int = 0
    findings: list[Finding] = field(default_factory=list)


class _Part(NamedTuple):
    session: int
    span: Span
    is_last: bool


class _Found(NamedTuple):
    session: int
    receipts: int
    charged: int
    total: int
    wrong: int
    findings: list[Finding]


class _OneBook(Mapping[tuple[int, int], PriceList]):
    """A session is bound to one book, whichever service of its provider answers."""

    def __init__(self, kept: Kept) -> None:
        self._version = kept.book_version
        self._prices = price_list(BOOK.decode(kept.book))

    def __getitem__(self, place: tuple[int, int]) -> PriceList:
        if place[1] != self._version:
            raise KeyError(place)
        return self._prices

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(())

    def __len__(self) -> int:
        return 1


class _Checker:
    """Checks parts of one purse."""

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self.sessions = purse.sessions()
        self._books: dict[int, _OneBook] = {}

    def parts(self) -> Iterator[_Part]:
        """Everything there is to check; the last part of each lane knows what the lane comes to."""
        for number, kept in enumerate(self.sessions):
            for whole in self._purse.spans(kept.id):
                for after in range(whole.after, whole.upto, PART):
                    upto = min(after + PART, whole.upto)
                    yield _Part(number, Span(whole.lane, after, upto), upto == whole.upto)

    def check(self, part: _Part) -> _Found:
        """Check one part."""
        kept, span = self.sessions[part.session], part.span
        book = self._books.get(part.session) or self._books.setdefault(part.session, _OneBook(kept))
        audit = Audit(kept.operator, book)
        before = self._purse.receipt(kept.id, span.lane, span.after)
        if before is not None:
            audit.go_on_from(before.statement)
        audit.add_all((one.statement, one.signature) for one in self._purse.receipts(kept.id, span))
        total = audit.session_total(kept.id) if part.is_last else 0
        return _Found(part.session, audit.receipts, audit.total, total, audit.wrong, audit.findings)


def recheck(folder: Path, processes: int | None = None) -> list[Checked]:
    """Check all receipts of the purse in a folder, session by session.

    Args:
        folder: where the purse lies.
        processes: how many work at once; by default one a processor.

    Raises:
        PurseUnusable: it is no purse.
    """
    processes = processes or len(os.sched_getaffinity(0))
    with open_purse(folder, spend=False) as purse:
        checker = _Checker(purse)
        parts = list(checker.parts())
        done = [Checked(kept) for kept in checker.sessions]
        if processes == 1 or sum(part.span.upto - part.span.after for part in parts) <= ALONE_MAX:
            for part in parts:
                _add(done, checker.check(part))
            return done
    with ProcessPoolExecutor(processes, get_context("spawn"), _begin, (folder,)) as pool:
        for found in pool.map(_check, parts):
            _add(done, found)
    return done


def _add(done: list[Checked], found: _Found) -> None:
    checked = done[found.session]
    checked.receipts += found.receipts
    checked.charged += found.charged
    checked.total += found.total
    checked.wrong += found.wrong
    checked.findings += found.findings[: FINDINGS_MAX - len(checked.findings)]


_working: list[_Checker] = []
"""What a process of the pool works with."""


def _begin(folder: Path) -> None:
    _working.append(_Checker(open_purse(folder, spend=False)))


def _check(part: _Part) -> _Found:
    return _working[0].check(part)
