"""The payer: opens sessions when they are needed, keeps promises within caps, and takes receipts.

Caps are the buyer's own and hard: what one request may cost, what may be at risk at once, what a session may hold with
all top-ups, and what all sessions together may. Nothing is signed beyond them. The rules of lanes, vouchers and prices
are `aitoken.pay`'s.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

import aiohttp

from aitoken.client.pay.errors import CapReached, GatewayDown, GatewayRefused, WrongGateway
from aitoken.client.pay.ledger import Ledger
from aitoken.client.pay.purse import CLOSED, CLOSING, OPEN, OPENING, Kept, Purse
from aitoken.client.pay.shop import Shop
from aitoken.crypto.ed25519 import Pair
from aitoken.pay.book import BOOK
from aitoken.pay.buyer import ANY_TERMS, BuyerLane, BuyerSession, Promise, Terms
from aitoken.pay.errors import ExposureTooHigh, LaneBusy, OverDeposit, PayRejected
from aitoken.pay.layouts import Closing, OpenParams, Receipt, session_id
from aitoken.pay.price import PriceList, price_list
from aitoken.pay.rules import NOTHING
from aitoken.pay.seller import Signed
from aitoken.types import AIT, Balance, BlockNumber, Hash32, Moment

LANES: Final = 16
GRACE_FACTOR: Final = 2
WAIT_S: Final = 120
"""How long a request waits for a free lane."""

RATE_AGE_S: Final = 10.0
RATE_SLACK_PERCENT: Final = 5
"""How much above the chain's rate a receipt may be: the chain's own view of a request is some seconds older."""


def wall_clock() -> Moment:
    """Return Unix milliseconds."""
    return Moment(time.time_ns() // 1_000_000)


@dataclass(frozen=True, slots=True)
class Caps:
    """What may be spent.

    Attributes:
        request: the most one request may cost.
        exposure: the most that may be at risk in one session without an answer.
        deposit: what a new session holds, and by how much it is topped up.
        session: the most a session may hold in all.
        total: the most all open sessions of the purse may hold.
    """

    request: Balance = Balance(AIT // 10)  # noqa: RUF009 - a number
    exposure: Balance = Balance(AIT)  # noqa: RUF009 - a number
    deposit: Balance = Balance(AIT)  # noqa: RUF009 - a number
    session: Balance = Balance(10 * AIT)  # noqa: RUF009 - a number
    total: Balance = Balance(20 * AIT)  # noqa: RUF009 - a number


@dataclass(slots=True)
class Tab:
    """One session at work.

    Attributes:
        kept: as the purse has it.
        session: its lanes.
        prices: the book it is bound to.
        currency: of that book.
        freed: told whenever a lane is free again.
        topping: one top-up at a time.
    """

    kept: Kept
    session: BuyerSession
    prices: PriceList
    currency: int
    freed: asyncio.Condition = field(default_factory=asyncio.Condition)
    topping: asyncio.Lock = field(default_factory=asyncio.Lock)


class Payer:
    """A purse at work on one chain."""

    def __init__(
        self, purse: Purse, ledger: Ledger, http: aiohttp.ClientSession, caps: Caps | None = None,
        now: Callable[[], Moment] = wall_clock,
    ) -> None:  # fmt: skip
        """Take up the purse's sessions on this chain; `recover` checks those whose opening was not seen to end."""
        self.purse = purse
        self.ledger = ledger
        self.http = http
        self.caps = caps or Caps()
        self.now = now
        self._tabs: dict[Hash32, Tab] = {}
        self._opening = asyncio.Lock()
        self._rates: dict[int, tuple[int, float]] = {}
        for kept in purse.sessions():
            if kept.genesis == ledger.genesis and kept.state == OPEN:
                self._take_up(kept)

    @property
    def tabs(self) -> list[Tab]:
        """All open sessions."""
        return list(self._tabs.values())

    async def recover(self) -> None:
        """Look up the sessions whose opening or top-up may not have been seen, and drop those that have ended."""
        for kept in self.purse.sessions():
            if kept.genesis != self.ledger.genesis or kept.state == CLOSED:
                continue
            found = await self.ledger.session(kept.id)
            if found is None or not found.open:
                if kept.state != OPENING:
                    self._drop(kept, CLOSED if found is None else CLOSING)
                continue
            known = replace(kept, deposit=found.deposit, state=OPEN)
            self.purse.put(known)
            tab = self._tabs.get(kept.id)
            if tab is None:
                self._take_up(known)
            else:
                tab.kept, tab.session.deposit = known, known.deposit

    def _take_up(self, kept: Kept) -> Tab:
        book = BOOK.decode(kept.book)
        tab = Tab(kept, self.purse.buyer(kept, self.caps.exposure), price_list(book), book.currency)
        self._tabs[kept.id] = tab
        return tab

    def _drop(self, kept: Kept, state: str) -> None:
        self._tabs.pop(kept.id, None)
        self.purse.put(replace(kept, state=state))

    # ------------------------------------------------------------------------------------------- sessions

    async def tab_for(self, shop: Shop, versions: Collection[int]) -> Tab:
        """Return an open session with a gateway's provider at one of some price books; open one if there is none.

        Raises:
            CapReached: a new one would hold more than allowed.
            WrongGateway: the gateway is not the provider's, or not of this chain.
        """
        about = await shop.about()
        async with self._opening:
            for tab in self._tabs.values():
                if tab.kept.provider == about.provider and tab.kept.book_version in versions:
                    return tab
            return await self._open(shop, max(versions), self.caps.deposit)

    async def open(self, shop: Shop, deposit: Balance) -> Tab:
        """Put a deposit down with a gateway's provider: into the session there is, or a new one at its newest prices.

        Raises:
            CapReached: it would hold more than allowed.
            WrongGateway: the gateway is not the provider's, or not of this chain.
        """
        about = await shop.about()
        newest = max(version for model in about.models for version in model.book_versions)
        async with self._opening:
            for tab in self._tabs.values():
                if tab.kept.provider == about.provider and tab.kept.book_version == newest:
                    break
            else:
                return await self._open(shop, newest, deposit)
        await self.top_up(tab, deposit)
        return tab

    async def _open(self, shop: Shop, version: int, deposit: Balance) -> Tab:
        about = await shop.about(again=True)
        if about.genesis != self.ledger.genesis.hex():
            raise WrongGateway(f"{shop.url} is paid on another chain")
        provider = await self.ledger.provider(about.provider)
        if provider.operator.hex() != about.operator:
            raise WrongGateway(f"{shop.url} has another key than provider {about.provider} on the chain")
        self._check_caps(NOTHING, deposit)
        book = await self.ledger.book(about.provider, version)
        block, grace, life = await self.ledger.limits()
        key = secrets.token_bytes(32)
        params = OpenParams(
            about.provider, version, Pair(key).public, 0, BlockNumber(block + life // 2),
            grace * GRACE_FACTOR, LANES, secrets.token_bytes(16),
        )  # fmt: skip
        kept = Kept(
            session_id(self.ledger.genesis, self.ledger.payer, params), self.ledger.genesis, self.ledger.payer,
            about.provider, provider.operator, shop.url, version, book, key, deposit, LANES, params.expires_block,
            OPENING,
        )  # fmt: skip
        self.purse.put(kept)
        await self.ledger.open(params, deposit)
        kept = replace(kept, state=OPEN)
        self.purse.put(kept)
        return self._take_up(kept)

    async def top_up(self, tab: Tab, amount: Balance) -> None:
        """Add money to a session.

        Raises:
            CapReached: it would hold more than allowed.
        """
        self._check_caps(tab.session.deposit, amount)
        await self.ledger.top_up(tab.kept.id, amount)
        tab.session.deposit = Balance(tab.session.deposit + amount)
        tab.kept = replace(tab.kept, deposit=tab.session.deposit)
        self.purse.put(tab.kept)

    def _check_caps(self, before: int, amount: int) -> None:
        if before + amount > self.caps.session:
            raise CapReached(f"a session may hold {self.caps.session} base units, this would make {before + amount}")
        everything = sum(kept.deposit for kept in self.purse.sessions() if kept.state in (OPENING, OPEN))
        if everything + amount > self.caps.total:
            raise CapReached(f"all sessions may hold {self.caps.total} base units, this would make "
                             f"{everything + amount}")  # fmt: skip

    async def close(self, tab: Tab, shop: Shop) -> bool:
        """Take the receipts that were missed, countersign everything, and get the rest back.

        Tells whether it came back at once, because the gateway signed what the receipts come to; otherwise the chain
        gives it back after a grace.
        """
        agreement = None
        with suppress(GatewayDown, GatewayRefused, PayRejected):
            await self.catch_up(tab, shop)
            lanes = [lane for lane in tab.session.lanes.values() if lane.seq and not lane.stopped]
            for lane in lanes:
                await shop.acknowledge(tab.session.acknowledgement(lane))
            if lanes:
                agreement = self._agreed(tab, await shop.end(tab.session.acknowledgement(lanes[0])))
        await self.ledger.close(tab.kept.id, agreement)
        self._drop(tab.kept, CLOSING)
        return agreement is not None

    def _agreed(self, tab: Tab, signed: Signed) -> Mapping[str, Any] | None:
        """Return a gateway's closing statement as the chain takes it, if it asks no more than the receipts say."""
        closing = Closing.decode(signed.statement)
        if closing.session_id != tab.kept.id or closing.final_total > tab.session.spent:
            return None
        return {
            "final_total": closing.final_total, "valid_until": closing.valid_until, "signature": signed.signature,
        }  # fmt: skip

    def give_up(self, tab: Tab) -> None:
        """Use a session no more; the chain says it is closing."""
        self._drop(tab.kept, CLOSING)

    # ------------------------------------------------------------------------------------------- promises

    async def promise(self, tab: Tab, cost_max: Balance, avoid: Collection[int] = ()) -> Promise:
        """Take a lane and sign for a request; wait for a lane, and top up within the caps, where that is needed.

        Raises:
            CapReached: the caps do not allow it.
            GatewayDown: no lane came free in time.
        """
        try:
            async with asyncio.timeout(WAIT_S):
                while True:
                    made = await self._try(tab, cost_max, avoid)
                    if made is not None:
                        return made
        except TimeoutError:
            raise GatewayDown("no lane of the session came free in time") from None

    async def _try(self, tab: Tab, cost_max: Balance, avoid: Collection[int]) -> Promise | None:
        session = tab.session
        async with tab.freed:
            try:
                return self._noted(tab, session.promise(cost_max, self.now(), avoid=avoid))
            except (LaneBusy, ExposureTooHigh) as error:
                if not any(lane.busy for lane in session.lanes.values()):
                    raise CapReached(f"nothing more can be signed for now: {error}") from None
                await tab.freed.wait()
                return None
            except OverDeposit:
                before = session.deposit
        try:
            async with tab.topping:
                if session.deposit == before:
                    await self.top_up(tab, max(self.caps.deposit, cost_max))
            return None
        except CapReached as cap:
            async with tab.freed:
                return await self._with_the_rest(tab, cap, avoid)

    async def _with_the_rest(self, tab: Tab, cap: CapReached, avoid: Collection[int]) -> Promise | None:
        """Sign for what is left of a deposit that may not grow."""
        session = tab.session
        left = session.deposit - sum(max(lane.total, lane.ceiling) for lane in session.lanes.values())
        if left > 0:
            with suppress(LaneBusy, ExposureTooHigh, OverDeposit):
                return self._noted(tab, session.promise(Balance(left), self.now(), avoid=avoid))
        if not any(lane.busy for lane in session.lanes.values()):
            raise cap
        await tab.freed.wait()
        return None

    def _noted(self, tab: Tab, promise: Promise) -> Promise:
        self.purse.put_lane(tab.kept.id, promise.lane)
        return promise

    async def release(self, tab: Tab, promise: Promise) -> None:
        """Let others use a lane again, and sign ahead for a request like the last one while nobody waits for it."""
        tab.session.give_up(promise)
        if promise.lane.seq > promise.voucher.seq:
            asyncio.get_running_loop().call_soon(self._prepare, tab, promise)
        async with tab.freed:
            tab.freed.notify_all()

    def _prepare(self, tab: Tab, promise: Promise) -> None:
        if promise.lane.ready is None and tab in self.tabs:
            cost = Balance(promise.voucher.ceiling - promise.voucher.acked)
            tab.session.prepare(promise.lane, cost, self.now())

    async def stop_lane(self, tab: Tab, lane: BuyerLane, why: str) -> None:
        """Use a lane no more."""
        lane.stopped = why
        self.purse.put_lane(tab.kept.id, lane)

    # ------------------------------------------------------------------------------------------- receipts

    async def terms(self, tab: Tab, request: Hash32, service: int) -> Terms:
        """Return what the receipt of a request is checked against."""
        return Terms(request, service, tab.prices, await self._rate_max(tab))

    async def _rate_max(self, tab: Tab) -> int:
        if tab.prices.in_asset:
            return 0
        rate, at = self._rates.get(tab.currency, (0, 0.0))
        if not rate or time.monotonic() - at > RATE_AGE_S:
            now = await self.ledger.rate(tab.currency)
            rate, at = max(rate, now) if now is not None and rate else now or rate, time.monotonic()
            self._rates[tab.currency] = (now or rate, at)
        return rate * (100 + RATE_SLACK_PERCENT) // 100

    def accept(self, tab: Tab, receipt: Signed, terms: Terms = ANY_TERMS) -> Receipt:
        """Check a lane's next receipt and keep it.

        Raises:
            PayRejected: it is not what was agreed; it is kept all the same if it is the seller's word.
        """
        number = Receipt.decode(receipt.statement).lane
        try:
            read = tab.session.accept(receipt, terms)
        except PayRejected:
            lane = tab.session.lanes.get(number)
            if lane is not None and lane.stopped:
                self.purse.put_receipt(Receipt.decode(receipt.statement), receipt)
                self.purse.put_lane(tab.kept.id, lane)
            raise
        self.purse.put_receipt(read, receipt)
        return read

    async def catch_up(self, tab: Tab, shop: Shop, only: int | None = None) -> None:
        """Fetch the receipts that were missed, of all lanes or one.

        Raises:
            GatewayDown, GatewayRefused: the gateway does not say.
            PayRejected: one of them is not what was agreed.
        """
        for lane in list(tab.session.lanes.values()):
            if lane.stopped or (only is not None and lane.number != only) or (lane.busy and only is None):
                continue
            terms = Terms(prices=tab.prices, rate_max=await self._rate_max(tab))
            while page := await shop.receipts(tab.session.acknowledgement(lane), lane.number, lane.seq):
                for receipt in page:
                    self._accept_one_of_several(tab, receipt, terms, lane)

    def _accept_one_of_several(self, tab: Tab, receipt: Signed, terms: Terms, lane: BuyerLane) -> None:
        busy = lane.busy
        self.accept(tab, receipt, terms)
        lane.busy = busy


def facts(tab: Tab) -> dict[str, Any]:
    """Return a session in figures."""
    return {
        "session": tab.kept.id.hex(), "provider": tab.kept.provider, "url": tab.kept.url,
        "book_version": tab.kept.book_version, "deposit": tab.session.deposit, "spent": tab.session.spent,
    }  # fmt: skip
