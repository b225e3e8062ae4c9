"""One admitted request from its reservation to its receipt; there is exactly one receipt whatever happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256
from aitoken.errors import Bug
from aitoken.pay.book import PAY_DELIVERED
from aitoken.pay.errors import PayRejected
from aitoken.pay.extension import FALLBACK_LEG, IDEMPOTENCY, QUALITY, TIER, TOKENIZER, encode_extension
from aitoken.pay.headers import COST, LEFT, RECEIPT, encode_signed
from aitoken.pay.layouts import Receipt, Status
from aitoken.pay.rules import NOTHING
from aitoken.pay.seller import Admission, Signed
from aitoken.types import Balance, Hash32, Moment
from gateway import headers as h
from gateway.apis.base import Api, Ask, Meter
from gateway.catalogue import Edition, Model
from gateway.cost import situation
from gateway.passes import PassBook, Taken, beyond
from gateway.ports import Clock, RateLock
from gateway.sessions import Known, follow_raise
from gateway.store import Held, Store, StoredAnswer
from gateway.tokens import PIECES, TOKENIZERS

log = logging.getLogger(__name__)

ANSWER_BYTES_MAX: Final = 1 << 20
"""Longer answers are not kept for a repetition of the request."""

LOOK_S: Final = 0.1
"""How often one looks whether another gateway was given a higher ceiling."""

NO_BYTES: Final = blake2_256(b"")
NOT_COVERED: Final[Mapping[int, int]] = {}
Usage = tuple[tuple[int, int], ...]


class Leg(msgspec.Struct, frozen=True):
    """A model that may answer, and the prices that count if it does."""

    model: Model
    edition: Edition


class Order(msgspec.Struct):
    """What was agreed before the work began; `output_limit` and `window` are decided once, when there is a place.

    Attributes:
        api: the endpoint.
        ask: the request.
        legs: models that may answer, the first choice first.
        output_limit: most output tokens of a choice that the upstream is told; None where there is nothing to limit.
        window: the answer flows beyond what the ceiling allows, and the ceiling is raised meanwhile.
        request: hash of the request.
        key: hash of the `Idempotency-Key`, if there is one.
        body_hash: hash of the body alone.
        lock: the session's rate, if it is locked.
        quoted: rate of the quote, if there is one.
        started: Unix milliseconds.
    """

    api: Api
    ask: Ask
    legs: tuple[Leg, ...]
    output_limit: int | None
    window: bool
    request: Hash32
    key: Hash32 | None
    body_hash: Hash32
    lock: RateLock | None
    quoted: int | None
    started: Moment


class _End(msgspec.Struct, frozen=True):
    finished: Moment
    rate: int
    usage: Usage
    charge: Balance


class Settled(msgspec.Struct, frozen=True):
    """The end of a request."""

    receipt: Receipt
    signed: Signed


class Paid:
    """An admitted request.

    Attributes:
        order: what was agreed.
        known: the session.
        settled: its end, once it has come.
        taken: units of a pass that were set aside for it.
    """

    def __init__(
        self, order: Order, known: Known, admission: Admission, operator: Pair, store: Store, clock: Clock,
        rate_now: Callable[[int], int | None], done: Callable[[Settled], None], taken: Taken | None,
        passes: PassBook,
    ) -> None:  # fmt: skip
        self.order = order
        self.known = known
        self.settled: Settled | None = None
        self._admission = admission
        self._operator = operator
        self._store = store
        self._clock = clock
        self._rate_now = rate_now
        self._done = done
        self._taken = taken
        self._passes = passes
        self._covered = NOT_COVERED if taken is None else taken.units
        self._fixed: _End | None = None

    @property
    def allowance(self) -> Balance:
        """What the request may cost in all; grows when the ceiling is raised."""
        lane = self._admission.lane
        return Balance(lane.end - lane.total)

    def meter(self, leg: Leg) -> Meter:
        """Return a meter for an answer of a leg."""
        return Meter(self.order.ask, TOKENIZERS[leg.model.tokenizer or PIECES])

    def usage(self, leg: Leg, meter: Meter, *, final: bool) -> Usage:
        """Return what a meter has counted, in units the leg's book prices."""
        return meter.units(leg.edition.units, leg.model.tolerance_percent, final=final)

    def price(self, leg: Leg, usage: Usage) -> Balance:
        """Return what a usage would cost if the request ended now, not cut to the allowance."""
        rate = self._rate(leg, self._clock.now())
        return NOTHING if rate is None else self._price(leg, usage, rate)

    def _price(self, leg: Leg, usage: Usage, rate: int) -> Balance:
        """What a usage costs beyond what a pass covers."""
        rest = beyond(usage, self._covered)
        return leg.edition.prices.charge(rest, situation(self.order.ask, self.order.started), rate)

    def fix(self, leg: Leg, usage: Usage) -> Balance:
        """Decide what the request is charged, so that its answer can tell it before it is settled."""
        finished = max(self.order.started, self._clock.now())
        rate = self._rate(leg, finished)
        if rate is None:
            # A locked rate ended meanwhile and there is no fresh one: nothing can be charged that a proof would bear.
            rate, usage = 0, ()
        self._fixed = _End(finished, rate, usage, self._charge(leg, usage, rate))
        return self._fixed.charge

    def pays_delivered(self, leg: Leg) -> bool:
        """Whether what was delivered before the provider failed is charged."""
        return bool(leg.edition.book.policy & PAY_DELIVERED)

    def settle(
        self, status: Status, leg_number: int = 0, usage: Usage = (), response: Hash32 = NO_BYTES,
        *, recounted: bool = False, answer: StoredAnswerParts | None = None,
    ) -> Settled:  # fmt: skip
        """Write the receipt, keep it, and free what was not used. A second call changes nothing."""
        if self.settled is not None:
            return self.settled
        order = self.order
        leg = order.legs[leg_number]
        if self._fixed is None:
            self.fix(leg, usage)
        end = self._fixed
        if end is None:
            raise Bug("a request ends without a charge")
        lane = self._admission.lane
        receipt = Receipt(
            self.known.seller.id, lane.number, lane.seq + 1, int(status), leg.model.service, leg.edition.version,
            leg.model.hash, order.request, response, order.started, end.finished, end.charge,
            Balance(lane.total + end.charge), end.rate, lane.ack, end.usage,
            self._extension(leg, leg_number, recounted=recounted),
        )  # fmt: skip
        signed = self.known.seller.settle(self._admission, receipt, self._operator)
        self.settled = Settled(receipt, signed)
        self._keep(self.settled, answer)
        return self.settled

    def _keep(self, settled: Settled, answer: StoredAnswerParts | None) -> None:
        """Put a receipt, and an answer that may be asked for again, into the store."""
        receipt, key = settled.receipt, self.order.key
        self._store.put_receipt(receipt, settled.signed)
        if self._taken is not None:
            self._passes.settle(self._taken, receipt.usage)
        if key is not None and answer is not None:
            stored = stored_answer(self.order.body_hash, answer, settled.signed)
            self._store.put_answer(self.known.seller.id, key, receipt.finished, stored)
        self._done(settled)

    @property
    def lost(self) -> bool:
        """Whether its receipt cannot be kept any more, so that what is delivered from now on is free."""
        return not self._store.holds(self.known.seller.id, self._admission.lane.number)

    async def known_to_disk(self) -> None:
        """Wait until the receipt may leave; it must not where this raises."""
        if self.settled is not None:
            await self._store.kept(self.settled.receipt, self.settled.signed)

    async def more(self) -> None:
        """Wait until the ceiling may have been raised, here or at another gateway."""
        known, lane = self.known, self._admission.lane
        try:
            async with asyncio.timeout(LOOK_S if self._store.shared else None):
                await known.raised.wait()
                known.raised.clear()
        except TimeoutError:
            for stored in await self._store.lanes(known.seller.id, lane.number):
                if stored.held is Held.HERE:
                    follow_raise(lane, stored)

    def receipt_headers(self) -> dict[str, str]:
        """Return what a settled request tells in headers."""
        if self.settled is None:
            return {}
        return receipt_headers(self.settled.receipt, self.settled.signed, self.known.seller.left)

    def cost(self) -> Mapping[str, Any]:
        """Return the cost as answers' `usage` has it."""
        if self.settled is None:
            return {}
        receipt = self.settled.receipt
        return cost_fields(receipt.charge, receipt.usage)

    def _charge(self, leg: Leg, usage: Usage, rate: int) -> Balance:
        if not usage:
            return NOTHING
        try:
            price = self._price(leg, usage, rate)
        except PayRejected:
            log.exception("a usage that has no price: nothing is charged")
            return NOTHING
        return min(price, self.allowance)

    def _rate(self, leg: Leg, at: Moment) -> int | None:
        """Return the rate of a receipt that ends at `at`; 0 with a book in the asset, None where there is none."""
        if leg.edition.prices.in_asset:
            return 0
        order = self.order
        if order.lock is not None and at <= order.lock.until:
            return order.lock.rate if order.quoted is None else min(order.quoted, order.lock.rate)
        now = self._rate_now(leg.edition.book.currency)
        if now is None:
            return None
        return now if order.quoted is None else min(order.quoted, now)

    def _extension(self, leg: Leg, leg_number: int, *, recounted: bool) -> bytes:
        ask = self.order.ask
        if not (ask.tier or ask.quality or recounted or leg_number) and self.order.key is None:
            return b""
        fields: dict[int, bytes] = {}
        if ask.tier:
            fields[TIER] = bytes((ask.tier,))
        if ask.quality:
            fields[QUALITY] = ask.quality.to_bytes(2, "little")
        if recounted:
            fields[TOKENIZER] = blake2_256((leg.model.tokenizer or PIECES).encode())
        if leg_number:
            fields[FALLBACK_LEG] = bytes((leg_number,))
        if self.order.key is not None:
            fields[IDEMPOTENCY] = self.order.key
        return encode_extension(fields)


class StoredAnswerParts(msgspec.Struct, frozen=True):
    """An answer to be kept for a repetition of its request."""

    status: int
    content_type: str
    body: bytes


def stored_answer(body_hash: Hash32, answer: StoredAnswerParts, receipt: Signed) -> StoredAnswer:
    """Return an answer as it is kept; one that is too long without its body."""
    kept = answer.body if len(answer.body) <= ANSWER_BYTES_MAX else None
    return StoredAnswer(body_hash, answer.status, answer.content_type, kept, receipt)


class SingleTerms(msgspec.Struct, frozen=True):
    """What a single payment is charged: all of it if `exact`, else the price, and `least` at least.

    The seller pays the fee of its transaction, so there has to be a least.
    """

    exact: bool = False
    least: Balance = NOTHING


class PaidOnce(Paid):
    """A request that one payment of its own pays: its receipt is kept, and leaves, only once the chain has moved it.

    Attributes:
        terms: what it is charged.
        answer: what is kept of the answer.
    """

    terms: SingleTerms = SingleTerms()
    answer: StoredAnswerParts | None = None

    def _charge(self, leg: Leg, usage: Usage, rate: int) -> Balance:
        price = super()._charge(leg, usage, rate)
        if not usage:
            return price
        return self.allowance if self.terms.exact else min(max(price, self.terms.least), self.allowance)

    def _keep(self, settled: Settled, answer: StoredAnswerParts | None) -> None:  # noqa: ARG002 - it is kept later
        self.answer = answer


def receipt_headers(receipt: Receipt, signed: Signed, left: Balance) -> dict[str, str]:
    """Return what is told of a receipt in headers."""
    return {
        RECEIPT: encode_signed(signed.statement, signed.signature),
        COST: f"{h.show_ait(receipt.charge)} AIT; units={h.show_units(receipt.usage)}",
        LEFT: h.show_ait(left),
    }


def cost_fields(charge: Balance, usage: Usage) -> Mapping[str, Any]:
    """Return a charge as an answer's `usage` has it, amounts as text so that no reader rounds them."""
    units = {h.unit_name(unit): quantity for unit, quantity in usage}
    return {"cost": h.show_ait(charge), "cost_currency": "AIT", "cost_details": units}
