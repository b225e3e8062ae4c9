"""Rewards: campaigns that pay for work, funded whole before anybody works, so that farming does not pay.

    submitted      a seal of the work, so that nobody can copy it; stake and reward are set aside
    disclosed      within one step; of two that disclose the same work, the one sealed first counts
    voted          in the second step: attesters seal their verdicts
    revealed       in the third step
    challenged     in the fourth step and as long as something is unpaid: anybody, with a bond
    settled        from the end of the fourth step on: accepted by `threshold` attesters it is paid, over `vesting_ms`;
                   rejected by as many, or never disclosed, its stake is burned; else the stake goes back

**Farming.** What attesters and submissions have to put at stake is in `chain.pallets.ai.rewards_rules`. A campaign
whose attesters have less, beside what they stand for others with, is refused; `RewardsApi_shortfalls` names them with
what they would need. A fraud costs each attester that accepted it everything it has at stake.

Whether a challenge is right is said by arbiters (`chain.pallets.ai.rewards_court`); without a ruling in time it is not.

Members get a part of the fees they burn back (`chain.pallets.ai.rewards_loyalty`).

At any time held(Budget, owner) == sum of `left` of its campaigns, of which `promised` is the unpaid rewards of its
submissions; held(Stake) and held(Bond) are those of attesters, submissions and challenges.
Source: payments paper, sections 5.14 and 10.3; `docs/spec/rewards.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

from aitoken.codec.hints import Bytes32, TypeName, u64
from aitoken.pay.seals import seal_of, vote_of
from aitoken.types import AIT, AccountId, Balance, Hash32, Moment
from chain.frame.calls import PostInfo, call
from chain.frame.origin import Origin, Root, ensure_root, ensure_signed
from chain.frame.pallet import Pallet, runtime_api
from chain.frame.types import CompactBalance
from chain.pallets.ai.arbiters import Arbiters
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.rewards_court import Court, Seeds
from chain.pallets.ai.rewards_events import RewardsErrors, RewardsEvents
from chain.pallets.ai.rewards_ledger import RewardsLedger
from chain.pallets.ai.rewards_loyalty import Loyalty
from chain.pallets.ai.rewards_pot import Pot
from chain.pallets.ai.rewards_rules import bond_for, bounty_of, check_terms, left_of, reward_after, stake_for, with_part
from chain.pallets.ai.rewards_types import (
    ATTESTERS_MAX,
    Attester,
    Attesters,
    Campaign,
    Challenge,
    Open,
    Over,
    RewardsHoldReason,
    Shortfall,
    Submission,
    Terms,
    Vesting,
    Vote,
)
from chain.pallets.balances import U128_MAX, BurnReason
from chain.pallets.staking.eras import REWARDS_POT
from chain.params import DAY_MS

if TYPE_CHECKING:
    from chain.frame.machine import Machine
    from chain.pallets.ai.disputes import Disputes
    from chain.pallets.balances import Balances

STAKE_MIN: Final = Balance(10 * AIT)
"""The least an attester has at stake."""
SHARE_MIN: Final = Balance(AIT)
"""The least a sponsor puts into a campaign at once."""
CAMPAIGN_BYTES: Final = 260 + 33 * ATTESTERS_MAX + 80
SUBMISSION_BYTES: Final = 300 + 66 * ATTESTERS_MAX + 192

DEPOSIT: Final = RewardsHoldReason.Deposit
BUDGET: Final = RewardsHoldReason.Budget
STAKE: Final = RewardsHoldReason.Stake
CHALLENGE: Final = RewardsHoldReason.Bond


class Now(Protocol):
    """The time of the block."""

    def current_time(self) -> Moment:
        """Unix milliseconds."""


class Vouching(Protocol):
    """Who is a person; the Attest pallet."""

    def is_person(self, account: AccountId, scope: bytes, issuers: int = 1) -> bool:
        """Whether so many issuers vouch for it."""


class Rewards(Pallet, RewardsLedger, index=48, crate="pallet_rewards"):
    """Campaigns that pay for work."""

    HoldReason = RewardsHoldReason

    Event = RewardsEvents
    Error = RewardsErrors

    def __init__(
        self, machine: Machine, balances: Balances, clock: Now, era: Callable[[], int], attest: Vouching
    ) -> None:
        super().__init__(machine)
        self._attest = attest
        self._court: Court
        self._balances = balances
        self._clock = clock
        self._pot = Pot(self, balances, era)
        self._loyalty = Loyalty(self, balances, self._pot)

    # --------------------------------------------------------------------------------------------- attesters

    @call(0)
    def stake(self, origin: Origin, amount: CompactBalance) -> None:
        """Put something at stake, or more of it, to judge work."""
        who = ensure_signed(origin)
        row = self.attesters.get(who) or Attester(Balance(0), Balance(0))
        if row.stake + amount < STAKE_MIN:
            raise self.Error.StakeTooLow
        self._balances.hold(STAKE, who, amount)
        self.attesters.put(who, Attester(Balance(row.stake + amount), row.bound))
        self.emit(self.Event.AttesterStaked(who, Balance(row.stake + amount)))

    @call(1)
    def retire(self, origin: Origin) -> None:
        """Judge no more; the stake is free once it stands for no campaign."""
        who = ensure_signed(origin)
        row = self.attesters.get(who)
        if row is None:
            raise self.Error.NotAttester
        if row.bound:
            raise self.Error.StakeBound
        self.attesters.remove(who)
        self._balances.release(STAKE, who, row.stake)
        self.emit(self.Event.AttesterRetired(who))

    # --------------------------------------------------------------------------------------------- campaigns

    @call(2)
    def create(self, origin: Origin, terms: Terms, attesters: Attesters, budget: CompactBalance) -> None:
        """Make a campaign with a budget. It opens when all of its attesters have joined.

        Refused where the stake of an attester is too low: `RewardsApi_shortfalls` says whose, and by how much.
        """
        owner = ensure_signed(origin)
        check_terms(terms, attesters, self._clock.current_time())
        if budget < terms.reward:
            raise self.Error.BudgetExhausted
        if self.shortfalls(terms, attesters):
            raise self.Error.StakeTooLow
        number, held = self._new_id(), deposit(CAMPAIGN_BYTES)
        self._balances.hold(DEPOSIT, owner, held)
        zero = Balance(0)
        self.campaigns.put(
            number, Campaign(owner, held, terms, attesters, 0, zero, zero, zero, zero, 0, 0, 0, 0, ended=False)
        )
        self.emit(self.Event.CampaignCreated(number, owner, terms, attesters))
        self._fund(number, owner, budget)

    @call(3)
    def fund(self, origin: Origin, campaign: u64, amount: CompactBalance) -> None:
        """Put money into somebody's campaign; it is paid out after what was put in before, and else comes back."""
        if self._campaign(campaign).ended:
            raise self.Error.NotOpen
        self._fund(campaign, ensure_signed(origin), amount)

    @call(4)
    def join(self, origin: Origin, campaign: u64) -> None:
        """Stand for a campaign as one of its attesters, with a part of the stake, until it is gone."""
        who, found = ensure_signed(origin), self._campaign(campaign).copy()
        if who not in found.attesters:
            raise self.Error.NotAttester
        bit = 1 << found.attesters.index(who)
        if found.joined & bit or found.ended:
            raise self.Error.NotOpen
        if self.shortfalls(found.terms, [who]):
            raise self.Error.StakeTooLow
        need, row = stake_for(found.terms), self._attester(who)
        self.attesters.put(who, Attester(row.stake, Balance(row.bound + need)))
        found.joined |= bit
        self.campaigns.put(campaign, found)
        self.emit(self.Event.Joined(campaign, who, need))

    @call(5)
    def end(self, origin: Origin, campaign: u64) -> None:
        """Let nothing more be submitted: the owner at any time, anybody after `until`."""
        who, found = ensure_signed(origin), self._campaign(campaign).copy()
        if found.ended:
            raise self.Error.NotOpen
        if who != found.owner and self._clock.current_time() < found.terms.until:
            raise self.Error.NotOwner
        found.ended = True
        self.campaigns.put(campaign, found)
        self.emit(self.Event.CampaignEnded(campaign))

    @call(6)
    def withdraw(self, origin: Origin, campaign: u64, sponsor: AccountId) -> None:
        """Give a sponsor what is left of its money: anybody, once nothing can be paid any more.

        With the first the attesters' stakes are free, with the last the campaign is gone. What a sponsor that no
        longer exists cannot take is the owner's.
        """
        ensure_signed(origin)
        found = self._campaign(campaign).copy()
        if not found.ended or found.pending:
            raise self.Error.StillPending
        parts = self.shares.get((campaign, sponsor))
        if not parts:
            raise self.Error.NoShare
        self._unbind(found)
        amount, put_in = left_of(parts, found.paid), sum(part.amount for part in parts)
        self.shares.remove((campaign, sponsor))
        found.left, found.shares = Balance(found.left - amount), Balance(found.shares - put_in)
        if amount:
            payee = sponsor if self._balances.can_receive(sponsor, amount) else found.owner
            self._balances.transfer_held(BUDGET, found.owner, payee, amount)
        self.emit(self.Event.Withdrawn(campaign, sponsor, amount))
        if found.shares:
            self.campaigns.put(campaign, found)
            return
        self.campaigns.remove(campaign)
        self._balances.release(DEPOSIT, found.owner, found.deposit)

    # --------------------------------------------------------------------------------------------- work

    @call(7)
    def submit(self, origin: Origin, campaign: u64, seal: Hash32) -> None:
        """Submit work as `seal_of` it; its reward is set aside, its stake is at risk."""
        who, now = ensure_signed(origin), self._clock.current_time()
        found = self._campaign(campaign).copy()
        terms, day = found.terms, now // DAY_MS
        if found.ended or now >= terms.until or found.joined + 1 != 1 << len(found.attesters):
            raise self.Error.NotOpen
        if any(self._is_short(each) for each in found.attesters):
            raise self.Error.NotOpen
        if who in found.attesters:
            raise self.Error.OwnWork
        persons = terms.persons
        if persons is not None and not self._attest.is_person(who, persons.scope, persons.issuers):
            raise self.Error.NotPerson
        done = self.people.get((campaign, who))
        if done >= terms.per_person:
            raise self.Error.PersonCapReached
        today = found.today if found.day == day else 0
        if today >= terms.per_day:
            raise self.Error.DayCapReached
        reward = reward_after(terms, found.submitted)
        if found.promised + reward > found.left:
            raise self.Error.BudgetExhausted
        number, held = self._new_id(), deposit(SUBMISSION_BYTES)
        self._balances.hold(DEPOSIT, who, held)
        self._balances.hold(STAKE, who, terms.stake)
        found.promised = Balance(found.promised + reward)
        found.submitted, found.pending = found.submitted + 1, found.pending + 1
        found.day, found.today = day, today + 1
        self.campaigns.put(campaign, found)
        self.people.put((campaign, who), done + 1)
        self.submissions.put(number, Submission(campaign, who, held, seal, now, None, reward, [], None, Open()))
        self.emit(self.Event.Submitted(number, campaign, who, seal, reward))

    @call(8)
    def disclose(self, origin: Origin, submission: u64, content: Hash32, salt: Bytes32) -> None:
        """Say what was sealed, in the first step; the same work sealed later no longer counts."""
        who, found = ensure_signed(origin), self._submission(submission).copy()
        self._check_phase(found, 0)
        if seal_of(found.campaign, who, content, salt) != found.seal:
            raise self.Error.WrongSeal
        other = self.works.get((found.campaign, content))
        if other is not None:
            if other <= submission:
                raise self.Error.Duplicate
            self._displace(other)
            self.emit(self.Event.Displaced(other, submission))
        found.content = content
        self.works.put((found.campaign, content), submission)
        self.submissions.put(submission, found)
        self.emit(self.Event.Disclosed(submission, content))

    @call(9)
    def vote(self, origin: Origin, submission: u64, seal: Hash32) -> None:
        """Judge disclosed work, in the second step, by `vote_of` the verdict."""
        who, found = ensure_signed(origin), self._submission(submission).copy()
        self._check_phase(found, 1)
        if who not in self._campaign(found.campaign).attesters or self._is_short(who):
            raise self.Error.NotAttester
        if found.content is None:
            raise self.Error.NotDisclosed
        if any(vote.attester == who for vote in found.votes):
            raise self.Error.AlreadyVoted
        found.votes = [*found.votes, Vote(who, seal, None)]
        self.submissions.put(submission, found)
        self.emit(self.Event.Voted(submission, who))

    @call(10)
    def reveal(self, origin: Origin, submission: u64, accepts: bool, salt: Bytes32) -> None:  # noqa: FBT001 - an argument of the call
        """Show a verdict, in the third step."""
        who, found = ensure_signed(origin), self._submission(submission).copy()
        self._check_phase(found, 2)
        at = next((at for at, vote in enumerate(found.votes) if vote.attester == who), None)
        if at is None or self._is_short(who):
            raise self.Error.NotAttester
        if found.votes[at].accepts is not None:
            raise self.Error.AlreadyVoted
        if vote_of(submission, who, salt, accepts=accepts) != found.votes[at].seal:
            raise self.Error.WrongSeal
        votes = list(found.votes)
        votes[at] = Vote(who, votes[at].seal, accepts)
        found.votes = votes
        self.submissions.put(submission, found)
        self.emit(self.Event.Revealed(submission, who, accepts))

    @call(11, units=lambda _: 1)
    def settle(self, origin: Origin, submission: u64) -> PostInfo:
        """Decide about work whose time has come, and pay what of it is due: anybody, as often as something is due."""
        ensure_signed(origin)
        found, now = self._submission(submission).copy(), self._clock.current_time()
        terms = self._campaign(found.campaign).terms
        is_challenged = found.challenge is not None
        if found.challenge is not None:
            fraud = self._court.verdict(submission, found.challenge, now)
            if fraud is None or fraud:  # `rule` ends that
                raise self.Error.NothingDue
            self._end_challenge(submission, found, found.challenge, fraud=False)
        if isinstance(found.stage, Open):
            if now < found.since + 4 * terms.step_ms:
                raise self.Error.NothingDue
            self._decide(submission, found, now)
        elif isinstance(found.stage, Over):
            raise self.Error.NothingDue
        if isinstance(found.stage, Vesting):
            self._pay(submission, found, now)
        self.submissions.put(submission, found)
        return PostInfo(self.cost_of("settle").at(int(is_challenged)))

    @call(12)
    def challenge(self, origin: Origin, submission: u64, evidence: Hash32) -> None:
        """Say that work that is revealed and not yet all paid is a fraud; nothing of it is paid until the ruling."""
        who, found = ensure_signed(origin), self._submission(submission).copy()
        if found.challenge is not None:
            raise self.Error.AlreadyChallenged
        if isinstance(found.stage, Open):
            self._check_phase(found, 3)
        elif isinstance(found.stage, Over):
            raise self.Error.WrongPhase
        bond = bond_for(
            Balance(sum(bounty_of(self._attester(vote.attester).stake) for vote in found.votes if vote.accepts))
        )
        self._balances.hold(CHALLENGE, who, bond)
        found.challenge = Challenge(who, bond, self._clock.current_time(), self._court.epoch(), None, evidence)
        self.submissions.put(submission, found)
        self.emit(self.Event.Challenged(submission, who, evidence))

    @call(13)
    def rule(self, origin: Origin, submission: u64, fraud: bool) -> None:  # noqa: FBT001 - an argument of the call
        """End a challenge: as its panel has said, by anybody; or in its place, by root."""
        found = self._submission(submission).copy()
        if found.challenge is None:
            raise self.Error.NotChallenged
        if not isinstance(origin, Root):
            ensure_signed(origin)
            if self._court.verdict(submission, found.challenge, self._clock.current_time()) is not fraud:
                raise self.Error.NotRuled
        self._end_challenge(submission, found, found.challenge, fraud=fraud)

    @call(14)
    def forget(self, origin: Origin, submission: u64) -> None:
        """Remove work of a campaign that is gone; its deposit goes back."""
        ensure_signed(origin)
        found = self._submission(submission)
        if self.campaigns.contains(found.campaign):
            raise self.Error.StillPending
        self.submissions.remove(submission)
        if found.content is not None:
            self.works.remove((found.campaign, found.content))
        place = found.campaign, found.who
        left = self.people.get(place) - 1
        if left:
            self.people.put(place, left)
        else:
            self.people.remove(place)
        self._balances.release(DEPOSIT, found.who, found.deposit)
        self.emit(self.Event.Forgotten(submission))

    # --------------------------------------------------------------------------------------------- the court

    def judged_by(self, disputes: Disputes, seeds: Seeds) -> None:
        """Have challenges ruled on by the arbiters of Disputes."""

        def told(event: Any) -> None:
            self.emit(self.Event.JurorSlashed(event.case, event.arbiter, event.amount))

        bench = Arbiters(
            disputes.arbiters, disputes.arbiter_count, self.panels, disputes.min_stake, self._balances, told
        )
        self._court = Court(self, self._balances, seeds, bench)

    @call(19)
    def seat(self, origin: Origin, submission: u64) -> None:
        """Draw the panel on a challenge, once its epoch has come: anybody."""
        ensure_signed(origin)
        found = self._submission(submission).copy()
        self._court.seat(submission, found, self._campaign(found.campaign), self._clock.current_time())
        self.submissions.put(submission, found)

    @call(20)
    def judge(self, origin: Origin, submission: u64, seal: Hash32) -> None:
        """Say as a juror, sealed, whether work is a fraud."""
        now = self._clock.current_time()
        self._court.judge(ensure_signed(origin), submission, self._submission(submission), seal, now)

    @call(21)
    def unveil(self, origin: Origin, submission: u64, fraud: bool, salt: Bytes32) -> None:  # noqa: FBT001 - an argument of the call
        """Show what one said as a juror."""
        now = self._clock.current_time()
        self._court.unveil(ensure_signed(origin), submission, self._submission(submission), salt, now, fraud=fraud)

    # --------------------------------------------------------------------------------------------- burned fees

    @call(15)
    def refer(self, origin: Origin, referrer: AccountId | None) -> None:
        """Become a member: a part of the protocol fees you burn comes back, and a part goes to who brought you here.

        A referrer can be named before the first session is open, and never another one while a member.
        """
        self._loyalty.refer(ensure_signed(origin), referrer, self._clock.current_time())

    @call(16)
    def share(self, origin: Origin, who: AccountId) -> None:
        """Pay the parts of the fees that a member burned since the last time: anybody."""
        ensure_signed(origin)
        self._loyalty.share(who)

    @call(17)
    def leave(self, origin: Origin) -> None:
        """Be a member no more, after a year; what was not shared by then stays burned."""
        self._loyalty.leave(ensure_signed(origin), self._clock.current_time())

    @call(18)
    def grant(self, origin: Origin, campaign: u64, amount: CompactBalance) -> None:
        """Fund a campaign out of the contributors' pot; root only. The pot is its sponsor like any other."""
        ensure_root(origin)
        if self._campaign(campaign).ended:
            raise self.Error.NotOpen
        self._pot.note_grant(amount)
        self._fund(campaign, REWARDS_POT, amount)

    def note_burned(self, payer: AccountId, amount: int) -> None:
        """Take note of a protocol fee that is burned."""
        self._loyalty.note_burned(payer, amount)

    # --------------------------------------------------------------------------------------------- questions

    @runtime_api("RewardsApi", 2)
    def shortfalls(self, terms: Terms, attesters: Attesters) -> Annotated[list[Shortfall], TypeName("Vec<Shortfall>")]:
        """Return whose stake is too low for a campaign beside those it stands for, and what it would have to be."""
        need, found = stake_for(terms), []
        for who in attesters:
            row = self.attesters.get(who) or Attester(Balance(0), Balance(0))
            if row.stake < row.bound + need:
                found.append(Shortfall(who, Balance(min(row.bound + need, U128_MAX)), row.stake))
        return found

    # --------------------------------------------------------------------------------------------- the rules

    def _check_phase(self, found: Submission, phase: int) -> None:
        """Make sure that a submission is in its phase 0, 1, 2 or 3."""
        step = self._campaign(found.campaign).terms.step_ms
        passed = self._clock.current_time() - found.since
        if not isinstance(found.stage, Open) or passed // step != phase:
            raise self.Error.WrongPhase

    def _displace(self, number: int) -> None:
        """End work that somebody else sealed earlier: it costs nothing and is paid nothing."""
        later = self._submission(number).copy()
        later.content = None
        self._release_stake(later)
        self._finish(later)
        self.submissions.put(number, later)

    def _decide(self, number: int, found: Submission, now: Moment) -> None:
        """Count the verdicts on work that is still open."""
        threshold = self._campaign(found.campaign).terms.threshold
        verdicts = [vote.accepts for vote in found.votes if vote.accepts is not None]
        if sum(verdicts) >= threshold:
            self._release_stake(found)
            found.stage = Vesting(now, Balance(0))
            self.emit(self.Event.Accepted(number))
            return
        rejected = len(verdicts) - sum(verdicts) >= threshold or found.content is None
        burned = self._burn_stake(found) if rejected else self._release_stake(found)
        self._finish(found)
        self.emit(self.Event.Refused(number, burned))

    def _pay(self, number: int, found: Submission, now: Moment) -> None:
        """Pay what of accepted work is due by now."""
        stage: Vesting = found.stage  # type: ignore[assignment]  # callers have looked
        campaign = self._campaign(found.campaign).copy()
        vesting, passed = campaign.terms.vesting_ms, now - stage.since
        due = found.reward if passed >= vesting else found.reward * passed // vesting
        amount = Balance(due - stage.paid)
        if not amount:
            return
        campaign.left, campaign.promised = Balance(campaign.left - amount), Balance(campaign.promised - amount)
        campaign.paid = Balance(campaign.paid + amount)
        self._balances.transfer_held(BUDGET, campaign.owner, found.who, amount)
        if due == found.reward:
            campaign.pending -= 1
            found.stage = Over(found.reward)
        else:
            found.stage = Vesting(stage.since, Balance(due))
        self.campaigns.put(found.campaign, campaign)
        self.emit(self.Event.Paid(number, found.who, amount, Balance(due)))

    def _finish(self, found: Submission) -> Balance:
        """Let the campaign have back what of a reward is unpaid; return that."""
        paid = found.stage.paid if isinstance(found.stage, Vesting) else Balance(0)
        amount = Balance(found.reward - paid)
        campaign = self._campaign(found.campaign).copy()
        campaign.promised, campaign.pending = Balance(campaign.promised - amount), campaign.pending - 1
        self.campaigns.put(found.campaign, campaign)
        found.stage = Over(paid)
        return amount

    def _end_challenge(self, number: int, found: Submission, challenge: Challenge, *, fraud: bool) -> None:
        """End a challenge. A fraud is not paid any more, and who accepted it loses its stake; else the bond is lost."""
        jurors, found.challenge = self._court.dissolve(number, fraud=fraud), None
        if not fraud:
            self._court.pay(CHALLENGE, challenge.who, challenge.bond, jurors, found.who)
            self.submissions.put(number, found)
            self.emit(self.Event.Dismissed(number))
            return
        self._balances.release(CHALLENGE, challenge.who, challenge.bond)
        for vote in found.votes:
            row = self._attester(vote.attester)
            if vote.accepts and row.stake:
                self._court.slash(vote.attester, row, challenge.who, jurors)
        if isinstance(found.stage, Open):
            self._burn_stake(found)
        amount = self._finish(found)
        self.submissions.put(number, found)
        self.emit(self.Event.Clawed(number, amount))

    def _release_stake(self, found: Submission) -> Balance:
        """Give back what open work had at risk."""
        self._balances.release(STAKE, found.who, self._campaign(found.campaign).terms.stake)
        return Balance(0)

    def _burn_stake(self, found: Submission) -> Balance:
        """Burn what open work had at risk; return that."""
        return self._balances.burn_held(STAKE, found.who, self._campaign(found.campaign).terms.stake, BurnReason.Slash)

    def _fund(self, number: int, sponsor: AccountId, amount: Balance) -> None:
        found = self._campaign(number).copy()
        if amount < SHARE_MIN:
            raise self.Error.BudgetExhausted
        self._balances.transfer_into_hold(BUDGET, sponsor, found.owner, amount)
        place = number, sponsor
        self.shares.put(place, with_part(self.shares.get(place), found.shares, amount))
        found.left, found.shares = Balance(found.left + amount), Balance(found.shares + amount)
        self.campaigns.put(number, found)
        self.emit(self.Event.Funded(number, sponsor, amount))

    def _unbind(self, found: Campaign) -> None:
        """Let the attesters of a campaign that is over go."""
        for at, who in enumerate(found.attesters):
            if found.joined >> at & 1:
                row = self._attester(who)
                self.attesters.put(who, Attester(row.stake, Balance(row.bound - stake_for(found.terms))))
        found.joined = 0

    def _is_short(self, attester: AccountId) -> bool:
        """Whether an attester has lost what it stands for its campaigns with."""
        row = self._attester(attester)
        return row.stake < row.bound

    def _attester(self, who: AccountId) -> Attester:
        row = self.attesters.get(who)
        if row is None:
            raise self.Error.NotAttester
        return row

    def _campaign(self, number: int) -> Campaign:
        found = self.campaigns.get(number)
        if found is None:
            raise self.Error.NoCampaign
        return found

    def _submission(self, number: int) -> Submission:
        found = self.submissions.get(number)
        if found is None:
            raise self.Error.NoSubmission
        return found

    def _new_id(self) -> int:
        number = self.next_id.get()
        self.next_id.put(number + 1)
        return number
