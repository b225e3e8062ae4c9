"""Sessions: opening, topping up, claims one by one and in batches, changes of key, expiry and rate, refunds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aitoken.codec.base import DecodeError
from aitoken.pay.layouts import Opening, Tick
from aitoken.pay.ticks import TickChain
from aitoken.types import AIT, Balance, BlockNumber, Moment
from chain.frame.calls import Call
from chain.frame.types import EcdsaSignature, Ed25519Signature
from chain.pallets.ai import providers_types as p
from chain.pallets.ai import sessions_types as t
from chain.pallets.ai.sessions_storage import session_deposit
from tests.support.pay_chain import PayChain, account, book, pair
from tests.support.pay_session import REASONS, PaySession, check_sessions
from tests.support.staking_chain import TREASURY

P = t.ClaimProblem
OPEN = "Sessions.open"


@pytest.fixture
def chain() -> PayChain:
    found = PayChain()
    found.begin()
    found.sell()
    return found


@pytest.fixture
def session(chain: PayChain) -> PaySession:
    return PaySession(chain, 1)


# ------------------------------------------------------------------------------------------------- opening


def test_the_deposit_is_held_of_the_payer_and_the_id_is_known_before(chain: PayChain, session: PaySession) -> None:
    assert chain.held(REASONS.Escrow, "payer") == 100 * AIT
    assert chain.held(REASONS.Deposit, "payer") == session_deposit(64)
    assert session.state.payer == account("payer")
    check_sessions(chain)
    chain.refused("SessionExists", "payer", OPEN, session.params, AIT)
    assert PaySession(chain, 1, payer="other").id != session.id
    assert chain.providers.find(1).sessions == chain.providers.stats.get(1).sessions == 2


@pytest.mark.parametrize(
    ("error", "change", "amount"),
    [
        ("UnknownAsset", {"asset": 1}, AIT), ("DepositTooLow", {}, AIT // 100 - 1), ("BadLanes", {"max_lanes": 0}, AIT),
        ("BadLanes", {"max_lanes": 1025}, AIT), ("BadGrace", {"grace_blocks": 4}, AIT),
        ("BadGrace", {"grace_blocks": 10_368_001}, AIT), ("BadExpiry", {"expires_block": 1}, AIT),
        ("BadExpiry", {"expires_block": 31_104_002}, AIT), ("Providers.NoProvider", {"provider": 9}, AIT),
        ("Providers.NoBook", {"book_version": 2}, AIT), ("dispatch.token.funds_unavailable", {}, 10_000 * AIT),
    ],
)  # fmt: skip
def test_what_cannot_be_opened(chain: PayChain, error: str, change: dict[str, Any], amount: int) -> None:
    params = PaySession(chain, 1, opened=False).params.copy()
    for name, value in change.items():
        setattr(params, name, value)
    chain.refused(error, "payer", OPEN, params, amount)


def test_bounds_are_allowed(chain: PayChain) -> None:
    PaySession(chain, 1, amount=AIT // 100, lanes=1, grace=5, expires=2)
    PaySession(chain, 1, amount=AIT // 100, lanes=1024, grace=10_368_000, expires=31_104_001)
    check_sessions(chain)


def test_only_books_in_force_of_providers_that_take_sessions(chain: PayChain) -> None:
    chain.call("operator", "Providers.publish_book", 1, [1], book(1), 0)
    old, new = (PaySession(chain, 1, book=version, opened=False).params for version in (1, 2))
    chain.refused("Providers.BookMismatch", "payer", OPEN, old, AIT)
    chain.call("operator", "Providers.update", 1, p.ProviderPatch(None, None, None, paused=True))
    chain.refused("Providers.Paused", "payer", OPEN, new, AIT)


def test_a_stranger_opens_what_the_payer_signed_and_pays_the_fee(chain: PayChain) -> None:
    session = PaySession(chain, 1, opened=False)
    until = Moment(chain.now + 1_000)
    order = Opening(session.id, Balance(5 * AIT), until).encode()
    plain, framed = (Ed25519Signature(pair("payer").sign(text)) for text in (order, b"<Bytes>" + order + b"</Bytes>"))
    call = "Sessions.open_for"
    arguments = (account("payer"), session.params)
    chain.refused("BadSignature", "other", call, *arguments, 6 * AIT, until, plain)
    chain.refused("BadSignature", "other", call, *arguments, 5 * AIT, until + 1, plain)
    chain.refused("BadSignature", "other", call, account("stranger"), session.params, 5 * AIT, until, plain)
    chain.refused("BadSignature", "other", call, *arguments, 5 * AIT, until, EcdsaSignature(bytes(65)))

    chain.call("other", call, *arguments, 5 * AIT, until, framed)
    assert chain.held(REASONS.Escrow, "payer") == 5 * AIT
    chain.refused("SessionExists", "other", call, *arguments, 5 * AIT, until, plain)
    chain.pass_time(1_001)
    chain.refused("Expired", "other", call, *arguments, 5 * AIT, until, plain)


def test_an_order_is_good_for_once_even_after_the_session_is_gone(chain: PayChain) -> None:
    session = PaySession(chain, 1, opened=False, expires=400)
    until = Moment(chain.now + 10**9)
    order = Ed25519Signature(pair("payer").sign(Opening(session.id, Balance(AIT), until).encode()))
    arguments = (account("payer"), session.params, AIT, until, order)
    chain.call("other", "Sessions.open_for", *arguments)
    chain.call("operator", "Sessions.close", session.id, None)
    chain.pass_time(0, 300)
    assert not session.is_stored
    chain.refused("SessionExists", "other", "Sessions.open_for", *arguments)
    chain.pass_time(0, 200)
    assert not list(chain.sessions.tombstones.items())
    chain.refused("BadExpiry", "other", "Sessions.open_for", *arguments)
    check_sessions(chain)


def test_anybody_may_add_money_and_it_is_the_payers(chain: PayChain, session: PaySession) -> None:
    before = chain.free("other")
    chain.call("other", "Sessions.top_up", session.id, 7 * AIT)
    chain.call("payer", "Sessions.top_up", session.id, 3 * AIT)
    assert chain.free("other") == before - 7 * AIT
    assert chain.held(REASONS.Escrow, "payer") == 110 * AIT
    check_sessions(chain)
    chain.refused("dispatch.token.funds_unavailable", "other", "Sessions.top_up", session.id, 10_000 * AIT)
    chain.refused("NoSession", "other", "Sessions.top_up", bytes(32), AIT)


# ------------------------------------------------------------------------------------------------- claims


def test_what_is_acknowledged_is_paid_at_once_less_a_thousandth(chain: PayChain, session: PaySession) -> None:
    before = {who: chain.free(who) for who in ("payout", "treasury")}
    issuance = chain.balances.total_issuance.get()
    chain.authorship.author.put(account("A"))
    author = chain.free("A")

    events = session.claim(session.item(session.voucher(3, 1, 10 * AIT, 20 * AIT, ack=bytes(32))), who="stranger")

    assert [(event.lane, event.paid, event.waiting) for event in events] == [(3, 10 * AIT, 0)]
    fee = AIT // 100
    assert chain.free("payout") - before["payout"] == 10 * AIT - fee
    assert issuance - chain.balances.total_issuance.get() == fee // 2
    assert chain.free("A") - author == fee * 3 // 10
    assert chain.system.account.get(TREASURY).free - before["treasury"] == fee // 5
    assert (session.lane(3).paid, session.lane(3).seq, session.lane(3).ack) == (10 * AIT, 1, bytes(32))
    assert chain.providers.stats.get(1).settled == 10 * AIT
    check_sessions(chain)


def test_a_tail_waits_its_window_and_is_then_paid_by_the_chain(chain: PayChain, session: PaySession) -> None:
    receipt = session.receipt(0, 1, 7 * AIT)
    events = session.claim_tail(0, receipt, 2 * AIT)
    assert [(event.paid, event.waiting) for event in events] == [(2 * AIT, 5 * AIT)]
    check_sessions(chain)
    chain.pass_time(29_999, 40)
    assert session.lane(0).paid == 2 * AIT
    chain.pass_time(1, 2)
    assert session.lane(0).paid == 7 * AIT
    assert [event.amount for event in chain.told("TailPaid")] == [5 * AIT]
    assert chain.providers.stats.get(1).unacked == 5 * AIT
    check_sessions(chain)


def test_a_tail_needs_blocks_as_well_as_time(chain: PayChain, session: PaySession) -> None:
    session.claim_tail(0, session.receipt(0, 1, 7 * AIT), 0)
    chain.pass_time(10**9, 29)
    chain.refused("NothingToDo", "stranger", "Sessions.finalize", session.id, [0])
    chain.system.number.put(31)
    chain.call("stranger", "Sessions.finalize", session.id, [0, 5])
    assert session.lane(0).paid == 7 * AIT
    check_sessions(chain)


def test_a_later_voucher_settles_the_tail_before_its_time(chain: PayChain, session: PaySession) -> None:
    receipt = session.receipt(0, 1, 7 * AIT)
    session.claim_tail(0, receipt, 0)
    less = session.item(session.voucher(0, 1, 6 * AIT, 8 * AIT, ack=receipt.hash))
    assert session.problem(less, who="payer") is P.TailWaits
    assert session.lane(0).paid == 0
    session.claim(session.item(session.voucher(0, 1, 7 * AIT, ack=receipt.hash)), who="payer")
    assert (session.lane(0).paid, session.lane(0).tail, session.state.tails) == (7 * AIT, None, 0)
    check_sessions(chain)
    chain.pass_time(31_000, 40)
    assert session.lane(0).paid == 7 * AIT
    assert chain.sessions.tail_front.get() == chain.sessions.tail_end.get() == 1
    check_sessions(chain)


def test_a_ripe_tail_is_paid_by_the_next_claim(chain: PayChain, session: PaySession) -> None:
    session.claim_tail(0, session.receipt(0, 1, 7 * AIT), 0)
    chain.sessions.tail_front.put(1)  # nobody sweeps
    chain.pass_time(30_000, 30)
    events = session.claim(session.item(session.voucher(0, 1, 9 * AIT, 9 * AIT)))
    assert [(event.paid, event.waiting) for event in events] == [(9 * AIT, 0)]
    assert chain.providers.stats.get(1).unacked == 7 * AIT


def test_claims_that_break_a_rule_are_passed_over_by_name(chain: PayChain, session: PaySession) -> None:
    voucher, item = session.voucher, session.item
    tail = t.Tailed(5 * AIT, bytes(32))
    for problem, claim in [
        (P.NoLane, item(voucher(64, 0, AIT))),
        (P.BadSignature, item(voucher(0, 0, AIT), key="payer")),
        (P.BadSignature, replaced(item(voucher(0, 0, AIT)), acked=AIT - 1)),
        (P.BadVoucher, replaced(item(voucher(0, 0, AIT)), flags=4)),
        (P.BadTotal, replaced(item(voucher(0, 0, AIT)), ceiling=AIT - 1)),
        (P.BadTotal, item(voucher(0, 0, 0, 4 * AIT), tail)),
        (P.BadTotal, item(voucher(0, 0, 6 * AIT), tail)),
        (P.OverDeposit, item(voucher(0, 0, 100 * AIT + 1))),
        (P.CeilingExpired, item(voucher(0, 0, 0, 9 * AIT, valid_until=chain.now - 30_001), tail)),
        (P.BadTick, ticked(session, 3, 4)),
    ]:
        assert session.problem(claim) is problem
        assert session.state.claimed == 0
    assert session.problem(item(voucher(0, 0, 0, 9 * AIT), tail), who="payer") is P.NotByProvider
    session.claim(item(voucher(0, 2, 5 * AIT)))
    assert session.problem(item(voucher(0, 1, 4 * AIT))) is P.TotalDecreases
    assert [event.paid for event in session.claim(item(voucher(0, 2, 5 * AIT)))] == [0], "the same again is nothing"
    check_sessions(chain)


def replaced(item: Any, **fields: Any) -> Any:
    item = item.copy()
    for name, value in fields.items():
        setattr(item, name, value)
    return item


def ticked(session: PaySession, index: int, shown: int, acked: int = 0) -> t.ClaimItem:
    """A claim of tick `index` with the preimage of tick `shown`."""
    ticks = TickChain(b"\x07" * 32, 10)
    tick = Tick(ticks.anchor, Balance(AIT), 10)
    voucher = session.voucher(9, 1, acked, acked + 10 * AIT, tick=tick)
    return session.item(voucher, t.Ticked(ticks.anchor, Balance(AIT), 10, index, ticks.tick(shown)))


def test_ticks_are_the_payers_word(chain: PayChain, session: PaySession) -> None:
    assert [event.paid for event in session.claim(ticked(session, 3, 3, 5 * AIT), who="stranger")] == [8 * AIT]
    assert [event.paid for event in session.claim(ticked(session, 10, 10, 5 * AIT))] == [7 * AIT]
    assert session.problem(ticked(session, 11, 10)) is P.BadTick
    check_sessions(chain)


def test_a_ceiling_ends_but_what_is_acknowledged_is_owed_for_ever(chain: PayChain, session: PaySession) -> None:
    voucher = session.voucher(0, 0, AIT, 9 * AIT, valid_until=chain.now)
    chain.pass_time(10**8)
    assert session.problem(session.item(voucher, t.Tailed(5 * AIT, bytes(32)))) is P.CeilingExpired
    assert [event.paid for event in session.claim(session.item(voucher))] == [AIT]


def test_all_lanes_together_come_to_no_more_than_the_deposit(chain: PayChain, session: PaySession) -> None:
    items = [session.item(session.voucher(lane, 1, 40 * AIT)) for lane in range(3)]
    events = session.claim(*items)
    assert [type(event).__name__ for event in events] == ["Claimed", "Claimed", "ClaimRefused"]
    assert session.problem(items[2]) is P.OverDeposit
    tail = session.receipt(3, 1, 21 * AIT)
    assert session.claim_tail(3, tail, 0)[0].problem is P.OverDeposit
    session.claim_tail(3, session.receipt(3, 1, 20 * AIT), 0)
    assert session.problem(session.item(session.voucher(4, 1, 1))) is P.OverDeposit, "what waits is not free"
    chain.call("other", "Sessions.top_up", session.id, 1)
    session.claim(session.item(session.voucher(4, 1, 1)))
    check_sessions(chain)


def test_a_batch_is_best_effort_over_sessions_and_lanes(chain: PayChain) -> None:
    sessions = [PaySession(chain, 1, salt=salt, payer=who) for salt, who in enumerate(("payer", "other", "stranger"))]
    groups = [t.SessionClaims(s.id, [s.item(s.voucher(lane, 1, AIT)) for lane in (0, 63, 70)]) for s in sessions]
    groups.insert(1, t.SessionClaims(bytes(32), [groups[0].items[0]]))
    before = chain.free("payout")
    chain.emitted()
    chain.call("stranger", "Sessions.claim", groups)

    events = [event for event in chain.emitted() if type(event).__name__ in ("Claimed", "ClaimRefused")]
    assert [type(event).__name__ for event in events].count("Claimed") == 6
    assert [event.problem for event in events if hasattr(event, "problem")] == [P.NoLane, P.NoSession] + [P.NoLane] * 2
    assert chain.free("payout") - before == 6 * AIT - 6 * AIT // 1000
    check_sessions(chain)


def test_more_claims_than_fit_a_call(chain: PayChain, session: PaySession) -> None:
    item = session.item(session.voucher(0, 1, AIT))
    groups = [t.SessionClaims(session.id, [item] * 200), t.SessionClaims(session.id, [item] * 57)]
    chain.refused("TooMany", "stranger", "Sessions.claim", groups)
    with pytest.raises(DecodeError):
        chain.schema.decode_call(chain.schema.make_call("Sessions.claim", groups).encode())
    fits = chain.schema.make_call("Sessions.claim", [groups[0], t.SessionClaims(session.id, [item] * 56)])
    assert chain.schema.decode_call(fits.encode()) == fits
    for end in range(0, 3_000, 7):
        with pytest.raises(DecodeError):
            chain.schema.decode_call(fits.encode()[:end])


def test_what_a_claim_costs_grows_with_its_items_and_ticks(chain: PayChain, session: PaySession) -> None:
    def cost(*items: t.ClaimItem) -> int:
        call: Call = chain.schema.make_call("Sessions.claim", [t.SessionClaims(session.id, list(items))])
        return call.weight

    plain = session.item(session.voucher(0, 1, AIT))
    assert cost(plain, plain) - cost(plain) == cost(plain, plain, plain) - cost(plain, plain) > 0
    far = replaced(ticked(session, 10, 10))
    far.end = replaced(far.end, index=4_000)
    assert cost(far) - cost(ticked(session, 10, 10)) == 20 * (cost(plain, plain) - cost(plain))


def test_a_session_is_paid_where_the_provider_says_or_to_its_owner(chain: PayChain) -> None:
    chain.call("owner", "Providers.update", 1, p.ProviderPatch(None, account("nobody"), None, None))
    chain.pass_time(60_000)
    session = PaySession(chain, 1)
    owner = chain.free("owner")
    session.claim(session.item(session.voucher(0, 1, 5)))
    assert chain.free("owner") == owner + 5, "nobody's account cannot hold so little"
    session.claim(session.item(session.voucher(0, 2, AIT)))
    assert chain.system.account.get(account("nobody")).free > 0
    check_sessions(chain)


def test_64_lanes_on_one_deposit_and_1024_in_all(chain: PayChain) -> None:
    session = PaySession(chain, 1, lanes=1024, amount=2_000 * AIT)
    for start in range(0, 1024, 256):
        items = [session.item(session.voucher(lane, 1, AIT)) for lane in range(start, start + 256)]
        assert all(event.paid == AIT for event in session.claim(*items))
    assert session.state.claimed == 1024 * AIT
    assert len(list(chain.sessions.lanes.items())) == 16
    check_sessions(chain)


# ------------------------------------------------------------------------------------------------- changes


def test_a_stolen_key_is_stopped_and_what_it_signed_before_can_be_claimed(chain: PayChain, session: PaySession) -> None:
    before = session.item(session.voucher(0, 1, AIT))
    chain.refused("NotPayer", "stranger", "Sessions.change", session.id, t.ToKey(None))
    chain.call("payer", "Sessions.change", session.id, t.ToKey(None))
    assert [event.key for event in chain.told("KeyChanged")] == [None]
    chain.refused("NoChange", "payer", "Sessions.change", session.id, t.ToKey(None))
    assert [event.paid for event in session.claim(before)] == [AIT]
    chain.pass_time(0, 10)
    assert session.problem(session.item(session.voucher(0, 2, 2 * AIT))) is P.BadSignature

    chain.call("payer", "Sessions.change", session.id, t.ToKey(pair("new").public))
    assert [event.paid for event in session.claim(session.item(session.voucher(0, 2, 2 * AIT), key="new"))] == [AIT]
    assert session.problem(session.item(session.voucher(0, 3, 3 * AIT))) is P.BadSignature
    check_sessions(chain)


def test_keys_change_one_grace_after_the_other(chain: PayChain, session: PaySession) -> None:
    change = "Sessions.change"
    chain.call("payer", change, session.id, t.ToKey(pair("new").public))
    for key in ("key", "new"):
        seq = session.lane(0).seq + 1 if chain.sessions.lane(session.id, 0) else 1
        session.claim(session.item(session.voucher(0, seq, seq * AIT), key=key))
    assert session.lane(0).paid == 2 * AIT
    chain.refused("WindowOpen", "payer", change, session.id, t.ToKey(pair("newer").public))
    chain.pass_time(0, 10)
    chain.call("payer", change, session.id, t.ToKey(pair("newer").public))
    assert session.problem(session.item(session.voucher(0, 9, 9 * AIT), key="key")) is P.BadSignature


def test_a_session_expires_later_but_never_sooner(chain: PayChain, session: PaySession) -> None:
    change = "Sessions.change"
    for block in (1_000, 999, 31_104_002):
        chain.refused("BadExpiry", "payer", change, session.id, t.ToExpiry(BlockNumber(block)))
    chain.call("payer", change, session.id, t.ToExpiry(BlockNumber(1_100)))
    chain.pass_time(0, 1_050)
    assert isinstance(session.state.state, t.Open)
    chain.pass_time(0, 60)
    assert isinstance(session.state.state, t.Closed)


def test_a_rate_is_locked_by_the_providers_offer_for_this_session(chain: PayChain, session: PaySession) -> None:
    change = "Sessions.change"
    for bad in ({"request": bytes(32)}, {"rate": 0}, {"book_version": 2}, {"genesis": bytes(32)}):
        chain.refused("BadOffer", "payer", change, session.id, t.ToRate(session.offer(**bad)))
    chain.refused("BadOffer", "payer", change, session.id, t.ToRate(t.SignedOffer(bytes(124), bytes(64))))
    chain.refused("BadSignature", "payer", change, session.id, t.ToRate(session.offer(key="owner")))
    chain.refused("Expired", "payer", change, session.id, t.ToRate(session.offer(valid_until=Moment(chain.now))))
    for _ in range(8):
        chain.call("payer", change, session.id, t.ToRate(session.offer(rate=5)))
    assert session.state.locks[0].rate == 5
    chain.refused("TooMany", "payer", change, session.id, t.ToRate(session.offer()))


def test_the_provider_gives_back_what_it_claimed_and_no_more(chain: PayChain, session: PaySession) -> None:
    session.claim(session.item(session.voucher(0, 1, 10 * AIT)))
    refund = "Sessions.refund"
    before = chain.free("payer")
    chain.refused("NotProvider", "stranger", refund, session.id, AIT, bytes(32))
    for who in ("payout", "owner", "operator"):
        chain.call(who, refund, session.id, 3 * AIT, bytes(32))
    chain.refused("OverDeposit", "owner", refund, session.id, AIT + 1, bytes(32))
    assert chain.free("payer") == before + 9 * AIT
    assert session.state.refunded == chain.providers.stats.get(1).refunded == 9 * AIT
    check_sessions(chain)


def test_vouchers_of_another_session_lane_or_chain_are_no_vouchers(chain: PayChain, session: PaySession) -> None:
    other = PaySession(chain, 1, salt=1)
    voucher = other.voucher(0, 1, AIT)
    assert session.problem(session.item(voucher)) is P.BadSignature
    assert session.problem(replaced(session.item(session.voucher(0, 1, AIT)), lane=1)) is P.BadSignature
    foreign = replace(session.voucher(0, 1, AIT), session_id=bytes(32))
    assert session.problem(session.item(foreign)) is P.BadSignature
