"""SCALE types of the framework, with the paths and names clients look for."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, Final, cast

from aitoken.codec.base import Codec, DecodeError, EncodeError, Field, Shape, Variant, Variants, path_of, truncated
from aitoken.codec.containers import UNIT
from aitoken.codec.hints import COMPACT, TypeName, codec_of, u8, u32, u64, u128
from aitoken.codec.primitives import ACCOUNT_ID, U32, U64, Bytes, Compact, FixedBytes, Str, newtype
from aitoken.codec.records import Record, Union, plain_enum, record
from aitoken.types import AccountId, Balance, Hash32
from chain.frame.errors import CannotLookup

CompactBalance = Annotated[Balance, COMPACT]
CompactMoment = Annotated[int, Compact(U64), TypeName("T::Moment")]
CompactU32 = Annotated[int, Compact(U32), TypeName("u32")]
CompactU64 = Annotated[int, Compact(U64), TypeName("u64")]

PERBILL: Final = newtype("sp_arithmetic::per_things::Perbill", U32, type_name="u32")
PERMILL: Final = newtype("sp_arithmetic::per_things::Permill", U32, type_name="u32")
Perbill = Annotated[int, PERBILL, TypeName("Perbill")]
CompactPerbill = Annotated[int, Compact(PERBILL), TypeName("Perbill")]
Permill = Annotated[int, PERMILL, TypeName("Permill")]
Percent = Annotated[int, newtype("sp_arithmetic::per_things::Percent", codec_of(u8), type_name="u8")]
FixedU128 = Annotated[
    int, newtype("sp_arithmetic::fixed_point::FixedU128", codec_of(u128), type_name="u128"), TypeName("Multiplier")
]
"""An integer in units of 10^-18."""

FIXED_ONE: Final = 10**18
PERBILL_ONE: Final = 10**9

Text = Annotated[str, newtype("Cow", Str, type_name="str", params=(("T", Str),)), TypeName("Cow<'static, str>")]
"""A text in a version record, where Substrate has a borrowed string."""


# ------------------------------------------------------------------------------------------------- addresses


def _encode_address(account: AccountId | bytes) -> bytes:
    if len(account) != 32:
        raise EncodeError("an address here is a 32-byte account")
    return b"\x00" + account


class OtherAddress(bytes):
    """The bytes of a well-formed address of another kind than `Id`; `lookup` refuses it."""

    __slots__ = ()


def _read_address(data: bytes, offset: int) -> tuple[bytes, int]:
    end = offset + 33
    if end <= len(data) and data[offset] == 0:
        return data[offset + 1 : end], end
    if offset >= len(data):
        raise truncated(1, data, offset)
    kind = data[offset]
    if kind == 0:
        raise truncated(33, data, offset)
    reader = _ADDRESS_READERS.get(kind)
    if reader is None:
        raise DecodeError(f"no address kind {kind}")
    end = reader.read(data, offset + 1)[1]
    return OtherAddress(data[offset:end]), end


_COMPACT_UNIT: Final = Compact(cast("Codec[int]", UNIT))  # written by nobody, but clients expect it in the registry
_ADDRESS_READERS: Final[dict[int, Codec[Any]]] = {1: UNIT, 2: Bytes, 3: FixedBytes(32), 4: FixedBytes(20)}


def _address_shape() -> Shape:
    variants = (
        Variant("Id", 0, (Field(ACCOUNT_ID, type_name="AccountId"),)),
        Variant("Index", 1, (Field(_COMPACT_UNIT, type_name="AccountIndex"),)),
        Variant("Raw", 2, (Field(Bytes, type_name="Vec<u8>"),)),
        Variant("Address32", 3, (Field(FixedBytes(32), type_name="[u8; 32]"),)),
        Variant("Address20", 4, (Field(FixedBytes(20), type_name="[u8; 20]"),)),
    )
    return Shape(
        Variants(variants),
        path=path_of("sp_runtime::multiaddress::MultiAddress"),
        params=(("AccountId", ACCOUNT_ID), ("AccountIndex", UNIT)),
    )


ADDRESS: Final[Codec[bytes]] = Codec(
    _encode_address, _read_address, default=lambda: bytes(32), size_min=1, shape=_address_shape
)
LookupSource = Annotated[AccountId, ADDRESS, TypeName("AccountIdLookupOf<T>")]
"""An address as wallets send it. Kind `Id` is read as the bare account, anything else as `OtherAddress`."""


def lookup(address: AccountId) -> AccountId:
    """Return the account an address names.

    Raises:
        CannotLookup: the address is not of kind `Id`.
    """
    if isinstance(address, OtherAddress):
        raise CannotLookup
    return address


def _no_values(*_: object) -> Any:
    raise EncodeError("a type that metadata only describes")


def described(shape: Shape) -> Codec[Any]:
    """Return a codec that only describes a type in metadata."""
    return Codec(_no_values, _no_values, default=_no_values, size_min=1, shape=lambda: shape)


class MultiSignature(Union, path="sp_runtime::MultiSignature"):
    """A signature of one of the kinds that wallets make."""


class Ed25519Signature(MultiSignature, index=0, name="Ed25519", unnamed=True):
    """By an ed25519 key."""

    signature: Annotated[bytes, FixedBytes(64), TypeName("ed25519::Signature")]


class Sr25519Signature(MultiSignature, index=1, name="Sr25519", unnamed=True):
    """By an sr25519 key."""

    signature: Annotated[bytes, FixedBytes(64), TypeName("sr25519::Signature")]


class EcdsaSignature(MultiSignature, index=2, name="Ecdsa", unnamed=True):
    """By a key of a kind that has no accounts here; never valid."""

    signature: Annotated[bytes, FixedBytes(65), TypeName("ecdsa::Signature")]


MULTI_SIGNATURE: Final = codec_of(MultiSignature)


# ------------------------------------------------------------------------------------------------- weights


@plain_enum("frame_support::dispatch::DispatchClass")
class DispatchClass(IntEnum):
    """Which share of the block a call may use."""

    Normal = 0
    Operational = 1
    Mandatory = 2


@plain_enum("frame_support::dispatch::Pays")
class Pays(IntEnum):
    """Whether the caller pays a fee."""

    Yes = 0
    No = 1


@record("sp_weights::weight_v2::Weight")
class Weight(Record):
    """Computation in picoseconds of a reference machine; proof size is always 0 here."""

    ref_time: CompactU64
    proof_size: CompactU64


@record("sp_weights::RuntimeDbWeight")
class RuntimeDbWeight(Record):
    """What one read and one write of the state weigh."""

    read: u64
    write: u64


@record("frame_system::DispatchEventInfo")
class DispatchEventInfo(Record):
    """Weight, class and fee of an extrinsic, as its last event tells."""

    weight: Weight
    class_: DispatchClass
    pays_fee: Pays


@record("frame_support::dispatch::PerDispatchClass", {"T": Weight})
class PerClassWeight(Record):
    """A weight per dispatch class."""

    normal: Weight
    operational: Weight
    mandatory: Weight


@record("frame_support::dispatch::PerDispatchClass", {"T": u32})
class PerClassU32(Record):
    """A number per dispatch class."""

    normal: u32
    operational: u32
    mandatory: u32


@record("frame_system::limits::WeightsPerClass")
class WeightsPerClass(Record):
    """Weight limits of one dispatch class."""

    base_extrinsic: Weight
    max_extrinsic: Weight | None
    max_total: Weight | None
    reserved: Weight | None


@record("frame_support::dispatch::PerDispatchClass", {"T": WeightsPerClass})
class PerClassLimits(Record):
    """Weight limits per dispatch class."""

    normal: WeightsPerClass
    operational: WeightsPerClass
    mandatory: WeightsPerClass


@record("frame_system::limits::BlockWeights")
class BlockWeights(Record):
    """What a block may weigh."""

    base_block: Weight
    max_block: Weight
    per_class: PerClassLimits


@record("frame_system::limits::BlockLength")
class BlockLength(Record):
    """How long the extrinsics of a block may be."""

    max: PerClassU32


# ------------------------------------------------------------------------------------------------- accounts

NEW_LOGIC: Final = 1 << 127
"""Set in the flags of every account: balances follow the rules of holds and freezes."""


@record("frame_system::AccountInfo")
class AccountInfo(Record):
    """An account. Flat in memory; metadata shows the last four fields as the nested `AccountData`."""

    nonce: u32
    consumers: u32
    providers: u32
    sufficients: u32
    free: u128
    reserved: u128
    frozen: u128
    flags: u128


EXTRA_FLAGS: Final = newtype("pallet_balances::types::ExtraFlags", codec_of(u128), type_name="u128")


@record("pallet_balances::types::AccountData", {"Balance": u128})
class AccountData(Record):
    """The balance of an account, as metadata shows it."""

    free: Annotated[int, codec_of(u128), TypeName("Balance")]
    reserved: Annotated[int, codec_of(u128), TypeName("Balance")]
    frozen: Annotated[int, codec_of(u128), TypeName("Balance")]
    flags: Annotated[int, EXTRA_FLAGS, TypeName("ExtraFlags")]


@record("frame_system::AccountInfo", {"Nonce": u32, "AccountData": AccountData})
class _NestedAccountInfo(Record):
    nonce: Annotated[int, codec_of(u32), TypeName("Nonce")]
    consumers: Annotated[int, codec_of(u32), TypeName("RefCount")]
    providers: Annotated[int, codec_of(u32), TypeName("RefCount")]
    sufficients: Annotated[int, codec_of(u32), TypeName("RefCount")]
    data: AccountData


def _flat_account_codec() -> Codec[AccountInfo]:
    flat = codec_of(AccountInfo)
    return Codec(
        flat.encode,
        flat.read,
        default=lambda: AccountInfo(0, 0, 0, 0, 0, 0, 0, NEW_LOGIC),
        size_min=flat.size_min,
        shape=codec_of(_NestedAccountInfo).shape,
    )


ACCOUNT_INFO: Final = _flat_account_codec()
StoredAccount = Annotated[AccountInfo, ACCOUNT_INFO]

ZERO_HASH: Final = Hash32(bytes(32))


# ------------------------------------------------------------------------------------------------- versions


@record("sp_version::RuntimeVersion")
class RuntimeVersion(Record):
    """Which runtime this is. `apis` are (first 8 bytes of blake2b-64 of the name, version)."""

    spec_name: Text
    impl_name: Text
    authoring_version: u32
    spec_version: u32
    impl_version: u32
    apis: Annotated[
        list[tuple[Annotated[bytes, FixedBytes(8)], u32]],
        newtype(
            "Cow",
            codec_of(list[tuple[Annotated[bytes, FixedBytes(8)], u32]]),
            type_name="[([u8; 8], u32)]",
            params=(("T", codec_of(list[tuple[Annotated[bytes, FixedBytes(8)], u32]])),),
        ),
        TypeName("ApisVec"),
    ]
    transaction_version: u32
    system_version: u8


@record("frame_system::LastRuntimeUpgradeInfo")
class LastRuntimeUpgradeInfo(Record):
    """The runtime that built the last block."""

    spec_version: Annotated[int, Compact(U32), TypeName("codec::Compact<u32>")]
    spec_name: Text
