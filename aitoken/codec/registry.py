"""The portable type registry of metadata: every type once, its id being its position.

A declared type's id is reserved before its children are visited, because types contain themselves (a call that
carries calls). Structural types (sequences, tuples, options) are told apart by what they are written as, so a bounded
and an unbounded list of the same items are one type.
Source: frame-metadata V14/V15, scale-info portable registry.
"""

from __future__ import annotations

from typing import Any

from aitoken.codec.base import (
    ArrayOf,
    Codec,
    CompactOf,
    Composite,
    Definition,
    Field,
    Primitive,
    SequenceOf,
    Shape,
    TupleOf,
    Variant,
    Variants,
    compact_encode,
)
from aitoken.codec.primitives import Str


def strings(lines: tuple[str, ...]) -> bytes:
    """Encode `Vec<String>`."""
    return compact_encode(len(lines)) + b"".join([Str.encode(line) for line in lines])


def optional_string(text: str | None) -> bytes:
    """Encode `Option<String>`."""
    return b"\x00" if text is None else b"\x01" + Str.encode(text)


class Registry:
    """Collects types and writes them."""

    def __init__(self) -> None:
        self._ids: dict[Codec[Any], int] = {}
        self._structural: dict[bytes, int] = {}
        self._entries: list[bytes] = []
        self._shapes: list[Shape] = []

    def id_of(self, codec: Codec[Any]) -> int:
        """Return the id of a type, registering it and all it is made of on first sight."""
        known = self._ids.get(codec)
        if known is not None:
            return known
        shape = codec.shape()
        if len(shape.path) < 2:  # every cycle of types passes through a declared one
            entry = self._entry(shape)
            number = self._structural.setdefault(entry, len(self._entries))
            if number == len(self._entries):
                self._entries.append(entry)
                self._shapes.append(shape)
            self._ids[codec] = number
            return number
        number = self._ids[codec] = len(self._entries)
        self._entries.append(b"")
        self._shapes.append(shape)
        self._entries[number] = self._entry(shape)
        return number

    def shape_of(self, number: int) -> Shape:
        """Return what is registered under an id; the types it is made of are registered as well."""
        return self._shapes[number]

    def compact_id(self, codec: Codec[Any]) -> bytes:
        """Return the id as it is written everywhere."""
        return compact_encode(self.id_of(codec))

    def encode(self) -> bytes:
        """Write the registry; every type that is referred to must have been asked for before."""
        rows = [compact_encode(number) + entry for number, entry in enumerate(self._entries)]
        return compact_encode(len(rows)) + b"".join(rows)

    def __len__(self) -> int:
        return len(self._entries)

    def _entry(self, shape: Shape) -> bytes:
        params = [
            Str.encode(name) + (b"\x00" if codec is None else b"\x01" + self.compact_id(codec))
            for name, codec in shape.params
        ]
        return (
            strings(shape.path)
            + compact_encode(len(params))
            + b"".join(params)
            + self._definition(shape.definition)
            + strings(shape.docs)
        )

    def _definition(self, definition: Definition) -> bytes:
        match definition:
            case Composite(fields):
                return b"\x00" + self._fields(fields)
            case Variants(variants):
                rows = [self._variant(variant) for variant in variants]
                return b"\x01" + compact_encode(len(rows)) + b"".join(rows)
            case SequenceOf(inner):
                return b"\x02" + self.compact_id(inner)
            case ArrayOf(inner, length):
                return b"\x03" + length.to_bytes(4, "little") + self.compact_id(inner)
            case TupleOf(items):
                return b"\x04" + compact_encode(len(items)) + b"".join([self.compact_id(item) for item in items])
            case Primitive(number):
                return b"\x05" + bytes((number,))
            case CompactOf(inner):
                return b"\x06" + self.compact_id(inner)

    def _variant(self, variant: Variant) -> bytes:
        return Str.encode(variant.name) + self._fields(variant.fields) + bytes((variant.index,)) + strings(variant.docs)

    def _fields(self, fields: tuple[Field, ...]) -> bytes:
        rows = [
            optional_string(field.name)
            + self.compact_id(field.codec)
            + optional_string(field.type_name)
            + strings(field.docs)
            for field in fields
        ]
        return compact_encode(len(rows)) + b"".join(rows)
