"""SCALE types of Identity, with the paths wallets look for.

Source: `pallet_identity::types`; the fields of an identity are those of the People chains.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from aitoken.codec.base import Codec, DecodeError, EncodeError, Field, Shape, Variant, Variants, path_of, truncated
from aitoken.codec.hints import Bytes20, MaxLen, TypeName, codec_of, u32, u64, u128
from aitoken.codec.primitives import FixedBytes
from aitoken.codec.records import Record, Union, plain_enum, record
from aitoken.types import AccountId, Balance
from chain.frame.types import CompactU32

RAW_MAX: Final = 32
"""Most bytes of a text in an identity."""
HASH_KINDS: Final = ("BlakeTwo256", "Sha256", "Keccak256", "ShaThree256")
REGISTRARS_MAX: Final = 20
SUBS_MAX: Final = 100

NOTHING: Final = b"\x00"
"""A field of an identity that says nothing."""


@plain_enum("pallet_identity::pallet::HoldReason")
class IdentityHoldReason(IntEnum):
    """Why Identity holds money."""

    Deposit = 0


def text(value: str) -> bytes:
    """Return a field that says `value`, at most 32 bytes of UTF-8.

    Raises:
        EncodeError: it is longer.
    """
    raw = value.encode()
    if len(raw) > RAW_MAX:
        raise EncodeError(f"an identity has texts of at most {RAW_MAX} bytes")
    return bytes((len(raw) + 1,)) + raw


def _size(kind: int) -> int:
    """Return how many bytes follow the first of a field."""
    return kind - 1 if kind <= RAW_MAX + 1 else RAW_MAX


def _read_data(data: bytes, offset: int) -> tuple[bytes, int]:
    if offset >= len(data):
        raise truncated(1, data, offset)
    kind = data[offset]
    if kind > RAW_MAX + 1 + len(HASH_KINDS):
        raise DecodeError(f"no identity data of kind {kind}")
    end = offset + 1 + (0 if kind == 0 else _size(kind))
    if end > len(data):
        raise truncated(end - offset, data, offset)
    return data[offset:end], end


def _encode_data(value: bytes) -> bytes:
    if _read_data(value, 0)[1] != len(value):
        raise EncodeError("bytes left over behind identity data")
    return value


def _data_shape() -> Shape:
    variants = [Variant("None", 0)]
    variants += [Variant(f"Raw{size}", size + 1, (Field(FixedBytes(size)),)) for size in range(RAW_MAX + 1)]
    variants += [Variant(name, RAW_MAX + 2 + at, (Field(FixedBytes(32)),)) for at, name in enumerate(HASH_KINDS)]
    return Shape(Variants(tuple(variants)), path=path_of("pallet_identity::types::Data"))


DATA: Final[Codec[bytes]] = Codec(_encode_data, _read_data, default=lambda: NOTHING, size_min=1, shape=_data_shape)
Data = Annotated[bytes, DATA, TypeName("Data")]
"""A field of an identity: nothing, a text, or a hash. Its value here is its encoding; the chain never looks inside."""

RegistrarIndex = Annotated[int, u32, TypeName("RegistrarIndex")]
CompactRegistrarIndex = Annotated[CompactU32, TypeName("RegistrarIndex")]
PlainBalance = Annotated[Balance, codec_of(u128), TypeName("Balance")]
IdentityFields = Annotated[
    int, u64, TypeName("<T::IdentityInformation as IdentityInformationProvider>::FieldsIdentifier")
]


@record("aitoken_runtime::people::IdentityInfo")
class IdentityInfo(Record):
    """What somebody says of itself."""

    display: Data
    legal: Data
    web: Data
    matrix: Data
    email: Data
    pgp_fingerprint: Annotated[Bytes20 | None, TypeName("Option<[u8; 20]>")]
    image: Data
    twitter: Data
    github: Data
    discord: Data


class Judgement(Union, path="pallet_identity::types::Judgement", params={"Balance": u128}):
    """What a registrar thinks of an identity."""


class Unknown(Judgement, index=0):
    """Nothing."""


class FeePaid(Judgement, index=1, unnamed=True):
    """It was asked, and this is held for it."""

    fee: PlainBalance


class Reasonable(Judgement, index=2):
    """It looks right."""


class KnownGood(Judgement, index=3):
    """It is right."""


class OutOfDate(Judgement, index=4):
    """It was right."""


class LowQuality(Judgement, index=5):
    """It is imprecise."""


class Erroneous(Judgement, index=6):
    """It is wrong, and looks like a lie; only clearing the identity takes that away."""


AnyJudgement = Annotated[Judgement, TypeName("Judgement<BalanceOf<T>>")]


@record("pallet_identity::types::Registration", {"Balance": u128, "MaxJudgements": None, "IdentityInfo": IdentityInfo})
class Registration(Record):
    """An identity: judgements in the order of registrars, what is held for it, and what it says."""

    judgements: Annotated[
        list[tuple[RegistrarIndex, Judgement]],
        MaxLen(REGISTRARS_MAX),
        TypeName("BoundedVec<(RegistrarIndex, Judgement<Balance>), MaxJudgements>"),
    ]
    deposit: PlainBalance
    info: Annotated[IdentityInfo, TypeName("IdentityInfo")]


@record("pallet_identity::types::RegistrarInfo", {"Balance": u128, "AccountId": AccountId, "IdField": u64})
class RegistrarInfo(Record):
    """Who judges identities, for which fee, and which fields it looks at (a bit each)."""

    account: Annotated[AccountId, TypeName("AccountId")]
    fee: PlainBalance
    fields: Annotated[int, u64, TypeName("IdField")]


Registrars = Annotated[
    list[RegistrarInfo | None],
    MaxLen(REGISTRARS_MAX),
    TypeName("BoundedVec<Option<RegistrarInfo<BalanceOf<T>, T::AccountId, FieldsIdentifier>>, T::MaxRegistrars>"),
]
Subs = Annotated[list[AccountId], MaxLen(SUBS_MAX), TypeName("BoundedVec<T::AccountId, T::MaxSubAccounts>")]
NamedSubs = Annotated[list[tuple[AccountId, Data]], TypeName("Vec<(T::AccountId, Data)>")]
