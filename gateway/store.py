"""What a gateway must not forget, written in groups; where it is kept is `store_sqlite` or `store_postgres`.

    lanes      each lane's best voucher and last receipt; a row is there *before* a lane's first receipt leaves
    receipts   every receipt, for buyers that lost one, and for audits
    answers    answers by `Idempotency-Key`, with their receipt
    offers     signed quotes, until they end
    closings   sessions whose final total was signed
    used       included units of plans that are used
    orders     single payments payers signed: each serves one request, once
    meta       whose store this is

Changes are collected and committed together every 20 ms, or as soon as somebody waits for one.

One gateway alone (SQLite): nothing waits for the disk on the way of a request. What is lost when the machine dies is
what was not committed: a voucher, which the next one repairs, or a receipt, whose number must not be used again. So a
store that was not closed properly retires every lane it knows (`Store.clean` is False), and a lane's first receipt
waits for the row that makes the lane known.

Several gateways (PostgreSQL): what they share is decided in the store. A request takes its lane and its part of the
deposit in one step under a lock of its session (`Store.turn`), and no receipt leaves before it is committed
(`Store.kept`), which it is only if the lane is still its gateway's. So a number has one receipt whoever is taken for
dead, and only lanes with a request in flight at a dead gateway are retired. A database that is away, also at the start,
is waited for: meanwhile everything that needs it raises `StoreFailed`, and what is put is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, Self, TypeVar

import msgspec

from aitoken.errors import Bug, Rejected, Unavailable
from aitoken.pay.layouts import Receipt
from aitoken.pay.seller import SellerLane, Signed
from aitoken.types import AccountId, Balance, Hash32, Moment
from gateway.ports import AnySigned

GROUP_S: Final = 0.02
"""How long changes are collected before they are committed together, unless somebody waits for them."""

SHARED_GROUP_S: Final = 0.005
"""The same where every receipt waits: a group that began with the first of them would hold one."""

PENDING_MAX: Final = 100_000
"""Changes that wait for the disk at most; beyond, requests are refused."""

POSTGRES: Final = ("postgresql://", "postgres://")
_T = TypeVar("_T")


class StoreFailed(Unavailable):
    """What must not be forgotten cannot be kept: for good if it is a disk, until it is back if it is a database."""

    code = "gateway.store_failed"


class StoreUnusable(Rejected):
    """The store is another provider's or chain's, older than what it was, in use, or not to be reached."""

    code = "gateway.store_unusable"


class LaneLost(Unavailable):
    """The other gateways took this one for dead and its lane away; the receipt does not leave."""

    code = "gateway.lane_lost"


class Held(Enum):
    """Where a request of a lane is in flight."""

    NOWHERE = 0
    HERE = 1
    ELSEWHERE = 2


@dataclass(frozen=True, slots=True)
class StoredLane:
    """A lane as it was last committed; `end` is what is reserved for it where gateways share the store."""

    session: Hash32
    lane: int
    voucher: Signed | None
    receipt: Signed | None
    retired: bool
    claimed: Balance
    end: Balance | None = None
    held: Held = Held.NOWHERE


@dataclass(frozen=True, slots=True)
class StoredSession:
    """What gateways that share a store must know before a step: what is reserved in all, and the lanes asked for."""

    reserved: Balance
    closing: bool
    lanes: tuple[StoredLane, ...]


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer by `Idempotency-Key`; `answer` is None where it was too long to be kept."""

    body_hash: Hash32
    status: int
    content_type: str
    answer: bytes | None
    receipt: Signed


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """A single payment a payer signed.

    Attributes:
        order: what was signed.
        until: when it can be carried out no more.
        state: TAKEN, OWED, PAID or VOID.
        amount: what it came to.
        at: when it came to that.
    """

    payer: AccountId
    nonce: bytes
    order: AnySigned
    until: Moment
    state: str
    amount: Balance
    at: Moment


TAKEN: Final = "taken"
"""Work began; nothing is owed yet."""

OWED: Final = "owed"
"""The answer is there, and the chain is to move `amount`."""

PAID: Final = "paid"
VOID: Final = "void"
"""Nothing is owed: the work came to nothing, or the chain refused."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A unit of a plan that a request may use: how much, how much is included, and how much the chain knows as used."""

    quantity: int
    included: int
    used: int


class Change(msgspec.Struct, frozen=True):
    """Something to be committed.

    Attributes:
        receipt: the signature of the receipt it is, or depends on.
        order: a place among the changes of a group, so that groups of several gateways do not wait for each other.
    """

    sql: str
    values: tuple[Any, ...]
    receipt: bytes = b""
    is_receipt: bool = False
    order: tuple[int, ...] = ()


class Turn(Protocol):
    """One step of a session; what it keeps is committed when the context is left without an exception."""

    def keep(self, lane: SellerLane, *, begins: bool = False) -> None:
        """Remember a lane's best voucher; `begins` says that a request of it is now in flight here."""

    def close(self, session: Hash32) -> None:
        """Remember that the session's final total was signed, so nothing more is served from it."""


class Store(ABC):
    """The store. Build it with `open_store`; `run` has to run for changes to be committed.

    Attributes:
        shared: several gateways may work on it.
        number: of this start of this gateway, where several share it.
        clean: every receipt that left is in it.
        commits: how many groups were committed.
    """

    shared: ClassVar[bool]

    def __init__(self) -> None:
        self._fresh: dict[tuple[Hash32, Hash32], StoredAnswer] = {}
        self._offers: dict[tuple[Hash32, int, int], tuple[Balance, Moment]] = {}
        self._pending: list[Change] = []
        self._wake = asyncio.Event()
        self._due = asyncio.Event()
        self._put_last = 0
        self._committed = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._failed: StoreFailed | None = None
        self.number = 0
        self.clean = True
        self.commits = 0

    @property
    def away(self) -> str:
        """Why nothing can be kept now; empty while all is well."""
        return "" if self._failed is None else str(self._failed)

    # ------------------------------------------------------------------------------------------- what differs

    @abstractmethod
    def turn(
        self, session: Hash32, lane: int | None, follow: Callable[[StoredSession], None]
    ) -> AbstractAsyncContextManager[Turn]:
        """Take one step of a session, on a lane or (None) on all of them, that no other step comes between.

        `follow` is told what the store has, unless memory is right, because nobody else serves the session.
        """

    def put_voucher(
        self, session: Hash32, lane: int, voucher: Signed, *, retired: bool,  # noqa: ARG002 - one gateway needs it
    ) -> None:  # fmt: skip
        """Remember a lane's best voucher without a turn, where nobody else takes any."""
        raise Bug("gateways that share a store keep vouchers in turns")

    @abstractmethod
    def put_receipt(self, receipt: Receipt, signed: Signed) -> None:
        """Remember a receipt as the lane's last, and for ever; its request is not in flight any more."""

    @abstractmethod
    async def kept(self, receipt: Receipt, signed: Signed) -> None:
        """Wait until a receipt may leave.

        Raises:
            StoreFailed: it must not.
            LaneLost: it must not.
        """

    @abstractmethod
    async def set_aside(self, subscription: int, period: int, wanted: Mapping[int, Wanted]) -> dict[int, int]:
        """Set aside units of a plan's period for a request, as far as there are any; return how many, by unit."""

    @abstractmethod
    def put_used(self, subscription: int, period: int, units: Mapping[int, tuple[int, int]], number: int) -> None:
        """Count what was used of units that were set aside, (set aside, used) by unit, and give the rest back.

        `number` is the store's when they were set aside.
        """

    @abstractmethod
    async def begin_key(self, session: Hash32, key: Hash32, body: Hash32) -> Hash32 | None:
        """Begin to answer an `Idempotency-Key`; return the body's hash if another gateway is answering it."""

    @abstractmethod
    def end_key(self, session: Hash32, key: Hash32) -> None:
        """Say that the key is answered, or was not."""

    @abstractmethod
    async def may_claim(self) -> bool:
        """Tell whether it is this gateway that brings claims to the chain."""

    @abstractmethod
    async def owing(self) -> list[Hash32]:
        """Return sessions that may owe something and that others may have served."""

    @abstractmethod
    async def lanes(self, session: Hash32, lane: int | None = None) -> list[StoredLane]:
        """Return all lanes of a session, or one of them."""

    @abstractmethod
    async def keep_lease(self) -> None:
        """Tell the other gateways that this one lives, until cancelled, and take the work of those that do not."""

    def holds(self, session: Hash32, lane: int) -> bool:  # noqa: ARG002 - all or none where nobody else serves it
        """Whether the receipt of a request in flight can still be kept."""
        return self._failed is None

    async def _go_on(self, failure: StoreFailed) -> None:
        """Wait until the store can be used again after it failed; raises where it never can."""
        raise failure

    @abstractmethod
    async def _write(self, changes: Sequence[Change]) -> None:
        """Commit changes together; raises `StoreFailed`."""

    @abstractmethod
    async def _rows(self, sql: str, *values: Any, synced: bool = True) -> list[Any]:
        """Return what a query finds, among all that was put so far where it is `synced` first."""

    @abstractmethod
    async def _open(self) -> None:
        """Make it usable; raises `StoreUnusable`."""

    @abstractmethod
    async def _shut(self, *, good: bool) -> None:
        """Note that it is closed properly, if it is, and let go of it."""

    # ------------------------------------------------------------------------------------------- writing

    def put_answer(self, session: Hash32, key: Hash32, at: Moment, answer: StoredAnswer) -> None:
        """Remember an answer by its key; the first of a key stays."""
        self._fresh.setdefault((session, key), answer)
        values = (
            session, key, answer.body_hash, at, answer.status, answer.content_type, answer.answer,
            answer.receipt.statement, answer.receipt.signature,
        )  # fmt: skip
        sql = "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (session, key) DO NOTHING"
        self._put(Change(sql, values, answer.receipt.signature))

    def put_offer(self, request: Hash32, service: int, book: int, max_charge: Balance, until: Moment) -> None:
        """Remember a signed quote; of several for one request the lowest binds as long as one of them holds."""
        place = (request, service, book)
        before = self._offers.get(place)
        if before is not None:
            max_charge, until = min(max_charge, before[0]), max(until, before[1])
        self._offers[place] = (max_charge, until)
        self._put(self._offer_change(place, max_charge, until))

    @abstractmethod
    def _offer_change(self, place: tuple[Hash32, int, int], max_charge: Balance, until: Moment) -> Change:
        """Return what commits a quote."""

    @abstractmethod
    async def offer(self, request: Hash32, service: int, book: int, now: Moment) -> Balance | None:
        """Return the charge a quote that still holds allows for a request."""

    def may_have_answer(self, session: Hash32, key: Hash32) -> bool:  # noqa: ARG002 - some know better
        """Whether there may be an answer for an `Idempotency-Key`."""
        return True

    @property
    def may_have_offers(self) -> bool:
        """Whether there may be a quote at all."""
        return self.shared or bool(self._offers)

    @property
    def offers(self) -> int:
        """How many quotes of this gateway are remembered."""
        return len(self._offers)

    def put_claimed(self, session: Hash32, lane: int, claimed: Balance) -> None:
        """Remember what was claimed of a lane."""
        sql = "UPDATE lanes SET claimed = ? WHERE session = ? AND lane = ?"
        self._put(Change(sql, (str(claimed), session, lane)))

    async def take_order(self, order: StoredOrder) -> StoredOrder | None:
        """Take a single payment for a request, on disk when this returns; return the one that has its nonce already.

        Of several that take one nonce, here or at other gateways, one does.
        """
        taker = secrets.token_bytes(16)
        values = (
            order.payer, order.nonce, order.order.statement, order.order.signature, order.until, order.state,
            str(order.amount), order.at, taker,
        )  # fmt: skip
        sql = "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (payer, nonce) DO NOTHING"
        self._put(Change(sql, values))
        rows = await self._rows(f"{_ORDERS} WHERE payer = ? AND nonce = ?", order.payer, order.nonce)
        return None if bytes(rows[0][-1]) == taker else _order(rows[0])

    def put_order(self, order: StoredOrder) -> None:
        """Remember how far a single payment is that was taken."""
        sql = "UPDATE orders SET state = ?, amount = ?, at = ? WHERE payer = ? AND nonce = ?"
        self._put(Change(sql, (order.state, str(order.amount), order.at, order.payer, order.nonce)))

    def drop_order(self, order: StoredOrder) -> None:
        """Forget a single payment nothing was done for."""
        self._put(Change("DELETE FROM orders WHERE payer = ? AND nonce = ?", (order.payer, order.nonce)))

    async def owed_orders(self) -> list[StoredOrder]:
        """Return the single payments that are still to be carried out."""
        return [_order(row) for row in await self._rows(f"{_ORDERS} WHERE state = ?", OWED)]

    def forget(self, before: Moment, now: Moment) -> None:
        """Drop answers older than `before`, offers that have ended, and orders that ended before `before`."""
        self._put(Change("DELETE FROM answers WHERE at < ?", (before,)))
        self._put(Change("DELETE FROM orders WHERE until < ?", (before,)))
        self._put(Change("DELETE FROM offers WHERE until < ?", (now,)))
        self._offers = {place: offer for place, offer in self._offers.items() if offer[1] >= now}

    def _put(self, change: Change) -> None:
        if self._failed is not None:
            raise StoreFailed("the store has failed before") from self._failed
        if len(self._pending) >= PENDING_MAX:
            raise StoreFailed("the disk does not keep up")
        self._pending.append(change)
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
        if not self.shared:
            self._due.set()
        await done

    async def run(self) -> None:
        """Commit in groups until cancelled.

        Raises:
            StoreFailed: the disk does not take it.
            StoreUnusable: the database that came back is not the one that was there.
        """
        loop, group_s = asyncio.get_running_loop(), SHARED_GROUP_S if self.shared else GROUP_S
        while True:
            await self._wake.wait()
            timer = loop.call_later(group_s, self._due.set)
            try:
                await self._due.wait()
            finally:
                timer.cancel()
            if self._failed is None:
                with contextlib.suppress(StoreFailed):
                    await finished(self._commit())
            if self._failed is not None:
                await self._go_on(self._failed)

    async def _commit(self) -> None:
        self._wake.clear()
        self._due.clear()
        changes, self._pending = self._pending, []
        fresh = list(self._fresh)
        last = self._put_last
        try:
            await self._write(changes)
        except StoreFailed as error:
            self._fail(error)
            raise
        self.commits += 1
        for place in fresh:
            del self._fresh[place]
        self._committed = last
        for number, done in self._waiting:
            if number <= last and not done.done():
                done.set_result(None)
        self._waiting = [(number, done) for number, done in self._waiting if number > last]

    def _fail(self, error: StoreFailed) -> None:
        """Serve nothing more, unless `run` finds a way on."""
        self._failed = self._failed or error
        for _, done in self._waiting:
            if not done.done():
                done.set_exception(StoreFailed(str(error)))
        self._waiting.clear()
        self._wake.set()

    async def close(self) -> None:
        """Commit what is left and note that the store was closed properly, after `run` has ended."""
        if self._failed is None and self._pending:
            await self._commit()
        await self._shut(good=self._failed is None)

    # ------------------------------------------------------------------------------------------- reading

    async def is_closing(self, session: Hash32) -> bool:
        """Tell whether a session's final total was signed."""
        return bool(await self._rows("SELECT 1 FROM closings WHERE session = ?", session))

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
        rows = await self._rows(
            "SELECT body, status, content_type, answer, receipt, receipt_signature FROM answers "
            "WHERE session = ? AND key = ?", session, key, synced=False,
        )  # fmt: skip
        if not rows:
            return None
        body, status, content_type, answer, receipt, signature = rows[0]
        return StoredAnswer(Hash32(body), status, content_type, answer, Signed(receipt, signature))

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


_ORDERS: Final = "SELECT payer, nonce, statement, signature, until, state, amount, at, taker FROM orders"


def _order(row: Sequence[Any]) -> StoredOrder:
    payer, nonce, statement, signature, until, state, amount, at, _ = row
    order = AnySigned(bytes(statement), bytes(signature))
    return StoredOrder(
        AccountId(bytes(payer)), bytes(nonce), order, Moment(until), state, Balance(int(amount)), Moment(at)
    )


async def finished(work: Coroutine[Any, Any, _T]) -> _T:
    """Await something to its end; who is cancelled meanwhile is cancelled after it, at its next pause."""
    task, outer, cancelled = asyncio.ensure_future(work), asyncio.current_task(), 0
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            cancelled += 1
        except Exception:  # noqa: BLE001 - it is raised below
            break
    if outer is not None:
        for _ in range(cancelled):
            outer.uncancel()
            outer.cancel()
    return task.result()


def open_store(
    place: str | Path, genesis: Hash32, operator: bytes, *, folder: Path | None = None, lease_s: float = 10.0
) -> Store:
    """Open, or begin, the store of one operator key on one chain; `async with` makes it usable.

    Args:
        place: a folder for one gateway alone, or a `postgresql://` URL that several share.
        genesis: names the chain.
        operator: the key that signs receipts.
        folder: where a gateway notes how old a shared store was last, so that an old copy is refused.
        lease_s: after how many seconds of silence a gateway of a shared store is taken for dead.

    Raises:
        StoreUnusable: it is another's, in use, a copy, or no store.
    """
    if isinstance(place, str) and place.startswith(POSTGRES):
        try:
            from gateway.store_postgres import PostgresStore
        except ImportError:
            raise StoreUnusable("a PostgreSQL store needs psycopg: install aitoken-node[postgres]") from None
        return PostgresStore(place, genesis + operator, folder, lease_s)
    from gateway.store_sqlite import open_file

    return open_file(Path(place), genesis + operator)
