"""The buyer's side of a session: pick a lane, make a voucher, check the receipt, and never risk more than a cap.

R8b: a ceiling cannot be taken back at the same receipt number. What a lane puts at risk is the *highest* ceiling ever
signed at its current number, less what the lane came to, until that ceiling ends; a receipt (of charge 0 too) moves the
number on and frees it. So a retry sends the same voucher again, every ceiling has an end, and a lane that is owed an
answer is preferred for the next request, because it adds the least risk.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from aitoken.crypto import ed25519
from aitoken.crypto.hashing import blake2_256
from aitoken.light import light
from aitoken.pay.errors import BadReceipt, BadSignature, ExposureTooHigh, LaneBusy, OutOfStep, OverDeposit
from aitoken.pay.layouts import CUMULATIVE, Receipt, Voucher, ack0
from aitoken.pay.price import PriceList
from aitoken.pay.proofs import mispriced
from aitoken.pay.rules import NOTHING, expired
from aitoken.pay.seller import Signed
from aitoken.types import Balance, Hash32, Moment

CEILING_MS: Final = 600_000
"""How long a ceiling holds by default."""


class BuyerLane:
    """One lane as the buyer knows it.

    Attributes:
        number: its number.
        seq: the last receipt accepted, 0 before the first.
        total: what the lane came to with it.
        ack: its hash, or `ack0`.
        ceiling: highest ceiling signed at `seq`; equals `total` when none is.
        ceiling_until: when the last of those ceilings ends.
        busy: a request is in flight.
        stopped: nothing more is sent; why.
        ready: a voucher that was signed ahead and given to nobody.
    """

    __slots__ = ("ack", "busy", "ceiling", "ceiling_until", "number", "ready", "seq", "stopped", "total")

    def __init__(self, number: int, ack: Hash32) -> None:
        self.number = number
        self.seq = 0
        self.total = NOTHING
        self.ack = ack
        self.ceiling = NOTHING
        self.ceiling_until = Moment(0)
        self.busy = False
        self.stopped = ""
        self.ready: tuple[Voucher, Signed] | None = None

    def at_risk(self, now: Moment) -> Balance:
        """What the seller could take on this lane without an answer."""
        if self.ceiling == self.total or expired(self.ceiling_until, now):
            return NOTHING
        return Balance(self.ceiling - self.total)

    def move_to(self, seq: int, total: Balance, ack: Hash32) -> None:
        """Go on from a receipt."""
        self.ready = None
        self.seq, self.total, self.ack, self.ceiling, self.ceiling_until = seq, total, ack, total, Moment(0)


@light
@dataclass(frozen=True, slots=True)
class Promise:
    """A voucher for one request, signed; send it again unchanged when the request is repeated."""

    lane: BuyerLane
    voucher: Voucher
    signed: Signed


@dataclass(frozen=True, slots=True)
class Terms:
    """What a receipt is checked against; what is None is not checked.

    Attributes:
        request: hash of the request.
        service: the service that was asked.
        prices: the book the session is bound to.
        rate_max: highest rate it may use (0 with a book in the asset).
    """

    request: Hash32 | None = None
    service: int | None = None
    prices: PriceList | None = None
    rate_max: int = 0


ANY_TERMS: Final = Terms()


class BuyerSession:
    """One session with one seller.

    Attributes:
        id: the session.
        deposit: what was put down.
        exposure_max: the most that may be at risk over all lanes.
        lanes: those that were used, by number.
        promised: what the ceilings of all lanes come to.
        spent: what all accepted receipts come to.
    """

    __slots__ = ("_key", "_operator", "deposit", "exposure_max", "id", "lanes", "max_lanes", "promised", "spent")

    def __init__(
        self, session: Hash32, key: ed25519.Pair, operator: bytes, deposit: Balance, max_lanes: int,
        exposure_max: Balance,
    ) -> None:  # fmt: skip
        """Begin with no lane used; `adopt` brings lanes back from receipts.

        Args:
            session: the session's id.
            key: the session key.
            operator: the 32-byte key the seller signs receipts with.
            deposit: what was put down.
            max_lanes: how many lanes there may be.
            exposure_max: the most that may be at risk over all lanes.
        """
        self.id = session
        self._key = key
        self._operator = operator
        self.deposit = deposit
        self.max_lanes = max_lanes
        self.exposure_max = exposure_max
        self.lanes: dict[int, BuyerLane] = {}
        self.promised = self.spent = NOTHING

    def at_risk(self, now: Moment) -> Balance:
        """What the seller could take over all lanes without an answer."""
        return Balance(sum(lane.at_risk(now) for lane in self.lanes.values()))

    def promise(
        self, cost_max: Balance, now: Moment, holds_ms: int = CEILING_MS, avoid: Collection[int] = ()
    ) -> Promise:
        """Take a free lane for a request that may cost `cost_max`.

        Args:
            cost_max: the most it may cost.
            now: the buyer's clock.
            holds_ms: how long the ceiling holds.
            avoid: lanes the seller says are still busy.

        Raises:
            LaneBusy: all lanes have a request in flight or are out of use.
            ExposureTooHigh: more would be at risk than the cap allows.
            OverDeposit: all lanes would come to more than the deposit.
        """
        lane = self._free_lane(cost_max, now, avoid)
        made = self._sign(lane, Balance(lane.total + cost_max), now, holds_ms)
        lane.busy = True
        return made

    def raise_ceiling(self, promise: Promise, cost_max: Balance, now: Moment, holds_ms: int = CEILING_MS) -> Promise:
        """Allow the request in flight to cost `cost_max` in all.

        Raises:
            OutOfStep: the request is answered already.
            ExposureTooHigh: more would be at risk than the cap allows.
            OverDeposit: all lanes would come to more than the deposit.
        """
        lane = promise.lane
        if not lane.busy or lane.seq != promise.voucher.seq:
            raise OutOfStep("the request is not in flight")
        return self._sign(lane, Balance(max(lane.ceiling, lane.total + cost_max)), now, holds_ms)

    def prepare(self, lane: BuyerLane, cost_max: Balance, now: Moment, holds_ms: int = CEILING_MS) -> None:
        """Sign ahead what the next request of an idle lane will need if it may cost as much as `cost_max`.

        Nothing is promised by it: the voucher stays here, and counts from the moment `promise` gives it out, when all
        limits are checked as for any other.
        """
        if not (lane.busy or lane.stopped):
            ready = self._voucher(lane, Balance(lane.total + cost_max), Moment(now + holds_ms))
            lane.ready = (ready, self._signed(ready))

    def give_up(self, promise: Promise) -> None:
        """Stop waiting for an answer; the ceiling stays at risk until it ends or a receipt comes."""
        promise.lane.busy = False

    def accept(self, receipt: Signed, terms: Terms = ANY_TERMS) -> Receipt:
        """Check the next receipt of its lane and go on from it; the lane's next voucher countersigns it.

        Raises:
            BadSignature: it is not the seller's.
            BadLayout: it is no receipt.
            OutOfStep: it is not the lane's next one; where receipts were missed, see `adopt`.
            BadReceipt: it is the seller's word and not what was agreed. The lane is stopped, the receipt is a proof.
        """
        if not ed25519.verify(receipt.signature, receipt.statement, self._operator):
            raise BadSignature("the receipt is not signed by the seller's operator key")
        read = Receipt.decode(receipt.statement)
        lane = self.lanes.get(read.lane)
        if read.session_id != self.id or lane is None or read.seq != lane.seq + 1:
            raise OutOfStep(f"receipt {read.seq} of lane {read.lane} is not the next one")
        wrong = _wrong_with(read, lane, terms)
        lane.busy = False
        if wrong:
            lane.stopped = wrong
            raise BadReceipt(wrong)
        self._move(lane, receipt, read)
        return read

    def acknowledgement(self, lane: BuyerLane) -> Signed:
        """Return a voucher that only countersigns, for a lane that is not used for a while."""
        return self._signed(self._voucher(lane, lane.total, Moment(0)))

    def _voucher(self, lane: BuyerLane, ceiling: Balance, until: Moment) -> Voucher:
        return Voucher(self.id, lane.number, CUMULATIVE, 0, lane.seq, lane.total, ceiling, until, lane.ack)

    def _signed(self, voucher: Voucher) -> Signed:
        statement = voucher.encode()
        return Signed(statement, self._key.sign(statement))

    def adopt(self, receipt: Signed) -> BuyerLane:
        """Believe the seller's last receipt of a lane whose state was lost.

        The seller is bound by it like by any other, and what it can have made up is bounded by the ceilings that were
        signed, because it can claim nothing above them.

        Raises:
            BadSignature: it is not the seller's.
            BadLayout: it is no receipt.
            OutOfStep: it is of another session, or older than what is known.
        """
        if not ed25519.verify(receipt.signature, receipt.statement, self._operator):
            raise BadSignature("the receipt is not signed by the seller's operator key")
        read = Receipt.decode(receipt.statement)
        known = self.lanes.get(read.lane)
        if read.session_id != self.id or (known is not None and read.seq <= known.seq):
            raise OutOfStep(f"receipt {read.seq} of lane {read.lane} is older than what is known")
        lane = known or BuyerLane(read.lane, ack0(self.id, read.lane))
        self._move(lane, receipt, read)
        lane.busy = False
        self.lanes[read.lane] = lane
        return lane

    def _move(self, lane: BuyerLane, receipt: Signed, read: Receipt) -> None:
        """Go on from a receipt of a lane."""
        self.promised = Balance(self.promised + read.lane_total - lane.ceiling)
        self.spent = Balance(self.spent + read.lane_total - lane.total)
        lane.move_to(read.seq, read.lane_total, blake2_256(receipt.statement))

    def _free_lane(self, cost_max: Balance, now: Moment, avoid: Collection[int]) -> BuyerLane:
        free = [lane for lane in self.lanes.values() if not (lane.busy or lane.stopped or lane.number in avoid)]
        if len(free) == 1:
            return free[0]
        if free:
            return min(free, key=lambda lane: (max(0, cost_max - lane.at_risk(now)), lane.number))
        number = next((n for n in range(self.max_lanes) if n not in self.lanes and n not in avoid), None)
        if number is None:
            raise LaneBusy("all lanes have a request in flight")
        lane = self.lanes[number] = BuyerLane(number, ack0(self.id, number))
        return lane

    def _sign(self, lane: BuyerLane, ceiling: Balance, now: Moment, holds_ms: int) -> Promise:
        voucher, signed = self._taken_ahead(lane, ceiling, now, holds_ms)
        until = Moment(now + holds_ms) if voucher is None else voucher.valid_until
        self._check_limits(lane, ceiling, now)
        if voucher is None or signed is None:
            voucher = self._voucher(lane, ceiling, until)
            signed = self._signed(voucher)
        lane.ready = None
        if ceiling > lane.ceiling:
            self.promised = Balance(self.promised + ceiling - lane.ceiling)
            lane.ceiling = ceiling
        lane.ceiling_until = Moment(max(lane.ceiling_until, until))
        return Promise(lane, voucher, signed)

    def _check_limits(self, lane: BuyerLane, ceiling: Balance, now: Moment) -> None:
        """Refuse a ceiling with which too much would be at risk, or all lanes come to too much."""
        ceilings = self.promised + max(ceiling - lane.ceiling, 0)
        # Ceilings that have ended are at risk no more, which is looked at only if it makes a difference.
        if ceilings - self.spent > self.exposure_max:
            others = sum([one.at_risk(now) for one in self.lanes.values() if one is not lane])
            at_risk = others + max(lane.at_risk(now), ceiling - lane.total)
            if at_risk > self.exposure_max:
                raise ExposureTooHigh(f"{at_risk} would be at risk, the cap is {self.exposure_max}")
        if ceilings > self.deposit:
            raise OverDeposit(f"all lanes would come to more than the deposit of {self.deposit}")

    @staticmethod
    def _taken_ahead(
        lane: BuyerLane, ceiling: Balance, now: Moment, holds_ms: int
    ) -> tuple[Voucher, Signed] | tuple[None, None]:
        """Return the voucher that was signed ahead, if it is what is wanted and holds for half as long at least."""
        if lane.ready is None:
            return None, None
        voucher = lane.ready[0]
        fits = voucher.ceiling == ceiling and now + holds_ms // 2 <= voucher.valid_until <= now + holds_ms
        return lane.ready if fits else (None, None)


def _wrong_with(receipt: Receipt, lane: BuyerLane, terms: Terms) -> str:
    if receipt.prev_ack != lane.ack or receipt.lane_total != lane.total + receipt.charge:
        return "it does not follow from the receipt before"
    if receipt.lane_total > lane.ceiling:
        return f"it charges {receipt.charge}, at most {lane.ceiling - lane.total} were allowed"
    if terms.request is not None and receipt.request != terms.request:
        return "it is for another request"
    if terms.service is not None and receipt.service != terms.service:
        return "it is of another service"
    if terms.prices is not None and (damage := mispriced(receipt, terms.prices, terms.rate_max)):
        return f"it charges {damage} more than the price"
    return ""
