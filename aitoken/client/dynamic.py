"""Coders for the types of any chain, made at run time from its metadata, between SCALE and plain Python values.

| on chain | decoded to | accepted when encoding |
| --- | --- | --- |
| integers, compact | int | int, or decimal or 0x-hex text |
| bool, text | bool, str | the same |
| `[u8; n]`, `Vec<u8>` | bytes | bytes, 0x-hex text; for `Vec<u8>` any other text as UTF-8 |
| AccountId32 | SS58 text | SS58 or 0x-hex text, 32 bytes |
| struct with named fields | dict | dict with exactly these fields, or a sequence in their order |
| struct of one unnamed field | the field alone | the same |
| several unnamed fields, tuple | tuple | sequence |
| other sequences, arrays | list | sequence (also a dict, as pairs: maps) |
| enum alternative without fields | its name | its name |
| enum alternative with fields | {name: fields} | {name: fields} |
| Option | value or None | the same; {"Some": x} where options nest |
| MultiAddress | {"Id": SS58 text} | any alternative, or what an account accepts |
| bits | text of 0 and 1 | the same |
| the runtime's call | {pallet: {call: {argument: value}}} | the same, or a call made before |

Decoding is strict like `aitoken.codec`; bytes come from a node one may not trust, so depth and lengths are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aitoken.client.errors import BadMetadata, BadValue
from aitoken.client.metadata import (
    ArrayDef,
    BitsDef,
    CompactDef,
    CompositeDef,
    FieldInfo,
    Metadata,
    PrimitiveDef,
    SequenceDef,
    TupleDef,
    TypeInfo,
    VariantDef,
    VariantInfo,
)
from aitoken.codec import primitives as p
from aitoken.codec.base import Codec, Composite, DecodeError, EncodeError, Shape, compact_encode, length_read, truncated
from aitoken.crypto import ss58

Encode = Callable[[Any], bytes]
Read = Callable[[bytes, int], tuple[Any, int]]

EMPTY_ITEMS_MAX: Final = 1 << 16
"""Most items of a type without bytes, whose number the input does not bound."""

NEWTYPES_MAX: Final = 16
"""Most structs of one field around an integer in compact form."""

_NUMBERS: Final = (
    p.Bool, p.U32, p.Str,
    p.U8, p.U16, p.U32, p.U64, p.U128, p.U256,
    p.I8, p.I16, p.I32, p.I64, p.I128,
)  # fmt: skip
_U8: Final = 3
_DECIMAL: Final = re.compile(r"-?[0-9]{1,80}", re.ASCII)
_HEX: Final = re.compile(r"0x[0-9a-fA-F]*", re.ASCII)


class Coders:
    """The coders of one chain's types, made when first asked for.

    Args:
        metadata: the chain's.
        prefix: its SS58 network, for the accounts it shows.
    """

    def __init__(self, metadata: Metadata, prefix: int = ss58.DEFAULT_PREFIX) -> None:
        self.prefix = prefix
        self._info = metadata.type_info
        self._call_type = metadata.extrinsic.call
        self._made: dict[int, Codec[Any]] = {}

    def codec(self, type_id: int) -> Codec[Any]:
        """Return the coder of a type by its number in the registry."""
        made = self._made.get(type_id)
        if made is not None:
            return made
        info = self._info(type_id)
        # Known before it is made, because types may contain themselves (a call that carries calls).
        codec: Codec[Any] = Codec(
            lambda value: codec.encode(value),
            lambda data, offset: codec.read(data, offset),
            default=lambda: None,
            size_min=1,
            shape=lambda: Shape(Composite(()), path=tuple(info.path)),
        )
        self._made[type_id] = codec
        codec.encode, codec.read, codec.size_min = self._make(type_id, info)
        return codec

    def decode(self, type_id: int, data: bytes) -> Any:
        """Decode the whole of `data`.

        Raises:
            DecodeError: it is malformed, too deep, or bytes are left over.
        """
        try:
            return self.codec(type_id).decode(data)
        except RecursionError:
            raise DecodeError("values are nested too deep") from None

    def encode(self, type_id: int, value: Any) -> bytes:
        """Encode a value; see the module docstring for what is accepted.

        Raises:
            BadValue: it does not fit; the message says where.
        """
        try:
            return self.codec(type_id).encode(value)
        except RecursionError:
            raise BadValue("values are nested too deep") from None

    def is_empty(self, type_id: int) -> bool:
        """Tell whether values of a type take no bytes."""
        return self.codec(type_id).size_min == 0

    def _make(self, type_id: int, info: TypeInfo) -> tuple[Encode, Read, int]:
        last = info.path[-1] if info.path else ""
        match info.definition:
            case CompositeDef(fields=fields):
                if last == "AccountId32":
                    return _account(self.prefix)
                return self._fields(fields)
            case VariantDef(variants=variants):
                return self._enum(type_id, last, variants)
            case SequenceDef(item=item):
                return _bytes() if self._is_u8(item) else _sequence(self.codec(item))
            case ArrayDef(length=length, item=item):
                return _fixed_bytes(length) if self._is_u8(item) else _array(self.codec(item), length)
            case TupleDef(items=items):
                return _tuple([self.codec(item) for item in items])
            case PrimitiveDef(number=number):
                return _primitive(number)
            case CompactDef(item=item):
                return self._compact(item)
            case BitsDef(store=store, order=order):
                return self._bits(store, order)
        raise BadMetadata(f"the metadata has a type of unknown kind: {info!r}")

    def _is_u8(self, type_id: int) -> bool:
        definition = self._info(type_id).definition
        return isinstance(definition, PrimitiveDef) and definition.number == _U8

    def _fields(self, fields: list[FieldInfo]) -> tuple[Encode, Read, int]:
        codecs = [self.codec(field.type) for field in fields]
        names = [field.name for field in fields if field.name is not None]
        if fields and len(names) == len(fields):
            return _named(names, codecs)
        if len(codecs) == 1:
            only = codecs[0]
            # Through the codec, not its present functions: it may be this very type, not made yet.
            return lambda value: only.encode(value), lambda data, at: only.read(data, at), only.size_min
        return _tuple(codecs)

    def _enum(self, type_id: int, last: str, variants: list[VariantInfo]) -> tuple[Encode, Read, int]:
        names = [variant.name for variant in variants]
        if last == "Option" and names == ["None", "Some"] and len(variants[1].fields) == 1:
            return self._option(variants[1].fields[0].type)
        encode, read, size = _variants(
            last or "enum",
            [(v.name, v.index, bool(v.fields), self._fields(v.fields)) for v in variants],
        )
        if last == "MultiAddress" and "Id" in names:
            return lambda value: encode(_as_address(value, names)), read, size
        if type_id == self._call_type:
            return lambda value: _call_bytes(value) or encode(value), read, size
        return encode, read, size

    def _option(self, inner_id: int) -> tuple[Encode, Read, int]:
        inner = self.codec(inner_id)
        return _option(inner, nests=self._info(inner_id).path[-1:] == ["Option"])

    def _compact(self, item: int) -> tuple[Encode, Read, int]:
        definition = self._info(item).definition
        for _ in range(NEWTYPES_MAX):
            if isinstance(definition, CompositeDef) and len(definition.fields) == 1:
                definition = self._info(definition.fields[0].type).definition
        if isinstance(definition, TupleDef) and not definition.items:
            return _tuple([])
        if not isinstance(definition, PrimitiveDef) or not _U8 <= definition.number <= 7:
            raise BadMetadata("the metadata has a compact form of something that is no unsigned integer")
        return _integer(p.Compact(_NUMBERS[definition.number]), 1)

    def _bits(self, store: int, order: int) -> tuple[Encode, Read, int]:
        definition = self._info(store).definition
        if not isinstance(definition, PrimitiveDef) or definition.number not in (3, 4, 5, 6):
            raise BadMetadata("the metadata has bits stored in something that is no unsigned integer")
        width = 8 << (definition.number - 3)
        return _bits(width, low_first=self._info(order).path[-1:] != ["Msb0"])


# ------------------------------------------------------------------------------------------- leaves


def number_of(value: Any) -> int:
    """Return an int given as int, decimal text or 0x-hex text.

    Raises:
        BadValue: it is none of them.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        if _DECIMAL.fullmatch(value):
            return int(value)
        if _HEX.fullmatch(value) and 2 < len(value) <= 66:
            return int(value, 16)
    raise BadValue(f"{value!r} is no integer")


def bytes_of(value: Any) -> bytes:
    """Return bytes given as bytes, 0x-hex text or a sequence of numbers below 256.

    Raises:
        BadValue: it is none of them.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        if not _HEX.fullmatch(value) or len(value) % 2:
            raise BadValue(f"{value!r} is no hex: write 0x and two digits for each byte")
        return bytes.fromhex(value[2:])
    if isinstance(value, list | tuple):
        try:
            return bytes(value)
        except (TypeError, ValueError):
            raise BadValue("a list of bytes has numbers from 0 to 255") from None
    raise BadValue(f"{value!r} is no sequence of bytes")


def account_of(value: Any) -> bytes:
    """Return the 32 bytes of an account given as SS58 text of any network, 0x-hex text or bytes.

    Raises:
        BadAddress: the text is no address.
        BadValue: it is none of them.
    """
    if isinstance(value, str) and not value.startswith("0x"):
        return ss58.decode(value)[0]
    account = bytes_of(value)
    if len(account) != 32:
        raise BadValue(f"an account has 32 bytes, this has {len(account)}")
    return account


def _account(prefix: int) -> tuple[Encode, Read, int]:
    inner = p.FixedBytes(32)

    def read(data: bytes, at: int) -> tuple[str, int]:
        account, end = inner.read(data, at)
        return ss58.encode(account, prefix), end

    return account_of, read, 32


def _as_address(value: Any, names: list[str]) -> Any:
    """Put a bare account into MultiAddress's `Id`."""
    is_alternative = isinstance(value, dict) or (isinstance(value, str) and value in names)
    return value if is_alternative else {"Id": value}


def _call_bytes(value: Any) -> bytes:
    """Return the bytes of a call made before, when it is put into a call that carries calls; b"" of all else."""
    known = getattr(value, "call_bytes", b"")
    return known if isinstance(known, bytes) else b""


def _integer(codec: Codec[int], size: int) -> tuple[Encode, Read, int]:
    def encode(value: Any) -> bytes:
        try:
            return codec.encode(number_of(value))
        except EncodeError as bad:
            raise BadValue(str(bad)) from None

    return encode, codec.read, size


def _primitive(number: int) -> tuple[Encode, Read, int]:
    if number >= len(_NUMBERS):
        raise BadMetadata(f"the metadata has a primitive type numbered {number}, which is not supported")
    codec: Codec[Any] = _NUMBERS[number]
    if number == 0:
        return _checked(codec, bool, "no bool")
    if number == 2:
        return _checked(codec, str, "no text")
    return _integer(codec, codec.size_min)


def _checked(codec: Codec[Any], kind: type, complaint: str) -> tuple[Encode, Read, int]:
    def encode(value: Any) -> bytes:
        if not isinstance(value, kind):
            raise BadValue(f"{value!r} is {complaint}")
        return codec.encode(value)

    return encode, codec.read, codec.size_min


def _bytes() -> tuple[Encode, Read, int]:
    def encode(value: Any) -> bytes:
        raw = value.encode() if isinstance(value, str) and not value.startswith("0x") else bytes_of(value)
        return p.Bytes.encode(raw)

    return encode, p.Bytes.read, 1


def _fixed_bytes(length: int) -> tuple[Encode, Read, int]:
    def encode(value: Any) -> bytes:
        raw = bytes_of(value)
        if len(raw) != length:
            raise BadValue(f"{length} bytes are expected, these are {len(raw)}")
        return raw

    return encode, p.FixedBytes(length).read, length


def _bits(width: int, *, low_first: bool) -> tuple[Encode, Read, int]:
    """Bits, packed into little-endian integers of `width` bits, behind the compact number of bits."""

    def encode(value: Any) -> bytes:
        if not isinstance(value, str) or value.strip("01"):
            raise BadValue(f"{value!r} is no text of 0 and 1")
        words = [value[start : start + width].ljust(width, "0") for start in range(0, len(value), width)]
        packed = [int(word[::-1] if low_first else word, 2).to_bytes(width // 8, "little") for word in words]
        return compact_encode(len(value)) + b"".join(packed)

    def read(data: bytes, at: int) -> tuple[str, int]:
        count, at = p.CompactU32.read(data, at)
        words = -(-count // width)
        end = at + words * (width // 8)
        if end > len(data):
            raise truncated(end - at, data, at)
        texts = []
        for start in range(at, end, width // 8):
            word = f"{int.from_bytes(data[start : start + width // 8], 'little'):0{width}b}"
            texts.append(word[::-1] if low_first else word)
        text = "".join(texts)
        if "1" in text[count:]:
            raise DecodeError("bits behind the last one are set")
        return text[:count], end

    return encode, read, 1


# ------------------------------------------------------------------------------------------- structures


def _within(where: str, codec: Codec[Any], value: Any) -> bytes:
    """Encode a part; what goes wrong in it says where."""
    try:
        return codec.encode(value)
    except BadValue as bad:
        raise BadValue(f"{where}: {bad}") from None


def _items_of(value: Any, length: int | None) -> Sequence[Any]:
    if isinstance(value, Mapping):
        value = list(value.items())
    if not isinstance(value, list | tuple):
        raise BadValue(f"{value!r} is no list")
    if length is not None and len(value) != length:
        raise BadValue(f"{length} values are expected, these are {len(value)}")
    return value


def _read_all(codecs: Sequence[Codec[Any]], data: bytes, at: int) -> tuple[list[Any], int]:
    values = []
    for codec in codecs:
        value, at = codec.read(data, at)
        values.append(value)
    return values, at


def _sequence(item: Codec[Any]) -> tuple[Encode, Read, int]:
    def encode(value: Any) -> bytes:
        items = _items_of(value, None)
        return compact_encode(len(items)) + b"".join(_within(f"[{i}]", item, each) for i, each in enumerate(items))

    def read(data: bytes, at: int) -> tuple[list[Any], int]:
        length, at = length_read(data, at, item.size_min, None if item.size_min else EMPTY_ITEMS_MAX)
        return _read_all([item] * length, data, at)

    return encode, read, 1


def _array(item: Codec[Any], length: int) -> tuple[Encode, Read, int]:
    def encode(value: Any) -> bytes:
        return b"".join(_within(f"[{i}]", item, each) for i, each in enumerate(_items_of(value, length)))

    def read(data: bytes, at: int) -> tuple[list[Any], int]:
        if length * item.size_min > len(data) - at or (item.size_min == 0 and length > EMPTY_ITEMS_MAX):
            raise truncated(length * item.size_min, data, at)
        return _read_all([item] * length, data, at)

    return encode, read, length * item.size_min


def _tuple(codecs: list[Codec[Any]]) -> tuple[Encode, Read, int]:
    def encode(value: Any) -> bytes:
        values = _items_of(value, len(codecs))
        return b"".join(_within(f".{i}", codec, values[i]) for i, codec in enumerate(codecs))

    def read(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        values, at = _read_all(codecs, data, at)
        return tuple(values), at

    return encode, read, sum(codec.size_min for codec in codecs)


def _named(names: list[str], codecs: list[Codec[Any]]) -> tuple[Encode, Read, int]:
    def encode(value: Any) -> bytes:
        if isinstance(value, Mapping):
            missing, extra = [n for n in names if n not in value], [n for n in value if n not in names]
            if missing or extra:
                raise BadValue(_mismatch(names, missing, extra))
            value = [value[name] for name in names]
        values = _items_of(value, len(names))
        return b"".join(_within(name, codec, each) for name, codec, each in zip(names, codecs, values, strict=True))

    def read(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        values, at = _read_all(codecs, data, at)
        return dict(zip(names, values, strict=True)), at

    return encode, read, sum(codec.size_min for codec in codecs)


def _mismatch(names: list[str], missing: list[str], extra: list[Any]) -> str:
    complaints = []
    if missing:
        complaints.append(f"{', '.join(missing)} is missing")
    if extra:
        complaints.append(f"there is no {', '.join(map(str, extra))}")
    return f"{' and '.join(complaints)}; the fields are {', '.join(names)}"


def _option(inner: Codec[Any], *, nests: bool) -> tuple[Encode, Read, int]:
    def encode(value: Any) -> bytes:
        if value is None:
            return b"\x00"
        if nests:
            if not isinstance(value, Mapping) or list(value) != ["Some"]:
                raise BadValue("an option within an option is None or {'Some': value}")
            value = value["Some"]
        return b"\x01" + inner.encode(value)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        if at >= len(data):
            raise truncated(1, data, at)
        if data[at] == 0:
            return None, at + 1
        if data[at] != 1:
            raise DecodeError(f"{data[at]} is not an option tag")
        value, end = inner.read(data, at + 1)
        return ({"Some": value} if nests else value), end

    return encode, read, 1


def _variants(what: str, rows: list[tuple[str, int, bool, tuple[Encode, Read, int]]]) -> tuple[Encode, Read, int]:
    by_name = {name: (index, has_fields, parts[0]) for name, index, has_fields, parts in rows}
    by_index = {index: (name, has_fields, parts[1]) for name, index, has_fields, parts in rows}

    def encode(value: Any) -> bytes:
        name, inner = value, ()
        if isinstance(value, Mapping) and len(value) == 1:
            ((name, inner),) = value.items()
        if not isinstance(name, str) or name not in by_name:
            shown = ", ".join(list(by_name)[:12]) + (", ..." if len(by_name) > 12 else "")
            raise BadValue(f"{name!r} is no alternative of {what}: {shown}")
        index, has_fields, encode_fields = by_name[name]
        try:
            return bytes((index,)) + encode_fields(inner if has_fields else ())
        except BadValue as bad:
            raise BadValue(f"{name}.{bad}") from None

    def read(data: bytes, at: int) -> tuple[Any, int]:
        if at >= len(data):
            raise truncated(1, data, at)
        found = by_index.get(data[at])
        if found is None:
            raise DecodeError(f"{what} has no alternative {data[at]}")
        name, has_fields, read_fields = found
        value, end = read_fields(data, at + 1)
        return ({name: value} if has_fields else name), end

    return encode, read, 1
