"""Amounts of money as people write them: decimal text in AIT, never a float."""

from __future__ import annotations

import re
from typing import Final

from aitoken.types import AIT, Balance
from cli.exits import BadInput

DECIMALS: Final = 12
BALANCE_MAX: Final = 2**128 - 1
_AMOUNT: Final = re.compile(r"([0-9][0-9_]*)(?:\.([0-9]+))?(?: ?AIT)?", re.ASCII)


def parse_amount(text: str) -> Balance:
    """Read `12.5`, `10_000` or `1 AIT` as smallest units.

    Raises:
        BadInput: it is no decimal number, has more than 12 decimals, or is larger than any balance.
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise BadInput(f"{text!r} is no amount: write AIT as decimal digits, for example 12.5")
    whole, fraction = found[1].replace("_", ""), found[2] or ""
    if len(fraction) > DECIMALS:
        raise BadInput(f"{text!r} has {len(fraction)} decimals: one AIT has {DECIMALS}")
    if len(whole) > 40:
        raise BadInput(f"{text!r} is more than any account can hold")
    value = int(whole) * AIT + int(fraction.ljust(DECIMALS, "0"))
    if value > BALANCE_MAX:
        raise BadInput(f"{text!r} is more than any account can hold")
    return Balance(value)


def show_amount(value: int) -> str:
    """Smallest units as `1_234.5 AIT`, exact."""
    whole, rest = divmod(abs(value), AIT)
    fraction = f".{rest:012d}".rstrip("0").rstrip(".")
    return f"{'-' if value < 0 else ''}{whole:_}{fraction} AIT"
