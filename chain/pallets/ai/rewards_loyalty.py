"""Referral and loyalty: a part of the protocol fees that somebody burned goes back to it and to who brought it here.

`Sessions` says of every fee that it burns who paid it; what members burned adds up in their row until somebody has it
shared. With `rebate_percent` and `referral_percent` at 25 at most, for any group of accounts

    rebate + referral <= 1/2 of the fees its members burned

so a ring of accounts that refer each other and buy from themselves loses at least half of what it burns. The money is
the contributors' pot's, which the issuance fills; what was burned stays burned, so nothing is issued beyond the curve.

Source: payments paper, sections 5.14 and 10.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from aitoken.types import AccountId, Balance, Moment
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.rewards_events import RewardsErrors as Error
from chain.pallets.ai.rewards_events import RewardsEvents as Event
from chain.pallets.ai.rewards_storage import TERM_MS
from chain.pallets.ai.rewards_types import Member, RewardsHoldReason
from chain.pallets.ai.sessions_types import SessionsHoldReason

if TYPE_CHECKING:
    from chain.pallets.ai.rewards_pot import Pot
    from chain.pallets.ai.rewards_storage import RewardsStorage

MEMBER_BYTES: Final = 48 + 33 + 16 + 8 + 16
NOTHING: Final = Balance(0)


class Holds(Protocol):
    """Deposits of members; the Balances pallet."""

    def hold(self, reason: Any, who: AccountId, amount: Balance) -> None:
        """Set free money aside."""

    def release(self, reason: Any, who: AccountId, amount: Balance | None = None) -> Balance:
        """Give held money back."""

    def held(self, reason: Any, who: AccountId) -> Balance:
        """What is held of an account for a reason."""

    def free_balance(self, who: AccountId) -> Balance:
        """What an account can spend."""

    def can_receive(self, who: AccountId, amount: Balance) -> bool:
        """Whether an account would accept a deposit."""


class Loyalty:
    """Keeps account of what members burn, and shares it."""

    def __init__(self, store: RewardsStorage, money: Holds, pot: Pot) -> None:
        self._store = store
        self._money = money
        self._pot = pot

    def note_burned(self, payer: AccountId, amount: int) -> None:
        """Add a fee that was burned to what its payer has to be shared; of others than members nothing is kept."""
        found = self._store.members.get(payer)
        if found is None:
            return
        found = found.copy()
        found.burned = Balance(found.burned + amount)
        self._store.members.put(payer, found)

    def refer(self, who: AccountId, referrer: AccountId | None, now: Moment) -> None:
        """Make somebody a member, brought here by a referrer or by nobody."""
        if self._store.members.contains(who):
            raise Error.AlreadyReferred
        if referrer is not None:
            self._check_referrer(who, referrer)
        held = deposit(MEMBER_BYTES)
        self._money.hold(RewardsHoldReason.Deposit, who, held)
        self._store.members.put(who, Member(referrer, held, now, NOTHING))
        self._store.emit(Event.Referred(who, referrer))

    def _check_referrer(self, who: AccountId, referrer: AccountId) -> None:
        if referrer == who:
            raise Error.SelfReferral
        if not self._money.free_balance(referrer):
            raise Error.UnknownReferrer
        if self._money.held(SessionsHoldReason.Escrow, who):
            raise Error.AlreadyBuys

    def leave(self, who: AccountId, now: Moment) -> None:
        """Make somebody a member no more; what was not shared until then stays burned."""
        found = self._member(who)
        if now < found.since + TERM_MS:
            raise Error.TooEarly
        self._store.members.remove(who)
        self._money.release(RewardsHoldReason.Deposit, who, found.deposit)
        self._store.emit(Event.Left(who))

    def share(self, who: AccountId) -> None:
        """Pay the parts of what a member burned since the last time; a referrer that is gone gets nothing."""
        found, store = self._member(who), self._store
        rebate = Balance(found.burned * store.rebate_percent.get() // 100)
        referral, referrer = NOTHING, found.referrer
        if referrer is not None:
            referral = Balance(found.burned * store.referral_percent.get() // 100)
            if not self._money.can_receive(referrer, referral):
                referral = NOTHING
        if not rebate + referral:
            raise Error.NothingDue
        changed = found.copy()
        changed.burned = NOTHING
        store.members.put(who, changed)
        self._pot.check(Balance(rebate + referral))
        if rebate:
            self._pot.pay(who, rebate)
        if referrer is not None and referral:
            self._pot.pay(referrer, referral)
        store.emit(Event.Shared(who, found.burned, rebate, referrer, referral))

    def _member(self, who: AccountId) -> Member:
        found = self._store.members.get(who)
        if found is None:
            raise Error.NotMember
        return found
