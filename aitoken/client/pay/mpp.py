"""Pays with vouchers through clients of MPP, the "Payment" scheme of HTTP: method `aitoken`, intent `session`.

    from mpp.client import PaymentTransport
    from mpp.methods import Method
    from mpp.runtime import ClientMethod

    paying = MppSession(SessionScheme(payer, tab))  # aitoken.client.pay.x402

    async def create(asked):
        challenge = asked.challenge
        payload = paying.payload(challenge.request)
        return Credential(challenge=challenge.to_echo(), payload=payload).to_authorization()

    method = Method(name=METHOD, intent=INTENT, request_model=BaseModel, payload_model=BaseModel)
    transport = PaymentTransport([ClientMethod(method=method, create_credential=create)])
    transport.on_payment_response(lambda told: paying.take(told["response"].headers))

That is `pympp`; any client that lets one register a method and see the answer's headers will do.
Caps of the purse hold, and every receipt that is seen is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aitoken.client.pay.x402 import SessionScheme
from aitoken.pay.headers import RECEIPT

METHOD: Final = "aitoken"
INTENT: Final = "session"


@dataclass(slots=True)
class _Asked:
    """A challenge's request in the words the schemes read."""

    network: str
    asset: str
    amount: str
    extra: dict[str, Any]
    pay_to: str = ""
    max_timeout_seconds: int = 0


class MppSession:
    """Vouchers from one session of a purse."""

    def __init__(self, scheme: SessionScheme) -> None:
        """Pay from a session."""
        self._scheme = scheme

    def payload(self, request: Mapping[str, Any]) -> dict[str, str]:
        """Return a credential's payload for a challenge's request.

        A challenge that answers a voucher which was out of step brings the receipt from which it goes on.

        Raises:
            CapReached: a cap of the purse forbids it; nothing was signed.
            WrongGateway: the challenge is another provider's or chain's.
            PayRejected: the session has no lane, or not enough money.
        """
        receipt = request.get("receipt")
        if isinstance(receipt, str):
            self._scheme.go_on_from(receipt)
        asked = _Asked(
            str(request.get("network")), str(request.get("currency")), str(request.get("needed", "0")), dict(request)
        )  # fmt: skip
        return self._scheme.create_payment_payload(asked)

    def take(self, headers: Mapping[str, str]) -> None:
        """Take the receipt of an answer, where it has one; an answer that flows has it at its end.

        Raises:
            PayRejected: it is not what was agreed.
        """
        receipt = headers.get(RECEIPT)
        if receipt is not None:
            self._scheme.accept(receipt)
