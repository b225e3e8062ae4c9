"""Staking: bonds decide who validates, eras decide who is paid, offences cost money.

The calls, and what other pallets use. Rules stand where they are carried out:

* `ledger`    bonds, chunks, the holds behind them
* `election`  who wins, with which weight: pure functions
* `eras`      when elections are held, what an era is worth
* `payouts`   points, pages, the queue that pays by itself
* `slashing`  what an offence costs and when
* `storage`, `types`, `events`  what wallets see

Left out of Substrate's: controllers, bags, pools, spans, invulnerables, `MaxStakedRewards`.

Source: `pallet_staking`, runtime paper section 3.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from aitoken.codec.hints import TypeName, codec_of, u32
from aitoken.types import AccountId, Balance, BlockNumber
from chain.frame.calls import PostInfo, call
from chain.frame.origin import Origin, ensure_root, ensure_signed
from chain.frame.pallet import Pallet
from chain.frame.types import PERBILL_ONE, CompactU32, LookupSource, Pays, lookup
from chain.pallets.staking import types as t
from chain.pallets.staking.eras import Clock, Eras, Exposures, Room
from chain.pallets.staking.events import StakingErrors, StakingEvents
from chain.pallets.staking.ledger import Bonds, normalised
from chain.pallets.staking.payouts import POINTS_OF_AUTHOR, Payouts
from chain.pallets.staking.slashing import Slashing
from chain.pallets.staking.storage import StakingStorage

if TYPE_CHECKING:
    from chain.frame.machine import Machine
    from chain.pallets.balances import Balances

Payee = Annotated[t.RewardDestination, TypeName("RewardDestination<T::AccountId>")]
Account = Annotated[AccountId, codec_of(AccountId), TypeName("T::AccountId")]
Accounts = Annotated[list[LookupSource], TypeName("Vec<AccountIdLookupOf<T>>")]
BalanceOp = Annotated[t.ConfigOpBalance, TypeName("ConfigOp<BalanceOf<T>>")]
U32Op = Annotated[t.ConfigOpU32, TypeName("ConfigOp<u32>")]
PercentOp = Annotated[t.ConfigOpPercent, TypeName("ConfigOp<Percent>")]
PerbillOp = Annotated[t.ConfigOpPerbill, TypeName("ConfigOp<Perbill>")]
NOTHING: Final = Balance(0)
REACHES_MAX: Final = 1024
"""Most nominators kicked in one call."""


@dataclass(frozen=True, slots=True)
class StakingGenesis:
    """The settings a chain starts with; fractions in billionths.

    The most nominators bound what an election costs, for it is held in one block: 2,000 with 16 targets each take
    0.2 s.
    """

    validator_count: int = 21
    minimum_validator_count: int = 1
    min_validator_bond: Balance = NOTHING
    min_nominator_bond: Balance = NOTHING
    min_commission: int = 0
    slash_reward_fraction: int = 50_000_000
    max_validators: int = 1_000
    max_nominators: int = 2_500


class Staking(Pallet, StakingStorage, index=8, crate="pallet_staking"):
    """Bonds decide who validates, eras decide who is paid, offences cost money."""

    HoldReason = t.StakingHoldReason
    Event = StakingEvents
    Error = StakingErrors

    def __init__(self, machine: Machine, balances: Balances, supply: Room, clock: Clock) -> None:
        super().__init__(machine)
        params = machine.schema.params
        self._bonds = Bonds(self, balances)
        self._exposures = Exposures(self)
        self._eras = Eras(
            self, self._bonds, self._exposures, balances, supply, clock, params.idle_interval_ms, params.session_blocks
        )
        self._payouts = Payouts(
            self, self._bonds, self._exposures, balances, supply, machine.store,
            self.cost_of("payout_stakers").base, self.cost_of("skip_paid").base,
        )  # fmt: skip
        self._slashing = Slashing(self, self._bonds, self._exposures)
        self._clock = clock

    # --------------------------------------------------------------------------------------------- bonding

    @call(0)
    def bond(self, origin: Origin, value: t.CompactBalanceOf, payee: Payee) -> None:
        """Take the origin account as a stash and lock up `value` of its balance."""
        self._bonds.open(ensure_signed(origin), value, payee)

    @call(1)
    def bond_extra(self, origin: Origin, max_additional: t.CompactBalanceOf) -> None:
        """Add some extra amount that have appeared in the stash `free_balance` into the balance up for staking."""
        self._bonds.add(ensure_signed(origin), max_additional)

    @call(2)
    def unbond(self, origin: Origin, value: t.CompactBalanceOf) -> None:
        """Schedule a portion of the stash to be unlocked ready for transfer out after the bond period ends."""
        self._bonds.unbond(ensure_signed(origin), value)

    @call(3)
    def withdraw_unbonded(self, origin: Origin, num_slashing_spans: u32) -> None:  # noqa: ARG002 - there are no spans
        """Remove any unlocked chunks from the `unlocking` queue from our management."""
        self._bonds.withdraw(ensure_signed(origin))

    @call(19)
    def rebond(self, origin: Origin, value: t.CompactBalanceOf) -> None:
        """Rebond a portion of the stash scheduled to be unlocked."""
        self._bonds.rebond(ensure_signed(origin), value)

    @call(7)
    def set_payee(self, origin: Origin, payee: Payee) -> None:
        """(Re-)set the payment target for a stash."""
        who = ensure_signed(origin)
        self._bonds.of(who)
        self.payee.put(who, normalised(payee))

    @call(20)
    def reap_stash(self, origin: Origin, stash: Account, num_slashing_spans: u32) -> PostInfo:  # noqa: ARG002
        """Remove all data structures of a stash that has less than the existential deposit left; free of charge."""
        ensure_signed(origin)
        if self._bonds.of(stash).total >= self._bonds.existential_deposit:
            raise self.Error.FundedTarget
        self._bonds.close(stash)
        return PostInfo(pays=Pays.No)

    # --------------------------------------------------------------------------------------------- roles

    @call(4)
    def validate(self, origin: Origin, prefs: Annotated[t.ValidatorPrefs, TypeName("ValidatorPrefs")]) -> None:
        """Declare the desire to validate. Effects will be felt at the beginning of the next era."""
        who = ensure_signed(origin)
        if self._bonds.of(who).active < self.min_validator_bond.get():
            raise self.Error.InsufficientBond
        if prefs.commission < self.min_commission.get():
            raise self.Error.CommissionTooLow
        if prefs.commission > PERBILL_ONE:
            raise self.Error.BoundNotMet
        self._become_validator(who, prefs)
        self.emit(self.Event.ValidatorPrefsSet(who, prefs))

    def _become_validator(self, who: AccountId, prefs: t.ValidatorPrefs) -> None:
        if not self.validators.contains(who):
            count, most = self.counter_for_validators.get(), self.max_validators_count.get()
            if most is not None and count >= most:
                raise self.Error.TooManyValidators
            self._bonds.chill(who)
            self.counter_for_validators.put(count + 1)
        self.validators.put(who, prefs)

    @call(5, units=len)
    def nominate(self, origin: Origin, targets: Accounts) -> None:
        """Declare the desire to nominate `targets`. Effects will be felt at the beginning of the next era."""
        who = ensure_signed(origin)
        if self._bonds.of(who).active < self.min_nominator_bond.get():
            raise self.Error.InsufficientBond
        if not targets:
            raise self.Error.EmptyTargets
        if len(targets) > t.MAX_NOMINATIONS:
            raise self.Error.TooManyTargets
        named = list(dict.fromkeys(lookup(target) for target in targets))
        before = self.nominators.get(who)
        for target in named:
            if self.validators.get(target).blocked and (before is None or target not in before.targets):
                raise self.Error.BadTarget
        self._become_nominator(who, named)

    def _become_nominator(self, who: AccountId, targets: list[AccountId]) -> None:
        if not self.nominators.contains(who):
            count, most = self.counter_for_nominators.get(), self.max_nominators_count.get()
            if most is not None and count >= most:
                raise self.Error.TooManyNominators
            self._bonds.chill(who)
            self.counter_for_nominators.put(count + 1)
        self.nominators.put(who, t.Nominations(targets, self.now_planned(), suppressed=False))

    @call(6)
    def chill(self, origin: Origin) -> None:
        """Declare no desire to either validate or nominate. Effects will be felt at the beginning of the next era."""
        who = ensure_signed(origin)
        self._bonds.of(who)
        self._chill(who)

    def _chill(self, who: AccountId) -> None:
        if self._bonds.chill(who):
            self.emit(self.Event.Chilled(who))

    @call(21, units=len)
    def kick(self, origin: Origin, who: Accounts) -> None:
        """Remove the given nominations from the calling validator."""
        validator = ensure_signed(origin)
        self._bonds.of(validator)
        if len(who) > REACHES_MAX:
            raise self.Error.TooManyTargets
        for nominator in (lookup(address) for address in who):
            found = self.nominators.get(nominator)
            if found is not None and validator in found.targets:
                left = [target for target in found.targets if target != validator]
                self.nominators.put(nominator, t.Nominations(left, found.submitted_in, found.suppressed))
                self.emit(self.Event.Kicked(nominator, validator))

    @call(23)
    def chill_other(self, origin: Origin, stash: Account) -> None:
        """Chill a stash whose bond is below the minimum, where the number of those with its role is near its limit."""
        caller = ensure_signed(origin)
        ledger = self._bonds.of(stash)
        if caller != stash and not self._may_chill(stash, ledger.active):
            raise self.Error.CannotChillOther
        self._chill(stash)

    def _may_chill(self, stash: AccountId, active: Balance) -> bool:
        if self.nominators.contains(stash):
            most, count = self.max_nominators_count.get(), self.counter_for_nominators.get()
            least = self.min_nominator_bond.get()
        elif self.validators.contains(stash):
            most, count = self.max_validators_count.get(), self.counter_for_validators.get()
            least = self.min_validator_bond.get()
        else:
            return True
        threshold = self.chill_threshold.get()
        if threshold is None or most is None:
            return False
        return threshold * most // 100 < count and active < least

    # --------------------------------------------------------------------------------------------- paying

    @call(18)
    def payout_stakers(self, origin: Origin, validator_stash: Account, era: t.EraIndex) -> None:
        """Pay out the next page of the stakers behind a validator for an era."""
        ensure_signed(origin)
        self._payouts.pay(era, validator_stash)

    @call(26)
    def payout_stakers_by_page(self, origin: Origin, validator_stash: Account, era: t.EraIndex, page: t.Page) -> None:
        """Pay out a page of the stakers behind a validator for the given era and page."""
        ensure_signed(origin)
        self._payouts.pay(era, validator_stash, page)

    # --------------------------------------------------------------------------------------------- governing

    @call(9)
    def set_validator_count(self, origin: Origin, new: CompactU32) -> None:
        """Set the ideal number of validators. Root only."""
        ensure_root(origin)
        if not 1 <= new <= t.VALIDATORS_MAX:
            raise self.Error.BoundNotMet
        self.validator_count.put(new)

    @call(13)
    def force_new_era(self, origin: Origin) -> None:
        """Force there to be a new era at the end of the next session. Root only."""
        ensure_root(origin)
        self.force_era.put(t.Forcing.ForceNew)
        self.emit(self.Event.ForceEra(t.Forcing.ForceNew))

    @call(15)
    def force_unstake(self, origin: Origin, stash: Account, num_slashing_spans: u32) -> None:  # noqa: ARG002
        """Force a current staker to become completely unstaked, immediately. Root only."""
        ensure_root(origin)
        self._bonds.of(stash)
        self._bonds.close(stash)

    @call(17)
    def cancel_deferred_slash(self, origin: Origin, era: t.EraIndex, slash_indices: list[u32]) -> None:
        """Cancel enactment of a deferred slash; indices ascending. Root only."""
        ensure_root(origin)
        self._slashing.cancel(era, slash_indices)

    @call(22)
    def set_staking_configs(
        self,
        origin: Origin,
        min_nominator_bond: BalanceOp,
        min_validator_bond: BalanceOp,
        max_nominator_count: U32Op,
        max_validator_count: U32Op,
        chill_threshold: PercentOp,
        min_commission: PerbillOp,
        max_staked_rewards: PercentOp,
    ) -> None:
        """Update the various staking configurations. Root only; `max_staked_rewards` cannot be set on this chain."""
        ensure_root(origin)
        if isinstance(max_staked_rewards, t.PercentSet):
            raise self.Error.BoundNotMet
        for operation, item in (
            (min_nominator_bond, self.min_nominator_bond),
            (min_validator_bond, self.min_validator_bond),
            (max_nominator_count, self.max_nominators_count),
            (max_validator_count, self.max_validators_count),
            (chill_threshold, self.chill_threshold),
            (min_commission, self.min_commission),
        ):
            self._configure(operation, item)

    def _configure(self, operation: Any, item: Any) -> None:
        if operation.scale_name == "Remove":
            item.kill()
        elif operation.scale_name == "Set":
            limit = {"chill_threshold": 100, "min_commission": PERBILL_ONE}.get(item.info.attribute)
            if limit is not None and operation.value > limit:
                raise self.Error.BoundNotMet
            item.put(operation.value)

    # --------------------------------------------------------------------------------------------- hooks

    def on_idle(self, number: BlockNumber, remaining: int) -> int:  # noqa: ARG002 - the same for every block
        """Pay a page of stakers."""
        return self._payouts.work_off(remaining)

    def on_finalize(self, number: BlockNumber) -> None:
        """Note in the first block when the first era started: genesis may be much older."""
        if number == 1:
            self.active_era.put(t.ActiveEraInfo(self.now_active(), self._clock.current_time()))

    # --------------------------------------------------------------------------------------------- sessions

    def end_session(self, index: int) -> None:
        """Close the era that ends with session `index`."""
        if self._eras.starts_with(index + 1):
            self._eras.end()

    def start_session(self, index: int) -> int | None:
        """Start the era that starts with session `index`; return the oldest session still punishable, if that moved."""
        if not self._eras.starts_with(index):
            return None
        oldest = self._eras.start(index)
        self._slashing.apply_due(self.now_active())
        return oldest

    def new_session(
        self, index: int, ready: Callable[[AccountId], bool], offline: Sequence[AccountId]
    ) -> list[AccountId]:
        """Return the validators of session `index`.

        Args:
            index: of the session.
            ready: whether an account has the keys to validate.
            offline: who was absent in the session that ended, worst first.
        """
        won = self._eras.plan(index, ready)
        era = self.now_planned()
        elected = [who for _, who in self.eras_stakers_overview.keys(era)] if won is None else won
        return self._present(era, elected, offline)

    def _present(self, era: int, elected: Sequence[AccountId], offline: Sequence[AccountId]) -> list[AccountId]:
        """Return the elected without those that equivocated, and without the absent as far as two thirds remain."""
        excluded = self.excluded.get()
        kept = [who for who in elected if who not in excluded]
        spare = sum(self._exposures.total(era, who) for who in kept) // 3
        for who in offline:
            stake = self._exposures.total(era, who)
            if who in kept and stake <= spare and len(kept) > 1:
                kept.remove(who)
                spare -= stake
        return kept

    def weight_of_rotation(self, index: int) -> int:
        """Return what starting session `index` and electing for the one after it are going to weigh."""
        weight = 0
        if self._eras.starts_with(index):
            waiting = self._slashing.waiting(self.now_active() + 1)
            weight += self.cost_of("apply_slash").at(sum(1 + len(slash.others) for slash in waiting))
        if self._eras.elects(index + 1):
            stakers = self.counter_for_validators.get() + self.counter_for_nominators.get()
            weight += self.cost_of("elect").at(stakers)
        return weight

    def stake_of(self, who: AccountId) -> Balance:
        """Return the stake behind a validator in the running era, its bond where it was not elected for it."""
        return self._exposures.total(self.now_active(), who) or self._bonds.active(who)

    def note_author(self, who: AccountId) -> None:
        """Give the author of a block its points."""
        self._payouts.award(who, POINTS_OF_AUTHOR)

    # --------------------------------------------------------------------------------------------- offences

    def era_of(self, session: int) -> int | None:
        """Return the era of a session, None where it is too old to be punished."""
        return self._slashing.era_of(session)

    def punish(self, offender: AccountId, session: int, fraction: int, reporters: Sequence[AccountId]) -> None:
        """Slash and chill a validator for an equivocation in `session`."""
        era = self._slashing.era_of(session)
        if era is not None:
            self._slashing.report(offender, era, fraction, reporters)

    def penalties_of(self, validator: AccountId) -> list[t.Penalty]:
        """Return the slashes a validator ever met, oldest first."""
        return self.penalties.get(validator)

    # --------------------------------------------------------------------------------------------- genesis

    def start(
        self,
        settings: StakingGenesis,
        validators: Iterable[tuple[AccountId, Balance, int, t.RewardDestination]],
        nominators: Iterable[tuple[AccountId, Balance, list[AccountId], t.RewardDestination]],
    ) -> None:
        """Make the settings and stakers of genesis, and era 0 of them.

        Args:
            settings: what the chain starts with.
            validators: stash, bond, commission, payee.
            nominators: stash, bond, targets, payee.
        """
        self.validator_count.put(settings.validator_count)
        self.minimum_validator_count.put(settings.minimum_validator_count)
        self.min_validator_bond.put(settings.min_validator_bond)
        self.min_nominator_bond.put(settings.min_nominator_bond)
        self.min_commission.put(settings.min_commission)
        self.slash_reward_fraction.put(settings.slash_reward_fraction)
        self.max_validators_count.put(settings.max_validators)
        self.max_nominators_count.put(settings.max_nominators)
        for stash, bond, commission, payee in validators:
            self._bonds.open(stash, bond, payee)
            self._become_validator(stash, t.ValidatorPrefs(commission, blocked=False))
        for stash, bond, targets, payee in nominators:
            self._bonds.open(stash, bond, payee)
            self._become_nominator(stash, list(targets))
        self.active_era.put(t.ActiveEraInfo(0, None))
        self.bonded_eras.put([(0, 0)])
        self._eras.write(0, 0, self._eras.hold_election(lambda _: True))
        self._eras.deactivate_pots()
