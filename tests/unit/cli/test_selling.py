"""The chain's numbers go into a price file, and nothing else of it changes."""

from __future__ import annotations

import tomllib

import pytest

from cli.exits import BadInput
from cli.selling import Numbers, parsed, plain, renumbered
from gateway.catalogue import BadPrices, catalogue_of
from tests.support.gateways import PRICES

TEXT = """# what we sell
provider = 0  # ours

[[book]]
version = 7
[book.prices]
input_token = "1 / 7"
[[book.when]]
unit = "input_token"
tier = 7
price = "7"
[[ book ]]
version=8
currency = "USD"
prices = { input_token = "7" }

[[model]]
name = "one"
books = [8, 7]  # 7 was first
service = 0
max_output = 7
[[model]]
name = "two"
books = [ 8 ]
service = 70
"""
NUMBERS = Numbers(12, {7: 3, 8: 4}, {"one": 90, "two": 91})


def test_numbers_of_provider_books_and_services_are_replaced_where_they_stand() -> None:
    expected = TEXT.replace("provider = 0", "provider = 12").replace("version = 7", "version = 3")
    expected = expected.replace("version=8", "version=4").replace("[8, 7]", "[4, 3]").replace("[ 8 ]", "[ 4 ]")
    expected = expected.replace("service = 0", "service = 90").replace("service = 70", "service = 91")
    assert renumbered(TEXT, NUMBERS) == expected
    assert renumbered(expected, Numbers(12, {3: 3, 4: 4}, NUMBERS.services)) == expected


@pytest.mark.parametrize(
    ("line", "other"),
    [("provider = 0  # ours", "'provider' = 0"), ("books = [8, 7]  # 7 was first", "books = [8,\n7]")],
)
def test_a_file_whose_numbers_are_not_found_is_not_written(line: str, other: str) -> None:
    with pytest.raises(BadInput, match="yourself"):
        renumbered(TEXT.replace(line, other), NUMBERS)


def test_what_is_no_toml_is_a_bad_price_file() -> None:
    with pytest.raises(BadPrices):
        parsed("provider = [")


def test_a_book_becomes_fields_by_name() -> None:
    book = catalogue_of(PRICES).editions[4].book
    told = plain(book)
    assert told["currency"] == 840
    assert told["components"][-1]["conditions"] == {
        "tier": 2, "input_over": None, "cache_ttl": None, "quality": None, "hours": None
    }  # fmt: skip
    assert tomllib.loads(renumbered(TEXT, NUMBERS))["book"][0]["when"][0]["tier"] == 7
