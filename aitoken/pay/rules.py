"""The claim rules of a session's lanes, as pure functions; the chain, gateways and watchtowers use these.

- R1 A claim's receipt is the voucher's last or the next one.
- R2 `acked <= total <= ceiling`.
- R3 What a lane was paid never decreases.
- R4 All lanes together come to no more than the deposit.
- R5 The part up to `acked` is final at once.
- R6 The rest (the *tail*) needs the hash of its receipt and waits a window, in which a fraud proof can take it away.
- R7 A later voucher that countersigns the tail's receipt and total settles it. One that acknowledges less changes
  nothing: whether the provider claimed or the payer signed too little is for a fraud proof to say. A lane has one tail
  at a time, and no other takes its place.
- R8 Nothing is accepted after the end of a session: the caller's. R8b: see `lanes`. R9 One encoding: see `layouts`.

A ceiling ends with `valid_until`; what a voucher acknowledges stays owed for ever.
A tail is the provider's own statement, which it can be slashed for. Whoever may submit claims, a tail counts only when
it comes from the provider: from its key, or with the receipt it signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aitoken.pay.errors import CeilingExpired, OverDeposit, PayRejected
from aitoken.pay.layouts import Voucher
from aitoken.pay.ticks import tick_total
from aitoken.types import Balance, Hash32, Moment

NOTHING: Final = Balance(0)

CLOCK_SLACK_MS: Final = 30_000
"""By how much clocks of payer, provider and chain may differ."""


class BadSequence(PayRejected):
    """The claimed receipt is neither the voucher's last nor the next one (R1)."""

    code = "pay.bad_sequence"


class BadTotal(PayRejected):
    """The claimed total is not between what the voucher acknowledges and its ceiling (R2)."""

    code = "pay.bad_total"


class TotalDecreases(PayRejected):
    """The lane was paid, or has claimed, more than that already (R3)."""

    code = "pay.total_decreases"


class NoReceipt(PayRejected):
    """A tail without the hash of its receipt, or a hash without a tail (R6)."""

    code = "pay.no_receipt"


class TailWaits(PayRejected):
    """The lane has a tail that this claim neither repeats nor countersigns in full (R7)."""

    code = "pay.tail_waits"


@dataclass(frozen=True, slots=True)
class Tail:
    """The claimed, not yet countersigned end of a lane.

    Attributes:
        total: what the lane comes to with it.
        seq: number of its receipt.
        receipt_hash: hash of that receipt.
        claimed_at: when it was claimed, in the caller's measure of time.
    """

    total: Balance
    seq: int
    receipt_hash: Hash32
    claimed_at: int


@dataclass(frozen=True, slots=True)
class Lane:
    """What the chain knows of a lane: paid for good, and perhaps a tail."""

    paid: Balance
    tail: Tail | None = None

    @property
    def committed(self) -> Balance:
        """What the lane takes of the deposit: paid, or up to the end of its tail."""
        return self.paid if self.tail is None else self.tail.total


NEW_LANE: Final = Lane(NOTHING)


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim on a lane.

    Attributes:
        voucher: the payer's voucher, its signature checked by the caller.
        total: what the lane is claimed to come to.
        receipt_seq: number of the last receipt that counts.
        receipt_hash: its hash where there is a tail, else None.
    """

    voucher: Voucher
    total: Balance
    receipt_seq: int
    receipt_hash: Hash32 | None = None


def claim(lane: Lane, request: Claim, headroom: Balance, at: int, now: Moment) -> Lane:
    """Return the lane after a claim; `new.paid - old.paid` is to be paid out.

    Args:
        lane: the lane before.
        request: the claim.
        headroom: the deposit less what all other lanes have committed.
        at: when a tail begins to wait, in the caller's measure (blocks).
        now: the chain's time.

    Raises:
        PayRejected: the claim breaks a rule; nothing changed.
    """
    voucher, total = request.voucher, request.total
    _check_claim(request, now)
    if total < lane.paid:
        raise TotalDecreases(f"{total} claimed, {lane.paid} paid already")
    tail = _left_of(lane.tail, request)
    paid = Balance(max(lane.paid, voucher.acked))
    if tail is None and request.receipt_hash is not None and total > paid:
        tail = Tail(total, request.receipt_seq, request.receipt_hash, at)
    after = Lane(paid, tail)
    if after.committed > headroom:
        raise OverDeposit(f"the lane would come to {after.committed}, {headroom} are left for it")
    return after


def _left_of(tail: Tail | None, request: Claim) -> Tail | None:
    """Return what a claim leaves of the lane's tail: nothing if it countersigns it, all if it is the same tail again.

    The same tail again does not begin its window again, or anybody could keep a provider waiting for ever.
    """
    if tail is None:
        return None
    voucher = request.voucher
    if voucher.seq >= tail.seq and voucher.acked >= tail.total:
        return None
    if (request.total, request.receipt_seq, request.receipt_hash) == (tail.total, tail.seq, tail.receipt_hash):
        return tail
    raise TailWaits(f"{tail.total} wait to be countersigned or proved wrong")


def _check_claim(request: Claim, now: Moment) -> None:
    """Check what a claim must fulfil by itself."""
    voucher, total = request.voucher, request.total
    if request.receipt_seq not in (voucher.seq, voucher.seq + 1):
        raise BadSequence(f"receipt {request.receipt_seq} with a voucher for {voucher.seq}")
    if not voucher.acked <= total <= voucher.ceiling:
        raise BadTotal(f"{total} is not between {voucher.acked} and {voucher.ceiling}")
    tailed = request.receipt_seq == voucher.seq + 1
    if not tailed and total != voucher.acked:
        raise BadTotal(f"{total} claimed and {voucher.acked} acknowledged, without a further receipt")
    if tailed != (request.receipt_hash is not None):
        raise NoReceipt("a tail and the hash of its receipt belong together")
    if total > voucher.acked and expired(voucher.valid_until, now):
        raise CeilingExpired(f"the ceiling ended at {voucher.valid_until}")


def expired(valid_until: Moment, now: Moment) -> bool:
    """Tell whether a moment (0 stands for never) is over, clocks being what they are."""
    return valid_until != 0 and now > valid_until + CLOCK_SLACK_MS


def claim_ticks(lane: Lane, voucher: Voucher, index: int, preimage: bytes, headroom: Balance) -> Lane:
    """Return the lane after a claim by a tick: its preimage is the payer's word, so all of it is final at once.

    Raises:
        PayRejected: the voucher has no ticks, the preimage is not the chain's, or there is too little money.
    """
    paid = Balance(max(lane.paid, tick_total(voucher, index, preimage)))
    tail = lane.tail if lane.tail is not None and lane.tail.total > paid else None
    after = Lane(paid, tail)
    if after.committed > headroom:
        raise OverDeposit(f"the lane would come to {after.committed}, {headroom} are left for it")
    return after


def mature(lane: Lane) -> Lane:
    """Return the lane once its tail has waited its window: the tail is paid."""
    return lane if lane.tail is None else Lane(Balance(max(lane.paid, lane.tail.total)))


def drop_tail(lane: Lane) -> Lane:
    """Return the lane without its tail, which a fraud proof or an unanswered demand took away."""
    return lane if lane.tail is None else Lane(lane.paid)
