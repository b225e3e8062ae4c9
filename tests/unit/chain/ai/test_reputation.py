"""Reputation: who has paid may speak once a session, and what it says counts what it has burned, for a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.credentials import EVERYWHERE
from aitoken.types import AIT, Balance, Moment
from chain.pallets.ai import sessions_types as t
from chain.pallets.ai.attest_types import Accepted, Class, Issuer, IssuerKey
from chain.pallets.ai.reputation import FEEDBACK_DEPOSIT, HALF_LIFE_DAYS, LEAST_BURNED, MICRO, faded, weight_of
from chain.pallets.ai.reputation_types import ReputationHoldReason
from chain.params import DAY_MS
from tests.support.identity_chain import KEYS, METHOD, reputation_holds
from tests.support.pay_chain import PayChain, account, terms
from tests.support.pay_session import PaySession, check_sessions

RATE = "Reputation.feedback"
TEXT = b"hash of what is written".ljust(32)
PROOF_BLOCKS = 240
GOOD_FIELDS: tuple[Any, ...] = (90, [1, 2], TEXT)


@pytest.fixture
def chain() -> PayChain:
    found = PayChain()
    found.begin()
    found.sell()
    return found


def paid(chain: PayChain, amount: int = 2 * AIT, *, salt: int = 0, payer: str = "payer", service: int = 1) -> Any:
    """A session that has paid, and the arguments of good feedback on it."""
    session = PaySession(chain, 1, salt=salt, payer=payer)
    receipt = session.receipt(0, 1, amount, service=service)
    session.claim(session.item(session.voucher(0, 1, amount, ack=receipt.hash)))
    return session, (session.id, 0, session.signed(receipt), *GOOD_FIELDS)


def told(chain: PayChain, name: str) -> Any:
    return chain.told(name)[-1]


def check(chain: PayChain) -> None:
    """Deposits are held, nobody's feedback counts more than it burned, and the summaries are what is left of it all."""
    rows = dict(chain.reputation.feedbacks.items())
    given_by: dict[Any, list[Any]] = {}
    day = chain.now // DAY_MS
    for row in rows.values():
        given_by.setdefault((row.service, row.author), []).append(row)
    found = {
        who: hold.amount
        for who, holds in chain.balances.holds.items()
        for hold in holds
        if isinstance(hold.id, ReputationHoldReason)
    }
    assert found == {who: amount for (who, _), amount in reputation_holds(chain).items()}
    assert {place: len(mine) for place, mine in given_by.items()} == {
        place: row.feedbacks for place, row in chain.reputation.burned.items()
    }
    for place, mine in given_by.items():
        assert sum(row.weight for row in mine) <= weight_of(chain.reputation.burned.get(place).amount)
    for service in chain.reputation.summaries.keys():  # noqa: SIM118 - a storage map
        counted = [row for row in rows.values() if row.service == service and not row.revoked]
        now = chain.reputation.summary(service)
        assert now.count == len(counted)
        for tally, mine in ((now.everybody, counted), (now.persons, [row for row in counted if row.person])):
            weights = [faded(row.weight * MICRO, day - row.day) for row in mine]
            assert abs(tally.weight - sum(weights)) <= 100 + tally.weight // 10**5
            assert abs(tally.scores - sum(w * row.score for w, row in zip(weights, mine, strict=True))) <= 10_000 + (
                tally.scores // 10**5
            )
    check_sessions(chain)


# ------------------------------------------------------------------------------------------------- feedback


def test_who_has_paid_rates_the_service_of_the_receipt_once(chain: PayChain) -> None:
    session, good = paid(chain)
    chain.call("payer", RATE, *good)
    event = told(chain, "Rated")
    assert (event.service, event.session, event.author, event.score) == (1, session.id, account("payer"), 90)
    assert (event.weight, event.person) == (weight_of(session.state.claimed // 2000), False)
    assert event.weight == 2, "twice the least"
    chain.refused("AlreadyRated", "payer", RATE, *good)
    summary = chain.reputation.summary(1)
    assert summary.everybody.scores == 90 * summary.everybody.weight == 90 * 2 * MICRO
    assert summary.persons.weight == 0
    assert chain.held(ReputationHoldReason.Deposit, "payer") == FEEDBACK_DEPOSIT
    check(chain)


def test_feedback_without_what_it_needs_is_refused_by_name(chain: PayChain) -> None:
    session, good = paid(chain)
    low, cheap = paid(chain, AIT - 1, salt=1)
    number, lane, receipt, *rest = good
    other = session.receipt(0, 1, 2 * AIT)
    unpaid = session.signed(session.receipt(0, 1, 2 * AIT + 1))
    of_low = low.signed(low.receipt(0, 1, 5))
    for error, who, args in (
        ("Reputation.NotPayer", "stranger", good),
        ("Reputation.NotPayer", "operator", good),
        ("Reputation.BadScore", "payer", (number, lane, receipt, 101, [], TEXT)),
        ("Reputation.SpentTooLittle", "payer", cheap),
        ("Reputation.SpentTooLittle", "payer", (number, lane, unpaid, *rest)),
        ("Reputation.NoService", "payer", (number, lane, session.signed(replace(other, service=9)), *rest)),
        ("Sessions.BadSignature", "payer", (number, lane, session.signed(other, key="payer"), *rest)),
        ("Sessions.BadReceipt", "payer", (number, 1, receipt, *rest)),
        ("Sessions.BadReceipt", "payer", (number, lane, of_low, *rest)),
        ("Sessions.BadReceipt", "payer", (number, lane, t.SignedReceipt(b"junk", bytes(64)), *rest)),
        ("Sessions.NoSession", "payer", (bytes(32), lane, receipt, *rest)),
    ):
        chain.refused(error, who, RATE, *args)
    chain.call("operator", "Balances.transfer_keep_alive", account("payout"), AIT)
    chain.call("payout", "Sessions.refund", session.id, AIT + 1, bytes(32))
    chain.refused("Reputation.SpentTooLittle", "payer", RATE, *good)
    check(chain)


@pytest.mark.parametrize("who", ["owner", "operator", "payout"])
def test_nobody_rates_what_it_runs_or_is_paid_by(chain: PayChain, who: str) -> None:
    _, good = paid(chain, payer=who)
    chain.refused("SelfDealing", who, RATE, *good)


def test_a_service_of_somebody_else_is_not_rated(chain: PayChain) -> None:
    chain.call("stranger", "Providers.register", account("A"), account("B"), b"http://y", 5_000 * AIT)
    chain.call("stranger", "Providers.publish_service", 2, None, terms())
    _, good = paid(chain, service=2)
    chain.refused("NoService", "payer", RATE, *good)


def test_feedback_comes_after_an_agreed_end_until_the_session_is_forgotten(chain: PayChain) -> None:
    session = PaySession(chain, 1)
    receipt = session.signed(session.receipt(0, 1, 2 * AIT))
    chain.call("payer", "Sessions.close", session.id, session.agreement(2 * AIT))
    chain.pass_time(1_000, PROOF_BLOCKS - 1)
    args = session.id, 0, receipt, *GOOD_FIELDS
    chain.call("payer", RATE, *args)
    chain.call("payer", "Reputation.revoke", 1, session.id)
    chain.refused("AlreadyRated", "payer", RATE, *args)
    chain.refused("StillNeeded", "payer", "Reputation.revoke", 1, session.id)
    chain.pass_time(1_000, 5)
    assert not session.is_stored
    chain.refused("Sessions.NoSession", "payer", RATE, *args)
    chain.call("payer", "Reputation.revoke", 1, session.id)
    assert chain.held(ReputationHoldReason.Deposit, "payer") == 0
    chain.refused("NoFeedback", "payer", "Reputation.revoke", 1, session.id)
    assert not list(chain.reputation.burned.items())
    check(chain)


def test_many_sessions_of_one_author_count_as_one_that_burned_as_much(chain: PayChain) -> None:
    weights = []
    for salt in range(8):
        _, good = paid(chain, AIT, salt=salt)
        chain.call("payer", RATE, *good)
        weights.append(told(chain, "Rated").weight)
    assert weights == [1, 1, 0, 1, 0, 0, 0, 1]
    _, good = paid(chain, 8 * AIT, salt=99, payer="other")
    chain.call("other", RATE, *good)
    assert told(chain, "Rated").weight == sum(weights)
    check(chain)


def test_where_nothing_is_burned_nothing_counts(chain: PayChain) -> None:
    chain.call("ROOT", "Parameters.set_parameter", (42, 0, 0))
    _, good = paid(chain, 50 * AIT)
    chain.call("payer", RATE, *good)
    assert told(chain, "Rated").weight == 0
    check(chain)


def test_a_person_counts_among_persons(chain: PayChain) -> None:
    issuer, payer = account("stranger"), account("payer")
    chain.attest.issuers.put((issuer, Class.Personhood), Issuer(Balance(0), METHOD, Accepted(5)))
    until = Moment(chain.now + DAY_MS)
    key = IssuerKey(issuer, EVERYWHERE, KEYS[0].modulus, Moment(0), until, 5, 1, 1, Balance(0))
    chain.attest.keys.put(0, key)
    chain.attest.persons.put((EVERYWHERE, payer), [0])
    _, good = paid(chain)
    chain.call("payer", RATE, *good)
    assert told(chain, "Rated").person
    summary = chain.reputation.summary(1)
    assert summary.persons == summary.everybody
    assert summary.persons.weight == 2 * MICRO


# ------------------------------------------------------------------------------------------------- answers


def test_the_provider_answers_and_the_author_takes_back(chain: PayChain) -> None:
    session, good = paid(chain)
    chain.call("payer", RATE, *good)
    place = 1, session.id
    chain.refused("NotProvider", "payer", "Reputation.respond", *place, TEXT)
    chain.refused("NoFeedback", "owner", "Reputation.respond", 1, bytes(32), TEXT)
    for who in ("owner", "operator"):
        chain.call(who, "Reputation.respond", *place, who.encode().ljust(32))
    assert chain.reputation.feedbacks.get(place).response == b"operator".ljust(32)
    chain.refused("NotAuthor", "owner", "Reputation.revoke", *place)
    chain.call("payer", "Reputation.revoke", *place)
    assert chain.reputation.summary(1).everybody.weight == 0
    assert chain.reputation.summary(1).count == 0
    check(chain)


# ------------------------------------------------------------------------------------------------- time


def test_feedback_counts_half_after_its_half_life_and_nothing_in_the_end(chain: PayChain) -> None:
    _, good = paid(chain)
    chain.call("payer", RATE, *good)
    chain.pass_time(HALF_LIFE_DAYS * DAY_MS)
    half = chain.reputation.summary(1)
    assert abs(half.everybody.weight - MICRO) <= 1
    chain.pass_time(100 * HALF_LIFE_DAYS * DAY_MS)
    assert chain.reputation.summary(1).everybody.weight == 0


@given(st.integers(0, 10**15), st.integers(0, 400), st.integers(0, 400))
def test_fading_in_two_steps_is_fading_at_once(value: int, first: int, second: int) -> None:
    both = faded(value, first + second)
    assert faded(value, 0) == value
    assert abs(faded(faded(value, first), second) - both) <= 2 + value // 10**7
    assert faded(value, first + 1) <= faded(value, first)


def test_weights_grow_with_the_logarithm() -> None:
    for bits in range(1, 40):
        assert weight_of(LEAST_BURNED << bits - 1) == bits
        assert weight_of((LEAST_BURNED << bits) - 1) == bits
    assert weight_of(LEAST_BURNED - 1) == 0


STEP = st.one_of(
    st.tuples(st.just("rate"), st.sampled_from([AIT, 3 * AIT, 20 * AIT]), st.sampled_from(["payer", "other"])),
    st.tuples(st.just("revoke"), st.integers(0, 9), st.none()),
    st.tuples(st.just("wait"), st.integers(1, 200), st.none()),
)


@settings(max_examples=20)
@given(st.lists(STEP, max_size=12))
def test_after_any_history_the_summary_is_what_is_left_of_all_feedback(steps: list[Any]) -> None:
    chain = PayChain()
    chain.begin()
    chain.sell()
    rated: list[tuple[str, bytes]] = []
    for salt, (what, number, who) in enumerate(steps):
        if what == "rate":
            session, good = paid(chain, number, salt=salt, payer=who)
            chain.call(who, RATE, *good)
            rated.append((who, session.id))
        elif what == "revoke" and rated:
            author, place = rated[number % len(rated)]
            found = chain.reputation.feedbacks.get((1, place))
            if found is not None and not found.revoked:
                chain.call(author, "Reputation.revoke", 1, place)
        elif what == "wait":
            chain.pass_time(number * DAY_MS)
        check(chain)
