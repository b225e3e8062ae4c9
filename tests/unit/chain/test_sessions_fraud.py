"""Fraud proofs F1 to F5 and demands: what is punished, once, by how much, and that honest providers never are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aitoken.pay.book import Price
from aitoken.pay.layouts import Receipt
from aitoken.types import AIT, Balance, Moment
from chain.pallets.ai import sessions_types as t
from chain.pallets.ai.providers_types import ProviderPatch, ProvidersHoldReason
from tests.support.pay_chain import USD, PayChain, account, book, pair
from tests.support.pay_session import REASONS, PaySession, check_sessions

CHALLENGE = "Sessions.challenge"
BOND = ProvidersHoldReason.Bond
ANSWER = 60_000


@pytest.fixture
def chain() -> PayChain:
    found = PayChain(oracle={"feeds": [{"currency": USD, "staleAfterMs": 100_000}]})
    found.begin()
    found.sell()
    return found


@pytest.fixture
def session(chain: PayChain) -> PaySession:
    return PaySession(chain, 1)


def challenge(chain: PayChain, session: PaySession, lane: int, proof: t.Proof) -> list[Any]:
    """Prove something as "other"; the events about it."""
    chain.emitted()
    chain.call("other", CHALLENGE, session.id, lane, proof)
    check_sessions(chain)
    return [event for event in chain.emitted() if type(event).__name__ in ("Challenged", "TailReturned")]


def test_f1_a_tail_above_its_receipt_costs_five_times_the_difference(chain: PayChain, session: PaySession) -> None:
    receipt = session.receipt(0, 1, 4 * AIT)
    session.claim_tail(0, replace(receipt, lane_total=Balance(9 * AIT), charge=Balance(9 * AIT)), AIT)
    before = {who: chain.free(who) for who in ("payer", "other")}

    events = challenge(chain, session, 0, t.OverClaim(session.signed(receipt)))

    assert [type(event).__name__ for event in events] == ["TailReturned", "Challenged"]
    assert (events[1].proof, events[1].damage, events[1].slashed) == (1, 5 * AIT, 25 * AIT)
    assert chain.free("payer") - before["payer"] == (5 + 7.5) * AIT
    assert chain.free("other") - before["other"] == 5 * AIT
    assert session.lane(0).paid == AIT
    chain.refused("NoTail", "other", CHALLENGE, session.id, 0, t.OverClaim(session.signed(receipt)))
    chain.pass_time(40_000, 40)
    assert session.state.claimed == AIT


def test_f1_also_when_only_the_hash_is_another(chain: PayChain, session: PaySession) -> None:
    receipt = session.receipt(0, 1, 4 * AIT)
    session.claim_tail(0, replace(receipt, response=bytes(32)), 0)
    events = challenge(chain, session, 0, t.OverClaim(session.signed(receipt)))
    assert (events[1].damage, events[1].slashed) == (0, 10 * AIT)


def test_f1_does_not_touch_an_honest_tail(chain: PayChain, session: PaySession) -> None:
    receipt = session.receipt(0, 1, 4 * AIT)
    later = session.receipt(0, 2, AIT, receipt)
    session.claim_tail(0, receipt, 0)
    for wrong in (receipt, later):
        chain.refused("NotFraud", "other", CHALLENGE, session.id, 0, t.OverClaim(session.signed(wrong)))
    forged = replace(receipt, charge=Balance(AIT), lane_total=Balance(AIT))
    chain.refused("BadSignature", "other", CHALLENGE, session.id, 0, t.OverClaim(session.signed(forged, "payer")))
    chain.refused("NoTail", "other", CHALLENGE, session.id, 1, t.OverClaim(session.signed(receipt)))
    chain.refused("NoSession", "other", CHALLENGE, bytes(32), 0, t.Equivocation(*[session.signed(receipt)] * 2))


def test_f1_a_payer_cannot_frame_the_provider_with_a_made_up_tail(chain: PayChain, session: PaySession) -> None:
    """Whoever has the payer's voucher could otherwise claim any hash and prove it wrong by the real receipt."""
    made_up = session.item(session.voucher(0, 0, 0, 9 * AIT), t.Tailed(9 * AIT, bytes(32)))
    for who in ("payer", "stranger", "payout"):
        assert session.problem(made_up, who=who) is t.ClaimProblem.NotByProvider
    assert chain.sessions.lane(session.id, 0) is None


def test_a_receipt_of_another_place_proves_nothing(chain: PayChain, session: PaySession) -> None:
    other = PaySession(chain, 1, salt=1)
    session.claim_tail(0, session.receipt(0, 1, 4 * AIT), 0)
    for receipt in (other.receipt(0, 1, AIT), session.receipt(1, 1, AIT)):
        chain.refused("BadReceipt", "other", CHALLENGE, session.id, 0, t.OverClaim(session.signed(receipt)))
    cut = t.SignedReceipt(b"AITPrcp1", bytes(64))
    chain.refused("BadReceipt", "other", CHALLENGE, session.id, 0, t.OverClaim(cut))


def test_f2_two_receipts_of_one_number_are_punished_once(chain: PayChain, session: PaySession) -> None:
    one = session.receipt(0, 1, 4 * AIT)
    other = session.receipt(0, 1, 6 * AIT)
    proof = t.Equivocation(session.signed(one), session.signed(other))
    events = challenge(chain, session, 0, proof)
    assert (events[0].proof, events[0].damage, events[0].slashed) == (2, 2 * AIT, 10 * AIT)
    chain.refused("AlreadyPunished", "other", CHALLENGE, session.id, 0, proof)
    swapped = t.Equivocation(session.signed(other), session.signed(one))
    chain.refused("AlreadyPunished", "other", CHALLENGE, session.id, 0, swapped)
    same = t.Equivocation(session.signed(one), session.signed(one))
    chain.refused("NotFraud", "other", CHALLENGE, session.id, 0, same)


def test_f5_a_receipt_that_does_not_follow(chain: PayChain, session: PaySession) -> None:
    first = session.receipt(0, 1, 4 * AIT)
    second = session.receipt(0, 2, AIT, first)
    wrong = replace(second, lane_total=Balance(8 * AIT))
    good = t.BrokenChain(session.signed(second), session.signed(first))
    chain.refused("NotFraud", "other", CHALLENGE, session.id, 0, good)
    chain.refused("NotFraud", "other", CHALLENGE, session.id, 0, t.BrokenChain(session.signed(second), None))
    events = challenge(chain, session, 0, t.BrokenChain(session.signed(wrong), session.signed(first)))
    assert (events[0].proof, events[0].damage) == (5, 3 * AIT)
    start = replace(first, prev_ack=bytes(32))
    assert challenge(chain, session, 0, t.BrokenChain(session.signed(start), None))[0].damage == 0


def test_f4_a_charge_above_the_book(chain: PayChain, session: PaySession) -> None:
    """Input costs 2 / 10^6 AIT a token here."""
    fair = session.receipt(0, 1, 4 * AIT, usage=2_000_000)
    dear = session.receipt(0, 2, 5 * AIT, fair, usage=2_000_000)
    cheap = session.receipt(0, 3, 3 * AIT, dear, usage=2_000_000)
    for receipt in (fair, cheap):
        chain.refused("NotFraud", "other", CHALLENGE, session.id, 0, t.Mispricing(session.signed(receipt), None))
    events = challenge(chain, session, 0, t.Mispricing(session.signed(dear), None))
    assert (events[0].proof, events[0].damage) == (4, AIT)
    chain.refused("AlreadyPunished", "other", CHALLENGE, session.id, 0, t.Mispricing(session.signed(dear), None))


def test_f4_the_book_of_the_session_counts_whatever_the_receipt_names(chain: PayChain, session: PaySession) -> None:
    chain.call("operator", "Providers.publish_book", 1, [1], book(4), chain.now + 60_000)
    chain.pass_time(60_000)
    dear = session.receipt(0, 1, 8 * AIT, usage=2_000_000, book_version=2)
    assert challenge(chain, session, 0, t.Mispricing(session.signed(dear), None))[0].damage == 4 * AIT


def test_f4_a_charge_above_an_offer_for_the_same_request(chain: PayChain, session: PaySession) -> None:
    fair = session.receipt(0, 1, 4 * AIT, usage=2_000_000)
    terms = {"request": fair.request, "max_charge": Balance(3 * AIT)}
    proof = t.Mispricing(session.signed(fair), session.offer(**terms))
    for wrong in (
        {"request": bytes(32)}, {"max_charge": Balance(4 * AIT)}, {"valid_until": Moment(chain.now - 1)},
        {"service": 2},
    ):  # fmt: skip
        weak = t.Mispricing(session.signed(fair), session.offer(**(terms | wrong)))
        chain.refused("NotFraud", "other", CHALLENGE, session.id, 0, weak)
    foreign = t.Mispricing(session.signed(fair), session.offer(**terms, genesis=bytes(32)))
    chain.refused("BadOffer", "other", CHALLENGE, session.id, 0, foreign)
    forged = t.Mispricing(session.signed(fair), session.offer(**terms, key="payer"))
    chain.refused("BadSignature", "other", CHALLENGE, session.id, 0, forged)
    assert challenge(chain, session, 0, proof)[0].damage == AIT


# ------------------------------------------------------------------------------------------------- rates


@pytest.fixture
def in_usd(chain: PayChain) -> PaySession:
    """A session under a book in dollars, with the token at one dollar and the price in force."""
    chain.call("operator", "Providers.publish_book", 1, [1], book(2, currency=USD), chain.now + 60_000)
    chain.pass_time(60_000)
    dollars(chain, 100)
    dollars(chain, 100)
    dollars(chain, 100)
    return PaySession(chain, 1, book=2)


def dollars(chain: PayChain, cents: int) -> None:
    for who in ("A", "B", "C", "D"):
        chain.call(who, "Oracle.submit", USD, Price(cents, 2), chain.now)
    chain.pass_time(5_000)


def rated(session: PaySession, rate: int, **fields: Any) -> Receipt:
    """A receipt for 2 dollars at a rate."""
    return session.receipt(0, 1, 2 * rate, usage=1_000_000, rate=rate, **fields)


def test_f4_a_rate_within_the_oracles_band_is_fair_and_one_above_is_not(chain: PayChain, in_usd: PaySession) -> None:
    for rate in (AIT, AIT * 102 // 100, AIT // 2):
        fair = t.Mispricing(in_usd.signed(rated(in_usd, rate)), None)
        chain.refused("NotFraud", "other", CHALLENGE, in_usd.id, 0, fair)
    events = challenge(chain, in_usd, 0, t.Mispricing(in_usd.signed(rated(in_usd, 2 * AIT)), None))
    assert events[0].damage == 4 * AIT - 2 * AIT * 102 // 100


def test_f4_no_rate_in_a_book_in_money_is_no_excuse(chain: PayChain, in_usd: PaySession) -> None:
    free = in_usd.receipt(0, 1, AIT, usage=1_000_000, rate=0)
    assert challenge(chain, in_usd, 0, t.Mispricing(in_usd.signed(free), None))[0].damage == AIT


def test_f4_a_receipt_is_of_the_time_of_its_session_whatever_it_says(chain: PayChain, in_usd: PaySession) -> None:
    """Who dates a receipt where the chain knows no rate is judged by that of the session's time."""
    for time in (Moment(1), Moment(chain.now + 10**9)):
        dear = rated(in_usd, 2 * AIT, started=time, finished=time)
        chain.pass_time(0)
        proof = t.Mispricing(in_usd.signed(replace(dear, seq=2 if time > 1 else 1)), None)
        assert challenge(chain, in_usd, 0, proof)[0].damage > 0


def test_f4_a_locked_rate_counts_while_it_is_locked(chain: PayChain, in_usd: PaySession) -> None:
    offer = in_usd.offer(rate=AIT // 2, valid_until=Moment(chain.now + 100_000))
    chain.call("payer", "Sessions.change", in_usd.id, t.ToRate(offer))
    early = rated(in_usd, AIT)
    chain.refused("NotFraud", "other", CHALLENGE, in_usd.id, 0, t.Mispricing(in_usd.signed(early), None))
    chain.pass_time(50_000)
    locked, market = rated(in_usd, AIT // 2), rated(in_usd, AIT)
    chain.refused("NotFraud", "other", CHALLENGE, in_usd.id, 0, t.Mispricing(in_usd.signed(locked), None))
    assert challenge(chain, in_usd, 0, t.Mispricing(in_usd.signed(market), None))[0].damage == AIT


def test_f4_where_the_chain_knows_no_rate_none_is_judged(chain: PayChain, in_usd: PaySession) -> None:
    chain.pass_time(10_000_000)
    unknown = rated(in_usd, 50 * AIT)
    chain.refused("NotFraud", "other", CHALLENGE, in_usd.id, 0, t.Mispricing(in_usd.signed(unknown), None))
    wrong = replace(unknown, charge=Balance(101 * AIT), lane_total=Balance(101 * AIT))
    assert challenge(chain, in_usd, 0, t.Mispricing(in_usd.signed(wrong), None))[0].damage == AIT


# ------------------------------------------------------------------------------------------------- keys, time, bounds


def test_a_liar_does_not_escape_by_changing_its_key(chain: PayChain, session: PaySession) -> None:
    one, other = session.receipt(0, 1, 4 * AIT), session.receipt(0, 1, 6 * AIT)
    chain.pass_time(40_000)
    chain.call("owner", "Providers.update", 1, ProviderPatch(account("stranger"), None, None, None))
    chain.pass_time(40_000)
    late = PaySession(chain, 1, salt=1)
    assert challenge(chain, session, 0, t.Equivocation(session.signed(one), session.signed(other)))
    mixed = t.Equivocation(
        session.signed(session.receipt(1, 1, AIT)), session.signed(session.receipt(1, 1, 1), "stranger")
    )
    assert challenge(chain, session, 1, mixed)
    old = t.Equivocation(*(late.signed(late.receipt(0, 1, charge)) for charge in (1, 2)))
    chain.refused("BadSignature", "other", CHALLENGE, late.id, 0, old)


def test_lies_can_be_proved_for_a_time_after_the_end(chain: PayChain, session: PaySession) -> None:
    proof = t.Equivocation(session.signed(session.receipt(0, 1, 1)), session.signed(session.receipt(0, 1, 2)))
    chain.call("payer", "Sessions.close", session.id, session.agreement(0))
    chain.pass_time(0, 239)
    challenge(chain, session, 0, proof)
    chain.pass_time(0, 1)
    chain.refused("NoSession", "other", CHALLENGE, session.id, 0, proof)
    assert not list(chain.sessions.punished.items())


def test_a_proved_tail_of_a_closed_session_goes_back_at_once(chain: PayChain, session: PaySession) -> None:
    receipt = session.receipt(0, 1, 4 * AIT)
    session.claim_tail(0, replace(receipt, lane_total=Balance(9 * AIT), charge=Balance(9 * AIT)), 0)
    chain.call("operator", "Sessions.close", session.id, None)
    assert chain.held(REASONS.Escrow, "payer") == 9 * AIT
    challenge(chain, session, 0, t.OverClaim(session.signed(receipt)))
    assert chain.held(REASONS.Escrow, "payer") == 0


def test_punishments_of_a_session_are_bounded(chain: PayChain, session: PaySession) -> None:
    chain.sessions.punished.put(session.id, [(0, seq, 1) for seq in range(2, 66)])
    proof = t.Equivocation(session.signed(session.receipt(0, 1, 1)), session.signed(session.receipt(0, 1, 2)))
    chain.refused("TooMany", "other", CHALLENGE, session.id, 0, proof)


def test_no_more_than_the_bond_is_taken(chain: PayChain) -> None:
    chain.call("payer", "Sessions.top_up", PaySession(chain, 1, amount=5_000 * AIT).id, AIT)
    session = PaySession(chain, 1, salt=1, amount=4_000 * AIT)
    receipt = session.receipt(0, 1, AIT)
    session.claim_tail(0, replace(receipt, lane_total=Balance(3_000 * AIT), charge=Balance(3_000 * AIT)), 0)
    challenge(chain, session, 0, t.OverClaim(session.signed(receipt)))
    assert chain.held(BOND, "owner") == 0
    chain.refused(
        "Providers.BondTooLow", "payer", "Sessions.open", PaySession(chain, 1, salt=2, opened=False).params, AIT
    )


# ------------------------------------------------------------------------------------------------- demands


def test_f3_a_receipt_nobody_shows_costs_the_tail(chain: PayChain, session: PaySession) -> None:
    session.claim_tail(0, session.receipt(0, 1, 4 * AIT), 0)
    chain.refused("NotDemanded", "other", CHALLENGE, session.id, 0, t.Phantom())
    chain.call("other", "Sessions.demand", session.id, 0)
    assert chain.held(REASONS.Demand, "other") == AIT // 10
    check_sessions(chain)
    chain.refused("AlreadyDemanded", "payer", "Sessions.demand", session.id, 0)
    chain.pass_time(ANSWER - 1, 40)
    chain.refused("WindowOpen", "other", CHALLENGE, session.id, 0, t.Phantom())
    assert session.lane(0).paid == 0, "while the demand is open the tail is not paid"
    chain.pass_time(1)
    chain.call("stranger", CHALLENGE, session.id, 0, t.Phantom())
    assert session.lane(0) == t.LaneState(Balance(0), 0, session.lane(0).ack, None)
    assert chain.held(REASONS.Demand, "other") == 0
    assert chain.held(BOND, "owner") == 5_000 * AIT
    check_sessions(chain)


def test_f3_the_chain_does_it_by_itself(chain: PayChain, session: PaySession) -> None:
    session.claim_tail(0, session.receipt(0, 1, 4 * AIT), 0)
    chain.call("other", "Sessions.demand", session.id, 0)
    chain.pass_time(ANSWER, 2)
    assert session.state.tails == session.state.demands == 0
    assert chain.sessions.demand_front.get() == 1
    check_sessions(chain)


def test_who_shows_the_receipt_gets_the_bond_and_in_time_the_tail(chain: PayChain, session: PaySession) -> None:
    receipt = session.receipt(0, 1, 4 * AIT)
    session.claim_tail(0, receipt, 0)
    show = "Sessions.answer"
    chain.refused("NotDemanded", "operator", show, session.id, 0, session.signed(receipt))
    chain.call("other", "Sessions.demand", session.id, 0)
    for wrong in (session.receipt(0, 1, 3 * AIT), session.receipt(0, 2, AIT, receipt)):
        chain.refused("BadReceipt", "operator", show, session.id, 0, session.signed(wrong))
    chain.refused("BadSignature", "operator", show, session.id, 0, session.signed(receipt, "payer"))
    payout = chain.free("payout")
    chain.call("stranger", show, session.id, 0, session.signed(receipt))
    assert chain.free("payout") - payout == AIT // 10
    chain.refused("AlreadyDemanded", "other", "Sessions.demand", session.id, 0)
    check_sessions(chain)
    chain.pass_time(30_000, 32)
    assert session.lane(0).paid == 4 * AIT
    check_sessions(chain)


def test_a_receipt_shown_after_the_window_is_paid_at_once(chain: PayChain, session: PaySession) -> None:
    receipt = session.receipt(0, 1, 4 * AIT)
    session.claim_tail(0, receipt, 0)
    chain.pass_time(20_000)
    chain.call("other", "Sessions.demand", session.id, 0)
    chain.pass_time(20_000, 40)
    assert session.tail(0).total == 4 * AIT
    chain.call("operator", "Sessions.answer", session.id, 0, session.signed(receipt))
    assert session.lane(0).paid == 4 * AIT
    check_sessions(chain)


def test_demands_come_in_time_and_in_bounded_number(chain: PayChain, session: PaySession) -> None:
    receipts = [session.receipt(lane, 1, AIT) for lane in range(17)]
    for lane, receipt in enumerate(receipts):
        session.claim_tail(lane, receipt, 0)
    for lane in range(16):
        chain.call("other", "Sessions.demand", session.id, lane)
    chain.refused("TooMany", "other", "Sessions.demand", session.id, 16)
    check_sessions(chain)
    chain.sessions.tail_front.put(99)
    chain.pass_time(30_000, 30)
    chain.refused("TooLate", "other", "Sessions.demand", session.id, 16)
    for lane in (20, 1_024, 65_535):
        chain.refused("NoTail", "other", "Sessions.demand", session.id, lane)
    chain.refused("NotDemanded", "other", CHALLENGE, session.id, 65_535, t.Phantom())
    chain.refused("NothingToDo", "other", "Sessions.finalize", session.id, [65_535])


def test_a_countersigned_tail_ends_the_demand(chain: PayChain, session: PaySession) -> None:
    receipt = session.receipt(0, 1, 4 * AIT)
    session.claim_tail(0, receipt, 0)
    chain.call("other", "Sessions.demand", session.id, 0)
    session.claim(session.item(session.voucher(0, 1, 4 * AIT, ack=receipt.hash)))
    assert chain.held(REASONS.Demand, "other") == 0
    session.claim_tail(0, session.receipt(0, 2, AIT, receipt), 4 * AIT)
    chain.call("other", "Sessions.demand", session.id, 0)
    check_sessions(chain)
    chain.pass_time(ANSWER, 2)
    assert chain.sessions.demand_front.get() == 2
    check_sessions(chain)


def test_agreement_and_proof_end_demands_too(chain: PayChain, session: PaySession) -> None:
    receipt = session.receipt(0, 1, 4 * AIT)
    session.claim_tail(0, replace(receipt, response=bytes(32)), 0)
    session.claim_tail(1, session.receipt(1, 1, AIT), 0)
    for lane in (0, 1):
        chain.call("other", "Sessions.demand", session.id, lane)
    challenge(chain, session, 0, t.OverClaim(session.signed(receipt)))
    assert chain.held(REASONS.Demand, "other") == AIT // 10
    chain.call("payer", "Sessions.close", session.id, session.agreement(0))
    assert chain.held(REASONS.Demand, "other") == 0
    check_sessions(chain)
    assert pair("other")
