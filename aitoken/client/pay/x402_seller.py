"""Schemes with which servers of the x402 library for Python sell for the token; importing them does not need it.

    from x402.http import FacilitatorConfig, HTTPFacilitatorClient
    from x402.server import x402ResourceServer
    from aitoken.client.pay.x402 import network_of
    from aitoken.client.pay.x402_seller import PricedIn

    server = x402ResourceServer(HTTPFacilitatorClient(FacilitatorConfig(url=facilitator)))
    server.register(network_of(genesis), PricedIn("exact"))

A price of a route is text such as "0.05 AIT", or {"amount": base units, "asset": "native"}; never dollars, which the
token is not. `payTo` is 0x and the 32 bytes of an account in hex. With "upto" the price is a maximum, and the library's
settlement override says what the answer really cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Final

from aitoken.client.pay.x402 import ASSET, Requirements
from aitoken.types import AIT

UNIT: Final = " AIT"


@dataclass(frozen=True, slots=True)
class Price:
    """A price as the library reads it."""

    amount: str
    asset: str = ASSET
    extra: dict[str, Any] = field(default_factory=dict)


class PricedIn:
    """One scheme of a server, "exact" or "upto"."""

    default_asset_transfer_method: ClassVar = "default"
    payment_flows: ClassVar[Mapping[str, Any]] = {
        "default": {"supported": ("authorization",), "default": "authorization"}
    }

    def __init__(self, scheme: str) -> None:
        """Name the scheme."""
        self.scheme = scheme

    def parse_price(self, price: Any, network: str) -> Price:  # noqa: ARG002 - the token is one on every chain
        """Read a price; the library calls this.

        Raises:
            ValueError: it is none in the token.
        """
        if isinstance(price, Mapping):
            price, asset = price.get("amount"), price.get("asset")
            if asset == ASSET and isinstance(price, str) and price.isascii() and price.isdigit():
                return Price(price)
        elif isinstance(price, str) and price.endswith(UNIT):
            try:
                amount = Decimal(price.removesuffix(UNIT)) * AIT
            except InvalidOperation:
                amount = Decimal(-1)
            if amount.is_finite() and amount >= 0 and amount == int(amount):
                return Price(str(int(amount)))
        raise ValueError(f'{price!r} is no price in the token: say "0.05 AIT"')

    def enhance_payment_requirements(
        self,
        requirements: Requirements,
        supported_kind: Any,  # noqa: ARG002 - the library passes it
        extensions: list[str],  # noqa: ARG002 - the library passes it
    ) -> Requirements:
        """Add nothing; the library calls this."""
        return requirements
