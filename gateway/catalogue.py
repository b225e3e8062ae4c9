"""What is sold: models, the books they are sold at, and where their answers come from. Read from `prices.toml`.

    provider = 7

    [[book]]
    version = 3
    currency = "USD"
    min_charge = "0.000001"
    policy = ["pay-delivered"]
    free = { input_token = 10 }
    [book.prices]
    input_token = "0.15 / 1000000"
    output_token = "0.60 / 1000000"
    [[book.when]]
    unit = "input_token"
    price = "0.30 / 1000000"
    input_over = 200000

    [[model]]
    name = "echo"
    service = 42
    books = [3]
    upstream = "builtin"

Versions and services are the numbers the chain gave them. A model is sold at each of its books: which one counts is the
session's choice, the last is what new sessions should be bound to.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from aitoken.crypto.hashing import blake2_256
from aitoken.errors import Rejected
from aitoken.pay.book import (
    ALWAYS,
    CURRENCY_NUMBERS,
    PAY_DELIVERED,
    PAY_MODERATED,
    Book,
    Component,
    Conditions,
    Price,
    check_book,
    price_of,
)
from aitoken.pay.errors import BadBook
from aitoken.pay.price import PriceList, price_list
from aitoken.pay.units import NUMBER_OF
from aitoken.types import Hash32
from gateway.tokens import TOKENIZERS

BUILTIN: Final = "builtin"
KINDS: Final = frozenset(
    {"chat", "completions", "responses", "messages", "embeddings", "images", "speech", "moderations"}
)
_POLICIES: Final = {"pay-delivered": PAY_DELIVERED, "pay-moderated": PAY_MODERATED}


class BadPrices(Rejected):
    """The price file is wrong; the sentence says where."""

    code = "gateway.bad_prices"


@dataclass(frozen=True, slots=True)
class Model:
    """One model as it is sold.

    Attributes:
        name: what clients ask for.
        service: its number on chain.
        books: versions it is sold at, the newest last.
        upstream: `builtin`, or the URL of a server.
        upstream_model: its name there.
        hash: blake2b-256 of `name@revision`, as receipts have it.
        kinds: the endpoints that serve it.
        max_output: most output tokens of one choice.
        tokenizer: what the gateway counts with, or "".
        tolerance_percent: by how much the upstream may count more than `tokenizer`; None believes the upstream.
    """

    name: str
    service: int
    books: tuple[int, ...]
    upstream: str
    upstream_model: str
    hash: Hash32
    kinds: frozenset[str]
    max_output: int
    tokenizer: str
    tolerance_percent: int | None


@dataclass(frozen=True, slots=True)
class Edition:
    """A book, ready to compute with.

    Attributes:
        version: its number on chain.
        book: the book.
        prices: what computes.
        units: the units it prices.
    """

    version: int
    book: Book
    prices: PriceList
    units: frozenset[int]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything one provider sells here."""

    provider: int
    models: Mapping[str, Model]
    editions: Mapping[int, Edition]


class _When(msgspec.Struct, forbid_unknown_fields=True):
    unit: str
    price: str
    tier: int | None = None
    input_over: int | None = None
    cache_ttl: int | None = None
    quality: int | None = None
    hours: tuple[int, int] | None = None


class _Book(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    currency: str = "AIT"
    min_charge: str = "0"
    policy: list[str] = []
    free: dict[str, int] = {}
    prices: dict[str, str] = {}
    when: list[_When] = []


class _Model(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    service: int
    books: list[int]
    upstream: str = ""
    upstream_model: str = ""
    revision: str = "1"
    kinds: list[str] = []
    max_output: int = 4096
    tokenizer: str = ""
    tolerance_percent: int | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    provider: int
    book: list[_Book]
    model: list[_Model]


def read_catalogue(path: Path, default_upstream: str = BUILTIN) -> Catalogue:
    """Read a price file.

    Raises:
        BadPrices: it cannot be read, or something in it is wrong.
    """
    try:
        return catalogue_of(tomllib.loads(path.read_text(encoding="utf-8")), default_upstream)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadPrices(f"{path}: {error}") from None


def catalogue_of(data: Mapping[str, Any], default_upstream: str = BUILTIN) -> Catalogue:
    """Return the catalogue that a price file's content describes.

    Raises:
        BadPrices: something in it is wrong.
    """
    try:
        file = msgspec.convert(data, _File)
    except msgspec.ValidationError as error:
        raise BadPrices(str(error)) from None
    editions = {book.version: _edition(book) for book in file.book}
    if len(editions) < len(file.book):
        raise BadPrices("two books have the same version")
    models = {model.name: _model(model, editions, default_upstream) for model in file.model}
    if len(models) < len(file.model):
        raise BadPrices("two models have the same name")
    return Catalogue(file.provider, models, editions)


def _edition(told: _Book) -> Edition:
    where = f"book {told.version}"
    unknown = [name for name in (*told.prices, *told.free, *(w.unit for w in told.when)) if name not in NUMBER_OF]
    if unknown or told.currency not in CURRENCY_NUMBERS or any(name not in _POLICIES for name in told.policy):
        raise BadPrices(f"{where}: unknown unit, currency or policy ({', '.join(unknown) or told.currency})")
    components = [_component(where, unit, price, ALWAYS) for unit, price in told.prices.items()]
    components += [
        _component(where, w.unit, w.price, Conditions(w.tier, w.input_over, w.cache_ttl, w.quality, w.hours))
        for w in told.when
    ]
    policy = sum(_POLICIES[name] for name in sorted(set(told.policy)))
    free = sorted((NUMBER_OF[name], quantity) for name, quantity in told.free.items())
    book = Book(CURRENCY_NUMBERS[told.currency], components, _price(where, told.min_charge), free, policy)
    try:
        check_book(book)
    except BadBook as error:
        raise BadPrices(f"{where}: {error}") from None
    units = frozenset(component.unit for component in book.components)
    return Edition(told.version, book, price_list(book), units)


def _component(where: str, unit: str, text: str, conditions: Conditions) -> Component:
    amount, _, per = text.partition("/")
    try:
        count = int(per) if per.strip() else 1
    except ValueError:
        raise BadPrices(f"{where}: {text!r} is no price") from None
    return Component(NUMBER_OF[unit], _price(where, amount.strip()), count, conditions)


def _price(where: str, text: str) -> Price:
    try:
        return price_of(text)
    except BadBook as error:
        raise BadPrices(f"{where}: {error}") from None


def _model(told: _Model, editions: Mapping[int, Edition], default_upstream: str) -> Model:
    where = f"model {told.name!r}"
    if not told.books or any(version not in editions for version in told.books):
        raise BadPrices(f"{where}: its books {told.books} are not all in this file")
    kinds = frozenset(told.kinds) or KINDS
    if not kinds <= KINDS:
        raise BadPrices(f"{where}: unknown kinds {sorted(kinds - KINDS)}")
    if told.tokenizer and told.tokenizer not in TOKENIZERS:
        raise BadPrices(f"{where}: unknown tokenizer {told.tokenizer!r}")
    if told.tolerance_percent is not None and (told.tolerance_percent < 0 or not told.tokenizer):
        raise BadPrices(f"{where}: a tolerance is not negative and needs a tokenizer")
    if told.max_output < 1:
        raise BadPrices(f"{where}: max_output is at least 1")
    return Model(
        name=told.name,
        service=told.service,
        books=tuple(told.books),
        upstream=told.upstream or default_upstream,
        upstream_model=told.upstream_model or told.name,
        hash=blake2_256(f"{told.name}@{told.revision}".encode()),
        kinds=kinds,
        max_output=told.max_output,
        tokenizer=told.tokenizer,
        tolerance_percent=told.tolerance_percent,
    )
