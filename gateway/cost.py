"""What a request may cost at most, before anything is known of its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from aitoken.pay.book import MINUTES_A_DAY
from aitoken.pay.errors import ChargeTooLarge
from aitoken.pay.price import Situation
from aitoken.pay.units import REQUEST
from aitoken.types import Balance, Moment
from gateway.apis.base import Ask
from gateway.catalogue import Edition
from gateway.passes import beyond
from gateway.refusals import TooDear

ONE_REQUEST: Final = ((REQUEST, 1),)
NONE: Final[Mapping[int, int]] = {}


def situation(ask: Ask, started: Moment) -> Situation:
    """Return what decides between the components of a book for a request."""
    return Situation(ask.tier, 0, ask.quality, started // 60_000 % MINUTES_A_DAY)


def most(
    ask: Ask, edition: Edition, rate: int, started: Moment, output: int, covered: Mapping[int, int] = NONE
) -> Balance:
    """Return the most a request can cost with `output` tokens a choice.

    Args:
        ask: the request.
        edition: the prices.
        rate: base units per quote unit.
        started: when it begins.
        output: most output tokens of a choice.
        covered: units that are paid already.

    Raises:
        TooDear: it is more than an amount can be.
    """
    priced = ask.usage_max(output, edition.units) or ONE_REQUEST
    try:
        return edition.prices.charge(beyond(priced, covered), situation(ask, started), rate)
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
