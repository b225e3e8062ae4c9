"""What the gateway must not forget, in one SQLite file, written in groups.

    lanes      each lane's best voucher and last receipt; a row is there *before* a lane's first receipt leaves
    receipts   every receipt, for buyers that lost one, and for audits
    answers    answers by `Idempotency-Key`, with their receipt
    offers     signed quotes, until they end
    closings   sessions whose final total was signed
    used       included units of plans that are used
    meta       whose store this is, and whether it was closed properly

Nothing waits for the disk on the way of a request: changes are collected and committed together every few milliseconds
in a thread of their own, and quotes and fresh answers are in memory as well. What is lost when the machine dies then is
what was not committed: a voucher, which the next one repairs, or a receipt, whose number must not be used again. So a
store that was not closed properly retires every lane it knows (`Store.clean` is False), and a lane's first receipt
waits for the row that makes the lane known.

WAL mode with `synchronous=FULL`: a commit that was reported is on disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self, TypeVar

from aitoken.errors import Rejected, Unavailable
from aitoken.pay.seller import Signed
from aitoken.types import Balance, Hash32, Moment

GROUP_S: Final = 0.005
"""How long changes are collected before they are committed together."""

PENDING_MAX: Final = 100_000
"""Changes that wait for the disk at most; beyond, requests are refused."""

_T = TypeVar("_T")
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lanes (
  session BLOB NOT NULL, lane INTEGER NOT NULL, voucher BLOB, voucher_signature BLOB, receipt BLOB,
  receipt_signature BLOB, retired INTEGER NOT NULL DEFAULT 0, claimed TEXT NOT NULL DEFAULT '0',
  PRIMARY KEY (session, lane)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receipts (
  session BLOB NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, statement BLOB NOT NULL,
  signature BLOB NOT NULL, PRIMARY KEY (session, lane, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
  session BLOB NOT NULL, key BLOB NOT NULL, body BLOB NOT NULL, at INTEGER NOT NULL, status INTEGER NOT NULL,
  content_type TEXT NOT NULL, answer BLOB, receipt BLOB NOT NULL, receipt_signature BLOB NOT NULL,
  PRIMARY KEY (session, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_by_age ON answers (at);
CREATE TABLE IF NOT EXISTS closings (session BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS used (
  subscription INTEGER NOT NULL, period INTEGER NOT NULL, unit INTEGER NOT NULL, quantity TEXT NOT NULL,
  PRIMARY KEY (subscription, period, unit)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS offers (
  request BLOB NOT NULL, service INTEGER NOT NULL, book INTEGER NOT NULL, max_charge TEXT NOT NULL,
  until INTEGER NOT NULL, PRIMARY KEY (request, service, book)) WITHOUT ROWID;
"""


class StoreFailed(Unavailable):
    """The disk does not take what must not be forgotten; nothing more is served."""

    code = "gateway.store_failed"


class StoreUnusable(Rejected):
    """The file is another provider's or chain's, older than what it was, or in use."""

    code = "gateway.store_unusable"


@dataclass(frozen=True, slots=True)
class StoredLane:
    """A lane as it was last committed."""

    session: Hash32
    lane: int
    voucher: Signed | None
    receipt: Signed | None
    retired: bool
    claimed: Balance


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer by `Idempotency-Key`; `answer` is None where it was too long to be kept."""

    body_hash: Hash32
    status: int
    content_type: str
    answer: bytes | None
    receipt: Signed


Change = tuple[str, tuple[Any, ...]]


class Store:
    """The file. Build it with `open_store`; `run` has to run for changes to be committed.

    Attributes:
        clean: it was closed properly the last time, so every receipt that left is in it.
    """

    def __init__(
        self, connection: sqlite3.Connection, reader: sqlite3.Connection, lock: IO[bytes], *, clean: bool
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._lock = lock
        self._thread = ThreadPoolExecutor(1, "gateway-store")
        self._reading = ThreadPoolExecutor(1, "gateway-store-reader")
        self._offers: dict[tuple[Hash32, int, int], tuple[Balance, Moment]] = {
            (Hash32(request), service, book): (Balance(int(charge)), Moment(until))
            for request, service, book, charge, until in connection.execute("SELECT * FROM offers")
        }
        self._fresh: dict[tuple[Hash32, Hash32], StoredAnswer] = {}
        self._pending: list[Change] = []
        self._wake = asyncio.Event()
        self._put_last = 0
        self._committed = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._failed: BaseException | None = None
        self.clean = clean
        self.commits = 0

    # ------------------------------------------------------------------------------------------- writing

    def put_voucher(self, session: Hash32, lane: int, voucher: Signed, *, retired: bool) -> None:
        """Remember a lane's best voucher."""
        self._put(
            "INSERT INTO lanes (session, lane, voucher, voucher_signature, retired) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET voucher = excluded.voucher, voucher_signature = excluded.voucher_signature, "
            "retired = MAX(retired, excluded.retired)",
            session, lane, voucher.statement, voucher.signature, int(retired),
        )  # fmt: skip

    def put_receipt(self, session: Hash32, lane: int, seq: int, at: Moment, receipt: Signed) -> None:
        """Remember a receipt as the lane's last, and for ever."""
        self._put(
            "INSERT INTO receipts (session, lane, seq, at, statement, signature) VALUES (?, ?, ?, ?, ?, ?)",
            session, lane, seq, at, receipt.statement, receipt.signature,
        )  # fmt: skip
        self._put(
            "INSERT INTO lanes (session, lane, receipt, receipt_signature) VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET receipt = excluded.receipt, receipt_signature = excluded.receipt_signature",
            session, lane, receipt.statement, receipt.signature,
        )  # fmt: skip

    def put_answer(self, session: Hash32, key: Hash32, at: Moment, answer: StoredAnswer) -> None:
        """Remember an answer by its key; the first of a key stays."""
        self._fresh.setdefault((session, key), answer)
        self._put(
            "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            session, key, answer.body_hash, at, answer.status, answer.content_type, answer.answer,
            answer.receipt.statement, answer.receipt.signature,
        )  # fmt: skip

    def put_offer(self, request: Hash32, service: int, book: int, max_charge: Balance, until: Moment) -> None:
        """Remember a signed quote; of several for one request the lowest binds as long as one of them holds."""
        place = (request, service, book)
        before = self._offers.get(place)
        if before is not None:
            max_charge, until = min(max_charge, before[0]), max(until, before[1])
        self._offers[place] = (max_charge, until)
        self._put(
            "INSERT INTO offers VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET max_charge = excluded.max_charge, "
            "until = excluded.until",
            request, service, book, str(max_charge), until,
        )  # fmt: skip

    def put_claimed(self, session: Hash32, lane: int, claimed: Balance) -> None:
        """Remember what was claimed of a lane."""
        self._put("UPDATE lanes SET claimed = ? WHERE session = ? AND lane = ?", str(claimed), session, lane)

    def put_closing(self, session: Hash32) -> None:
        """Remember that a session's final total was signed, so nothing more is served from it."""
        self._put("INSERT OR IGNORE INTO closings VALUES (?)", session)

    def put_used(self, subscription: int, period: int, unit: int, quantity: int) -> None:
        """Remember how many included units of a plan's period are used."""
        self._put(
            "INSERT INTO used VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET quantity = excluded.quantity",
            subscription, period, unit, str(quantity),
        )  # fmt: skip

    def used_units(self) -> dict[tuple[int, int], dict[int, int]]:
        """Return the used units of all periods, by (subscription, period); before anything is written."""
        found: dict[tuple[int, int], dict[int, int]] = {}
        for subscription, period, unit, quantity in self._connection.execute("SELECT * FROM used"):
            found.setdefault((subscription, period), {})[unit] = int(quantity)
        return found

    async def is_closing(self, session: Hash32) -> bool:
        """Tell whether a session's final total was signed."""
        return bool(await self._rows("SELECT 1 FROM closings WHERE session = ?", session))

    def forget(self, before: Moment, now: Moment) -> None:
        """Drop answers older than `before` and offers that have ended."""
        self._put("DELETE FROM answers WHERE at < ?", before)
        self._put("DELETE FROM offers WHERE until < ?", now)
        self._offers = {place: offer for place, offer in self._offers.items() if offer[1] >= now}

    def _put(self, sql: str, *values: Any) -> None:
        if self._failed is not None:
            raise StoreFailed("the store has failed before") from self._failed
        if len(self._pending) >= PENDING_MAX:
            raise StoreFailed("the disk does not keep up")
        self._pending.append((sql, values))
        self._put_last += 1
        self._wake.set()

    async def synced(self) -> None:
        """Wait until everything put so far is on disk.

        Raises:
            StoreFailed: it is not, and never will be.
        """
        if self._failed is not None:
            raise StoreFailed("the store has failed before") from self._failed
        if self._committed == self._put_last:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._put_last, done))
        self._wake.set()
        await done

    async def run(self) -> None:
        """Commit in groups until cancelled.

        Raises:
            StoreFailed: the disk does not take it.
        """
        while True:
            await self._wake.wait()
            await asyncio.sleep(GROUP_S)
            await self._commit()

    async def _commit(self) -> None:
        self._wake.clear()
        changes, self._pending = self._pending, []
        fresh = list(self._fresh)
        last = self._put_last
        try:
            await asyncio.shield(self._call(lambda: _write(self._connection, changes)))
        except sqlite3.Error as error:
            self._failed = error
            for _, done in self._waiting:
                if not done.done():
                    done.set_exception(StoreFailed(f"the store failed: {error}"))
            raise StoreFailed(f"the store failed: {error}") from error
        self.commits += 1
        for place in fresh:
            del self._fresh[place]
        self._committed = last
        for number, done in self._waiting:
            if number <= last and not done.done():
                done.set_result(None)
        self._waiting = [(number, done) for number, done in self._waiting if number > last]

    async def close(self) -> None:
        """Commit what is left and note that the store was closed properly, after `run` has ended."""
        if self._failed is None:
            await self._commit()
            await self._call(lambda: _write(self._connection, [(_SET_META, ("clean", b"\x01"))]))
        await self._read(self._reader.close)
        await self._call(self._connection.close)
        self._reading.shutdown()
        self._thread.shutdown()
        self._lock.close()

    # ------------------------------------------------------------------------------------------- reading

    async def lanes(self, session: Hash32) -> list[StoredLane]:
        """Return all lanes of a session."""
        await self.synced()
        return await self._read(lambda: list(_lanes(self._reader, session)))

    async def sessions(self) -> list[Hash32]:
        """Return all sessions with lanes."""
        return [Hash32(row[0]) for row in await self._rows("SELECT DISTINCT session FROM lanes")]

    async def receipt(self, session: Hash32, lane: int, seq: int) -> Signed | None:
        """Return one receipt."""
        rows = await self._rows(
            "SELECT statement, signature FROM receipts WHERE session = ? AND lane = ? AND seq = ?", session, lane, seq
        )
        return Signed(*rows[0]) if rows else None

    async def receipts(self, session: Hash32, lane: int, after: int, most: int) -> list[Signed]:
        """Return receipts of a lane with numbers above `after`, in order, at most `most`."""
        rows = await self._rows(
            "SELECT statement, signature FROM receipts WHERE session = ? AND lane = ? AND seq > ? ORDER BY seq LIMIT ?",
            session, lane, after, most,
        )  # fmt: skip
        return [Signed(*row) for row in rows]

    async def answer(self, session: Hash32, key: Hash32) -> StoredAnswer | None:
        """Return the answer kept for an `Idempotency-Key`."""
        fresh = self._fresh.get((session, key))
        if fresh is not None:
            return fresh
        rows = await self._rows(
            "SELECT body, status, content_type, answer, receipt, receipt_signature FROM answers "
            "WHERE session = ? AND key = ?", session, key, synced=False,
        )  # fmt: skip
        if not rows:
            return None
        body, status, content_type, answer, receipt, signature = rows[0]
        return StoredAnswer(Hash32(body), status, content_type, answer, Signed(receipt, signature))

    def offer(self, request: Hash32, service: int, book: int, now: Moment) -> Balance | None:
        """Return the charge a quote that still holds allows for a request."""
        charge, until = self._offers.get((request, service, book), (None, Moment(0)))
        return charge if until >= now else None

    @property
    def offers(self) -> int:
        """How many quotes are remembered."""
        return len(self._offers)

    async def _rows(self, sql: str, *values: Any, synced: bool = True) -> list[Any]:
        if synced:
            await self.synced()
        return await self._read(lambda: self._reader.execute(sql, values).fetchall())

    def _read(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._reading, work)

    def _call(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


_SET_META: Final = "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"


def _write(connection: sqlite3.Connection, changes: list[Change]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for sql, values in changes:
            connection.execute(sql, values)
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _lanes(connection: sqlite3.Connection, session: Hash32) -> Iterator[StoredLane]:
    rows = connection.execute(
        "SELECT lane, voucher, voucher_signature, receipt, receipt_signature, retired, claimed FROM lanes "
        "WHERE session = ? ORDER BY lane",
        (session,),
    )
    for lane, voucher, voucher_signature, receipt, receipt_signature, retired, claimed in rows:
        yield StoredLane(
            session,
            lane,
            None if voucher is None else Signed(voucher, voucher_signature),
            None if receipt is None else Signed(receipt, receipt_signature),
            bool(retired),
            Balance(int(claimed)),
        )


def open_store(folder: Path, genesis: Hash32, operator: bytes) -> Store:
    """Open, or begin, the store of one operator key on one chain.

    A counter in `gateway.floor` beside it grows with each start; a store that is behind it was brought back from a copy
    and would write receipts again, so it is refused.

    Raises:
        StoreUnusable: it is another's, in use, a copy, or no store.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "gateway.lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StoreUnusable(f"another gateway works in {folder}") from None
    connection = sqlite3.connect(folder / "gateway.sqlite", isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(_SCHEMA)
        clean = _take_over(connection, folder / "gateway.floor", genesis + operator)
        reader = sqlite3.connect(folder / "gateway.sqlite", isolation_level=None, check_same_thread=False)
    except (sqlite3.Error, StoreUnusable) as error:
        connection.close()
        lock.close()
        raise StoreUnusable(str(error)) from None
    return Store(connection, reader, lock, clean=clean)


def _take_over(connection: sqlite3.Connection, floor: Path, owner: bytes) -> bool:
    """Check whose store it is and how old; note that it is open now. Tell whether it was closed properly."""
    meta: dict[str, bytes] = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    if meta.get("owner", owner) != owner:
        raise StoreUnusable("the store belongs to another operator key or chain")
    starts = int.from_bytes(meta.get("starts", b""), "little")
    known = int(floor.read_text()) if floor.exists() else 0
    if starts < known:
        raise StoreUnusable(f"the store has seen {starts} starts, {known} were noted: it is an old copy")
    clean = not meta or meta.get("clean") == b"\x01"
    starts += 1
    changes = [("owner", owner), ("starts", starts.to_bytes(8, "little")), ("clean", b"\x00")]
    _write(connection, [(_SET_META, change) for change in changes])
    floor.write_text(f"{starts}\n")
    return clean
