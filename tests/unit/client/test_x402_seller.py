"""How sellers with an x402 server name prices in the token."""

from __future__ import annotations

from typing import Any

import pytest

from aitoken.client.pay.x402_seller import PricedIn
from aitoken.types import AIT


@pytest.mark.parametrize(
    ("price", "amount"),
    [
        ("0.05 AIT", AIT // 20),
        ("1 AIT", AIT),
        ("0.000000000001 AIT", 1),
        ("1000000 AIT", 10**6 * AIT),
        ({"amount": "7", "asset": "native"}, 7),
    ],
)
def test_a_price_in_the_token_is_base_units(price: Any, amount: int) -> None:
    found = PricedIn("exact").parse_price(price, "polkadot:1")
    assert (found.amount, found.asset, found.extra) == (str(amount), "native", {})


@pytest.mark.parametrize(
    "price",
    [
        "$0.05", "0.05", 0.05, 1, None, "-1 AIT", "x AIT", "0.0000000000001 AIT", "NaN AIT", "Infinity AIT",
        {"amount": "7", "asset": "USDC"}, {"amount": 7, "asset": "native"}, {"amount": "-7", "asset": "native"},
    ],
)  # fmt: skip
def test_what_is_no_price_in_the_token_is_refused(price: Any) -> None:
    with pytest.raises(ValueError, match="no price in the token"):
        PricedIn("exact").parse_price(price, "polkadot:1")
