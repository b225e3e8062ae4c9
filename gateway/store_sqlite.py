"""The store of one gateway alone: one SQLite file in WAL mode, written by a thread of its own.

`synchronous=FULL`: a commit that was reported is on disk. Quotes, fresh answers and used units are in memory as well.
"""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import IO, Any, ClassVar, Final, TypeVar

from aitoken.pay.layouts import Receipt
from aitoken.pay.seller import SellerLane, Signed
from aitoken.types import Balance, Hash32, Moment
from gateway.store import (
    Change,
    Store,
    StoredAnswer,
    StoredLane,
    StoredSession,
    StoreFailed,
    StoreUnusable,
    Turn,
    Wanted,
)

PERIODS_MAX: Final = 100_000
KEYS_MAX: Final = 500_000
"""Keys of answers that are known by heart; what is not among them needs no look at the disk."""

_T = TypeVar("_T")
SCHEMA: Final = """
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
CREATE TABLE IF NOT EXISTS orders (
  payer BLOB NOT NULL, nonce BLOB NOT NULL, statement BLOB NOT NULL, signature BLOB NOT NULL, until INTEGER NOT NULL,
  state TEXT NOT NULL, amount TEXT NOT NULL, at INTEGER NOT NULL, taker BLOB NOT NULL,
  PRIMARY KEY (payer, nonce)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS offers (
  request BLOB NOT NULL, service INTEGER NOT NULL, book INTEGER NOT NULL, max_charge TEXT NOT NULL,
  until INTEGER NOT NULL, PRIMARY KEY (request, service, book)) WITHOUT ROWID;
"""


class _Turn:
    """A step of a session: nobody else takes any, so memory is right and changes go to the next group."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def __aenter__(self) -> Turn:
        return self

    async def __aexit__(self, *_: object) -> None:
        """There is nothing to wait for."""

    def keep(self, lane: SellerLane, *, begins: bool = False) -> None:  # noqa: ARG002 - memory knows what is in flight
        """Remember a lane's best voucher."""
        if lane.voucher is not None and lane.signed_voucher is not None:
            self._store.put_voucher(lane.voucher.session_id, lane.number, lane.signed_voucher, retired=lane.retired)

    def close(self, session: Hash32) -> None:
        """Remember that the session's final total was signed."""
        self._store.put_closing(session)


class KnownKeys:
    """Which keys may have an answer on disk: nearly all that are asked for are new, and need no look.

    Keys live in two generations. When everything in the older one must be off the disk, it is dropped and the younger
    takes its place; one that grew too large answers "perhaps" to everything while it lives.
    """

    def __init__(self, keys: Iterable[tuple[bytes, bytes]], most: int) -> None:
        self._most = most
        self._young: set[bytes] | None = set()
        self._old: set[bytes] | None = set()
        self._since: Moment | None = None
        for session, key in keys:
            self.add(session, key)

    def add(self, session: bytes, key: bytes) -> None:
        """Remember a key."""
        if self._young is not None:
            self._young.add(session[:8] + key[:16])
            if len(self._young) > self._most:
                self._young = None

    def may_have(self, session: bytes, key: bytes) -> bool:
        """Tell whether a key may have an answer."""
        if self._young is None or self._old is None:
            return True
        short = session[:8] + key[:16]
        return short in self._young or short in self._old

    def turn(self, before: Moment, now: Moment) -> None:
        """Drop the older generation, if the younger one began before all that is still kept."""
        if self._since is None:
            self._since = now
        elif self._since < before:
            self._old, self._young, self._since = self._young, set(), now


class SqliteStore(Store):
    """The file. Build it with `open_store`."""

    shared: ClassVar[bool] = False

    def __init__(
        self, connection: sqlite3.Connection, reader: sqlite3.Connection, lock: IO[bytes], *, clean: bool
    ) -> None:
        super().__init__()
        self._connection = connection
        self._reader = reader
        self._lock = lock
        self._thread = ThreadPoolExecutor(1, "gateway-store")
        self._reading = ThreadPoolExecutor(1, "gateway-store-reader")
        self._offers = {
            (Hash32(request), service, book): (Balance(int(charge)), Moment(until))
            for request, service, book, charge, until in connection.execute("SELECT * FROM offers")
        }
        self._used: dict[tuple[int, int], dict[int, int]] = {}
        self._flying: dict[tuple[int, int], dict[int, int]] = {}
        for subscription, period, unit, quantity in connection.execute("SELECT * FROM used"):
            self._used.setdefault((subscription, period), {})[unit] = int(quantity)
        self._turn = _Turn(self)
        keys = connection.execute("SELECT session, key FROM answers LIMIT ?", (KEYS_MAX + 1,))
        self._keys = KnownKeys(keys.fetchall(), KEYS_MAX)
        self.clean = clean

    def turn(
        self,
        session: Hash32,  # noqa: ARG002 - shared stores need it
        lane: int | None,  # noqa: ARG002 - shared stores need it
        follow: Callable[[StoredSession], None],  # noqa: ARG002 - shared stores need it
    ) -> AbstractAsyncContextManager[Turn]:
        """Take one step of a session; all are ours."""
        return self._turn

    def put_voucher(self, session: Hash32, lane: int, voucher: Signed, *, retired: bool) -> None:
        """Remember a lane's best voucher."""
        self._put(Change(PUT_VOUCHER, (session, lane, voucher.statement, voucher.signature, int(retired))))

    def put_closing(self, session: Hash32) -> None:
        """Remember that a session's final total was signed, so nothing more is served from it."""
        self._put(Change("INSERT OR IGNORE INTO closings VALUES (?)", (session,)))

    def put_receipt(self, receipt: Receipt, signed: Signed) -> None:
        """Remember a receipt as the lane's last, and for ever."""
        session, lane = receipt.session_id, receipt.lane
        values = (session, lane, receipt.seq, receipt.finished, signed.statement, signed.signature)
        self._put(Change(PUT_RECEIPT, values))

    async def kept(self, receipt: Receipt, signed: Signed) -> None:  # noqa: ARG002 - one writer, one order
        """Wait, with a lane's first receipt, until the disk knows the lane: it must be retired after a crash."""
        if receipt.seq == 1:
            await self.synced()

    # ------------------------------------------------------------------------------------------- units of plans

    async def set_aside(self, subscription: int, period: int, wanted: Mapping[int, Wanted]) -> dict[int, int]:
        """Set aside units of a plan's period for a request."""
        place = (subscription, period)
        flying, used, units = self._flying.setdefault(place, {}), self._used.setdefault(place, {}), {}
        for unit, want in wanted.items():
            used[unit] = max(used.get(unit, 0), want.used)
            units[unit] = min(want.quantity, max(0, want.included - used[unit] - flying.get(unit, 0)))
            flying[unit] = flying.get(unit, 0) + units[unit]
        return units

    def put_used(
        self,
        subscription: int,
        period: int,
        units: Mapping[int, tuple[int, int]],
        number: int,  # noqa: ARG002 - shared stores need it
    ) -> None:
        """Count what was used of units that were set aside."""
        place = (subscription, period)
        flying, used = self._flying[place], self._used.setdefault(place, {})
        for unit, (aside, spent) in units.items():
            flying[unit] -= aside
            if spent:
                used[unit] = used.get(unit, 0) + spent
                sql = "INSERT INTO used VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET quantity = excluded.quantity"
                self._put(Change(sql, (*place, unit, str(used[unit]))))
        if not any(flying.values()):
            del self._flying[place]
        while len(self._used) > PERIODS_MAX:
            del self._used[next(iter(self._used))]

    # ------------------------------------------------------------------------------------------- nobody else is here

    async def begin_key(self, session: Hash32, key: Hash32, body: Hash32) -> Hash32 | None:  # noqa: ARG002 - shared stores need it
        """Begin to answer a key; memory knows which are being answered."""
        return None

    def end_key(self, session: Hash32, key: Hash32) -> None:
        """Say that a key is answered."""

    async def may_claim(self) -> bool:
        """There is nobody else to claim."""
        return True

    async def owing(self) -> list[Hash32]:
        """All that owe something are in memory."""
        return []

    async def keep_lease(self) -> None:
        """There is nobody to tell."""

    def _offer_change(self, place: tuple[Hash32, int, int], max_charge: Balance, until: Moment) -> Change:
        sql = (
            "INSERT INTO offers VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET max_charge = excluded.max_charge, "
            "until = excluded.until"
        )
        return Change(sql, (*place, str(max_charge), until))

    async def offer(self, request: Hash32, service: int, book: int, now: Moment) -> Balance | None:
        """Return the charge a quote that still holds allows for a request."""
        charge, until = self._offers.get((request, service, book), (None, Moment(0)))
        return charge if until >= now else None

    # ------------------------------------------------------------------------------------------- the file

    async def lanes(self, session: Hash32, lane: int | None = None) -> list[StoredLane]:
        """Return all lanes of a session, or one of them."""
        rows = await self._rows(
            "SELECT lane, voucher, voucher_signature, receipt, receipt_signature, retired, claimed FROM lanes "
            "WHERE session = ? ORDER BY lane", session,
        )  # fmt: skip
        return list(_lanes(session, rows, lane))

    def put_answer(self, session: Hash32, key: Hash32, at: Moment, answer: StoredAnswer) -> None:
        """Remember an answer by its key; the first of a key stays."""
        self._keys.add(session, key)
        super().put_answer(session, key, at, answer)

    def forget(self, before: Moment, now: Moment) -> None:
        """Drop what is old."""
        super().forget(before, now)
        self._keys.turn(before, now)

    def may_have_answer(self, session: Hash32, key: Hash32) -> bool:
        """Whether there may be an answer for an `Idempotency-Key`."""
        return self._keys.may_have(session, key)

    async def answer(self, session: Hash32, key: Hash32) -> StoredAnswer | None:
        """Return the answer kept for an `Idempotency-Key`, without waiting for the disk."""
        if not self.may_have_answer(session, key):
            return None
        return self._fresh.get((session, key)) or await super().answer(session, key)

    async def _rows(self, sql: str, *values: Any, synced: bool = True) -> list[Any]:
        if synced:
            await self.synced()
        return await self._read(lambda: self._reader.execute(sql, values).fetchall())

    async def _write(self, changes: Sequence[Change]) -> None:
        try:
            await self._call(lambda: write(self._connection, changes))
        except sqlite3.Error as error:
            raise StoreFailed(f"the store failed: {error}") from error

    def _read(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._reading, work)

    def _call(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _open(self) -> None:
        """It is open already."""

    async def _shut(self, *, good: bool) -> None:
        if good:
            await self._write([Change(_SET_META, ("clean", b"\x01"))])
        await self._read(self._reader.close)
        await self._call(self._connection.close)
        self._reading.shutdown()
        self._thread.shutdown()
        self._lock.close()


_SET_META: Final = "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"


PUT_VOUCHER: Final = (
    "INSERT INTO lanes (session, lane, voucher, voucher_signature, retired) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET voucher = excluded.voucher, voucher_signature = excluded.voucher_signature, "
    "retired = MAX(retired, excluded.retired)"
)
PUT_RECEIPT: Final = "INSERT INTO receipts (session, lane, seq, at, statement, signature) VALUES (?, ?, ?, ?, ?, ?)"
"""Its lane has it as the last one as well: `PUT_LAST`."""

PUT_LAST: Final = (
    "INSERT INTO lanes (session, lane, receipt, receipt_signature) VALUES (?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET receipt = excluded.receipt, receipt_signature = excluded.receipt_signature"
)
_PUT_LANE: Final = (
    "INSERT INTO lanes (session, lane, voucher, voucher_signature, retired, receipt, receipt_signature) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET voucher = COALESCE(excluded.voucher, voucher), "
    "voucher_signature = COALESCE(excluded.voucher_signature, voucher_signature), "
    "retired = MAX(retired, excluded.retired), receipt = COALESCE(excluded.receipt, receipt), "
    "receipt_signature = COALESCE(excluded.receipt_signature, receipt_signature)"
)


def write_one_by_one(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Do changes as they were put: the plain way of `gathered`."""
    for change in changes:
        connection.execute(change.sql, change.values)
        if change.sql is PUT_RECEIPT:
            session, lane, _, _, statement, signature = change.values
            connection.execute(PUT_LAST, (session, lane, statement, signature))


def _unadapted(values: Sequence[Any]) -> list[Any]:
    """Return a row with its bytes in the one type for which `sqlite3` looks up no adapter, which takes longer."""
    return [bytearray(value) if type(value) is bytes else value for value in values]


def write_gathered(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Do changes with one statement for all receipts, and one for each lane.

    Of a lane's vouchers and receipts in one group only the last count. Nothing else of a group touches what they write,
    and what changes a lane finds it there, so they may come first.
    """
    receipts: list[tuple[Any, ...]] = []
    lanes: dict[tuple[Any, Any], list[Any]] = {}
    rest: list[Change] = []
    for change in changes:
        values = change.values
        if change.sql is PUT_RECEIPT:
            receipts.append(values)
            lane = lanes.setdefault(values[:2], [None, None, 0, None, None])
            lane[3:] = values[4:]
        elif change.sql is PUT_VOUCHER:
            lane = lanes.setdefault(values[:2], [None, None, 0, None, None])
            lane[:3] = values[2], values[3], max(lane[2], values[4])
        else:
            rest.append(change)
    connection.executemany(PUT_RECEIPT, map(_unadapted, receipts))
    connection.executemany(_PUT_LANE, [_unadapted((*place, *lane)) for place, lane in lanes.items()])
    for change in rest:
        connection.execute(change.sql, change.values)


def write(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Commit changes together."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        write_gathered(connection, changes)
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _lanes(session: Hash32, rows: Iterable[Any], only: int | None) -> Iterable[StoredLane]:
    for lane, voucher, voucher_signature, receipt, receipt_signature, retired, claimed in rows:
        if only is None or lane == only:
            yield StoredLane(
                session, lane,
                None if voucher is None else Signed(voucher, voucher_signature),
                None if receipt is None else Signed(receipt, receipt_signature),
                bool(retired), Balance(int(claimed)),
            )  # fmt: skip


def open_file(folder: Path, owner: bytes) -> SqliteStore:
    """Open, or begin, the store in a folder.

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
        connection.executescript(SCHEMA)
        clean = _take_over(connection, folder / "gateway.floor", owner)
        reader = sqlite3.connect(folder / "gateway.sqlite", isolation_level=None, check_same_thread=False)
    except (sqlite3.Error, StoreUnusable) as error:
        connection.close()
        lock.close()
        raise StoreUnusable(str(error)) from None
    return SqliteStore(connection, reader, lock, clean=clean)


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
    write(connection, [Change(_SET_META, change) for change in changes])
    floor.write_text(f"{starts}\n")
    return clean
