"""Eras turn with sessions, an era is worth what the formula says, and everybody is paid to the unit."""

from __future__ import annotations

import pytest

from aitoken.types import AIT
from chain.frame import errors
from chain.pallets.session import SessionKeys
from chain.pallets.staking import types as t
from tests.support.staking_chain import REWARDS, TREASURY, StakingChain, account, pair

RATE = 3_338_673_272_296
CAP = 2_000_000 * AIT
FREE = t.ValidatorPrefs(0, blocked=False)


def keys_of(name: str) -> tuple[SessionKeys, bytes]:
    """Session keys of somebody and the proof that they are its own."""
    key = pair(name)
    return SessionKeys(key.public, key.public), key.sign(b"POP_" + account(name)) * 2


def validators(chain: StakingChain) -> list[bytes]:
    return list(chain.session.validators.get())


def people(*names: str) -> list[bytes]:
    return [account(name) for name in names]


def test_genesis_is_an_era_with_an_election() -> None:
    chain = StakingChain(nominators={"N": (100, ["A", "B", "C"])})

    assert chain.staking.current_era.get() == chain.era == 0
    overview = chain.staking.eras_stakers_overview.get((0, account("A")))
    assert (overview.own, overview.total) == (1000 * AIT, 1000 * AIT + 33_333_333_333_334)
    assert (overview.nominator_count, overview.page_count) == (1, 1)
    page = chain.staking.eras_stakers_paged.get((0, account("B"), 0))
    assert page == t.ExposurePage(33_333_333_333_333, [t.IndividualExposure(account("N"), 33_333_333_333_333)])
    assert chain.staking.eras_total_stake.get(0) == 10_100 * AIT
    assert [weight for _, weight in chain.epoch().authorities] == [
        1033_333_333, 2033_333_333, 3033_333_333, 4000_000_000,
    ]  # fmt: skip
    assert chain.balances.inactive_issuance.get() == 2 * AIT


def test_eras_are_planned_a_session_ahead() -> None:
    chain = StakingChain()
    seen = []
    for _ in range(14):
        chain.block()
        seen.append((chain.session.current_index.get(), chain.staking.current_era.get(), chain.era))

    assert [row for place, row in enumerate(seen) if place % 2] == [
        (1, 1, 0), (2, 1, 1), (3, 2, 1), (4, 2, 2), (5, 3, 2), (6, 3, 3), (7, 4, 3),
    ]  # fmt: skip
    assert dict(chain.staking.eras_start_session_index.items()) == {0: 0, 1: 2, 2: 4, 3: 6, 4: 8}
    assert chain.staking.bonded_eras.get() == [(1, 2), (2, 4), (3, 6)]
    assert chain.staking.active_era.get().start == chain.time_ms - 2 * 500
    assert chain.historical.stored_range.get() == (2, 8)
    assert [session for session, _ in sorted(chain.historical.historical_sessions.items())] == [2, 3, 4, 5, 6, 7]
    assert [each.sessions for _, each in chain.historical.sets.items()] == [2, 2, 2]  # one set an era: rewards weigh


def expected_worth(issued: int, elapsed_ms: int) -> tuple[int, int, int]:
    worth = (CAP - issued) * RATE * elapsed_ms // 10**24
    stakers, rewards = worth * 55 // 100, worth * 30 // 100
    return stakers, rewards, worth - stakers - rewards


def test_an_era_is_worth_what_the_formula_says() -> None:
    chain = StakingChain()
    issued = chain.issuance
    stakers, rewards, treasury = expected_worth(issued, 3 * 500)  # from the first block to the fourth
    chain.until_era(1)

    assert chain.staking.eras_validator_reward.get(0) == stakers > 0
    assert chain.system.account.get(REWARDS).free == AIT + rewards
    assert chain.system.account.get(TREASURY).free == AIT + treasury
    (paid,) = chain.named("EraPaid")
    assert (paid.era_index, paid.validator_payout, paid.remainder) == (0, stakers, rewards + treasury)
    assert chain.balances.inactive_issuance.get() == 2 * AIT + rewards + treasury
    assert chain.supply.issued_ever.get() == issued + rewards + treasury


def test_a_chain_that_stood_still_does_not_mint_for_it() -> None:
    chain = StakingChain()
    for _ in range(4):
        chain.block(step_ms=3_600_000)

    idle_era_ms = 4 * 1000
    assert chain.staking.eras_validator_reward.get(0) == expected_worth(chain.issuance, idle_era_ms * 3 // 2)[0]


def test_stakers_are_paid_by_themselves_to_the_unit() -> None:
    chain = StakingChain(nominators={"N": (100, ["A", "B", "C"]), "M": (50, ["A"])})
    chain.until_era(1)
    pot = chain.staking.eras_validator_reward.get(0)
    points = chain.staking.eras_reward_points.get(0)
    assert points.total == 4 * 20 == sum(points.individual.values())
    before = {name: (chain.free(name), chain.bonded(name)) for name in "ABCDNM"}
    issuance = chain.balances.total_issuance.get()
    expected = dict.fromkeys("ABCDNM", 0)
    for name in "ABCD":
        reward = pot * points.individual.get(account(name), 0) // points.total
        commission = reward // 10
        overview = chain.staking.eras_stakers_overview.get((0, account(name)))
        expected[name] += commission + (reward - commission) * overview.own // overview.total
        page = chain.staking.eras_stakers_paged.get((0, account(name), 0))
        for row in [] if page is None else page.others:
            who = next(each for each in "NM" if account(each) == row.who)
            expected[who] += (reward - commission) * row.value // overview.total
    for _ in points.individual:
        chain.block()

    assert {name: chain.bonded(name) - before[name][1] for name in "ABCDNM"} == expected
    assert all(chain.free(name) == before[name][0] for name in "ABCDNM")
    assert chain.balances.total_issuance.get() - issuance == sum(expected.values()) <= pot
    assert len(dict(chain.staking.claimed_rewards.items())) == len(points.individual)
    assert all(pages == [0] for _, pages in chain.staking.claimed_rewards.items())
    assert sum(expected[name] for name in "NM") > 0
    chain.check_money()


def test_a_page_is_paid_once_by_whoever_calls_first() -> None:
    chain = StakingChain(others={"X": 10})
    chain.until_era(1)
    who = next(iter(chain.staking.eras_reward_points.get(0).individual))
    before = chain.staking.ledger.get(who).active
    for error, args in (
        ("InvalidEraToReward", (who, 1)), ("InvalidEraToReward", (account("X"), 0)), ("InvalidPage", (who, 0, 1)),
    ):  # fmt: skip
        name = "payout_stakers" if len(args) == 2 else "payout_stakers_by_page"
        with pytest.raises(errors.DispatchError) as caught:
            chain.call("X", f"Staking.{name}", *args)
        assert caught.value.code == f"Staking.{error}"
    chain.call("X", "Staking.payout_stakers", who, 0)
    assert chain.staking.ledger.get(who).active > before
    with pytest.raises(errors.DispatchError) as caught:
        chain.call("X", "Staking.payout_stakers_by_page", who, 0, 0)
    assert caught.value.code == "Staking.AlreadyClaimed"


def test_more_than_a_page_of_nominators_is_paid_page_by_page() -> None:
    crowd = {f"crowd{number}": (10, ["A"]) for number in range(70)}
    chain = StakingChain(validators={"A": 1000}, nominators=crowd)
    overview = chain.staking.eras_stakers_overview.get((0, account("A")))
    assert (overview.nominator_count, overview.page_count) == (70, 2)
    sizes = [len(chain.staking.eras_stakers_paged.get((0, account("A"), page)).others) for page in range(2)]
    assert sizes == [64, 6]
    chain.until_era(1)
    pot = chain.staking.eras_validator_reward.get(0)
    chain.block()
    (started,) = chain.named("PayoutStarted")
    assert (started.page, started.next) == (0, 1)
    assert len(chain.named("Rewarded")) == 65
    chain.block()
    (started,) = chain.named("PayoutStarted")
    assert (started.page, started.next) == (1, None)

    share = (pot - pot // 10) * 10 // 1700
    assert {chain.bonded(name) for name in crowd} == {10 * AIT + share}
    assert chain.staking.claimed_rewards.get((0, account("A"))) == [0, 1]
    chain.block()
    assert chain.named("PayoutStarted") == []
    assert list(chain.staking.payout_queue.items()) == []


def test_rewards_go_where_the_stash_says_and_nowhere_is_not_minted() -> None:
    chain = StakingChain(others={"X": 10})
    for name, payee in (("A", t.Stash()), ("B", t.PaidTo(account("X"))), ("C", t.Nowhere()), ("D", t.Staked())):
        chain.run(name, "Staking.set_payee", payee)
    assert chain.era == 1
    chain.until_era(4)
    free, bonded = {name: chain.free(name) for name in "ABCDX"}, {name: chain.bonded(name) for name in "ABCD"}
    points, pot = chain.staking.eras_reward_points.get(3), chain.staking.eras_validator_reward.get(3)
    due = {name: pot * points.individual.get(account(name), 0) // points.total for name in "ABCD"}
    for _ in range(4):
        chain.block()

    assert chain.free("A") - free["A"] == due["A"]
    assert chain.free("X") - free["X"] == due["B"]
    assert chain.bonded("D") - bonded["D"] == due["D"]
    assert (chain.free("C"), chain.free("B")) == (free["C"], free["B"])
    assert {name: chain.bonded(name) for name in "ABC"} == {name: bonded[name] for name in "ABC"}
    assert sum(due.values()) > 0
    chain.check_money()


def test_a_killed_stash_still_gets_its_reward_into_its_balance() -> None:
    chain = StakingChain(validators={"A": 1000, "B": 1000})
    chain.until_era(1)
    chain.call("ROOT", "Staking.force_unstake", account("A"), 0)
    free = chain.free("A")
    chain.call("B", "Staking.payout_stakers", account("A"), 0)

    points = chain.staking.eras_reward_points.get(0)
    assert (
        chain.free("A") - free
        == chain.staking.eras_validator_reward.get(0) * points.individual[account("A")] // points.total
    )


def test_a_newcomer_validates_from_the_next_era_on_with_its_stake_as_weight() -> None:
    chain = StakingChain(others={"X": 2000})
    chain.block(chain.signed("X", "Staking.bond", 1500 * AIT, t.Staked()))
    chain.block(chain.signed("X", "Session.set_keys", *keys_of("X")))
    chain.block(chain.signed("X", "Staking.validate", FREE))
    assert chain.session.current_index.get() == 1
    chain.block()  # ends session 1; session 2 and era 1 were planned without the newcomer
    while account("X") not in validators(chain):
        chain.block()

    assert (chain.session.current_index.get(), chain.era) == (4, 2)
    assert validators(chain) == people("A", "B", "C", "D", "X")
    assert [weight for _, weight in chain.epoch().authorities][4] == 1500 * 10**6
    assert chain.epoch().epoch == 4
    seen = {chain.authorship.current_author() for _ in range(40) if chain.block()}
    assert account("X") in seen
    chain.run("X", "Staking.chill")
    while account("X") in validators(chain):
        chain.block()
    assert validators(chain) == people("A", "B", "C", "D")
    chain.check_money()


def test_a_giant_does_not_outvote_everybody() -> None:
    chain = StakingChain(validators={**dict.fromkeys("ABCDEF", 100), "G": 9400})
    weights = [weight for _, weight in chain.epoch().authorities]

    assert weights == [100 * 10**6] * 6 + [450 * 10**6]
    assert chain.staking.eras_stakers_overview.get((0, account("G"))).total == 9400 * AIT


def test_the_lowest_does_not_win_a_seat_and_who_has_no_keys_is_no_candidate() -> None:
    chain = StakingChain(others={"X": 9000}, staking={"validatorCount": 4})
    chain.block(chain.signed("X", "Staking.bond", 8000 * AIT, t.Staked()))
    chain.block(chain.signed("X", "Staking.validate", FREE))
    chain.until_era(3)
    assert validators(chain) == people("A", "B", "C", "D")
    chain.block(chain.signed("X", "Session.set_keys", *keys_of("X")))
    chain.until_era(5)

    assert validators(chain) == people("B", "C", "D", "X")


def test_keys_purged_after_the_election_cost_the_seat_but_the_last_set_is_kept() -> None:
    chain = StakingChain(validators={"A": 1000, "B": 1000})
    chain.block(chain.signed("A", "Session.purge_keys"))
    chain.until_session(4)
    assert validators(chain) == people("B")
    chain.block(chain.signed("B", "Session.purge_keys"))
    chain.until_session(10)

    assert validators(chain) == people("B")
    assert chain.era == 2  # no election finds anybody: the era goes on
    chain.block()
    chain.block()
    assert len(chain.named("StakingElectionFailed")) == 1


def test_root_may_call_an_election_out_of_turn() -> None:
    chain = StakingChain()
    chain.block(chain.signed("root", "Sudo.sudo", chain.schema.make_call("Staking.force_new_era")))
    chain.block()
    assert (chain.staking.current_era.get(), chain.staking.force_era.get()) == (1, t.Forcing.NotForcing)
    chain.until_era(2)
    assert dict(chain.staking.eras_start_session_index.items()) == {0: 0, 1: 2, 2: 4}


def test_old_eras_are_forgotten() -> None:
    chain = StakingChain(validators={"A": 1000}, nominators={"N": (10, ["A"])}, sessionBlocks=1, sessionsPerEra=1)
    chain.until_era(t.HISTORY_DEPTH + 3)

    for item in (chain.staking.eras_stakers_overview, chain.staking.eras_stakers_paged, chain.staking.claimed_rewards,
                 chain.staking.eras_validator_prefs):  # fmt: skip
        assert min(key[0] for key, _ in item.items()) >= 2
    for item in (chain.staking.eras_validator_reward, chain.staking.eras_reward_points, chain.staking.eras_total_stake,
                 chain.staking.eras_start_session_index):  # fmt: skip
        assert min(key for key, _ in item.items()) >= 2
    chain.check_money()


def test_blocks_replay_to_the_same_state_on_another_machine() -> None:
    chain = StakingChain(proven=True, nominators={"N": (100, ["A", "B"])}, others={"X": 50})
    state, header = chain.state, chain.header
    chain.block(chain.signed("X", "Staking.bond", 20 * AIT, t.Staked()))
    chain.block(chain.signed("X", "Staking.nominate", people("C", "D")))
    chain.until_era(3)
    for block in chain.blocks:
        executed = chain.runtime.execute_block(state, header, block.header, block.body)
        state, header = executed.state, executed.header

    assert header == chain.header
