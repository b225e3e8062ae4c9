"""SCALE types of Rewards."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from aitoken.codec.hints import MaxLen, TypeName, u8, u16, u32, u64
from aitoken.codec.records import Record, Union, plain_enum, record
from aitoken.types import AccountId, Balance, Hash32, Moment
from chain.pallets.ai.attest_types import Scope

ATTESTERS_MAX: Final = 8
BPS: Final = 10_000
PARTS_MAX: Final = 8
"""How often a sponsor can put money into a campaign between other sponsors."""

Attesters = Annotated[list[AccountId], MaxLen(ATTESTERS_MAX), TypeName("BoundedVec<AccountId>")]


@plain_enum("pallet_rewards::pallet::HoldReason")
class RewardsHoldReason(IntEnum):
    """Why Rewards holds money."""

    Deposit = 0
    Budget = 1
    Stake = 2
    Bond = 3


@plain_enum("pallet_rewards::Kind")
class Kind(IntEnum):
    """What is asked for; the chain treats all alike."""

    Feedback = 0
    Evaluation = 1
    Testing = 2
    BugReport = 3
    Workflow = 4
    Tutorial = 5
    Tool = 6
    Data = 7
    Moderation = 8


@record("pallet_rewards::Decay")
class Decay(Record):
    """Who comes first gets more: the reward falls by `fall` after each `every` submissions, to no less than `least`.

    In hundredths of a percent of the whole reward; `every` 0: it never falls.
    """

    every: u32
    fall: u16
    least: u16


@record("pallet_rewards::Persons")
class Persons(Record):
    """Who may submit: accounts of persons in a scope, for whom so many issuers vouch (the pallet Attest)."""

    scope: Scope
    issuers: u8


@record("pallet_rewards::Terms")
class Terms(Record):
    """What a campaign asks for and pays.

    Attributes:
        task_hash: of the text that says what is to be done.
        per_person: most submissions of one account.
        per_day: most submissions of all in a day (UTC).
        stake: what a submission puts at risk.
        threshold: so many attesters have to agree.
        step_ms: how long each phase lasts: disclosing, voting, revealing, challenging.
        vesting_ms: over how long a reward is paid out; 0 for at once.
        until: nothing can be submitted after this.
        persons: who may submit; none: any account.
    """

    kind: Kind
    task_hash: Hash32
    reward: Balance
    decay: Decay
    per_person: u32
    per_day: u32
    stake: Balance
    threshold: u16
    step_ms: u64
    vesting_ms: u64
    until: Moment
    persons: Persons | None


@record("pallet_rewards::Campaign")
class Campaign(Record):
    """A campaign and where its money is: all of it is held of the owner.

    Attributes:
        left: what is not paid out; `promised` of it belongs to submissions.
        paid: what is paid out: of what was put in first.
        shares: what its sponsors put in, less the parts that were settled after the end.
        joined: which attesters take part, a bit each in the order of the list.
        submitted: how many submissions there were; `today` of them on `day`.
        pending: submissions that may still be paid.
    """

    owner: AccountId
    deposit: Balance
    terms: Terms
    attesters: Attesters
    joined: u16
    left: Balance
    promised: Balance
    paid: Balance
    shares: Balance
    submitted: u32
    day: u32
    today: u32
    pending: u32
    ended: bool


@record("pallet_rewards::Part")
class Part(Record):
    """What a sponsor put in at once, after so much of others."""

    start: Balance
    amount: Balance


Parts = Annotated[list[Part], MaxLen(PARTS_MAX), TypeName("BoundedVec<Part>")]


@record("pallet_rewards::Attester")
class Attester(Record):
    """Who judges work: what it can lose, and what the campaigns it takes part in need of that."""

    stake: Balance
    bound: Balance


@record("pallet_rewards::Vote")
class Vote(Record):
    """What an attester said: sealed first, then open."""

    attester: AccountId
    seal: Hash32
    accepts: bool | None


@record("pallet_rewards::Challenge")
class Challenge(Record):
    """Somebody says that work is a fraud.

    Attributes:
        epoch: the first whose seed may draw the panel.
        seated: since when the panel sits.
        evidence: hash of what jurors should look at.
    """

    who: AccountId
    bond: Balance
    since: Moment
    epoch: u64
    seated: Moment | None
    evidence: Hash32


class Stage(Union, path="pallet_rewards::Stage"):
    """Where a submission stands."""


class Open(Stage, index=0):
    """It is disclosed, judged, may be challenged."""


class Vesting(Stage, index=1):
    """It was accepted then; `paid` of its reward has been paid."""

    since: Moment
    paid: Balance


class Over(Stage, index=2):
    """Nothing of it can be paid any more."""

    paid: Balance


@record("pallet_rewards::Submission")
class Submission(Record):
    """Work that somebody did.

    Attributes:
        seal: what was submitted: see `seal_of`.
        content: the hash of the work, once it is disclosed.
        reward: what is promised for it.
    """

    campaign: u64
    who: AccountId
    deposit: Balance
    seal: Hash32
    since: Moment
    content: Hash32 | None
    reward: Balance
    votes: Annotated[list[Vote], MaxLen(ATTESTERS_MAX), TypeName("BoundedVec<Vote>")]
    challenge: Challenge | None
    stage: Stage


@record("pallet_rewards::Shortfall")
class Shortfall(Record):
    """An attester whose stake is too low for a campaign: what it would need, and what it has."""

    attester: AccountId
    needed: Balance
    stake: Balance


@record("pallet_rewards::Member")
class Member(Record):
    """Who gets a part of the protocol fees it burns.

    Attributes:
        referrer: who brought it here, and gets a part of them too.
        since: when it became a member.
        burned: the fees of which nothing has been shared yet.
    """

    referrer: AccountId | None
    deposit: Balance
    since: Moment
    burned: Balance


@record("pallet_rewards::Granted")
class Granted(Record):
    """What campaigns were given of the pot in an era, and what was in it before."""

    era: u32
    pot: Balance
    given: Balance
