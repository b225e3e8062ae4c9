"""Bonds: what a stash has at stake, what is on its way out, and the money that is held for both.

At any time `held(Staking, stash) == ledger.total == ledger.active + sum of the chunks`. Every change of a bond is in
this module, so that it stays true.

A chunk unbonded in era e is free when era e + BondingDuration runs. Until then it can be slashed for what the stash or
its validators did meanwhile: that is what makes the wait worth anything.

Source: `pallet_staking::ledger`; bonds are holds, the stash is its own controller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from aitoken.types import AccountId, Balance
from chain.pallets.balances import BurnReason
from chain.pallets.staking.events import StakingErrors as Error
from chain.pallets.staking.events import StakingEvents as Event
from chain.pallets.staking.types import (
    MAX_UNLOCKING,
    Controller,
    RewardDestination,
    StakingHoldReason,
    StakingLedger,
    Stash,
    UnlockChunk,
)

if TYPE_CHECKING:
    from chain.pallets.staking.storage import StakingStorage

HELD: Final = StakingHoldReason.Staking


class HeldMoney(Protocol):
    """The money of stakers; the Balances pallet."""

    existential_deposit: Balance

    def free_balance(self, who: AccountId) -> Balance:
        """Return the free balance."""

    def held(self, reason: Any, who: AccountId) -> Balance:
        """Return what is held for a reason."""

    def hold(self, reason: Any, who: AccountId, amount: Balance) -> None:
        """Set free money aside."""

    def release(self, reason: Any, who: AccountId, amount: Balance | None = None) -> Balance:
        """Give held money back."""

    def transfer_held(self, reason: Any, source: AccountId, dest: AccountId, amount: Balance) -> None:
        """Move held money into the free money of another account."""

    def burn_held(self, reason: Any, who: AccountId, amount: Balance, why: BurnReason) -> Balance:
        """Destroy held money."""

    def can_receive(self, who: AccountId, amount: Balance) -> bool:
        """Whether an account would accept a deposit."""


def normalised(payee: RewardDestination) -> RewardDestination:
    """Return a destination without the controller there is not."""
    return Stash() if isinstance(payee, Controller) else payee


class Bonds:
    """Changes bonds and the holds behind them together."""

    def __init__(self, store: StakingStorage, balances: HeldMoney) -> None:
        self._store = store
        self._balances = balances

    @property
    def existential_deposit(self) -> Balance:
        """Return the least bond that is kept."""
        return self._balances.existential_deposit

    # --------------------------------------------------------------------------------------------- reading

    def of(self, who: AccountId) -> StakingLedger:
        """Return a copy of the ledger of a stash.

        Raises:
            NotController: it has bonded nothing.
        """
        found = self._store.ledger.get(who)
        if found is None:
            raise Error.NotController
        return found.copy()

    def active(self, who: AccountId) -> Balance:
        """Return what a stash has at stake."""
        found = self._store.ledger.get(who)
        return Balance(0) if found is None else found.active

    def _spare(self, who: AccountId) -> int:
        return max(0, self._balances.free_balance(who) - self._balances.existential_deposit)

    # --------------------------------------------------------------------------------------------- in

    def open(self, who: AccountId, value: Balance, payee: RewardDestination) -> None:
        """Bond for the first time; what exceeds the free balance is ignored.

        Raises:
            AlreadyBonded: there is a bond.
            InsufficientBond: less than the existential deposit.
        """
        store = self._store
        if store.bonded.contains(who):
            raise Error.AlreadyBonded
        amount = Balance(min(value, self._spare(who)))
        if amount < self._balances.existential_deposit:
            raise Error.InsufficientBond
        store.bonded.put(who, who)
        store.payee.put(who, normalised(payee))
        self._balances.hold(HELD, who, amount)
        store.ledger.put(who, StakingLedger(who, amount, amount, [], []))
        store.emit(Event.Bonded(who, amount))

    def add(self, who: AccountId, most: Balance) -> None:
        """Bond more: as much of `most` as the free balance has.

        Raises:
            NotController: there is no bond.
            InsufficientBond: what is at stake stays below the existential deposit.
        """
        ledger = self.of(who)
        extra = Balance(min(most, self._spare(who)))
        ledger.total = Balance(ledger.total + extra)
        ledger.active = Balance(ledger.active + extra)
        if ledger.active < self._balances.existential_deposit:
            raise Error.InsufficientBond
        self._balances.hold(HELD, who, extra)
        self._store.ledger.put(who, ledger)
        self._store.emit(Event.Bonded(who, extra))

    def compound(self, who: AccountId, amount: Balance) -> None:
        """Stake a reward that has just been paid to the stash."""
        ledger = self.of(who)
        ledger.total = Balance(ledger.total + amount)
        ledger.active = Balance(ledger.active + amount)
        self._balances.hold(HELD, who, amount)
        self._store.ledger.put(who, ledger)

    def rebond(self, who: AccountId, value: Balance) -> None:
        """Put what is unlocking back at stake, the latest chunk first.

        Raises:
            NoUnlockChunk: nothing is unlocking.
            InsufficientBond: what is at stake would stay below the existential deposit.
        """
        ledger = self.of(who)
        if not ledger.unlocking:
            raise Error.NoUnlockChunk
        chunks, left = list(ledger.unlocking), int(value)
        while chunks and left:
            last = chunks.pop()
            taken = min(left, last.value)
            left -= taken
            if taken < last.value:
                chunks.append(UnlockChunk(Balance(last.value - taken), last.era))
        back = Balance(value - left)
        ledger.active = Balance(ledger.active + back)
        ledger.unlocking = chunks
        if ledger.active < self._balances.existential_deposit:
            raise Error.InsufficientBond
        self._store.ledger.put(who, ledger)
        self._store.emit(Event.Bonded(who, back))

    # --------------------------------------------------------------------------------------------- out

    def unbond(self, who: AccountId, value: Balance) -> None:
        """Start taking money out. Less than the existential deposit is not left at stake.

        Raises:
            NoMoreChunks: too many withdrawals are under way.
            InsufficientBond: who validates or nominates must keep the minimum; chill first.
        """
        store = self._store
        ledger = self.of(who)
        taken = min(value, ledger.active)
        if not taken:
            return
        left = ledger.active - taken
        if left < self._balances.existential_deposit:
            taken, left = ledger.active, 0
        if left < self._least(who):
            raise Error.InsufficientBond
        era = store.now_planned() + store.bonding_duration
        chunks = list(ledger.unlocking)
        if chunks and chunks[-1].era == era:
            chunks[-1] = UnlockChunk(Balance(chunks[-1].value + taken), era)
        elif len(chunks) < MAX_UNLOCKING:
            chunks.append(UnlockChunk(Balance(taken), era))
        else:
            raise Error.NoMoreChunks
        ledger.active = Balance(left)
        ledger.unlocking = chunks
        store.ledger.put(who, ledger)
        store.emit(Event.Unbonded(who, Balance(taken)))

    def _least(self, who: AccountId) -> Balance:
        store = self._store
        if store.validators.contains(who):
            return store.min_validator_bond.get()
        if store.nominators.contains(who):
            return store.min_nominator_bond.get()
        return Balance(0)

    def withdraw(self, who: AccountId) -> None:
        """Give back what has been unlocking for long enough; the last of a bond closes it."""
        ledger = self.of(who)
        era = self._store.now_active()
        kept = [chunk for chunk in ledger.unlocking if chunk.era > era]
        freed = Balance(sum(chunk.value for chunk in ledger.unlocking if chunk.era <= era))
        if not kept and ledger.active < self._balances.existential_deposit:
            freed = self.close(who)
        elif freed:
            ledger.total = Balance(ledger.total - freed)
            ledger.unlocking = kept
            self._store.ledger.put(who, ledger)
            self._balances.release(HELD, who, freed)
        if freed:
            self._store.emit(Event.Withdrawn(who, freed))

    def close(self, who: AccountId) -> Balance:
        """Forget a stash and give back all that is held of it; return how much."""
        self.chill(who)
        self._store.bonded.remove(who)
        self._store.ledger.remove(who)
        self._store.payee.remove(who)
        return self._balances.release(HELD, who)

    def chill(self, who: AccountId) -> bool:
        """Stop validating or nominating from the next election on; whether there was anything to stop."""
        store = self._store
        if store.validators.contains(who):
            store.validators.remove(who)
            store.counter_for_validators.put(store.counter_for_validators.get() - 1)
            return True
        if store.nominators.contains(who):
            store.nominators.remove(who)
            store.counter_for_nominators.put(store.counter_for_nominators.get() - 1)
            return True
        return False

    # --------------------------------------------------------------------------------------------- slashed

    def slash(self, who: AccountId, amount: Balance, reward: Balance, reporter: AccountId | None) -> Balance:
        """Take money for an offence; return how much.

        What is at stake goes first, then what is unlocking, the latest first: so money that was on its way out before
        the offence is the last to be touched. What has been free before this era is not touched.

        Args:
            who: the stash.
            amount: how much, at most.
            reward: how much of it goes to the reporter, at most; the rest is burned.
            reporter: nobody where all is burned.
        """
        ledger = self._store.ledger.get(who)
        if ledger is None:
            return Balance(0)
        ledger = ledger.copy()
        taken = Balance(min(amount, ledger.active))
        ledger.active = Balance(ledger.active - taken)
        era, chunks = self._store.now_active(), list(ledger.unlocking)
        for place in range(len(chunks) - 1, -1, -1):
            chunk = chunks[place]
            cut = min(amount - taken, chunk.value) if chunk.era >= era else 0
            taken = Balance(taken + cut)
            chunks[place] = UnlockChunk(Balance(chunk.value - cut), chunk.era)
        chunks = [chunk for chunk in chunks if chunk.value]
        if not taken:
            return Balance(0)
        ledger.unlocking = chunks
        ledger.total = Balance(ledger.total - taken)
        self._store.ledger.put(who, ledger)
        paid = Balance(min(reward, taken))
        if reporter is not None and paid and self._balances.can_receive(reporter, paid):
            self._balances.transfer_held(HELD, who, reporter, paid)
        else:
            paid = Balance(0)
        self._balances.burn_held(HELD, who, Balance(taken - paid), BurnReason.Slash)
        self._store.emit(Event.Slashed(who, Balance(taken)))
        return Balance(taken)
