"""Admission: who may be served, for at most how much, before any work is done.

In this order, cheap things first: headers, model, session, the key of a repetition, prices, a place, and then in one
step without a pause the lane's rules, the deposit and the signature.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from aitoken.crypto import ed25519
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.errors import BadSignature, LaneBusy, LaneUnknown, OutOfStep, OverDeposit, PayRejected
from aitoken.pay.headers import encode_signed, request_hash
from aitoken.pay.layouts import Offer, Voucher
from aitoken.pay.rules import NOTHING
from aitoken.pay.seller import Admission, Signed
from aitoken.types import Balance, Hash32, Moment
from gateway import refusals as r
from gateway.apis.base import Api, Ask
from gateway.catalogue import Catalogue
from gateway.cost import fitting, most
from gateway.headers import PaymentHeaders, show_ait
from gateway.paid import NO_BYTES, Leg, Order, Paid, PaidOnce, Settled, SingleTerms
from gateway.passes import Taken
from gateway.passes import fitting as fitting_passes
from gateway.places import Places
from gateway.ports import ChainSide, Clock, PassFacts
from gateway.sessions import Known, Sessions
from gateway.store import Store, StoredAnswer

USUAL_OUTPUT: Final = 1024
"""Output tokens a payment is asked for where the client names no limit; the answer is cut to what is paid."""

RATE_SLACK_PERCENT: Final = 2
"""How much more is asked for than a price in money comes to, so that it still fits when it is paid."""

REPEAT_WAIT_S: Final = 30
"""How long a repetition waits for the first of its key to be answered."""

REPEAT_LOOK_S: Final = 0.05
"""How often it looks when another gateway answers the first."""


class Bound(msgspec.Struct, frozen=True):
    """What a request may cost, and what it may cost at most as it will be asked."""

    full: Balance
    output_limit: int | None
    window: bool


class Room(msgspec.Struct, frozen=True):
    """What a payment leaves for a request, beyond what was paid before on its lane."""

    amount: Balance
    paid: Balance = NOTHING


class Asked(msgspec.Struct):
    """A request that was read and whose session is known.

    Attributes:
        checked: the key with which the voucher's signature has been checked, if it has.
    """

    api: Api
    ask: Ask
    body: bytes
    payment: PaymentHeaders
    known: Known
    voucher: Voucher
    checked: bytes = b""


class Single(msgspec.Struct, frozen=True):
    """A request that was read and comes with a payment of its own."""

    api: Api
    ask: Ask
    body: bytes
    payment: PaymentHeaders
    known: Known


class Door:
    """Admits requests."""

    def __init__(
        self, catalogue: Catalogue, sessions: Sessions, places: Places, store: Store, chain: ChainSide, clock: Clock,
        operator: ed25519.Pair, done: Callable[[Settled], None],
    ) -> None:  # fmt: skip
        self._catalogue = catalogue
        self._legs_of = {
            (model.name, version): Leg(model, catalogue.editions[version])
            for model in catalogue.models.values()
            for version in model.books
        }
        self._one_leg: dict[tuple[tuple[str, ...], int], tuple[Leg, ...]] = {
            ((name,), version): (leg,) for (name, version), leg in self._legs_of.items()
        }
        self._sessions = sessions
        self._places = places
        self._store = store
        self._chain = chain
        self._clock = clock
        self._operator = operator
        self._done = done
        self._running: dict[tuple[Hash32, Hash32], tuple[Hash32, asyncio.Event]] = {}

    def check_models(self, api: Api, ask: Ask) -> None:
        """Refuse models that are not sold through an endpoint.

        Raises:
            NoSuchModel: one of those the client allows is not.
        """
        for name in ask.models:
            model = self._catalogue.models.get(name)
            if model is None or api.kind not in model.kinds:
                raise r.NoSuchModel(f"no model {name[:80]!r} is sold through {api.path}")

    async def session_of(self, payment: PaymentHeaders) -> tuple[Known, Voucher]:
        """Return the session of a voucher; the voucher is read, its signature not checked.

        Raises:
            Refusal: there is no voucher, it is malformed, or the chain knows no such session.
        """
        if payment.voucher is None:
            raise r.PaymentRequired("this costs money: send a voucher")
        try:
            voucher = Voucher.decode(payment.voucher.statement)
        except PayRejected as error:
            raise r.PayRefusal(error) from None
        known = self._sessions.at_hand(voucher.session_id)
        if known is None:
            known = await self._sessions.find(voucher.session_id)
        if known is None:
            raise r.SessionUnknown("the chain knows no open session of that id with this provider")
        return known, voucher

    @asynccontextmanager
    async def repetition(self, asked: Asked, body_hash: Hash32) -> AsyncIterator[tuple[Hash32, StoredAnswer | None]]:
        """Hold an `Idempotency-Key`: give its hash, and the answer it has if it was used before.

        Only one request of a key is served at a time; a repetition waits for the first.

        Raises:
            Refusal: the key had another body, or is still being answered, or the voucher is not the session's.
        """
        known, payment = asked.known, asked.payment
        if payment.voucher is None:
            raise r.PaymentRequired("this costs money: send a voucher")
        asked.checked = known.seller.key
        if not ed25519.verify(payment.voucher.signature, payment.voucher.statement, asked.checked):
            raise r.PayRefusal(BadSignature("the voucher is not signed with the session's key"))
        key = blake2_256(payment.key.encode("ascii"))
        place = (known.seller.id, key)
        while (running := self._running.get(place)) is not None:
            if running[0] != body_hash:
                raise r.KeyReused("this key was used with another body")
            try:
                await asyncio.wait_for(running[1].wait(), REPEAT_WAIT_S)
            except TimeoutError:
                raise r.StillRunning("the first request of this key is still being answered", retry_after_s=5) from None
        finished = asyncio.Event()
        self._running[place] = (body_hash, finished)
        begun = False
        try:
            await self._begin_key(place, body_hash)
            begun = True
            stored = await self._store.answer(*place)
            if stored is not None and stored.body_hash != body_hash:
                raise r.KeyReused("this key was used with another body")
            if stored is not None and stored.answer is None:
                raise r.KeyReused("the answer was too long to be kept; see /.well-known/aitp/receipts")
            yield key, stored
        finally:
            if begun:
                self._store.end_key(*place)
            del self._running[place]
            finished.set()

    def is_new(self, place: tuple[Hash32, Hash32]) -> bool:
        """Tell whether a session's `Idempotency-Key` is surely one that was never used."""
        return place not in self._running and not self._store.may_have_answer(*place)

    def hold(self, place: tuple[Hash32, Hash32], body_hash: Hash32) -> None:
        """Hold a new key, until `let_go`, where no other gateway answers it: what `repetition` does at least."""
        self._running[place] = (body_hash, asyncio.Event())

    def let_go(self, place: tuple[Hash32, Hash32]) -> None:
        """Let repetitions of a key that was held go on."""
        self._running.pop(place)[1].set()

    async def _begin_key(self, place: tuple[Hash32, Hash32], body_hash: Hash32) -> None:
        """Wait while another gateway answers a key."""
        waited = 0.0
        while (body := await self._store.begin_key(*place, body_hash)) is not None:
            if body != body_hash:
                raise r.KeyReused("this key was used with another body")
            if waited >= REPEAT_WAIT_S:
                raise r.StillRunning("the first request of this key is still being answered", retry_after_s=5)
            await asyncio.sleep(REPEAT_LOOK_S)
            waited += REPEAT_LOOK_S

    async def admit(self, asked: Asked, key: Hash32 | None) -> Paid:
        """Reserve for a request and keep a place for it, until `leave`.

        Raises:
            Refusal: it is not admitted; nothing is charged.
        """
        ask, known, payment = asked.ask, asked.known, asked.payment
        legs = self._legs(ask, known)
        now = self._clock.now()
        passes = known.facts.passes and fitting_passes(known.facts.passes, legs[0].model.name, now)
        if ask.tier > 1:
            self._check_tier(ask, passes)
        request = request_hash(asked.body, payment.key)
        body_hash = blake2_256(asked.body) if payment.key else request
        quoted, quoted_rate = None, None
        if payment.quote is not None or self._store.may_have_offers:
            quoted, quoted_rate = await self._quote(payment, request, legs, now)
        order = Order(
            asked.api, ask, legs, None, False, request, key, body_hash, known.facts.rate_lock, quoted_rate, now,
        )  # fmt: skip
        if not self._places.enter_now(known.facts.payer):
            queue = max([one.queue for one in passes], default=0)
            await self._places.enter(known.facts.payer, max(ask.tier, queue))
        taken: Taken | None = None
        try:
            if passes:
                taken = await self._take(passes, order)
            covered = {} if taken is None else taken.units
            room = Balance(asked.voucher.ceiling - asked.voucher.acked)
            bound = self._bound(order, Room(room, asked.voucher.acked), payment, quoted, covered)
            order.output_limit, order.window = bound.output_limit, bound.window
            admission = await self._reserve(asked, bound)
        except BaseException:
            self._places.leave(known.facts.payer)
            if taken is not None:
                self._sessions.passes.settle(taken, ())
            raise
        return Paid(
            order, known, admission, self._operator, self._store, self._clock, self._chain.rate, self._done, taken,
            self._sessions.passes,
        )  # fmt: skip

    async def admit_once(self, single: Single, terms: SingleTerms) -> PaidOnce:
        """Keep a place for a request that one payment pays; it has to end with `leave`.

        Raises:
            Refusal: it is not admitted; nothing is charged.
        """
        ask, known, payment = single.ask, single.known, single.payment
        legs = self._legs(ask, known)
        self._check_tier(ask, [])
        now = self._clock.now()
        request = request_hash(single.body, payment.key)
        quoted, rate = await self._quote(payment, request, legs, now)
        order = Order(single.api, ask, legs, None, False, request, None, blake2_256(single.body), None, rate, now)
        await self._places.enter(known.facts.payer, ask.tier)
        try:
            bound = self._bound(order, Room(known.seller.deposit), payment, quoted, {})
            order.output_limit = bound.output_limit
            limit = known.seller.deposit if terms.exact else Balance(max(bound.full, terms.least))
            admission = known.seller.admit_once(limit)
        except BaseException as error:
            self._places.leave(known.facts.payer)
            if isinstance(error, PayRejected):
                raise r.PayRefusal(error, {"needed": str(terms.least)}) from None
            raise
        paid = PaidOnce(
            order, known, admission, self._operator, self._store, self._clock, self._chain.rate, self._done, None,
            self._sessions.passes,
        )  # fmt: skip
        paid.terms = terms
        return paid

    def taken_over(self, order: Order, known: Known, admission: Admission) -> Paid:
        """Return a request that was admitted, and has its place, without `admit`."""
        return Paid(
            order, known, admission, self._operator, self._store, self._clock, self._chain.rate, self._done, None,
            self._sessions.passes,
        )  # fmt: skip

    def asking(self, api: Api, ask: Ask, payment: PaymentHeaders) -> Balance:
        """Return what a payment for a request has to allow; where the client named no limit, for a usual answer.

        Raises:
            Refusal: it has no price now.
        """
        self.check_models(api, ask)
        model = self._catalogue.models[ask.models[0]]
        leg = Leg(model, self._catalogue.editions[model.books[-1]])
        order = Order(
            api, ask, (leg,), None, False, NO_BYTES, None, NO_BYTES, None, None, self._clock.now()
        )  # fmt: skip
        wanted = self._wanted(order)
        full = self._most(order, min(wanted, USUAL_OUTPUT) if ask.output_limit is None else wanted, {})
        if not leg.edition.prices.in_asset:
            full = Balance(full + full * RATE_SLACK_PERCENT // 100)
        return full if payment.max_cost is None else min(full, payment.max_cost)

    def leave(self, paid: Paid) -> None:
        """Settle a request, if it is not settled yet, and give its place to another."""
        try:
            paid.settle(r.UNEXPECTED)
        finally:
            self._places.leave(paid.known.facts.payer)

    async def _take(self, passes: Sequence[PassFacts], order: Order) -> Taken | None:
        """Set aside what the request may use of a pass at most."""
        with_units = next((one for one in passes if one.included), None)
        if with_units is None:
            return None
        units = frozenset[int]().union(*(leg.edition.units for leg in order.legs))
        return await self._sessions.passes.take(with_units, order.ask.usage_max(self._wanted(order), units))

    @staticmethod
    def _wanted(order: Order) -> int:
        """The most output tokens of a choice; 0 where an API has none."""
        if not order.api.may_stream:
            return 0
        longest = max([leg.model.max_output for leg in order.legs])
        return min(order.ask.output_limit or longest, longest)

    def _legs(self, ask: Ask, known: Known) -> tuple[Leg, ...]:
        version = known.facts.book_version
        one = self._one_leg.get((ask.models, version))
        if one is not None:
            return one
        legs = tuple([leg for name in ask.models if (leg := self._legs_of.get((name, version))) is not None])
        if not legs or legs[0].model.name != ask.models[0]:
            books = list(self._catalogue.models[ask.models[0]].books)
            raise r.BookUnknown(
                f"the session is bound to book {version}, the model is sold at {books}", {"book_versions": books}
            )
        return legs

    def _check_tier(self, ask: Ask, passes: Sequence[PassFacts]) -> None:
        if ask.tier > 1 and not any(one.tier >= ask.tier for one in passes):
            raise r.NotEntitled("this service tier needs a plan that the payer does not have", {"tier": ask.tier})

    async def _quote(
        self, payment: PaymentHeaders, request: Hash32, legs: tuple[Leg, ...], now: Moment
    ) -> tuple[Balance | None, int | None]:
        """Return what a quote allows this request to be charged, and its rate; what was signed binds, shown or not."""
        leg = legs[0]
        stored = await self._store.offer(request, leg.model.service, leg.edition.version, now)
        if payment.quote is None:
            return stored, None
        try:
            offer = Offer.decode(payment.quote.statement)
        except PayRejected as error:
            raise r.BadPaymentHeader(str(error)) from None
        if not ed25519.verify(payment.quote.signature, payment.quote.statement, self._operator.public):
            raise r.QuoteMismatch("the quote is not signed by this provider")
        told = (offer.genesis, offer.service, offer.book_version, offer.request)
        if told != (self._chain.genesis, leg.model.service, leg.edition.version, request):
            raise r.QuoteMismatch("the quote is for another request, service, book or chain")
        if now > offer.valid_until:
            raise r.QuoteMismatch("the quote has ended")
        return min(offer.max_charge, stored if stored is not None else offer.max_charge), offer.rate

    def _bound(
        self, order: Order, room: Room, payment: PaymentHeaders, quoted: Balance | None, covered: dict[int, int]
    ) -> Bound:
        """Decide how much output fits, and what that may cost at most."""
        ask = order.ask
        limit = room.amount if payment.max_cost is None else min(room.amount, payment.max_cost)
        wanted = self._wanted(order)
        full = self._most(order, wanted, covered)
        if quoted is not None:
            full = min(full, quoted)
        if full <= limit:
            return Bound(full, wanted or None, window=False)
        if payment.window is not None and ask.stream and wanted:
            first = self._most(order, min(payment.window, wanted), covered)
            if first <= limit:
                return Bound(Balance(limit), wanted, window=True)
        fits = fitting(Balance(limit), wanted, lambda output: self._most(order, output, covered))
        may_cut = ask.output_limit is None or payment.max_cost is not None
        if fits and may_cut:
            return Bound(self._most(order, fits, covered), fits, window=False)
        hint = {"needed": str(full), "ceiling": str(room.paid + full), "affordable_output_tokens": fits}
        raise r.TooDear(f"this may cost {show_ait(full)} AIT, {show_ait(limit)} are allowed", hint)

    def _most(self, order: Order, output: int, covered: dict[int, int]) -> Balance:
        """The most a request can cost with `output` tokens a choice, whichever leg answers."""
        highest = NOTHING
        for leg in order.legs:
            rate = 0 if leg.edition.prices.in_asset else self._admission_rate(order, leg)
            highest = max(highest, most(order.ask, leg.edition, rate, order.started, output, covered))
        return highest

    def _admission_rate(self, order: Order, leg: Leg) -> int:
        lock = order.lock
        rate = self._chain.rate(leg.edition.book.currency) or 0
        if lock is not None and order.started <= lock.until:
            rate = lock.rate
        if rate == 0:
            raise r.RateUnavailable(
                "there is no fresh exchange rate for the currency of these prices", retry_after_s=30
            )
        return rate if order.quoted is None else min(rate, order.quoted)

    async def _reserve(self, asked: Asked, bound: Bound) -> Admission:
        known, voucher = asked.known, asked.payment.voucher
        if voucher is None:
            raise r.PaymentRequired("this costs money: send a voucher")
        try:
            return await self._admit(asked, voucher, bound)
        except OverDeposit:
            # Perhaps it was topped up a moment ago.
            await self._sessions.refresh(known.seller.id)
            try:
                return await self._admit(asked, voucher, bound)
            except PayRejected as error:
                raise await self.pay_refusal(known, voucher, error) from None
        except PayRejected as error:
            raise await self.pay_refusal(known, voucher, error) from None

    async def _admit(self, asked: Asked, voucher: Signed, bound: Bound) -> Admission:
        async with self._sessions.turn(asked.known, asked.voucher.lane, voucher, asked.checked) as turn:
            admission = asked.known.seller.admit(
                voucher.statement, voucher.signature, self._clock.now(), bound.full, bound.full, asked.voucher,
                asked.checked,
            )  # fmt: skip
            turn.keep(admission.lane, begins=True)
        return admission

    async def pay_refusal(self, known: Known, voucher: Signed, error: PayRejected) -> r.PayRefusal:
        """A refusal that tells an honest sender how to go on: where the lane is, or what is left."""
        if isinstance(error, LaneBusy | LaneUnknown):
            await self._sessions.renew(known)
        extra: dict[str, object] = {"left": show_ait(known.seller.left)}
        lane = known.seller.lanes.get(Voucher.decode(voucher.statement).lane)
        if isinstance(error, OutOfStep) and lane is not None and lane.last_receipt is not None:
            extra["receipt"] = encode_signed(lane.last_receipt.statement, lane.last_receipt.signature)
        extra["used_lanes"] = sorted(number for number, used in known.seller.lanes.items() if used.retired or used.busy)
        return r.PayRefusal(error, extra)
