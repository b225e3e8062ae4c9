"""Staking: the longest lists, the role changed, the bond closed."""

from __future__ import annotations

from typing import Any

from aitoken.types import AccountId, Balance
from bench.weights.world import Run, World, ait, scenario
from chain.frame.types import PERBILL_ONE
from chain.pallets.staking import types as t
from chain.pallets.staking.election import Exposure
from chain.pallets.staking.pallet import REACHES_MAX

STASH = 0
OTHERS = 100
"""Accounts from this number on play the part of everybody else."""
NOMINATORS = (1, 64, 256)
SLASHES_WAITING = 16


def _bond(world: World, index: int, payee: Any = None) -> AccountId:
    who = world.person(index)
    world.staking._bonds.open(who, ait(500), payee or t.Staked())
    return who


def _validator(world: World, index: int) -> AccountId:
    who = _bond(world, index)
    world.staking._become_validator(who, t.ValidatorPrefs(0, blocked=False))
    return who


def _nominator(world: World, index: int, targets: int = t.MAX_NOMINATIONS) -> AccountId:
    who = _bond(world, index)
    world.staking._become_nominator(who, [world.person(OTHERS + each) for each in range(targets)])
    return who


def _unlocking(world: World, who: AccountId, chunks: int, era: int) -> None:
    ledger = world.staking.ledger.get(who).copy()
    ledger.unlocking = [t.UnlockChunk(ait(1), era + place) for place in range(chunks)]
    ledger.active = Balance(ledger.total - chunks * ait(1))
    world.staking.ledger.put(who, ledger)


# ------------------------------------------------------------------------------------------------- bonds


@scenario("Staking.bond")
def bond(world: World) -> Run:
    return world.call(world.person(STASH), "Staking.bond", ait(500), t.PaidTo(world.person(1)))


@scenario("Staking.bond_extra")
def bond_extra(world: World) -> Run:
    return world.call(_nominator(world, STASH), "Staking.bond_extra", ait(1))


@scenario("Staking.unbond")
def unbond(world: World) -> Run:
    who = _nominator(world, STASH)
    _unlocking(world, who, t.MAX_UNLOCKING - 1, 0)
    return world.call(who, "Staking.unbond", ait(1))


@scenario("Staking.withdraw_unbonded")
def withdraw_unbonded(world: World) -> Run:
    """The last of a bond leaves."""
    who = _nominator(world, STASH)
    _unlocking(world, who, t.MAX_UNLOCKING, 0)
    ledger = world.staking.ledger.get(who).copy()
    ledger.active = Balance(0)
    world.staking.ledger.put(who, ledger)
    world.staking.active_era.put(t.ActiveEraInfo(t.MAX_UNLOCKING, 1))
    return world.call(who, "Staking.withdraw_unbonded", 0)


@scenario("Staking.rebond")
def rebond(world: World) -> Run:
    who = _nominator(world, STASH)
    _unlocking(world, who, t.MAX_UNLOCKING, 5)
    return world.call(who, "Staking.rebond", ait(400))


@scenario("Staking.set_payee")
def set_payee(world: World) -> Run:
    return world.call(_bond(world, STASH), "Staking.set_payee", t.PaidTo(world.person(1)))


@scenario("Staking.reap_stash")
def reap_stash(world: World) -> Run:
    who = _nominator(world, STASH)
    world.staking.ledger.put(who, t.StakingLedger(who, Balance(1), Balance(1), [], []))
    return world.call(world.person(1), "Staking.reap_stash", who, 0)


@scenario("Staking.force_unstake")
def force_unstake(world: World) -> Run:
    return world.call("ROOT", "Staking.force_unstake", _nominator(world, STASH), 0)


# ------------------------------------------------------------------------------------------------- roles


@scenario("Staking.validate")
def validate(world: World) -> Run:
    """A nominator changes sides."""
    world.staking.min_validator_bond.put(ait(1))
    return world.call(_nominator(world, STASH), "Staking.validate", t.ValidatorPrefs(PERBILL_ONE // 10, blocked=False))


@scenario("Staking.nominate", units=(1, 8, t.MAX_NOMINATIONS))
def nominate(world: World, targets: int) -> Run:
    """A validator changes sides."""
    who = _validator(world, STASH)
    named = [_validator(world, OTHERS + index) for index in range(targets)]
    return world.call(who, "Staking.nominate", named)


@scenario("Staking.chill")
def chill(world: World) -> Run:
    return world.call(_nominator(world, STASH), "Staking.chill")


@scenario("Staking.chill_other")
def chill_other(world: World) -> Run:
    """The bond is below the minimum and the places are taken."""
    who = _nominator(world, STASH)
    world.staking.min_nominator_bond.put(ait(10_000))
    world.staking.max_nominators_count.put(1)
    world.staking.chill_threshold.put(50)
    return world.call(world.person(1), "Staking.chill_other", who)


@scenario("Staking.kick", units=(1, 64, REACHES_MAX))
def kick(world: World, nominators: int) -> Run:
    who = _validator(world, OTHERS)
    kicked = [_nominator(world, OTHERS + 1 + index) for index in range(nominators)]
    return world.call(who, "Staking.kick", kicked)


# ------------------------------------------------------------------------------------------------- paying


def _page(world: World, nominators: int = t.PAGE_SIZE, era: int = 0) -> AccountId:
    """An era of which a validator with this many nominators can be paid, among a hundred others."""
    who, staking = _validator(world, STASH), world.staking
    others = [(_bond(world, OTHERS + index), ait(500)) for index in range(nominators)]
    staking._exposures.put(era, who, Exposure(ait(500 * (nominators + 1)), ait(500), others))
    staking.eras_validator_prefs.put((era, who), t.ValidatorPrefs(PERBILL_ONE // 10, blocked=False))
    staking.eras_validator_reward.put(era, ait(10_000))
    points = {world.person(1_000 + index): 20 for index in range(100)} | {who: 20}
    staking.eras_reward_points.put(era, t.EraRewardPoints(20 * len(points), points))
    staking.active_era.put(t.ActiveEraInfo(era + 1, 1))
    return who


@scenario("Staking.payout_stakers")
def payout_stakers(world: World) -> Run:
    """A full page; every reward is staked."""
    return world.call(world.person(1), "Staking.payout_stakers", _page(world), 0)


@scenario("Staking.payout_stakers_by_page")
def payout_stakers_by_page(world: World) -> Run:
    return world.call(world.person(1), "Staking.payout_stakers_by_page", _page(world), 0, 0)


@scenario("Staking.skip_paid")
def skip_paid(world: World) -> Run:
    """An entry of the queue that has been paid."""
    who, staking = _page(world), world.staking
    staking.claimed_rewards.put((0, who), [0])
    staking.payout_queue.put(0, (0, who))
    staking.payout_end.put(1)
    return lambda: staking.on_idle(2, 10**15)


# ------------------------------------------------------------------------------------------------- governing


@scenario("Staking.set_validator_count")
def set_validator_count(world: World) -> Run:
    return world.call("ROOT", "Staking.set_validator_count", 50)


@scenario("Staking.force_new_era")
def force_new_era(world: World) -> Run:
    return world.call("ROOT", "Staking.force_new_era")


@scenario("Staking.cancel_deferred_slash")
def cancel_deferred_slash(world: World) -> Run:
    slash = _slash(world, t.PAGE_SIZE)
    world.staking.unapplied_slashes.put(3, [slash] * SLASHES_WAITING)
    return world.call("ROOT", "Staking.cancel_deferred_slash", 3, list(range(SLASHES_WAITING // 2)))


@scenario("Staking.set_staking_configs")
def set_staking_configs(world: World) -> Run:
    return world.call(
        "ROOT", "Staking.set_staking_configs", t.BalanceSet(ait(1)), t.BalanceSet(ait(1)), t.U32Set(10), t.U32Set(10),
        t.PercentSet(50), t.PerbillSet(1), t.PercentNoop(),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------- hooks


def _slash(world: World, others: int) -> t.UnappliedSlash:
    rows = [(world.person(OTHERS + index), ait(1)) for index in range(others)]
    return t.UnappliedSlash(world.person(STASH), ait(1), rows, [world.person(1)], ait(1))


@scenario("Staking.apply_slash", units=NOMINATORS)
def apply_slash(world: World, stakers: int) -> Run:
    """One slash of a validator and its nominators, who are unlocking 32 chunks each."""
    staking = world.staking
    for index in (STASH, *range(OTHERS, OTHERS + stakers - 1)):
        _unlocking(world, _bond(world, index), t.MAX_UNLOCKING, 5)
    staking.unapplied_slashes.put(1, [_slash(world, stakers - 1)])
    return lambda: staking._slashing.apply_due(1)


@scenario("Staking.elect", units=(22, 220, 2_200))
def elect(world: World, stakers: int) -> Run:
    """Ten nominators for each candidate, with 16 targets each; an era is forgotten."""
    staking, candidates = world.staking, max(1, stakers // 11)
    for index in range(candidates):
        _validator(world, OTHERS + index)
    for index in range(candidates, stakers):
        who = _bond(world, OTHERS + index)
        places = sorted({(index * 7 + step) % candidates for step in range(t.MAX_NOMINATIONS)})
        staking._become_nominator(who, [world.person(OTHERS + place) for place in places])
    staking.min_validator_bond.put(ait(1))
    staking.validator_count.put(min(candidates, t.VALIDATORS_MAX))
    staking.current_era.put(staking.history_depth + 1)
    staking.active_era.put(t.ActiveEraInfo(staking.history_depth + 1, 1))
    forgotten = 1
    rows = [(world.person(index), ait(1)) for index in range(10)]
    for index in range(candidates):
        who = world.person(OTHERS + index)
        staking._exposures.put(forgotten, who, Exposure(ait(20), ait(10), rows))
        staking.eras_validator_prefs.put((forgotten, who), t.ValidatorPrefs(0, blocked=False))
        staking.claimed_rewards.put((forgotten, who), [0])
    staking.force_era.put(t.Forcing.ForceNew)
    return lambda: staking._eras.plan(50, lambda _: True)
