"""Amounts in money, where the chain knows what its token costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from cli.amounts import show_amount
from cli.session import Client

if TYPE_CHECKING:
    from aitoken.client.client import Client as Library

DOLLAR: Final = 840
"""ISO 4217; the first currency of the chain's oracle."""


async def show_money(client: Client, value: int) -> str:
    """An amount as `about 5.00 USD (5 AIT)`; in the token alone where there is no fresh rate."""
    from aitoken.client.errors import NodeRefused, UnknownName

    try:
        found: Any = await cast("Library", client).runtime_call("OracleApi", "current_rate", DOLLAR)
    except (UnknownName, NodeRefused):  # another chain
        found = None
    return in_money(value, found["rate"] if found else 0)


def in_money(value: int, rate: int) -> str:
    """The same with so many smallest units for a dollar; 0 where that is not known."""
    if not rate:
        return show_amount(value)
    cents = value * 100 // rate
    return f"about {cents // 100}.{cents % 100:02} USD ({show_amount(value)})"
