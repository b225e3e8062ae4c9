"""Table 6.6 of the payments paper, case by case, as far as the chain has a part in it; and a block full of claims."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from aitoken.pay.buyer import BuyerSession
from aitoken.proto.extrinsic import Extrinsic, additional_signed, sign_extrinsic
from aitoken.types import AIT, Balance, BlockNumber
from chain.frame.builder import BlockBuilder
from chain.frame.errors import ExhaustsResources
from chain.pallets.ai import sessions_types as t
from chain.pallets.ai.providers_types import ProviderPatch, ProvidersHoldReason
from tests.support.pay_chain import PayChain, account, book, pair, terms
from tests.support.pay_session import REASONS, PaySession, check_sessions

P = t.ClaimProblem


@pytest.fixture
def chain() -> PayChain:
    found = PayChain()
    found.begin()
    found.sell()
    return found


@pytest.fixture
def session(chain: PayChain) -> PaySession:
    return PaySession(chain, 1)


def test_client_stops_paying_after_an_answer(chain: PayChain, session: PaySession) -> None:
    """The ceiling came before the work: the provider claims the receipt nobody countersigned."""
    session.claim_tail(0, session.receipt(0, 1, 3 * AIT), 0, ceiling=5 * AIT)
    chain.pass_time(30_000, 32)
    assert session.lane(0).paid == 3 * AIT


def test_client_refuses_to_countersign(chain: PayChain, session: PaySession) -> None:
    first = session.receipt(0, 1, 3 * AIT)
    session.claim_tail(0, first, 0)
    refusal = session.item(session.voucher(0, 1, 0, 0, ack=first.hash))
    assert session.problem(refusal, who="payer") is P.TailWaits
    chain.pass_time(30_000, 32)
    assert session.lane(0).paid == 3 * AIT


def test_provider_takes_the_voucher_and_answers_nothing(chain: PayChain, session: PaySession) -> None:
    """It can sign a receipt of its own up to the ceiling, no further; the chain counts what was not countersigned."""
    buyer = BuyerSession(
        session.id, pair("key"), pair("operator").public, Balance(100 * AIT), 64, exposure_max=Balance(AIT // 20)
    )
    promise = buyer.promise(Balance(AIT // 20), chain.now)
    assert buyer.at_risk(chain.now) == AIT // 20
    made_up = session.receipt(0, 1, AIT // 20)
    end = t.Tailed(made_up.lane_total, made_up.hash)
    item = session.item(promise.voucher, end)
    session.claim(item)
    chain.pass_time(30_000, 32)
    assert session.state.claimed == AIT // 20
    assert chain.providers.stats.get(1).unacked == AIT // 20


def test_provider_claims_more_than_its_receipt(chain: PayChain, session: PaySession) -> None:
    receipt = session.receipt(0, 1, AIT)
    session.claim_tail(0, replace(receipt, charge=Balance(9 * AIT), lane_total=Balance(9 * AIT)), 0)
    before = chain.free("payer")
    chain.call("payer", "Sessions.challenge", session.id, 0, t.OverClaim(session.signed(receipt)))
    assert chain.free("payer") - before == 8 * AIT + 40 * AIT * 30 // 100 + 40 * AIT * 20 // 100
    assert session.state.claimed == 0
    check_sessions(chain)


def test_replay_of_a_voucher_on_another_session_chain_or_lane(chain: PayChain, session: PaySession) -> None:
    voucher = session.voucher(0, 1, AIT)
    signed = session.item(voucher)
    other = PaySession(chain, 1, salt=1)
    chain.emitted()
    chain.call("operator", "Sessions.claim", [t.SessionClaims(other.id, [signed])])
    assert [event.problem for event in chain.told("ClaimRefused")] == [P.BadSignature]
    moved = signed.copy()
    moved.lane = 1
    assert session.problem(moved) is P.BadSignature


def test_replay_of_an_old_voucher_on_chain(session: PaySession) -> None:
    old = session.item(session.voucher(0, 1, AIT))
    session.claim(old)
    session.claim(session.item(session.voucher(0, 2, 2 * AIT)))
    assert session.problem(old) is P.TotalDecreases
    assert session.state.claimed == 2 * AIT


def test_same_deposit_promised_to_two_providers(chain: PayChain) -> None:
    """A deposit belongs to one session: what one provider can claim, no other can."""
    chain.sell(bond=1_000)
    one, two = PaySession(chain, 1, amount=6_000 * AIT), PaySession(chain, 2, amount=3_900 * AIT, opened=False)
    chain.call("payer", "Sessions.open", two.params, 3_900 * AIT)
    chain.refused(
        "dispatch.token.funds_unavailable", "payer", "Sessions.open",
        PaySession(chain, 2, salt=1, opened=False).params, 1_000 * AIT,
    )  # fmt: skip
    one.claim(one.item(one.voucher(0, 1, 6_000 * AIT)))
    assert two.state.escrow == 3_900 * AIT
    check_sessions(chain)


def test_too_many_lanes_over_promise_the_deposit(chain: PayChain, session: PaySession) -> None:
    items = [session.item(session.voucher(lane, 1, 60 * AIT)) for lane in range(2)]
    assert [type(event).__name__ for event in session.claim(*items)] == ["Claimed", "ClaimRefused"]
    assert session.state.claimed == 60 * AIT


def test_payer_requests_close_and_hides(chain: PayChain, session: PaySession) -> None:
    chain.call("payer", "Sessions.close", session.id, None)
    chain.pass_time(0, 9)
    session.claim(session.item(session.voucher(0, 1, 40 * AIT)), who="stranger")
    chain.pass_time(0, 1)
    assert isinstance(session.state.state, t.Closed)
    assert session.state.claimed == 40 * AIT


def test_provider_offline_at_expiry(chain: PayChain) -> None:
    """Any watcher with the voucher claims for it, and only the provider is paid."""
    session = PaySession(chain, 1, expires=20)
    item = session.item(session.voucher(0, 1, 40 * AIT))
    chain.pass_time(0, 25)
    payout = chain.free("payout")
    session.claim(item, who="stranger")
    assert chain.free("payout") - payout == 40 * AIT - 40 * AIT // 1000


def test_chain_congested(chain: PayChain, session: PaySession) -> None:
    chain.call("payer", "Sessions.close", session.id, None)
    chain.busy = True
    chain.pass_time(0, 100)
    session.claim(session.item(session.voucher(0, 1, AIT)))
    chain.busy = False
    chain.pass_time(0, 10)
    assert isinstance(session.state.state, t.Closed)


def test_chain_halted(chain: PayChain, session: PaySession) -> None:
    """Hours pass in one block: neither a grace nor a tail's window is over."""
    session.claim_tail(0, session.receipt(0, 1, AIT), 0)
    chain.call("payer", "Sessions.close", session.id, None)
    chain.pass_time(10**8, 3)
    assert session.lane(0).paid == 0
    assert isinstance(session.state.state, t.Closing)


def test_session_key_stolen(chain: PayChain, session: PaySession) -> None:
    """The thief can spend at this provider only, and after the grace of a freeze nothing more."""
    chain.call("payer", "Sessions.change", session.id, t.ToKey(None))
    chain.pass_time(0, 10)
    assert session.problem(session.item(session.voucher(0, 1, 100 * AIT))) is P.BadSignature
    chain.call("payer", "Sessions.close", session.id, session.agreement(0))
    assert chain.held(REASONS.Escrow, "payer") == 0


def test_session_key_lost(chain: PayChain) -> None:
    before = chain.free("payer")
    PaySession(chain, 1, expires=20)
    chain.pass_time(0, 280)
    assert chain.free("payer") == before


def test_operator_key_stolen(chain: PayChain, session: PaySession) -> None:
    """The thief gets no money: it goes to the payout account, which only the owner changes, after the notice."""
    chain.refused(
        "Providers.NotOwner", "operator", "Providers.update", 1, ProviderPatch(None, account("operator"), None, None)
    )
    payout = chain.free("payout")
    session.claim(session.item(session.voucher(0, 1, AIT)), who="operator")
    assert chain.free("payout") > payout
    chain.call("owner", "Providers.update", 1, ProviderPatch(account("other"), None, None, None))
    receipt = session.receipt(0, 2, AIT)
    tail = session.item(session.voucher(0, 1, AIT, 2 * AIT), t.Tailed(Balance(2 * AIT), receipt.hash))
    assert session.problem(tail, who="operator") is P.NotByProvider


def test_clock_skew(chain: PayChain, session: PaySession) -> None:
    """A ceiling that ended up to thirty seconds ago by the chain's clock still counts."""
    receipt = session.receipt(0, 1, AIT)
    end = t.Tailed(receipt.lane_total, receipt.hash)
    late = session.voucher(0, 0, 0, AIT, valid_until=chain.now - 30_001)
    assert session.problem(session.item(late, end)) is P.CeilingExpired
    session.claim(session.item(replace(late, valid_until=chain.now - 30_000), end))
    assert session.tail(0).total == AIT


def test_dust_and_rounding(chain: PayChain, session: PaySession) -> None:
    """The smallest claims pay no fee and lose nothing."""
    payout = chain.free("payout")
    for seq, acked in ((1, 1), (2, 999), (3, 1_000), (4, 2_001)):
        session.claim(session.item(session.voucher(0, seq, acked)))
    assert chain.free("payout") - payout == 1 + 998 + 1 + (1_001 - 1)
    check_sessions(chain)


def test_oracle_wrong(chain: PayChain) -> None:
    """Without a fresh price no rate is judged: what was locked goes on, everything else is the payer's to refuse."""
    chain.call("operator", "Providers.publish_book", 1, [1], book(2, currency=840), chain.now + 60_000)
    chain.pass_time(60_000)
    session = PaySession(chain, 1, book=2)
    chain.call("payer", "Sessions.change", session.id, t.ToRate(session.offer(rate=AIT)))
    chain.pass_time(60_000)
    dear = session.receipt(0, 1, 3 * AIT, usage=1_000_000, rate=AIT * 3 // 2)
    chain.call("other", "Sessions.challenge", session.id, 0, t.Mispricing(session.signed(dear), None))
    assert chain.told("Challenged")[0].damage == AIT


def test_griefing_with_thousands_of_tiny_sessions(chain: PayChain) -> None:
    """Each has a deposit besides, and comes back only when the chain has forgotten it."""
    chain.refused("DepositTooLow", "payer", "Sessions.open", PaySession(chain, 1, opened=False).params, AIT // 100 - 1)
    before = chain.free("payer")
    for salt in range(50):
        PaySession(chain, 1, amount=AIT // 100, lanes=1, salt=salt)
    assert before - chain.free("payer") > 50 * 3 * AIT // 100


def test_bait_prices_and_books_that_change_under_a_session(chain: PayChain, session: PaySession) -> None:
    chain.refused("Providers.NoticeTooShort", "operator", "Providers.publish_book", 1, [1], book(900), 0)
    chain.call("operator", "Providers.publish_book", 1, [1], book(900), chain.now + 60_000)
    chain.pass_time(60_000)
    dear = session.receipt(0, 1, 900 * AIT, usage=1_000_000, book_version=2)
    chain.call("other", "Sessions.challenge", session.id, 0, t.Mispricing(session.signed(dear), None))
    assert chain.told("Challenged")[0].damage == 898 * AIT


def test_a_payer_and_a_provider_who_are_one_gain_nothing_from_a_slash(chain: PayChain) -> None:
    chain.call("owner", "Providers.register", account("operator"), account("owner"), b"", 1_000 * AIT)
    chain.call("owner", "Providers.publish_service", 2, None, terms())
    chain.call("owner", "Providers.publish_book", 2, [2], book(), 0)
    session = PaySession(chain, 2, payer="owner")

    def wealth() -> int:
        found = chain.system.account.get(account("owner"))
        return int(found.free + found.reserved)

    before = wealth()
    proof = t.Equivocation(session.signed(session.receipt(0, 1, 1)), session.signed(session.receipt(0, 1, AIT)))
    chain.call("owner", "Sessions.challenge", session.id, 0, proof)
    assert wealth() < before
    assert chain.held(ProvidersHoldReason.Bond, "owner") == 5_990 * AIT


# ------------------------------------------------------------------------------------------------- blocks


def test_a_block_full_of_claims_keeps_to_the_blocks_weight_and_counts_as_busy() -> None:
    """Real blocks: claims take the room that is kept for them and no more, and everybody comes to the same state."""
    chain = PayChain(proven=True)
    chain.begin()
    chain.sell()
    session = PaySession(chain, 1, lanes=1024, amount=5_000 * AIT, expires=10_000)
    chain.state = chain.state.child(chain.machine.store.changes())
    chain.look()
    state, parent = chain.state, chain.header
    chain.time_ms += 500
    builder = chain.runtime.open_block(state, parent, chain.items())
    calls = (
        _signed(chain, "operator", number, "Sessions.claim", [t.SessionClaims(session.id, _quarter(session, number))])
        for number in range(100)
    )
    fitted = _fill(builder, calls)
    block = builder.seal()

    assert fitted >= 2
    chain.state, chain.header = block.state, block.header
    chain.look()
    weight = chain.system.block_weight.get()
    limit = chain.runtime.schema.params.block_weight_ms * 10**9
    assert weight.operational.ref_time + weight.mandatory.ref_time <= limit
    assert chain.sessions.busy_blocks.get() == 1
    assert session.state.claimed == fitted * 256 * AIT // 8
    again = chain.runtime.execute_block(state, parent, block.header, block.body)
    assert again.header == block.header
    check_sessions(chain)
    chain.block()
    assert chain.sessions.busy_blocks.get() == 1


def test_claims_come_through_when_others_fill_the_blocks(chain: PayChain) -> None:
    """A quarter of each block is kept for them: what is not operational cannot take it."""
    session = PaySession(chain, 1, expires=10_000)
    chain.state = chain.state.child(chain.machine.store.changes())
    chain.look()
    chain.time_ms += 500
    builder = chain.runtime.open_block(chain.state, chain.header, chain.items())
    remarks = (_signed(chain, "stranger", nonce, "System.remark_with_event", bytes(60_000)) for nonce in range(10_000))
    assert _fill(builder, remarks) > 2
    item = session.item(session.voucher(0, 1, AIT))
    builder.apply(chain.signed("operator", "Sessions.claim", [t.SessionClaims(session.id, [item])]))
    block = builder.seal()
    chain.state, chain.header = block.state, block.header
    chain.look()
    assert session.state.claimed == AIT
    assert chain.sessions.busy_blocks.get() == 0


def _fill(builder: BlockBuilder, transactions: Iterable[Extrinsic]) -> int:
    """Add transactions until one does not fit; how many did."""
    for count, transaction in enumerate(transactions):
        try:
            builder.apply(transaction)
        except ExhaustsResources:
            return count
    raise AssertionError("all fit")


def _quarter(session: PaySession, number: int) -> list[t.ClaimItem]:
    """Claims on a quarter of 1,024 lanes, each time for a receipt more."""
    first, seq = 256 * (number % 4), 1 + number // 4
    return [session.item(session.voucher(lane, seq, seq * AIT // 8)) for lane in range(first, first + 256)]


def _signed(chain: PayChain, who: str, nonce: int, name: str, *args: Any) -> Extrinsic:
    version = chain.schema.version
    additional = additional_signed(
        version.spec_version, version.transaction_version, chain.genesis_hash, chain.genesis_hash
    )
    return sign_extrinsic(chain.schema.make_call(name, *args).encode(), pair(who), additional, nonce=nonce)


def test_an_expiry_is_a_block_number_and_not_before_the_next(chain: PayChain) -> None:
    params = PaySession(chain, 1, opened=False).params
    params.expires_block = BlockNumber(chain.number)
    chain.refused("BadExpiry", "payer", "Sessions.open", params, AIT)
