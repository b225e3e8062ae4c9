"""From type hints to codecs: the hint of a field, argument or storage item is the only declaration of its type.

Understood: `u8`..`u256` and the other aliases below, `bool`, `str`, `bytes` (= Vec<u8>), `list[T]`, `dict[K, V]`
(= BTreeMap), `tuple[A, B]`, `T | None`, `None` (= unit), `Annotated[T, COMPACT | MaxLen(n) | TypeName("..") | codec]`,
the NewTypes of `aitoken.types`, `Record` and `Union` classes, `IntEnum`s under `@plain_enum`.

A `Resolver` may also bind classes that stand for types only a whole runtime knows (its outer call, event and hold
reason enums).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, NewType, get_args, get_origin, get_type_hints
from typing import Union as TypingUnion

from aitoken.codec import containers as c
from aitoken.codec import primitives as p
from aitoken.codec.base import (
    Codec,
    Composite,
    DecodeError,
    EncodeError,
    Field,
    Shape,
    Variant,
    Variants,
    path_of,
    truncated,
)
from aitoken.codec.records import Record, Union, _execute, plain_enum_path
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment, Nonce


class _Compact:
    """Marks an integer that is written in compact form."""


COMPACT: Final = _Compact()


@dataclass(frozen=True, slots=True)
class MaxLen:
    """Bounds a list or byte string."""

    length: int


@dataclass(frozen=True, slots=True)
class TypeName:
    """Sets the typeName that metadata shows where it would be guessed wrong."""

    text: str


u8 = Annotated[int, p.U8]
u16 = Annotated[int, p.U16]
u32 = Annotated[int, p.U32]
u64 = Annotated[int, p.U64]
u128 = Annotated[int, p.U128]
u256 = Annotated[int, p.U256]
i8 = Annotated[int, p.I8]
i16 = Annotated[int, p.I16]
i32 = Annotated[int, p.I32]
i64 = Annotated[int, p.I64]
i128 = Annotated[int, p.I128]
Bytes4 = Annotated[bytes, p.FixedBytes(4), TypeName("[u8; 4]")]
Bytes8 = Annotated[bytes, p.FixedBytes(8), TypeName("[u8; 8]")]
Bytes20 = Annotated[bytes, p.FixedBytes(20), TypeName("[u8; 20]")]
Bytes32 = Annotated[bytes, p.FixedBytes(32), TypeName("[u8; 32]")]
Bytes64 = Annotated[bytes, p.FixedBytes(64), TypeName("[u8; 64]")]
Bytes80 = Annotated[bytes, p.FixedBytes(80), TypeName("[u8; 80]")]

_NEWTYPES: Final[dict[Any, tuple[Codec[Any], str]]] = {
    Balance: (p.U128, "T::Balance"),
    BlockNumber: (p.U32, "BlockNumberFor<T>"),
    Moment: (p.U64, "T::Moment"),
    Nonce: (p.U32, "Nonce"),
    AccountId: (p.ACCOUNT_ID, "T::AccountId"),
    Hash32: (p.H256, "T::Hash"),
}
_PLAIN: Final[dict[Any, Codec[Any]]] = {bool: p.Bool, str: p.Str, bytes: p.Bytes, NoneType: c.UNIT, None: c.UNIT}
_NAME_OF_CODEC: Final = {
    p.U8: "u8", p.U16: "u16", p.U32: "u32", p.U64: "u64", p.U128: "u128", p.U256: "u256",
    p.I8: "i8", p.I16: "i16", p.I32: "i32", p.I64: "i64", p.I128: "i128",
}  # fmt: skip


def field_name(name: str) -> str:
    """Return the name on the wire: `from_` is `from`."""
    return name.rstrip("_")


class Resolver:
    """Turns hints into interned codecs; `bindings` gives codecs to stand-in classes.

    Classes that need no stand-in are resolved in `base`, so that they have one codec, whoever asks.
    """

    def __init__(self, bindings: Mapping[Any, Codec[Any]] | None = None, base: Resolver | None = None) -> None:
        self._bindings: dict[Any, Codec[Any]] = dict(bindings or {})
        self._base = base
        self._classes: dict[type, Codec[Any]] = {}

    def bind(self, stand_in: object, codec: Codec[Any]) -> None:
        """Give a stand-in class its codec."""
        self._bindings[stand_in] = codec

    def codec_of(self, hint: Any) -> Codec[Any]:
        """Return the codec of a hint; equal hints give the same object.

        Raises:
            TypeError: the hint says no SCALE type; the message says what to write.
        """
        if isinstance(hint, Codec):
            return hint
        if (bound := _lookup(self._bindings, hint)) is not None:
            return bound
        if (plain := _lookup(_PLAIN, hint)) is not None:
            return plain
        if isinstance(hint, NewType):
            if hint in _NEWTYPES:
                return _NEWTYPES[hint][0]
            return self.codec_of(hint.__supertype__)
        if (origin := get_origin(hint)) is not None:
            return self._generic(origin, hint)
        if isinstance(hint, type):
            return self._class(hint)
        raise TypeError(f"{hint!r} is no SCALE type")

    def _generic(self, origin: Any, hint: Any) -> Codec[Any]:
        arguments = get_args(hint)
        if origin is Annotated:
            return self._annotated(arguments[0], arguments[1:])
        if origin is list:
            return c.Vec(self.codec_of(arguments[0]))
        if origin is tuple:
            return c.Tuple(*(self.codec_of(item) for item in arguments))
        if origin is dict:
            return c.BTreeMap(self.codec_of(arguments[0]), self.codec_of(arguments[1]))
        if origin in (UnionType, TypingUnion):
            rest = [item for item in arguments if item is not NoneType]
            if len(rest) == 1 and len(arguments) == 2:
                return c.Option(self.codec_of(rest[0]))
        raise TypeError(f"{hint!r} is no SCALE type: declare a Union class for alternatives")

    def _annotated(self, inner: Any, extras: tuple[Any, ...]) -> Codec[Any]:
        for extra in extras:
            if isinstance(extra, Codec):
                return extra
            if get_origin(extra) is Annotated:
                return self.codec_of(extra)
            if (bound := _lookup(self._bindings, extra)) is not None:
                return bound
            if extra is COMPACT:
                return p.Compact(self.codec_of(inner))
            if isinstance(extra, MaxLen):
                if inner is bytes:
                    return p.BoundedBytes(extra.length)
                return c.Vec(self.codec_of(get_args(inner)[0]), extra.length)
        return self.codec_of(inner)

    def closed(self, cls: type) -> Codec[Any] | None:
        """Return the codec of a class that needs no stand-in, None for one that does."""
        known = dict(self._classes)
        try:
            return self._class(cls)
        except TypeError:
            self._classes = known  # whatever was begun meanwhile refers to what could not be finished
            return None

    def _class(self, cls: type) -> Codec[Any]:
        if cls in self._classes:
            return self._classes[cls]
        if self._base is not None:
            found = self._base.closed(cls)
            if found is not None:
                self._classes[cls] = found
                return found
        if issubclass(cls, IntEnum):
            codec = self._classes[cls] = _plain_enum_codec(cls)
            return codec
        if issubclass(cls, Record):
            return self._record_class(cls)
        if issubclass(cls, int):
            raise TypeError(f"{cls.__name__} says no size: write u32, u64, Balance, ...")
        raise TypeError(
            f"{cls.__name__} is no SCALE type: make it a Record with @record(path), a Union or a @plain_enum"
        )

    def _record_class(self, cls: type[Record]) -> Codec[Any]:
        # The codec is known before its fields are visited, so that types may contain themselves.
        codec: Codec[Any] = Codec(
            lambda value: codec.encode(value),
            lambda data, offset: codec.read(data, offset),
            default=lambda: codec.default(),
            size_min=1,
            shape=lambda: codec.shape(),
        )
        self._classes[cls] = codec
        if issubclass(cls, Union):
            if "scale_variants" not in cls.__dict__:
                raise TypeError(f"{cls.__name__} is one alternative; use the enum it belongs to as the hint")
            self._fill_union(codec, cls)
        else:
            self._fill_record(codec, cls)
        return codec

    def fields_of(self, cls: type[Record]) -> list[tuple[str, Codec[Any], str]]:
        """Return (python name, codec, typeName) of each field of a record."""
        hints = get_type_hints(cls, include_extras=True)
        return [(name, self.codec_of(hints[name]), type_name_of(hints[name])) for name in cls.scale_fields]

    def shape_fields(self, cls: type[Record]) -> tuple[Field, ...]:
        """Return the fields as metadata shows them."""
        return tuple(
            Field(codec, None if cls.scale_unnamed else field_name(name), type_name)
            for name, codec, type_name in self.fields_of(cls)
        )

    def _params(self, params: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Codec[Any] | None], ...]:
        return tuple((name, None if hint is None else self.codec_of(hint)) for name, hint in params)

    def _fill_record(self, codec: Codec[Any], cls: type[Record]) -> None:
        fields = [(name, inner) for name, inner, _ in self.fields_of(cls)]
        codec.encode, codec.read = compile_record(cls, fields)
        codec.size_min = sum(inner.size_min for _, inner in fields)
        codec.default = lambda: cls(*(inner.default() for _, inner in fields))
        codec.shape = lambda: Shape(
            Composite(self.shape_fields(cls)), path=path_of(cls.scale_path), params=self._params(cls.scale_params)
        )

    def _fill_union(self, codec: Codec[Any], family: type[Union]) -> None:
        encoders: dict[type, tuple[bytes, Callable[[Any], bytes]]] = {}
        readers: dict[int, Callable[[bytes, int], tuple[Any, int]]] = {}
        for index, cls in sorted(family.scale_variants.items()):
            encode, read = compile_record(cls, [(name, inner) for name, inner, _ in self.fields_of(cls)])
            encoders[cls], readers[index] = (bytes((index,)), encode), read

        def encode_any(value: Any) -> bytes:
            try:
                tag, encode = encoders[value.__class__]
            except KeyError:
                raise EncodeError(f"{value!r} is not a {family.__name__}") from None
            return tag + encode(value)

        def read_any(data: bytes, offset: int) -> tuple[Any, int]:
            if offset >= len(data):
                raise truncated(1, data, offset)
            read = readers.get(data[offset])
            if read is None:
                raise DecodeError(f"{family.__name__} has no variant {data[offset]}")
            return read(data, offset + 1)

        def shape() -> Shape:
            variants = tuple(
                Variant(cls.scale_name, index, self.shape_fields(cls), docs_of(cls))
                for index, cls in sorted(family.scale_variants.items())
            )
            return Shape(Variants(variants), path=path_of(family.scale_path), params=self._params(family.scale_params))

        def default() -> Any:
            cls = family.scale_variants[min(family.scale_variants)]
            return cls(*(inner.default() for _, inner, _ in self.fields_of(cls)))

        codec.encode, codec.read, codec.default, codec.shape = encode_any, read_any, default, shape


def _lookup(table: Mapping[Any, Codec[Any]], key: Any) -> Codec[Any] | None:
    try:
        return table.get(key)
    except TypeError:  # an unhashable extra of Annotated
        return None


def docs_of(thing: object) -> tuple[str, ...]:
    """Return the first paragraph of a docstring as metadata lines."""
    text = (thing.__doc__ or "").strip()
    lines = [line.strip() for line in text.split("\n\n")[0].splitlines()]
    return tuple(line for line in lines if line)


def compile_record(
    cls: type[Record], fields: list[tuple[str, Codec[Any]]]
) -> tuple[Callable[[Any], bytes], Callable[[bytes, int], tuple[Any, int]]]:
    """Generate `encode` and `read` of a record: runs of fixed-size fields by `struct`, the rest by their codecs."""
    return _compile(fields, "make", cls)


def compile_arguments(
    fields: list[tuple[str, Codec[Any]]],
) -> tuple[Callable[[tuple[Any, ...]], bytes], Callable[[bytes, int], tuple[tuple[Any, ...], int]]]:
    """Do the same for values that are kept as a plain tuple, such as the arguments of a call."""
    return c.Tuple(*(codec for _, codec in fields)).encode, _compile(fields, "", None)[1]


def compile_writer(head: bytes, fields: list[tuple[str, Codec[Any]]], tail: bytes) -> Callable[..., bytes]:
    """Generate a function from fixed-size field values to `head`, their bytes, and `tail`; half the cost of a record.

    Raises:
        TypeError: a field has no fixed size.
    """
    layout, given = f"<{len(head)}s", ["HEAD"]
    for name, codec in fields:
        if codec.packed is None:
            raise TypeError(f"{name} has no fixed size")
        layout += codec.packed[0]
        given += [f"{name} & LOW", f"{name} >> 64"] if codec.packed[1] == "wide" else [name]
    checks = [
        f"    if len({name}) != {codec.size_min}:\n        raise EncodeError('{name}: {codec.size_min} bytes wanted')\n"
        for name, codec in fields
        if codec.packed and codec.packed[1] == "bytes"
    ]
    names: dict[str, Any] = {
        "HEAD": head, "TAIL": tail, "LOW": (1 << 64) - 1, "EncodeError": EncodeError, "error": struct.error,
        "pack": struct.Struct(f"{layout}{len(tail)}s").pack,
    }  # fmt: skip
    source = (
        f"def write({', '.join(name for name, _ in fields)}):\n{''.join(checks)}    try:\n"
        f"        return pack({', '.join(given)}, TAIL)\n"
        f"    except error as e:\n        raise EncodeError(str(e)) from None\n"
    )
    writer: Callable[..., bytes] = _execute(source, names)["write"]
    return writer


def _compile(
    fields: list[tuple[str, Codec[Any]]], maker: str, cls: type[Record] | None
) -> tuple[Callable[[Any], bytes], Callable[[bytes, int], tuple[Any, int]]]:
    names: dict[str, Any] = {
        "make": cls, "truncated": truncated, "EncodeError": EncodeError, "error": struct.error,
        "LOW": (1 << 64) - 1,
    }  # fmt: skip
    checks: list[str] = []
    parts: list[str] = []
    reads: list[str] = []
    values: dict[str, str] = {}
    for number, run in enumerate(_runs(fields)):
        if run[0][1].packed is None:
            name, codec = run[0]
            names[f"encode{number}"], names[f"read{number}"] = codec.encode, codec.read
            parts.append(f"encode{number}(value.{name})")
            reads.append(f"    f_{name}, offset = read{number}(data, offset)")
            values[name] = f"f_{name}"
            continue
        layout = struct.Struct("<" + "".join(codec.packed[0] for _, codec in run if codec.packed))
        names[f"pack{number}"], names[f"unpack{number}"] = layout.pack, layout.unpack_from
        given, taken = _packed_run(run, checks, values)
        parts.append(f"pack{number}({', '.join(given)})")
        reads.append(
            f"    try:\n        {', '.join(taken)}, = unpack{number}(data, offset)\n"
            f"    except error:\n        raise truncated({layout.size}, data, offset) from None\n"
            f"    offset += {layout.size}"
        )
    body = "\n".join(checks)
    made = "".join(f"{values[name]}, " for name, _ in fields)
    source = (
        f"def encode(value):\n{body}\n    try:\n        return {' + '.join(parts) or repr(b'')}\n"
        f"    except error as e:\n        raise EncodeError(f'{{value!r}}: {{e}}') from None\n"
        f"def read(data, offset):\n" + "\n".join(reads) + "\n"
        f"    return {maker}({made}), offset\n"
    )
    _execute(source, names)
    return names["encode"], names["read"]


def _packed_run(
    run: list[tuple[str, Codec[Any]]], checks: list[str], values: dict[str, str]
) -> tuple[list[str], list[str]]:
    """Return the arguments of `pack` and the targets of `unpack` for neighbouring fields of fixed size."""
    given: list[str] = []
    taken: list[str] = []
    for name, codec in run:
        kind = codec.packed[1] if codec.packed else ""
        values[name] = f"f_{name}"
        if kind == "wide":
            given += [f"value.{name} & LOW", f"value.{name} >> 64"]
            taken += [f"f_{name}", f"h_{name}"]
            values[name] = f"f_{name} | h_{name} << 64"
            continue
        if kind == "bytes":  # struct would cut or pad
            checks.append(
                f"    if len(value.{name}) != {codec.size_min}:\n"
                f"        raise EncodeError('{name}: {codec.size_min} bytes wanted')"
            )
        given.append(f"value.{name}")
        taken.append(f"f_{name}")
    return given, taken


def _runs(fields: list[tuple[str, Codec[Any]]]) -> list[list[tuple[str, Codec[Any]]]]:
    runs: list[list[tuple[str, Codec[Any]]]] = []
    for item in fields:
        if item[1].packed is not None and runs and runs[-1][0][1].packed is not None:
            runs[-1].append(item)
        else:
            runs.append([item])
    return runs


def _plain_enum_codec(cls: type[IntEnum]) -> Codec[Any]:
    described = plain_enum_path(cls)
    if described is None:
        raise TypeError(f"{cls.__name__}: put @plain_enum(path) on an IntEnum that is a SCALE type")
    members = {int(member): member for member in cls}
    encoded = {member: bytes((int(member),)) for member in cls}

    def encode(value: Any) -> bytes:
        try:
            return encoded[value]
        except KeyError:
            raise EncodeError(f"{value!r} is not a {cls.__name__}") from None

    def read(data: bytes, offset: int) -> tuple[Any, int]:
        if offset >= len(data):
            raise truncated(1, data, offset)
        member = members.get(data[offset])
        if member is None:
            raise DecodeError(f"{cls.__name__} has no variant {data[offset]}")
        return member, offset + 1

    def shape() -> Shape:
        variants = tuple(Variant(field_name(members[index].name), index) for index in sorted(members))
        params = tuple((name, None if hint is None else codec_of(hint)) for name, hint in described[1])
        return Shape(Variants(variants), path=path_of(described[0]), params=params)

    return Codec(encode, read, default=lambda: members[min(members)], size_min=1, shape=shape)


def type_name_of(hint: Any) -> str:
    """Return the typeName metadata shows for a hint; clients need one on every call argument."""
    if isinstance(hint, NewType):
        return _NEWTYPES[hint][1] if hint in _NEWTYPES else hint.__name__
    if hint in (None, NoneType):
        return "()"
    if hint is bytes:
        return "Vec<u8>"
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _annotated_type_name(arguments)
    if origin is list:
        return f"Vec<{type_name_of(arguments[0])}>"
    if origin is tuple:
        return f"({', '.join(type_name_of(item) for item in arguments)})"
    if origin is dict:
        return f"BTreeMap<{type_name_of(arguments[0])}, {type_name_of(arguments[1])}>"
    if origin in (UnionType, TypingUnion):
        return f"Option<{type_name_of(next(item for item in arguments if item is not NoneType))}>"
    if isinstance(hint, type):
        return hint.__name__
    return str(hint)


def _annotated_type_name(arguments: tuple[Any, ...]) -> str:
    for extra in arguments[1:]:
        if isinstance(extra, TypeName):
            return extra.text
    for extra in arguments[1:]:
        if isinstance(extra, Codec):
            shape = extra.shape()
            return _NAME_OF_CODEC.get(extra) or (shape.path[-1] if shape.path else type_name_of(arguments[0]))
    return type_name_of(arguments[0])


GLOBAL: Final = Resolver()


def codec_of(hint: Any) -> Codec[Any]:
    """Return the codec of a hint that needs no particular runtime."""
    return GLOBAL.codec_of(hint)
