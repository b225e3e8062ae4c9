"""Buyer and seller of one session talk to each other: steps, reservations, exposure, loss of state, ticks, audit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.pay.audit import FINDINGS_MAX, Audit
from aitoken.pay.book import ALWAYS, IN_ASSET, Book, Component, Price
from aitoken.pay.buyer import CEILING_MS, BuyerSession, Promise, Terms
from aitoken.pay.errors import (
    BadLayout,
    BadReceipt,
    BadSignature,
    BadTick,
    CeilingExpired,
    CeilingTooLow,
    ExposureTooHigh,
    LaneBusy,
    LaneUnknown,
    OutOfStep,
    OverDeposit,
    PayRejected,
)
from aitoken.pay.layouts import FINAL, TICKS, TICKS_MAX, Receipt, Tick, Voucher
from aitoken.pay.price import price_list
from aitoken.pay.rules import CLOCK_SLACK_MS, NEW_LANE, claim, claim_ticks
from aitoken.pay.seller import Admission, SellerSession, SessionClosing, Signed, peek_session
from aitoken.pay.ticks import TickChain, TickMeter, tick_total
from aitoken.types import Balance, Hash32, Moment
from tests.support.payments import PAYER, PROVIDER, RECEIPT, SESSION, VOUCHER

NOW = Moment(1_790_000_000_000)
PRICES = price_list(Book(IN_ASSET, [Component(1, Price(1, 12), 1, ALWAYS)], Price(0, 0), [], 0))


def buyer(deposit: int = 10_000, exposure: int = 10_000, lanes: int = 4) -> BuyerSession:
    return BuyerSession(SESSION, PAYER, PROVIDER.public, Balance(deposit), lanes, Balance(exposure))


def seller(deposit: int = 10_000, lanes: int = 4) -> SellerSession:
    return SellerSession(SESSION, PAYER.public, Balance(deposit), lanes)


def admit(shop: SellerSession, promise: Promise, now: Moment = NOW, **how: Balance) -> Admission:
    return shop.admit(promise.signed.statement, promise.signed.signature, now, **how)


def answer(shop: SellerSession, admission: Admission, charge: int) -> Signed:
    usage = ((1, charge),) if charge else ()
    receipt = shop.next_receipt(admission, replace(RECEIPT, charge=Balance(charge), usage=usage, rate=0))
    return shop.settle(admission, receipt, PROVIDER)


def serve(shop: SellerSession, client: BuyerSession, ceiling: int, charge: int) -> Receipt:
    promise = client.promise(Balance(ceiling), NOW)
    return client.accept(answer(shop, admit(shop, promise), charge), Terms(RECEIPT.request, 42, PRICES))


def test_requests_follow_each_other_and_each_voucher_countersigns_the_last() -> None:
    shop, client = seller(), buyer()
    for _ in range(5):
        serve(shop, client, 100, 60)
    lane = shop.lanes[0]

    assert len(client.lanes) == 1
    assert (lane.seq, lane.total, lane.countersigned) == (5, 300, 240)
    assert client.spent == shop.reserved == 300
    ack = client.acknowledgement(client.lanes[0])
    shop.acknowledge(ack.statement, ack.signature, NOW)
    assert lane.countersigned == 300
    best = lane.claim(NOW)
    assert best is not None
    assert claim(NEW_LANE, best, Balance(300), 0, NOW).paid == 300


def test_a_claim_has_a_tail_until_it_is_countersigned_or_the_ceiling_ends() -> None:
    shop, client = seller(), buyer()
    serve(shop, client, 100, 60)
    best = shop.lanes[0].claim(NOW)
    assert best is not None
    lane = claim(NEW_LANE, best, Balance(1000), 7, NOW)
    assert (lane.paid, lane.tail and lane.tail.total) == (0, 60)

    late = Moment(NOW + CEILING_MS + CLOCK_SLACK_MS + 1)
    best = shop.lanes[0].claim(late)
    assert best is not None
    assert claim(NEW_LANE, best, Balance(1000), 7, late) == NEW_LANE


def test_requests_at_the_same_time_take_lanes_of_their_own_and_share_the_deposit() -> None:
    shop, client = seller(250), buyer(10_000)
    first, second = client.promise(Balance(100), NOW), client.promise(Balance(100), NOW)
    assert [first.lane.number, second.lane.number] == [0, 1]
    admit(shop, first)
    held = admit(shop, second)
    assert shop.left == 50
    third = client.promise(Balance(100), NOW)
    with pytest.raises(OverDeposit):
        admit(shop, third)
    assert 2 not in shop.lanes
    answer(shop, held, 10)
    assert shop.left == 140
    admit(shop, third)


def test_more_lanes_than_the_session_has_are_busy() -> None:
    client = buyer(lanes=2)
    promises = [client.promise(Balance(1), NOW) for _ in range(2)]
    with pytest.raises(LaneBusy):
        client.promise(Balance(1), NOW)
    client.give_up(promises[1])
    assert client.promise(Balance(1), NOW).lane.number == 1
    client.give_up(promises[0])
    with pytest.raises(LaneBusy):
        client.promise(Balance(1), NOW, avoid=(0,))


def test_a_busy_lane_admits_nothing_and_a_settled_one_no_repetition() -> None:
    shop, client = seller(), buyer()
    promise = client.promise(Balance(100), NOW)
    admission = admit(shop, promise)
    with pytest.raises(LaneBusy):
        admit(shop, promise)
    lost = answer(shop, admission, 60)
    with pytest.raises(OutOfStep):
        admit(shop, promise)
    assert shop.lanes[0].last_receipt == lost
    client.accept(lost)
    admit(shop, client.promise(Balance(100), NOW))


def test_what_a_request_may_cost_must_be_below_the_ceiling_and_is_never_charged_above_it() -> None:
    shop, client = seller(), buyer()
    promise = client.promise(Balance(100), NOW)
    with pytest.raises(CeilingTooLow):
        admit(shop, promise, need=Balance(101))
    assert shop.reserved == 0
    admission = admit(shop, promise, need=Balance(40), limit=Balance(50))
    assert (admission.allowance, shop.reserved) == (50, 50)
    with pytest.raises(CeilingTooLow):
        answer(shop, admission, 51)
    answer(shop, admission, 50)


def test_a_ceiling_is_raised_while_the_answer_flows() -> None:
    shop, client = seller(200), buyer()
    promise = client.promise(Balance(50), NOW)
    admission = admit(shop, promise)
    more = client.raise_ceiling(promise, Balance(120), NOW)
    assert shop.raise_ceiling(more.signed.statement, more.signed.signature, NOW) == 120
    assert shop.raise_ceiling(promise.signed.statement, promise.signed.signature, NOW) == 120
    too_much = client.raise_ceiling(promise, Balance(300), NOW)
    with pytest.raises(OverDeposit):
        shop.raise_ceiling(too_much.signed.statement, too_much.signed.signature, NOW)
    client.accept(answer(shop, admission, 115))
    with pytest.raises(OutOfStep):
        shop.raise_ceiling(more.signed.statement, more.signed.signature, NOW)
    with pytest.raises(OutOfStep):
        client.raise_ceiling(promise, Balance(400), NOW)


def test_vouchers_that_do_not_belong_are_refused_and_change_nothing() -> None:
    shop, client = seller(lanes=2), buyer()
    promise = client.promise(Balance(100), NOW)
    voucher, signature = promise.voucher, promise.signed.signature
    late = Moment(voucher.valid_until + CLOCK_SLACK_MS + 1)
    cases: list[tuple[Voucher, type[PayRejected]]] = [
        (replace(voucher, session_id=Hash32(bytes(32))), LaneUnknown),
        (replace(voucher, lane=2), LaneUnknown),
        (replace(voucher, seq=1), OutOfStep),
        (replace(voucher, acked=Balance(1)), OutOfStep),
        (replace(voucher, ack=Hash32(bytes(32))), OutOfStep),
        (replace(voucher, ceiling=Balance(99)), BadSignature),
        (replace(voucher, kind=TICKS, ceiling=Balance(9), tick=Tick(Hash32(bytes(32)), Balance(1), 9)), BadLayout),
    ]
    for wrong, error in cases:
        with pytest.raises(error):
            shop.admit(wrong.encode(), signature, NOW)
    with pytest.raises(CeilingExpired):
        admit(shop, promise, late)
    shop.closing = True
    with pytest.raises(SessionClosing):
        admit(shop, promise)
    assert (shop.reserved, shop.lanes) == (0, {})
    assert peek_session(promise.signed.statement) == SESSION
    with pytest.raises(BadLayout):
        peek_session(b"AITPvch2" + bytes(40))


def test_a_final_voucher_closes_its_lane() -> None:
    shop = seller()
    last = replace(VOUCHER, lane=0, seq=0, acked=Balance(0), ceiling=Balance(9), flags=FINAL)
    last = replace(last, ack=buyer().promise(Balance(1), NOW).voucher.ack)
    answer(shop, shop.admit(last.encode(), PAYER.sign(last.encode()), NOW), 5)
    follows = replace(last, flags=0, seq=1, acked=Balance(5), ack=shop.lanes[0].ack)
    with pytest.raises(LaneUnknown):
        shop.admit(follows.encode(), PAYER.sign(follows.encode()), NOW)
    shop.acknowledge(follows.encode(), PAYER.sign(follows.encode()), NOW)
    assert shop.lanes[0].countersigned == 5


def test_r8b_what_was_promised_stays_at_risk_until_a_receipt_or_its_end() -> None:
    client = buyer(exposure=100)
    promise = client.promise(Balance(80), NOW)
    client.give_up(promise)
    assert client.at_risk(NOW) == 80
    again = client.promise(Balance(60), NOW)
    assert (again.lane, client.at_risk(NOW)) == (promise.lane, 80)
    with pytest.raises(ExposureTooHigh):
        client.promise(Balance(21), NOW)
    with pytest.raises(ExposureTooHigh):
        client.raise_ceiling(again, Balance(101), NOW)
    assert client.at_risk(Moment(NOW + CEILING_MS + CLOCK_SLACK_MS)) == 80
    assert client.at_risk(Moment(NOW + CEILING_MS + CLOCK_SLACK_MS + 1)) == 0

    shop = seller()
    client.accept(answer(shop, admit(shop, again), 0))
    assert client.at_risk(NOW) == 0


def test_a_buyer_never_promises_more_than_the_deposit() -> None:
    client = buyer(deposit=100, exposure=1000)
    client.promise(Balance(60), NOW)
    with pytest.raises(OverDeposit):
        client.promise(Balance(41), NOW)
    client.promise(Balance(40), NOW)


def test_a_buyer_accepts_only_what_was_agreed_and_stops_the_lane_otherwise() -> None:
    terms = Terms(RECEIPT.request, 42, PRICES)
    base = replace(RECEIPT, lane=0, charge=Balance(60), lane_total=Balance(60), usage=((1, 60),), rate=0)
    for change in (
        {"charge": Balance(101), "lane_total": Balance(101), "usage": ((1, 101),)},
        {"request": Hash32(bytes(32))},
        {"service": 43},
        {"usage": ((1, 59),)},
        {"prev_ack": Hash32(bytes(32))},
        {"lane_total": Balance(61)},
    ):
        client = buyer()
        lane = client.promise(Balance(100), NOW).lane
        wrong = replace(replace(base, prev_ack=lane.ack), **change)  # type: ignore[arg-type]  # fields by name
        with pytest.raises(BadReceipt):
            client.accept(Signed(wrong.encode(), PROVIDER.sign(wrong.encode())), terms)
        assert lane.stopped
        assert client.promise(Balance(1), NOW).lane is not lane

    client = buyer()
    right = replace(base, prev_ack=client.promise(Balance(100), NOW).lane.ack)
    with pytest.raises(BadSignature):
        client.accept(Signed(right.encode(), PAYER.sign(right.encode())), terms)
    second = replace(right, seq=2)
    with pytest.raises(OutOfStep):
        client.accept(Signed(second.encode(), PROVIDER.sign(second.encode())), terms)
    client.accept(Signed(right.encode(), PROVIDER.sign(right.encode())), terms)


def test_a_buyer_that_lost_everything_goes_on_from_the_sellers_last_receipts() -> None:
    shop, client = seller(), buyer()
    for _ in range(3):
        serve(shop, client, 100, 60)
    fresh = buyer()
    with pytest.raises(OutOfStep):
        admit(shop, fresh.promise(Balance(100), NOW))
    last = shop.lanes[0].last_receipt
    assert last is not None
    assert fresh.adopt(last).total == 180
    with pytest.raises(OutOfStep):
        fresh.adopt(last)
    assert serve(shop, fresh, 100, 5).lane_total == 185


def test_a_restored_seller_goes_on_and_retired_lanes_only_take_acknowledgements() -> None:
    shop, client = seller(), buyer()
    serve(shop, client, 100, 60)
    serve(shop, client, 100, 60)
    before = shop.lanes[0]
    again = seller()
    again.restore(0, before.signed_voucher, before.last_receipt)
    assert (again.lanes[0].total, again.reserved, again.lanes[0].claim(NOW)) == (120, 120, before.claim(NOW))
    serve(again, client, 100, 1)

    again.retire()
    with pytest.raises(LaneUnknown):
        admit(again, client.promise(Balance(1), NOW))
    ack = client.acknowledgement(client.lanes[0])
    assert again.acknowledge(ack.statement, ack.signature, NOW).countersigned == 121


def test_a_seller_that_lost_the_receipt_its_voucher_countersigns_never_writes_it_again() -> None:
    shop, client = seller(), buyer()
    serve(shop, client, 100, 60)
    stored = shop.lanes[0].last_receipt
    serve(shop, client, 100, 60)
    ack = client.acknowledgement(client.lanes[0])
    again = seller()
    lane = again.restore(0, ack, stored)
    assert (lane.seq, lane.total, lane.retired) == (2, 120, True)
    best = lane.claim(NOW)
    assert best is not None
    assert claim(NEW_LANE, best, Balance(1000), 0, NOW).paid == 120
    serve(shop, client, 100, 30)
    further = client.acknowledgement(client.lanes[0])
    assert again.acknowledge(further.statement, further.signature, NOW).countersigned == 150
    assert again.reserved == 150
    with pytest.raises(OutOfStep):
        again.acknowledge(ack.statement, ack.signature, NOW)
    with pytest.raises(BadLayout):
        seller().restore(1, ack, None)
    with pytest.raises(BadLayout):
        seller().restore(1, None, stored)


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "answer", "lose", "drop", "ack"]), st.integers(0, 3), st.integers(0, 60)),
    max_size=60,
)


class Pair:
    """A buyer and a seller, messages between them in flight or lost."""

    def __init__(self, deposit: int, cap: int) -> None:
        self.shop, self.client = seller(deposit), buyer(10_000, cap)
        self.flying: dict[int, tuple[Promise, Admission]] = {}
        self.charged = 0

    def step(self, what: str, lane: int, amount: int) -> None:
        if what == "ask":
            promise = self.client.promise(Balance(amount), NOW)
            self.flying[promise.lane.number] = (promise, admit(self.shop, promise))
        elif what == "ack" and lane in self.client.lanes:
            ack = self.client.acknowledgement(self.client.lanes[lane])
            self.shop.acknowledge(ack.statement, ack.signature, NOW)
        elif lane in self.flying:
            promise, admission = self.flying.pop(lane)
            charge = min(amount, admission.allowance)
            signed = answer(self.shop, admission, charge)
            self.charged += charge
            if what == "answer":
                self.client.accept(signed)
            else:
                self.client.give_up(promise)

    def recover(self) -> None:
        """What a buyer does after a refusal: the last receipts of the seller tell it where lanes are."""
        for number, lane in self.client.lanes.items():
            lane.busy = number in self.flying
            theirs = self.shop.lanes.get(number)
            if theirs and theirs.last_receipt and theirs.seq == lane.seq + 1:
                self.client.accept(theirs.last_receipt)

    def check(self, deposit: int, cap: int) -> None:
        lanes = self.shop.lanes
        assert self.charged == sum(lane.total for lane in lanes.values())
        assert self.shop.reserved == sum(lane.end for lane in lanes.values()) <= deposit
        unseen = sum(lane.total - self.client.lanes[number].total for number, lane in lanes.items())
        assert unseen <= self.client.at_risk(NOW) <= cap
        assert self.client.spent == sum(lane.total for lane in self.client.lanes.values())
        assert self.client.promised == sum(lane.ceiling for lane in self.client.lanes.values())
        for lane in lanes.values():
            best = lane.claim(NOW)
            assert best is None or claim(NEW_LANE, best, Balance(deposit), 0, NOW).committed <= lane.total


@settings(max_examples=200)
@given(STEPS, st.integers(0, 200), st.integers(0, 120))
def test_whatever_happens_nothing_is_admitted_beyond_the_deposit_or_the_cap(
    steps: list[tuple[str, int, int]], deposit: int, cap: int
) -> None:
    pair = Pair(deposit, cap)
    for step in steps:
        try:
            pair.step(*step)
        except (OverDeposit, ExposureTooHigh, LaneBusy, OutOfStep):
            pair.recover()
        pair.check(deposit, cap)


# ------------------------------------------------------------------------------------------------- ticks


def test_ticks_pay_one_by_one_or_many_at_once() -> None:
    chain = TickChain(b"\x07" * 32, 100)
    tick = Tick(chain.anchor, Balance(3), 100)
    meter = TickMeter(tick)
    assert meter.accept(chain.tick(1)) == 3
    assert meter.accept(chain.tick(5), 4) == 15
    for preimage, steps in (
        (chain.tick(5), 1),
        (chain.tick(7), 1),
        (b"short", 1),
        (chain.tick(4), 0),
        (chain.tick(100), 96),
    ):
        with pytest.raises(BadTick):
            meter.accept(preimage, steps)
    assert meter.accept(chain.tick(100), 95) == 300


def test_the_chain_pays_a_tick_at_once() -> None:
    chain = TickChain(b"\x07" * 32, 100)
    voucher = replace(
        VOUCHER, kind=TICKS, ceiling=Balance(VOUCHER.acked + 300), tick=Tick(chain.anchor, Balance(3), 100)
    )
    voucher = Voucher.decode(voucher.encode())
    acked = VOUCHER.acked
    assert tick_total(voucher, 40, chain.tick(40)) == acked + 120
    lane = claim_ticks(NEW_LANE, voucher, 40, chain.tick(40), Balance(acked + 120))
    assert (lane.paid, lane.tail) == (acked + 120, None)
    assert claim_ticks(lane, voucher, 39, chain.tick(39), Balance(acked + 120)) == lane
    with pytest.raises(OverDeposit):
        claim_ticks(lane, voucher, 41, chain.tick(41), Balance(acked + 122))
    for index in (0, 41, 101):
        with pytest.raises(BadTick):
            tick_total(voucher, index, chain.tick(40))
    with pytest.raises(BadTick):
        tick_total(VOUCHER, 1, chain.tick(1))


def test_chains_have_bounds() -> None:
    assert TickChain(bytes(32), TICKS_MAX).tick(TICKS_MAX) == bytes(32)
    for seed, length in ((bytes(31), 1), (bytes(32), 0), (bytes(32), TICKS_MAX + 1)):
        with pytest.raises(BadTick):
            TickChain(seed, length)
    for index in (0, 3):
        with pytest.raises(BadTick):
            TickChain(bytes(32), 2).tick(index)


# ------------------------------------------------------------------------------------------------- audit


def receipts(count: int) -> list[tuple[bytes, bytes]]:
    shop, client = seller(10**9), buyer(10**9, 10**9)
    made = []
    for index in range(count):
        promises = [client.promise(Balance(100), NOW) for _ in range(2)]
        for promise in promises:
            signed = answer(shop, admit(shop, promise), 10 + index % 7)
            client.accept(signed)
            made.append((signed.statement, signed.signature))
    return made


def audit_of(made: list[tuple[bytes, bytes]]) -> Audit:
    audit = Audit(PROVIDER.public, {(42, 3): PRICES}, lambda _: (1, 10**12))
    audit.add_all(made)
    return audit


def test_an_honest_list_has_no_findings_and_adds_up() -> None:
    made = receipts(20)
    audit = audit_of(made)
    charges = sum(Receipt.decode(statement).charge for statement, _ in made)

    assert (audit.receipts, audit.wrong, audit.undercharged) == (40, 0, 0)
    assert audit.total == audit.session_total(SESSION) == charges == audit.units[1]


def test_everything_wrong_is_found() -> None:
    made = receipts(2)
    first = Receipt.decode(made[0][0])

    def forged(**change: object) -> tuple[bytes, bytes]:
        statement = replace(first, **change).encode()  # type: ignore[arg-type]  # fields by name
        return statement, PROVIDER.sign(statement)

    for wrong, what in [
        ((made[0][0], made[1][1]), "not signed"),
        ((b"AITPrcp2" + made[0][0][8:], made[0][1]), "known version"),
        (forged(usage=((1, 9),)), "the price is 9"),
        (forged(book_version=4), "no book 4"),
        (forged(rate=10**12), "rate 0"),
        (forged(rate=10**13), "not between"),
        (forged(prev_ack=Hash32(bytes(32))), "does not follow"),
        (forged(seq=2), "comes after receipt 0"),
    ]:
        audit = audit_of([wrong])
        assert audit.wrong == 1, what
        assert what in audit.findings[0].what
        assert audit.total == 0
    assert audit_of([made[0], made[0]]).wrong == 1
    assert audit_of([forged(usage=((1, 15),))]).undercharged == 5


def test_findings_are_bounded() -> None:
    audit = audit_of([(b"x", b"y")] * (FINDINGS_MAX + 5))
    assert (audit.wrong, len(audit.findings)) == (FINDINGS_MAX + 5, FINDINGS_MAX)


# ------------------------------------------------------------------------------------------------- signed ahead


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(0, CEILING_MS)), max_size=8))
def test_a_voucher_that_was_signed_ahead_is_one_that_could_have_been_signed_now(
    steps: list[tuple[int, int, int]],
) -> None:
    """The seller, the risk and the money are the same with a buyer that signs ahead and with one that does not."""
    plain, ahead = (seller(5_000), buyer(5_000, 400)), (seller(5_000), buyer(5_000, 400))
    now = NOW
    for cost, guess, passed in steps:
        outcomes = []
        for shop, client in (plain, ahead):
            if client is ahead[1] and 0 in client.lanes:
                client.prepare(client.lanes[0], Balance(guess), now)
            later = Moment(now + passed)
            try:
                promise = client.promise(Balance(cost), later)
            except PayRejected as error:
                outcomes.append(error.code)
                continue
            assert promise.voucher.ceiling == client.lanes[0].total + cost
            assert later + CEILING_MS // 2 <= promise.voucher.valid_until <= later + CEILING_MS
            assert client.lanes[0].ready is None
            risk = client.at_risk(later)
            client.accept(answer(shop, admit(shop, promise, later, limit=Balance(cost)), cost // 2))
            outcomes.append((risk, client.spent, shop.reserved))
        assert outcomes[0] == outcomes[1]
        now = Moment(now + passed)


def test_what_was_signed_ahead_is_given_out_and_risks_nothing_before() -> None:
    shop, client = seller(), buyer()
    serve(shop, client, 100, 60)
    lane = client.lanes[0]
    client.prepare(lane, Balance(100), NOW)
    assert client.at_risk(NOW) == 0
    assert lane.ready is not None
    signed = lane.ready[1]
    promise = client.promise(Balance(100), Moment(NOW + CEILING_MS // 2))
    assert promise.signed is signed
    assert client.at_risk(NOW) == 100
    client.prepare(lane, Balance(100), NOW)
    assert lane.ready is None  # it is busy
    client.give_up(promise)
    client.prepare(lane, Balance(100), NOW)
    assert client.promise(Balance(100), Moment(NOW + CEILING_MS // 2 + 1)).signed is not signed  # it ends too soon
