"""Reads the description a runtime gives of itself: metadata versions 14 and 15.

The wire form is declared below as records; what the rest of the client uses is `Metadata`, the same for both versions.

    "meta" ++ version u8 ++ types ++ pallets ++ extrinsic ++ runtime type                       14
    ... ++ runtime APIs ++ outer enums ++ custom values, each pallet followed by its docs       15

Version 14 does not name the types of address and signature; they are parameters of the extrinsic's type.

Source: frame-metadata `v14.rs`, `v15.rs`; scale-info.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from aitoken.client.errors import BadMetadata, UnknownName
from aitoken.codec.base import DecodeError
from aitoken.codec.hints import codec_of, u8, u32
from aitoken.codec.primitives import CompactU32
from aitoken.codec.records import Record, Union, record

MAGIC: Final = b"meta"
VERSIONS: Final = (14, 15)
"""What `parse` understands."""

TypeId = Annotated[int, CompactU32]


@record("scale_info::ty::fields::Field")
class FieldInfo(Record):
    """A field of a composite or variant."""

    name: str | None
    type: TypeId
    type_name: str | None
    docs: list[str]


@record("scale_info::ty::variant::Variant")
class VariantInfo(Record):
    """One alternative of an enum: a call, an event or an error, where the enum is a pallet's."""

    name: str
    fields: list[FieldInfo]
    index: u8
    docs: list[str]


class Definition(Union, path="scale_info::ty::TypeDef"):
    """What a type is made of."""


class CompositeDef(Definition, index=0):
    """A struct."""

    fields: list[FieldInfo]


class VariantDef(Definition, index=1):
    """An enum."""

    variants: list[VariantInfo]


class SequenceDef(Definition, index=2):
    """Any number of items."""

    item: TypeId


class ArrayDef(Definition, index=3):
    """A fixed number of items."""

    length: u32
    item: TypeId


class TupleDef(Definition, index=4):
    """Values one after the other."""

    items: list[TypeId]


class PrimitiveDef(Definition, index=5):
    """bool 0, char 1, str 2, u8 3 ... u256 8, i8 9 ... i256 14."""

    number: u8


class CompactDef(Definition, index=6):
    """An integer in compact form."""

    item: TypeId


class BitsDef(Definition, index=7):
    """A sequence of bits."""

    store: TypeId
    order: TypeId


@record("scale_info::ty::TypeParameter")
class TypeParameter(Record):
    """A generic parameter."""

    name: str
    type: Annotated[int | None, codec_of(TypeId | None)]


@record("scale_info::ty::Type")
class TypeInfo(Record):
    """A type of the registry; its id is its position."""

    path: list[str]
    params: list[TypeParameter]
    definition: Definition
    docs: list[str]


@record("scale_info::portable::PortableType")
class PortableType(Record):
    """An entry of the registry."""

    id: TypeId
    type: TypeInfo


class StorageKind(Union, path="frame_metadata::StorageEntryType"):
    """How the keys of a storage item look."""


class PlainKind(StorageKind, index=0):
    """One value."""

    value: TypeId


class MapKind(StorageKind, index=1):
    """A value per key; several hashers mean that `key` is a tuple of as many types."""

    hashers: list[u8]
    key: TypeId
    value: TypeId


@record("frame_metadata::StorageEntryMetadata")
class StorageInfo(Record):
    """A storage item. `modifier` 0: absent means None; 1: absent means `default`."""

    name: str
    modifier: u8
    kind: StorageKind
    default: bytes
    docs: list[str]


@record("frame_metadata::PalletStorageMetadata")
class PalletStorage(Record):
    """The storage of a pallet; `prefix` is hashed into every key."""

    prefix: str
    entries: list[StorageInfo]


@record("frame_metadata::PalletConstantMetadata")
class ConstantInfo(Record):
    """A constant and its SCALE value."""

    name: str
    type: TypeId
    value: bytes
    docs: list[str]


@record("frame_metadata::v14::PalletMetadata")
class PalletV14(Record):
    """A pallet in version 14."""

    name: str
    storage: PalletStorage | None
    calls: Annotated[int | None, codec_of(TypeId | None)]
    event: Annotated[int | None, codec_of(TypeId | None)]
    constants: list[ConstantInfo]
    error: Annotated[int | None, codec_of(TypeId | None)]
    index: u8


@record("frame_metadata::v15::PalletMetadata")
class PalletV15(Record):
    """A pallet in version 15."""

    name: str
    storage: PalletStorage | None
    calls: Annotated[int | None, codec_of(TypeId | None)]
    event: Annotated[int | None, codec_of(TypeId | None)]
    constants: list[ConstantInfo]
    error: Annotated[int | None, codec_of(TypeId | None)]
    index: u8
    docs: list[str]


@record("frame_metadata::SignedExtensionMetadata")
class ExtensionInfo(Record):
    """A transaction extension: what it adds to a transaction, and what is only signed."""

    identifier: str
    type: TypeId
    additional: TypeId


@record("frame_metadata::v14::ExtrinsicMetadata")
class ExtrinsicV14(Record):
    """The extrinsic in version 14."""

    type: TypeId
    version: u8
    extensions: list[ExtensionInfo]


@record("frame_metadata::v15::ExtrinsicMetadata")
class ExtrinsicV15(Record):
    """The extrinsic in version 15."""

    version: u8
    address: TypeId
    call: TypeId
    signature: TypeId
    extra: TypeId
    extensions: list[ExtensionInfo]


@record("frame_metadata::v15::RuntimeApiMethodParamMetadata")
class ApiInput(Record):
    """An argument of a runtime API method."""

    name: str
    type: TypeId


@record("frame_metadata::v15::RuntimeApiMethodMetadata")
class ApiMethod(Record):
    """A method of a runtime API."""

    name: str
    inputs: list[ApiInput]
    output: TypeId
    docs: list[str]


@record("frame_metadata::v15::RuntimeApiMetadata")
class ApiInfo(Record):
    """A runtime API."""

    name: str
    methods: list[ApiMethod]
    docs: list[str]


@record("frame_metadata::v15::OuterEnums")
class OuterEnums(Record):
    """The enums over all pallets."""

    call: TypeId
    event: TypeId
    error: TypeId


@record("frame_metadata::v15::CustomValueMetadata")
class CustomValue(Record):
    """A value a runtime wants to be known."""

    type: TypeId
    value: bytes


@record("frame_metadata::v14::RuntimeMetadataV14")
class BodyV14(Record):
    """Everything behind the version byte 14."""

    types: list[PortableType]
    pallets: list[PalletV14]
    extrinsic: ExtrinsicV14
    runtime: TypeId


@record("frame_metadata::v15::RuntimeMetadataV15")
class BodyV15(Record):
    """Everything behind the version byte 15."""

    types: list[PortableType]
    pallets: list[PalletV15]
    extrinsic: ExtrinsicV15
    runtime: TypeId
    apis: list[ApiInfo]
    outer_enums: OuterEnums
    custom: dict[str, CustomValue]


@dataclass(frozen=True, slots=True)
class Pallet:
    """A pallet, its items by name. Type ids are None where it has no calls, events or errors."""

    name: str
    index: int
    prefix: str
    storage: dict[str, StorageInfo]
    constants: dict[str, ConstantInfo]
    calls: int | None
    event: int | None
    error: int | None


@dataclass(frozen=True, slots=True)
class ExtrinsicInfo:
    """How transactions are built; the types are ids into the registry."""

    version: int
    address: int
    signature: int
    call: int
    extensions: tuple[ExtensionInfo, ...]


@dataclass(frozen=True, slots=True)
class Metadata:
    """A runtime's description of itself, the same for every version."""

    version: int
    types: tuple[TypeInfo, ...]
    pallets: dict[str, Pallet]
    extrinsic: ExtrinsicInfo
    apis: dict[str, dict[str, ApiMethod]] = field(default_factory=dict)
    """Runtime APIs and their methods by name; empty below version 15."""

    def type_info(self, type_id: int) -> TypeInfo:
        """Return a type by its number.

        Raises:
            BadMetadata: the metadata speaks of it without describing it.
        """
        if not 0 <= type_id < len(self.types):
            raise BadMetadata(f"the metadata speaks of type {type_id}, which it does not describe")
        return self.types[type_id]

    def pallet(self, name: str) -> Pallet:
        """Return a pallet by name.

        Raises:
            UnknownName: there is none.
        """
        found = self.pallets.get(name)
        if found is None:
            raise UnknownName(f"the chain has no pallet {name!r}{closest(name, self.pallets)}")
        return found

    def storage(self, pallet: str, item: str) -> tuple[Pallet, StorageInfo]:
        """Return a storage item and its pallet by name."""
        owner = self.pallet(pallet)
        found = owner.storage.get(item)
        if found is None:
            raise UnknownName(f"{pallet} stores no {item!r}{closest(item, owner.storage)}")
        return owner, found

    def constant(self, pallet: str, name: str) -> ConstantInfo:
        """Return a constant by name."""
        owner = self.pallet(pallet)
        found = owner.constants.get(name)
        if found is None:
            raise UnknownName(f"{pallet} has no constant {name!r}{closest(name, owner.constants)}")
        return found

    def variants(self, type_id: int | None) -> dict[str, VariantInfo]:
        """Return the alternatives of an enum by name; none of what is no enum."""
        if type_id is None:
            return {}
        definition = self.type_info(type_id).definition
        return {v.name: v for v in definition.variants} if isinstance(definition, VariantDef) else {}


def closest(name: str, known: Any) -> str:
    """Return a hint at names spelled almost so, or nothing."""
    plain = name.replace("_", "").lower()
    alike = sorted(k for k in known if k.replace("_", "").lower() == plain)
    return f"; it is spelled {alike[0]!r}" if alike else ""


def parse(blob: bytes) -> Metadata:
    """Read a metadata blob that starts with "meta" and its version.

    Raises:
        BadMetadata: it is malformed, or of another version than 14 and 15.
    """
    if blob[:4] != MAGIC or len(blob) < 5:
        raise BadMetadata("this is no runtime metadata: it does not start with 'meta'")
    version = blob[4]
    try:
        if version == 14:
            return _from_v14(codec_of(BodyV14).decode(blob[5:]))
        if version == 15:
            return _from_v15(codec_of(BodyV15).decode(blob[5:]))
    except (DecodeError, RecursionError, IndexError) as bad:
        raise BadMetadata(f"the runtime metadata is malformed: {bad}") from bad
    raise BadMetadata(f"runtime metadata of version {version} is not understood, only 14 and 15 are")


def _from_v14(body: BodyV14) -> Metadata:
    types = _types(body.types)
    params = {param.name: param.type for param in types[body.extrinsic.type].params}
    address, call, signature = (params.get(name) for name in ("Address", "Call", "Signature"))
    if address is None or call is None or signature is None:
        raise BadMetadata("the type of the extrinsic names no address, call and signature")
    extrinsic = ExtrinsicInfo(body.extrinsic.version, address, signature, call, tuple(body.extrinsic.extensions))
    return Metadata(14, types, _pallets(body.pallets), extrinsic)


def _from_v15(body: BodyV15) -> Metadata:
    parts = body.extrinsic
    extrinsic = ExtrinsicInfo(parts.version, parts.address, parts.signature, parts.call, tuple(parts.extensions))
    apis = {api.name: {method.name: method for method in api.methods} for api in body.apis}
    return Metadata(15, _types(body.types), _pallets(body.pallets), extrinsic, apis)


def _types(rows: list[PortableType]) -> tuple[TypeInfo, ...]:
    if any(row.id != position for position, row in enumerate(rows)):
        raise BadMetadata("the types of the metadata are not numbered from 0 in order")
    return tuple(row.type for row in rows)


def _pallets(rows: list[PalletV14] | list[PalletV15]) -> dict[str, Pallet]:
    return {
        row.name: Pallet(
            name=row.name,
            index=row.index,
            prefix=row.storage.prefix if row.storage else row.name,
            storage={entry.name: entry for entry in row.storage.entries} if row.storage else {},
            constants={constant.name: constant for constant in row.constants},
            calls=row.calls,
            event=row.event,
            error=row.error,
        )
        for row in rows
    }
