"""Prices: exact like fractions, rounded up once, conditions chosen by their specificity."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.pay.book import (
    ALWAYS,
    BOOK,
    IN_ASSET,
    Book,
    Component,
    Conditions,
    Price,
    book_hash,
    check_book,
    may_raise,
)
from aitoken.pay.errors import BadBook, ChargeTooLarge
from aitoken.pay.extension import CACHE_TTL, QUALITY, TIER, encode_extension
from aitoken.pay.price import RATE_ONE, RateMissing, Situation, charge, input_size, situation_of
from aitoken.pay.units import IMAGE, INPUT_TOKEN, NUMBER_OF, OUTPUT_TOKEN, UNITS
from aitoken.types import Moment
from tests.support.payments import RECEIPT

USD = 840
FREE = Price(0, 0)
PRICES = st.builds(Price, st.integers(0, 2**64 - 1), st.integers(0, 30))
PERS = st.sampled_from([1, 1000, 10**6, 60, 3600, 7])
CONDITIONS = st.builds(
    Conditions,
    st.none() | st.integers(0, 2),
    st.none() | st.integers(0, 50),
    st.none() | st.sampled_from([300, 3600]),
    st.none() | st.integers(0, 2),
    st.none() | st.sampled_from([(0, 480), (1200, 360)]),
)
SITUATIONS = st.builds(
    Situation, st.integers(0, 2), st.sampled_from([0, 300, 3600]), st.integers(0, 2), st.integers(0, 1439)
)
USAGES = st.dictionaries(st.integers(1, 6), st.integers(1, 100) | st.integers(1, 2**64 - 1)).map(
    lambda usage: tuple(sorted(usage.items()))
)


@st.composite
def books(draw: st.DrawFn) -> Book:
    components = {}
    for unit in draw(st.sets(st.integers(1, 5), max_size=4)):
        for conditions in [ALWAYS, *draw(st.lists(CONDITIONS, max_size=4))]:
            components[unit, repr(conditions)] = Component(unit, draw(PRICES), draw(PERS), conditions)
    free = draw(st.dictionaries(st.integers(1, 5), st.integers(1, 60), max_size=3))
    shuffled = draw(st.permutations(list(components.values())))
    return Book(draw(st.sampled_from([IN_ASSET, USD])), shuffled, draw(PRICES | st.just(FREE)), sorted(free.items()), 0)


def book(
    *components: Component, currency: int = USD, least: Price = FREE, free: list[tuple[int, int]] | None = None
) -> Book:
    return Book(currency, list(components), least, free or [], 0)


def priced(unit: int, mantissa: int, scale: int, per: int = 1, conditions: Conditions = ALWAYS) -> Component:
    return Component(unit, Price(mantissa, scale), per, conditions)


def exact(a_book: Book, usage: tuple[tuple[int, int], ...], situation: Situation, rate: int) -> Fraction:
    """The law by itself, in fractions and without regard to speed."""
    total = Fraction(0)
    size = sum(quantity for unit, quantity in usage if unit in (1, 3, 4, 13))
    for unit, quantity in usage:
        best = None
        for component in a_book.components:
            c = component.conditions
            start, end = c.hours or (0, 1440)
            minute = situation.minute
            if (
                component.unit == unit
                and c.tier in (None, situation.tier)
                and c.quality in (None, situation.quality)
                and situation.cache_ttl >= (c.cache_ttl or 0)
                and (c.input_over is None or size > c.input_over)
                and (start <= minute < end if start < end else not end <= minute < start)
            ):
                rank = [-1 if value is None else value for value in (c.tier, c.quality, c.cache_ttl, c.input_over)]
                key = (*rank, c.hours or (-1, -1))
                if best is None or key > best[0]:
                    best = (key, Fraction(component.price.mantissa, 10**component.price.scale * component.per))
        billed = max(0, quantity - dict(a_book.free_units).get(unit, 0))
        total += billed * best[1] if best else 0
    if usage:
        total = max(total, Fraction(a_book.min_charge.mantissa, 10**a_book.min_charge.scale))
    return total * (rate or RATE_ONE)


@given(books(), USAGES, SITUATIONS, st.integers(1, 2**64))
def test_a_charge_is_the_exact_sum_rounded_up_once(
    a_book: Book, usage: tuple[tuple[int, int], ...], situation: Situation, rate: int
) -> None:
    check_book(a_book)
    rate = 0 if a_book.currency == IN_ASSET else rate
    expected = math.ceil(exact(a_book, usage, situation, rate))
    if expected >= 2**128:
        with pytest.raises(ChargeTooLarge):
            charge(a_book, usage, situation, rate)
    else:
        assert charge(a_book, usage, situation, rate) == expected


@given(books())
def test_books_have_one_encoding_and_order_changes_no_price(a_book: Book) -> None:
    assert BOOK.decode(BOOK.encode(a_book)) == a_book
    turned = a_book.copy()
    turned.components = list(reversed(a_book.components))
    usage, rate = ((1, 40), (2, 7), (4, 30)), 0 if a_book.currency == IN_ASSET else 5
    assert charge(a_book, usage, Situation(1, 300, 1, 70), rate) == charge(
        turned, usage, Situation(1, 300, 1, 70), rate
    )
    assert len(a_book.components) < 2 or book_hash(turned) != book_hash(a_book)


def test_the_papers_request_costs_what_it_says() -> None:
    a_book = book(priced(INPUT_TOKEN, 66, 3, 10**6), priced(OUTPUT_TOKEN, 298286, 6, 10**6))
    assert charge(a_book, ((1, 1200),), Situation(), 10**12) == 79_200_000
    assert charge(a_book, ((1, 1200), (2, 350)), Situation(), 10**12) == 79_200_000 + 104_400_100


def test_rounding_is_up_and_once() -> None:
    third = book(priced(INPUT_TOKEN, 1, 12, 3), priced(OUTPUT_TOKEN, 1, 12, 3))
    assert charge(third, ((1, 1),), Situation(), 10**12) == 1
    assert charge(third, ((1, 1), (2, 1)), Situation(), 10**12) == 1
    assert charge(third, ((1, 2), (2, 2)), Situation(), 10**12) == 2


def test_the_most_specific_component_counts() -> None:
    long = Conditions(None, 200_000, None, None, None)
    fast = Conditions(2, None, None, None, None)
    night = Conditions(None, None, None, None, (1320, 360))
    a_book = book(
        priced(INPUT_TOKEN, 5, 12), priced(INPUT_TOKEN, 9, 12, 1, long), priced(INPUT_TOKEN, 20, 12, 1, fast),
        priced(INPUT_TOKEN, 1, 12, 1, night),
    )  # fmt: skip
    noon = Situation(minute=720)
    assert charge(a_book, ((1, 200_000),), noon, 10**12) == 1_000_000
    assert charge(a_book, ((1, 200_001),), noon, 10**12) == 9 * 200_001
    assert charge(a_book, ((1, 200_001),), Situation(tier=2), 10**12) == 20 * 200_001
    assert charge(a_book, ((1, 10),), Situation(minute=1320), 10**12) == 10
    assert charge(a_book, ((1, 10),), Situation(minute=360), 10**12) == 50


def test_free_units_least_charge_and_units_without_a_price() -> None:
    a_book = book(priced(INPUT_TOKEN, 1, 12), least=Price(5, 12), free=[(INPUT_TOKEN, 10)])
    assert charge(a_book, (), Situation(), 10**12) == 0
    assert charge(a_book, ((1, 10),), Situation(), 10**12) == 5
    assert charge(a_book, ((1, 17),), Situation(), 10**12) == 7
    assert charge(a_book, ((IMAGE, 1000),), Situation(), 10**12) == 5


def test_rate_and_currency_belong_together() -> None:
    with pytest.raises(RateMissing):
        charge(book(priced(1, 1, 0)), ((1, 1),), Situation(), 0)
    with pytest.raises(RateMissing):
        charge(book(priced(1, 1, 0), currency=IN_ASSET), ((1, 1),), Situation(), 10**12)
    assert charge(book(priced(1, 1, 0), currency=IN_ASSET), ((1, 1),), Situation(), 0) == 10**12


def test_a_charge_beyond_128_bits_is_refused() -> None:
    with pytest.raises(ChargeTooLarge):
        charge(book(priced(1, 2**64 - 1, 0)), ((1, 2**64 - 1),), Situation(), 10**12)


@pytest.mark.parametrize(
    "wrong",
    [
        book(*(priced(1, 1, 0, 1, Conditions(None, n, None, None, None)) for n in range(64)), priced(1, 1, 0)),
        book(priced(1, 1, 0), currency=1000),
        book(priced(1, 1, 31)),
        book(priced(1, 1, 0, 0)),
        book(priced(len(UNITS) + 1, 1, 0)),
        book(priced(1, 1, 0), priced(1, 2, 0)),
        book(priced(1, 1, 0, 1, Conditions(1, None, None, None, None))),
        book(priced(1, 1, 0, 2**63), priced(2, 1, 0, 3)),
        book(priced(1, 1, 0), priced(1, 1, 0, 1, Conditions(None, None, None, None, (5, 5)))),
        book(priced(1, 1, 0), priced(1, 1, 0, 1, Conditions(None, None, None, None, (0, 1440)))),
        book(priced(1, 1, 0), free=[(1, 0)]),
        book(priced(1, 1, 0), free=[(2, 1), (1, 1)]),
        book(priced(1, 1, 0), free=[(99, 1)]),
        book(priced(1, 1, 0), free=[(unit, 1) for unit in range(1, 18)]),
        book(priced(1, 1, 0), least=Price(1, 31)),
        Book(USD, [], FREE, [], 4),
    ],
)
def test_books_beyond_the_limits_are_refused(wrong: Book) -> None:
    with pytest.raises(BadBook):
        check_book(wrong)


def test_books_at_the_limits_are_accepted() -> None:
    full = [priced(1, 2**64 - 1, 30), *(priced(1, 1, 0, 1, Conditions(None, n, None, None, None)) for n in range(63))]
    check_book(book(*full, free=[(unit, 1) for unit in range(1, 17)]))
    check_book(book(priced(1, 1, 0, 2**64 - 1)))
    check_book(book())


@given(books(), books(), USAGES, SITUATIONS)
def test_a_book_that_may_not_raise_prices_raises_none(
    old: Book, new: Book, usage: tuple[tuple[int, int], ...], situation: Situation
) -> None:
    candidates = [new, old]
    for divisor in (2, 3):
        cheaper = old.copy()
        cheaper.components = [
            Component(c.unit, Price(c.price.mantissa // divisor, c.price.scale), c.per, c.conditions)
            for c in (*old.components, *(n for n in new.components if any(o.unit == n.unit for o in old.components)))
        ]
        candidates.append(cheaper)
    rate = 0 if old.currency == IN_ASSET else 10**6
    for candidate in candidates:
        try:
            check_book(candidate)
        except BadBook:
            continue
        if not may_raise(old, candidate):
            assert exact(candidate, usage, situation, rate) <= exact(old, usage, situation, rate)


def test_increases_are_seen() -> None:
    old = book(priced(1, 10, 12), priced(2, 5, 12), free=[(1, 5)])
    assert not may_raise(old, old)
    assert not may_raise(old, book(priced(1, 10_000, 12, 1000), priced(2, 4, 12), free=[(1, 5)]))
    assert may_raise(old, book(priced(1, 10_001, 12, 1000), priced(2, 5, 12), free=[(1, 5)]))
    assert may_raise(old, book(priced(1, 10, 12), priced(2, 5, 12)))
    assert may_raise(old, book(priced(1, 10, 12), free=[(1, 5)]))
    assert may_raise(old, book(priced(1, 10, 12), priced(2, 5, 12), priced(9, 1, 30), free=[(1, 5)]))
    assert may_raise(old, book(priced(1, 10, 12), priced(2, 5, 12), least=Price(1, 30), free=[(1, 5)]))
    assert may_raise(old, book(priced(1, 10, 12), priced(2, 5, 12), currency=978, free=[(1, 5)]))


def test_a_receipt_states_its_situation() -> None:
    extension = encode_extension({TIER: b"\x02", CACHE_TTL: (3600).to_bytes(4, "little"), QUALITY: b"\x03\x00"})
    started = Moment(5 * 86_400_000 + 61 * 60_000 + 59_999)
    receipt = replace(RECEIPT, extension=extension, started=started)

    assert situation_of(receipt) == Situation(2, 3600, 3, 61)
    assert input_size(((1, 5), (2, 7), (3, 11), (13, 1))) == 17


def test_the_registry_of_units_has_no_gaps_and_names_are_unique() -> None:
    assert sorted(UNITS) == list(range(1, 46))
    assert len(NUMBER_OF) == 45
    assert NUMBER_OF["gpu_second"] == 20
