"""Claims and fraud proofs, rule by rule, and random histories against the plain state machine of the paper."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.pay.book import ALWAYS, Book, Component, Price
from aitoken.pay.errors import CeilingExpired, OverDeposit, PayRejected
from aitoken.pay.layouts import CUMULATIVE, Offer, Receipt, Voucher, ack0
from aitoken.pay.price import price_list
from aitoken.pay.proofs import broken_chain, equivocation, mispriced, over_offer, overclaim, slash_for
from aitoken.pay.rules import (
    CLOCK_SLACK_MS,
    NEW_LANE,
    BadSequence,
    BadTotal,
    Claim,
    Lane,
    NoReceipt,
    Tail,
    TailWaits,
    TotalDecreases,
    claim,
    drop_tail,
    mature,
)
from aitoken.types import AIT, Balance, Hash32, Moment
from tests.support.payments import RECEIPT, SESSION

ROOM = Balance(1_000_000)
NOW = Moment(10_000_000)
HASH = Hash32(b"h" * 32)


def voucher(seq: int, acked: int, ceiling: int, valid_until: int = 0) -> Voucher:
    return Voucher(SESSION, 3, CUMULATIVE, 0, seq, Balance(acked), Balance(ceiling), Moment(valid_until), HASH)


def settled(seq: int, acked: int) -> Claim:
    return Claim(voucher(seq, acked, acked), Balance(acked), seq)


def tailed(seq: int, acked: int, ceiling: int, total: int, valid_until: int = 0) -> Claim:
    return Claim(voucher(seq, acked, ceiling, valid_until), Balance(total), seq + 1, HASH)


def after(lane: Lane, request: Claim, room: Balance = ROOM) -> Lane:
    return claim(lane, request, room, 5, NOW)


def test_what_is_acknowledged_is_paid_at_once_and_the_tail_waits() -> None:
    lane = after(NEW_LANE, tailed(1, 100, 300, 250))
    assert lane == Lane(Balance(100), Tail(Balance(250), 2, HASH, 5))
    assert lane.committed == 250
    assert mature(lane) == Lane(Balance(250))
    assert drop_tail(lane) == Lane(Balance(100))


def test_r1_the_receipt_is_the_vouchers_last_or_the_next() -> None:
    for seq in (0, 1, 4):
        with pytest.raises(BadSequence):
            after(NEW_LANE, Claim(voucher(2, 10, 10), Balance(10), seq))


def test_r2_the_total_is_within_the_voucher() -> None:
    for total in (99, 301):
        with pytest.raises(BadTotal):
            after(NEW_LANE, tailed(1, 100, 300, total))
    with pytest.raises(BadTotal):
        after(NEW_LANE, Claim(voucher(1, 100, 300), Balance(200), 1))


def test_r3_a_lane_never_gets_less() -> None:
    lane = after(NEW_LANE, settled(3, 100))
    with pytest.raises(TotalDecreases):
        after(lane, settled(2, 99))
    assert after(lane, settled(3, 100)) == lane
    waiting = after(lane, tailed(3, 100, 500, 400))
    for other in (settled(3, 100), tailed(3, 100, 500, 399), tailed(3, 100, 500, 401)):
        with pytest.raises(TailWaits):
            after(waiting, other)


def test_r4_no_more_than_the_deposit() -> None:
    after(NEW_LANE, settled(1, 100), Balance(100))
    after(NEW_LANE, tailed(1, 0, 100, 100), Balance(100))
    with pytest.raises(OverDeposit):
        after(NEW_LANE, settled(1, 101), Balance(100))
    with pytest.raises(OverDeposit):
        after(NEW_LANE, tailed(1, 0, 101, 101), Balance(100))


def test_r6_a_tail_needs_its_receipt() -> None:
    with pytest.raises(NoReceipt):
        after(NEW_LANE, Claim(voucher(1, 100, 300), Balance(200), 2))
    with pytest.raises(NoReceipt):
        after(NEW_LANE, Claim(voucher(1, 100, 300), Balance(100), 1, HASH))


def test_r7_a_later_voucher_settles_the_tail() -> None:
    waiting = after(NEW_LANE, tailed(1, 100, 300, 250))
    assert after(waiting, settled(2, 250)) == Lane(Balance(250))
    assert after(waiting, settled(5, 700)) == Lane(Balance(700))
    assert after(waiting, tailed(2, 250, 400, 300)).tail == Tail(Balance(300), 3, HASH, 5)


def test_r7_a_payer_cannot_take_a_tail_back_by_acknowledging_less() -> None:
    """Claims may be submitted by anybody, so by the payer too."""
    waiting = after(NEW_LANE, tailed(1, 100, 300, 250))
    for less in (settled(2, 100), settled(2, 249), tailed(2, 249, 400, 260)):
        with pytest.raises(TailWaits):
            after(waiting, less)


def test_the_same_tail_again_does_not_begin_to_wait_again() -> None:
    waiting = after(NEW_LANE, tailed(1, 100, 300, 250))
    assert claim(waiting, tailed(1, 100, 300, 250), ROOM, 9, NOW) == waiting


def test_a_ceiling_ends_and_what_is_acknowledged_does_not() -> None:
    over = NOW - CLOCK_SLACK_MS - 1
    after(NEW_LANE, tailed(1, 100, 300, 250, over + 1))
    with pytest.raises(CeilingExpired):
        after(NEW_LANE, tailed(1, 100, 300, 250, over))
    assert after(NEW_LANE, Claim(voucher(1, 100, 300, over), Balance(100), 1)) == Lane(Balance(100))


class Paper:
    """A plain state machine of one session: section 14's, with R7 as it is here."""

    def __init__(self, deposit: int) -> None:
        self.deposit = deposit
        self.lanes: dict[int, int] = {}
        self.pending: dict[int, tuple[int, int]] = {}

    def total(self) -> int:
        return sum(max(self.lanes.get(lane, 0), self.pending.get(lane, (0, 0))[0]) for lane in range(3))

    def claim(self, lane: int, seq: int, acked: int, ceiling: int, total: int, receipt_seq: int) -> bool:
        if receipt_seq not in (seq, seq + 1) or not acked <= total <= ceiling:
            return False
        if receipt_seq == seq and total != acked:
            return False
        done, waiting = self.lanes.get(lane, 0), self.pending.get(lane)
        if total < done:
            return False
        saved = (done, waiting)
        if waiting and seq >= waiting[1] and acked >= waiting[0]:
            del self.pending[lane]
            waiting = None
        if waiting and (total, receipt_seq) != waiting:
            return False
        self.lanes[lane] = max(done, acked)
        if receipt_seq == seq + 1 and total > self.lanes[lane]:
            self.pending[lane] = (total, receipt_seq)
        if self.total() > self.deposit:
            self.lanes[lane] = saved[0]
            self.pending.pop(lane, None)
            if saved[1]:
                self.pending[lane] = saved[1]
            return False
        return True


SMALL = st.integers(0, 12)
STEPS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), SMALL, SMALL, SMALL, st.integers(0, 1), st.booleans()))


@settings(max_examples=300)
@given(st.integers(0, 30), STEPS)
def test_random_claims_give_what_the_papers_state_machine_gives(deposit: int, steps: list[tuple[int, ...]]) -> None:
    paper, lanes = Paper(deposit), dict.fromkeys(range(3), NEW_LANE)
    paid = 0
    for number, seq, acked, more, part, next_one, ends in steps:
        total = acked + min(part, more) * next_one
        request = Claim(voucher(seq, acked, acked + more), Balance(total), seq + next_one, HASH if next_one else None)
        room = Balance(deposit - sum(lane.committed for other, lane in lanes.items() if other != number))
        expected = paper.claim(number, seq, acked, acked + more, total, seq + next_one)
        try:
            new = after(lanes[number], request, room)
        except PayRejected:
            assert not expected
        else:
            assert expected
            paid += new.paid - lanes[number].paid
            lanes[number] = new
        if ends:
            matured = mature(lanes[number])
            paid += matured.paid - lanes[number].paid
            lanes[number] = matured
            paper.lanes[number] = paper.lanes.get(number, 0)
            if number in paper.pending:
                paper.lanes[number] = max(paper.lanes[number], paper.pending.pop(number)[0])
        assert paid == sum(lane.paid for lane in lanes.values()) <= deposit
        assert sum(lane.committed for lane in lanes.values()) == paper.total() <= deposit


# ------------------------------------------------------------------------------------------------- fraud proofs


def receipt_after(previous: Receipt | None, charge: int) -> Receipt:
    seq, total, ack = (
        (0, 0, ack0(SESSION, 3)) if previous is None else (previous.seq, previous.lane_total, previous.hash)
    )
    return replace(RECEIPT, seq=seq + 1, charge=Balance(charge), lane_total=Balance(total + charge), prev_ack=ack)


FIRST = receipt_after(None, 100)
SECOND = receipt_after(FIRST, 50)


def test_f1_a_tail_that_is_not_its_receipt() -> None:
    honest = Tail(SECOND.lane_total, 2, SECOND.hash, 0)
    assert overclaim(honest, SECOND) is None
    assert overclaim(honest, FIRST) is None
    assert overclaim(replace(honest, total=Balance(170)), SECOND) == 20
    assert overclaim(replace(honest, receipt_hash=HASH), SECOND) == 0


def test_f2_two_receipts_of_one_number() -> None:
    assert equivocation(SECOND, SECOND) is None
    assert equivocation(FIRST, SECOND) is None
    assert equivocation(SECOND, replace(SECOND, lane=4)) is None
    assert equivocation(SECOND, receipt_after(FIRST, 60)) == 10
    assert equivocation(SECOND, replace(SECOND, response=HASH)) == 0


def test_f4_more_than_the_book_or_the_offer_allows() -> None:
    prices = price_list(Book(840, [Component(1, Price(1, 12), 1, ALWAYS)], Price(0, 0), [], 0))
    right = replace(FIRST, usage=((1, 100),))
    assert mispriced(right, prices, 10**12) is None
    assert mispriced(replace(right, usage=((1, 99),)), prices, 10**12) == 1
    assert mispriced(replace(right, usage=((1, 500),)), prices, 10**12) is None
    assert mispriced(right, prices, 10**12 // 2) == 50
    assert mispriced(replace(right, rate=0), prices, 10**12) == 100

    offer = Offer(HASH, right.service, right.book_version, right.request, Balance(90), 10**12, right.started)
    assert over_offer(right, offer) == 10
    assert over_offer(right, replace(offer, max_charge=Balance(100))) is None
    assert over_offer(right, replace(offer, valid_until=Moment(right.started - 1))) is None
    assert over_offer(right, replace(offer, request=HASH)) is None


def test_f4_no_rate_excuses_a_book_in_the_asset() -> None:
    prices = price_list(Book(0, [Component(1, Price(1, 12), 1, ALWAYS)], Price(0, 0), [], 0))
    assert mispriced(replace(FIRST, usage=((1, 100),), rate=5), prices, 0) is None
    assert mispriced(replace(FIRST, usage=((1, 90),), rate=5), prices, 0) == 10


def test_f5_a_receipt_that_does_not_follow() -> None:
    assert broken_chain(FIRST, None) is None
    assert broken_chain(SECOND, FIRST) is None
    assert broken_chain(SECOND, None) is None
    assert broken_chain(replace(FIRST, prev_ack=HASH), None) == 0
    assert broken_chain(replace(SECOND, prev_ack=HASH), FIRST) == 0
    assert broken_chain(replace(SECOND, lane_total=Balance(157)), FIRST) == 7
    assert broken_chain(replace(SECOND, lane=9), FIRST) is None


def test_a_slash_is_five_times_the_damage_and_never_small() -> None:
    assert slash_for(Balance(0)) == 10 * AIT
    assert slash_for(Balance(3 * AIT)) == 15 * AIT
