"""Disputes: what no proof decides (a bad answer, another model, nothing delivered) is decided by drawn arbiters.

    Opened --answer--> Drawing --epoch--> Committing --> Revealing --> Ruled --time--> Ended
       |                  ^                                              |
       | silence          +------------------ appeal, once --------------+
       v
     Ended: the claimant gets everything

Every phase ends by a deadline or by an epoch, so a case ends whoever is silent: `advance` moves it, anybody may call
it, and a bounded sweep does. A panel votes in secret (commit, then reveal) and awards the median. A second panel that
says nothing leaves the first ruling; a first one that says nothing, or cannot be drawn, dismisses the case.

* A payer complains about a session or a period it paid, for at most what was paid, once for each. Awards come out of
  the provider's bond, which cannot be taken out while a case runs.
* The seed that draws a panel is made in the epoch after the one of the answer, so nobody can time an answer by it.
  Parties do not sit, nor do arbiters of the first panel on the second.
* Both parties put a bond down. The loser's goes half to the arbiters whose vote is near the outcome, the rest to the
  winner; claimants win from half of the amount on. Who does not reveal a vote loses 5 % of its stake.
* At any time before the ruling the provider may offer money, which is held; if the claimant accepts, it is over and
  everybody has its bond back.

    held(Stake, who) == its stake     held(Bond | Offer | Deposit, who) == sum over cases

Source: payments paper, section 5.6; `docs/spec/pay-plans-allowances.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from aitoken.codec.containers import Fail
from aitoken.codec.hints import Bytes32, u32, u64
from aitoken.pay.seals import FULL_AWARD, commitment
from aitoken.proto.digest import NextEpoch
from aitoken.types import AIT, AccountId, Balance, BlockNumber, Hash32, Moment
from chain.frame.calls import call
from chain.frame.origin import Origin, Signed, ensure_signed
from chain.frame.pallet import Pallet, constant
from chain.frame.parameters import Parameter, parameter
from chain.frame.results import attempt
from chain.frame.storage import BLAKE2_128_CONCAT, TWOX_64_CONCAT, Map, OptionMap, Value, storage_map, value
from chain.frame.types import CompactBalance
from chain.pallets.ai.agenda import SLOT_MS, Agenda
from chain.pallets.ai.arbiters import ARBITERS_MAX, STAKE_MIN, Arbiters
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.disputes_events import DisputesErrors, DisputesEvents
from chain.pallets.ai.disputes_types import (
    PANELS,
    Arbiter,
    Award,
    Case,
    Committing,
    DisputesHoldReason,
    Drawing,
    Ended,
    OfSession,
    OfSubscription,
    Opened,
    Panel,
    Receipts,
    Revealing,
    Ruled,
    Seat,
    Stake,
    Subject,
)
from chain.pallets.ai.jury import COHERENT, median

if TYPE_CHECKING:
    from chain.frame.machine import Machine
    from chain.pallets.balances import Balances

BOND_MIN: Final = AIT
BOND_PERCENT: Final = 2
APPEAL_BONDS: Final = 3
ANSWER_STEPS, COMMIT_STEPS, REVEAL_STEPS, APPEAL_STEPS = 2, 2, 1, 2
"""How long each phase lasts, in steps (a day, on a public network)."""
CASE_BYTES: Final = 500
SWEPT_A_BLOCK: Final = 2

BOND: Final = DisputesHoldReason.Bond
OFFER: Final = DisputesHoldReason.Offer
DEPOSIT: Final = DisputesHoldReason.Deposit


class Now(Protocol):
    """The time of the block."""

    def current_time(self) -> Moment:
        """Unix milliseconds."""


class Seeds(Protocol):
    """Randomness: the epoch that runs and the seed of its leaders."""

    def get(self) -> NextEpoch:
        """The epoch the next block belongs to."""


class PaidSessions(Protocol):
    """What was paid by sessions; the Sessions pallet."""

    def parties_of(self, session: Hash32) -> tuple[AccountId, int] | None:
        """Payer and provider, None where there is no such session."""

    def paid_by(self, session: Hash32) -> Balance:
        """What the provider has of it and has not given back."""


class PaidPeriods(Protocol):
    """What was paid by subscriptions; the Plans pallet."""

    def parties_of(self, subscription: int, period: int) -> tuple[AccountId, int] | None:
        """Payer and provider, None where the subscription is gone or in another period."""

    def paid_by(self, subscription: int) -> Balance:
        """What the provider has of the present period."""


class Bonds(Protocol):
    """What awards come out of; the Providers pallet."""

    def is_run_by(self, provider: int, who: AccountId) -> bool:
        """Whether an account is the owner or the operator of a provider."""

    def people_of(self, provider: int) -> tuple[AccountId, ...]:
        """Owner, operator and payout."""

    def case_begins(self, provider: int) -> None:
        """Keep the bond from being taken out."""

    def case_ends(self, provider: int) -> None:
        """Let it be taken out, if no other case runs."""

    def award(self, provider: int, amount: Balance, to: AccountId) -> Balance:
        """Pay somebody out of the bond, as far as it goes; return how much."""


class Disputes(Pallet, index=46, crate="pallet_disputes"):
    """Complaints of payers that no proof decides."""

    HoldReason = DisputesHoldReason
    Event = DisputesEvents
    Error = DisputesErrors

    cases: OptionMap[u64, Case] = storage_map(TWOX_64_CONCAT, doc="Cases, until what they are about is gone.")
    case_of: OptionMap[Subject, u64] = storage_map(BLAKE2_128_CONCAT, doc="The case about something.")
    panels: OptionMap[u64, Panel] = storage_map(TWOX_64_CONCAT, doc="The panel that sits on a case.")
    arbiters: OptionMap[AccountId, Arbiter] = storage_map(BLAKE2_128_CONCAT, doc="Who judges.")
    arbiter_count: Value[u32] = value(doc="How many judge.")
    next_case: Value[u64] = value(doc="The number of the next case; never used twice.")
    agenda: OptionMap[tuple[u32, u32], u64] = storage_map(
        TWOX_64_CONCAT, TWOX_64_CONCAT, doc="Cases by when they are looked at next."
    )
    agenda_counts: Map[u32, u32] = storage_map(TWOX_64_CONCAT, doc="How many were entered for a slot of time.")
    agenda_front: Value[tuple[u32, u32]] = value(doc="Slot and position the agenda has been read to.")

    step_ms: Moment = constant(
        lambda env: env.params.case_step_ms, name="Step", doc="Phases last one or two of these, in milliseconds."
    )
    max_arbiters: u32 = constant(ARBITERS_MAX, doc="Most arbiters.")
    min_bond: Balance = constant(BOND_MIN, doc="The least bond of a party.")

    min_stake: Parameter[Balance] = parameter(
        0, STAKE_MIN, bounds=(AIT, 1_000_000 * AIT), doc="The least an arbiter has at stake."
    )

    def __init__(
        self,
        machine: Machine,
        balances: Balances,
        clock: Now,
        seeds: Seeds,
        sessions: PaidSessions,
        plans: PaidPeriods,
        providers: Bonds,
    ) -> None:
        super().__init__(machine)
        self._balances = balances
        self._clock = clock
        self._seeds = seeds
        self._sessions = sessions
        self._plans = plans
        self._providers = providers
        self._agenda = Agenda(self.agenda, self.agenda_counts, self.agenda_front)
        self._arbiters = Arbiters(self.arbiters, self.arbiter_count, self.panels, self.min_stake, balances, self.emit)
        self._machine = machine
        self._make_call = machine.schema.make_call
        self._sweeping = self.cost_of("on_initialize")

    # --------------------------------------------------------------------------------------------- parties

    @call(0)
    def open(
        self, origin: Origin, subject: Subject, amount: CompactBalance, evidence: Hash32, receipts: Receipts
    ) -> None:
        """Complain about what the caller paid and ask for an amount of it back; a bond is held."""
        claimant = ensure_signed(origin)
        found = self._parties(subject)
        if found is None or found[0] != claimant:
            raise self.Error.NotPayer
        if self.case_of.contains(subject):
            raise self.Error.CaseExists
        if not 0 < amount <= self._paid(subject):
            raise self.Error.AmountTooHigh
        number = self.next_case.get()
        self.next_case.put(number + 1)
        bond, held = bond_of(amount), deposit(CASE_BYTES)
        self._balances.hold(BOND, claimant, bond)
        self._balances.hold(DEPOSIT, claimant, held)
        self._providers.case_begins(found[1])
        until = self._in(ANSWER_STEPS)
        self.case_of.put(subject, number)
        case = Case(
            subject, claimant, found[1], amount, evidence, None, Opened(until), bond, None, None, None, None, [],
            (0, 0), held,
        )  # fmt: skip
        self._enter(number, case, until)
        self.emit(self.Event.CaseOpened(number, subject, claimant, found[1], amount, evidence, receipts, until))

    @call(1)
    def respond(self, origin: Origin, case: u64, answer: Hash32) -> None:
        """Answer for the provider, with a bond as high as the claimant's; then a panel is drawn."""
        who, found = ensure_signed(origin), self._case(case)
        if not self._providers.is_run_by(found.provider, who):
            raise self.Error.NotParty
        if not isinstance(found.phase, Opened) or self._now() >= found.phase.until:
            raise self.Error.TooLate
        self._balances.hold(BOND, who, found.bond)
        found.answer, found.answer_bond = answer, Stake(who, found.bond)
        epoch = self._wait_for_seed(case, found)
        self.emit(self.Event.Answered(case, answer, epoch))

    @call(2)
    def offer(self, origin: Origin, case: u64, amount: CompactBalance) -> None:
        """Offer the claimant money to settle, in place of an earlier offer; it is held until the case is over."""
        who, found = ensure_signed(origin), self._running(case)
        if not self._providers.is_run_by(found.provider, who):
            raise self.Error.NotParty
        if isinstance(found.phase, Ruled):
            raise self.Error.TooLate
        self._take_offer_back(found)
        if amount:
            self._balances.hold(OFFER, who, amount)
            found.offer = Stake(who, amount)
        self.cases.put(case, found)
        self.emit(self.Event.Offered(case, amount))

    @call(3)
    def accept(self, origin: Origin, case: u64) -> None:
        """Accept what the provider offers: the case is over, and everybody has its bond back."""
        who, found = ensure_signed(origin), self._running(case)
        if who != found.claimant:
            raise self.Error.NotParty
        if found.offer is None:
            raise self.Error.NoOffer
        offer, found.offer = found.offer, None
        self._balances.transfer_held(OFFER, offer.who, found.claimant, offer.amount)
        self.emit(self.Event.Settled(case, offer.amount))
        self._give_bonds_back(found)
        self._finish(case, found, offer.amount)

    @call(4)
    def withdraw(self, origin: Origin, case: u64) -> None:
        """Withdraw a complaint before a panel is drawn; if it was answered, the bond goes to who answered."""
        who, found = ensure_signed(origin), self._running(case)
        if who != found.claimant:
            raise self.Error.NotParty
        if not isinstance(found.phase, (Opened, Drawing)) or found.appeal is not None:
            raise self.Error.TooLate
        if found.answer_bond is not None:
            self._pay(Stake(found.claimant, found.bond), found.answer_bond.who, found.bond)
            found.bond = Balance(0)
        self.emit(self.Event.Withdrawn(case))
        self._give_bonds_back(found)
        self._finish(case, found, Balance(0))

    @call(5)
    def appeal(self, origin: Origin, case: u64) -> None:
        """Ask for a bigger panel, once, as a party that did not get everything; a higher bond is held."""
        who, found = ensure_signed(origin), self._running(case)
        is_claimant = who == found.claimant
        if not is_claimant and not self._providers.is_run_by(found.provider, who):
            raise self.Error.NotParty
        if not isinstance(found.phase, Ruled) or self._now() >= found.phase.until:
            raise self.Error.TooLate
        if found.phase.award == (FULL_AWARD if is_claimant else 0):
            raise self.Error.NotLoser
        bond = Balance(APPEAL_BONDS * bond_of(found.amount))
        self._balances.hold(BOND, who, bond)
        found.appeal, found.ruling = Stake(who, bond), found.phase.award
        found.former = [seat.arbiter for seat in self._arbiters.dissolve(case)]
        epoch = self._wait_for_seed(case, found)
        self.emit(self.Event.Appealed(case, who, epoch))

    # --------------------------------------------------------------------------------------------- arbiters

    @call(6)
    def register_arbiter(self, origin: Origin, stake: CompactBalance) -> None:
        """Judge from now on, or put more at stake; where there is no room, in place of who has least at stake."""
        self._arbiters.put_down(ensure_signed(origin), stake)

    @call(7)
    def retire_arbiter(self, origin: Origin) -> None:
        """Judge no more; the stake comes back. Not while on a panel."""
        self._arbiters.leave(ensure_signed(origin))

    @call(8)
    def commit(self, origin: Origin, case: u64, commitment: Bytes32) -> None:
        """Commit to a vote; `chain.pallets.ai.jury` says to which hash."""
        who, found = ensure_signed(origin), self._case(case)
        panel, at = self._arbiters.place_of(case, who)
        if not isinstance(found.phase, Committing) or self._now() >= found.phase.until:
            raise self.Error.TooLate
        if panel[at].commitment is not None:
            raise self.Error.AlreadyVoted
        panel[at] = Seat(who, commitment, None)
        self.panels.put(case, panel)
        self.emit(self.Event.VoteCommitted(case, who))
        if all(seat.commitment is not None for seat in panel):
            self._begin_revealing(case, found)

    @call(9)
    def reveal(self, origin: Origin, case: u64, award: Award, salt: Bytes32) -> None:
        """Reveal the vote that was committed to; the last one closes the count."""
        who, found = ensure_signed(origin), self._case(case)
        panel, at = self._arbiters.place_of(case, who)
        if not isinstance(found.phase, Revealing) or self._now() >= found.phase.until:
            raise self.Error.TooLate
        seat = panel[at]
        if seat.vote is not None:
            raise self.Error.AlreadyVoted
        if award > FULL_AWARD or seat.commitment != commitment(case, _panel(found), who, award, salt):
            raise self.Error.BadReveal
        panel[at] = Seat(who, seat.commitment, award)
        self.panels.put(case, panel)
        self.emit(self.Event.VoteRevealed(case, who, award))
        if all(each.vote is not None or each.commitment is None for each in panel):
            self._tally(case, found)

    # --------------------------------------------------------------------------------------------- time

    @call(10)
    def advance(self, origin: Origin, case: u64) -> None:
        """Move a case on whose deadline or epoch has come; anybody may."""
        ensure_signed(origin)
        self._advance(case, self._running(case))

    @call(11)
    def forget(self, origin: Origin, case: u64) -> None:
        """Remove the record of a case that is over, once what it was about is gone; anybody may."""
        ensure_signed(origin)
        found = self._case(case)
        if not isinstance(found.phase, Ended) or self._parties(found.subject) is not None:
            raise self.Error.StillNeeded
        self.cases.remove(case)
        self.case_of.remove(found.subject)
        self._balances.release(DEPOSIT, found.claimant, found.deposit)
        self.emit(self.Event.CaseForgotten(case))

    def on_initialize(self, number: BlockNumber) -> int:  # noqa: ARG002 - time decides
        """Move cases on, a few a block."""
        due = self._agenda.due(self._now(), SWEPT_A_BLOCK)
        for case in due:
            found = self.cases.get(case)
            if found is None or isinstance(found.phase, Ended):
                continue
            outcome = attempt(self._machine, self._make_call("Disputes.advance", case), Signed(found.claimant))
            if isinstance(outcome, Fail):
                self._enter(case, found.copy(), Moment(self._now() + SLOT_MS))
        return self._sweeping.at(len(due))

    def _advance(self, number: int, case: Case) -> None:
        """Do what the end of a phase asks for.

        Raises:
            NotYet: it has not ended.
        """
        phase = case.phase
        if isinstance(phase, Drawing):
            if self._seeds.get().epoch < phase.epoch:
                raise self.Error.NotYet
            self._draw(number, case)
        elif isinstance(phase, (Opened, Committing, Revealing, Ruled)):
            if self._now() < phase.until:
                raise self.Error.NotYet
            self._end_phase(number, case, phase)

    def _end_phase(self, number: int, case: Case, phase: Opened | Committing | Revealing | Ruled) -> None:
        if isinstance(phase, Opened):
            self.emit(self.Event.DefaultJudgement(number))
            self._give_bonds_back(case)
            self._execute(number, case, FULL_AWARD)
        elif isinstance(phase, Committing):
            self._begin_revealing(number, case)
        elif isinstance(phase, Revealing):
            self._tally(number, case)
        else:
            self._judge(number, case, phase.award, self._arbiters.dissolve(number))

    # --------------------------------------------------------------------------------------------- panels

    def _wait_for_seed(self, number: int, case: Case) -> int:
        """Wait for an epoch whose seed is made after the present one; return it."""
        epoch = self._seeds.get().epoch + 2
        case.phase = Drawing(epoch)
        self._enter(number, case, Moment(self._now() + SLOT_MS))
        return epoch

    def _draw(self, number: int, case: Case) -> None:
        seed, panel = bytes(self._seeds.get().seed), _panel(case)
        barred = (case.claimant, *self._providers.people_of(case.provider), *case.former)
        drawn = self._arbiters.seat(number, panel, seed, barred, PANELS[panel])
        if not drawn:
            self._no_vote(number, case, [])
            return
        until = self._in(COMMIT_STEPS)
        case.phase = Committing(until)
        self._enter(number, case, until)
        self.emit(self.Event.PanelDrawn(number, panel, drawn, until))

    def _begin_revealing(self, number: int, case: Case) -> None:
        until = self._in(REVEAL_STEPS)
        case.phase = Revealing(until)
        self._enter(number, case, until)
        self.emit(self.Event.RevealingBegan(number, until))

    def _tally(self, number: int, case: Case) -> None:
        """Count the votes."""
        votes = self._arbiters.punish_silent(number)
        if not votes:
            self._no_vote(number, case, self._arbiters.dissolve(number))
            return
        award = median(votes)
        if case.appeal is not None:
            self.emit(self.Event.CaseRuled(number, award, self._now()))
            self._judge(number, case, award, self._arbiters.dissolve(number))
            return
        until = self._in(APPEAL_STEPS)
        self._take_offer_back(case)
        case.phase = Ruled(award, until)
        self._enter(number, case, until)
        self.emit(self.Event.CaseRuled(number, award, until))

    def _no_vote(self, number: int, case: Case, panel: list[Seat]) -> None:
        """Let the first ruling stand, or dismiss a case nobody judged."""
        if case.ruling is not None:
            self._judge(number, case, case.ruling, panel)
            return
        self._give_bonds_back(case)
        self.emit(self.Event.CaseDismissed(number))
        self._finish(number, case, Balance(0))

    # --------------------------------------------------------------------------------------------- money

    def _judge(self, number: int, case: Case, award: int, panel: list[Seat]) -> None:
        """Give the winner's bonds back, share out the others, and pay the award."""
        claimant_wins = 2 * award >= FULL_AWARD
        near = [seat.arbiter for seat in panel if seat.vote is not None and abs(seat.vote - award) <= COHERENT]
        bonds = [Stake(case.claimant, case.bond), case.answer_bond, case.appeal]
        winner = case.claimant if claimant_wins or case.answer_bond is None else case.answer_bond.who
        for bond in bonds:
            if bond is None:
                continue
            if (bond.who == case.claimant) == claimant_wins:
                self._balances.release(BOND, bond.who, bond.amount)
            else:
                self._forfeit(bond, near, winner)
        case.bond, case.answer_bond, case.appeal = Balance(0), None, None
        self._execute(number, case, award)

    def _forfeit(self, bond: Stake, arbiters: list[AccountId], winner: AccountId) -> None:
        """Share a bond: half to arbiters, the rest to the winner."""
        fee = Balance(bond.amount // 2 // len(arbiters)) if arbiters else Balance(0)
        for arbiter in arbiters:
            self._pay(bond, arbiter, fee)
        self._pay(bond, winner, Balance(bond.amount - fee * len(arbiters)))

    def _execute(self, number: int, case: Case, award: int) -> None:
        """Pay an award out of the provider's bond, less what was given back meanwhile."""
        awarded = Balance(case.amount * award // FULL_AWARD)
        if self._parties(case.subject) is not None:
            awarded = min(awarded, self._paid(case.subject))
        paid = self._providers.award(case.provider, awarded, case.claimant)
        self.emit(self.Event.CaseEnded(number, awarded, paid))
        self._finish(number, case, paid)

    def _finish(self, number: int, case: Case, paid: Balance) -> None:
        self._take_offer_back(case)
        self._agenda.cross_out(case.place)
        self._arbiters.dissolve(number)
        case.phase, case.place = Ended(paid), (0, 0)
        self.cases.put(number, case)
        self._providers.case_ends(case.provider)

    def _pay(self, bond: Stake, to: AccountId, amount: Balance) -> None:
        """Pay out of a bond; what cannot be received goes back to whose bond it is."""
        if to != bond.who and amount and self._balances.can_receive(to, amount):
            self._balances.transfer_held(BOND, bond.who, to, amount)
        else:
            self._balances.release(BOND, bond.who, amount)

    def _give_bonds_back(self, case: Case) -> None:
        self._balances.release(BOND, case.claimant, case.bond)
        case.bond = Balance(0)
        for bond in (case.answer_bond, case.appeal):
            if bond is not None:
                self._balances.release(BOND, bond.who, bond.amount)
        case.answer_bond = case.appeal = None

    def _take_offer_back(self, case: Case) -> None:
        if case.offer is not None:
            self._balances.release(OFFER, case.offer.who, case.offer.amount)
            case.offer = None

    # --------------------------------------------------------------------------------------------- inside

    def _now(self) -> Moment:
        return self._clock.current_time()

    def _in(self, steps: int) -> Moment:
        return Moment(self._now() + steps * self.step_ms)

    def _enter(self, number: int, case: Case, at: Moment) -> None:
        """Store a case and when it is looked at next."""
        self._agenda.cross_out(case.place)
        case.place = self._agenda.enter(at, number)
        self.cases.put(number, case)

    def _case(self, number: int) -> Case:
        found = self.cases.get(number)
        if found is None:
            raise self.Error.NoCase
        return found.copy()

    def _running(self, number: int) -> Case:
        found = self._case(number)
        if isinstance(found.phase, Ended):
            raise self.Error.TooLate
        return found

    def _parties(self, subject: Subject) -> tuple[AccountId, int] | None:
        if isinstance(subject, OfSession):
            return self._sessions.parties_of(subject.session)
        if isinstance(subject, OfSubscription):
            return self._plans.parties_of(subject.subscription, subject.period)
        return None

    def _paid(self, subject: Subject) -> Balance:
        if isinstance(subject, OfSession):
            return self._sessions.paid_by(subject.session)
        return self._plans.paid_by(subject.subscription) if isinstance(subject, OfSubscription) else Balance(0)


def bond_of(amount: int) -> Balance:
    """Return what each party puts down in a case about an amount."""
    return Balance(max(BOND_MIN, amount * BOND_PERCENT // 100))


def _panel(case: Case) -> int:
    """Return which panel of a case sits: 0 the first, 1 that of the appeal."""
    return int(case.appeal is not None)
