"""The digest of the metadata, which a wallet signs that has to trust what it shows of a transaction.

A hardware wallet knows no chain. It is sent the types a transaction needs, each with a proof that it belongs to the
digest; it signs the digest with the transaction, and the chain accepts the signature only if that is its own. So who
sends it wrong types gets a signature that is worth nothing.

The types the transaction format reaches, in the order of their ids in metadata V15 and numbered anew without gaps,
are the leaves of a Merkle tree; every variant of an enumeration is a leaf of its own. The digest covers root, format
and what a wallet shows amounts and addresses with. All hashes are BLAKE3.

Source: Polkadot RFC 78, merkleized metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from blake3 import blake3

from aitoken.codec.base import (
    AnyCodec,
    ArrayOf,
    CompactOf,
    Composite,
    Field,
    Primitive,
    SequenceOf,
    Shape,
    TupleOf,
    Variants,
    compact_encode,
)
from aitoken.codec.primitives import Str
from aitoken.codec.registry import optional_string, strings
from aitoken.errors import Bug
from aitoken.types import TOKEN_DECIMALS, Hash32
from chain.frame.extensions import EXTENSIONS
from chain.frame.metadata import EXTRINSIC_VERSION, MetadataWriter

if TYPE_CHECKING:
    from aitoken.codec.registry import Registry
    from chain.frame.schema import Schema

DIGEST_VERSION: Final = 1

_U8: Final = 3
"""The first of the unsigned numbers among the primitive types."""
_COMPACT_U8: Final = 15
_VOID: Final = b"\x15"
_BY_ID: Final = b"\x16"


def metadata_digest(schema: Schema) -> Hash32:
    """Return the digest of a runtime's metadata. Cost: about as much as writing the metadata."""
    writer = MetadataWriter(schema)
    writer.write(15)
    types = Types(writer.registry)
    call, address, signature = (_parameter(writer.extrinsic, name) for name in ("Call", "Address", "Signature"))
    for codec in (call, address, signature):
        types.reach(codec)
    for extension in EXTENSIONS:
        types.reach(extension.explicit)
        types.reach(extension.implicit)
    root = merkle_root(types.leaves())
    extensions = [
        Str.encode(each.identifier) + types.reference(each.explicit) + types.reference(each.implicit)
        for each in EXTENSIONS
    ]
    extrinsic = b"".join(
        (
            bytes((EXTRINSIC_VERSION,)),
            types.reference(address),
            types.reference(call),
            types.reference(signature),
            compact_encode(len(extensions)),
            *extensions,
        )
    )
    return _hash(
        b"".join(
            (
                bytes((DIGEST_VERSION,)),
                root,
                _hash(extrinsic),
                schema.version.spec_version.to_bytes(4, "little"),
                Str.encode(schema.version.spec_name),
                schema.params.ss58_prefix.to_bytes(2, "little"),
                bytes((TOKEN_DECIMALS,)),
                Str.encode(schema.params.symbol),
            )
        )
    )


def merkle_root(leaves: Sequence[bytes]) -> Hash32:
    """Return the root of the complete binary tree over `leaves`; 32 zero bytes over none.

    Node n has the children 2n + 1 and 2n + 2; the leaves are the last nodes, in their order.
    """
    if not leaves:
        return Hash32(bytes(32))
    inner = len(leaves) - 1
    nodes = [b""] * inner + [_hash(leaf) for leaf in leaves]
    for parent in range(inner - 1, -1, -1):
        nodes[parent] = _hash(nodes[2 * parent + 1] + nodes[2 * parent + 2])
    return Hash32(nodes[0])


def _hash(data: bytes) -> Hash32:
    return Hash32(blake3(data).digest())


def _parameter(extrinsic: Shape, name: str) -> AnyCodec:
    codec = dict(extrinsic.params)[name]
    if codec is None:
        raise Bug(f"the extrinsic has no {name}")
    return codec


class Types:
    """The types that are reached, by their ids in the registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._reached: set[int] = set()
        self._numbers: dict[int, int] = {}

    def reach(self, codec: AnyCodec) -> None:
        """Collect a type and all it is made of; what is empty, a primitive or compact has no leaf."""
        number = self._registry.id_of(codec)
        parts = _parts(self._registry.shape_of(number))
        if parts is None or number in self._reached:
            return
        self._reached.add(number)
        for part in parts:
            self.reach(part)

    def leaves(self) -> list[bytes]:
        """Number what has been reached and encode it."""
        self._numbers = {number: position for position, number in enumerate(sorted(self._reached))}
        leaves = []
        for number, position in self._numbers.items():
            shape = self._registry.shape_of(number)
            path, end = strings(shape.path), compact_encode(position)
            leaves += [path + definition + end for definition in self._definitions(shape)]
        return leaves

    def reference(self, codec: AnyCodec) -> bytes:
        """Encode how a type is named by one that is made of it."""
        number = self._registry.id_of(codec)
        match self._registry.shape_of(number).definition:
            case Primitive(kind):
                return bytes((kind,))
            case CompactOf(inner):
                return _compact_reference(inner)
        return _BY_ID + compact_encode(self._numbers[number]) if number in self._numbers else _VOID

    def _definitions(self, shape: Shape) -> list[bytes]:
        match shape.definition:
            case Composite(fields):
                return [b"\x00" + self._fields(fields)]
            case Variants(variants):
                return [
                    b"\x01" + Str.encode(each.name) + self._fields(each.fields) + compact_encode(each.index)
                    for each in sorted(variants, key=lambda variant: variant.index)
                ]
            case SequenceOf(inner):
                return [b"\x02" + self.reference(inner)]
            case ArrayOf(inner, length):
                return [b"\x03" + length.to_bytes(4, "little") + self.reference(inner)]
            case TupleOf(items):
                return [b"\x04" + compact_encode(len(items)) + b"".join([self.reference(item) for item in items])]
        raise Bug(f"a type without a leaf: {shape}")

    def _fields(self, fields: tuple[Field, ...]) -> bytes:
        rows = [
            optional_string(field.name) + self.reference(field.codec) + optional_string(field.type_name)
            for field in fields
        ]
        return compact_encode(len(rows)) + b"".join(rows)


def _parts(shape: Shape) -> list[AnyCodec] | None:
    """Return what a type with a leaf is made of, None for one without."""
    match shape.definition:
        case Composite(fields) if fields:
            return [field.codec for field in fields]
        case Variants(variants) if variants:
            return [field.codec for variant in variants for field in variant.fields]
        case TupleOf(items) if items:
            return list(items)
        case SequenceOf(inner) | ArrayOf(inner, _):
            return [inner]
    return None


def _compact_reference(codec: AnyCodec) -> bytes:
    """Encode the reference to the compact form of a number, which may be wrapped."""
    match codec.shape().definition:
        case Primitive(number):
            return bytes((_COMPACT_U8 + number - _U8,))
        case Composite((field,)):
            return _compact_reference(field.codec)
        case TupleOf((item,)):
            return _compact_reference(item)
    return _VOID
