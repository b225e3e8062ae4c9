"""What Rewards tells and how it fails."""

from __future__ import annotations

from typing import Annotated

from aitoken.codec.hints import TypeName, u64
from aitoken.types import AccountId, Balance, Hash32
from chain.frame.pallet import Err, Errors, Ev, Events
from chain.pallets.ai.rewards_types import Attesters, Terms


class RewardsEvents(Events):
    """What Rewards tells."""

    class AttesterStaked(Ev, index=0):
        """Somebody judges work and has this much at stake."""

        attester: AccountId
        stake: Balance

    class AttesterRetired(Ev, index=1):
        """Somebody no longer judges; its stake is free."""

        attester: AccountId

    class CampaignCreated(Ev, index=2):
        """A campaign pays for work once its attesters have joined."""

        campaign: u64
        owner: AccountId
        terms: Terms
        attesters: Attesters

    class Funded(Ev, index=3):
        """A sponsor put money into a campaign."""

        campaign: u64
        sponsor: AccountId
        amount: Balance

    class Joined(Ev, index=4):
        """An attester stands for a campaign with this much of its stake."""

        campaign: u64
        attester: AccountId
        bound: Balance

    class Submitted(Ev, index=5):
        """Somebody did work; the reward is set aside."""

        submission: u64
        campaign: u64
        who: AccountId
        seal: Hash32
        reward: Balance

    class Disclosed(Ev, index=6):
        """What the work is."""

        submission: u64
        content: Hash32

    class Displaced(Ev, index=7):
        """The same work was submitted before; this one counts for nothing."""

        submission: u64
        by: u64

    class Voted(Ev, index=8):
        """An attester has judged, and not said how."""

        submission: u64
        attester: AccountId

    class Revealed(Ev, index=9):
        """How an attester has judged."""

        submission: u64
        attester: AccountId
        accepts: bool

    class Accepted(Ev, index=10):
        """Enough attesters accept the work; its reward is paid from now on."""

        submission: u64

    class Refused(Ev, index=11):
        """The work is not paid; the stake in it was burned if attesters rejected it."""

        submission: u64
        burned: Balance

    class Paid(Ev, index=12):
        """A part of a reward was paid; `paid` of it in all."""

        submission: u64
        who: AccountId
        amount: Balance
        paid: Balance

    class Challenged(Ev, index=13):
        """Somebody says the work is a fraud; nothing of it is paid meanwhile."""

        submission: u64
        who: AccountId
        evidence: Hash32

    class Dismissed(Ev, index=14):
        """It is no fraud, or nobody judged that in time."""

        submission: u64

    class Clawed(Ev, index=15):
        """It is a fraud: what was not paid yet is the campaign's again."""

        submission: u64
        amount: Balance

    class Slashed(Ev, index=16):
        """An attester that accepted a fraud lost its stake."""

        attester: AccountId
        amount: Balance

    class CampaignEnded(Ev, index=17):
        """Nothing more can be submitted."""

        campaign: u64

    class Withdrawn(Ev, index=18):
        """A sponsor has its part of what is left."""

        campaign: u64
        sponsor: AccountId
        amount: Balance

    class Forgotten(Ev, index=19):
        """A submission of a campaign that is gone is gone too."""

        submission: u64

    class Referred(Ev, index=20):
        """Somebody is a member: it gets a part of the protocol fees it burns from now on."""

        who: AccountId
        referrer: AccountId | None

    class Shared(Ev, index=21):
        """Parts of the fees that a member burned were paid to it and to who brought it here."""

        who: AccountId
        burned: Balance
        rebate: Balance
        referrer: AccountId | None
        referral: Balance

    class Left(Ev, index=22):
        """Somebody is a member no more."""

        who: AccountId

    class PanelSeated(Ev, index=23):
        """These arbiters say whether challenged work is a fraud."""

        submission: u64
        jurors: Annotated[list[AccountId], TypeName("Vec<T::AccountId>")]

    class JurorVoted(Ev, index=24):
        """A juror sealed its vote."""

        submission: u64
        juror: AccountId

    class JurorUnveiled(Ev, index=25):
        """A juror showed its vote."""

        submission: u64
        juror: AccountId
        fraud: bool

    class JurorSlashed(Ev, index=26):
        """A juror said nothing and lost a part of its stake."""

        submission: u64
        juror: AccountId
        amount: Balance


class RewardsErrors(Errors):
    """How Rewards fails."""

    class NoCampaign(Err, index=0):
        """There is no such campaign."""

    class NoSubmission(Err, index=1):
        """There is no such submission."""

    class BadTerms(Err, index=2):
        """Reward, caps, threshold, times or decay are out of their bounds."""

    class StakeTooLow(Err, index=3):
        """An attester has less at stake than the campaign can pay who corrupts it; `shortfalls` says how much."""

    class NotAttester(Err, index=4):
        """This account does not judge here."""

    class StakeBound(Err, index=5):
        """The stake stands for campaigns that run."""

    class NotOpen(Err, index=6):
        """The campaign has ended, or not all of its attesters have joined."""

    class PersonCapReached(Err, index=7):
        """This account has submitted as often as it may."""

    class DayCapReached(Err, index=8):
        """As much was submitted today as may be."""

    class BudgetExhausted(Err, index=9):
        """There is not enough money for another reward."""

    class WrongPhase(Err, index=10):
        """It is too early or too late for that."""

    class WrongSeal(Err, index=11):
        """This is not what was sealed."""

    class Duplicate(Err, index=12):
        """The same work was submitted before."""

    class OwnWork(Err, index=13):
        """Nobody judges its own work."""

    class AlreadyVoted(Err, index=14):
        """This attester has voted, or revealed its vote."""

    class NotDisclosed(Err, index=15):
        """Nobody knows what the work is."""

    class AlreadyChallenged(Err, index=16):
        """The submission is challenged already."""

    class NotChallenged(Err, index=17):
        """Nobody challenges the submission."""

    class NotOwner(Err, index=18):
        """Only the owner of the campaign may do that before its end."""

    class StillPending(Err, index=19):
        """Submissions can still be paid, or the campaign is not over."""

    class NoShare(Err, index=20):
        """This account has put nothing into the campaign."""

    class NothingDue(Err, index=21):
        """Nothing can be paid or decided now."""

    class SelfReferral(Err, index=22):
        """Nobody refers itself."""

    class UnknownReferrer(Err, index=23):
        """There is no such account."""

    class AlreadyReferred(Err, index=24):
        """This account is a member already."""

    class AlreadyBuys(Err, index=25):
        """This account has a payment session open; who buys already was not brought here."""

    class NotMember(Err, index=26):
        """This account is no member."""

    class TooEarly(Err, index=27):
        """A member stays a year."""

    class PotEmpty(Err, index=28):
        """The contributors' pot has not that much; it fills with every era."""

    class GrantCapReached(Err, index=29):
        """That is more than campaigns may be given of the pot in an era."""

    class WorkStakeTooLow(Err, index=30):
        """A submission would risk less than bad work gains by attesters that err: a ninth of the reward."""

    class TooManyParts(Err, index=31):
        """This sponsor has put money in as often as it can between other sponsors."""

    class NotPerson(Err, index=32):
        """The campaign is for persons, and not enough issuers vouch that this account is one's."""

    class NotSeated(Err, index=33):
        """This account sits on no panel about that."""

    class AlreadySeated(Err, index=34):
        """A panel sits already."""

    class NoArbiters(Err, index=35):
        """There is nobody who could sit."""

    class NotRuled(Err, index=36):
        """The panel has not said that, or not yet."""
