"""How sessions end: by agreement, by the provider, on request, at expiry; what comes back, when, and that nobody has
to be there for it."""

from __future__ import annotations

import pytest

from aitoken.types import AIT
from chain.pallets.ai import sessions_types as t
from chain.pallets.ai.sessions_life import SWEEP_MAX
from tests.support.pay_chain import PayChain, account, pair
from tests.support.pay_session import REASONS, PaySession, check_sessions

P = t.ClaimProblem
CLOSE = "Sessions.close"
PROOF_BLOCKS = 240


@pytest.fixture
def chain() -> PayChain:
    found = PayChain()
    found.begin()
    found.sell()
    return found


@pytest.fixture
def session(chain: PayChain) -> PaySession:
    return PaySession(chain, 1)


def test_by_agreement_everything_is_settled_in_one_block(chain: PayChain, session: PaySession) -> None:
    session.claim(session.item(session.voucher(0, 1, 10 * AIT)))
    session.claim_tail(1, session.receipt(1, 1, 5 * AIT), 0)
    free, payout = chain.free("payer"), chain.free("payout")

    chain.call("payer", CLOSE, session.id, session.agreement(13 * AIT))

    assert chain.free("payer") - free == 87 * AIT
    assert chain.free("payout") - payout == 3 * AIT - 3 * AIT // 1000
    assert chain.held(REASONS.Escrow, "payer") == 0
    assert [(event.paid, event.returned) for event in chain.told("Closed")] == [(13 * AIT, 87 * AIT)]
    assert session.problem(session.item(session.voucher(0, 2, 11 * AIT))) is P.Ended
    check_sessions(chain)


def test_what_is_no_agreement(chain: PayChain, session: PaySession) -> None:
    session.claim(session.item(session.voucher(0, 1, 10 * AIT)))
    good = session.agreement(13 * AIT)
    chain.refused("NotPayer", "operator", CLOSE, session.id, good)
    chain.refused("NotPayer", "stranger", CLOSE, session.id, good)
    chain.refused("BadSignature", "payer", CLOSE, session.id, session.agreement(13 * AIT, key="owner"))
    chain.refused("BelowClaimed", "payer", CLOSE, session.id, session.agreement(10 * AIT - 1))
    chain.refused("OverDeposit", "payer", CLOSE, session.id, session.agreement(100 * AIT + 1))
    chain.refused("Expired", "payer", CLOSE, session.id, session.agreement(13 * AIT, valid_until=chain.now - 1))
    chain.refused("NoSession", "payer", CLOSE, bytes(32), None)
    wrong = session.agreement(13 * AIT)
    wrong.final_total += 1
    chain.refused("BadSignature", "payer", CLOSE, session.id, wrong)


def test_a_former_operator_key_agrees_to_nothing(chain: PayChain, session: PaySession) -> None:
    from chain.pallets.ai.providers_types import ProviderPatch

    old = session.agreement(0)
    chain.call("owner", "Providers.update", 1, ProviderPatch(account("other"), None, None, None))
    chain.refused("BadSignature", "payer", CLOSE, session.id, old)
    chain.refused("BadSignature", "payer", "Sessions.change", session.id, t.ToRate(session.offer()))


def test_the_provider_ends_it_at_once_and_its_tails_still_wait(chain: PayChain, session: PaySession) -> None:
    session.claim(session.item(session.voucher(0, 1, 10 * AIT)))
    session.claim_tail(1, session.receipt(1, 1, 5 * AIT), 0)
    free = chain.free("payer")
    chain.call("operator", CLOSE, session.id, None)

    assert chain.free("payer") - free == 85 * AIT
    assert chain.held(REASONS.Escrow, "payer") == 5 * AIT
    chain.refused("Ended", "operator", CLOSE, session.id, None)
    chain.refused("Ended", "payer", "Sessions.top_up", session.id, AIT)
    check_sessions(chain)
    payout = chain.free("payout")
    chain.pass_time(30_000, 32)
    assert chain.free("payout") - payout == 5 * AIT - 5 * AIT // 1000
    assert chain.held(REASONS.Escrow, "payer") == 0
    check_sessions(chain)


def test_on_request_claims_are_accepted_for_the_grace(chain: PayChain, session: PaySession) -> None:
    chain.refused("NotPayer", "stranger", CLOSE, session.id, None)
    chain.call("payer", CLOSE, session.id, None)
    chain.refused("Ended", "payer", CLOSE, session.id, None)
    chain.refused("Ended", "payer", "Sessions.change", session.id, t.ToKey(None))
    chain.pass_time(0, 9)
    session.claim(session.item(session.voucher(0, 1, 10 * AIT)))
    session.claim_tail(1, session.receipt(1, 1, 5 * AIT), 0)
    chain.refused("NothingToDo", "payer", "Sessions.finalize", session.id, [1])
    free = chain.free("payer")
    chain.pass_time(0, 1)
    assert isinstance(session.state.state, t.Closed)
    assert chain.free("payer") - free == 85 * AIT
    assert session.problem(session.item(session.voucher(0, 2, 11 * AIT))) is P.Ended
    check_sessions(chain)


def test_the_session_key_may_ask_too_and_all_may_agree_afterwards(chain: PayChain) -> None:
    chain.call("owner", "Balances.transfer_keep_alive", account("key"), AIT)
    session = PaySession(chain, 1)
    chain.call("key", CLOSE, session.id, None)
    chain.call("payer", CLOSE, session.id, session.agreement(AIT))
    assert isinstance(session.state.state, t.Closed)
    check_sessions(chain)


def test_grace_counts_only_blocks_with_room_for_claims(chain: PayChain, session: PaySession) -> None:
    chain.call("payer", CLOSE, session.id, None)
    chain.pass_time(0, 5)
    chain.busy = True
    chain.pass_time(0, 20)
    assert isinstance(session.state.state, t.Closing)
    chain.refused("NothingToDo", "payer", "Sessions.finalize", session.id, [])
    chain.busy = False
    chain.pass_time(0, 4)
    assert isinstance(session.state.state, t.Closing)
    chain.pass_time(0, 1)
    assert isinstance(session.state.state, t.Closed)


def test_at_expiry_the_money_comes_back_with_nobody_there(chain: PayChain) -> None:
    before = chain.free("payer")
    session = PaySession(chain, 1, expires=50)
    chain.pass_time(0, 48)
    assert isinstance(session.state.state, t.Open)
    chain.pass_time(0, 1)
    assert isinstance(session.state.state, t.Closing)
    session.claim(session.item(session.voucher(0, 1, 10 * AIT)))
    chain.pass_time(0, 10)
    assert isinstance(session.state.state, t.Closed)
    assert chain.held(REASONS.Escrow, "payer") == 0
    chain.pass_time(0, PROOF_BLOCKS)
    assert not session.is_stored
    assert chain.free("payer") == before - 10 * AIT, "the deposit for storage is back as well"
    assert chain.providers.find(1).sessions == 0
    assert not list(chain.sessions.agenda.items())
    assert not list(chain.sessions.lanes.items())
    check_sessions(chain)


def test_an_id_stays_taken_until_it_could_not_be_opened_again(chain: PayChain) -> None:
    session = PaySession(chain, 1, expires=900)
    chain.call("operator", CLOSE, session.id, None)
    chain.pass_time(0, PROOF_BLOCKS)
    assert not session.is_stored
    check_sessions(chain)
    chain.refused("SessionExists", "payer", "Sessions.open", session.params, AIT)
    chain.pass_time(0, 899 - chain.number)
    chain.refused("SessionExists", "payer", "Sessions.open", session.params, AIT)
    chain.pass_time(0, 1)
    chain.refused("BadExpiry", "payer", "Sessions.open", session.params, AIT)
    assert not list(chain.sessions.tombstones.items())
    assert chain.held(REASONS.Deposit, "payer") == 0
    check_sessions(chain)


def test_a_block_looks_after_a_bounded_number_and_nobody_is_forgotten(chain: PayChain) -> None:
    count = 3 * SWEEP_MAX + 1
    sessions = [PaySession(chain, 1, salt=salt, amount=AIT, lanes=1, expires=20) for salt in range(count)]
    chain.pass_time(0, 19)

    def closing() -> int:
        return sum(isinstance(session.state.state, t.Closing) for session in sessions)

    assert closing() == SWEEP_MAX
    chain.call("stranger", "Sessions.finalize", sessions[-1].id, [])
    assert closing() == SWEEP_MAX + 1, "whoever does not want to wait does it by hand"
    chain.pass_time(0, 1)
    assert closing() == 2 * SWEEP_MAX + 1
    chain.pass_time(0, 2)
    assert closing() == count
    assert chain.sessions.agenda_behind.get() is None or chain.number > 20
    chain.pass_time(0, 12)
    assert all(isinstance(session.state.state, t.Closed) for session in sessions)
    check_sessions(chain)


def test_tails_of_one_time_are_paid_in_turn(chain: PayChain) -> None:
    session = PaySession(chain, 1)
    count = 2 * SWEEP_MAX + 1
    items = [
        session.item(session.voucher(lane, 0, 0, AIT), t.Tailed(AIT, session.receipt(lane, 1, AIT).hash))
        for lane in range(count)
    ]
    session.claim(*items)
    chain.pass_time(30_000, 30)
    paid = [int(session.state.claimed)]
    for _ in range(3):
        chain.pass_time(0)
        paid.append(int(session.state.claimed) - sum(paid))
    assert paid == [0, SWEEP_MAX * AIT, SWEEP_MAX * AIT, AIT] or paid[1:] == [SWEEP_MAX * AIT, AIT, 0]
    assert session.state.claimed == count * AIT
    check_sessions(chain)


def test_an_agenda_that_is_behind_catches_up_over_empty_blocks(chain: PayChain) -> None:
    session = PaySession(chain, 1, expires=30)
    chain.sessions.agenda_behind.put((2, 0))
    chain.system.number.put(400)
    chain.pass_time(0)
    assert isinstance(session.state.state, t.Closing)
    chain.pass_time(0, 10)
    assert isinstance(session.state.state, t.Closed)
    assert chain.sessions.agenda_behind.get() is None


def test_keys_of_strangers_close_nothing(chain: PayChain, session: PaySession) -> None:
    assert pair("key").public == session.state.key
    chain.call("payer", "Sessions.change", session.id, t.ToKey(pair("new").public))
    chain.refused("NotPayer", "key", CLOSE, session.id, None)
