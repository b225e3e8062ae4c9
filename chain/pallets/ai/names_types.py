"""SCALE types of Names."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from aitoken.codec.hints import MaxLen, TypeName, u64
from aitoken.codec.records import Record, Union, plain_enum, record
from aitoken.names import LENGTH_MAX, SKELETON_MAX
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment
from chain.pallets.ai.agenda import Place
from chain.pallets.ai.pay_types import Payee

RESERVED_MAX: Final = 64
"""Most names one call reserves."""

Name = Annotated[bytes, MaxLen(LENGTH_MAX), TypeName("BoundedVec<u8, MaxLength>")]
Skeleton = Annotated[bytes, MaxLen(SKELETON_MAX), TypeName("BoundedVec<u8, MaxSkeleton>")]
DOMAIN_MAX: Final = 64
ATTESTATIONS_MAX: Final = 4
Domain = Annotated[bytes, MaxLen(DOMAIN_MAX), TypeName("BoundedVec<u8, MaxDomain>")]
Attestations = Annotated[list[Hash32], MaxLen(ATTESTATIONS_MAX), TypeName("BoundedVec<Uid>")]
NameList = Annotated[list[Name], MaxLen(RESERVED_MAX), TypeName("BoundedVec<Name>")]


@plain_enum("pallet_names::pallet::HoldReason")
class NamesHoldReason(IntEnum):
    """Why Names holds money."""

    Deposit = 0
    Bond = 1


@plain_enum("pallet_names::Danger")
class Danger(IntEnum):
    """What wallets warn of."""

    Impersonation = 0
    Phishing = 1
    Fraud = 2
    StolenKey = 3
    Other = 4


class Subject(Union, path="pallet_names::Subject"):
    """What a warning is about."""


class OfName(Subject, index=0, name="Name", unnamed=True):
    """A name."""

    name: Name


class OfAccount(Subject, index=1, name="Account", unnamed=True):
    """An account."""

    who: AccountId


class OfProvider(Subject, index=2, name="Provider", unnamed=True):
    """A provider."""

    provider: u64


class Case(Union, path="pallet_names::Case"):
    """What the committee decides about."""


class NameCase(Case, index=0, name="Name", unnamed=True):
    """Whether a name is an impersonation."""

    name: Name


class WarningCase(Case, index=1, name="Warning", unnamed=True):
    """Whether a warning is wrong."""

    subject: Subject


@record("pallet_names::Objection")
class Objection(Record):
    """A challenge of a name, or an appeal against a warning.

    Attributes:
        bond: held of `who` until it is decided.
        until: when it is over if nobody decides.
    """

    who: AccountId
    bond: Balance
    evidence: Hash32
    until: Moment


class Reservation(Union, path="pallet_names::Reservation"):
    """Who may register a name and what looks like it."""


class Nobody(Reservation, index=0):
    """Nobody."""


class For(Reservation, index=1, unnamed=True):
    """This account, and only the name itself."""

    who: AccountId


class Everybody(Reservation, index=2):
    """Everybody: there is no reservation."""


@record("pallet_names::Reserved")
class Reserved(Record):
    """A name that is not for everybody; None is nobody."""

    name: Name
    holder: AccountId | None


@record("pallet_names::Commitment")
class Commitment(Record):
    """What somebody will register."""

    hash: Hash32
    number: BlockNumber
    time: Moment
    deposit: Balance


@record("pallet_names::Vouched")
class Vouched(Record):
    """A domain in the internet, and attestations that the owner of a name, or the provider it means, has it.

    Attributes:
        domain: its name, in lower case and without a final dot; each attestation has the blake2b-256 of it.
        attestations: of issuers of domains, two at least.
    """

    domain: Domain
    attestations: Attestations


@record("pallet_names::Badge")
class Badge(Record):
    """What wallets show beside a name."""

    vouched: Vouched
    since: Moment


@record("pallet_names::Registration")
class Registration(Record):
    """A name.

    Attributes:
        owner: may do with it what it wants; the deposit is held of it.
        target: whom it names.
        expires: until when it is paid for; after that its owner has the grace to renew it.
        frozen: it lost a challenge and names nobody any more.
        badge: the domain that vouches for what it means.
        place: where it stands in the agenda.
    """

    owner: AccountId
    target: Payee
    expires: Moment
    deposit: Balance
    challenge: Objection | None
    frozen: bool
    badge: Badge | None
    place: Place


@record("pallet_names::Warning")
class Alert(Record):
    """What wallets show in red."""

    danger: Danger
    evidence: Hash32
    until: Moment
    appeal: Objection | None
    place: Place


@record("pallet_names::Warned")
class Warned(Record):
    """A warning that counts now, for whoever looks a name up."""

    subject: Subject
    danger: Danger
    evidence: Hash32
    until: Moment
    appealed: bool


@record("pallet_names::Found")
class Found(Record):
    """What wallets show of a name.

    Attributes:
        usable: it means its target now: it has not expired, and is not frozen.
        disputed: a challenge is being decided.
        domain: what vouches for it now.
        warnings: of the name, its owner, or the account or provider it means.
    """

    owner: AccountId
    target: Payee
    expires: Moment
    usable: bool
    frozen: bool
    disputed: bool
    domain: Annotated[bytes | None, TypeName("Option<BoundedVec<u8, MaxDomain>>")]
    warnings: Annotated[list[Warned], MaxLen(3), TypeName("Vec<Warned>")]


@record("pallet_names::Alike")
class Alike(Record):
    """A name that is somebody's and looks like another, or is it."""

    name: Name
    owner: AccountId
