"""The seller's side of a session: admit a voucher, reserve, answer, write a receipt, know what can be claimed.

All lanes of a session share one deposit, and `reserved` is what they may come to together. Admission compares and adds
in one step without a pause, so no number of requests at the same time can be admitted for more than there is.

A voucher is out of step when it does not continue the lane's last receipt; the gateway then answers with that receipt
(`SellerLane.last_receipt`), from which an honest sender goes on. Receipts of one number exist once: whoever restores a
lane without knowing for sure which receipts left the house must `retire` it, because a second receipt is slashable.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from aitoken.crypto import ed25519
from aitoken.crypto.hashing import blake2_256
from aitoken.light import light
from aitoken.pay.errors import (
    BadLayout,
    BadSignature,
    CeilingExpired,
    CeilingTooLow,
    LaneBusy,
    LaneUnknown,
    OutOfStep,
    OverDeposit,
    PayRejected,
)
from aitoken.pay.layouts import FINAL, VOUCHER_MAGIC, Closing, Receipt, Voucher, ack0
from aitoken.pay.rules import NOTHING, Claim, expired
from aitoken.types import Balance, Hash32, Moment

NO_LIMIT: Final = Balance((1 << 128) - 1)


class SessionClosing(PayRejected):
    """The session is closing or frozen: what was served is claimed, nothing new is served."""

    code = "pay.session_closing"


@light
@dataclass(frozen=True, slots=True)
class Signed:
    """Bytes and the signature over them, as they were received or will be sent."""

    statement: bytes
    signature: bytes


class SellerLane:
    """One lane: where its receipts are, and the best voucher for them.

    Attributes:
        number: its number.
        seq: number of its last receipt, 0 before the first.
        total: what it came to with that receipt.
        ack: hash of that receipt, or `ack0`.
        last_receipt: that receipt.
        voucher: the payer's best voucher; it countersigns `seq` or the receipt before.
        signed_voucher: the same as bytes.
        end: up to where the request in flight may go; equals `total` when none is.
        busy: a request is in flight.
        retired: nothing new is admitted.
    """

    __slots__ = (
        "ack", "busy", "end", "last_receipt", "number", "retired", "seq", "signed_voucher", "total", "voucher",
    )  # fmt: skip

    def __init__(self, number: int, ack: Hash32) -> None:
        self.number = number
        self.seq = 0
        self.total = NOTHING
        self.ack = ack
        self.last_receipt: Signed | None = None
        self.voucher: Voucher | None = None
        self.signed_voucher: Signed | None = None
        self.end = NOTHING
        self.busy = False
        self.retired = False

    @property
    def countersigned(self) -> Balance:
        """What the payer has accepted on this lane."""
        return NOTHING if self.voucher is None else self.voucher.acked

    def claim(self, now: Moment) -> Claim | None:
        """Return the best claim there is for this lane, or None before the first voucher."""
        voucher = self.voucher
        if voucher is None:
            return None
        tail = (
            self.seq == voucher.seq + 1
            and voucher.acked < self.total <= voucher.ceiling
            and not expired(voucher.valid_until, now)
        )
        if tail:
            return Claim(voucher, self.total, self.seq, self.ack)
        return Claim(voucher, voucher.acked, voucher.seq)


@light
@dataclass(frozen=True, slots=True)
class Admission:
    """A request that may be served, for at most `allowance`."""

    lane: SellerLane
    allowance: Balance


class SellerSession:
    """One payer's session with this seller.

    Attributes:
        id: the session.
        key: the 32-byte key vouchers are signed with.
        deposit: what the payer has put down.
        reserved: what all lanes together may come to.
        closing: nothing new is admitted.
        lanes: those that were used, by number.
    """

    __slots__ = ("closing", "deposit", "id", "key", "lanes", "max_lanes", "reserved")

    def __init__(self, session: Hash32, key: bytes, deposit: Balance, max_lanes: int) -> None:
        self.id = session
        self.key = key
        self.deposit = deposit
        self.max_lanes = max_lanes
        self.reserved = NOTHING
        self.closing = False
        self.lanes: dict[int, SellerLane] = {}

    @property
    def left(self) -> Balance:
        """What of the deposit is not promised to a lane yet."""
        return Balance(self.deposit - self.reserved)

    def admit(
        self, statement: bytes, signature: bytes, now: Moment, need: Balance = NOTHING, limit: Balance = NO_LIMIT,
        read: Voucher | None = None, checked: bytes = b"",
    ) -> Admission:  # fmt: skip
        """Reserve for one request; it must end with `settle`.

        Args:
            statement: the voucher without its signature.
            signature: 64 bytes.
            now: the seller's clock.
            need: what the request may cost, and so the least its ceiling must leave for it.
            limit: the most it will be charged, whatever the ceiling says (a client's own cap).
            read: what `statement` decodes to, where the caller has read it already.
            checked: the key with which the caller has checked the signature, if it has.

        Raises:
            PayRejected: it is not admitted; nothing changed.
        """
        voucher = Voucher.decode(statement) if read is None else read
        lane = self._lane_of(voucher)
        if lane.busy:
            raise LaneBusy(f"lane {lane.number} has a request in flight")
        self._check_step(lane, voucher, now)
        total = lane.total
        if voucher.ceiling - total < need:
            raise CeilingTooLow(f"the request may cost {need}, the voucher leaves {voucher.ceiling - total}")
        end = min(voucher.ceiling, total + limit)
        reserved = self.reserved - lane.end + end
        if reserved > self.deposit:
            raise OverDeposit(f"all lanes would come to {reserved} of {self.deposit}")
        if checked != self.key and not ed25519.verify(signature, statement, self.key):
            raise BadSignature("the voucher is not signed with the session's key")
        self._keep(lane, voucher, Signed(statement, signature))
        self.reserved = Balance(reserved)
        lane.end = Balance(end)
        lane.busy = True
        return Admission(lane, Balance(end - total))

    def admit_once(self, limit: Balance) -> Admission:
        """Reserve for the one request of a session that a single payment makes up, without a voucher.

        Raises:
            LaneBusy: there was a request already.
            OverDeposit: it may cost more than the payment is.
        """
        if self.lanes:
            raise LaneBusy("a single payment is for a single request")
        if limit > self.deposit:
            raise OverDeposit(f"the request may cost {limit}, the payment is {self.deposit}")
        lane = self.lanes[0] = SellerLane(0, ack0(self.id, 0))
        self.reserved = lane.end = limit
        lane.busy = True
        return Admission(lane, limit)

    def raise_ceiling(self, statement: bytes, signature: bytes, now: Moment) -> Balance:
        """Take a higher ceiling for the request in flight on a lane; return what it may now cost in all.

        Raises:
            PayRejected: it does not continue the lane, nothing is in flight, or the deposit has no more.
        """
        voucher = Voucher.decode(statement)
        lane = self._lane_of(voucher)
        if not lane.busy:
            raise OutOfStep(f"lane {lane.number} has no request in flight")
        self._check_step(lane, voucher, now)
        end = max(lane.end, voucher.ceiling)
        reserved = self.reserved - lane.end + end
        if reserved > self.deposit:
            raise OverDeposit(f"all lanes would come to {reserved} of {self.deposit}")
        if not ed25519.verify(signature, statement, self.key):
            raise BadSignature("the voucher is not signed with the session's key")
        self._keep(lane, voucher, Signed(statement, signature))
        self.reserved = Balance(reserved)
        lane.end = Balance(end)
        return Balance(end - lane.total)

    def acknowledge(self, statement: bytes, signature: bytes, now: Moment) -> SellerLane:
        """Take a voucher that only countersigns; nothing is reserved for it.

        On a retired lane it may countersign receipts that were lost here: the payer's word is then where the lane is.

        Raises:
            PayRejected: it does not continue the lane, or a request is in flight.
        """
        voucher = Voucher.decode(statement)
        lane = self._lane_of(voucher, also_retired=True)
        if lane.busy:
            raise LaneBusy(f"lane {lane.number} has a request in flight")
        further = lane.retired and voucher.seq > lane.seq and voucher.acked >= lane.total
        if not further:
            self._check_step(lane, voucher, now, ceiling_counts=False)
        reserved = self.reserved - lane.end + voucher.acked
        if reserved > self.deposit:
            raise OverDeposit(f"all lanes would come to {reserved} of {self.deposit}")
        if not ed25519.verify(signature, statement, self.key):
            raise BadSignature("the voucher is not signed with the session's key")
        if further:
            lane.seq, lane.ack, lane.last_receipt = voucher.seq, voucher.ack, None
            lane.total = lane.end = voucher.acked
            self.reserved = Balance(reserved)
        self._keep(lane, voucher, Signed(statement, signature))
        return lane

    def settle(self, admission: Admission, receipt: Receipt, operator: ed25519.Pair) -> Signed:
        """Sign the receipt of an admitted request and free what it did not use.

        `next_receipt` fills the fields the lane decides.

        Raises:
            PayRejected: it does not follow from the lane, or charges more than was admitted.
        """
        lane = admission.lane
        if not lane.busy or receipt.seq != lane.seq + 1 or receipt.prev_ack != lane.ack:
            raise OutOfStep(f"receipt {receipt.seq} does not follow receipt {lane.seq} of lane {lane.number}")
        if receipt.lane_total != lane.total + receipt.charge or receipt.lane_total > lane.end:
            raise CeilingTooLow(f"a charge of {receipt.charge} where {lane.end - lane.total} were admitted")
        statement = receipt.encode()
        signed = Signed(statement, operator.sign(statement))
        self.reserved = Balance(self.reserved - lane.end + receipt.lane_total)
        lane.seq = receipt.seq
        lane.total = lane.end = receipt.lane_total
        lane.ack = blake2_256(statement)
        lane.last_receipt = signed
        lane.busy = False
        return signed

    def next_receipt(self, admission: Admission, receipt: Receipt) -> Receipt:
        """Return the receipt with session, lane, number, total and previous hash as the lane has them."""
        lane = admission.lane
        return replace(
            receipt, session_id=self.id, lane=lane.number, seq=lane.seq + 1,
            lane_total=Balance(lane.total + receipt.charge), prev_ack=lane.ack,
        )  # fmt: skip

    def close(self, valid_until: Moment, operator: ed25519.Pair) -> Signed:
        """Admit nothing more, and sign what the session comes to, so that the payer has the rest back in one block.

        Raises:
            LaneBusy: a request is in flight.
        """
        if any(lane.busy for lane in self.lanes.values()):
            raise LaneBusy("a request is in flight")
        self.closing = True
        total = Balance(sum(lane.total for lane in self.lanes.values()))
        statement = Closing(self.id, total, valid_until).encode()
        return Signed(statement, operator.sign(statement))

    def retire(self) -> None:
        """Admit nothing more on the lanes used so far; fresh ones are not touched."""
        for lane in self.lanes.values():
            lane.retired = True

    def restore(
        self, number: int, voucher: Signed | None, receipt: Signed | None, *, retired: bool = False
    ) -> SellerLane:
        """Bring back a lane from what was stored of it.

        Raises:
            BadLayout: what was stored does not belong together.
        """
        lane = SellerLane(number, ack0(self.id, number))
        if receipt is not None:
            last = Receipt.decode(receipt.statement)
            if (last.session_id, last.lane) != (self.id, number):
                raise BadLayout(f"a receipt of another lane stored for lane {number}")
            lane.seq, lane.total, lane.end = last.seq, last.lane_total, last.lane_total
            lane.ack, lane.last_receipt = blake2_256(receipt.statement), receipt
        if voucher is not None:
            lane.voucher, lane.signed_voucher = Voucher.decode(voucher.statement), voucher
            if (lane.voucher.session_id, lane.voucher.lane) != (self.id, number):
                raise BadLayout(f"a voucher of another lane stored for lane {number}")
            if lane.voucher.seq > lane.seq:
                # The receipt it countersigns was lost with an unsynced write: the payer's word is what is left.
                lane.seq, lane.ack = lane.voucher.seq, lane.voucher.ack
                lane.total = lane.end = lane.voucher.acked
                lane.last_receipt, retired = None, True
        lane.retired = retired
        self.lanes[number] = lane
        self.reserved = Balance(self.reserved + lane.end)
        return lane

    def _lane_of(self, voucher: Voucher, *, also_retired: bool = False) -> SellerLane:
        if voucher.session_id != self.id:
            raise LaneUnknown("the voucher is of another session")
        if self.closing and not also_retired:
            raise SessionClosing("the session is closing")
        number = voucher.lane
        lane = self.lanes.get(number)
        if lane is None:
            if number >= self.max_lanes:
                raise LaneUnknown(f"lane {number} of {self.max_lanes}")
            lane = SellerLane(number, ack0(self.id, number))
        elif lane.retired and not also_retired:
            raise LaneUnknown(f"lane {number} is out of use, take a fresh one")
        return lane

    def _check_step(self, lane: SellerLane, voucher: Voucher, now: Moment, *, ceiling_counts: bool = True) -> None:
        if voucher.seq != lane.seq or voucher.ack != lane.ack or voucher.acked != lane.total:
            raise OutOfStep(f"lane {lane.number} is at receipt {lane.seq}, the voucher at {voucher.seq}")
        if ceiling_counts and expired(voucher.valid_until, now):
            raise CeilingExpired(f"the ceiling ended at {voucher.valid_until}")
        if voucher.tick is not None:
            raise BadLayout("ticks are not taken here")

    def _keep(self, lane: SellerLane, voucher: Voucher, signed: Signed) -> None:
        """Remember a voucher, unless the one kept already allows more at the same place (R8b)."""
        best = lane.voucher
        if best is None or voucher.seq > best.seq or voucher.ceiling >= best.ceiling:
            lane.voucher, lane.signed_voucher = voucher, signed
        if voucher.flags & FINAL:
            lane.retired = True
        self.lanes[lane.number] = lane


def peek_session(statement: bytes) -> Hash32:
    """Return the session a voucher names, before anything else of it is looked at.

    Raises:
        BadLayout: the bytes cannot be a voucher.
    """
    if len(statement) < 40 or statement[:8] != VOUCHER_MAGIC:
        raise BadLayout("not a voucher of a known version")
    return Hash32(statement[8:40])
