"""Plans: subscriptions and passes, such as "100 tokens a month for professional access".

* A provider publishes versions of a plan; a subscription gets the latest one when it begins and when it is renewed,
  and keeps it for the period.
* A mandate bounds what the payer can lose: a most per period in the plan's currency and in the token, and an end. A
  dearer version does not renew.
* Periods are counted from the day the subscription began (`chain.pallets.ai.calendar`). A renewal buys exactly the
  period after the present one, from its end on and up to `RETRY_MS` later, so never twice and never for the past;
  whoever wants may trigger it where the mandate lets others, and a bounded sweep does (`_sweep`).
* With `ProRata` the price is held of the payer and becomes the provider's second by second; with `Nothing` it is the
  provider's at once. So a refund is never owed by anybody: it is what is still held.
* Included units are counted by the provider in checkpoints that only rise within a period and name receipts.

    held(Period, who) == sum of price - paid of the subscriptions of who
    held(Deposit, who) == sum of deposits of who

Source: payments paper, section 5.5; `docs/spec/pay-plans-allowances.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from aitoken.codec.containers import Fail
from aitoken.codec.hints import u32, u64
from aitoken.pay.units import UNITS
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment
from chain.frame.calls import call
from chain.frame.origin import Origin, Signed, ensure_signed
from chain.frame.pallet import Pallet, constant, runtime_api
from chain.frame.results import attempt
from chain.frame.storage import BLAKE2_128_CONCAT, TWOX_64_CONCAT, Map, OptionMap, Value, storage_map, value
from chain.pallets.ai.agenda import Agenda
from chain.pallets.ai.calendar import DAY_MS, add_months
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.pay import in_token
from chain.pallets.ai.plans_events import PlansErrors, PlansEvents
from chain.pallets.ai.plans_types import (
    PERIOD_MAX,
    TRIAL_DAYS_MAX,
    VERSIONS_MAX,
    Mandate,
    Pass,
    Period,
    PeriodUnit,
    Plan,
    PlansHoldReason,
    PlanTerms,
    PlanVersion,
    Refund,
    Subscription,
    Units,
)

if TYPE_CHECKING:
    from chain.frame.machine import Machine
    from chain.pallets.balances import Balances

MANDATE_MAX_MS: Final = 2 * 366 * DAY_MS
RETRY_MS: Final = 3 * DAY_MS
FAILURES_MAX: Final = 3
SWEPT_A_BLOCK: Final = 5
VERSION_BYTES: Final = 300
MODEL_BYTES: Final = 32
UNIT_BYTES: Final = 10
SUBSCRIPTION_BYTES: Final = 350
TRIAL_BYTES: Final = 80

DEPOSIT: Final = PlansHoldReason.Deposit
PERIOD: Final = PlansHoldReason.Period


class Now(Protocol):
    """The time of the block."""

    def current_time(self) -> Moment:
        """Unix milliseconds."""


class Rates(Protocol):
    """What a currency costs; the Oracle pallet."""

    def rate(self, currency: int) -> int | None:
        """Units of the token for one whole of a currency, None where nobody knows it now."""


class Sellers(Protocol):
    """Who sells; the Providers pallet."""

    def payout_of(self, provider: int) -> AccountId | None:
        """Where a provider is paid, None where there is no such provider."""

    def is_run_by(self, provider: int, who: AccountId) -> bool:
        """Whether an account is the owner or the operator of a provider."""


class Plans(Pallet, index=44, crate="pallet_plans"):
    """Subscriptions and passes."""

    HoldReason = PlansHoldReason
    Event = PlansEvents
    Error = PlansErrors

    plans: OptionMap[u64, Plan] = storage_map(TWOX_64_CONCAT, doc="Plans.")
    versions: OptionMap[tuple[u64, u32], PlanVersion] = storage_map(
        TWOX_64_CONCAT, TWOX_64_CONCAT, doc="Versions of plans that are the latest or somebody's."
    )
    subscriptions: OptionMap[u64, Subscription] = storage_map(TWOX_64_CONCAT, doc="Subscriptions.")
    passes: OptionMap[tuple[AccountId, u64], u64] = storage_map(
        BLAKE2_128_CONCAT, TWOX_64_CONCAT, doc="Plans by holder and subscription."
    )
    trials: OptionMap[tuple[u64, AccountId], Balance] = storage_map(
        TWOX_64_CONCAT, BLAKE2_128_CONCAT, doc="Who had a trial of a plan, and the deposit for remembering it."
    )
    agenda: OptionMap[tuple[u32, u32], u64] = storage_map(
        TWOX_64_CONCAT, TWOX_64_CONCAT, doc="Subscriptions by when they are looked at next."
    )
    agenda_counts: Map[u32, u32] = storage_map(TWOX_64_CONCAT, doc="How many were entered for a slot of time.")
    agenda_front: Value[tuple[u32, u32]] = value(doc="Slot and position the agenda has been read to.")
    next_id: Value[u64] = value(doc="The number of the next plan or subscription; never used twice.")

    max_versions: u32 = constant(VERSIONS_MAX, doc="Most versions of a plan.")
    max_mandate: u64 = constant(MANDATE_MAX_MS, doc="How long a mandate may last, in milliseconds.")
    retry: u64 = constant(RETRY_MS, doc="How long after the end of a period it may be renewed, in milliseconds.")

    def __init__(self, machine: Machine, balances: Balances, clock: Now, rates: Rates, providers: Sellers) -> None:
        super().__init__(machine)
        self._machine = machine
        self._balances = balances
        self._clock = clock
        self._rates = rates
        self._providers = providers
        self._agenda = Agenda(self.agenda, self.agenda_counts, self.agenda_front)
        self._make_call = machine.schema.make_call
        self._sweeping = self.cost_of("on_initialize")

    # --------------------------------------------------------------------------------------------- the provider's

    @call(0)
    def publish(
        self,
        origin: Origin,
        provider: u64,
        plan: u64 | None,
        period: Period,
        terms: PlanTerms,
    ) -> None:
        """Publish a new plan, or a new version of one, with the same period."""
        who = ensure_signed(origin)
        if not self._providers.is_run_by(provider, who):
            raise self.Error.NotProvider
        self._check_terms(period, terms)
        size = VERSION_BYTES + MODEL_BYTES * len(terms.entitlements.models) + UNIT_BYTES * len(terms.included)
        held = deposit(size)
        self._balances.hold(DEPOSIT, who, held)
        if plan is None:
            plan = self._new_id()
            found = Plan(provider, period, 0, 0, 0, retired=False)
        else:
            found = self._plan(plan).copy()
            if found.provider != provider:
                raise self.Error.NotProvider
            if found.period != period:
                raise self.Error.BadPeriod
        old, found.version = found.version, found.version + 1
        found.versions += 1
        self.plans.put(plan, found)
        self.versions.put((plan, found.version), PlanVersion(terms, 0, who, held))
        if old:
            self._drop_unused(plan, old)
        if self._plan(plan).versions > VERSIONS_MAX:
            raise self.Error.TooManyVersions
        self.emit(self.Event.PlanPublished(plan, provider, found.version))

    @call(1)
    def retire(self, origin: Origin, plan: u64) -> None:
        """Take no more subscriptions and renewals; periods that were paid run to their end."""
        who = ensure_signed(origin)
        found = self._plan(plan).copy()
        if not self._providers.is_run_by(found.provider, who):
            raise self.Error.NotProvider
        found.retired = True
        self.plans.put(plan, found)
        self._drop_unused(plan, found.version)
        self.emit(self.Event.PlanRetired(plan))

    @call(2)
    def redeem(self, origin: Origin, subscription: u64, period: u32, used: Units, receipt_root: Hash32) -> None:
        """Count included units used in the present period, in all; the root commits to the receipts behind it."""
        who = ensure_signed(origin)
        found = self._subscription(subscription).copy()
        if not self._providers.is_run_by(self._of(found).provider, who):
            raise self.Error.NotProvider
        if period != found.period:
            raise self.Error.OtherPeriod
        included, new = dict(self._version(found).terms.included), dict(used)
        if not _in_order(used) or not all(included.get(unit, 0) >= quantity for unit, quantity in used):
            raise self.Error.BadUnits
        if not all(new.get(unit, 0) >= quantity for unit, quantity in found.used):
            raise self.Error.BadUnits
        found.used = used
        self.subscriptions.put(subscription, found)
        self.emit(self.Event.UnitsRedeemed(subscription, period, used, receipt_root))

    # --------------------------------------------------------------------------------------------- the payer's

    @call(3)
    def subscribe(
        self,
        origin: Origin,
        plan: u64,
        version: u32,
        mandate: Mandate,
        beneficiary: AccountId | None,
        trial: bool,  # noqa: FBT001 - an argument of a call
    ) -> None:
        """Begin a subscription for the caller or somebody else: pay the first period now, or have the trial."""
        payer = ensure_signed(origin)
        found, now = self._plan(plan), self._clock.current_time()
        if found.version != version:
            raise self.Error.OtherVersion
        if not now < mandate.until <= now + MANDATE_MAX_MS:
            raise self.Error.BadMandate
        terms = self._terms(plan, version)
        number = self._new_id()
        holder = payer if beneficiary is None else beneficiary
        first, anchor = 1, now
        ends = _boundary(found.period, anchor, 1)
        if trial:
            self._note_trial(plan, payer, terms)
            ends = anchor = Moment(now + terms.trial_days * DAY_MS)
            first = 0
        amount = Balance(0) if trial else self._price(terms, mandate)
        held = deposit(SUBSCRIPTION_BYTES + UNIT_BYTES * len(terms.included))
        self._balances.hold(DEPOSIT, payer, held)
        place = self._agenda.enter(ends, number)
        subscription = Subscription(
            plan, version, payer, holder, mandate, anchor, first, now, ends, amount, self._charge(payer, found, terms,
            amount), [], 0, place, held,
        )  # fmt: skip
        self.subscriptions.put(number, subscription)
        self.passes.put((holder, number), plan)
        self._count(plan, version, 1)
        self.emit(self.Event.Subscribed(number, plan, version, payer, holder, amount, ends))

    @call(4)
    def renew(self, origin: Origin, subscription: u64) -> None:
        """Begin the next period once the present one is over; anybody may where the mandate says so."""
        who = ensure_signed(origin)
        found, now = self._subscription(subscription).copy(), self._clock.current_time()
        if now < found.ends:
            raise self.Error.NotDue
        if found.ends >= found.mandate.until or (who != found.payer and not found.mandate.auto_renew):
            raise self.Error.MandateOver
        plan = self._plan(found.plan)
        if now >= self._last_chance(found, plan):
            raise self.Error.Lapsed
        ends = _boundary(plan.period, found.anchor, found.period + 1)
        terms = self._terms(found.plan, plan.version)
        amount = self._price(terms, found.mandate)
        self._settle(subscription, found)
        self._agenda.cross_out(found.place)
        found.place = self._agenda.enter(ends, subscription)
        found.price, found.paid = amount, self._charge(found.payer, plan, terms, amount)
        old, found.version = found.version, plan.version
        found.period, found.starts, found.ends, found.used, found.failures = found.period + 1, found.ends, ends, [], 0
        self.subscriptions.put(subscription, found)
        self._count(found.plan, found.version, 1)
        self._count(found.plan, old, -1)
        self.emit(self.Event.Renewed(subscription, found.period, found.version, amount, ends))

    @call(5)
    def cancel(self, origin: Origin, subscription: u64, at_once: bool) -> None:  # noqa: FBT001 - an argument of a call
        """Let a subscription run out, or end it at once; then what is still held for the period comes back."""
        payer = ensure_signed(origin)
        found = self._subscription(subscription).copy()
        if payer != found.payer:
            raise self.Error.NotPayer
        if at_once:
            self._end(subscription, found)
            return
        found.mandate = found.mandate.copy()
        found.mandate.until = min(found.mandate.until, found.ends)
        self.subscriptions.put(subscription, found)
        self.emit(self.Event.WillEnd(subscription, found.ends))

    @call(6)
    def transfer(self, origin: Origin, subscription: u64, to: AccountId) -> None:
        """Give a pass to somebody else; who pays for it stays the same."""
        holder = ensure_signed(origin)
        found = self._subscription(subscription).copy()
        if holder != found.beneficiary or not self._version(found).terms.transferable:
            raise self.Error.NotHolder
        self.passes.remove((holder, subscription))
        self.passes.put((to, subscription), found.plan)
        found.beneficiary = to
        self.subscriptions.put(subscription, found)
        self.emit(self.Event.PassTransferred(subscription, to))

    # --------------------------------------------------------------------------------------------- anybody's

    @call(7)
    def settle(self, origin: Origin, subscription: u64) -> None:
        """Pay the provider what it has earned, and end a subscription that is over; anybody may."""
        ensure_signed(origin)
        found = self._subscription(subscription).copy()
        if self._is_over(found):
            self._end(subscription, found)
        elif self._settle(subscription, found):
            self.subscriptions.put(subscription, found)
        else:
            raise self.Error.NothingToSettle

    @call(8)
    def forget_trial(self, origin: Origin, plan: u64, who: AccountId) -> None:
        """Give back the deposit for remembering a trial of a plan that is gone; anybody may."""
        ensure_signed(origin)
        if self.plans.contains(plan):
            raise self.Error.PlanExists
        held = self.trials.take((plan, who))
        if held is None:
            raise self.Error.NoTrial
        self._balances.release(DEPOSIT, who, held)
        self.emit(self.Event.TrialForgotten(plan, who))

    def on_initialize(self, number: BlockNumber) -> int:  # noqa: ARG002 - time decides
        """Renew and end what is due, a few a block."""
        due = self._agenda.due(self._clock.current_time(), SWEPT_A_BLOCK)
        for subscription in due:
            self._sweep(subscription)
        return self._sweeping.at(len(due))

    def _sweep(self, subscription: int) -> None:
        """Do what anybody may do with a subscription whose time has come; try again tomorrow if that fails."""
        found = self.subscriptions.get(subscription)
        if found is None:
            return
        found = found.copy()
        if self._is_over(found):
            self._end(subscription, found)
            return
        if not found.mandate.auto_renew:
            found.place = self._agenda.enter(self._last_chance(found, self._of(found)), subscription)
            self.subscriptions.put(subscription, found)
            return
        outcome = attempt(self._machine, self._make_call("Plans.renew", subscription), Signed(found.payer))
        if not isinstance(outcome, Fail):
            return
        found.failures += 1
        self.emit(self.Event.RenewalFailed(subscription, found.failures, outcome[0]))
        if found.failures >= FAILURES_MAX:
            self._end(subscription, found)
            return
        found.place = self._agenda.enter(Moment(self._clock.current_time() + DAY_MS), subscription)
        self.subscriptions.put(subscription, found)

    # --------------------------------------------------------------------------------------------- money

    def _price(self, terms: PlanTerms, mandate: Mandate) -> Balance:
        """Return what a period costs in the token, within a mandate."""
        rate = 0 if terms.currency == 0 else self._rates.rate(terms.currency)
        if rate is None:
            raise self.Error.NoRate
        amount = in_token(terms.price, rate)
        if terms.price > mandate.max_price or amount > mandate.max_amount:
            raise self.Error.OverMandate
        return amount

    def _charge(self, payer: AccountId, plan: Plan, terms: PlanTerms, amount: Balance) -> Balance:
        """Take the price of a period that begins; return how much of it the provider has already."""
        payout = self._providers.payout_of(plan.provider)
        if payout is None:
            raise self.Error.NoPlan
        if terms.refund is Refund.ProRata:
            self._balances.hold(PERIOD, payer, amount)
            return Balance(0)
        if amount:
            self._balances.transfer(payer, payout, amount, keep_alive=True)
        return amount

    def _settle(self, number: int, found: Subscription) -> Balance:
        """Pay the provider what it has earned of the present period; return that."""
        now, length = self._clock.current_time(), found.ends - found.starts
        elapsed = min(max(0, now - found.starts), length)
        amount = Balance(max(0, found.price * elapsed // length - found.paid))
        payout = self._providers.payout_of(self._of(found).provider) if amount else None
        if payout is None or not self._balances.can_receive(payout, amount):
            return Balance(0)
        self._balances.transfer_held(PERIOD, found.payer, payout, amount)
        found.paid = Balance(found.paid + amount)
        self.emit(self.Event.Settled(number, amount))
        return amount

    def _end(self, number: int, found: Subscription) -> None:
        self._settle(number, found)
        refund = Balance(found.price - found.paid)
        self._balances.release(PERIOD, found.payer, refund)
        self._balances.release(DEPOSIT, found.payer, found.deposit)
        self._agenda.cross_out(found.place)
        self.subscriptions.remove(number)
        self.passes.remove((found.beneficiary, number))
        self._count(found.plan, found.version, -1)
        self.emit(self.Event.Ended(number, refund))

    # --------------------------------------------------------------------------------------------- inside

    def _is_over(self, found: Subscription) -> bool:
        """Whether no renewal can come any more."""
        now = self._clock.current_time()
        if now < found.ends:
            return False
        plan = self._of(found)
        return plan.retired or found.ends >= found.mandate.until or now >= self._last_chance(found, plan)

    @staticmethod
    def _last_chance(found: Subscription, plan: Plan) -> Moment:
        """Return from when on it is too late to renew: the next period must not be over, nor `RETRY_MS` old."""
        return Moment(min(found.ends + RETRY_MS, _boundary(plan.period, found.anchor, found.period + 1)))

    def _check_terms(self, period: Period, terms: PlanTerms) -> None:
        if not 1 <= period.count <= PERIOD_MAX[period.unit]:
            raise self.Error.BadPeriod
        if not _in_order(terms.included) or not all(unit in UNITS for unit, _ in terms.included):
            raise self.Error.BadTerms
        if terms.trial_days > TRIAL_DAYS_MAX:
            raise self.Error.BadTerms

    def _note_trial(self, plan: int, who: AccountId, terms: PlanTerms) -> None:
        if not terms.trial_days:
            raise self.Error.NoTrial
        if self.trials.contains((plan, who)):
            raise self.Error.TrialUsed
        held = deposit(TRIAL_BYTES)
        self._balances.hold(DEPOSIT, who, held)
        self.trials.put((plan, who), held)

    def _count(self, plan: int, version: int, more: int) -> None:
        """Count subscriptions of a plan and version; what nobody needs any more goes."""
        found, row = self._any_plan(plan).copy(), self.versions.get((plan, version))
        if row is None:
            raise self.Error.NoPlan
        row = row.copy()
        row.subscriptions += more
        found.subscriptions += more
        self.versions.put((plan, version), row)
        self.plans.put(plan, found)
        if more < 0:
            self._drop_unused(plan, version)

    def _drop_unused(self, plan: int, version: int) -> None:
        """Remove a version that is nobody's and not the latest of a living plan, and a plan without versions."""
        found, row = self._any_plan(plan), self.versions.get((plan, version))
        if row is None or row.subscriptions or (version == found.version and not found.retired):
            return
        self.versions.remove((plan, version))
        self._balances.release(DEPOSIT, row.depositor, row.deposit)
        found = found.copy()
        found.versions -= 1
        if found.versions:
            self.plans.put(plan, found)
        else:
            self.plans.remove(plan)

    def _new_id(self) -> int:
        number = self.next_id.get()
        self.next_id.put(number + 1)
        return number

    def _any_plan(self, plan: int) -> Plan:
        found = self.plans.get(plan)
        if found is None:
            raise self.Error.NoPlan
        return found

    def _plan(self, plan: int) -> Plan:
        found = self._any_plan(plan)
        if found.retired:
            raise self.Error.NoPlan
        return found

    def _of(self, found: Subscription) -> Plan:
        return self._any_plan(found.plan)

    def _terms(self, plan: int, version: int) -> PlanTerms:
        found = self.versions.get((plan, version))
        if found is None:
            raise self.Error.NoPlan
        return found.terms

    def _version(self, found: Subscription) -> PlanVersion:
        row = self.versions.get((found.plan, found.version))
        if row is None:
            raise self.Error.NoPlan
        return row

    def _subscription(self, number: int) -> Subscription:
        found = self.subscriptions.get(number)
        if found is None:
            raise self.Error.NoSubscription
        return found

    # --------------------------------------------------------------------------------------------- for others

    def provider_of_plan(self, plan: int) -> int | None:
        """Return who sells a plan."""
        found = self.plans.get(plan)
        return None if found is None else found.provider

    def provider_of_subscription(self, subscription: int) -> int | None:
        """Return with whom a subscription is."""
        found = self.subscriptions.get(subscription)
        return None if found is None else self.provider_of_plan(found.plan)

    def parties_of(self, subscription: int, period: int) -> tuple[AccountId, int] | None:
        """Return payer and provider, None where the subscription is gone or in another period."""
        found = self.subscriptions.get(subscription)
        return None if found is None or found.period != period else (found.payer, self._of(found).provider)

    def paid_by(self, subscription: int) -> Balance:
        """Return what the provider has of the present period."""
        return self._subscription(subscription).paid

    @runtime_api("PlansApi", 1)
    def passes_of(self, holder: AccountId, provider: u64) -> list[Pass]:
        """Return what a holder may do with a provider now: its passes whose period is not over."""
        now, found = self._clock.current_time(), []
        for (_, number), plan in self.passes.items(holder):
            row = self.subscriptions.get(number)
            if row is None or now >= row.ends or self.provider_of_plan(plan) != provider:
                continue
            terms = self._version(row).terms
            found.append(
                Pass(number, plan, row.version, row.period, row.ends, row.mandate.auto_renew, terms.entitlements,
                     terms.included, row.used)
            )  # fmt: skip
        return found


def _boundary(period: Period, anchor: Moment, number: int) -> Moment:
    """Return where period `number` ends, counted from the anchor."""
    if period.unit is PeriodUnit.Month:
        return add_months(anchor, number * period.count)
    days = 7 if period.unit is PeriodUnit.Week else 1
    return Moment(anchor + number * period.count * days * DAY_MS)


def _in_order(units: Units) -> bool:
    numbers = [unit for unit, _ in units]
    return numbers == sorted(set(numbers)) and all(quantity > 0 for _, quantity in units)
