"""Eras: when an election is held, what it leaves behind, and what an era that ends is worth.

A session is planned one ahead. In the last session of an era the set for the next one is elected: `CurrentEra` moves on
and the exposures are written; `ActiveEra` follows when that session starts. An election that finds nobody changes
nothing: the old set goes on and the era gets longer.

    plan session s   CurrentEra started >= SessionsPerEra sessions before s (or ForceNew)  -> elect, CurrentEra + 1
    session s starts ErasStartSessionIndex[ActiveEra + 1] == s                             -> pay, ActiveEra + 1

The issuance of an era is `(cap - issued ever) * rate * elapsed`, in integers, with the time of the blocks: 55 % for
stakers, 30 % for the pot of contributors, the rest for the treasury. Elapsed time counts up to one and a half eras
of idle blocks, so that a chain that stood still does not mint for the time it stood.

What stakers get is minted when it is paid (`chain.pallets.staking.payouts`).

Source: `pallet_staking`, runtime paper sections 3.5 and 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Protocol

from aitoken.types import AccountId, Balance, Moment
from chain.pallets.balances import MintReason
from chain.pallets.staking.election import Candidate, Exposure, Voter, elect
from chain.pallets.staking.events import StakingEvents as Event
from chain.pallets.staking.types import (
    PAGE_SIZE,
    ActiveEraInfo,
    ExposurePage,
    Forcing,
    IndividualExposure,
    PagedExposureMetadata,
)

if TYPE_CHECKING:
    from chain.pallets.staking.ledger import Bonds
    from chain.pallets.staking.storage import StakingStorage

RATE_ONE: Final = 10**24
STAKERS_PERCENT: Final = 55
REWARDS_PERCENT: Final = 30
REWARDS_POT: Final = AccountId(b"modlai/rwrds".ljust(32, b"\x00"))
TREASURY: Final = AccountId(b"modlpy/trsry".ljust(32, b"\x00"))
SESSIONS_MISSED_MAX: Final = (3, 2)
"""How many eras of idle blocks count at most, as a fraction."""


class Room(Protocol):
    """What may still be minted; the Supply pallet."""

    issuance_rate: int

    def room(self) -> Balance:
        """Return it."""


class Mint(Protocol):
    """The source of money; the Balances pallet."""

    def mint(self, who: AccountId, amount: Balance, reason: MintReason) -> None:
        """Create money in an account."""

    def can_receive(self, who: AccountId, amount: Balance) -> bool:
        """Whether an account would accept it."""

    def set_inactive(self, amount: Balance) -> None:
        """Say how much of the issuance has no vote."""

    def free_balance(self, who: AccountId) -> Balance:
        """Return the free balance of an account."""


class Clock(Protocol):
    """The time of the block."""

    def current_time(self) -> Moment:
        """Milliseconds since 1970."""


class Exposures:
    """What stood behind whom in which era, in pages."""

    def __init__(self, store: StakingStorage) -> None:
        self._store = store

    def put(self, era: int, who: AccountId, exposure: Exposure) -> None:
        """Write an exposure."""
        others = exposure.others
        pages = -(-len(others) // PAGE_SIZE)
        self._store.eras_stakers_overview.put(
            (era, who), PagedExposureMetadata(exposure.total, exposure.own, len(others), pages)
        )
        for page in range(pages):
            rows = [IndividualExposure(*row) for row in others[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]]
            total = Balance(sum(row.value for row in rows))
            self._store.eras_stakers_paged.put((era, who, page), ExposurePage(total, rows))

    def own(self, era: int, who: AccountId) -> Balance:
        """Return the validator's own part."""
        found = self._store.eras_stakers_overview.get((era, who))
        return Balance(0) if found is None else found.own

    def total(self, era: int, who: AccountId) -> Balance:
        """Return all that stood behind the validator."""
        found = self._store.eras_stakers_overview.get((era, who))
        return Balance(0) if found is None else found.total

    def page(self, era: int, who: AccountId, page: int) -> list[tuple[AccountId, Balance]]:
        """Return the nominators of a page."""
        found = self._store.eras_stakers_paged.get((era, who, page))
        return [] if found is None else [(row.who, row.value) for row in found.others]

    def others(self, era: int, who: AccountId) -> Iterator[tuple[AccountId, Balance]]:
        """Yield all nominators."""
        found = self._store.eras_stakers_overview.get((era, who))
        for page in range(0 if found is None else found.page_count):
            yield from self.page(era, who, page)


class Eras:
    """Plans, starts and ends eras."""

    def __init__(
        self, store: StakingStorage, bonds: Bonds, exposures: Exposures, mint: Mint, supply: Room, clock: Clock,
        idle_interval_ms: int, session_blocks: int,
    ) -> None:  # fmt: skip
        self._store = store
        self._bonds = bonds
        self._exposures = exposures
        self._mint = mint
        self._supply = supply
        self._clock = clock
        self._session_ms = idle_interval_ms * session_blocks

    # --------------------------------------------------------------------------------------------- planning

    def elects(self, session: int) -> bool:
        """Whether an era is to start with `session`, so that planning it holds an election."""
        store = self._store
        length = session - (store.eras_start_session_index.get(store.now_planned()) or 0)
        return length >= store.sessions_per_era or store.force_era.get() is Forcing.ForceNew

    def plan(self, session: int, ready: Callable[[AccountId], bool]) -> list[AccountId] | None:
        """Hold the election for the era that starts with `session`, if one does; return who won.

        Args:
            session: the session whose validators are asked for.
            ready: whether a candidate has what it needs to validate.
        """
        store = self._store
        store.current_planned_session.put(session)
        if not self.elects(session):
            return None
        era = store.now_planned()
        won = self.hold_election(ready)
        if len(won) < max(1, store.minimum_validator_count.get()):
            store.emit(Event.StakingElectionFailed())
            return None
        store.force_era.put(Forcing.NotForcing)
        self.write(era + 1, session, won)
        store.emit(Event.StakersElected())
        return list(won)

    def hold_election(self, ready: Callable[[AccountId], bool]) -> dict[AccountId, Exposure]:
        """Return who would win now, with exposures."""
        store = self._store
        least = max(1, store.min_validator_bond.get())
        candidates = [
            Candidate(who, bond)
            for who in store.validators.keys()  # noqa: SIM118 - a storage map is no dict
            if (bond := self._bonds.active(who)) >= least and ready(who)
        ]
        least_vote = max(1, store.min_nominator_bond.get())
        voters = [
            Voter(who, stake, nominations.targets)
            for who, nominations in store.nominators.items()
            if (stake := self._bonds.active(who)) >= least_vote
        ]
        store.minimum_active_stake.put(min((voter.stake for voter in voters), default=Balance(0)))
        return elect(candidates, voters, store.validator_count.get())

    def write(self, era: int, session: int, won: dict[AccountId, Exposure]) -> None:
        """Make an election the plan of `era`, which starts with `session`."""
        store = self._store
        store.current_era.put(era)
        store.eras_start_session_index.put(era, session)
        store.excluded.put([])
        for who, exposure in won.items():
            self._exposures.put(era, who, exposure)
            store.eras_validator_prefs.put((era, who), store.validators.get(who))
        store.eras_total_stake.put(era, Balance(sum(exposure.total for exposure in won.values())))
        if era > store.history_depth:
            self._forget(era - store.history_depth - 1)

    def _forget(self, era: int) -> None:
        store = self._store
        for items in (store.eras_stakers_overview, store.eras_stakers_paged, store.eras_validator_prefs):
            items.clear(era)
        store.claimed_rewards.clear(era)
        for item in (
            store.eras_validator_reward,
            store.eras_reward_points,
            store.eras_total_stake,
            store.eras_start_session_index,
        ):
            item.remove(era)

    # --------------------------------------------------------------------------------------------- turning

    def starts_with(self, session: int) -> bool:
        """Whether `session` is the first of the next era."""
        store = self._store
        return store.eras_start_session_index.get(store.now_active() + 1) == session

    def end(self) -> None:
        """Fix what the era that ends is worth, pay the two pots, queue the stakers."""
        store, era = self._store, self._store.now_active()
        stakers, rewards, treasury = self.split(self.worth())
        store.eras_validator_reward.put(era, stakers)
        points = store.eras_reward_points.get(era)
        end = store.payout_end.get()
        for place, who in enumerate(sorted(points.individual), end):
            store.payout_queue.put(place, (era, who))
        store.payout_end.put(end + len(points.individual))
        for pot, amount, reason in (
            (REWARDS_POT, rewards, MintReason.Rewards),
            (TREASURY, treasury, MintReason.Treasury),
        ):
            if amount and self._mint.can_receive(pot, amount):
                self._mint.mint(pot, amount, reason)
        self.deactivate_pots()
        store.emit(Event.EraPaid(era, stakers, Balance(rewards + treasury)))

    def deactivate_pots(self) -> None:
        """Take what the two pots hold out of the issuance that votes."""
        inactive = self._mint.free_balance(REWARDS_POT) + self._mint.free_balance(TREASURY)
        self._mint.set_inactive(Balance(inactive))

    def worth(self) -> Balance:
        """Return what the chain may issue for the running era until now."""
        active = self._store.active_era.get()
        if active is None or active.start is None:
            return Balance(0)
        times, parts = SESSIONS_MISSED_MAX
        longest = self._store.sessions_per_era * self._session_ms * times // parts
        elapsed = min(max(0, self._clock.current_time() - active.start), longest)
        return Balance(self._supply.room() * self._supply.issuance_rate * elapsed // RATE_ONE)

    @staticmethod
    def split(amount: Balance) -> tuple[Balance, Balance, Balance]:
        """Return the shares of stakers, rewards pot and treasury; the treasury gets what rounding leaves."""
        stakers = amount * STAKERS_PERCENT // 100
        rewards = amount * REWARDS_PERCENT // 100
        return Balance(stakers), Balance(rewards), Balance(amount - stakers - rewards)

    def start(self, session: int) -> int | None:
        """Make the next era the active one; return the first session that can still be punished, if that moved."""
        store = self._store
        era = store.now_active() + 1
        store.active_era.put(ActiveEraInfo(era, self._clock.current_time()))
        eras = [*store.bonded_eras.get(), (era, session)]
        kept = [row for row in eras if row[0] > era - store.bonding_duration]
        store.bonded_eras.put(kept)
        for gone, _ in eras[: len(eras) - len(kept)]:
            store.validator_slash_in_era.clear(gone)
            store.nominator_slash_in_era.clear(gone)
        return kept[0][1] if len(kept) < len(eras) else None
