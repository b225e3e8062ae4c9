"""LiteLLM's cost map as books: no price changes, and what requests cost is exact rational arithmetic.

The maps here are made up. `AITOKEN_LITELLM_MAP` names a real one (`model_prices_and_context_window.json`); then all of
its models are taken and each is priced for `AITOKEN_LITELLM_USAGES` random requests (default 5).
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from aitoken.pay.book import Book, Conditions, Price
from aitoken.pay.price import Situation, input_size, price_list
from aitoken.pay.units import INPUT_SIZE_UNITS
from aitoken.types import AIT
from cli.main import main
from gateway.catalogue import catalogue_of
from gateway.litellm_map import (
    CLASSES,
    TIERS,
    UNITS,
    BadCostMap,
    Imported,
    decimal_of,
    import_model,
    read_map,
    write_price_file,
)

REAL = os.environ.get("AITOKEN_LITELLM_MAP")
MAPS = 150
USAGES = int(os.environ.get("AITOKEN_LITELLM_USAGES", "5"))
HOLDS_WITHOUT = {
    "input_dbu_cost_per_token", "output_dbu_cost_per_token",  # not dollars
    "off_peak_pricing", "tiered_pricing",  # days of the week; steps without a range
}  # fmt: skip

prices = st.one_of(
    st.decimals(0, 100, places=12).map(lambda value: f"{value:f}"),
    st.builds(lambda digits, scale: f"{digits}e-{scale:02d}", st.integers(0, 2**50), st.integers(1, 12)),
)


def some_price(random: Random) -> str:
    if random.random() < 0.2:
        return f"{random.randrange(100)}.{random.randrange(10**12):012d}"
    return f"{random.randrange(2 ** random.randrange(1, 51))}e-{random.randrange(1, 13):02d}"


def some_map(random: Random) -> dict[str, dict[str, str]]:
    """A few models with prices under names made of everything a name may be made of."""
    endings = (
        ["", *(f"_{tier}" for tier in TIERS)],
        ["", "_above_128k_tokens", "_above_200k_tokens"],
        ["", "_above_1hr", *(f"_{name}" for name in CLASSES)],
    )
    told: dict[str, dict[str, str]] = {}
    for number in range(random.randrange(1, 4)):
        names = []
        for _ in range(random.randrange(1, 12)):
            ending = "".join(random.choice(some) if random.random() < 0.5 else "" for some in endings)
            names.append(random.choice(sorted(UNITS)) + ending)
        told[f'"m{number}" \u00e9'] = {name: some_price(random) for name in names}
    return told


def as_json(told: Mapping[str, Mapping[str, str]]) -> bytes:
    """A map whose prices are JSON numbers with exactly these digits."""
    rows = [
        f"{msgspec.json.encode(name).decode()}: {{"
        + ", ".join(f"{msgspec.json.encode(field).decode()}: {value}" for field, value in fields.items())
        + "}"
        for name, fields in told.items()
    ]
    return ("{" + ", ".join(rows) + "}").encode()


def value_of(price: Price) -> Fraction:
    return Fraction(price.mantissa, 10**price.scale)


def chosen(book: Book, unit: int, situation: Situation, size: int) -> Fraction:
    """The price of a unit by the rule of the books, in as few words as possible."""

    def holds(c: Conditions) -> bool:
        return (
            c.tier in (None, situation.tier)
            and c.quality in (None, situation.quality)
            and (c.cache_ttl is None or situation.cache_ttl >= c.cache_ttl)
            and (c.input_over is None or size > c.input_over)
        )

    def rank(c: Conditions) -> tuple[int, ...]:
        return tuple(-1 if one is None else one for one in (c.tier, c.quality, c.cache_ttl, c.input_over))

    those = [part for part in book.components if part.unit == unit and holds(part.conditions)]
    if not those:
        return Fraction(0)
    best = max(those, key=lambda part: rank(part.conditions))
    return value_of(best.price) / best.per


def check_costs(book: Book, random: Random, count: int) -> None:
    table, units = price_list(book), sorted({part.unit for part in book.components})
    tiers = [0, *{part.conditions.tier or 0 for part in book.components}]
    for _ in range(count):
        usage = tuple((unit, random.choice((1, 7, 1000, 250_000, 2**40))) for unit in units if random.random() < 0.8)
        situation = Situation(
            random.choice(tiers), random.choice((0, 300, 3600, 43_200)), random.choice((0, 1, 720, 1080, 2048)), 0
        )
        rate = random.choice((1, AIT, AIT * 4 // 5, 123_456_789))
        size = sum(quantity for unit, quantity in usage if unit in INPUT_SIZE_UNITS)
        assert size == input_size(usage)
        cost = sum((quantity * chosen(book, unit, situation, size) for unit, quantity in usage), Fraction(0))
        assert table.charge(usage, situation, rate) == math.ceil(cost * rate)


def check_entries(one: Imported) -> None:
    """Every price that was taken is in the book as it was written."""
    assert one.book is not None
    found = {(part.unit, repr(part.conditions)): part for part in one.book.components}
    for entry in one.entries:
        part = found[entry.unit, repr(entry.conditions)]
        assert value_of(part.price) / part.per == Fraction(Decimal(entry.text))


def test_a_map_converts_without_loss_and_costs_are_exact() -> None:
    refused = 0
    for seed in range(MAPS):
        random, taken = Random(seed), []
        for name, fields in read_map(as_json(some_map(random))).items():
            try:
                one = import_model(name, fields)
            except BadCostMap:
                refused += 1  # two names of one unit with different prices
                continue
            assert not one.left_out
            check_entries(one)
            assert one.book is not None
            check_costs(one.book, random, 5)
            taken.append(one)
        check_file(taken)
    assert refused < MAPS // 2


def check_file(taken: list[Imported]) -> None:
    """The price file says the same books, and models with the same prices share one."""
    text = write_price_file(taken, 7, 40)
    if not taken:
        return
    catalogue = catalogue_of(tomllib.loads(text))
    assert len(catalogue.editions) == len({repr(one.book) for one in taken})
    for number, one in enumerate(taken):
        model = catalogue.models[one.model]
        assert model.service == 40 + number
        assert catalogue.editions[model.books[0]].book == one.book


@given(prices)
def test_a_price_is_written_as_the_number_it_is(text: str) -> None:
    one = import_model("m", {"input_cost_per_token": text})
    assert one.book is not None
    written = decimal_of(one.book.components[0].price)
    assert Fraction(written) == Fraction(Decimal(text))
    assert "e" not in written


def test_what_the_fields_mean() -> None:
    told: dict[str, Any] = {
        "mode": "chat", "input_cost_per_token": "1e-06", "input_cost_per_token_above_200k_tokens_priority": "4e-06",
        "cache_creation_input_token_cost_above_1hr": "2e-06", "cache_creation_input_token_cost": "1e-06",
        "search_context_cost_per_query": {"search_context_size_low": "0.01", "search_context_size_high": "0.03"},
        "tiered_pricing": [
            {"range": [0, "32000.0"], "output_cost_per_token": "2e-06"},
            {"range": ["32000.0", "1e6"], "output_cost_per_token": "3e-06"},
        ],
        "off_peak_pricing": {"input_cost_per_token": "5e-07"}, "input_dbu_cost_per_token": "1e-5",
        "output_cost_per_second_flex": 0, "max_tokens": 100, "supports_vision": True,
    }  # fmt: skip
    one = import_model("m", told)
    assert one.left_out == ("off_peak_pricing", "input_dbu_cost_per_token")
    assert one.book is not None
    rows = {}
    for part in one.book.components:
        c = part.conditions
        rows[part.unit, c.tier, c.input_over, c.cache_ttl, c.quality] = decimal_of(part.price)
    assert rows == {
        (1, None, None, None, None): "0.000001", (1, 2, 200_000, None, None): "0.000004",
        (4, None, None, None, None): "0.000001", (4, None, None, 3600, None): "0.000002",
        (18, None, None, None, None): "0.03", (18, None, None, None, 1): "0.01", (18, None, None, None, 3): "0.03",
        (2, None, None, None, None): "0.000002", (2, None, 32_000, None, None): "0.000003",
        (12, None, None, None, None): "0", (12, 1, None, None, None): "0",
    }  # fmt: skip
    assert import_model("m", {"mode": "chat"}).book is None
    assert import_model("m", {"input_cost_per_token": "1e-06"}, 15).book == (
        import_model("m", {"input_cost_per_token": "1.15e-06"}).book
    )


@pytest.mark.parametrize("text", ["-1", "1e-31", "0.12345678901234567890123", "free"])
def test_a_price_that_cannot_be_written_exactly_is_refused(text: str) -> None:
    with pytest.raises(BadCostMap):
        import_model("m", {"input_cost_per_token": text})


@pytest.mark.parametrize("data", [b"", b"[]", b'{"m": 1}', b"{" * 2000])
def test_what_is_no_map_is_refused(data: bytes) -> None:
    with pytest.raises(BadCostMap):
        read_map(data)


@pytest.mark.skipif(REAL is None, reason="AITOKEN_LITELLM_MAP names no map")
def test_a_real_map_converts_without_loss_and_costs_are_exact() -> None:
    found = read_map(Path(str(REAL)).read_bytes())
    random, taken, left_out = Random(1), [], set()
    for name, told in found.items():
        one = import_model(name, told)
        left_out.update(one.left_out)
        if one.book is not None:
            check_entries(one)
            check_costs(one.book, random, USAGES)
            taken.append(one)
    check_file(taken)
    assert left_out <= HOLDS_WITHOUT
    print(f"{len(found)} models, {len(taken)} with prices, {sum(len(one.entries) for one in taken)} prices")


def test_the_command_writes_a_price_file(tmp_path: Path) -> None:
    file, out = tmp_path / "map.json", tmp_path / "prices.toml"
    file.write_bytes(as_json({"one": {"input_cost_per_token": "1e-06"}, "two": {"output_cost_per_image": "0.04"}}))
    command = ["book", "import-litellm", str(file), "--model"]
    done = CliRunner().invoke(main, [*command, "t*", "--provider", "7", "--out", str(out)])
    assert (done.exit_code, done.stdout) == (0, "")
    catalogue = catalogue_of(tomllib.loads(out.read_text()))
    assert (catalogue.provider, list(catalogue.models)) == (7, ["two"])
    assert CliRunner().invoke(main, [*command, "no such"]).exit_code == 2
