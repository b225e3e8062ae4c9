"""SCALE types of Codes."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from aitoken.codec.hints import Bytes64, MaxLen, TypeName, u8, u32, u64
from aitoken.codec.primitives import FixedBytes
from aitoken.codec.records import Record, Union, plain_enum, record
from aitoken.pay.codes import DEPTH_MAX
from aitoken.types import AccountId, Balance, Hash32, Moment
from chain.pallets.ai.attest_types import Scope

PROVIDERS_MAX: Final = 16
"""Most providers a credit can be spent on."""
PAGE_CODES: Final = 1024
"""Codes whose state is kept in one page, a bit each."""
PAGE_BYTES: Final = PAGE_CODES // 8
VOIDED_MAX: Final = 64
"""Most codes one call makes void."""
WORK_MAX: Final = 32

CodeIndex = Annotated[int, u32, TypeName("CodeIndex")]
Page = Annotated[bytes, FixedBytes(PAGE_BYTES), TypeName(f"[u8; {PAGE_BYTES}]")]
Path = Annotated[list[Hash32], MaxLen(DEPTH_MAX), TypeName("BoundedVec<H256>")]
Indices = Annotated[list[u32], MaxLen(VOIDED_MAX), TypeName("BoundedVec<CodeIndex>")]
Signature64 = Bytes64


@plain_enum("pallet_codes::pallet::HoldReason")
class CodesHoldReason(IntEnum):
    """Why Codes holds money."""

    Deposit = 0
    Funded = 1


class Terms(Union, path="pallet_codes::Terms"):
    """What a code is good for."""


class Tokens(Terms, index=0):
    """Its value is the claimant's, to do with as it likes."""


class Credit(Terms, index=1):
    """Its value stays held of the sponsor; the claimant can have it paid to these providers until then."""

    providers: Annotated[list[u64], MaxLen(PROVIDERS_MAX), TypeName("BoundedVec<u64>")]
    until: Moment


class ForPersons(Terms, index=2):
    """Its value is the claimant's, who has to be a person in a scope by so many issuers' word, and gets one code."""

    scope: Scope
    issuers: u8


@record("pallet_codes::Batch")
class Batch(Record):
    """Codes of one value.

    Attributes:
        sponsor: whose money it is until it is claimed; it is held of this account.
        root: of the tree of the codes' keys.
        used: how many codes were claimed or made void.
        expires: until when codes can be claimed, Unix milliseconds.
        work: zero bits a claim has to show, 0 for none.
        swept: how many codes `close` has looked at so far.
    """

    sponsor: AccountId
    deposit: Balance
    root: Hash32
    value: Balance
    count: u32
    used: u32
    expires: Moment
    work: u8
    terms: Terms
    swept: u32


@record("pallet_codes::Held")
class Held(Record):
    """What a claimant may still spend of a credit; nothing where codes are for persons, only who had one."""

    holder: AccountId
    left: Balance
