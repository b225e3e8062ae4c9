"""Cases end whoever is silent, and their money goes where the rules say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.pay.seals import FULL_AWARD, commitment
from aitoken.types import AccountId, Balance, Hash32
from chain.pallets.ai.agenda import SLOT_MS
from chain.pallets.ai.arbiters import ARBITERS_MAX, SILENCE_PERCENT, STAKE_MIN, STAKES_COUNTED
from chain.pallets.ai.disputes import APPEAL_BONDS, Disputes, bond_of
from chain.pallets.ai.disputes_types import (
    PANELS,
    Arbiter,
    Drawing,
    Ended,
    OfSession,
    OfSubscription,
)
from chain.pallets.ai.jury import draw, median
from tests.support.court import (
    AMOUNT,
    ARBITERS,
    ROOT,
    SALT,
    SESSION,
    SUBJECT,
    answered,
    court,
    moved,
    opened,
    pass_phase,
    phase,
    seated,
    vote,
)
from tests.support.plans import published, subscribed
from tests.support.spending_chain import DAY, account, ait, rows

Error = Disputes.Error
# ------------------------------------------------------------------------------------------------- who may open what


def test_only_the_payer_complains_once_and_about_no_more_than_it_paid() -> None:
    chain = court(0)
    for who, subject in (("bob", SUBJECT), ("alice", OfSession(Hash32(b"T" * 32))), ("alice", OfSubscription(1, 1))):
        with pytest.raises(Error.NotPayer):
            chain.run(who, "Disputes.open", subject, AMOUNT, ROOT, [])
    for amount in (0, AMOUNT + 1):
        with pytest.raises(Error.AmountTooHigh):
            opened(chain, amount)
    opened(chain)
    with pytest.raises(Error.CaseExists):
        opened(chain)
    chain.check()


def test_a_case_about_a_period_of_a_subscription_is_about_what_the_provider_has_of_it() -> None:
    chain = court(0)
    number = subscribed(chain, published(chain))
    with pytest.raises(Error.AmountTooHigh):  # all of the price is still held of the payer
        chain.run("alice", "Disputes.open", OfSubscription(number, 1), ait(1), ROOT, [])
    chain.wait(15 * DAY)
    chain.run("eve", "Plans.settle", number)
    paid = chain.plans.subscriptions.get(number).paid
    with pytest.raises(Error.NotPayer):
        chain.run("alice", "Disputes.open", OfSubscription(number, 2), paid, ROOT, [])
    before = chain.free("alice")
    case = chain.run("alice", "Disputes.open", OfSubscription(number, 1), paid, ROOT, [])[-1].case
    pass_phase(chain, case)
    assert moved(chain, "alice", before) == paid - chain.disputes.cases.get(case).deposit
    with pytest.raises(Error.StillNeeded):
        chain.run("eve", "Disputes.forget", case)
    chain.run("alice", "Plans.cancel", number, True)
    chain.run("eve", "Disputes.forget", case)
    chain.check()


# ------------------------------------------------------------------------------------------------- the usual ways


def test_silence_of_the_provider_gives_the_claimant_everything() -> None:
    chain = court()
    before, owner = chain.free("alice"), chain.free("owner")
    case = opened(chain)
    with pytest.raises(Error.NotYet):
        chain.run("eve", "Disputes.advance", case)
    pass_phase(chain, case)

    assert phase(chain, case) == Ended(AMOUNT)
    assert moved(chain, "alice", before) == AMOUNT - chain.disputes.cases.get(case).deposit
    assert moved(chain, "owner", owner) == -AMOUNT
    for name, args in (("respond", (ROOT,)), ("advance", ()), ("withdraw", ()), ("offer", (1,)), ("accept", ())):
        with pytest.raises(Error.TooLate):
            chain.run("alice" if name in ("withdraw", "accept") else "owner", f"Disputes.{name}", case, *args)
    del chain.market.sessions[SESSION]
    chain.run("eve", "Disputes.forget", case)
    assert moved(chain, "alice", before) == AMOUNT
    chain.check()


def test_a_panel_awards_the_median_and_the_losers_bond_pays_those_near_it() -> None:
    chain = court()
    alice, operator, owner = chain.free("alice"), chain.free("operator"), chain.free("owner")
    case, panel = seated(chain)
    before = [chain.free(who) for who in panel]
    vote(chain, case, dict(zip(panel, (0, 6_000, 9_000), strict=True)))
    assert phase(chain, case).award == 6_000
    pass_phase(chain, case)

    award, bond = AMOUNT * 6_000 // FULL_AWARD, bond_of(AMOUNT)
    fee = bond // 2 // 2
    assert phase(chain, case) == Ended(award)
    assert [moved(chain, who, free) for who, free in zip(panel, before, strict=True)] == [0, fee, fee]
    deposit = chain.disputes.cases.get(case).deposit
    assert moved(chain, "alice", alice) == award + bond - 2 * fee - deposit
    assert moved(chain, "operator", operator) == -bond
    assert moved(chain, "owner", owner) == -award
    chain.check()


def test_below_half_the_claimant_loses_its_bond_and_still_gets_the_award() -> None:
    chain = court()
    alice, operator = chain.free("alice"), chain.free("operator")
    case, panel = seated(chain)
    vote(chain, case, dict.fromkeys(panel, 2_000))
    pass_phase(chain, case)

    bond = bond_of(AMOUNT)
    fee = bond // 2 // 3
    deposit = chain.disputes.cases.get(case).deposit
    assert moved(chain, "alice", alice) == AMOUNT // 5 - bond - deposit
    assert moved(chain, "operator", operator) == bond - 3 * fee
    chain.check()


def test_an_award_is_no_more_than_what_was_not_given_back_and_than_the_bond() -> None:
    chain = court()
    case, panel = seated(chain)
    vote(chain, case, dict.fromkeys(panel, FULL_AWARD))
    chain.market.sessions[SESSION] = (account("alice"), 7, ait(150))
    chain.market.bond = ait(60)
    chain.set_time(phase(chain, case).until)
    ended = chain.run("eve", "Disputes.advance", case)[-1]
    assert (ended.awarded, ended.paid) == (ait(150), ait(60))
    chain.check()


def test_an_accepted_offer_ends_a_case_and_offers_fall_with_the_ruling() -> None:
    chain = court()
    alice, owner = chain.free("alice"), chain.free("owner")
    case = answered(chain)
    with pytest.raises(Error.NoOffer):
        chain.run("alice", "Disputes.accept", case)
    chain.run("owner", "Disputes.offer", case, ait(90))
    chain.run("owner", "Disputes.offer", case, ait(70))
    chain.check()
    for who, name, args in (("bob", "offer", (1,)), ("bob", "accept", ())):
        with pytest.raises(Error.NotParty):
            chain.run(who, f"Disputes.{name}", case, *args)
    chain.run("alice", "Disputes.accept", case)
    assert moved(chain, "alice", alice) == ait(70) - chain.disputes.cases.get(case).deposit
    assert moved(chain, "owner", owner) == -ait(70)
    chain.check()

    chain = court()
    case, panel = seated(chain)
    chain.run("owner", "Disputes.offer", case, ait(150))
    vote(chain, case, dict.fromkeys(panel, 0))
    with pytest.raises(Error.NoOffer):  # it was made before the ruling, not for after it
        chain.run("alice", "Disputes.accept", case)
    with pytest.raises(Error.TooLate):
        chain.run("owner", "Disputes.offer", case, ait(150))
    chain.check()


def test_a_claimant_withdraws_freely_before_an_answer_and_for_its_bond_after_it() -> None:
    chain = court()
    before = chain.free("alice")
    case = opened(chain)
    with pytest.raises(Error.NotParty):
        chain.run("bob", "Disputes.withdraw", case)
    chain.run("alice", "Disputes.withdraw", case)
    assert moved(chain, "alice", before) == -chain.disputes.cases.get(case).deposit
    chain.check()

    chain = court()
    before, operator = chain.free("alice"), chain.free("operator")
    case = answered(chain)
    chain.run("alice", "Disputes.withdraw", case)
    assert moved(chain, "operator", operator) == bond_of(AMOUNT)
    assert moved(chain, "alice", before) == -bond_of(AMOUNT) - chain.disputes.cases.get(case).deposit
    chain.check()

    chain = court()
    case, _ = seated(chain)
    with pytest.raises(Error.TooLate):
        chain.run("alice", "Disputes.withdraw", case)


def test_one_appeal_goes_to_a_bigger_panel_without_the_first() -> None:
    chain = court()
    case, panel = seated(chain)
    vote(chain, case, dict.fromkeys(panel, FULL_AWARD))
    with pytest.raises(Error.NotLoser):
        chain.run("alice", "Disputes.appeal", case)
    with pytest.raises(Error.NotParty):
        chain.run("bob", "Disputes.appeal", case)
    chain.run("owner", "Disputes.appeal", case)
    chain.check()
    with pytest.raises(Error.TooLate):
        chain.run("owner", "Disputes.appeal", case)
    chain.set_time(chain.now + 2 * SLOT_MS)
    chain.run("eve", "Disputes.advance", case)
    second = [seat.arbiter for seat in chain.disputes.panels.get(case)]
    assert len(second) == PANELS[1]
    assert not set(second) & set(panel)
    owner, alice = chain.free("owner"), chain.free("alice")
    vote(chain, case, dict.fromkeys(second, 0), panel=1)
    assert phase(chain, case) == Ended(0)
    bond = bond_of(AMOUNT)
    assert moved(chain, "owner", owner) == APPEAL_BONDS * bond  # back, and the claimant's goes to who answered
    assert moved(chain, "alice", alice) == 0
    chain.check()


def test_an_appeal_comes_in_time() -> None:
    chain = court()
    case, panel = seated(chain)
    vote(chain, case, dict.fromkeys(panel, 5_000))
    chain.set_time(phase(chain, case).until)
    for who in ("alice", "owner"):
        with pytest.raises(Error.TooLate):
            chain.run(who, "Disputes.appeal", case)


# ------------------------------------------------------------------------------------------------- panels


def test_nobody_sits_in_its_own_case() -> None:
    chain = court(3)
    for who in ("alice", "owner", "operator", "payout"):
        chain.run(who, "Disputes.register_arbiter", ait(1000))
    case, panel = seated(chain)
    assert sorted(panel) == sorted(ARBITERS[:3])
    chain.run("alice", "Disputes.retire_arbiter")
    with pytest.raises(Error.Seated):
        chain.run(panel[0], "Disputes.retire_arbiter")
    chain.check()
    del case


def test_no_panel_is_drawn_before_an_epoch_whose_seed_was_made_after_the_answer() -> None:
    chain = court()
    case = answered(chain)
    now = chain.market.get().epoch
    assert phase(chain, case) == Drawing(now + 2)
    chain.set_time((now + 2) * SLOT_MS - 1)
    with pytest.raises(Error.NotYet):
        chain.run("eve", "Disputes.advance", case)
    chain.set_time((now + 2) * SLOT_MS)
    chain.run("eve", "Disputes.advance", case)


def test_a_vote_cannot_be_copied_changed_or_brought_forward() -> None:
    chain = court()
    case, panel = seated(chain)
    first, second, third = panel
    good = commitment(case, 0, first, 100, SALT)
    with pytest.raises(Error.NotSeated):
        chain.run("alice", "Disputes.commit", case, good)
    with pytest.raises(Error.TooLate):
        chain.run(first, "Disputes.reveal", case, 100, SALT)
    chain.run(first, "Disputes.commit", case, good)
    with pytest.raises(Error.AlreadyVoted):
        chain.run(first, "Disputes.commit", case, commitment(case, 0, first, 0, SALT))
    chain.run(second, "Disputes.commit", case, good)
    chain.run(third, "Disputes.commit", case, commitment(case, 0, third, FULL_AWARD + 1, SALT))
    with pytest.raises(Error.TooLate):
        chain.run(first, "Disputes.commit", case, good)
    for who, award, salt in (
        (first, 101, SALT), (first, 100, b"t" * 32), (second, 100, SALT), (third, FULL_AWARD + 1, SALT)
    ):  # fmt: skip
        with pytest.raises(Error.BadReveal):
            chain.run(who, "Disputes.reveal", case, award, salt)
    chain.run(first, "Disputes.reveal", case, 100, SALT)
    with pytest.raises(Error.AlreadyVoted):
        chain.run(first, "Disputes.reveal", case, 100, SALT)
    pass_phase(chain, case)
    assert phase(chain, case).award == 100


def test_silent_arbiters_lose_a_part_of_their_stake_and_too_little_is_not_drawn() -> None:
    chain = court()
    case, panel = seated(chain)
    chain.run(panel[0], "Disputes.commit", case, commitment(case, 0, panel[0], 10, SALT))
    pass_phase(chain, case)
    chain.run(panel[0], "Disputes.reveal", case, 10, SALT)
    slashed = ait(100) * SILENCE_PERCENT // 100
    chain.burned += 2 * slashed
    assert [chain.disputes.arbiters.get(who).stake for who in panel] == [ait(100), *2 * [ait(100) - slashed]]
    chain.check()
    pass_phase(chain, case)
    chain.market.sessions[Hash32(b"U" * 32)] = (account("alice"), 7, AMOUNT)
    again = chain.run("alice", "Disputes.open", OfSession(Hash32(b"U" * 32)), AMOUNT, ROOT, [])[-1].case
    chain.run("owner", "Disputes.respond", again, ROOT)
    chain.wait(2 * SLOT_MS)
    seats = [seat.arbiter for seat in chain.disputes.panels.get(again)]
    assert not {panel[1], panel[2]} & set(seats)
    chain.check()


def test_a_case_nobody_can_judge_is_dismissed_and_everybody_has_its_bond_back() -> None:
    chain = court(0)
    alice, operator = chain.free("alice"), chain.free("operator")
    case = answered(chain)
    chain.wait(3 * SLOT_MS)
    assert phase(chain, case) == Ended(0)
    assert moved(chain, "alice", alice) == -chain.disputes.cases.get(case).deposit
    assert moved(chain, "operator", operator) == 0
    chain.check()


def test_more_stake_displaces_less_when_there_is_no_more_room() -> None:
    chain = court(0)
    for index in range(ARBITERS_MAX):
        who = AccountId(index.to_bytes(2, "big") * 16)
        chain.disputes.arbiters.put(who, Arbiter(STAKE_MIN + index, 0))
        row = chain.system.account.get(who).copy()
        row.free, row.providers = ait(1000), 1
        chain.system.account.put(who, row)
        chain.balances.hold(chain.disputes.HoldReason.Stake, who, Balance(STAKE_MIN + index))
    chain.disputes.arbiter_count.put(ARBITERS_MAX)
    with pytest.raises(Error.TooMany):
        chain.run("alice", "Disputes.register_arbiter", STAKE_MIN)
    with pytest.raises(Error.StakeTooLow):
        chain.run("alice", "Disputes.register_arbiter", STAKE_MIN - 1)
    chain.run("alice", "Disputes.register_arbiter", STAKE_MIN + 1)
    assert not chain.disputes.arbiters.contains(AccountId(bytes(32)))
    assert chain.disputes.arbiter_count.get() == len(rows(chain.disputes.arbiters)) == ARBITERS_MAX
    chain.run("alice", "Disputes.register_arbiter", ait(5))
    assert chain.disputes.arbiters.get(account("alice")).stake == STAKE_MIN + 1 + ait(5)
    with pytest.raises(Error.NotArbiter):
        chain.run("bob", "Disputes.retire_arbiter")


# ------------------------------------------------------------------------------------------------- the jury


def test_a_draw_follows_stake_takes_nobody_twice_and_is_the_same_everywhere() -> None:
    people = [(ARBITERS[0], 1), (ARBITERS[1], 3), (ARBITERS[2], 0)]
    firsts = [draw(seed.to_bytes(4, "big"), 5, 0, people, 1)[0] for seed in range(4000)]
    assert 2800 < firsts.count(ARBITERS[1]) < 3200
    assert sorted(draw(b"x", 5, 0, people, 9)) == sorted(ARBITERS[:2])
    assert draw(b"x", 5, 0, people[::-1], 9) == draw(b"x", 5, 0, people, 9)
    assert draw(b"x", 5, 0, [], 3) == []
    many = [(who, 1) for who in ARBITERS]
    drawn = [tuple(draw(b"x", case, panel, many, 3)) for case in range(8) for panel in (0, 1)]
    assert len(set(drawn)) > 10


@given(st.lists(st.integers(0, FULL_AWARD), min_size=1, max_size=9))
def test_the_median_lies_between_the_votes_in_the_middle(votes: list[int]) -> None:
    found = median(votes)
    assert 2 * sum(each < found for each in votes) <= len(votes)
    assert 2 * sum(each > found for each in votes) <= len(votes)
    assert found == median(votes[::-1])


def test_stake_beyond_a_cap_does_not_make_a_seat_likelier() -> None:
    chain = court(0)
    for who, stake in (("bob", STAKES_COUNTED * STAKE_MIN), ("carol", STAKES_COUNTED * STAKE_MIN + ait(500))):
        chain.run(who, "Disputes.register_arbiter", stake)
    weights: list[tuple[AccountId, int]] = []

    def spy(_seed: bytes, _case: int, _panel: int, candidates: Any, _seats: int) -> list[AccountId]:
        weights.extend(candidates)
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chain.pallets.ai.arbiters.draw", spy)
        case = answered(chain)
        chain.wait(3 * SLOT_MS)
    assert [weight for _, weight in weights] == 2 * [STAKES_COUNTED * STAKE_MIN]
    del case
