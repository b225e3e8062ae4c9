"""Who wins, what stands behind whom, and who has how much weight."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aitoken.types import AccountId, Balance
from chain.pallets.staking.election import Candidate, Voter, capped, elect

A, B, C, D, N, M = (AccountId(bytes([number]) * 32) for number in (1, 2, 3, 4, 8, 9))


def candidate(who: AccountId, own: int) -> Candidate:
    return Candidate(who, Balance(own))


def voter(who: AccountId, stake: int, *targets: AccountId) -> Voter:
    return Voter(who, Balance(stake), targets)


def test_approval_ranks_and_ties_go_to_the_smaller_account() -> None:
    won = elect([candidate(C, 5), candidate(B, 5), candidate(A, 1), candidate(D, 1)], [voter(N, 9, D, A)], 3)

    assert list(won) == [A, D, B]


def test_a_bond_is_split_equally_over_the_winners_and_the_first_gets_the_rest() -> None:
    candidates = [candidate(A, 10), candidate(B, 20), candidate(C, 30), candidate(D, 1)]
    won = elect(candidates, [voter(N, 11, C, D, A, B), voter(M, 5, D)], 3)

    assert D not in won
    assert won[C].others == [(N, 5)]
    assert (won[A].others, won[B].others) == ([(N, 3)], [(N, 3)])
    assert (won[C].own, won[C].total) == (30, 35)


def test_who_nominates_only_losers_stands_behind_nobody() -> None:
    won = elect([candidate(A, 10), candidate(B, 1)], [voter(N, 3, B), voter(M, 0, A)], 1)

    assert won[A].total == 10
    assert won[A].others == []


STAKES = st.integers(0, 10**6)


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=8),
    st.lists(st.tuples(STAKES, st.lists(st.integers(0, 9), max_size=5, unique=True)), max_size=8),
    st.integers(1, 8),
    st.randoms(use_true_random=False),
)
def test_no_stake_is_lost_or_doubled_and_the_order_of_questions_does_not_matter(bonds, nominations, seats, random):  # type: ignore[no-untyped-def]
    candidates = [candidate(AccountId(bytes([place]) * 32), bond) for place, bond in enumerate(bonds)]
    voters = [
        voter(AccountId(bytes([100 + place]) * 32), stake, *(AccountId(bytes([target]) * 32) for target in targets))
        for place, (stake, targets) in enumerate(nominations)
    ]
    won = elect(candidates, voters, seats)

    assert len(won) == min(seats, len(bonds))
    used = dict.fromkeys((each.who for each in voters), 0)
    for exposure in won.values():
        assert exposure.total == exposure.own + sum(value for _, value in exposure.others)
        for who, value in exposure.others:
            used[who] += value
    for each in voters:
        assert used[each.who] == (each.stake if any(target in won for target in each.targets) else 0)
    shuffled = list(candidates)
    random.shuffle(shuffled)
    assert list(elect(shuffled, voters, seats)) == list(won)


def test_small_sets_are_not_capped() -> None:
    assert capped([1, 1, 1, 1, 1, 95]) == [1, 1, 1, 1, 1, 95]


def test_a_giant_is_cut_to_three_shares() -> None:
    weights = capped([100, 100, 100, 100, 100, 100, 9400])

    assert weights == [100] * 6 + [450]
    assert max(weights) * 7 == 3 * sum(weights)


@given(st.lists(st.integers(1, 10**18), min_size=7, max_size=60))
def test_nobody_has_more_than_three_shares_and_nobody_is_cut_below_another(stakes: list[int]) -> None:
    weights = capped(stakes)

    assert max(weights) * len(weights) <= 3 * sum(weights)
    assert all(0 < weight <= stake for weight, stake in zip(weights, stakes, strict=True))
    cut = max(weights)
    assert all(weight == min(stake, cut) for weight, stake in zip(weights, stakes, strict=True))
