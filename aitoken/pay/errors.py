"""What can be wrong with a payment, each with a stable code that headers, problem documents and logs show."""

from typing import ClassVar

from aitoken.errors import Rejected


class PayRejected(Rejected):
    """Root of everything wrong with a payment."""

    code: ClassVar[str] = "pay.rejected"


class BadLayout(PayRejected):
    """The bytes are not the one encoding of a voucher, receipt, offer, closing or authorisation."""

    code = "pay.bad_layout"


class BadSignature(PayRejected):
    """A signature does not verify under the key it must be of."""

    code = "pay.bad_signature"


class BadBook(PayRejected):
    """A price book breaks a limit; the sentence says which."""

    code = "pay.bad_book"


class ChargeTooLarge(PayRejected):
    """A charge does not fit 128 bits."""

    code = "pay.charge_too_large"


class OutOfStep(PayRejected):
    """A voucher does not continue the lane: the last signed receipt tells its sender where the lane is."""

    code = "pay.out_of_step"


class LaneBusy(PayRejected):
    """The lane has a request in flight; another lane is free, or this one when it is answered."""

    code = "pay.lane_busy"


class LaneUnknown(PayRejected):
    """The session has no such lane, or it is out of use."""

    code = "pay.lane_unknown"


class CeilingTooLow(PayRejected):
    """The request may cost more than the voucher allows."""

    code = "pay.ceiling_too_low"


class OverDeposit(PayRejected):
    """All lanes together would come to more than the deposit (R4)."""

    code = "pay.over_deposit"


class CeilingExpired(PayRejected):
    """The voucher's ceiling has ended; only what it acknowledges counts."""

    code = "pay.ceiling_expired"


class ExposureTooHigh(PayRejected):
    """The request would put more at risk than the buyer's cap."""

    code = "pay.exposure_too_high"


class BadReceipt(PayRejected):
    """A receipt is not what the buyer was promised; the sentence says how."""

    code = "pay.bad_receipt"


class BadTick(PayRejected):
    """A preimage does not belong to the hash chain, or the chain has no such step."""

    code = "pay.bad_tick"
