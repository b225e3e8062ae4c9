"""The purse: a buyer's sessions, their keys, what was promised on each lane, and every receipt, in one SQLite file.

What is promised is on file before it is sent: a ceiling cannot be taken back (R8b), so after a crash the purse still
knows the most a seller could claim. A session is on file before the transaction that opens it is sent. Session keys are
in the file; one that is stolen can spend its session's deposit at that provider and nothing else. The file is readable
by its owner alone, and one program at a time spends from it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Self

from aitoken.client.pay.errors import PurseUnusable
from aitoken.crypto.ed25519 import Pair
from aitoken.pay.buyer import BuyerLane, BuyerSession
from aitoken.pay.layouts import Receipt, ack0
from aitoken.pay.seller import Signed
from aitoken.types import Balance, Hash32, Moment

FILE: Final = "purse.sqlite"
OPENING: Final = "opening"
OPEN: Final = "open"
CLOSING: Final = "closing"
CLOSED: Final = "closed"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sessions (
  id BLOB PRIMARY KEY, genesis BLOB NOT NULL, payer BLOB NOT NULL, provider INTEGER NOT NULL, operator BLOB NOT NULL,
  url TEXT NOT NULL, book_version INTEGER NOT NULL, book BLOB NOT NULL, secret BLOB NOT NULL, deposit TEXT NOT NULL,
  max_lanes INTEGER NOT NULL, expires INTEGER NOT NULL, state TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lanes (
  session BLOB NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL, ceiling TEXT NOT NULL, until INTEGER NOT NULL,
  stopped TEXT NOT NULL, PRIMARY KEY (session, lane)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receipts (
  session BLOB NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL, statement BLOB NOT NULL, signature BLOB NOT NULL,
  PRIMARY KEY (session, lane, seq)) WITHOUT ROWID;
"""
_COLUMNS: Final = (
    "id, genesis, payer, provider, operator, url, book_version, book, secret, deposit, max_lanes, expires, state"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """One session as the purse has it.

    Attributes:
        id: the session.
        genesis: its chain.
        payer: whose money it is.
        provider: the provider's number.
        operator: the key its receipts are signed with.
        url: its gateway.
        book_version: the prices it is bound to.
        book: those prices in SCALE, as the chain has them.
        secret: seed of the session key.
        deposit: what was put down, top-ups included.
        max_lanes: how many lanes there may be.
        expires: block at which it ends.
        state: opening, open, closing or closed.
    """

    id: Hash32
    genesis: Hash32
    payer: bytes
    provider: int
    operator: bytes
    url: str
    book_version: int
    book: bytes
    secret: bytes
    deposit: Balance
    max_lanes: int
    expires: int
    state: str


class Span(NamedTuple):
    """Receipts of one lane, those numbered above `after` up to `upto`."""

    lane: int
    after: int
    upto: int


class Purse:
    """The file; `open_purse` opens it."""

    def __init__(self, connection: sqlite3.Connection, lock: IO[bytes] | None) -> None:
        self._db = connection
        self._lock = lock

    def close(self) -> None:
        """Close the file and let others use it."""
        self._db.close()
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------- sessions

    def put(self, kept: Kept) -> None:
        """Keep a session."""
        self._db.execute(
            "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                kept.id, kept.genesis, kept.payer, kept.provider, kept.operator, kept.url, kept.book_version, kept.book,
                kept.secret, str(kept.deposit), kept.max_lanes, kept.expires, kept.state,
            ),
        )  # fmt: skip

    def sessions(self) -> list[Kept]:
        """All sessions."""
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM sessions ORDER BY provider, id").fetchall()  # noqa: S608 - our own names, no input
        return [
            Kept(
                id=Hash32(row[0]), genesis=Hash32(row[1]), payer=row[2], provider=row[3], operator=row[4], url=row[5],
                book_version=row[6], book=row[7], secret=row[8], deposit=Balance(int(row[9])), max_lanes=row[10],
                expires=row[11], state=row[12],
            )
            for row in rows
        ]  # fmt: skip

    def buyer(self, kept: Kept, exposure_max: Balance) -> BuyerSession:
        """Return a session's lanes as they were left."""
        session = BuyerSession(kept.id, Pair(kept.secret), kept.operator, kept.deposit, kept.max_lanes, exposure_max)
        last = self._db.execute(
            "SELECT lane, MAX(seq), statement, signature FROM receipts WHERE session = ? GROUP BY lane", (kept.id,)
        )
        for _, _, statement, signature in last.fetchall():
            session.adopt(Signed(statement, signature))
        promised = self._db.execute(
            "SELECT lane, seq, ceiling, until, stopped FROM lanes WHERE session = ?", (kept.id,)
        )
        for number, seq, ceiling, until, stopped in promised.fetchall():
            lane = session.lanes.setdefault(number, BuyerLane(number, ack0(kept.id, number)))
            lane.stopped = stopped
            if seq == lane.seq:
                lane.ceiling, lane.ceiling_until = Balance(int(ceiling)), Moment(until)
        return session

    # ------------------------------------------------------------------------------------------- lanes, receipts

    def put_lane(self, session: Hash32, lane: BuyerLane) -> None:
        """Keep what was promised on a lane, before it is sent."""
        self._db.execute(
            "INSERT OR REPLACE INTO lanes VALUES (?, ?, ?, ?, ?, ?)",
            (session, lane.number, lane.seq, str(lane.ceiling), lane.ceiling_until, lane.stopped),
        )

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Keep all that is put in the context, or nothing of it."""
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def put_receipt(self, read: Receipt, signed: Signed) -> None:
        """Keep a receipt."""
        self._db.execute(
            "INSERT OR IGNORE INTO receipts VALUES (?, ?, ?, ?, ?)",
            (read.session_id, read.lane, read.seq, signed.statement, signed.signature),
        )

    def receipts(self, session: Hash32, span: Span | None = None) -> Iterator[Signed]:
        """All receipts of a session, or those of a span; those of a lane in ascending order."""
        which = "session = ?"
        values: tuple[Any, ...] = (session,)
        if span is not None:
            which, values = f"{which} AND lane = ? AND seq > ? AND seq <= ?", (session, *span)
        rows = self._db.execute(
            f"SELECT statement, signature FROM receipts WHERE {which} ORDER BY lane, seq",  # noqa: S608 - our own names, no input
            values,
        )
        for statement, signature in rows:
            yield Signed(statement, signature)

    def receipt(self, session: Hash32, lane: int, seq: int) -> Signed | None:
        """One receipt."""
        return next(self.receipts(session, Span(lane, seq - 1, seq)), None)

    def spans(self, session: Hash32) -> list[Span]:
        """From where to where the receipts of each lane go."""
        rows = self._db.execute(
            "SELECT lane, MIN(seq) - 1, MAX(seq) FROM receipts WHERE session = ? GROUP BY lane", (session,)
        )
        return [Span(*row) for row in rows.fetchall()]

    def has(self, receipt: Receipt) -> bool:
        """Whether a receipt of that place is kept."""
        place = (receipt.session_id, receipt.lane, receipt.seq)
        found = self._db.execute("SELECT 1 FROM receipts WHERE session = ? AND lane = ? AND seq = ?", place)
        return found.fetchone() is not None


def open_purse(folder: Path, *, spend: bool = True) -> Purse:
    """Open, or begin, the purse in a folder.

    Args:
        folder: where it lies.
        spend: whether anything will be signed; only one program at a time may.

    Raises:
        PurseUnusable: another program spends from it, or it is no purse.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = None
    if spend:
        lock = (folder / "purse.lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise PurseUnusable(f"another program pays from {folder}; a running proxy pays for others too") from None
    file = folder / FILE
    try:
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        file.chmod(0o600)
        connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.executescript(_SCHEMA)
    except (OSError, sqlite3.Error) as error:
        if lock is not None:
            lock.close()
        raise PurseUnusable(f"{file}: {error}") from None
    return Purse(connection, lock)
