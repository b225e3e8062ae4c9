"""Metadata V14 and V15, generated from the declarations.

V14 is what `state_getMetadata` answers and all that py-substrate-interface reads; V15 adds runtime APIs and the outer
enums. Paths, names and order follow Substrate to the letter, because clients find types by them.

Source: `frame-metadata` v14.rs, v15.rs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from aitoken.codec.base import AnyCodec, Composite, Field, Shape, Variant, Variants, compact_encode, path_of
from aitoken.codec.containers import Tuple
from aitoken.codec.hints import TypeName
from aitoken.codec.primitives import Bytes, Str
from aitoken.codec.registry import Registry, strings
from chain.frame.calls import StandIn
from chain.frame.extensions import EXTENSIONS
from chain.frame.outer import RUNTIME
from chain.frame.types import ADDRESS, MULTI_SIGNATURE, described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chain.frame.pallet import Pallet
    from chain.frame.schema import Schema
    from chain.frame.storage import StorageInfo

MAGIC: Final = b"meta"
VERSIONS: Final = (14, 15)
EXTRINSIC_VERSION: Final = 4


UNCHECKED_EXTRINSIC: Final = StandIn()
UncheckedExtrinsic = Annotated[bytes, UNCHECKED_EXTRINSIC, TypeName("Extrinsic")]
"""An extrinsic as an argument of a runtime API: its bytes with the length prefix."""


def _list(rows: Sequence[bytes]) -> bytes:
    return compact_encode(len(rows)) + b"".join(rows)


def docs(text: str) -> bytes:
    """Encode a doc string as metadata lines."""
    return strings(tuple(text.splitlines()))


def extrinsic_shape(call: AnyCodec) -> Shape:
    """Return the type by whose parameters clients find address, call, signature and extra."""
    extra = Tuple(*(extension.explicit for extension in EXTENSIONS))
    return Shape(
        Composite((Field(Bytes),)),
        path=path_of("sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic"),
        params=(("Address", ADDRESS), ("Call", call), ("Signature", MULTI_SIGNATURE), ("Extra", extra)),
    )


class MetadataWriter:
    """Writes one version of the metadata of a schema; `registry` has the types of what was written."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.registry = Registry()
        self._extrinsic = schema.resolver.codec_of(UncheckedExtrinsic)
        self._runtime = described(Shape(Composite(()), path=(RUNTIME, "Runtime")))

    def write(self, version: int) -> bytes:
        """Return the metadata with its magic number and version byte.

        Args:
            version: 14 or 15.
        """
        is_v15 = version == 15
        pallets = _list([self._pallet(pallet, with_docs=is_v15) for pallet in self._schema.pallets])
        rest = self._extrinsic_v15() if is_v15 else self._extrinsic_v14()
        rest += self._id(self._runtime)
        if is_v15:
            rest += self._apis() + self._outer_enums() + _list([])
        return MAGIC + bytes((version,)) + self.registry.encode() + pallets + rest

    def _id(self, codec: AnyCodec) -> bytes:
        return self.registry.compact_id(codec)

    # --------------------------------------------------------------------------------------------- pallets

    def _pallet(self, pallet: type[Pallet], *, with_docs: bool) -> bytes:
        schema = self._schema
        calls = schema.pallet_call_codec(pallet) if schema.call_infos[pallet.name] else None
        constants = [
            Str.encode(item.name) + self._id(item.codec) + Bytes.encode(item.codec.encode(item.value)) + docs(item.doc)
            for item in schema.constants[pallet]
        ]
        parts = [
            Str.encode(pallet.name),
            self._storage(pallet),
            self._optional(calls),
            self._optional(schema.event_codecs.get(pallet.name)),
            _list(constants),
            self._optional(schema.pallet_error_codec(pallet)),
            bytes((pallet.index,)),
        ]
        if with_docs:
            parts.append(docs((pallet.__doc__ or "").split("\n")[0]))
        return b"".join(parts)

    def _optional(self, codec: AnyCodec | None) -> bytes:
        return b"\x00" if codec is None else b"\x01" + self._id(codec)

    def _storage(self, pallet: type[Pallet]) -> bytes:
        entries = [self._entry(info) for info in self._schema.storage[pallet]]
        return b"\x01" + Str.encode(pallet.name) + _list(entries) if entries else b"\x00"

    def _entry(self, info: StorageInfo) -> bytes:
        if info.key is None:
            kind = b"\x00" + self._id(info.value)
        else:
            hashers = _list([bytes((hasher.number,)) for hasher in info.hashers])
            kind = b"\x01" + hashers + self._id(info.key) + self._id(info.value)
        default = b"\x00" if info.optional else info.value.encode(info.default())
        modifier = b"\x00" if info.optional else b"\x01"
        return Str.encode(info.name) + modifier + kind + Bytes.encode(default) + docs(info.doc)

    # --------------------------------------------------------------------------------------------- extrinsic

    @property
    def extrinsic(self) -> Shape:
        """The type of extrinsics; its parameters are what one is made of."""
        return self._extrinsic.shape()

    def _extensions(self) -> bytes:
        return _list(
            [
                Str.encode(extension.identifier) + self._id(extension.explicit) + self._id(extension.implicit)
                for extension in EXTENSIONS
            ]
        )

    def _extrinsic_v14(self) -> bytes:
        return self._id(self._extrinsic) + bytes((EXTRINSIC_VERSION,)) + self._extensions()

    def _extrinsic_v15(self) -> bytes:
        parts = b"".join([self._id(codec) for _, codec in self.extrinsic.params if codec is not None])
        return bytes((EXTRINSIC_VERSION,)) + parts + self._extensions()

    # --------------------------------------------------------------------------------------------- V15 only

    def _apis(self) -> bytes:
        schema = self._schema
        rows = []
        for name in schema.api_versions:
            methods = [
                Str.encode(method.name)
                + _list([Str.encode(argument) + self._id(codec) for argument, codec in method.inputs])
                + self._id(method.output)
                + strings(method.docs)
                for method in schema.api_methods.values()
                if method.api == name
            ]
            rows.append(Str.encode(name) + _list(methods) + strings(()))
        return _list(rows)

    def _outer_enums(self) -> bytes:
        schema = self._schema
        errors: list[tuple[type[Pallet], AnyCodec]] = []
        for pallet in schema.pallets:
            codec = schema.pallet_error_codec(pallet)
            if codec is not None:
                errors.append((pallet, codec))
        variants = tuple(
            Variant(pallet.name, pallet.index, (Field(codec, type_name=f"{pallet.crate}::Error<Runtime>"),))
            for pallet, codec in errors
        )
        outer_error = described(Shape(Variants(variants), path=(RUNTIME, "RuntimeError")))
        return self._id(schema.call_codec) + self._id(schema.event_codec) + self._id(outer_error)


def write_metadata(schema: Schema, version: int) -> bytes:
    """Return the metadata of a schema.

    Args:
        schema: the runtime.
        version: one of `VERSIONS`.
    """
    return MetadataWriter(schema).write(version)
