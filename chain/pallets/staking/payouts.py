"""Payouts: what an era is worth goes to validators and their nominators, page by page.

    reward of a validator  = era's worth * its points // all points
    commission             = reward * commission // 10^9
    a staker's part        = (reward - commission) * its exposure // total exposure

Page 0 pays the validator its commission and own part, every page its nominators. What the divisions leave is not
minted. Pages are paid one a block when the block has room, whoever calls earlier is served too; a page is paid once.
Whether the stash is still bonded does not matter: what cannot be staked any more goes into its free balance.

Source: `pallet_staking`, runtime paper section 3.5; amounts by integer division, without Perbill in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aitoken.types import AccountId, Balance
from chain.frame.errors import DispatchError
from chain.frame.types import PERBILL_ONE
from chain.pallets.balances import MintReason
from chain.pallets.staking.events import StakingErrors as Error
from chain.pallets.staking.events import StakingEvents as Event
from chain.pallets.staking.types import (
    EraRewardPoints,
    Nowhere,
    PaidTo,
    RewardDestination,
    Staked,
    Stash,
)

if TYPE_CHECKING:
    from chain.frame.storage import Store
    from chain.pallets.staking.eras import Exposures, Mint, Room
    from chain.pallets.staking.ledger import Bonds
    from chain.pallets.staking.storage import StakingStorage

POINTS_OF_AUTHOR: Final = 20
"""Points for a block."""
STALE_MAX: Final = 8
"""How many entries of the queue that are paid already may be skipped in one block."""


class Payouts:
    """Counts points and pays for them."""

    def __init__(
        self, store: StakingStorage, bonds: Bonds, exposures: Exposures, mint: Mint, supply: Room, book: Store,
        page_weight: int, skip_weight: int,
    ) -> None:  # fmt: skip
        self._store = store
        self._bonds = bonds
        self._exposures = exposures
        self._mint = mint
        self._supply = supply
        self._book = book
        self._page_weight = page_weight
        self._skip_weight = skip_weight

    def award(self, who: AccountId, points: int) -> None:
        """Give a validator points for the running era."""
        items, era = self._store.eras_reward_points, self._store.now_active()
        found = items.get(era)
        individual = {**found.individual, who: found.individual.get(who, 0) + points}
        items.put(era, EraRewardPoints(found.total + points, individual))

    # --------------------------------------------------------------------------------------------- by call

    def next_page(self, era: int, who: AccountId) -> int | None:
        """Return the first page of a validator that is not paid, None where all are or the era is not known."""
        found = self._store.eras_stakers_overview.get((era, who))
        if found is None:
            return None
        claimed = self._store.claimed_rewards.get((era, who))
        return next((page for page in range(max(1, found.page_count)) if page not in claimed), None)

    def pay(self, era: int, who: AccountId, page: int | None = None) -> None:
        """Pay a page, by default the next one.

        Raises:
            InvalidEraToReward: the era has not ended, is forgotten, or the validator was none.
            AlreadyClaimed, InvalidPage: there is nothing (of that number) to pay.
        """
        store = self._store
        pot = store.eras_validator_reward.get(era)
        overview = store.eras_stakers_overview.get((era, who))
        if pot is None or overview is None:
            raise Error.InvalidEraToReward
        claimed = store.claimed_rewards.get((era, who))
        if page is None:
            page = self.next_page(era, who)
        if page is None or page in claimed:
            raise Error.AlreadyClaimed
        if page >= max(1, overview.page_count):
            raise Error.InvalidPage
        store.claimed_rewards.put((era, who), sorted([*claimed, page]))
        store.emit(Event.PayoutStarted(era, who, page, self.next_page(era, who)))
        points = store.eras_reward_points.get(era)
        own_points = points.individual.get(who, 0)
        if not own_points or not overview.total:
            return
        reward = pot * own_points // points.total
        commission = reward * store.eras_validator_prefs.get((era, who)).commission // PERBILL_ONE
        left = reward - commission
        if page == 0:
            self._give(who, commission + left * overview.own // overview.total)
        for nominator, value in self._exposures.page(era, who, page):
            self._give(nominator, left * value // overview.total)

    def _give(self, stash: AccountId, amount: int) -> None:
        store = self._store
        where = store.payee.get(stash) or Stash()
        due = Balance(min(amount, self._supply.room()))
        to = self._account(where, stash)
        if to is None or not due or not self._mint.can_receive(to, due):
            return
        self._mint.mint(to, due, MintReason.Staking)
        if isinstance(where, Staked) and store.ledger.contains(stash):
            self._bonds.compound(stash, due)
        store.emit(Event.Rewarded(stash, where, due))

    @staticmethod
    def _account(where: RewardDestination, stash: AccountId) -> AccountId | None:
        if isinstance(where, PaidTo):
            return where.who
        return None if isinstance(where, Nowhere) else stash

    # --------------------------------------------------------------------------------------------- by itself

    def work_off(self, remaining: int) -> int:
        """Pay the next page of the queue if the block has room for it; return the weight used."""
        store = self._store
        first, end = store.payout_first.get(), store.payout_end.get()
        used = 0
        for _ in range(STALE_MAX):
            if first >= end or used + self._page_weight > remaining:
                break
            entry = store.payout_queue.get(first)
            if entry is not None and self.next_page(*entry) is not None:
                self._pay_queued(*entry)
                return used + self._page_weight
            store.payout_queue.remove(first)
            first += 1
            store.payout_first.put(first)
            used += self._skip_weight
        return used

    def _pay_queued(self, era: int, who: AccountId) -> None:
        mark = self._book.mark()
        try:
            self.pay(era, who)
        except DispatchError:  # nothing a user set up may stop the chain: whoever wants the page can still call for it
            self._book.rollback(mark)
            first = self._store.payout_first.get()
            self._store.payout_queue.remove(first)
            self._store.payout_first.put(first + 1)
