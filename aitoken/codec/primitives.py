"""Integers, bool, text, bytes and compact integers."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from aitoken.codec.base import (
    COMPACT_BITS_MAX,
    ArrayOf,
    Codec,
    CompactOf,
    Composite,
    DecodeError,
    EncodeError,
    Field,
    Primitive,
    SequenceOf,
    Shape,
    compact_encode,
    compact_read,
    length_read,
    path_of,
    truncated,
)

_PRIMITIVE_NUMBER: Final = {
    "bool": 0, "char": 1, "str": 2,
    "u8": 3, "u16": 4, "u32": 5, "u64": 6, "u128": 7, "u256": 8,
    "i8": 9, "i16": 10, "i32": 11, "i64": 12, "i128": 13, "i256": 14,
}  # fmt: skip
_STRUCT_CODE: Final = {8: ("B", "int"), 16: ("H", "int"), 32: ("I", "int"), 64: ("Q", "int"), 128: ("QQ", "wide")}


def _integer(bits: int, *, signed: bool = False) -> Codec[int]:
    size = bits // 8
    name = f"{'i' if signed else 'u'}{bits}"
    shape = Shape(Primitive(_PRIMITIVE_NUMBER[name]))

    def encode(value: int) -> bytes:
        try:
            return value.to_bytes(size, "little", signed=signed)
        except OverflowError:
            raise EncodeError(f"{value} is not a {name}") from None

    def read(data: bytes, offset: int) -> tuple[int, int]:
        end = offset + size
        if end > len(data):
            raise truncated(size, data, offset)
        return int.from_bytes(data[offset:end], "little", signed=signed), end

    packed = None if signed else _STRUCT_CODE.get(bits)
    return Codec(encode, read, default=int, size_min=size, shape=lambda: shape, packed=packed)


U8: Final = _integer(8)
U16: Final = _integer(16)
U32: Final = _integer(32)
U64: Final = _integer(64)
U128: Final = _integer(128)
U256: Final = _integer(256)
I8: Final = _integer(8, signed=True)
I16: Final = _integer(16, signed=True)
I32: Final = _integer(32, signed=True)
I64: Final = _integer(64, signed=True)
I128: Final = _integer(128, signed=True)


def _read_bool(data: bytes, offset: int) -> tuple[bool, int]:
    if offset >= len(data):
        raise truncated(1, data, offset)
    byte = data[offset]
    if byte > 1:
        raise DecodeError(f"{byte} is not a bool")
    return byte == 1, offset + 1


Bool: Final[Codec[bool]] = Codec(
    lambda value: b"\x01" if value else b"\x00",
    _read_bool,
    default=bool,
    size_min=1,
    shape=lambda: Shape(Primitive(_PRIMITIVE_NUMBER["bool"])),
)


@cache
def Compact(inner: Codec[int]) -> Codec[int]:  # noqa: N802 - stands for a type
    """Return the compact form of an unsigned integer codec (or of a newtype around one)."""
    limit = 1 << 8 * inner.size_min

    def encode(value: int) -> bytes:
        if value >= limit:
            raise EncodeError(f"{value} does not fit {inner.size_min} bytes")
        return compact_encode(value)

    def read(data: bytes, offset: int) -> tuple[int, int]:
        return compact_read(data, offset, limit)

    widest = limit == 1 << COMPACT_BITS_MAX
    return Codec(
        encode, compact_read if widest else read, default=int, size_min=1, shape=lambda: Shape(CompactOf(inner))
    )


CompactU32: Final = Compact(U32)
CompactU64: Final = Compact(U64)
CompactU128: Final = Compact(U128)


@cache
def BoundedBytes(length_max: int | None) -> Codec[bytes]:  # noqa: N802 - stands for a type
    """Return `Vec<u8>` of at most `length_max` bytes."""

    def encode(value: bytes) -> bytes:
        if length_max is not None and len(value) > length_max:
            raise EncodeError(f"{len(value)} bytes, at most {length_max} allowed")
        return compact_encode(len(value)) + value

    def read(data: bytes, offset: int) -> tuple[bytes, int]:
        length, offset = length_read(data, offset, 1, length_max)
        return data[offset : offset + length], offset + length

    # All lengths share one registry entry: clients know no bounds.
    shape = Shape(SequenceOf(U8))
    return Codec(encode, read, default=bytes, size_min=1, shape=lambda: shape)


Bytes: Final = BoundedBytes(None)


def _read_str(data: bytes, offset: int) -> tuple[str, int]:
    raw, end = Bytes.read(data, offset)
    try:
        return raw.decode("utf-8"), end
    except UnicodeDecodeError as error:
        raise DecodeError(f"not UTF-8: {error.reason}") from None


Str: Final[Codec[str]] = Codec(
    lambda value: Bytes.encode(value.encode("utf-8")),
    _read_str,
    default=str,
    size_min=1,
    shape=lambda: Shape(Primitive(_PRIMITIVE_NUMBER["str"])),
)


@cache
def FixedBytes(size: int) -> Codec[bytes]:  # noqa: N802 - stands for a type
    """Return `[u8; size]`."""

    def encode(value: bytes) -> bytes:
        if len(value) != size:
            raise EncodeError(f"{len(value)} bytes, exactly {size} wanted")
        return bytes(value)

    def read(data: bytes, offset: int) -> tuple[bytes, int]:
        end = offset + size
        if end > len(data):
            raise truncated(size, data, offset)
        return data[offset:end], end

    shape = Shape(ArrayOf(U8, size))
    return Codec(
        encode,
        read,
        default=lambda: bytes(size),
        size_min=size,
        shape=lambda: shape,
        packed=(f"{size}s", "bytes"),
    )


@cache
def newtype(
    path: str,
    inner: Codec[Any],
    *,
    type_name: str | None = None,
    params: tuple[tuple[str, Codec[Any] | None], ...] = (),
) -> Codec[Any]:
    """Return a type with a path of its own around one unnamed field; in Python the value is the bare inner value."""
    shape = Shape(Composite((Field(inner, type_name=type_name),)), path=path_of(path), params=params)
    return Codec(
        inner.encode,
        inner.read,
        default=inner.default,
        size_min=inner.size_min,
        shape=lambda: shape,
        packed=inner.packed,
    )


H256: Final[Codec[bytes]] = newtype("primitive_types::H256", FixedBytes(32), type_name="[u8; 32]")
ACCOUNT_ID: Final[Codec[bytes]] = newtype("sp_core::crypto::AccountId32", FixedBytes(32), type_name="[u8; 32]")
