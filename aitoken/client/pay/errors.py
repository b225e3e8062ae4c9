"""What a buyer is told when a request cannot be paid or answered."""

from __future__ import annotations

from typing import ClassVar

from aitoken.errors import Rejected, Unavailable


class CapReached(Rejected):
    """A cap of the buyer forbids it; nothing was signed."""

    code: ClassVar[str] = "buyer.cap_reached"


class GatewayRefused(Rejected):
    """The gateway does not serve the request; the sentence says why.

    Attributes:
        status: HTTP status.
        reason: the gateway's code.
    """

    code: ClassVar[str] = "buyer.refused"

    def __init__(self, message: str, status: int, reason: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class WrongGateway(Rejected):
    """The gateway is not what the chain says of its provider, or not of this chain."""

    code: ClassVar[str] = "buyer.wrong_gateway"


class NotSold(Rejected):
    """No gateway that is known sells the model."""

    code: ClassVar[str] = "buyer.not_sold"


class PurseUnusable(Rejected):
    """The purse is in use by another program, or is no purse."""

    code: ClassVar[str] = "buyer.purse_unusable"


class GatewayDown(Unavailable):
    """The gateway does not answer, or breaks off."""

    code: ClassVar[str] = "buyer.gateway_down"
