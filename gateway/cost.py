"""What a request may cost at most, before anything is known of its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aitoken.pay.book import MINUTES_A_DAY
from aitoken.pay.errors import ChargeTooLarge
from aitoken.pay.price import Situation
from aitoken.pay.units import REQUEST
from aitoken.types import Balance, Moment
from gateway.apis.base import Ask
from gateway.catalogue import Edition
from gateway.refusals import TooDear

ONE_REQUEST: Final = ((REQUEST, 1),)


def situation(ask: Ask, started: Moment) -> Situation:
    """Return what decides between the components of a book for a request."""
    return Situation(ask.tier, 0, ask.quality, started // 60_000 % MINUTES_A_DAY)


def most(ask: Ask, edition: Edition, rate: int, started: Moment, output: int) -> Balance:
    """Return the most a request can cost with `output` tokens a choice.

    Raises:
        TooDear: it is more than an amount can be.
    """
    units = edition.units
    priced = tuple((unit, quantity) for unit, quantity in ask.usage_max(output) if unit in units)
    try:
        return edition.prices.charge(priced or ONE_REQUEST, situation(ask, started), rate)
    except ChargeTooLarge:
        raise TooDear("this may cost more than there is money") from None


def fitting(limit: Balance, wanted: int, cost: Callable[[int], Balance]) -> int:
    """Return the most output tokens up to `wanted` that surely cost no more than `limit`; 0 where none do."""
    low, high = 0, wanted
    while low < high:
        middle = (low + high + 1) // 2
        if cost(middle) <= limit:
            low = middle
        else:
            high = middle - 1
    return low
