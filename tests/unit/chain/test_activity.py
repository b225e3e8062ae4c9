"""Leaders that miss their views are seen in headers and left out for a session."""

from __future__ import annotations

from aitoken.types import AccountId
from chain.pallets.activity import GAP_MAX
from tests.support.staking_chain import StakingChain, account

LONG = {"sessionBlocks": 20, "sessionsPerEra": 30}
EQUAL = {"A": 1000, "B": 1000, "C": 1000, "D": 1000}


def validators(chain: StakingChain) -> list[AccountId]:
    return list(chain.session.validators.get())


def test_views_without_a_block_count_for_their_leaders() -> None:
    chain = StakingChain(validators=EQUAL, **LONG)
    chain.block(gap=3)
    chain.block(gap=2)

    expected = {index: [0, 0] for index in range(4)}
    for view in range(1, 8):
        expected[chain.leader_of(view)][0 if view in (4, 7) else 1] += 1
    assert {index: list(chain.activity.slots.get(index)) for index in range(4)} == expected


def test_a_gap_counts_up_to_its_limit() -> None:
    chain = StakingChain(validators=EQUAL, **LONG)
    chain.block(gap=GAP_MAX + 100)

    assert sum(missed for _, (_, missed) in chain.activity.slots.items()) == GAP_MAX


def test_the_absent_are_left_out_of_one_session_and_keep_their_stake() -> None:
    chain = StakingChain(validators=EQUAL, **LONG)
    bonded = chain.bonded("B")
    while chain.session.current_index.get() == 0:
        chain.without("B")
    (absent,) = chain.named("Absent")
    assert (absent.session, absent.validator, absent.produced) == (0, account("B"), 0)
    assert len(list(chain.activity.slots.items())) == 0
    chain.until_session(2)
    assert validators(chain) == [account("A"), account("C"), account("D")]
    assert len(chain.epoch().authorities) == 3
    assert chain.staking.validators.contains(account("B"))
    chain.until_session(3)
    assert validators(chain) == [account("A"), account("C"), account("D"), account("B")]
    assert chain.bonded("B") >= bonded
    assert chain.staking.validator_slash_in_era.get((0, account("B"))) is None


def test_a_few_views_say_nothing() -> None:
    chain = StakingChain(validators=EQUAL, sessionBlocks=3, sessionsPerEra=30)
    for _ in range(3):
        chain.without("B")

    assert chain.named("NewSession")
    assert chain.named("Absent") == []


def test_never_is_more_than_a_third_left_out() -> None:
    chain = StakingChain(validators=EQUAL, **LONG)
    while chain.session.current_index.get() == 0:
        chain.without("B", "C", "D")
    assert len(chain.named("Absent")) == 3
    chain.until_session(2)

    assert len(validators(chain)) == 3


def test_nobody_is_left_alone() -> None:
    chain = StakingChain(validators={"A": 1}, **LONG)
    while chain.session.current_index.get() == 0:
        chain.block(gap=9)
    assert len(chain.named("Absent")) == 1
    chain.until_session(2)

    assert validators(chain) == [account("A")]
