"""What a request costs: the exact sum of its units in quote units, rounded up once to base units of the asset.

    charge = ceil( max(sum of quantity * price / per, least charge) * rate )

with `rate` in base units per quote unit (10^12 stands for 1 : 1 where the asset has 12 decimals, and for a book in the
asset itself, whose receipts say rate 0). Everything is an integer of bounded size: a quantity and a mantissa have 64
bits, a scale at most 30 and the common multiple of all `per` 64 bits, so no term exceeds 2^292.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm
from typing import Final, NamedTuple

from aitoken.pay.book import IN_ASSET, MINUTES_A_DAY, Book, Component, Conditions, component_key
from aitoken.pay.errors import ChargeTooLarge, PayRejected
from aitoken.pay.extension import CACHE_TTL, QUALITY, TIER, decode_extension
from aitoken.pay.layouts import Receipt
from aitoken.pay.units import INPUT_SIZE_UNITS
from aitoken.types import AIT, Balance

RATE_ONE: Final = AIT
"""One base unit of the asset per 10^-12 quote unit: the rate of a book in the asset."""

_CHARGE_LIMIT: Final = 1 << 128
_MINUTE_MS: Final = 60_000

Usage = Sequence[tuple[int, int]]


class RateMissing(PayRejected):
    """The book is in another currency than the asset and no rate is given, or the other way round."""

    code = "pay.rate_missing"


class Situation(NamedTuple):
    """What of a request decides which components count.

    Attributes:
        tier: the service tier.
        cache_ttl: seconds that written cache entries live.
        quality: the class of quality.
        minute: minute of the UTC day in which the request started.
    """

    tier: int = 0
    cache_ttl: int = 0
    quality: int = 0
    minute: int = 0


def situation_of(receipt: Receipt) -> Situation:
    """Return the situation a receipt states.

    Raises:
        BadLayout: its extension is malformed.
    """
    minute = receipt.started // _MINUTE_MS % MINUTES_A_DAY
    if not receipt.extension:
        return Situation(minute=minute)
    fields = decode_extension(receipt.extension)
    tier, ttl, quality = (int.from_bytes(fields.get(kind, b""), "little") for kind in (TIER, CACHE_TTL, QUALITY))
    return Situation(tier, ttl, quality, minute)


def input_size(usage: Usage) -> int:
    """Return the tokens of all kinds that went in, on which `input_over` looks."""
    return sum(quantity for unit, quantity in usage if unit in INPUT_SIZE_UNITS)


def holds(conditions: Conditions, situation: Situation, size: int) -> bool:
    """Tell whether a component counts for a request with `size` input tokens."""
    return (
        (conditions.tier is None or conditions.tier == situation.tier)
        and (conditions.quality is None or conditions.quality == situation.quality)
        and (conditions.cache_ttl is None or situation.cache_ttl >= conditions.cache_ttl)
        and (conditions.input_over is None or size > conditions.input_over)
        and (conditions.hours is None or _within(conditions.hours, situation.minute))
    )


def _within(hours: tuple[int, int], minute: int) -> bool:
    start, end = hours
    return start <= minute < end if start < end else minute >= start or minute < end


@dataclass(frozen=True, slots=True)
class PriceList:
    """A book made ready for many computations; build it with `price_list`.

    Attributes:
        in_asset: the book's currency is the asset.
        denominator: what all terms are divided by, in the end and once.
        plain: unit to numerator, for units with one component.
        choices: unit to (conditions, numerator), the most specific first, for all others.
        least: numerator of the least charge.
        free: unit to free quantity.
    """

    in_asset: bool
    denominator: int
    plain: dict[int, int]
    choices: dict[int, tuple[tuple[Conditions, int], ...]]
    least: int
    free: dict[int, int]

    def charge(self, usage: Usage, situation: Situation, rate: int) -> Balance:
        """Return what `usage` costs; see `charge`."""
        if (rate == 0) != self.in_asset:
            raise RateMissing("a book in the asset has rate 0 and no other book has")
        if not usage:
            return Balance(0)
        total, size = 0, -1
        for unit, quantity in usage:
            if self.free:
                quantity = max(0, quantity - self.free.get(unit, 0))
            price = self.plain.get(unit)
            if price is not None:
                total += quantity * price
            elif unit in self.choices:
                if size < 0:
                    size = input_size(usage)
                total += quantity * self._choose(unit, situation, size)
        charged = -(-max(total, self.least) * (rate or RATE_ONE) // self.denominator)
        if charged >= _CHARGE_LIMIT:
            raise ChargeTooLarge(f"{charged} base units")
        return Balance(charged)

    def _choose(self, unit: int, situation: Situation, size: int) -> int:
        for conditions, numerator in self.choices[unit]:
            if holds(conditions, situation, size):
                return numerator
        return 0


def price_list(book: Book) -> PriceList:
    """Make a checked book ready for many computations (`check_book` is the caller's)."""
    scale = max([book.min_charge.scale, *(component.price.scale for component in book.components)])
    per = lcm(*(component.per for component in book.components))
    denominator = 10**scale * per

    def term(component: Component) -> int:
        price = component.price
        numerator: int = price.mantissa * 10 ** (scale - price.scale) * (per // component.per)
        return numerator

    by_unit: dict[int, list[Component]] = {}
    for component in sorted(book.components, key=component_key, reverse=True):
        by_unit.setdefault(component.unit, []).append(component)
    return PriceList(
        in_asset=book.currency == IN_ASSET,
        denominator=denominator,
        plain={unit: term(items[0]) for unit, items in by_unit.items() if len(items) == 1},
        choices={
            unit: tuple((item.conditions, term(item)) for item in items)
            for unit, items in by_unit.items()
            if len(items) > 1
        },
        least=book.min_charge.mantissa * 10 ** (scale - book.min_charge.scale) * per,
        free=dict(book.free_units),
    )


def charge(book: Book, usage: Usage, situation: Situation, rate: int) -> Balance:
    """Return what `usage` costs under a book, in base units, rounded up once.

    Args:
        book: a book that `check_book` accepts.
        usage: (unit, quantity), each unit once; a unit the book does not price is free.
        situation: what decides between components of one unit.
        rate: base units per quote unit; 0 with a book in the asset, and only then.

    Raises:
        RateMissing: the rate does not fit the book's currency.
        ChargeTooLarge: the charge does not fit 128 bits.
    """
    return price_list(book).charge(usage, situation, rate)
