"""Price books: what each unit costs, in which currency, under which conditions.

A price is `mantissa / 10^scale` of the book's currency for `per` units, which writes every decimal price exactly.
A component may be tied to conditions (a tier, a large input, hours of the day); of the components of a unit that hold,
the most specific one counts. Every priced unit has a component without conditions, so there is always one.
Books are SCALE records: the chain stores them, calls carry them, and their hash names them.
"""

from __future__ import annotations

import re
from math import lcm
from typing import Annotated, Final

from aitoken.codec.hints import MaxLen, TypeName, codec_of, u8, u16, u32, u64
from aitoken.codec.records import Record, record
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.errors import BadBook
from aitoken.pay.units import UNITS
from aitoken.types import Hash32

COMPONENTS_MAX: Final = 64
FREE_UNITS_MAX: Final = 16
BOOK_BYTES_MAX: Final = 4096
SCALE_MAX: Final = 30
MINUTES_A_DAY: Final = 1440

IN_ASSET: Final = 0
"""The currency number of a book whose prices are in the asset itself; all others are ISO 4217 numbers (840 is USD)."""

PAY_DELIVERED: Final = 1
"""Policy bit: what was delivered before the provider failed is charged."""

PAY_MODERATED: Final = 2
"""Policy bit: an answer that moderation withheld is charged."""

POLICY_BITS: Final = PAY_DELIVERED | PAY_MODERATED


@record("aitoken_pay::Price")
class Price(Record):
    """`mantissa / 10^scale` of a currency."""

    mantissa: u64
    scale: u8


@record("aitoken_pay::Conditions")
class Conditions(Record):
    """When a component counts; what is None does not matter.

    Attributes:
        tier: this service tier was served.
        input_over: the input is larger than this many tokens.
        cache_ttl: written cache entries live at least this many seconds.
        quality: this class of quality or resolution was served.
        hours: it started in these minutes of the UTC day, from the first up to but not with the second; the second
            may be smaller and then lies on the next day.
    """

    tier: u8 | None
    input_over: u32 | None
    cache_ttl: u32 | None
    quality: u16 | None
    hours: tuple[u16, u16] | None


ALWAYS: Final = Conditions(None, None, None, None, None)


@record("aitoken_pay::Component")
class Component(Record):
    """What `per` of a unit cost under conditions."""

    unit: u16
    price: Price
    per: u64
    conditions: Conditions


@record("aitoken_pay::Book")
class Book(Record):
    """The prices of a service; immutable once published.

    Attributes:
        currency: `IN_ASSET` or an ISO 4217 number.
        components: at most 64.
        min_charge: the least a request with any usage costs.
        free_units: (unit, quantity) that each request has free, in ascending order of units.
        policy: `PAY_DELIVERED`, `PAY_MODERATED`.
    """

    currency: u16
    components: Annotated[list[Component], MaxLen(COMPONENTS_MAX), TypeName("BoundedVec<Component>")]
    min_charge: Price
    free_units: Annotated[list[tuple[u16, u64]], MaxLen(FREE_UNITS_MAX), TypeName("BoundedVec<(u16, u64)>")]
    policy: u8


BOOK: Final = codec_of(Book)


def book_hash(book: Book) -> Hash32:
    """Return the name of a book: blake2b-256 of its SCALE form."""
    return blake2_256(BOOK.encode(book))


def check_book(book: Book) -> None:
    """Make sure that a book can be computed with in bounded integers and has one meaning.

    Raises:
        BadBook: it breaks a limit.
    """
    if len(book.components) > COMPONENTS_MAX or len(book.free_units) > FREE_UNITS_MAX:
        raise BadBook(f"at most {COMPONENTS_MAX} components and {FREE_UNITS_MAX} free units")
    if not 0 <= book.currency <= 999:
        raise BadBook(f"currency {book.currency} is no ISO 4217 number")
    if book.policy & ~POLICY_BITS:
        raise BadBook(f"policy {book.policy} has unknown bits")
    _check_price(book.min_charge)
    seen = {component_key(component): component for component in book.components}
    if len(seen) < len(book.components):
        raise BadBook("two components of one unit have the same conditions")
    common = 1
    for component in book.components:
        _check_component(component)
        common = lcm(common, component.per)
        if (component.unit, *_NO_CONDITIONS) not in seen:
            raise BadBook(f"unit {component.unit} has no component without conditions")
    if common >= 1 << 64:
        raise BadBook("the least common multiple of all `per` does not fit 64 bits")
    last = 0
    for unit, quantity in book.free_units:
        if unit not in UNITS or unit <= last or quantity < 1:
            raise BadBook("free units are of known units in ascending order, at least 1 of each")
        last = unit
    if len(BOOK.encode(book)) > BOOK_BYTES_MAX:
        raise BadBook(f"a book has at most {BOOK_BYTES_MAX} bytes")


def _check_price(price: Price) -> None:
    if not 0 <= price.mantissa < 1 << 64 or not 0 <= price.scale <= SCALE_MAX:
        raise BadBook(f"{price}: the mantissa has 64 bits and the scale is at most {SCALE_MAX}")


def _check_component(component: Component) -> None:
    if component.unit not in UNITS:
        raise BadBook(f"unit {component.unit} is not in the registry")
    if not 1 <= component.per < 1 << 64:
        raise BadBook(f"a price per {component.per}")
    _check_price(component.price)
    hours = component.conditions.hours
    if hours is not None and (max(hours) >= MINUTES_A_DAY or hours[0] == hours[1]):
        raise BadBook(f"hours {hours} are no two different minutes of a day")


Key = tuple[int, int, int, int, int, tuple[int, int]]
_NO_CONDITIONS: Final = (-1, -1, -1, -1, (-1, -1))


def component_key(component: Component) -> Key:
    """Return unit and conditions as integers.

    Of the components of one unit, a greater key is more specific: a tier counts before a quality, this before the age
    of a cache, this before a large input, this before hours.
    """
    c = component.conditions
    return (
        component.unit,
        -1 if c.tier is None else c.tier,
        -1 if c.quality is None else c.quality,
        -1 if c.cache_ttl is None else c.cache_ttl,
        -1 if c.input_over is None else c.input_over,
        (-1, -1) if c.hours is None else (c.hours[0], c.hours[1]),
    )


def may_raise(old: Book, new: Book) -> bool:
    """Tell whether any request might cost more under `new`; in doubt it might.

    It surely cannot when currency and policy are the same, the least charge is not higher, no free units are gone,
    every component of `old` is in `new` at no higher price, and what `new` adds to a unit is no dearer than the
    cheapest `old` has for it.
    """
    if new.currency != old.currency or new.policy & ~old.policy or _dearer(new.min_charge, 1, old.min_charge, 1):
        return True
    free = dict(new.free_units)
    if any(free.get(unit, 0) < quantity for unit, quantity in old.free_units):
        return True
    before = {component_key(component): component for component in old.components}
    after = {component_key(component): component for component in new.components}
    if any(key not in after for key in before):
        return True
    for key, component in after.items():
        compared = [before[key]] if key in before else [c for c in old.components if c.unit == component.unit]
        if (not compared and component.price.mantissa > 0) or any(
            _dearer(component.price, component.per, other.price, other.per) for other in compared
        ):
            return True
    return False


def _dearer(left: Price, left_per: int, right: Price, right_per: int) -> bool:
    theirs: int = right.mantissa * 10**left.scale * left_per
    ours: int = left.mantissa * 10**right.scale * right_per
    return ours > theirs


CURRENCY_NUMBERS: Final[dict[str, int]] = {
    "AIT": IN_ASSET, "AUD": 36, "BRL": 986, "CAD": 124, "CHF": 756, "CNY": 156, "EUR": 978, "GBP": 826, "IDR": 360,
    "INR": 356, "JPY": 392, "KES": 404, "KRW": 410, "MXN": 484, "NGN": 566, "PHP": 608, "PLN": 985, "SGD": 702,
    "TRY": 949, "UAH": 980, "USD": 840, "VND": 704, "ZAR": 710,
}  # fmt: skip
"""ISO 4217 numbers by code, and 0 for the asset; feeds of the oracle have the same numbers."""

_DECIMAL: Final = re.compile(r"(\d{1,40})(?:\.(\d{1,40}))?(?:[eE]([+-]?\d{1,2}))?")


def price_of(text: str) -> Price:
    """Return the price that a decimal number says, such as "0.15" or "1.5e-07", without rounding.

    Raises:
        BadBook: it is no plain decimal number, or too long to be written exactly.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise BadBook(f"{text!r} is no decimal number")
    whole, fraction, exponent = match.group(1), match.group(2) or "", int(match.group(3) or 0)
    mantissa, scale = int(whole + fraction), len(fraction) - exponent
    while scale > 0 and mantissa % 10 == 0:
        mantissa, scale = mantissa // 10, scale - 1
    if scale < 0:
        mantissa, scale = mantissa * 10**-scale, 0
    price = Price(mantissa, scale)
    _check_price(price)
    return price
