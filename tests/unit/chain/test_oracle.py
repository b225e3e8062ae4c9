"""The oracle: medians by weight, quorum, clamp, age and staleness, and who may report."""

from __future__ import annotations

from typing import Any

import pytest

from aitoken.pay.book import Price
from aitoken.types import AIT
from chain.frame.calls import PostInfo
from chain.frame.types import Pays
from chain.pallets.ai.oracle import RING, Feed, median, normal_price, rate_of
from tests.support.pay_chain import USD, PayChain, account
from tests.support.staking_chain import hexed

WINDOW = 5_000
FEEDS = {
    "feeds": [{"currency": USD, "quorum": "66.6%", "maxMove": "10%", "staleAfterMs": 20_000}],
    "feeders": {hexed("A"): hexed("other")},
}


@pytest.fixture
def chain() -> PayChain:
    found = PayChain(oracle=FEEDS)
    found.begin()
    return found


def report(chain: PayChain, cents: int, *who: str) -> None:
    for each in who or ("A", "B", "C", "D"):
        chain.call(each, "Oracle.submit", USD, Price(cents, 2), chain.now)


def window(chain: PayChain, cents: int, *who: str) -> None:
    """One window in which these report."""
    report(chain, cents, *who)
    chain.pass_time(WINDOW)


def test_the_price_counts_one_whole_window_after_its_own(chain: PayChain) -> None:
    window(chain, 50)
    chain.pass_time(0)
    assert chain.oracle.last.get(USD).price == AIT // 2
    assert chain.oracle.rate(USD) is None, "nobody has seen it before"

    chain.pass_time(WINDOW)
    assert chain.oracle.rate(USD) == 2 * AIT
    assert chain.oracle.current_rate(USD).rate == 2 * AIT

    window(chain, 52)
    chain.pass_time(0)
    assert chain.oracle.rate(USD) == 2 * AIT, "the new one is not old enough"
    chain.pass_time(WINDOW)
    assert chain.oracle.rate(USD) == AIT * 100 // 52


def test_the_median_is_that_of_the_weight(chain: PayChain) -> None:
    for who, cents in (("A", 10), ("B", 20), ("C", 30), ("D", 40)):
        report(chain, cents, who)
    chain.pass_time(WINDOW)
    chain.pass_time(0)

    # 1000, 2000 and 3000 of 10,000: half of the weight lies at or below 30 cents.
    assert chain.oracle.last.get(USD).price == 3 * AIT // 10


def test_without_a_quorum_of_the_weight_there_is_no_price(chain: PayChain) -> None:
    window(chain, 50, "A", "B", "C")
    chain.emitted()
    chain.pass_time(0)

    told = chain.told("QuorumMissing")
    assert [event.weight for event in told] == [6000]
    assert chain.oracle.last.get(USD) is None

    window(chain, 50, "B", "C", "D")
    chain.pass_time(0)
    assert chain.oracle.last.get(USD).weight == 9000


def test_a_leap_needs_two_windows(chain: PayChain) -> None:
    window(chain, 100)
    window(chain, 300)
    chain.pass_time(0)
    assert chain.oracle.last.get(USD).price == 11 * AIT // 10
    window(chain, 300)
    chain.pass_time(0)
    assert chain.oracle.last.get(USD).price == 3 * AIT

    window(chain, 100)
    chain.pass_time(0)
    assert chain.oracle.last.get(USD).price == 27 * AIT // 10
    window(chain, 400)
    chain.pass_time(0)
    assert chain.oracle.last.get(USD).price == 297 * AIT // 100, "the other side is no confirmation"


def test_a_price_that_is_too_old_is_none(chain: PayChain) -> None:
    window(chain, 50)
    chain.pass_time(WINDOW)
    assert chain.oracle.rate(USD) is not None
    chain.pass_time(20_000)
    assert chain.oracle.rate(USD) is None

    window(chain, 500)
    chain.pass_time(0)
    assert chain.oracle.last.get(USD).price == 5 * AIT, "after silence there is nothing to clamp to"


def test_receipts_are_judged_by_the_highest_rate_of_their_time(chain: PayChain) -> None:
    start = chain.now
    for cents in (100, 95, 100):
        window(chain, cents)
    chain.pass_time(2 * WINDOW)

    time = start + 2 * WINDOW
    assert chain.oracle.highest_rate(USD, time, time) == AIT * 100 // 95 * 102 // 100
    assert chain.oracle.highest_rate(USD, start - 10 * WINDOW, start - 10 * WINDOW) is None
    assert chain.oracle.highest_rate(978, time, time) is None


def test_the_ring_forgets_what_is_older_than_itself(chain: PayChain) -> None:
    window(chain, 50)
    chain.pass_time(0)
    old = chain.now
    chain.pass_time((RING - 1) * WINDOW)
    window(chain, 60)
    chain.pass_time(0)

    assert len(list(chain.oracle.history.items())) == 1
    assert chain.oracle.point_at(USD, old + WINDOW) is None


def test_who_may_report_and_what(chain: PayChain) -> None:
    now = chain.now
    chain.refused("NoFeed", "A", "Oracle.submit", 978, Price(1, 0), now)
    chain.refused("NotFeeder", "payer", "Oracle.submit", USD, Price(1, 0), now)
    chain.refused("Stale", "A", "Oracle.submit", USD, Price(1, 0), now - 60_001)
    chain.refused("Stale", "A", "Oracle.submit", USD, Price(1, 0), now + 60_001)
    for bad in (Price(0, 0), Price(1, 13), Price(1, 31)):
        chain.refused("BadPrice", "A", "Oracle.submit", USD, bad, now)

    report(chain, 50, "other")
    assert chain.oracle.running.get(USD).reports[0].validator == account("A")
    chain.refused("AlreadySubmitted", "A", "Oracle.submit", USD, Price(1, 0), now)
    chain.pass_time(WINDOW)
    report(chain, 50, "A")


def test_a_report_that_counts_is_free_and_one_that_does_not_is_paid(chain: PayChain) -> None:
    chain.look()
    before = chain.free("other")
    chain.block(chain.signed("other", "Oracle.submit", USD, Price(50, 2), chain.time_ms))
    assert chain.free("other") == before
    chain.block(chain.signed("other", "Oracle.submit", USD, Price(50, 2), chain.time_ms))
    assert chain.free("other") < before

    post: Any = chain.call("B", "Oracle.submit", USD, Price(50, 2), chain.now)
    assert isinstance(post, PostInfo)
    assert post.pays is Pays.No


def test_a_validator_names_one_account_and_no_account_serves_two(chain: PayChain) -> None:
    chain.refused("NotFeeder", "payer", "Oracle.set_feeder", account("stranger"))
    chain.refused("FeederTaken", "B", "Oracle.set_feeder", account("other"))
    chain.call("A", "Oracle.set_feeder", account("stranger"))
    chain.refused("NotFeeder", "other", "Oracle.submit", USD, Price(1, 0), chain.now)
    report(chain, 50, "stranger")
    chain.call("A", "Oracle.set_feeder", None)
    chain.pass_time(WINDOW)
    chain.refused("NotFeeder", "stranger", "Oracle.submit", USD, Price(1, 0), chain.now)
    assert not list(chain.oracle.feeder_of.items())


def test_only_root_sets_feeds_within_bounds(chain: PayChain) -> None:
    feed = Feed(6_660, 1_000, 20_000)
    chain.refused("dispatch.bad_origin", "A", "Oracle.set_feed", 978, feed)
    for bad in (Feed(10_001, 0, 1), Feed(0, 10_001, 1), Feed(0, 0, 0), Feed(0, 0, 60 * WINDOW + 1)):
        chain.refused("BadSettings", "ROOT", "Oracle.set_feed", 978, bad)
    chain.refused("NoFeed", "ROOT", "Oracle.set_feed", 978, None)
    for number in range(1, 16):
        chain.call("ROOT", "Oracle.set_feed", number, feed)
    chain.refused("TooMany", "ROOT", "Oracle.set_feed", 978, feed)
    report(chain, 50)
    chain.call("ROOT", "Oracle.set_feed", USD, None)
    chain.refused("NoFeed", "A", "Oracle.submit", USD, Price(1, 0), chain.now)
    chain.pass_time(WINDOW)
    assert chain.oracle.last.get(USD) is None


@pytest.mark.parametrize(
    ("price", "normal"),
    [(Price(5, 1), AIT // 2), (Price(1, 12), 1), (Price(19, 13), 1), (Price(2**64 - 1, 0), (2**64 - 1) * AIT)],
)
def test_prices_come_to_units_of_ten_to_the_minus_twelve(price: Price, normal: int) -> None:
    assert normal_price(price) == normal


def test_median_and_rate_of_small_numbers() -> None:
    assert median([(5, 1)]) == 5
    assert median([(5, 1), (7, 1)]) == 5
    assert median([(9, 3), (5, 1), (7, 1)]) == 9
    assert rate_of(AIT // 20) == 20 * AIT
