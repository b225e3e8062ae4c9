"""The store several gateways of one provider share: a PostgreSQL database, or a schema of one.

    gateways   each start of a gateway has a number of its own and a lease that it renews
    lanes      as everywhere, with what is reserved (`lane_end`) and the gateway that has a request in flight
    running    `Idempotency-Key`s that are being answered
    aside      included units of plans set aside for requests in flight
    duties     which gateway brings claims to the chain

One lane is served by one gateway at a time: a request writes its gateway's number into the lane's row, under a lock of
the session and with what is reserved for all lanes in sight; the receipt takes it out again, and is committed only if
the number is still there. Numbers are never used twice, so a gateway that was taken for dead and is not cannot commit.

Taking a lane need not survive a crash of the database (a receipt could then not be committed), so only numbers,
receipts, countersignatures and final totals wait for its disk. Whose lease ran out is dead to all: what it had in
flight is retired or free again.

When the database is away, or takes this gateway for dead, the gateway is as good as dead: it serves nothing and drops
what it has in flight. As soon as the database is there it begins again, as a fresh start does, with a new number. One
group of receipts may have been on its way: whether it was committed is looked up then, and who waits for one is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Final
from weakref import WeakValueDictionary

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import PoolTimeout

from aitoken.pay.layouts import Receipt
from aitoken.pay.seller import SellerLane, Signed
from aitoken.types import Balance, Hash32, Moment
from gateway.postgres_link import AWAY, CONFLICTS, Connection, Link, words_of
from gateway.postgres_tables import KEEP, LANE, RECEIPT, SURELY, SWEEP, TABLES, USED
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

log = logging.getLogger(__name__)

ATTEMPTS: Final = 5
"""How often a group is tried when others write the same rows in another order."""

RETRY_S: Final = 0.1
RETRY_S_MAX: Final = 2.0
"""How long one waits before one looks again whether a database that was away is back: twice as long each time."""

START_S: Final = 300.0
"""How long a gateway waits for a database that is away when it starts; it may be the wrong one."""

FIRST_S: Final = 10.0
"""How long the first look for it takes at most."""

DOUBT_S: Final = 30.0
"""How long a receipt that was on its way when the database went away is waited for."""

_LOCK: Final = 0x6169746F6B656E


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
        self._link = store.link
        self._connection: Connection | None = None
        self._changes: list[tuple[str, tuple[Any, ...]]] = []
        self._begins: dict[tuple[Hash32, int], int] = {}

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
            try:
                await finished(self._end(good=False))
            finally:
                self._lock.release()
            if isinstance(error, psycopg.Error):
                raise self._store.failed(error, self._link) from error
            raise

    async def __aexit__(self, kind: object, *_: object) -> None:
        # What was admitted is committed, whoever hangs up meanwhile.
        try:
            await finished(self._end(good=kind is None))
        finally:
            self._lock.release()

    async def _begin(self) -> StoredSession:
        self._store.check()
        self._link = self._store.link
        self._connection = connection = await self._link.take()
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
            lanes = await connection.execute(LANE + of_one + " ORDER BY lane FOR UPDATE", place)
            reserved, closing = await told.fetchone() or (0, False)
            found = tuple(self._store.lane_of(self._session, row) for row in await lanes.fetchall())
        return StoredSession(Balance(int(reserved)), bool(closing), found)

    async def _end(self, *, good: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        begun = self._store.begun
        try:
            if good:
                begun.update(self._begins)
                async with connection.pipeline():
                    for sql, values in self._changes:
                        await connection.execute(sql, values)
                    await connection.execute("COMMIT")
            elif not connection.broken:
                await connection.rollback()
        except psycopg.Error as error:
            for place in self._begins:
                begun.pop(place, None)
            raise self._store.failed(error, self._link) from error
        finally:
            await self._link.give_back(connection)

    def keep(self, lane: SellerLane, *, begins: bool = False) -> None:
        """Remember a lane's best voucher and what is reserved for it."""
        if lane.signed_voucher is None:
            return
        total = lane.total if lane.busy else lane.end
        values = (
            self._session, lane.number, lane.signed_voucher.statement, lane.signed_voucher.signature,
            int(lane.retired), str(total), str(lane.end), self._store.number if begins else None,
        )  # fmt: skip
        if begins:
            self._begins[self._session, lane.number] = self._store.number
        elif not lane.busy:
            self._changes.append(SURELY)  # a countersignature is money
        self._changes.append((KEEP, values))

    def close(self, session: Hash32) -> None:
        """Remember that the session's final total was signed."""
        self._changes.append(SURELY)
        self._changes.append(("INSERT INTO closings VALUES (%s) ON CONFLICT DO NOTHING", (session,)))


class PostgresStore(Store):
    """The shared store. Build it with `open_store`.

    Attributes:
        link: to the database.
        begun: lanes with a request in flight here, and the number under which it began.
    """

    shared: ClassVar[bool] = True

    def __init__(self, url: str, owner: bytes, folder: Path | None, lease_s: float) -> None:
        super().__init__()
        self._url = url
        self._owner = owner
        self._folder = folder
        self._lease_s = lease_s
        self.link = Link(url)
        self.begun: dict[tuple[Hash32, int], int] = {}
        self._give_up_at = 0.0
        self._broken = False
        self._doubts: dict[bytes, asyncio.Event] = {}
        self._doubtful: list[Change] = []
        self._locks: WeakValueDictionary[Hash32, asyncio.Lock] = WeakValueDictionary()
        self._not_settled: dict[tuple[Hash32, int], bytes] = {}
        self._lost: set[bytes] = set()

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
        held = Held.NOWHERE if gateway is None else Held.ELSEWHERE
        if gateway == self.number or (session, lane) in self.begun:
            held = Held.HERE  # also where it began before the database was away, and is lost
        return StoredLane(
            session, lane,
            None if voucher is None else Signed(voucher, voucher_signature),
            None if receipt is None else Signed(receipt, receipt_signature),
            bool(retired), Balance(int(claimed)), Balance(int(end)), held,
        )  # fmt: skip

    def holds(self, session: Hash32, lane: int) -> bool:
        """Whether a request in flight began under the number this gateway still has."""
        return self._failed is None and self.begun.get((session, lane)) == self.number

    def put_receipt(self, receipt: Receipt, signed: Signed) -> None:
        """Remember a receipt, if the lane is still that of the number under which its request began."""
        session, lane, total = receipt.session_id, receipt.lane, str(receipt.lane_total)
        number = self.begun.pop((session, lane), 0)
        if number != self.number or self._failed is not None:
            self._lost.add(signed.signature)
            return
        self._not_settled[session, lane] = signed.signature
        values = (
            signed.statement, signed.signature, total, total, session, lane, number, receipt.seq,
            receipt.finished, signed.statement, signed.signature,
        )  # fmt: skip
        self._put(Change(RECEIPT, values, signed.signature, is_receipt=True))

    async def kept(self, receipt: Receipt, signed: Signed) -> None:  # noqa: ARG002 - every receipt is waited for
        """Wait until a receipt is committed."""
        if signed.signature not in self._lost:
            try:
                await self.synced()
            except StoreFailed:
                await self._resolved(signed.signature)
        if signed.signature in self._lost:
            self._lost.discard(signed.signature)
            raise LaneLost("the lane of the receipt is not this gateway's any more")

    async def _resolved(self, receipt: bytes) -> None:
        """Wait until it is known whether a receipt was committed, if it was on its way when the database went away."""
        known = self._doubts.get(receipt)
        if known is None:
            raise StoreFailed("the database went away before the receipt was kept")
        try:
            async with asyncio.timeout(DOUBT_S):
                await known.wait()
        except TimeoutError:
            raise StoreFailed("whether the receipt was kept is not known yet") from None

    def _put(self, change: Change) -> None:
        if self._failed is None:
            super()._put(change)

    # ------------------------------------------------------------------------------------------- units of plans

    async def set_aside(self, subscription: int, period: int, wanted: Mapping[int, Wanted]) -> dict[int, int]:
        """Set aside units of a plan's period for a request."""
        return await finished(self._set_aside((subscription, period), wanted))

    async def _set_aside(self, place: tuple[int, int], wanted: Mapping[int, Wanted]) -> dict[int, int]:
        units: dict[int, int] = {}
        async with self._connection() as connection, connection.transaction():
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
        return units

    def put_used(self, subscription: int, period: int, units: Mapping[int, tuple[int, int]], number: int) -> None:
        """Count what was used of units that were set aside."""
        for unit, (aside, spent) in units.items():
            place = (subscription, period, unit)
            self._put(Change(USED, (*place, str(aside), number, str(spent)), order=place))

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
        if self._failed is not None:
            return False
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
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._lease_s / 5)
            if self._failed is not None:
                continue
            late = loop.call_later(self._lease_s, self._fail, StoreFailed("the database does not answer"))
            try:
                if await self._rows(sql, self._lease_s, self.number, synced=False):
                    await self.sweep()
                else:
                    self._fail(StoreFailed("the other gateways have taken this one for dead"))
            except StoreFailed as failure:
                log.warning("a lease could not be renewed", extra={"reason": str(failure)})
            finally:
                late.cancel()

    async def sweep(self) -> None:
        """Take the work of gateways whose lease ran out: their receipts stay, lanes with a request in flight retire."""
        async with self._connection() as connection:
            await self._write_somehow(connection, [Change(sql, ()) for sql in SWEEP])

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
        rows = await self._rows(LANE.replace("%s", "?") + " ORDER BY lane", session)
        found = [self.lane_of(session, row) for row in rows]
        return [one for one in found if lane is None or one.lane == lane]

    def check(self) -> None:
        """Raise `StoreFailed` while the database is away."""
        if self._failed is not None:
            raise StoreFailed(f"the store is away: {self._failed}")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        self.check()
        link = self.link
        try:
            async with link.connection() as connection:
                yield connection
        except psycopg.Error as error:
            raise self.failed(error, link) from error

    def failed(self, error: psycopg.Error, link: Link) -> StoreFailed:
        """Return what to raise for an error of the database, which is away if it is that."""
        failure = StoreFailed(f"the store failed: {error}")
        if link is self.link and not isinstance(error, (*CONFLICTS, PoolTimeout)):
            self._broken = self._broken or not isinstance(error, AWAY)
            self._fail(failure)
        return failure

    async def _rows(self, sql: str, *values: Any, synced: bool = True) -> list[Any]:
        if synced:
            await self.synced()
        async with self._connection() as connection:
            cursor = await connection.execute(_own(sql), values)
            return await cursor.fetchall()

    async def _write(self, changes: Sequence[Change]) -> None:
        self._doubtful = [change for change in changes if change.is_receipt]
        self._doubts = {change.receipt: asyncio.Event() for change in self._doubtful}
        async with self._connection() as connection:
            lost = await self._write_somehow(connection, changes)
        self._known(lost)

    def _known(self, lost: set[bytes]) -> None:
        """Take note of which receipts of the last group were committed: all but those."""
        self._lost |= lost
        for change in self._doubtful:
            self._doubts[change.receipt].set()
            place = (change.values[4], change.values[5])
            if self._not_settled.get(place) == change.receipt:
                del self._not_settled[place]
        self._doubtful, self._doubts = [], {}

    async def _write_somehow(self, connection: Connection, changes: Sequence[Change]) -> set[bytes]:
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._write_once(connection, changes)
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                continue
        return await self._write_once(connection, changes)

    async def _write_once(self, connection: Connection, changes: Sequence[Change]) -> set[bytes]:
        """Commit changes; return signatures of receipts whose lane is not ours any more, which were left out."""
        # In order, as a step that takes all lanes of a session locks them.
        receipts = sorted((one for one in changes if one.is_receipt), key=lambda one: one.values[4:6])
        lost: set[bytes] = set()
        async with connection.transaction():
            await connection.execute(*SURELY)
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
        """Begin; where the database is away, `run` goes on with that."""
        self._give_up_at = asyncio.get_running_loop().time() + START_S
        try:
            async with asyncio.timeout(FIRST_S):
                await self._begin()
        except (*AWAY, TimeoutError) as error:
            log.warning("the database is not there: it is waited for", extra={"seconds": START_S})
            self._fail(StoreFailed(f"the database is not there: {words_of(error)}"))

    async def _begin(self) -> None:
        """Connect, take a number, and take the work of those that are dead; the number before is."""
        try:
            await self.link.open()
            async with self.link.connection() as connection, connection.transaction():
                await connection.execute(*SURELY)
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                await connection.execute(TABLES)
                await connection.execute(
                    "INSERT INTO meta VALUES ('owner', %s) ON CONFLICT (name) DO NOTHING", (self._owner,)
                )
                cursor = await connection.execute("SELECT value FROM meta WHERE name = 'owner'")
                if (await cursor.fetchone() or (b"",))[0] != self._owner:
                    raise StoreUnusable("the store belongs to another operator key or chain")
                number = await self._start(connection)
                await connection.execute("UPDATE gateways SET ended = TRUE WHERE id = %s", (self.number,))
                for sql in SWEEP:
                    await connection.execute(sql)
            self.number = number
        except BaseException as error:
            await self.link.close()
            if isinstance(error, psycopg.Error) and not isinstance(error, AWAY):
                raise StoreUnusable(f"the store cannot be used: {words_of(error)}") from None
            raise

    async def _go_on(self, failure: StoreFailed) -> None:
        if self._broken:
            raise failure
        log.warning("the store is away", extra={"reason": str(failure)})
        self._pending.clear()
        self._fresh.clear()
        await self.link.close()
        self._known(await self._begin_again())
        self._not_settled.clear()
        self._committed, self._failed = self._put_last, None
        for place, (max_charge, until) in self._offers.items():
            self._put(self._offer_change(place, max_charge, until))  # quotes that left bind
        log.warning("the store is back", extra={"number": self.number})

    async def _begin_again(self) -> set[bytes]:
        """Begin as soon as the database is there; return what `_look_up` does.

        Raises:
            StoreFailed: it has not been there since the start, and was waited for long enough.
        """
        pause, task = RETRY_S, asyncio.current_task()
        while True:
            lost: set[bytes] | None = None
            try:
                async with asyncio.timeout(self._lease_s):
                    self.link = Link(self._url)
                    await self._begin()
                    lost = await self._look_up()
            except (*AWAY, TimeoutError) as error:
                log.debug("the store is still away", extra={"reason": words_of(error)})
                if not self.number and asyncio.get_running_loop().time() >= self._give_up_at:
                    raise StoreFailed(f"no database within {START_S:.0f} s: {words_of(error)}") from None
            if task is not None and task.cancelling():
                raise asyncio.CancelledError  # `wait_for` of Python 3.11 forgets it if it comes with an answer
            if lost is not None:
                return lost
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_S_MAX)

    async def _look_up(self) -> set[bytes]:
        """Return which receipts of the group that was on its way were not committed, and never will be."""
        lost = set[bytes]()
        async with self.link.connection() as connection:
            for change in self._doubtful:
                cursor = await connection.execute(
                    "SELECT 1 FROM receipts WHERE session = %s AND lane = %s AND seq = %s AND signature = %s",
                    (change.values[4], change.values[5], change.values[7], change.receipt),
                )
                if await cursor.fetchone() is None:
                    lost.add(change.receipt)
        return lost

    async def _start(self, connection: Connection) -> int:
        """Take a number and a lease. Numbers only grow, so a store that gives one it gave before is an old copy."""
        cursor = await connection.execute(
            "INSERT INTO gateways (until) VALUES (clock_timestamp() + %s * interval '1 s') RETURNING id",
            (self._lease_s,),
        )
        number = int((await cursor.fetchone() or (0,))[0])
        if number <= self.number:
            raise StoreUnusable(f"the store gives number {number} after {self.number}: it is an old copy")
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
        except StoreFailed as failure:  # its lease will run out
            log.warning("a gateway ends without a word to the others", extra={"reason": str(failure)})
        finally:
            await self.link.close()


def _number_of(session: Hash32) -> int:
    """A lock's number; two sessions with the same one wait for each other, no more."""
    return int.from_bytes(session[:8], "little", signed=True)


def _own(sql: str) -> str:
    return sql.replace("?", "%s")
