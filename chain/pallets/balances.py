"""Balances: the native token.

An account holds `free` and `reserved` money. Two restrictions only:

* holds move free money to reserved, each with a reason, so a wallet can say why it is not available;
* locks freeze an amount of the whole (`frozen` is the largest lock); frozen money may be held and staked, not spent.

usable = free - max(existential deposit if the account must live or anything is frozen or reserved, frozen - reserved):
the formula wallets use. An account whose free money falls below the existential deposit disappears, what was left is
burned; money that others rely on (consumers > 0) cannot disappear.

The total issuance changes only in `mint` and `burn`, each with a reason that the Supply pallet books.

Source: `pallet_balances`; freezes, unnamed reserves and history left out, so `Freezes` and `Reserves` stay empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

from aitoken.codec.hints import Bytes8, TypeName, codec_of, u32, u128
from aitoken.codec.records import Record, plain_enum, record
from aitoken.types import AccountId, Balance
from chain.frame.calls import call
from chain.frame.errors import (
    BelowMinimum,
    Frozen,
    FundsUnavailable,
    NoProviders,
    NotExpendable,
    OnlyProvider,
    Overflow,
)
from chain.frame.origin import Origin, ensure_root, ensure_signed
from chain.frame.outer import RuntimeFreezeReason, RuntimeHoldReason
from chain.frame.pallet import Pallet, constant
from chain.frame.storage import BLAKE2_128_CONCAT, Map, Value, storage_map, value
from chain.frame.system import System
from chain.frame.types import (
    NEW_LOGIC,
    AccountData,
    AccountInfo,
    CompactBalance,
    LookupSource,
    lookup,
)
from chain.pallets.balances_events import BalancesErrors, BalancesEvents, BalanceStatus

if TYPE_CHECKING:
    from chain.frame.machine import Machine

LOCKS_MAX: Final = 50
U128_MAX: Final = 2**128 - 1
PlainBalance = Annotated[Balance, codec_of(u128), TypeName("Balance")]


@plain_enum("pallet_supply::MintReason")
class MintReason(IntEnum):
    """Why money came into being."""

    Staking = 0
    Rewards = 1
    Treasury = 2
    Forced = 3


@plain_enum("pallet_supply::BurnReason")
class BurnReason(IntEnum):
    """Why money went out of being."""

    Fee = 0
    Slash = 1
    Dust = 2
    Explicit = 3
    Forced = 4


class IssuanceLedger(Protocol):
    """Books every change of the total issuance by its reason; the Supply pallet."""

    def minted(self, amount: Balance, reason: MintReason) -> None:
        """Book new money; raise `Overflow` where it may not be made."""

    def burned(self, amount: Balance, reason: BurnReason) -> None:
        """Book destroyed money."""


@plain_enum("pallet_balances::types::Reasons")
class Reasons(IntEnum):
    """What a lock forbids; every lock here forbids all."""

    Fee = 0
    Misc = 1
    All = 2


@record("pallet_balances::types::BalanceLock", {"Balance": u128})
class BalanceLock(Record):
    """An amount of an account that may not be spent."""

    id: Annotated[Bytes8, TypeName("LockIdentifier")]
    amount: PlainBalance
    reasons: Reasons


@record("pallet_balances::types::ReserveData", {"ReserveIdentifier": Bytes8, "Balance": u128})
class ReserveData(Record):
    """A named reserve; not used by this chain."""

    id: Annotated[Bytes8, TypeName("ReserveIdentifier")]
    amount: PlainBalance


@record("frame_support::traits::tokens::misc::IdAmount", {"Id": RuntimeHoldReason, "Balance": u128})
class Hold(Record):
    """Money set aside for a reason."""

    id: Annotated[RuntimeHoldReason, TypeName("Id")]
    amount: PlainBalance


@record("frame_support::traits::tokens::misc::IdAmount", {"Id": RuntimeFreezeReason, "Balance": u128})
class Freeze(Record):
    """Frozen money; not used by this chain."""

    id: Annotated[RuntimeFreezeReason, TypeName("Id")]
    amount: PlainBalance


class Issuance(Value[Balance]):
    """The total issuance; its changes are set off against those of the accounts."""

    __slots__ = ()

    def write(self, key: None, new: Balance | None) -> None:
        """Set the issuance.

        Raises:
            Overflow: it would not fit its type.
        """
        amount = new or 0
        if not 0 <= amount <= U128_MAX:
            raise Overflow
        self.store.imbalance -= amount - self.get()
        super().write(key, new)


class Balances(Pallet, index=4, crate="pallet_balances"):
    """The native token."""

    total_issuance: Issuance = value(doc="The total units issued in the system.")
    inactive_issuance: Value[Balance] = value(doc="The total units of outstanding deactivated balance in the system.")
    account: Map[AccountId, AccountData] = storage_map(
        BLAKE2_128_CONCAT,
        default=lambda: AccountData(0, 0, 0, NEW_LOGIC),
        doc="Always empty: the balance of an account is part of `System.Account`.",
    )
    locks: Map[AccountId, list[BalanceLock]] = storage_map(
        BLAKE2_128_CONCAT, doc="Any liquidity locks on some account balances."
    )
    reserves: Map[AccountId, list[ReserveData]] = storage_map(
        BLAKE2_128_CONCAT, doc="Named reserves on some account balances. Always empty on this chain."
    )
    holds: Map[AccountId, list[Hold]] = storage_map(BLAKE2_128_CONCAT, doc="Holds on account balances.")
    freezes: Map[AccountId, list[Freeze]] = storage_map(
        BLAKE2_128_CONCAT, doc="Freeze locks on account balances. Always empty on this chain."
    )

    existential_deposit: Balance = constant(
        lambda env: env.params.existential_deposit,
        doc="The minimum amount required to keep an account open. MUST BE GREATER THAN ZERO!",
    )
    max_locks: u32 = constant(LOCKS_MAX, doc="The maximum number of locks that should exist on an account.")
    max_reserves: u32 = constant(0, doc="The maximum number of named reserves that can exist on an account.")
    max_freezes: u32 = constant(0, doc="The maximum number of individual freeze locks on an account at any time.")

    Event = BalancesEvents
    Error = BalancesErrors

    def __init__(self, machine: Machine, system: System) -> None:
        super().__init__(machine)
        self._system = system
        self._accounts = system.account
        self._write_transfer = machine.schema.event_writer(self.Event.Transfer)
        self._ledger: IssuanceLedger | None = None

    def book_with(self, ledger: IssuanceLedger) -> None:
        """Have every change of the issuance booked; the ledger is constructed after this pallet."""
        self._ledger = ledger

    # --------------------------------------------------------------------------------------------- calls

    @call(0)
    def transfer_allow_death(self, origin: Origin, dest: LookupSource, value: CompactBalance) -> None:
        """Transfer some liquid free balance to another account; the sender may be reaped."""
        self.transfer(ensure_signed(origin), lookup(dest), value, keep_alive=False)

    @call(2)
    def force_transfer(self, origin: Origin, source: LookupSource, dest: LookupSource, value: CompactBalance) -> None:
        """Exactly as `transfer_allow_death`, except the origin must be root and the source account may be specified."""
        ensure_root(origin)
        self.transfer(lookup(source), lookup(dest), value, keep_alive=False)

    @call(3)
    def transfer_keep_alive(self, origin: Origin, dest: LookupSource, value: CompactBalance) -> None:
        """Same as `transfer_allow_death`, but with a check that the transfer will not kill the origin account."""
        self.transfer(ensure_signed(origin), lookup(dest), value, keep_alive=True)

    @call(4)
    def transfer_all(self, origin: Origin, dest: LookupSource, keep_alive: bool) -> None:  # noqa: FBT001
        """Transfer the entire transferable balance from the caller account."""
        who = ensure_signed(origin)
        amount = self.usable(self._accounts.get(who), keep_alive=keep_alive)
        self.transfer(who, lookup(dest), amount, keep_alive=keep_alive)

    @call(8)
    def force_set_balance(self, origin: Origin, who: LookupSource, new_free: CompactBalance) -> None:
        """Set the regular balance of a given account; it also creates an account. Root only."""
        ensure_root(origin)
        account_id = lookup(who)
        target = new_free if new_free >= self.existential_deposit else Balance(0)
        difference = target - self._accounts.get(account_id).free
        if difference > 0:
            self.mint(account_id, Balance(difference), MintReason.Forced)
        elif difference < 0:
            self.burn_from(account_id, Balance(-difference), BurnReason.Forced, keep_alive=False, forced=True)
        self.emit(self.Event.BalanceSet(account_id, target))

    @call(10)
    def burn(self, origin: Origin, value: CompactBalance, keep_alive: bool) -> None:  # noqa: FBT001
        """Burn the specified liquid free balance from the origin account."""
        self.burn_from(ensure_signed(origin), value, BurnReason.Explicit, keep_alive=keep_alive)

    # --------------------------------------------------------------------------------------------- reading

    def free_balance(self, who: AccountId) -> Balance:
        """Return the free balance."""
        return Balance(self._accounts.get(who).free)

    def usable(self, account: AccountInfo, *, keep_alive: bool) -> Balance:
        """Return what an account may spend; `keep_alive` leaves it the existential deposit."""
        untouchable = account.frozen - account.reserved
        needed = keep_alive or account.frozen or account.reserved or account.consumers
        if needed and untouchable < self.existential_deposit:
            untouchable = self.existential_deposit
        return Balance(max(0, account.free - max(untouchable, 0)))

    # --------------------------------------------------------------------------------------------- moving money

    def transfer(self, source: AccountId, dest: AccountId, amount: Balance, *, keep_alive: bool) -> None:
        """Move free money from one account to another.

        Raises:
            FundsUnavailable, Frozen: the source cannot spend that much.
            NotExpendable, OnlyProvider: the source would die, but must not.
            BelowMinimum: the destination would hold less than the existential deposit.
        """
        accounts = self._accounts
        minimum = self.existential_deposit
        giver = accounts.get(source)
        left = giver.free - amount
        if left < 0:
            raise FundsUnavailable
        if giver.frozen and left < giver.frozen - giver.reserved:
            raise Frozen
        if left < minimum:
            self._check_may_die(giver, keep_alive=keep_alive)
        if source == dest:
            return
        taker = accounts.find(dest)
        if taker is None or taker.free + amount < minimum or not taker.providers:
            self._endow(dest, taker, amount)
        else:
            taker = taker.copy()
            taker.free += amount
            accounts.put(dest, taker)
        if left < minimum:
            self._reap(source, giver, Balance(left))
        else:
            giver = giver.copy()
            giver.free = left
            accounts.put(source, giver)
        store = self._store
        store.events.append(store.phase + self._write_transfer(source, dest, amount))

    def deposit(self, who: AccountId, amount: Balance) -> None:
        """Put money that was taken elsewhere into an account; creates it where needed.

        Raises:
            BelowMinimum: the account would hold less than the existential deposit.
        """
        self._credit(who, amount)
        self.emit(self.Event.Deposit(who, amount))

    def can_receive(self, who: AccountId, amount: Balance) -> bool:
        """Whether `deposit` would succeed."""
        return self._accounts.get(who).free + amount >= self.existential_deposit

    def withdraw(self, who: AccountId, amount: Balance, *, keep_alive: bool = True) -> None:
        """Take money out of an account to put it elsewhere in the same call.

        Raises:
            FundsUnavailable, Frozen, NotExpendable, OnlyProvider: see `transfer`.
        """
        self._debit(who, amount, keep_alive=keep_alive, forced=False)
        self.emit(self.Event.Withdraw(who, amount))

    def mint(self, who: AccountId, amount: Balance, reason: MintReason) -> None:
        """Create money in an account."""
        self.issue(amount, reason)
        self._credit(who, amount)
        self.emit(self.Event.Minted(who, amount))

    def burn_from(
        self, who: AccountId, amount: Balance, reason: BurnReason, *, keep_alive: bool, forced: bool = False
    ) -> None:
        """Destroy money of an account; `forced` ignores what is frozen.

        Raises:
            FundsUnavailable, Frozen, NotExpendable, OnlyProvider: see `transfer`.
        """
        self._debit(who, amount, keep_alive=keep_alive, forced=forced)
        self.rescind(amount, reason)
        self.emit(self.Event.Burned(who, amount))

    def issue(self, amount: Balance, reason: MintReason) -> None:
        """Raise the total issuance; the caller puts the money into accounts."""
        self.total_issuance.put(Balance(self.total_issuance.get() + amount))
        if self._ledger is not None:
            self._ledger.minted(amount, reason)

    def rescind(self, amount: Balance, reason: BurnReason) -> None:
        """Lower the total issuance by money the caller took out of accounts."""
        self.total_issuance.put(Balance(self.total_issuance.get() - amount))
        if self._ledger is not None:
            self._ledger.burned(amount, reason)

    def _credit(self, who: AccountId, amount: Balance) -> None:
        account = self._accounts.find(who)
        if account is None or account.free + amount < self.existential_deposit or not account.providers:
            self._endow(who, account, amount)
            return
        account = account.copy()
        account.free += amount
        self._accounts.put(who, account)

    def _endow(self, who: AccountId, account: AccountInfo | None, amount: Balance) -> None:
        """Give money to an account that does not exist (or not by its balance)."""
        is_new = account is None
        account = self._system.fresh_account() if account is None else account.copy()
        account.free += amount
        if account.free < self.existential_deposit:
            raise BelowMinimum
        account.providers += 1
        self._accounts.put(who, account)
        if is_new:
            self.emit(self._system.Event.NewAccount(who))
        self.emit(self.Event.Endowed(who, Balance(account.free)))

    def _debit(self, who: AccountId, amount: Balance, *, keep_alive: bool, forced: bool) -> None:
        account = self._accounts.get(who)
        left = account.free - amount
        if left < 0:
            raise FundsUnavailable
        if not forced and account.frozen and left < account.frozen - account.reserved:
            raise Frozen
        if left < self.existential_deposit:
            self._check_may_die(account, keep_alive=keep_alive)
            self._reap(who, account, Balance(left))
            return
        account = account.copy()
        account.free = left
        self._accounts.put(who, account)

    @staticmethod
    def _check_may_die(account: AccountInfo, *, keep_alive: bool) -> None:
        if keep_alive:
            raise NotExpendable
        if account.consumers or account.reserved:
            raise OnlyProvider

    def _reap(self, who: AccountId, account: AccountInfo, dust: Balance) -> None:
        """Remove an account whose balance no longer carries it; what is left in it is burned."""
        if account.providers > 1 or account.sufficients:
            account = account.copy()
            account.free = 0
            account.providers -= 1
            self._accounts.put(who, account)
        else:
            self._accounts.remove(who)
            self.emit(self._system.Event.KilledAccount(who))
        if dust:
            self.rescind(dust, BurnReason.Dust)
            self.emit(self.Event.DustLost(who, dust))

    # --------------------------------------------------------------------------------------------- holds

    def held(self, reason: Any, who: AccountId) -> Balance:
        """Return what is held of an account for a reason."""
        return Balance(sum(hold.amount for hold in self.holds.get(who) if hold.id == reason and _same(hold.id, reason)))

    def hold(self, reason: Any, who: AccountId, amount: Balance) -> None:
        """Set free money aside for a reason; frozen money may be held, the existential deposit stays free.

        Raises:
            FundsUnavailable: there is not that much.
        """
        if amount == 0:
            return
        account = self._accounts.get(who)
        if account.free - amount < self.existential_deposit:
            raise FundsUnavailable
        holds = self.holds.get(who)
        account = account.copy()
        account.free -= amount
        account.reserved += amount
        account.consumers += 0 if holds else 1
        self._accounts.put(who, account)
        self._set_hold(reason, who, holds, self.held(reason, who) + amount)
        self.emit(self.Event.Reserved(who, amount))

    def release(self, reason: Any, who: AccountId, amount: Balance | None = None) -> Balance:
        """Give held money back (all of it by default); return how much."""
        held = self.held(reason, who)
        amount = held if amount is None else Balance(min(amount, held))
        if amount:
            self._take_held(reason, who, amount, to_free=True)
            self.emit(self.Event.Unreserved(who, amount))
        return amount

    def transfer_held(self, reason: Any, source: AccountId, dest: AccountId, amount: Balance) -> None:
        """Move held money of one account into the free money of another.

        Raises:
            FundsUnavailable: less is held.
        """
        if amount > self.held(reason, source):
            raise FundsUnavailable
        self._take_held(reason, source, amount, to_free=False)
        self._credit(dest, amount)
        self.emit(self.Event.ReserveRepatriated(source, dest, amount, BalanceStatus.Free))

    def transfer_into_hold(self, reason: Any, source: AccountId, dest: AccountId, amount: Balance) -> None:
        """Move free money of one account into what is held of another, which must exist.

        Raises:
            FundsUnavailable, Frozen, NotExpendable: the source cannot spend that much and live on.
            NoProviders: there is no such destination.
        """
        if source == dest or amount == 0:
            self.hold(reason, dest, amount)
            return
        self._debit(source, amount, keep_alive=True, forced=False)
        taker = self._accounts.get(dest).copy()
        if not taker.providers:
            raise NoProviders
        holds = self.holds.get(dest)
        taker.reserved += amount
        taker.consumers += 0 if holds else 1
        self._accounts.put(dest, taker)
        self._set_hold(reason, dest, holds, self.held(reason, dest) + amount)
        self.emit(self.Event.ReserveRepatriated(source, dest, amount, BalanceStatus.Reserved))

    def take_held(self, reason: Any, source: AccountId, amount: Balance) -> None:
        """Take held money out to put it elsewhere in the same call.

        Raises:
            FundsUnavailable: less is held.
        """
        if amount > self.held(reason, source):
            raise FundsUnavailable
        self._take_held(reason, source, amount, to_free=False)

    def burn_held(self, reason: Any, who: AccountId, amount: Balance, why: BurnReason) -> Balance:
        """Destroy held money, at most what is held; return how much."""
        amount = Balance(min(amount, self.held(reason, who)))
        if amount:
            self._take_held(reason, who, amount, to_free=False)
            self.rescind(amount, why)
            self.emit(self.Event.Slashed(who, amount))
        return amount

    def _take_held(self, reason: Any, who: AccountId, amount: Balance, *, to_free: bool) -> None:
        held = self.held(reason, who)
        holds = self._set_hold(reason, who, self.holds.get(who), held - amount)
        account = self._accounts.get(who).copy()
        account.reserved -= amount
        account.free += amount if to_free else 0
        if not holds and account.consumers:  # as in Substrate, a reference too few never stops the chain
            account.consumers -= 1
        self._accounts.put(who, account)

    def _set_hold(self, reason: Any, who: AccountId, holds: list[Hold], amount: int) -> list[Hold]:
        kept = [hold for hold in holds if not _same(hold.id, reason)]
        if amount:
            kept.append(Hold(reason, Balance(amount)))
        if kept:
            self.holds.put(who, kept)
        else:
            self.holds.remove(who)
        return kept

    # --------------------------------------------------------------------------------------------- locks

    def set_lock(self, lock_id: bytes, who: AccountId, amount: Balance) -> None:
        """Freeze an amount of an account under an 8-byte id, replacing an older lock of that id; 0 removes it.

        Raises:
            Overflow: the account has too many locks.
        """
        locks = self.locks.get(who)
        kept = [lock for lock in locks if lock.id != lock_id]
        if amount:
            kept.append(BalanceLock(lock_id, amount, Reasons.All))
        if len(kept) > LOCKS_MAX:
            raise Overflow
        account = self._accounts.get(who).copy()
        before = account.frozen
        account.frozen = max((lock.amount for lock in kept), default=0)
        account.consumers += bool(kept) - bool(locks)
        self._accounts.put(who, account)
        if kept:
            self.locks.put(who, kept)
        else:
            self.locks.remove(who)
        if account.frozen > before:
            self.emit(self.Event.Locked(who, Balance(account.frozen - before)))
        elif account.frozen < before:
            self.emit(self.Event.Unlocked(who, Balance(before - account.frozen)))

    def remove_lock(self, lock_id: bytes, who: AccountId) -> None:
        """Remove a lock."""
        self.set_lock(lock_id, who, Balance(0))

    # --------------------------------------------------------------------------------------------- inactive money

    def set_inactive(self, amount: Balance) -> None:
        """Say how much of the issuance has no vote: what the pots of the chain itself hold."""
        self.inactive_issuance.put(amount)

    # --------------------------------------------------------------------------------------------- genesis

    def build_genesis(self, balances: Iterable[tuple[AccountId, Balance]]) -> None:
        """Create the first accounts."""
        total = 0
        for who, amount in balances:
            account = self._accounts.get(who).copy()
            account.free += amount
            account.providers = 1
            self._accounts.put(who, account)
            total += amount
        self.total_issuance.put(Balance(self.total_issuance.get() + total))


def _same(one: Any, other: Any) -> bool:
    """Whether two hold reasons are the same; members of different `IntEnum`s with equal numbers are not."""
    return type(one) is type(other) and bool(one == other)
