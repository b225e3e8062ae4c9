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
