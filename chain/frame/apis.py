"""The runtime APIs that belong to no pallet: Core, Metadata, BlockBuilder, TaggedTransactionQueue, SessionKeys.

They are what `state_call` reaches and what V15 metadata describes; names, ids and versions are Substrate's. Building
blocks over RPC is nobody's business here, so those functions are described and refuse to work.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

from aitoken.codec.base import Codec, DecodeError, EncodeError, Field, Shape, Variant, Variants, path_of
from aitoken.codec.containers import Result, fail, ok
from aitoken.codec.hints import TypeName, codec_of, u8, u32, u64
from aitoken.codec.primitives import Bytes, newtype
from aitoken.codec.records import Record, plain_enum, record
from aitoken.proto.extrinsic import Extrinsic
from aitoken.proto.header import HEADER, Header
from aitoken.types import Hash32
from chain.frame.errors import DISPATCH_ERROR, InvalidTransaction, UnknownApi
from chain.frame.metadata import UncheckedExtrinsic
from chain.frame.pallet import runtime_api
from chain.frame.types import RuntimeVersion, described

if TYPE_CHECKING:
    from chain.frame.executive import Executive
    from chain.frame.machine import Machine

OpaqueMetadata = Annotated[bytes, newtype("sp_core::OpaqueMetadata", Bytes, type_name="Vec<u8>")]


@plain_enum("sp_runtime::transaction_validity::TransactionSource")
class TransactionSource(IntEnum):
    """Where a transaction comes from."""

    InBlock = 0
    Local = 1
    External = 2


@record("sp_runtime::transaction_validity::ValidTransaction")
class ValidTransactionRecord(Record):
    """What the pool is told."""

    priority: Annotated[int, codec_of(u64), TypeName("TransactionPriority")]
    requires: Annotated[list[bytes], TypeName("Vec<TransactionTag>")]
    provides: Annotated[list[bytes], TypeName("Vec<TransactionTag>")]
    longevity: Annotated[int, codec_of(u64), TypeName("TransactionLongevity")]
    propagate: bool


def _invalid_shape() -> Shape:
    names = (
        "Call", "Payment", "Future", "Stale", "BadProof", "AncientBirthBlock", "ExhaustsResources", "Custom",
        "BadMandatory", "MandatoryValidation", "BadSigner", "IndeterminateImplicit", "UnknownOrigin",
    )  # fmt: skip
    variants = tuple(
        Variant(name, index, (Field(codec_of(u8), type_name="u8"),) if name == "Custom" else ())
        for index, name in enumerate(names)
    )
    return Shape(Variants(variants), path=path_of("sp_runtime::transaction_validity::InvalidTransaction"))


def _validity_error_codec() -> Codec[Any]:
    invalid = described(_invalid_shape())
    unknown = described(
        Shape(
            Variants(
                (
                    Variant("CannotLookup", 0),
                    Variant("NoUnsignedValidator", 1),
                    Variant("Custom", 2, (Field(codec_of(u8), type_name="u8"),)),
                )
            ),
            path=path_of("sp_runtime::transaction_validity::UnknownTransaction"),
        )
    )
    shape = Shape(
        Variants(
            (
                Variant("Invalid", 0, (Field(invalid, type_name="InvalidTransaction"),)),
                Variant("Unknown", 1, (Field(unknown, type_name="UnknownTransaction"),)),
            )
        ),
        path=path_of("sp_runtime::transaction_validity::TransactionValidityError"),
    )

    def read(*_: object) -> Any:
        raise EncodeError("nobody sends validity errors")

    return Codec(lambda error: error.scale, read, default=lambda: None, size_min=2, shape=lambda: shape)


VALIDITY_ERROR: Final = _validity_error_codec()
_VALIDITY: Final = Result(codec_of(ValidTransactionRecord), VALIDITY_ERROR)
_APPLIED: Final = Result(Result(codec_of(None), DISPATCH_ERROR), VALIDITY_ERROR)
Validity = Annotated[Any, _VALIDITY]
Applied = Annotated[Any, _APPLIED]
HeaderValue = Annotated[Header, HEADER]


class CoreApis:
    """Runtime APIs of the framework itself."""

    def __init__(self, machine: Machine, executive: Executive, metadata: dict[int, bytes]) -> None:
        self._machine = machine
        self._executive = executive
        self._metadata = metadata

    @runtime_api("Core", 5)
    def version(self) -> RuntimeVersion:
        """Returns the version of the runtime."""
        return self._machine.schema.version

    @runtime_api("Metadata", 2)
    def metadata(self) -> OpaqueMetadata:
        """Returns the metadata of a runtime."""
        return self._metadata[14]

    @runtime_api("Metadata", 2)
    def metadata_at_version(self, version: u32) -> OpaqueMetadata | None:
        """Returns the metadata at a given version."""
        return self._metadata.get(version)

    @runtime_api("Metadata", 2)
    def metadata_versions(self) -> list[u32]:
        """Returns the supported metadata versions."""
        return sorted(self._metadata)

    @runtime_api("BlockBuilder", 6)
    def apply_extrinsic(self, extrinsic: UncheckedExtrinsic) -> Applied:  # noqa: ARG002
        """Apply the given extrinsic."""
        raise UnknownApi("blocks are built by validators, not over RPC")

    @runtime_api("BlockBuilder", 6)
    def finalize_block(self) -> HeaderValue:
        """Finish the current block."""
        raise UnknownApi("blocks are built by validators, not over RPC")

    @runtime_api("TaggedTransactionQueue", 3)
    def validate_transaction(
        self,
        source: TransactionSource,  # noqa: ARG002
        tx: UncheckedExtrinsic,
        block_hash: Hash32,
    ) -> Validity:
        """Validate the transaction."""
        try:
            number = self._executive.enter_next_block(block_hash)
            valid = self._executive.validate(Extrinsic(tx), number)
        except InvalidTransaction as error:
            return fail(error)
        except DecodeError:
            return fail(InvalidTransaction())
        return ok(
            ValidTransactionRecord(
                valid.priority, list(valid.requires), list(valid.provides), valid.longevity, valid.propagate
            )
        )
