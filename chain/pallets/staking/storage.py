"""Storage and constants of Staking: Substrate's names and shapes, because staking pages read them.

`SlashingSpans` and `Invulnerables` stay empty; `PayoutQueue` with its two numbers and `Excluded` are this chain's own.

Source: `pallet_staking`.
"""

from __future__ import annotations

from typing import Annotated

from aitoken.codec.hints import TypeName, u32
from aitoken.types import AccountId, Balance
from chain.frame.pallet import Ev, constant
from chain.frame.storage import (
    BLAKE2_128_CONCAT,
    TWOX_64_CONCAT,
    Map,
    OptionMap,
    OptionValue,
    Value,
    storage_map,
    value,
)
from chain.frame.types import Perbill, Percent
from chain.pallets.staking.types import (
    HISTORY_DEPTH,
    MAX_UNLOCKING,
    PAGE_SIZE,
    ActiveEraInfo,
    EraIndex,
    EraRewardPoints,
    ExposurePage,
    Forcing,
    Nominations,
    Page,
    PagedExposureMetadata,
    Penalty,
    RewardDestination,
    SessionIndex,
    SlashingSpans,
    SlashRecord,
    StakingLedger,
    UnappliedSlash,
    ValidatorPrefs,
)

OfEra = tuple[EraIndex, AccountId]


class StakingStorage:
    """What Staking keeps; a part of the pallet that its helpers may see."""

    # Settings.
    validator_count: Value[u32] = value(doc="The ideal number of active validators.")
    minimum_validator_count: Value[u32] = value(
        doc="Minimum number of staking participants before emergency conditions are imposed."
    )
    invulnerables: Value[list[AccountId]] = value(doc="Always empty: everybody can be slashed.")
    min_nominator_bond: Value[Balance] = value(
        doc="The minimum active bond to become and maintain the role of a nominator."
    )
    min_validator_bond: Value[Balance] = value(
        doc="The minimum active bond to become and maintain the role of a validator."
    )
    minimum_active_stake: Value[Balance] = value(
        doc="The minimum active nominator stake of the last successful election."
    )
    min_commission: Value[Perbill] = value(doc="The minimum amount of commission that validators can set.")
    slash_reward_fraction: Value[Perbill] = value(
        doc="The percentage of the slash that is distributed to reporters. The rest of the slashed value is burned."
    )
    chill_threshold: OptionValue[Percent] = value(
        doc="The threshold for when users can start calling `chill_other` for other validators / nominators."
    )

    # Stakers.
    bonded: OptionMap[AccountId, AccountId] = storage_map(
        TWOX_64_CONCAT, doc='Map from all locked "stash" accounts to the controller account: themselves.'
    )
    ledger: OptionMap[AccountId, StakingLedger] = storage_map(
        BLAKE2_128_CONCAT, doc='Map from all (unlocked) "controller" accounts to the info regarding the staking.'
    )
    payee: OptionMap[AccountId, RewardDestination] = storage_map(
        TWOX_64_CONCAT, doc="Where the reward payment should be made. Keyed by stash."
    )
    validators: Map[AccountId, ValidatorPrefs] = storage_map(
        TWOX_64_CONCAT, doc="The map from (wannabe) validator stash key to the preferences of that validator."
    )
    counter_for_validators: Value[u32] = value(doc="Counter for the related counted storage map.")
    max_validators_count: OptionValue[u32] = value(
        doc="The maximum validator count before we stop allowing new validators."
    )
    nominators: OptionMap[AccountId, Nominations] = storage_map(
        TWOX_64_CONCAT, doc="The map from nominator stash key to their nomination preferences."
    )
    counter_for_nominators: Value[u32] = value(doc="Counter for the related counted storage map.")
    max_nominators_count: OptionValue[u32] = value(
        doc="The maximum nominator count before we stop allowing new nominators."
    )

    # Eras.
    current_era: OptionValue[EraIndex] = value(
        doc="The current era index: the latest planned era, depending on how the Session pallet queues the validator "
        "set, it might be active or not."
    )
    active_era: OptionValue[ActiveEraInfo] = value(doc="The active era information, it holds index and start.")
    eras_start_session_index: OptionMap[EraIndex, SessionIndex] = storage_map(
        TWOX_64_CONCAT, doc="The session index at which the era start for the last `HistoryDepth` eras."
    )
    eras_stakers_overview: OptionMap[OfEra, PagedExposureMetadata] = storage_map(
        TWOX_64_CONCAT, TWOX_64_CONCAT, doc="Summary of validator exposure at a given era."
    )
    eras_stakers_paged: OptionMap[tuple[EraIndex, AccountId, Page], ExposurePage] = storage_map(
        TWOX_64_CONCAT, TWOX_64_CONCAT, TWOX_64_CONCAT, doc="Paginated exposure of a validator at given era."
    )
    claimed_rewards: Map[OfEra, list[Page]] = storage_map(
        TWOX_64_CONCAT, TWOX_64_CONCAT, doc="History of claimed paged rewards by era and validator."
    )
    eras_validator_prefs: Map[OfEra, ValidatorPrefs] = storage_map(
        TWOX_64_CONCAT, TWOX_64_CONCAT, doc="Exposure of validator at era with the preferences of validators."
    )
    eras_validator_reward: OptionMap[EraIndex, Balance] = storage_map(
        TWOX_64_CONCAT, doc="The total validator era payout for the last `HistoryDepth` eras."
    )
    eras_reward_points: Map[EraIndex, EraRewardPoints] = storage_map(
        TWOX_64_CONCAT, doc="Rewards for the last `HistoryDepth` eras."
    )
    eras_total_stake: Map[EraIndex, Balance] = storage_map(
        TWOX_64_CONCAT, doc="The total amount staked for the last `HistoryDepth` eras."
    )
    force_era: Value[Forcing] = value(doc="Mode of era forcing.")
    current_planned_session: Value[SessionIndex] = value(
        doc="The last planned session scheduled by the session pallet."
    )
    payout_queue: OptionMap[u32, OfEra] = storage_map(
        TWOX_64_CONCAT, doc="Whose stakers are still to be paid for which era, in order."
    )
    payout_first: Value[u32] = value(doc="The number of the first entry of `PayoutQueue`.")
    payout_end: Value[u32] = value(doc="The number after the last entry of `PayoutQueue`.")

    # Slashes.
    unapplied_slashes: Map[EraIndex, list[UnappliedSlash]] = storage_map(
        TWOX_64_CONCAT, doc="All unapplied slashes that are queued, by the era whose start applies them."
    )
    bonded_eras: Value[Annotated[list[tuple[EraIndex, SessionIndex]], TypeName("Vec<(EraIndex, SessionIndex)>")]] = (
        value(
            doc="A mapping from still-bonded eras to the first session index of that era: what can still be punished."
        )
    )
    validator_slash_in_era: OptionMap[OfEra, SlashRecord] = storage_map(
        TWOX_64_CONCAT,
        TWOX_64_CONCAT,
        doc="All slashing events on validators, mapped by era to the highest slash proportion and slash value.",
    )
    nominator_slash_in_era: OptionMap[OfEra, Balance] = storage_map(
        TWOX_64_CONCAT, TWOX_64_CONCAT, doc="All slashing events on nominators, mapped by era."
    )
    penalties: Map[AccountId, list[Penalty]] = storage_map(
        TWOX_64_CONCAT, doc="Every slash of a validator, oldest first, whether it waits, was taken or was cancelled."
    )
    slashing_spans: OptionMap[AccountId, SlashingSpans] = storage_map(
        TWOX_64_CONCAT, doc="Slashing spans for stash accounts. Always empty on this chain."
    )
    excluded: Value[list[AccountId]] = value(
        doc="Validators that equivocated: no session of the current era has them any more."
    )

    history_depth: u32 = constant(HISTORY_DEPTH, doc="Number of eras to keep in history.")
    sessions_per_era: SessionIndex = constant(
        lambda env: env.params.sessions_per_era, doc="Number of sessions per era."
    )
    bonding_duration: EraIndex = constant(
        lambda env: env.params.bonding_eras, doc="Number of eras that staked funds must remain bonded for."
    )
    slash_defer_duration: EraIndex = constant(
        lambda env: env.params.slash_defer_eras,
        doc="Number of eras that slashes are deferred by, after computation.",
    )
    max_exposure_page_size: u32 = constant(PAGE_SIZE, doc="The maximum size of each `T::ExposurePage`.")
    max_unlocking_chunks: u32 = constant(
        MAX_UNLOCKING, doc="The maximum number of `unlocking` chunks a `StakingLedger` can have."
    )
    max_nominations: u32 = constant(16, doc="The most validators a nominator may name.")

    def emit(self, event: Ev) -> None:
        """Record an event; the pallet's own method."""
        raise NotImplementedError

    def now_active(self) -> int:
        """Return the index of the era that runs."""
        active = self.active_era.get()
        return 0 if active is None else active.index

    def now_planned(self) -> int:
        """Return the index of the latest era an election was held for."""
        return self.current_era.get() or 0
