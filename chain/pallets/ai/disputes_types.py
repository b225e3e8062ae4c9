"""SCALE types of Disputes."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from aitoken.codec.hints import Bytes32, MaxLen, TypeName, u16, u32, u64
from aitoken.codec.records import Record, Union, plain_enum, record
from aitoken.types import AccountId, Balance, Hash32, Moment
from chain.pallets.ai.agenda import Place

PANELS: Final = (3, 9)
"""Seats of the first panel and of the appeal's."""
RECEIPTS_MAX: Final = 16

Award = Annotated[int, u16, TypeName("Award")]
"""The part of the amount that goes to the claimant, in hundredths of a percent."""


@plain_enum("pallet_disputes::pallet::HoldReason")
class DisputesHoldReason(IntEnum):
    """Why Disputes holds money."""

    Stake = 0
    Bond = 1
    Offer = 2
    Deposit = 3


class Subject(Union, path="pallet_disputes::Subject"):
    """What was paid and is complained about."""


class OfSession(Subject, index=0, name="Session", unnamed=True):
    """A session, as a whole."""

    session: Hash32


class OfSubscription(Subject, index=1, name="Subscription"):
    """One period of a subscription."""

    subscription: u64
    period: u32


class Phase(Union, path="pallet_disputes::Phase"):
    """Where a case stands. Each phase ends by a deadline or an epoch, whoever is silent."""


class Opened(Phase, index=0):
    """The provider may answer; silence gives the claimant everything."""

    until: Moment


class Drawing(Phase, index=1):
    """A panel is drawn from the seed of this epoch, which begins after the answer."""

    epoch: u64


class Committing(Phase, index=2):
    """The panel commits to its votes."""

    until: Moment


class Revealing(Phase, index=3):
    """The panel reveals them."""

    until: Moment


class Ruled(Phase, index=4):
    """The panel has spoken; the award is paid at this time unless somebody appeals."""

    award: Award
    until: Moment


class Ended(Phase, index=5):
    """It is over; the claimant was paid this much."""

    paid: Balance


@record("pallet_disputes::Stake")
class Stake(Record):
    """Money that somebody put behind a case."""

    who: AccountId
    amount: Balance


@record("pallet_disputes::Seat")
class Seat(Record):
    """An arbiter of a panel, what it committed to, and what it revealed."""

    arbiter: AccountId
    commitment: Bytes32 | None
    vote: u16 | None


@record("pallet_disputes::Arbiter")
class Arbiter(Record):
    """Somebody who judges: its stake, and on how many panels it sits."""

    stake: Balance
    seats: u32


@record("pallet_disputes::Case")
class Case(Record):
    """A complaint of a payer against a provider.

    Attributes:
        amount: what is asked back.
        evidence: root of what the claimant shows, off the chain.
        answer: root of what the provider shows; None until it answers.
        bond: the claimant's.
        answer_bond: the provider's, with who put it down.
        offer: what the provider offers to settle, held of who offers.
        appeal: the bond of who appealed.
        ruling: what the first panel said, once there is an appeal.
        former: the first panel, which does not sit again.
        place: where it stands in the agenda.
    """

    subject: Subject
    claimant: AccountId
    provider: u64
    amount: Balance
    evidence: Hash32
    answer: Hash32 | None
    phase: Phase
    bond: Balance
    answer_bond: Stake | None
    offer: Stake | None
    appeal: Stake | None
    ruling: u16 | None
    former: Annotated[list[AccountId], MaxLen(PANELS[0]), TypeName("BoundedVec<T::AccountId>")]
    place: Place
    deposit: Balance


Panel = Annotated[list[Seat], MaxLen(PANELS[1]), TypeName("BoundedVec<Seat>")]
Receipts = Annotated[list[Hash32], MaxLen(RECEIPTS_MAX), TypeName("BoundedVec<Hash>")]
