"""Sequences, options, tuples, maps and results of other types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeVar

from aitoken.codec.base import (
    ArrayOf,
    Codec,
    Composite,
    DecodeError,
    EncodeError,
    Field,
    SequenceOf,
    Shape,
    TupleOf,
    Variant,
    Variants,
    compact_encode,
    length_read,
    truncated,
)

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


def _encode_all(inner: Codec[T], values: Sequence[T]) -> bytes:
    encode = inner.encode
    return b"".join([encode(value) for value in values])


def _read_all(inner: Codec[T], length: int, data: bytes, offset: int) -> tuple[list[T], int]:
    read, values = inner.read, []
    for _ in range(length):
        value, offset = read(data, offset)
        values.append(value)
    return values, offset


@cache
def Vec(inner: Codec[T], length_max: int | None = None) -> Codec[list[T]]:  # noqa: N802 - stands for a type
    """Return `Vec<inner>` of at most `length_max` items. The value is a list."""
    if inner.size_min == 0:
        raise TypeError("a sequence of values without bytes has no bound that its input could be checked against")

    def encode(values: list[T]) -> bytes:
        if length_max is not None and len(values) > length_max:
            raise EncodeError(f"{len(values)} items, at most {length_max} allowed")
        return compact_encode(len(values)) + _encode_all(inner, values)

    def read(data: bytes, offset: int) -> tuple[list[T], int]:
        length, offset = length_read(data, offset, inner.size_min, length_max)
        return _read_all(inner, length, data, offset)

    return Codec(encode, read, default=list, size_min=1, shape=lambda: Shape(SequenceOf(inner)))


@cache
def Array(inner: Codec[T], length: int) -> Codec[list[T]]:  # noqa: N802 - stands for a type
    """Return `[inner; length]`; for bytes use `FixedBytes`."""

    def encode(values: list[T]) -> bytes:
        if len(values) != length:
            raise EncodeError(f"{len(values)} items, exactly {length} wanted")
        return _encode_all(inner, values)

    return Codec(
        encode,
        lambda data, offset: _read_all(inner, length, data, offset),
        default=lambda: [inner.default() for _ in range(length)],
        size_min=length * inner.size_min,
        shape=lambda: Shape(ArrayOf(inner, length)),
    )


@cache
def Option(inner: Codec[T]) -> Codec[T | None]:  # noqa: N802 - stands for a type
    """Return `Option<inner>`; None is None, so options do not nest."""

    def encode(value: T | None) -> bytes:
        return b"\x00" if value is None else b"\x01" + inner.encode(value)

    def read(data: bytes, offset: int) -> tuple[T | None, int]:
        if offset >= len(data):
            raise truncated(1, data, offset)
        tag = data[offset]
        if tag == 0:
            return None, offset + 1
        if tag != 1:
            raise DecodeError(f"{tag} is not an option tag")
        return inner.read(data, offset + 1)

    def shape() -> Shape:
        variants = (Variant("None", 0), Variant("Some", 1, (Field(inner, type_name="T"),)))
        return Shape(Variants(variants), path=("Option",), params=(("T", inner),))

    return Codec(encode, read, default=lambda: None, size_min=1, shape=shape)


@cache
def Tuple(*items: Codec[Any]) -> Codec[tuple[Any, ...]]:  # noqa: N802 - stands for a type
    """Return a tuple of different types."""
    encoders = tuple(item.encode for item in items)
    readers = tuple(item.read for item in items)

    def encode(values: tuple[Any, ...]) -> bytes:
        if len(values) != len(encoders):
            raise EncodeError(f"{len(values)} values for a tuple of {len(encoders)}")
        return b"".join([encoder(value) for encoder, value in zip(encoders, values, strict=True)])

    def read(data: bytes, offset: int) -> tuple[tuple[Any, ...], int]:
        values = []
        for reader in readers:
            value, offset = reader(data, offset)
            values.append(value)
        return tuple(values), offset

    return Codec(
        encode,
        read,
        default=lambda: tuple(item.default() for item in items),
        size_min=sum(item.size_min for item in items),
        shape=lambda: Shape(TupleOf(items)),
    )


UNIT: Final[Codec[None]] = Codec(
    lambda _: b"",
    lambda _, offset: (None, offset),
    default=lambda: None,
    size_min=0,
    shape=lambda: Shape(TupleOf(())),
)
"""The type `()`; its value is None."""


@cache
def BTreeMap(key: Codec[K], value: Codec[V]) -> Codec[dict[K, V]]:  # noqa: N802 - stands for a type
    """Return `BTreeMap<key, value>`: entries in ascending order of the key (as Rust orders it), none twice."""

    def encode(entries: Mapping[K, V]) -> bytes:
        keys: list[Any] = sorted(entries)
        return compact_encode(len(keys)) + b"".join([key.encode(k) + value.encode(entries[k]) for k in keys])

    def read(data: bytes, offset: int) -> tuple[dict[K, V], int]:
        length, offset = length_read(data, offset, key.size_min + value.size_min, None)
        entries: dict[K, V] = {}
        last: Any = None
        for _ in range(length):
            k, offset = key.read(data, offset)
            if last is not None and k <= last:
                raise DecodeError("map keys are not in strictly ascending order")
            last = k
            entries[k], offset = value.read(data, offset)
        return entries, offset

    def shape() -> Shape:
        entries = Vec(Tuple(key, value))
        return Shape(Composite((Field(entries),)), path=("BTreeMap",), params=(("K", key), ("V", value)))

    return Codec(encode, read, default=dict, size_min=1, shape=shape)


class Ok(tuple[Any]):
    """A success with its value: `Ok((value,))`; build with `ok(value)`."""

    __slots__ = ()


class Fail(tuple[Any]):
    """A failure with its reason; build with `fail(reason)`."""

    __slots__ = ()


def ok(value: object = None) -> Ok:
    """Wrap a success."""
    return Ok((value,))


def fail(reason: object) -> Fail:
    """Wrap a failure."""
    return Fail((reason,))


@cache
def Result(good: Codec[Any], bad: Codec[Any]) -> Codec[Ok | Fail]:  # noqa: N802 - stands for a type
    """Return `Result<good, bad>`; values are `ok(x)` and `fail(x)`."""

    def encode(value: Ok | Fail) -> bytes:
        return b"\x00" + good.encode(value[0]) if isinstance(value, Ok) else b"\x01" + bad.encode(value[0])

    def read(data: bytes, offset: int) -> tuple[Ok | Fail, int]:
        if offset >= len(data):
            raise truncated(1, data, offset)
        tag = data[offset]
        if tag > 1:
            raise DecodeError(f"{tag} is not a result tag")
        inner, end = (good if tag == 0 else bad).read(data, offset + 1)
        return (ok(inner) if tag == 0 else fail(inner)), end

    def shape() -> Shape:
        variants = (Variant("Ok", 0, (Field(good, type_name="T"),)), Variant("Err", 1, (Field(bad, type_name="E"),)))
        return Shape(Variants(variants), path=("Result",), params=(("T", good), ("E", bad)))

    return Codec(encode, read, default=lambda: ok(good.default()), size_min=1, shape=shape)
