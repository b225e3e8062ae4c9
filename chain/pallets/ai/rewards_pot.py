"""The contributors' pot: its part of every era's issuance, and what may be given out of it.

Staking mints 30 % of an era's issuance into the pot. Out of it come the shares of burned fees
(`chain.pallets.ai.rewards_loyalty`) and what root gives to campaigns: in an era at most `grant_percent` of what was in
it at the era's first grant, so a part stays whatever is decided. What a campaign does not pay out comes back.

Source: runtime paper, section 6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from aitoken.types import AccountId, Balance
from chain.pallets.ai.rewards_events import RewardsErrors as Error
from chain.pallets.ai.rewards_types import Granted
from chain.pallets.staking.eras import REWARDS_POT

if TYPE_CHECKING:
    from chain.pallets.ai.rewards_storage import RewardsStorage


class Money(Protocol):
    """Free money; the Balances pallet."""

    existential_deposit: Balance

    def free_balance(self, who: AccountId) -> Balance:
        """What is in an account."""

    def transfer(self, source: AccountId, dest: AccountId, amount: Balance, *, keep_alive: bool) -> None:
        """Move free money."""


class Pot:
    """Pays out of the pot."""

    def __init__(self, store: RewardsStorage, money: Money, era: Callable[[], int]) -> None:
        self._store = store
        self._money = money
        self._era = era

    def check(self, amount: Balance) -> None:
        """Make sure that so much can be paid.

        Raises:
            PotEmpty: there is not that much.
        """
        if self._money.free_balance(REWARDS_POT) < amount + self._money.existential_deposit:
            raise Error.PotEmpty

    def pay(self, who: AccountId, amount: Balance) -> None:
        """Pay somebody."""
        self._money.transfer(REWARDS_POT, who, amount, keep_alive=True)

    def note_grant(self, amount: Balance) -> None:
        """Count a grant towards the limit of the era.

        Raises:
            GrantCapReached: that would be more than may be given in an era.
        """
        self.check(amount)
        era, found = self._era(), self._store.granted.get()
        if found is None or found.era != era:
            found = Granted(era, self._money.free_balance(REWARDS_POT), Balance(0))
        given = Balance(found.given + amount)
        if given > found.pot * self._store.grant_percent.get() // 100:
            raise Error.GrantCapReached
        self._store.granted.put(Granted(era, found.pot, given))
