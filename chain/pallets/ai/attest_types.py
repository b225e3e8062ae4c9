"""SCALE types of Attest."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from aitoken.codec.hints import Bytes32, MaxLen, TypeName, codec_of, u32, u64
from aitoken.codec.primitives import FixedBytes
from aitoken.codec.records import Record, Union, plain_enum, record
from aitoken.crypto.blind_rsa import SIZE
from aitoken.types import AccountId, Balance, Hash32, Moment
from chain.frame.types import MultiSignature

NAME_MAX: Final = 64
LIST_MAX: Final = 64
"""Most attestations one call makes, revokes or removes."""
KEYS_A_PERSON: Final = 8
"""Most issuers that vouch for one account in one scope."""

SchemaId = Annotated[int, u32, TypeName("SchemaId")]
KeyId = Annotated[int, u32, TypeName("KeyId")]
Scope = Annotated[Bytes32, TypeName("Scope")]
Nullifier = Annotated[Bytes32, TypeName("Nullifier")]
Uid = Annotated[Hash32, TypeName("Uid")]
Modulus = Annotated[bytes, FixedBytes(SIZE), TypeName(f"[u8; {SIZE}]")]
Token = Annotated[bytes, FixedBytes(SIZE), TypeName(f"[u8; {SIZE}]")]
SchemaName = Annotated[bytes, MaxLen(NAME_MAX), TypeName("BoundedVec<u8, MaxName>")]


@plain_enum("pallet_attest::pallet::HoldReason")
class AttestHoldReason(IntEnum):
    """Why Attest holds money."""

    Stake = 0
    Deposit = 1
    Funded = 2


@plain_enum("pallet_attest::Class")
class Class(IntEnum):
    """What an issuer can vouch for, with a stake for each."""

    Kyc = 0
    Personhood = 1
    Quality = 2
    Domain = 3
    Education = 4
    Audit = 5


@record("pallet_attest::Schema")
class Schema(Record):
    """What an attestation says.

    Attributes:
        fields: hash of the description of what `data` of an attestation is the hash of.
        class_: issuers of this class may use it, and nobody else; None for anybody.
        uses: how many attestations there are.
    """

    owner: AccountId
    name: SchemaName
    fields: Bytes32
    class_: Class | None
    uses: u32
    deposit: Balance


# ------------------------------------------------------------------------------------------------- issuers


class Standing(Union, path="pallet_attest::Standing"):
    """Whether an issuer's word counts."""


class Waiting(Standing, index=0):
    """Root has not said."""


class Accepted(Standing, index=1):
    """It counts. One key of it lets in so many persons at most."""

    cap: u32


class Suspended(Standing, index=2):
    """It does not count, nor does what it has said before."""


class Leaving(Standing, index=3):
    """It does not count any more, and its stake is free from then on."""

    until: Moment


@record("pallet_attest::Issuer")
class Issuer(Record):
    """Who vouches: its stake for one class, and the hash of how it works."""

    stake: Balance
    method: Bytes32
    standing: Standing


class Verdict(Union, path="pallet_attest::Verdict"):
    """What root does about an issuer."""


class Accept(Verdict, index=0):
    """Its word counts; one key of it lets in so many persons at most."""

    cap: u32


class Suspend(Verdict, index=1):
    """Nothing it says counts, until it is accepted again."""


class Slash(Verdict, index=2):
    """So much of its stake is burned, and it is suspended."""

    amount: Balance


# ------------------------------------------------------------------------------------------------- attestations


class Subject(Union, path="pallet_attest::Subject"):
    """What an attestation is about."""


class OfAccount(Subject, index=0, name="Account", unnamed=True):
    """An account."""

    account: AccountId


class OfProvider(Subject, index=1, name="Provider", unnamed=True):
    """A provider of AI services."""

    provider: u64


class OfHash(Subject, index=2, name="Hash", unnamed=True):
    """Whatever has this hash: a model, a document, a name."""

    hash: Bytes32


@record("pallet_attest::Statement")
class Statement(Record):
    """What an issuer says.

    Attributes:
        data: hash of what is said; for a domain, blake2-256 of its name in lower case.
        expires: until when it counts.
        reference: an attestation it builds on.
    """

    schema: SchemaId
    subject: Subject
    data: Bytes32
    expires: Moment
    reference: Uid | None


Statements = Annotated[list[Statement], MaxLen(LIST_MAX), TypeName("BoundedVec<Statement, MaxList>")]
STATEMENTS: Final = codec_of(Statements)
STATEMENT: Final = codec_of(Statement)


@record("pallet_attest::SignedBy")
class SignedBy(Record):
    """Whose statements these are, where somebody else hands them in."""

    issuer: AccountId
    signature: MultiSignature


@record("pallet_attest::Attestation")
class Attestation(Record):
    """A statement as the chain keeps it; who handed it in has a deposit held for it."""

    schema: SchemaId
    issuer: AccountId
    data: Bytes32
    issued: Moment
    expires: Moment
    reference: Uid | None
    revoked: bool
    depositor: AccountId


Place = Annotated[tuple[Subject, Uid], TypeName("(Subject, Uid)")]
Places = Annotated[list[tuple[Subject, Uid]], MaxLen(LIST_MAX), TypeName("BoundedVec<(Subject, Uid), MaxList>")]


# ------------------------------------------------------------------------------------------------- persons


@record("pallet_attest::IssuerKey")
class IssuerKey(Record):
    """A key with which an issuer signs blindly: once for each person.

    Attributes:
        scope: what a person is counted in: a campaign, a vote, everything.
        since, until: when tokens of it are taken, and the accounts they name count as persons.
        cap: most persons.
        used: how many tokens were taken; what is left of the cap has its fees put down.
        kept: how many nullifiers are remembered.
    """

    issuer: AccountId
    scope: Scope
    modulus: Modulus
    since: Moment
    until: Moment
    cap: u32
    used: u32
    kept: u32
    deposit: Balance


KeyList = Annotated[list[KeyId], MaxLen(KEYS_A_PERSON), TypeName("BoundedVec<KeyId, MaxKeys>")]
Nullifiers = Annotated[list[Nullifier], MaxLen(LIST_MAX), TypeName("BoundedVec<Nullifier, MaxList>")]


class Past(Union, path="pallet_attest::Past"):
    """What is over and can be forgotten."""


class PastAttestations(Past, index=0, name="Attestations", unnamed=True):
    """Attestations that have expired."""

    places: Places


class PastPersons(Past, index=1, name="Persons"):
    """Nullifiers of a key whose time is over; the key goes with the last of them."""

    key: KeyId
    nullifiers: Nullifiers


class PastSchema(Past, index=2, name="Schema", unnamed=True):
    """A schema without attestations, by its owner."""

    schema: SchemaId
