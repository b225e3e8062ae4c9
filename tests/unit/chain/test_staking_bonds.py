"""Bonds and roles: each call does what it says or fails with the error wallets know."""

from __future__ import annotations

from typing import Any

import pytest

from aitoken.types import AIT
from chain.frame import errors
from chain.pallets.staking import types as t
from tests.support.staking_chain import StakingChain, account

MINIMUMS = {"minValidatorBond": "500 AIT", "minNominatorBond": "10 AIT", "minCommission": "5%"}
ED = AIT // 100


@pytest.fixture
def chain() -> StakingChain:
    return StakingChain(nominators={"N": (50, ["A", "B"])}, others={"X": 2000, "Y": 1}, staking=MINIMUMS)


def refused(chain: StakingChain, error: str, who: str, name: str, *args: Any) -> None:
    before = chain.machine.store.changes()
    with pytest.raises(errors.DispatchError) as caught:
        chain.call(who, f"Staking.{name}", *args)
    assert caught.value.code == (error if "." in error else f"Staking.{error}")
    assert chain.machine.store.changes() == before


def ledger(chain: StakingChain, who: str) -> t.StakingLedger:
    found = chain.staking.ledger.get(account(who))
    assert isinstance(found, t.StakingLedger)
    return found


def test_a_bond_is_held_and_leaves_the_deposit_free(chain: StakingChain) -> None:
    chain.call("X", "Staking.bond", 10_000 * AIT, t.Controller())

    assert ledger(chain, "X") == t.StakingLedger(account("X"), 2000 * AIT - ED, 2000 * AIT - ED, [], [])
    assert chain.free("X") == ED
    assert chain.staking.bonded.get(account("X")) == account("X")
    assert chain.staking.payee.get(account("X")) == t.Stash()
    chain.check_money()
    refused(chain, "AlreadyBonded", "X", "bond", AIT, t.Staked())
    refused(chain, "InsufficientBond", "Y", "bond", ED - 1, t.Staked())


def test_more_can_be_bonded_as_far_as_there_is_more(chain: StakingChain) -> None:
    chain.call("N", "Staking.bond_extra", 30 * AIT)
    assert ledger(chain, "N").active == 80 * AIT
    chain.call("N", "Staking.bond_extra", 10**30)
    assert chain.free("N") == ED
    chain.check_money()
    refused(chain, "NotController", "X", "bond_extra", AIT)


def test_unbonding_takes_an_era_number_and_joins_what_is_unbonded_in_the_same_era(chain: StakingChain) -> None:
    chain.call("D", "Staking.unbond", 7 * AIT)
    chain.call("D", "Staking.unbond", 3 * AIT)

    assert ledger(chain, "D").unlocking == [t.UnlockChunk(10 * AIT, 3)]
    assert (ledger(chain, "D").total, ledger(chain, "D").active) == (4000 * AIT, 3990 * AIT)
    chain.check_money()
    refused(chain, "NotController", "X", "unbond", AIT)


def test_who_keeps_a_role_keeps_its_minimum(chain: StakingChain) -> None:
    refused(chain, "InsufficientBond", "A", "unbond", 501 * AIT)
    refused(chain, "InsufficientBond", "N", "unbond", 41 * AIT)
    chain.call("A", "Staking.unbond", 500 * AIT)
    chain.call("N", "Staking.unbond", 40 * AIT)
    chain.call("N", "Staking.chill")
    chain.call("N", "Staking.unbond", 10 * AIT - ED + 1)

    assert (ledger(chain, "N").active, ledger(chain, "N").total) == (0, 50 * AIT)


def test_there_is_an_end_of_chunks(chain: StakingChain) -> None:
    for era in range(t.MAX_UNLOCKING):
        chain.staking.current_era.put(era)
        chain.call("D", "Staking.unbond", AIT)
    chain.call("D", "Staking.unbond", AIT)
    chain.staking.current_era.put(99)
    refused(chain, "NoMoreChunks", "D", "unbond", AIT)


def test_rebonding_takes_the_latest_chunks_first(chain: StakingChain) -> None:
    refused(chain, "NoUnlockChunk", "D", "rebond", AIT)
    for era, amount in ((0, 1), (1, 2), (2, 4)):
        chain.staking.current_era.put(era)
        chain.call("D", "Staking.unbond", amount * AIT)
    chain.call("D", "Staking.rebond", 5 * AIT)

    assert ledger(chain, "D").unlocking == [t.UnlockChunk(AIT, 3), t.UnlockChunk(AIT, 4)]
    assert ledger(chain, "D").active == 3998 * AIT
    chain.call("D", "Staking.rebond", 10**30)
    assert ledger(chain, "D").active == ledger(chain, "D").total == 4000 * AIT


def test_money_comes_back_when_its_era_runs_and_not_when_it_is_planned(chain: StakingChain) -> None:
    free = chain.free("D")
    chain.call("D", "Staking.unbond", 5 * AIT)
    chain.staking.current_era.put(3)
    chain.staking.active_era.put(t.ActiveEraInfo(2, 0))
    chain.call("D", "Staking.withdraw_unbonded", 0)
    assert chain.free("D") == free

    chain.staking.active_era.put(t.ActiveEraInfo(3, 0))
    chain.call("D", "Staking.withdraw_unbonded", 0)
    assert chain.free("D") == free + 5 * AIT
    assert ledger(chain, "D").unlocking == []
    chain.check_money()


def test_the_last_withdrawal_closes_the_stash(chain: StakingChain) -> None:
    chain.call("N", "Staking.chill")
    chain.call("N", "Staking.unbond", 50 * AIT)
    chain.staking.active_era.put(t.ActiveEraInfo(3, 0))
    chain.call("N", "Staking.withdraw_unbonded", 0)

    assert chain.free("N") == 150 * AIT
    assert chain.staking.bonded.get(account("N")) is None
    assert chain.staking.payee.get(account("N")) is None
    assert chain.system.account.get(account("N")).consumers == 0
    chain.check_money()
    chain.call("N", "Staking.bond", AIT, t.Staked())


def test_roles_exclude_each_other_and_end_with_chill(chain: StakingChain) -> None:
    prefs = t.ValidatorPrefs(5 * 10**7, blocked=False)
    chain.call("A", "Staking.nominate", [account("B")])
    assert not chain.staking.validators.contains(account("A"))
    chain.call("A", "Staking.validate", prefs)
    assert chain.staking.nominators.get(account("A")) is None
    assert chain.staking.validators.get(account("A")) == prefs
    chain.check_money()
    chain.call("A", "Staking.chill")
    assert not chain.staking.validators.contains(account("A"))
    refused(chain, "NotController", "X", "chill")


def test_validators_need_the_minimum_and_ask_a_commission_in_bounds(chain: StakingChain) -> None:
    refused(chain, "InsufficientBond", "N", "validate", t.ValidatorPrefs(10**8, blocked=False))
    refused(chain, "CommissionTooLow", "A", "validate", t.ValidatorPrefs(5 * 10**7 - 1, blocked=False))
    refused(chain, "BoundNotMet", "A", "validate", t.ValidatorPrefs(10**9 + 1, blocked=False))
    refused(chain, "NotController", "X", "validate", t.ValidatorPrefs(10**9, blocked=False))
    chain.staking.max_validators_count.put(4)
    chain.call("X", "Staking.bond", 1000 * AIT, t.Staked())
    refused(chain, "TooManyValidators", "X", "validate", t.ValidatorPrefs(10**9, blocked=False))
    chain.call("A", "Staking.validate", t.ValidatorPrefs(10**9, blocked=True))


def test_nominations_are_bounded_and_respect_who_is_blocked(chain: StakingChain) -> None:
    refused(chain, "EmptyTargets", "N", "nominate", [])
    refused(chain, "TooManyTargets", "N", "nominate", [account("A")] * 17)
    refused(chain, "NotController", "X", "nominate", [account("A")])
    for name in ("B", "C"):
        chain.call(name, "Staking.validate", t.ValidatorPrefs(10**8, blocked=True))
    refused(chain, "BadTarget", "N", "nominate", [account("C")])
    chain.call("N", "Staking.nominate", [account("D"), account("B"), account("D")])
    assert chain.staking.nominators.get(account("N")).targets == [account("D"), account("B")]
    chain.call("Y", "Staking.bond", AIT // 2, t.Staked())
    refused(chain, "InsufficientBond", "Y", "nominate", [account("A")])
    chain.call("X", "Staking.bond", 20 * AIT, t.Staked())
    chain.staking.max_nominators_count.put(1)
    refused(chain, "TooManyNominators", "X", "nominate", [account("A")])


def test_a_validator_kicks_nominators(chain: StakingChain) -> None:
    chain.call("A", "Staking.kick", [account("N"), account("X")])

    assert chain.staking.nominators.get(account("N")).targets == [account("B")]
    refused(chain, "NotController", "X", "kick", [account("N")])


def test_others_are_chilled_only_below_the_minimum_and_near_the_limit(chain: StakingChain) -> None:
    noop = (t.BalanceNoop(), t.BalanceNoop(), t.U32Noop(), t.U32Noop(), t.PercentNoop(), t.PerbillNoop())
    refused(chain, "CannotChillOther", "X", "chill_other", account("N"))
    chain.call(
        "ROOT", "Staking.set_staking_configs", t.BalanceSet(60 * AIT), *noop[:1], t.U32Set(1), t.U32Remove(),
        t.PercentSet(90), t.PerbillNoop(), t.PercentNoop(),
    )  # fmt: skip
    refused(chain, "CannotChillOther", "X", "chill_other", account("A"))
    chain.call("X", "Staking.chill_other", account("N"))
    assert chain.staking.nominators.get(account("N")) is None
    chain.call("A", "Staking.chill_other", account("A"))
    assert not chain.staking.validators.contains(account("A"))


def test_settings_are_roots_and_bounded(chain: StakingChain) -> None:
    noops = [t.BalanceNoop(), t.BalanceNoop(), t.U32Noop(), t.U32Noop(), t.PercentNoop(), t.PerbillNoop()]
    refused(chain, "dispatch.bad_origin", "X", "set_staking_configs", *noops, t.PercentNoop())
    refused(chain, "BoundNotMet", "ROOT", "set_staking_configs", *noops, t.PercentSet(5))
    refused(chain, "BoundNotMet", "ROOT", "set_staking_configs", *noops[:4], t.PercentSet(101), noops[5], noops[4])
    refused(chain, "BoundNotMet", "ROOT", "set_staking_configs", *noops[:5], t.PerbillSet(10**9 + 1), noops[4])
    chain.call("ROOT", "Staking.set_staking_configs", *noops[:5], t.PerbillRemove(), t.PercentNoop())
    assert chain.staking.min_commission.get() == 0
    assert chain.staking.min_validator_bond.get() == 500 * AIT
    chain.call("ROOT", "Staking.set_validator_count", 7)
    assert chain.staking.validator_count.get() == 7
    refused(chain, "BoundNotMet", "ROOT", "set_validator_count", 0)
    for name, args in (("set_validator_count", (1,)), ("force_new_era", ()), ("force_unstake", (account("A"), 0))):
        refused(chain, "dispatch.bad_origin", "X", name, *args)


def test_root_unstakes_anybody_at_once(chain: StakingChain) -> None:
    chain.call("ROOT", "Staking.force_unstake", account("N"), 0)

    assert chain.free("N") == 150 * AIT
    chain.check_money()


def test_only_an_empty_stash_is_reaped(chain: StakingChain) -> None:
    refused(chain, "FundedTarget", "X", "reap_stash", account("N"), 0)
    chain.staking._bonds.slash(account("N"), 50 * AIT, 0, None)
    post = chain.call("X", "Staking.reap_stash", account("N"), 0)
    assert post.pays is not None
    assert chain.staking.ledger.get(account("N")) is None
    chain.check_money()


def test_a_destination_is_set_by_its_stash(chain: StakingChain) -> None:
    chain.call("N", "Staking.set_payee", t.PaidTo(account("X")))
    assert chain.staking.payee.get(account("N")) == t.PaidTo(account("X"))
    refused(chain, "NotController", "X", "set_payee", t.Stash())


@pytest.mark.parametrize("keys_first", [True, False])
def test_a_validator_of_genesis_leaves_like_any_other(keys_first: bool) -> None:
    chain = StakingChain()
    assert chain.system.account.get(account("A")).consumers == 2, "the bond and the keys"
    if keys_first:
        chain.run("A", "Session.purge_keys")
        assert chain.system.account.get(account("A")).consumers == 1
    chain.run("A", "Staking.chill")
    chain.run("A", "Staking.unbond", 10_000 * AIT)
    chain.until_era(chain.era + 5)
    chain.run("A", "Staking.withdraw_unbonded", 0)
    assert chain.staking.ledger.get(account("A")) is None
    if not keys_first:
        chain.run("A", "Session.purge_keys")
    found = chain.system.account.get(account("A"))
    assert (found.consumers, found.reserved) == (0, 0)
    chain.run("A", "Balances.transfer_all", account("root"), False)
    assert not chain.named("ExtrinsicFailed")
    chain.check_money()
