"""How the gateway says no: a status, a stable code and a sentence, never a traceback and never a charge.

What concerns payment is 402 or 400 as `application/problem+json` (RFC 9457) and carries the challenges of
`gateway.challenges`; everything else has the shape OpenAI's clients expect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from aitoken.errors import Rejected
from aitoken.pay import errors as pay
from aitoken.pay.layouts import Status

PROBLEM: Final = "application/problem+json"
UNEXPECTED: Final = Status.PROVIDER_ERROR
"""How a request ends that the gateway itself could not finish: free of charge."""


class Refusal(Rejected):
    """A request is not served.

    Attributes:
        status: HTTP status.
        extra: further fields of the answer, such as the ceiling that is needed.
        retry_after_s: when to ask again, where that helps.
    """

    code: ClassVar[str] = "gateway.refused"
    status: ClassVar[int] = 400

    def __init__(self, message: str, extra: Mapping[str, Any] | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.extra = dict(extra or {})
        self.retry_after_s = retry_after_s


class BadRequest(Refusal):
    """The body or a header that has nothing to do with payment is wrong."""

    code = "gateway.bad_request"


class TooLarge(Refusal):
    """The body is larger than the gateway reads."""

    code = "gateway.too_large"
    status = 413


class NoSuchModel(Refusal):
    """No model of that name is sold here, or not through this endpoint."""

    code = "gateway.no_such_model"
    status = 404


class TooBusy(Refusal):
    """All places, and those in the queue, are taken; nothing was charged."""

    code = "gateway.too_busy"
    status = 429


class RateUnavailable(Refusal):
    """There is no fresh exchange rate for the book's currency, and the session has none locked."""

    code = "gateway.rate_unavailable"
    status = 503


class ChainUnavailable(Refusal):
    """The node that knows the session does not answer."""

    code = "gateway.chain_unavailable"
    status = 503


class StoreUnavailable(Refusal):
    """What must not be forgotten cannot be kept now; nothing is charged."""

    code = "gateway.store_unavailable"
    status = 503


class KeyReused(Refusal):
    """The `Idempotency-Key` was used with another body, or its answer is not kept."""

    code = "gateway.idempotency_key_reused"
    status = 409


class StillRunning(Refusal):
    """A request with this `Idempotency-Key` is still being answered."""

    code = "gateway.still_running"
    status = 409


class PaymentRefusal(Refusal):
    """Something about the payment; answered with the challenges."""

    code = "gateway.payment_required"
    status = 402


class PaymentRequired(PaymentRefusal):
    """There is no voucher."""

    code = "gateway.payment_required"


class BadPaymentHeader(PaymentRefusal):
    """A payment header is malformed, or there are several that disagree."""

    code = "gateway.bad_payment_header"
    status = 400


class SessionUnknown(PaymentRefusal):
    """The chain has no such open session with this provider."""

    code = "gateway.session_unknown"


class BookUnknown(PaymentRefusal):
    """The session is bound to prices the model is not sold at."""

    code = "gateway.book_unknown"


class TooDear(PaymentRefusal):
    """The request may cost more than the voucher, or the client's own cap, allows."""

    code = "gateway.too_dear"


class QuoteMismatch(PaymentRefusal):
    """The quote is not for this request, this book or this time."""

    code = "gateway.quote_mismatch"


class NotEntitled(PaymentRefusal):
    """The service tier needs a plan that the payer does not have."""

    code = "gateway.not_entitled"


class OrderRefusal(PaymentRefusal):
    """Something about what a payer signed for others to carry out."""

    code = "gateway.order_refused"


class NoSinglePayments(OrderRefusal):
    """Single payments are not taken here, or not for answers that flow."""

    code = "gateway.no_single_payments"


class BadOrder(OrderRefusal):
    """What the payer signed is for another chain, payee, time or request, or the signature is not the payer's."""

    code = "gateway.bad_order"


class OrderUsed(OrderRefusal):
    """This authorisation, or another with its nonce, was used or cancelled."""

    code = "gateway.order_used"


class CannotPay(OrderRefusal):
    """The payer's account does not hold what it signed for."""

    code = "gateway.cannot_pay"


class NotSettled(OrderRefusal):
    """The chain did not carry out the payment; the answer is kept back."""

    code = "gateway.not_settled"


class PayRefusal(PaymentRefusal):
    """A voucher was refused by the rules of the protocol; the code is the rule's."""

    def __init__(self, cause: pay.PayRejected, extra: Mapping[str, Any] | None = None) -> None:
        super().__init__(str(cause), extra)
        self.cause = cause


def code_of(refusal: Refusal) -> str:
    """Return the stable code of a refusal."""
    return refusal.cause.code if isinstance(refusal, PayRefusal) else refusal.code


def status_of(refusal: Refusal) -> int:
    """Return the HTTP status of a refusal."""
    if isinstance(refusal, PayRefusal) and isinstance(refusal.cause, pay.BadLayout):
        return 400
    return refusal.status
