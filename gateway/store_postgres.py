"""The store several gateways of one provider share: a PostgreSQL database, or a schema of one.

    gateways   each start of a gateway has a number of its own and a lease that it renews
    lanes      as everywhere, with what is reserved (`lane_end`) and the gateway that has a request in flight
    running    `Idempotency-Key`s that are being answered
    aside      included units of plans set aside for requests in flight
    duties     which gateway brings claims to the chain

One lane is served by one gateway at a time: a request writes its gateway's number into the lane's row, under a lock of
the session and with what is reserved for all lanes in sight; the receipt takes it out again, and is committed only if
the number is still there. Numbers are never used twice, so a gateway that was taken for dead and is not cannot commit.

Taking a lane need not survive a crash of the database (a receipt could then not be committed), so only receipts and
final totals wait for its disk. Whose lease ran out is dead to all: what it had in flight is retired or free again.
When the database does not answer, or takes this gateway for dead, the gateway stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar, Final
from weakref import WeakValueDictionary

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from aitoken.pay.layouts import Receipt
from aitoken.pay.seller import SellerLane, Signed
from aitoken.types import Balance, Hash32, Moment
from gateway.store import (
    Change,
    Held,
    LaneLost,
    Store,
    StoredLane,
    StoredSession,
    StoreFailed,
    StoreUnusable,
    Turn,
    Wanted,
    finished,
)

CONNECTIONS: Final = 8
CONNECT_S: Final = 60.0
"""How long one waits for a connection."""
ATTEMPTS: Final = 5
"""How often a group is tried when others write the same rows in another order."""

Connection = psycopg.AsyncConnection[TupleRow]
_LOCK: Final = 0x6169746F6B656E
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BYTEA NOT NULL);
CREATE TABLE IF NOT EXISTS gateways (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, until TIMESTAMPTZ NOT NULL, ended BOOLEAN NOT NULL DEFAULT FALSE);
CREATE TABLE IF NOT EXISTS duties (name TEXT PRIMARY KEY, gateway BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS lanes (
  session BYTEA NOT NULL, lane INTEGER NOT NULL, voucher BYTEA, voucher_signature BYTEA, receipt BYTEA,
  receipt_signature BYTEA, retired INTEGER NOT NULL DEFAULT 0, claimed NUMERIC(39) NOT NULL DEFAULT 0,
  lane_total NUMERIC(39) NOT NULL DEFAULT 0, lane_end NUMERIC(39) NOT NULL DEFAULT 0, gateway BIGINT,
  PRIMARY KEY (session, lane), CHECK (lane_total <= lane_end));
CREATE INDEX IF NOT EXISTS lanes_in_flight ON lanes (gateway) WHERE gateway IS NOT NULL;
CREATE INDEX IF NOT EXISTS lanes_owing ON lanes (session) WHERE lane_end > claimed;
CREATE TABLE IF NOT EXISTS receipts (
  session BYTEA NOT NULL, lane INTEGER NOT NULL, seq BIGINT NOT NULL, at BIGINT NOT NULL, statement BYTEA NOT NULL,
  signature BYTEA NOT NULL, PRIMARY KEY (session, lane, seq));
CREATE TABLE IF NOT EXISTS answers (
  session BYTEA NOT NULL, key BYTEA NOT NULL, body BYTEA NOT NULL, at BIGINT NOT NULL, status INTEGER NOT NULL,
  content_type TEXT NOT NULL, answer BYTEA, receipt BYTEA NOT NULL, receipt_signature BYTEA NOT NULL,
  PRIMARY KEY (session, key));
CREATE INDEX IF NOT EXISTS answers_by_age ON answers (at);
CREATE TABLE IF NOT EXISTS running (
  session BYTEA NOT NULL, key BYTEA NOT NULL, body BYTEA NOT NULL, gateway BIGINT NOT NULL, PRIMARY KEY (session, key));
CREATE TABLE IF NOT EXISTS closings (session BYTEA PRIMARY KEY);
CREATE TABLE IF NOT EXISTS used (
  subscription BIGINT NOT NULL, period BIGINT NOT NULL, unit INTEGER NOT NULL, quantity NUMERIC(39) NOT NULL,
  PRIMARY KEY (subscription, period, unit));
CREATE TABLE IF NOT EXISTS aside (
  gateway BIGINT NOT NULL, subscription BIGINT NOT NULL, period BIGINT NOT NULL, unit INTEGER NOT NULL,
  quantity NUMERIC(39) NOT NULL, PRIMARY KEY (subscription, period, unit, gateway));
CREATE TABLE IF NOT EXISTS orders (
  payer BYTEA NOT NULL, nonce BYTEA NOT NULL, statement BYTEA NOT NULL, signature BYTEA NOT NULL,
  until BIGINT NOT NULL, state TEXT NOT NULL, amount TEXT NOT NULL, at BIGINT NOT NULL, taker BYTEA NOT NULL,
  PRIMARY KEY (payer, nonce));
CREATE INDEX IF NOT EXISTS orders_owed ON orders (state) WHERE state = 'owed';
CREATE TABLE IF NOT EXISTS offers (
  request BYTEA NOT NULL, service BIGINT NOT NULL, book BIGINT NOT NULL, max_charge NUMERIC(39) NOT NULL,
  until BIGINT NOT NULL, PRIMARY KEY (request, service, book));
"""
_LANE: Final = (
    "SELECT lane, voucher, voucher_signature, receipt, receipt_signature, retired, claimed, lane_end, gateway "
    "FROM lanes WHERE session = %s"
)
_KEEP: Final = (
    "INSERT INTO lanes AS old (session, lane, voucher, voucher_signature, retired, lane_total, lane_end, gateway) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (session, lane) DO UPDATE SET voucher = excluded.voucher, "
    "voucher_signature = excluded.voucher_signature, retired = GREATEST(old.retired, excluded.retired), "
    "lane_total = excluded.lane_total, lane_end = excluded.lane_end, gateway = COALESCE(excluded.gateway, old.gateway)"
)
_RECEIPT: Final = (
    "WITH mine AS (UPDATE lanes SET receipt = ?, receipt_signature = ?, lane_total = ?, lane_end = ?, gateway = NULL "
    "WHERE session = ? AND lane = ? AND gateway = ? RETURNING session, lane) "
    "INSERT INTO receipts SELECT session, lane, ?::bigint, ?::bigint, ?::bytea, ?::bytea FROM mine"
)
_USED: Final = (
    "WITH held AS (SELECT * FROM used WHERE subscription = ? AND period = ? AND unit = ? FOR UPDATE), "
    "mine AS (UPDATE aside SET quantity = aside.quantity - ? FROM held WHERE aside.subscription = held.subscription "
    "AND aside.period = held.period AND aside.unit = held.unit AND aside.gateway = ? RETURNING aside.subscription, "
    "aside.period, aside.unit) "
    "UPDATE used SET quantity = used.quantity + ? FROM mine WHERE used.subscription = mine.subscription "
    "AND used.period = mine.period AND used.unit = mine.unit"
)
SWEEP: Final = (
    "UPDATE gateways SET ended = TRUE WHERE NOT ended AND until < clock_timestamp()",
    "UPDATE lanes SET retired = 1, gateway = NULL, lane_end = lane_total "
    "WHERE gateway IN (SELECT id FROM gateways WHERE ended)",
    "DELETE FROM running WHERE gateway IN (SELECT id FROM gateways WHERE ended)",
    "DELETE FROM aside WHERE gateway IN (SELECT id FROM gateways WHERE ended)",
)


class _Turn:
    """A step of a session, as one transaction."""

    def __init__(
        self, store: PostgresStore, session: Hash32, lane: int | None, follow: Callable[[StoredSession], None],
        lock: asyncio.Lock,
    ) -> None:  # fmt: skip
        self._store = store
        self._follow = follow
        self._session = session
        self._lane = lane
        self._lock = lock
        self._connection: Connection | None = None
        self._changes: list[tuple[str, tuple[Any, ...]]] = []

    async def __aenter__(self) -> Turn:
        await self._lock.acquire()
        try:
            while True:
                if self._lane is None or self._store.is_pending(self._session, self._lane):
                    await self._store.synced()
                found = await self._begin()
                if self._lane is None or not self._store.is_pending(self._session, self._lane):
                    self._follow(found)
                    return self
                await self._end(good=False)  # a receipt of this lane was written meanwhile
        except BaseException as error:
            await finished(self._end(good=False))
            self._lock.release()
            if isinstance(error, psycopg.Error):
                raise self._store.failed(error) from error
            raise

    async def __aexit__(self, kind: object, *_: object) -> None:
        # What was admitted is committed, whoever hangs up meanwhile.
        try:
            await finished(self._end(good=kind is None))
        finally:
            self._lock.release()

    async def _begin(self) -> StoredSession:
        self._connection = connection = await self._store.connection()
        of_one = "" if self._lane is None else " AND lane = %s"
        place = (self._session,) if self._lane is None else (self._session, self._lane)
        async with connection.pipeline():
            await connection.execute("BEGIN")
            # Each statement sees what was committed before it began: the sum is read once the lock is held.
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_number_of(self._session),))
            told = await connection.execute(
                "SELECT (SELECT COALESCE(SUM(lane_end), 0) FROM lanes WHERE session = %s), "
                "EXISTS (SELECT 1 FROM closings WHERE session = %s)", (self._session, self._session),
            )  # fmt: skip
            lanes = await connection.execute(_LANE + of_one + " ORDER BY lane FOR UPDATE", place)
            reserved, closing = await told.fetchone() or (0, False)
            found = tuple(self._store.lane_of(self._session, row) for row in await lanes.fetchall())
        return StoredSession(Balance(int(reserved)), bool(closing), found)

    async def _end(self, *, good: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if good:
                async with connection.pipeline():
                    for sql, values in self._changes:
                        await connection.execute(sql, values)
                    await connection.execute("COMMIT")
            elif not connection.broken:
                await connection.rollback()
        except psycopg.Error as error:
            raise self._store.failed(error) from error
        finally:
            await self._store.give_back(connection)

    def keep(self, lane: SellerLane, *, begins: bool = False) -> None:
        """Remember a lane's best voucher and what is reserved for it."""
        if lane.signed_voucher is None:
            return
        total = lane.total if lane.busy else lane.end
        values = (
            self._session, lane.number, lane.signed_voucher.statement, lane.signed_voucher.signature,
            int(lane.retired), str(total), str(lane.end), self._store.number if begins else None,
        )  # fmt: skip
        self._changes.append((_KEEP, values))

    def close(self, session: Hash32) -> None:
        """Remember that the session's final total was signed."""
        self._changes.append(("SET LOCAL synchronous_commit TO on", ()))
        self._changes.append(("INSERT INTO closings VALUES (%s) ON CONFLICT DO NOTHING", (session,)))


class PostgresStore(Store):
    """The shared store. Build it with `open_store`.

    Attributes:
        number: of this start of this gateway.
    """

    shared: ClassVar[bool] = True

    def __init__(self, url: str, owner: bytes, folder: Path | None, lease_s: float) -> None:
        super().__init__()
        self._url = url
        self._owner = owner
        self._folder = folder
        self._lease_s = lease_s
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url, min_size=2, max_size=CONNECTIONS, open=False, timeout=CONNECT_S, configure=_configure,
            kwargs={"autocommit": True},
        )  # fmt: skip
        self._locks: WeakValueDictionary[Hash32, asyncio.Lock] = WeakValueDictionary()
        self._not_settled: dict[tuple[Hash32, int], bytes] = {}
        self._lost: set[bytes] = set()
        self.number = 0

    # ------------------------------------------------------------------------------------------- steps of sessions

    def turn(
        self, session: Hash32, lane: int | None, follow: Callable[[StoredSession], None]
    ) -> AbstractAsyncContextManager[Turn]:
        """Take one step of a session."""
        lock = self._locks.get(session)
        if lock is None:
            lock = self._locks[session] = asyncio.Lock()
        return _Turn(self, session, lane, follow, lock)

    def is_pending(self, session: Hash32, lane: int) -> bool:
        """Tell whether a receipt of a lane waits to be committed."""
        return (session, lane) in self._not_settled

    def lane_of(self, session: Hash32, row: TupleRow) -> StoredLane:
        """Return a row of `lanes`."""
        lane, voucher, voucher_signature, receipt, receipt_signature, retired, claimed, end, gateway = row
        held = Held.NOWHERE if gateway is None else Held.HERE if gateway == self.number else Held.ELSEWHERE
        return StoredLane(
            session, lane,
            None if voucher is None else Signed(voucher, voucher_signature),
            None if receipt is None else Signed(receipt, receipt_signature),
            bool(retired), Balance(int(claimed)), Balance(int(end)), held,
        )  # fmt: skip

    def put_receipt(self, receipt: Receipt, signed: Signed) -> None:
        """Remember a receipt, if the lane is still ours."""
        session, lane, total = receipt.session_id, receipt.lane, str(receipt.lane_total)
        self._not_settled[session, lane] = signed.signature
        values = (
            signed.statement, signed.signature, total, total, session, lane, self.number, receipt.seq,
            receipt.finished, signed.statement, signed.signature,
        )  # fmt: skip
        self._put(Change(_RECEIPT, values, signed.signature, is_receipt=True))

    async def kept(self, receipt: Receipt, signed: Signed) -> None:  # noqa: ARG002 - every receipt is waited for
        """Wait until a receipt is committed."""
        await self.synced()
        if signed.signature in self._lost:
            self._lost.discard(signed.signature)
            raise LaneLost("the other gateways have taken this one for dead, and its lane away")

    # ------------------------------------------------------------------------------------------- units of plans

    async def set_aside(self, subscription: int, period: int, wanted: Mapping[int, Wanted]) -> dict[int, int]:
        """Set aside units of a plan's period for a request."""
        return await finished(self._set_aside((subscription, period), wanted))

    async def _set_aside(self, place: tuple[int, int], wanted: Mapping[int, Wanted]) -> dict[int, int]:
        units: dict[int, int] = {}
        connection = await self.connection()
        try:
            async with connection.transaction():
                for unit, want in sorted(wanted.items()):
                    cursor = await connection.execute(
                        "INSERT INTO used VALUES (%s, %s, %s, %s) ON CONFLICT (subscription, period, unit) "
                        "DO UPDATE SET quantity = GREATEST(used.quantity, excluded.quantity) RETURNING quantity",
                        (*place, unit, str(want.used)),
                    )
                    used = int((await cursor.fetchone() or (0,))[0])
                    cursor = await connection.execute(
                        "SELECT COALESCE(SUM(quantity), 0) FROM aside "
                        "WHERE subscription = %s AND period = %s AND unit = %s", (*place, unit),
                    )  # fmt: skip
                    flying = int((await cursor.fetchone() or (0,))[0])
                    units[unit] = min(want.quantity, max(0, want.included - used - flying))
                    await connection.execute(
                        "INSERT INTO aside (gateway, subscription, period, unit, quantity) VALUES (%s, %s, %s, %s, %s) "
                        "ON CONFLICT (subscription, period, unit, gateway) "
                        "DO UPDATE SET quantity = aside.quantity + excluded.quantity",
                        (self.number, *place, unit, str(units[unit])),
                    )
        except psycopg.Error as error:
            raise self.failed(error) from error
        finally:
            await self.give_back(connection)
        return units

    def put_used(self, subscription: int, period: int, units: Mapping[int, tuple[int, int]]) -> None:
        """Count what was used of units that were set aside."""
        for unit, (aside, spent) in units.items():
            place = (subscription, period, unit)
            self._put(Change(_USED, (*place, str(aside), self.number, str(spent)), order=place))

    # ------------------------------------------------------------------------------------------- work of one of many

    async def begin_key(self, session: Hash32, key: Hash32, body: Hash32) -> Hash32 | None:
        """Begin to answer a key, unless another gateway is at it."""
        return await finished(self._begin_key(session, key, body))

    async def _begin_key(self, session: Hash32, key: Hash32, body: Hash32) -> Hash32 | None:
        await self.synced()  # a key that was ended here a moment ago is free
        sql = "INSERT INTO running VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING body"
        if await self._rows(sql, session, key, body, self.number, synced=False):
            return None
        rows = await self._rows("SELECT body FROM running WHERE session = ? AND key = ?", session, key, synced=False)
        return Hash32(rows[0][0]) if rows else await self._begin_key(session, key, body)

    def end_key(self, session: Hash32, key: Hash32) -> None:
        """Say that the key is answered; with its answer, or after it."""
        sql = "DELETE FROM running WHERE session = ? AND key = ? AND gateway = ?"
        self._put(Change(sql, (session, key, self.number)))

    async def may_claim(self) -> bool:
        """Tell whether it is this gateway that brings claims to the chain; take it over from a dead one."""
        sql = (
            "INSERT INTO duties VALUES ('claims', ?) ON CONFLICT (name) DO UPDATE SET gateway = excluded.gateway "
            "WHERE duties.gateway = excluded.gateway OR duties.gateway IN (SELECT id FROM gateways WHERE ended) "
            "RETURNING gateway"
        )
        return bool(await self._rows(sql, self.number, synced=False))

    async def owing(self) -> list[Hash32]:
        """Return sessions that may owe something."""
        return [
            Hash32(row[0]) for row in await self._rows("SELECT DISTINCT session FROM lanes WHERE lane_end > claimed")
        ]

    async def keep_lease(self) -> None:
        """Renew this gateway's lease, and sweep up after others'."""
        sql = (
            "UPDATE gateways SET until = clock_timestamp() + ? * interval '1 s' WHERE id = ? AND NOT ended RETURNING 1"
        )
        while True:
            await asyncio.sleep(self._lease_s / 5)
            if not await self._rows(sql, self._lease_s, self.number, synced=False):
                failure = StoreFailed("the other gateways have taken this one for dead")
                self._fail(failure)
                raise failure
            await self.sweep()

    async def sweep(self) -> None:
        """Take the work of gateways whose lease ran out: their receipts stay, lanes with a request in flight retire."""
        await self._write([Change(sql, ()) for sql in SWEEP])

    def _offer_change(self, place: tuple[Hash32, int, int], max_charge: Balance, until: Moment) -> Change:
        sql = (
            "INSERT INTO offers VALUES (?, ?, ?, ?, ?) ON CONFLICT (request, service, book) DO UPDATE SET "
            "max_charge = LEAST(offers.max_charge, excluded.max_charge), until = GREATEST(offers.until, excluded.until)"
        )
        return Change(sql, (*place, str(max_charge), until))

    async def offer(self, request: Hash32, service: int, book: int, now: Moment) -> Balance | None:
        """Return the charge a quote of any gateway that still holds allows for a request."""
        sql = "SELECT max_charge FROM offers WHERE request = ? AND service = ? AND book = ? AND until >= ?"
        rows = await self._rows(sql, request, service, book, now, synced=False)
        return Balance(int(rows[0][0])) if rows else None

    # ------------------------------------------------------------------------------------------- the database

    async def lanes(self, session: Hash32, lane: int | None = None) -> list[StoredLane]:
        """Return all lanes of a session, or one of them."""
        rows = await self._rows(_LANE.replace("%s", "?") + " ORDER BY lane", session)
        found = [self.lane_of(session, row) for row in rows]
        return [one for one in found if lane is None or one.lane == lane]

    async def connection(self) -> Connection:
        """Take a connection."""
        try:
            return await self._pool.getconn()
        except (psycopg.Error, PoolTimeout) as error:
            raise self.failed(error) from error

    async def give_back(self, connection: Connection) -> None:
        """Give a connection back."""
        await self._pool.putconn(connection)

    def failed(self, error: Exception) -> StoreFailed:
        """Note that the database does not do what it must; return what to raise."""
        failure = StoreFailed(f"the store failed: {error}")
        self._fail(failure)
        return failure

    async def _rows(self, sql: str, *values: Any, synced: bool = True) -> list[Any]:
        if synced:
            await self.synced()
        connection = await self.connection()
        try:
            cursor = await connection.execute(_own(sql), values)
            return await cursor.fetchall()
        except psycopg.Error as error:
            raise self.failed(error) from error
        finally:
            await self.give_back(connection)

    async def _write(self, changes: Sequence[Change]) -> None:
        connection = await self.connection()
        try:
            self._lost |= await self._write_somehow(connection, changes)
        except psycopg.Error as error:
            raise self.failed(error) from error
        finally:
            await self.give_back(connection)
        for change in changes:
            if change.is_receipt:
                place = (change.values[4], change.values[5])
                if self._not_settled.get(place) == change.receipt:
                    del self._not_settled[place]

    async def _write_somehow(self, connection: Connection, changes: Sequence[Change]) -> set[bytes]:
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._write_once(connection, changes)
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                continue
        return await self._write_once(connection, changes)

    async def _write_once(self, connection: Connection, changes: Sequence[Change]) -> set[bytes]:
        """Commit changes; return signatures of receipts whose lane is not ours any more, which were left out."""
        receipts = [change for change in changes if change.is_receipt]
        lost: set[bytes] = set()
        async with connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit TO on")
            cursors = []
            async with connection.pipeline():
                for change in receipts:
                    cursor = connection.cursor()
                    await cursor.execute(_own(change.sql), change.values)
                    cursors.append(cursor)
            for change, cursor in zip(receipts, cursors, strict=True):
                if not cursor.rowcount:
                    lost.add(change.receipt)
            async with connection.pipeline():
                for change in sorted(changes, key=lambda change: change.order):
                    if not change.is_receipt and change.receipt not in lost:
                        await connection.execute(_own(change.sql), change.values)
        return lost

    async def _open(self) -> None:
        try:
            await (await psycopg.AsyncConnection.connect(self._url)).close()  # the pool would try again and again
            await self._pool.open(wait=True, timeout=CONNECT_S)
            async with self._pool.connection() as connection, connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                await connection.execute(_SCHEMA)
                await connection.execute(
                    "INSERT INTO meta VALUES ('owner', %s) ON CONFLICT (name) DO NOTHING", (self._owner,)
                )
                cursor = await connection.execute("SELECT value FROM meta WHERE name = 'owner'")
                if (await cursor.fetchone() or (b"",))[0] != self._owner:
                    raise StoreUnusable("the store belongs to another operator key or chain")
                self.number = await self._start(connection)
                for sql in SWEEP:
                    await connection.execute(sql)
        except (psycopg.Error, PoolTimeout) as error:
            await self._pool.close()
            raise StoreUnusable(f"the store cannot be used: {error}") from None
        except BaseException:
            await self._pool.close()
            raise

    async def _start(self, connection: Connection) -> int:
        """Take a number and a lease. Numbers only grow, so a store that gives one it gave before is an old copy."""
        cursor = await connection.execute(
            "INSERT INTO gateways (until) VALUES (clock_timestamp() + %s * interval '1 s') RETURNING id",
            (self._lease_s,),
        )
        number = int((await cursor.fetchone() or (0,))[0])
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            floor = self._folder / "gateway.floor"
            known = int(floor.read_text()) if floor.exists() else 0
            if number <= known:
                raise StoreUnusable(f"the store has seen {number} starts, {known} were noted: it is an old copy")
            floor.write_text(f"{number}\n")
        return number

    async def _shut(self, *, good: bool) -> None:
        try:
            if good:
                await self._rows("UPDATE gateways SET ended = TRUE WHERE id = ? RETURNING 1", self.number)
                await self.sweep()
        finally:
            await self._pool.close()


async def _configure(connection: Connection) -> None:
    """Read what is committed, statement by statement; wait for the disk only where it is said."""
    await connection.execute("SET default_transaction_isolation TO 'read committed'")
    await connection.execute("SET synchronous_commit TO off")


def _number_of(session: Hash32) -> int:
    """A lock's number; two sessions with the same one wait for each other, no more."""
    return int.from_bytes(session[:8], "little", signed=True)


def _own(sql: str) -> str:
    return sql.replace("?", "%s")
