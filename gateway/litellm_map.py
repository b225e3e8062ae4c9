"""LiteLLM's cost map as price books: every price exactly as it is written there, no float in between.

The map is JSON: model -> fields, of which those named after a cost are prices in dollars for one unit. A name is made
of a base and endings, in any order:

    input_cost_per_token              the base says which unit
    ..._priority, _flex, _batches     the service tier
    ..._above_200k_tokens             for inputs larger than this
    ..._above_1hr                     for cache entries that live so long
    ..._1080p, _2K                    the class of quality

A few fields hold prices by class (`search_context_cost_per_query`) or by size of the input (`tiered_pricing`). What the
books of this protocol have no condition for is left out by name: days of the week, and what a price is not for a unit
of the request. A unit that has a price under conditions only costs the dearest of them where none holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, NamedTuple

import msgspec

from aitoken.errors import Rejected
from aitoken.pay import units as u
from aitoken.pay.book import (
    ALWAYS,
    BOOK,
    CURRENCY_NUMBERS,
    Book,
    Component,
    Conditions,
    Price,
    check_book,
    component_key,
    price_of,
)
from aitoken.pay.errors import BadBook

SAMPLE: Final = "sample_spec"
"""An entry of the map that explains the others."""

TIERS: Final = {"flex": 1, "priority": 2, "batches": 3, "balanced": 4, "ultrafast": 5, "decisions": 6}
CLASSES: Final = {
    "480p": 480, "720p": 720, "768p": 768, "1080p": 1080, "0.5K": 512, "512": 512, "1K": 1024, "1024": 1024,
    "1536": 1536, "2k": 2048, "2K": 2048, "4k": 4096, "4K": 4096, "above_8s_interval": 8, "above_15s_interval": 15,
}  # fmt: skip
"""Classes of quality by their endings: lines of a video, pixels of a side, seconds between pictures."""

BY_CLASS: Final[dict[str, tuple[int, dict[str, int]]]] = {
    "search_context_cost_per_query": (
        u.SEARCH_QUERY,
        {"search_context_size_low": 1, "search_context_size_medium": 2, "search_context_size_high": 3},
    ),
    "guardrail_cost_per_unit": (
        u.GUARD_UNIT,
        {
            "automatedReasoningPolicyUnits": 1, "contentPolicyImageUnits": 2, "contentPolicyUnits": 3,
            "contextualGroundingPolicyUnits": 4, "sensitiveInformationPolicyFreeUnits": 5,
            "sensitiveInformationPolicyUnits": 6, "topicPolicyUnits": 7, "wordPolicyUnits": 8,
        },
    ),
}  # fmt: skip
"""Fields that hold prices of one unit by class of quality."""

UNITS: Final[dict[str, int]] = {
    "input_cost_per_token": u.INPUT_TOKEN,
    "output_cost_per_token": u.OUTPUT_TOKEN,
    "cache_read_input_token_cost": u.CACHED_INPUT_TOKEN,
    "input_cost_per_token_cache_hit": u.CACHED_INPUT_TOKEN,
    "explicit_cache_read_input_token_cost": u.KEPT_INPUT_TOKEN,
    "cache_creation_input_token_cost": u.CACHE_WRITE_TOKEN,
    "output_cost_per_reasoning_token": u.REASONING_TOKEN,
    "input_cost_per_request": u.REQUEST,
    "input_cost_per_query": u.REQUEST,
    "input_cost_per_text_message": u.REQUEST,
    "input_cost_per_character": u.INPUT_CHARACTER,
    "output_cost_per_character": u.OUTPUT_CHARACTER,
    "output_cost_per_image": u.IMAGE,
    "input_cost_per_image": u.IMAGE_IN,
    "output_cost_per_pixel": u.IMAGE_PIXEL,
    "input_cost_per_pixel": u.IMAGE_PIXEL_IN,
    "input_cost_per_image_token": u.IMAGE_TOKEN_IN,
    "output_cost_per_image_token": u.IMAGE_TOKEN_OUT,
    "input_cost_per_second": u.AUDIO_SECOND_IN,
    "input_cost_per_audio_per_second": u.AUDIO_SECOND_IN,
    "output_cost_per_second": u.AUDIO_SECOND_OUT,
    "input_cost_per_audio_token": u.AUDIO_TOKEN_IN,
    "output_cost_per_audio_token": u.AUDIO_TOKEN_OUT,
    "cache_read_input_audio_token_cost": u.CACHED_AUDIO_TOKEN,
    "cache_creation_input_audio_token_cost": u.CACHE_WRITE_AUDIO_TOKEN,
    "cache_read_input_image_token_cost": u.CACHED_IMAGE_TOKEN,
    "output_cost_per_video_per_second": u.VIDEO_SECOND,
    "input_cost_per_video_per_second": u.VIDEO_SECOND_IN,
    "input_cost_per_video_token": u.VIDEO_TOKEN_IN,
    "output_cost_per_video_token": u.VIDEO_TOKEN,
    "ocr_cost_per_page": u.PAGE,
    "annotation_cost_per_page": u.ANNOTATED_PAGE,
    "google_maps_grounding_cost_per_query": u.MAP_QUERY,
    "code_interpreter_cost_per_session": u.TOOL_SESSION,
    "cost_per_second": u.GPU_SECOND,
    "citation_cost_per_token": u.CITATION_TOKEN,
    "ocr_cost_per_credit": u.CREDIT,
}
"""Unit by base of a field's name."""

_VIDEO: Final = {"output_cost_per_second": u.VIDEO_SECOND, "input_cost_per_second": u.VIDEO_SECOND_IN}
"""Seconds are of video where the model makes videos, else of sound."""

_BASES: Final = sorted(UNITS, key=len, reverse=True)
_OVER: Final = re.compile(r"_above_(\d+)k_tokens")
_LIVES: Final = re.compile(r"_above_(\d+)hr")
_HOUR_S: Final = 3600
_NAMES: Final = {number: name for name, number in u.NUMBER_OF.items()}
_DOLLARS: Final = CURRENCY_NUMBERS["USD"]


class BadCostMap(Rejected):
    """The file is no cost map, or a price in it cannot be written exactly."""

    code = "gateway.bad_cost_map"


class Entry(NamedTuple):
    """One price of the map: the field it stands in, its decimal text, and what it is for."""

    field: str
    text: str
    unit: int
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class Imported:
    """What a model's entry became.

    Attributes:
        model: its name in the map.
        mode: what it does, by the map.
        book: its prices in dollars; None where it has none.
        entries: the prices that are in the book.
        left_out: fields with a cost in their name that are not.
    """

    model: str
    mode: str
    book: Book | None
    entries: tuple[Entry, ...]
    left_out: tuple[str, ...]


def read_map(data: bytes) -> dict[str, dict[str, Any]]:
    """Read a cost map; numbers that are not whole stay the text they are.

    Raises:
        BadCostMap: it is none.
    """
    try:
        told = msgspec.json.Decoder(dict[str, dict[str, Any]], float_hook=str).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadCostMap(f"no cost map: {error}") from None
    told.pop(SAMPLE, None)
    return told


def import_model(name: str, told: Mapping[str, Any], margin_percent: int = 0) -> Imported:
    """Make a model's prices a book.

    Args:
        name: the model.
        told: its entry in the map.
        margin_percent: what is added to every price.

    Raises:
        BadCostMap: a price is no decimal number that can be written exactly, or two say different things of one unit.
    """
    mode = str(told.get("mode") or "")
    entries, left_out = [], []
    for field, value in told.items():
        if "cost" not in field and "pric" not in field:
            continue
        found = list(_entries(field, value, mode))
        entries += found
        if not found and not _is_nothing(value):
            left_out.append(field)
    try:
        book = _book(entries, margin_percent)
    except BadBook as error:
        raise BadCostMap(f"{name}: {error}") from None
    return Imported(name, mode, book, tuple(entries), tuple(left_out))


def _entries(field: str, value: object, mode: str) -> Iterator[Entry]:
    """The prices in a field; none where there is no unit or no condition for it."""
    if field in BY_CLASS and isinstance(value, dict):
        unit, classes = BY_CLASS[field]
        for name, price in value.items():
            if name in classes:
                yield Entry(f"{field}.{name}", str(price), unit, Conditions(None, None, None, classes[name], None))
    elif field == "tiered_pricing" and isinstance(value, list):
        for step in value:
            yield from _step(field, step, mode)
    elif isinstance(value, str | int) and not isinstance(value, bool):
        what = _what(field, mode)
        if what is not None:
            yield Entry(field, str(value), *what)


def _step(field: str, step: Mapping[str, Any], mode: str) -> Iterator[Entry]:
    """The prices of one size of the input; the first begins at nothing and holds always."""
    if "range" not in step:
        return
    least = int(Decimal(str(step["range"][0])))
    for name, price in step.items():
        what = _what(name, mode)
        if what is not None:
            unit, conditions = what
            conditions.input_over = least or None
            yield Entry(f"{field}.{name}", str(price), unit, conditions)


def _what(field: str, mode: str) -> tuple[int, Conditions] | None:
    """Unit and conditions that a field's name says."""
    base = next((base for base in _BASES if field.startswith(base)), None)
    if base is None:
        return None
    rest = field.removeprefix(base)
    unit = _VIDEO.get(base, UNITS[base]) if mode == "video_generation" else UNITS[base]
    tier = over = lives = quality = None
    while rest:
        large, old = _OVER.match(rest), _LIVES.match(rest)
        if large is not None:
            over, rest = 1000 * int(large.group(1)), rest[large.end() :]
            continue
        if old is not None:
            lives, rest = _HOUR_S * int(old.group(1)), rest[old.end() :]
            continue
        ending = next((end for end in (*TIERS, *CLASSES) if rest == f"_{end}" or rest.startswith(f"_{end}_")), None)
        if ending is None:
            return None
        if ending in TIERS:
            tier = TIERS[ending]
        else:
            quality = CLASSES[ending]
        rest = rest.removeprefix(f"_{ending}")
    return unit, Conditions(tier, over, lives, quality, None)


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, str | int) and not isinstance(value, bool) and float(value) == 0)


def _book(entries: list[Entry], margin_percent: int) -> Book | None:
    if not entries:
        return None
    made: dict[Any, Component] = {}
    for entry in entries:
        component = Component(entry.unit, _with_margin(price_of(entry.text), margin_percent), 1, entry.conditions)
        before = made.setdefault(component_key(component), component)
        if before != component:
            raise BadBook(f"{entry.field}: {entry.text} and {before.price} for one unit")
    for unit in sorted({component.unit for component in made.values()}):
        those = [component for component in made.values() if component.unit == unit]
        if not any(component.conditions == ALWAYS for component in those):
            dearest = max(those, key=lambda component: _exact(component.price))
            always = Component(unit, dearest.price, 1, ALWAYS)
            made[component_key(always)] = always
    in_order = [made[key] for key in sorted(made)]
    components = [component for component in in_order if component.conditions == ALWAYS]
    components += [component for component in in_order if component.conditions != ALWAYS]
    book = Book(_DOLLARS, components, Price(0, 0), [], 0)
    check_book(book)
    return book


def _exact(price: Price) -> Fraction:
    return Fraction(price.mantissa, 10**price.scale)


def _with_margin(price: Price, percent: int) -> Price:
    if not percent:
        return price
    return price_of(f"{price.mantissa * (100 + percent)}e-{price.scale + 2}")


# ------------------------------------------------------------------------------------------------- the price file


def write_price_file(models: Iterable[Imported], provider: int, first_service: int) -> str:
    """Return models as a price file (`gateway.catalogue`); models with the same prices share a book.

    Versions of books and numbers of services are counted up; the chain has the last word on both.
    """
    versions: dict[bytes, int] = {}
    books, sold = [], []
    for service, one in enumerate((one for one in models if one.book is not None), first_service):
        if one.book is None:
            continue
        name = BOOK.encode(one.book)
        if name not in versions:
            versions[name] = len(versions) + 1
            books.append(_book_text(versions[name], one.book))
        sold.append(f"[[model]]\nname = {_quoted(one.model)}\nservice = {service}\nbooks = [{versions[name]}]\n")
    return "\n".join([f"provider = {provider}\n", *books, *sold])


def _book_text(version: int, book: Book) -> str:
    lines = ["[[book]]", f"version = {version}", 'currency = "USD"', "[book.prices]"]
    for component in book.components:
        told = {"unit": _quoted(_NAMES[component.unit]), "price": _quoted(decimal_of(component.price))}
        if component.conditions == ALWAYS:
            lines.append(f"{_NAMES[component.unit]} = {told['price']}")
            continue
        fields = (
            (field, getattr(component.conditions, field)) for field in ("tier", "input_over", "cache_ttl", "quality")
        )
        told |= {field: str(value) for field, value in fields if value is not None}
        lines += ["[[book.when]]", *(f"{field} = {value}" for field, value in told.items())]
    return "\n".join(lines) + "\n"


def decimal_of(price: Price) -> str:
    """Return a price as the plain decimal number it is."""
    digits = str(price.mantissa).rjust(price.scale + 1, "0")
    whole, fraction = digits[: len(digits) - price.scale], digits[len(digits) - price.scale :]
    return f"{whole}.{fraction}" if fraction else whole


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
