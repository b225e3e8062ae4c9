"""Amounts in money: cents rounded down, the token beside them, and the token alone without a rate."""

from __future__ import annotations

import pytest

from aitoken.types import AIT
from cli.money import in_money


@pytest.mark.parametrize(
    ("value", "rate", "text"),
    [
        (5 * AIT, AIT, "about 5.00 USD (5 AIT)"),
        (5 * AIT, 4 * AIT, "about 1.25 USD (5 AIT)"),
        (AIT, 3 * AIT, "about 0.33 USD (1 AIT)"),
        (AIT, AIT // 2_000, "about 2000.00 USD (1 AIT)"),
        (1, AIT, "about 0.00 USD (0.000000000001 AIT)"),
        (5 * AIT, 0, "5 AIT"),
    ],
)
def test_money_comes_first_where_a_rate_is_known(value: int, rate: int, text: str) -> None:
    assert in_money(value, rate) == text
