"""Checks of message fields: each returns the value a field gets or raises `DecodeError`, and allocates nothing big."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from aitoken.errors import Rejected
from aitoken.proto.votes import Certificate, Vote


class DecodeError(Rejected):
    """The bytes are not a message of the table."""

    code = "net.undecodable"


Check: TypeAlias = Callable[[Any], Any]
"""Returns the value a field gets, or raises `DecodeError`."""


def unsigned(bits: int) -> Check:
    """An integer of `bits` bits."""
    limit = 1 << bits

    def check(value: Any) -> Any:
        if type(value) is not int or not 0 <= value < limit:
            raise DecodeError(f"not an unsigned integer of {bits} bits")
        return value

    return check


def fixed(size: int) -> Check:
    """Exactly `size` bytes."""

    def check(value: Any) -> Any:
        if type(value) is not bytes or len(value) != size:
            raise DecodeError(f"not exactly {size} bytes")
        return value

    return check


def blob(size_max: int, multiple: int = 1) -> Check:
    """At most `size_max` bytes, a multiple of `multiple`."""

    def check(value: Any) -> Any:
        if type(value) is not bytes or len(value) > size_max or len(value) % multiple:
            raise DecodeError(f"not bytes, or more than {size_max}")
        return value

    return check


def text(size_max: int) -> Check:
    """Printable ASCII of at most `size_max` characters: it ends in logs."""

    def check(value: Any) -> Any:
        if type(value) is not str or len(value) > size_max or not (value.isascii() and value.isprintable()):
            raise DecodeError(f"not printable text of at most {size_max} characters")
        return value

    return check


def digits(size_max: int) -> Check:
    """At most `size_max` hex digits, lower case."""

    def check(value: Any) -> Any:
        if type(value) is not str or len(value) > size_max or value.strip("0123456789abcdef"):
            raise DecodeError(f"not at most {size_max} hex digits")
        return value

    return check


def many(item: Check, count_max: int, count_min: int = 0) -> Check:
    """A tuple of `count_min` to `count_max` items."""

    def check(value: Any) -> Any:
        if type(value) is not tuple or not count_min <= len(value) <= count_max:
            raise DecodeError(f"not an array of {count_min} to {count_max} items")
        return tuple(map(item, value))

    return check


def blobs(size_max: int, count_max: int) -> Check:
    """Many byte strings at once: the form of `many(blob())` for the hot path."""

    def check(value: Any) -> Any:
        if type(value) is not tuple or len(value) > count_max:
            raise DecodeError(f"not an array of at most {count_max} items")
        for item in value:
            if type(item) is not bytes or len(item) > size_max:
                raise DecodeError(f"not bytes, or more than {size_max}")
        return value

    return check


def row(*items: Check) -> Check:
    """A tuple with one value for each of `items`."""

    def check(value: Any) -> Any:
        if type(value) is not tuple or len(value) != len(items):
            raise DecodeError(f"not an array of exactly {len(items)} items")
        return tuple(item(each) for item, each in zip(items, value, strict=True))

    return check


def scale(kind: type[Vote] | type[Certificate], size_max: int) -> Check:
    """SCALE bytes of a vote or a certificate."""

    def check(value: Any) -> Any:
        if type(value) is not bytes or len(value) > size_max:
            raise DecodeError(f"not bytes, or more than {size_max}")
        return kind.decode(value)

    return check
