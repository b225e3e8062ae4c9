"""The coder of one SCALE type, and what it looks like in the metadata's type registry.

A `Codec` is four small functions compiled once (closures, or generated source for records), not a tree that is
walked per value. Equal descriptions give the same object, so one codec is one portable type id.

Decoding is strict, because whatever is hashed or signed must have exactly one encoding: compact integers in their
shortest form, bool 0 or 1, known variant indices, valid UTF-8, sorted maps, nothing left over; a length is checked
against the bytes that are left before anything is allocated.

Source: docs.substrate.io SCALE; parity-scale-codec `compact.rs` for the canonical rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeAlias, TypeVar

from aitoken.errors import Bug, Rejected

T = TypeVar("T")


class DecodeError(Rejected):
    """The bytes are not the one canonical encoding of a value of the type."""

    code = "codec.malformed"


class EncodeError(Bug):
    """A value does not fit the type it is written as."""

    code = "codec.out_of_range"


# ------------------------------------------------------------------------------------------------- shapes


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a composite or variant; all fields of one are named, or none."""

    codec: AnyCodec
    name: str | None = None
    type_name: str | None = None
    docs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """One alternative of an enum."""

    name: str
    index: int
    fields: tuple[Field, ...] = ()
    docs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Primitive:
    """A primitive by its number in the registry format: bool 0, char 1, str 2, u8 3 ... i256 14."""

    number: int


@dataclass(frozen=True, slots=True)
class CompactOf:
    """An integer in compact form."""

    inner: AnyCodec


@dataclass(frozen=True, slots=True)
class SequenceOf:
    """A sequence of any length."""

    inner: AnyCodec


@dataclass(frozen=True, slots=True)
class ArrayOf:
    """A sequence of one length."""

    inner: AnyCodec
    length: int


@dataclass(frozen=True, slots=True)
class TupleOf:
    """Values one after the other."""

    items: tuple[AnyCodec, ...]


@dataclass(frozen=True, slots=True)
class Composite:
    """A struct."""

    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Variants:
    """An enum, its variants in index order."""

    variants: tuple[Variant, ...]


Definition = Primitive | CompactOf | SequenceOf | ArrayOf | TupleOf | Composite | Variants


@dataclass(frozen=True, slots=True)
class Shape:
    """A type as the registry shows it. Clients find many types by `path`, so paths are Substrate's to the letter."""

    definition: Definition
    path: tuple[str, ...] = ()
    params: tuple[tuple[str, AnyCodec | None], ...] = ()
    docs: tuple[str, ...] = field(default=())


# ------------------------------------------------------------------------------------------------- codec


class Codec(Generic[T]):
    """Encodes and decodes one type.

    Attributes:
        encode: value to bytes; raises `EncodeError` when it does not fit.
        read: (data, offset) to (value, offset behind it); raises `DecodeError`.
        default: the value Substrate's `Default` gives.
        size_min: the least number of bytes a value takes.
        packed: how `struct` reads it, when its size is fixed: ("I", "int"), ("QQ", "wide") or ("32s", "bytes").
        shape: the registry entry; a function, because types may be recursive.
    """

    __slots__ = ("__weakref__", "default", "encode", "packed", "read", "shape", "size_min")

    encode: Callable[[T], bytes]
    read: Callable[[bytes, int], tuple[T, int]]
    default: Callable[[], T]
    shape: Callable[[], Shape]

    def __init__(
        self,
        encode: Callable[[T], bytes],
        read: Callable[[bytes, int], tuple[T, int]],
        *,
        default: Callable[[], T],
        size_min: int,
        shape: Callable[[], Shape],
        packed: tuple[str, str] | None = None,
    ) -> None:
        self.encode = encode
        self.read = read
        self.default = default
        self.size_min = size_min
        self.shape = shape
        self.packed = packed

    def decode(self, data: bytes) -> T:
        """Decode the whole of `data`.

        Raises:
            DecodeError: it is malformed, or bytes are left over.
        """
        value, end = self.read(data, 0)
        if end != len(data):
            raise DecodeError(f"{len(data) - end} bytes left over")
        return value

    def __repr__(self) -> str:
        shape = self.shape()
        return f"<Codec {'::'.join(shape.path) or type(shape.definition).__name__}>"


AnyCodec: TypeAlias = Codec[Any]


# ------------------------------------------------------------------------------------------------- compact integers

COMPACT_BITS_MAX: Final = 128


def truncated(wanted: int, data: bytes, offset: int) -> DecodeError:
    """Build the error for input that ends too early."""
    return DecodeError(f"{wanted} bytes wanted at {offset}, {max(0, len(data) - offset)} left")


def compact_encode(value: int) -> bytes:
    """Encode an unsigned integer below 2^128 in the shortest compact form."""
    if value < 0x40:
        if value < 0:
            raise EncodeError(f"{value} is negative")
        return bytes((value << 2,))
    if value < 0x4000:
        return (value << 2 | 1).to_bytes(2, "little")
    if value < 0x4000_0000:
        return (value << 2 | 2).to_bytes(4, "little")
    size = (value.bit_length() + 7) >> 3
    if size > COMPACT_BITS_MAX // 8:
        raise EncodeError(f"{value} does not fit a compact u128")
    return bytes((size - 4 << 2 | 3,)) + value.to_bytes(size, "little")


def compact_read(data: bytes, offset: int, limit: int = 1 << COMPACT_BITS_MAX) -> tuple[int, int]:
    """Read a compact integer below `limit` (of at most 128 bits); refuse any form but the shortest."""
    try:
        first = data[offset]
    except IndexError:
        raise truncated(1, data, offset) from None
    mode = first & 3
    if mode == 0:
        value, end, least = first >> 2, offset + 1, 0
    elif mode == 1:
        end = offset + 2
        value, least = int.from_bytes(data[offset:end], "little") >> 2, 0x40
    elif mode == 2:
        end = offset + 4
        value, least = int.from_bytes(data[offset:end], "little") >> 2, 0x4000
    else:
        size = (first >> 2) + 4
        if size > COMPACT_BITS_MAX // 8:
            raise DecodeError(f"compact integer of {size} bytes")
        end = offset + 1 + size
        value = int.from_bytes(data[offset + 1 : end], "little")
        least = 0x4000_0000 if size == 4 else 1 << 8 * (size - 1)
    if end <= len(data) and least <= value < limit:
        return value, end
    if end > len(data):
        raise truncated(end - offset, data, offset)
    if value < least:
        raise DecodeError(f"compact integer {value} is not in its shortest form")
    raise DecodeError(f"compact integer {value} does not fit its type")


def length_read(data: bytes, offset: int, item_size_min: int, length_max: int | None) -> tuple[int, int]:
    """Read a sequence length and make sure that many items can still follow."""
    length, offset = compact_read(data, offset)
    if length * item_size_min > len(data) - offset:
        raise truncated(length * item_size_min, data, offset)
    if length_max is not None and length > length_max:
        raise DecodeError(f"{length} items, at most {length_max} allowed")
    return length, offset


def path_of(path: str | Sequence[str]) -> tuple[str, ...]:
    """Split "a::b::C" into its segments."""
    return tuple(path.split("::")) if isinstance(path, str) else tuple(path)
