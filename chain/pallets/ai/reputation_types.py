"""SCALE types of Reputation."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from aitoken.codec.hints import Bytes32, MaxLen, TypeName, u8, u16, u32, u64
from aitoken.codec.records import Record, plain_enum, record
from aitoken.types import AccountId, Balance, Moment

TAGS_MAX: Final = 4
SCORE_MAX: Final = 100

Tags = Annotated[list[u16], MaxLen(TAGS_MAX), TypeName("BoundedVec<u16, MaxTags>")]


@plain_enum("pallet_reputation::pallet::HoldReason")
class ReputationHoldReason(IntEnum):
    """Why Reputation holds money."""

    Deposit = 0


@record("pallet_reputation::Feedback")
class Feedback(Record):
    """What a payer says of a service, after a session it has paid.

    Attributes:
        score: 0 to 100.
        text: hash of what is written about it elsewhere.
        response: hash of the provider's answer.
        weight: what it counts, 0 where the author's burned fees have been counted before.
        person: whether the author was a person then.
        day: of the chain, when it was given; what it counts fades from then on.
        revoked: it does not count any more.
    """

    service: u64
    author: AccountId
    score: u8
    tags: Tags
    text: Bytes32
    response: Bytes32 | None
    weight: u32
    person: bool
    made: Moment
    day: u32
    revoked: bool


@record("pallet_reputation::Burned")
class Burned(Record):
    """The fees an author's rated sessions with one service have burned, and how much feedback there is of it."""

    amount: Balance
    feedbacks: u32


@record("pallet_reputation::Tally")
class Tally(Record):
    """Feedback added up, in millionths of a unit of weight: the weights, and the weights times the scores."""

    weight: u64
    scores: u64


@record("pallet_reputation::Summary")
class Summary(Record):
    """All feedback of a service as of a day, of everybody and of persons only; `count` does not fade."""

    day: u32
    count: u32
    everybody: Tally
    persons: Tally
