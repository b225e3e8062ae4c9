"""What Disputes tells and how it fails."""

from __future__ import annotations

from typing import Annotated

from aitoken.codec.hints import TypeName, u8, u64
from aitoken.types import AccountId, Balance, Hash32, Moment
from chain.frame.pallet import Err, Errors, Ev, Events
from chain.pallets.ai.disputes_types import Award, Receipts, Subject


class DisputesEvents(Events):
    """What Disputes tells."""

    class CaseOpened(Ev, index=0):
        """A payer complains; without an answer until then it gets everything."""

        case: u64
        subject: Subject
        claimant: AccountId
        provider: u64
        amount: Balance
        evidence: Hash32
        receipts: Receipts
        until: Moment

    class Answered(Ev, index=1):
        """The provider answered; a panel is drawn from the seed of this epoch."""

        case: u64
        answer: Hash32
        epoch: u64

    class Offered(Ev, index=2):
        """The provider offers so much to settle; 0 takes the offer back."""

        case: u64
        amount: Balance

    class Settled(Ev, index=3):
        """The claimant accepted the offer."""

        case: u64
        amount: Balance

    class Withdrawn(Ev, index=4):
        """The claimant withdrew; the bond went to who answered, if anybody had."""

        case: u64

    class DefaultJudgement(Ev, index=5):
        """The provider did not answer."""

        case: u64

    class PanelDrawn(Ev, index=6):
        """These arbiters judge, and commit to their votes until then."""

        case: u64
        panel: u8
        arbiters: Annotated[list[AccountId], TypeName("Vec<T::AccountId>")]
        until: Moment

    class VoteCommitted(Ev, index=7):
        """An arbiter committed to a vote."""

        case: u64
        arbiter: AccountId

    class RevealingBegan(Ev, index=8):
        """Votes are revealed until then."""

        case: u64
        until: Moment

    class VoteRevealed(Ev, index=9):
        """An arbiter revealed its vote."""

        case: u64
        arbiter: AccountId
        award: Award

    class ArbiterSlashed(Ev, index=10):
        """An arbiter did not reveal a vote and lost a part of its stake."""

        case: u64
        arbiter: AccountId
        amount: Balance

    class CaseRuled(Ev, index=11):
        """A panel has spoken; it is final then, or now if this was the appeal."""

        case: u64
        award: Award
        final_at: Moment

    class Appealed(Ev, index=12):
        """A bigger panel is drawn from the seed of this epoch."""

        case: u64
        who: AccountId
        epoch: u64

    class CaseEnded(Ev, index=13):
        """A case is over: what was awarded, and what of it the provider's bond could pay."""

        case: u64
        awarded: Balance
        paid: Balance

    class CaseDismissed(Ev, index=14):
        """No panel could be drawn, or none of it voted: everybody has its bond back."""

        case: u64

    class CaseForgotten(Ev, index=15):
        """The record of a case is gone with what it was about."""

        case: u64

    class ArbiterRegistered(Ev, index=16):
        """Somebody judges, with this stake in all."""

        arbiter: AccountId
        stake: Balance

    class ArbiterRetired(Ev, index=17):
        """Somebody judges no more and has its stake back."""

        arbiter: AccountId


class DisputesErrors(Errors):
    """How Disputes fails."""

    class NotPayer(Err, index=0):
        """Only who paid may complain."""

    class AmountTooHigh(Err, index=1):
        """More than was paid and is not given back, or nothing."""

    class CaseExists(Err, index=2):
        """There is, or was, a case about this."""

    class NoCase(Err, index=3):
        """There is no such case."""

    class NotParty(Err, index=4):
        """Only the other party may do that."""

    class TooLate(Err, index=5):
        """The time for it has passed, or the case is past it."""

    class NotYet(Err, index=6):
        """The case waits for something else: a party, a vote, an epoch or a deadline."""

    class NoOffer(Err, index=7):
        """Nothing is offered."""

    class NotSeated(Err, index=8):
        """This account is not on the panel."""

    class AlreadyVoted(Err, index=9):
        """This arbiter has committed, or revealed, already."""

    class BadReveal(Err, index=10):
        """This is not what was committed to."""

    class NotLoser(Err, index=11):
        """The ruling gives this party everything."""

    class AppealedAlready(Err, index=12):
        """A case is appealed once."""

    class StakeTooLow(Err, index=13):
        """An arbiter needs more at stake."""

    class TooMany(Err, index=14):
        """There are as many arbiters as there can be, all with as much at stake or on panels."""

    class Seated(Err, index=15):
        """An arbiter on a panel cannot leave."""

    class NotArbiter(Err, index=16):
        """This account is no arbiter."""

    class StillNeeded(Err, index=17):
        """The case runs, or what it is about still exists."""
