"""Subscriptions: periods by the calendar, one renewal each, mandates that bound, refunds that are there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.pay.units import INPUT_TOKEN, OUTPUT_TOKEN
from aitoken.types import AIT, Moment
from chain.frame.errors import FundsUnavailable
from chain.pallets.ai.agenda import SLOT_MS
from chain.pallets.ai.allowances import Allowances
from chain.pallets.ai.allowances_types import Limits, Purpose, Scope
from chain.pallets.ai.calendar import add_months
from chain.pallets.ai.pay_types import ToProvider
from chain.pallets.ai.plans import FAILURES_MAX, MANDATE_MAX_MS, SWEPT_A_BLOCK, Plans
from chain.pallets.ai.plans_types import (
    TRIAL_DAYS_MAX,
    VERSIONS_MAX,
    Period,
    PeriodUnit,
    Refund,
)
from tests.support.plans import INCLUDED, MONTH, PROFESSIONAL, mandate, published, subscribed, terms
from tests.support.spending_chain import DAY, HOUR, SpendingChain, account, ait, rows

Error = Plans.Error
USD = 840


def ms(text: str) -> Moment:
    return Moment(int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000)


def at(chain: SpendingChain, text: str) -> None:
    chain.set_time(ms(text))


def ends(chain: SpendingChain, number: int) -> str:
    return datetime.fromtimestamp(chain.plans.subscriptions.get(number).ends / 1000, UTC).isoformat()


def names(events: list[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


# ------------------------------------------------------------------------------------------------- the calendar


def test_months_are_counted_from_the_anchor_as_the_calendar_has_them() -> None:
    anchor = ms("2027-01-31T12:34:56")
    expected = ("2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31")
    assert [add_months(anchor, number) for number in (1, 2, 3, 4)] == [ms(f"{day}T12:34:56") for day in expected]
    assert add_months(anchor, 13) == ms("2028-02-29T12:34:56")
    assert add_months(ms("2028-02-29T00:00:00"), 12) == ms("2029-02-28T00:00:00")
    assert add_months(ms("2100-01-31T00:00:00"), 1) == ms("2100-02-28T00:00:00")
    assert add_months(ms("2000-01-31T00:00:00"), 1) == ms("2000-02-29T00:00:00")


@given(
    start=st.datetimes(datetime(1970, 1, 1), datetime(2400, 12, 31)),  # noqa: DTZ001 - the zone is added below
    months=st.integers(0, 1200),
)
def test_months_agree_with_the_standard_library(start: datetime, months: int) -> None:
    start = start.replace(tzinfo=UTC, microsecond=start.microsecond // 1000 * 1000)
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    following = datetime(year + (month == 11), (month + 1) % 12 + 1, 1, tzinfo=UTC)
    last = (following - timedelta(days=1)).day
    expected = start.replace(year=year, month=month + 1, day=min(start.day, last))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    millisecond = timedelta(milliseconds=1)

    assert add_months(Moment((start - epoch) // millisecond), months) == (expected - epoch) // millisecond


# ------------------------------------------------------------------------------------------------- periods


def test_a_subscription_of_31_january_renews_on_28_february_and_31_march_and_is_paid_once_each() -> None:
    chain = SpendingChain(money=10_000)
    at(chain, "2027-01-31T10:00:00")
    number = subscribed(chain, published(chain, refund=Refund.Nothing))
    for text, paid in (("2027-02-28T10:00:00", 100), ("2027-03-31T10:00:00", 200), ("2027-04-30T10:00:00", 300)):
        assert ends(chain, number) == text + "+00:00"
        at(chain, text)
        assert chain.free("payout") == ait(10_000 + paid)
        chain.run("eve", "Plans.renew", number)
        for who in ("eve", "alice"):
            with pytest.raises(Error.NotDue):
                chain.run(who, "Plans.renew", number)
        chain.check()


def test_a_renewal_buys_the_next_period_only_and_comes_neither_early_nor_twice_nor_for_the_past() -> None:
    chain = SpendingChain(money=10_000)
    plan = published(chain, period=Period(PeriodUnit.Day, 1), refund=Refund.Nothing)
    number = subscribed(chain, plan)
    chain.set_time(chain.now + DAY - 1)
    with pytest.raises(Error.NotDue):
        chain.run("alice", "Plans.renew", number)
    chain.set_time(chain.now + 1 + DAY // 2)

    chain.run("eve", "Plans.renew", number)

    found = chain.plans.subscriptions.get(number)
    assert (found.period, found.starts, found.ends) == (2, found.anchor + DAY, found.anchor + 2 * DAY)
    chain.set_time(chain.now + 2 * DAY)
    with pytest.raises(Error.Lapsed):  # the whole next period has passed: it is not owed
        chain.run("eve", "Plans.renew", number)
    assert chain.free("payout") == ait(10_200)
    for _ in range(20):  # slots of two days are passed over a few hours a block
        chain.wait(0)
    assert not chain.plans.subscriptions.contains(number)
    chain.check()


def test_two_renewals_and_a_sweep_that_race_make_one() -> None:
    chain = SpendingChain(money=10_000)
    number = subscribed(chain, published(chain))
    chain.set_time(chain.plans.subscriptions.get(number).ends)
    chain.run("eve", "Plans.renew", number)
    with pytest.raises(Error.NotDue):
        chain.run("bob", "Plans.renew", number)
    assert not names(chain.wait(2 * SLOT_MS))
    assert chain.plans.subscriptions.get(number).period == 2
    chain.check()


def test_the_sweep_renews_by_itself_a_few_a_block_and_late_ones_are_not_lost() -> None:
    chain = SpendingChain(money=100_000)
    plan = published(chain)
    numbers = [subscribed(chain, plan, who) for who in ("alice", "bob") for _ in range(SWEPT_A_BLOCK)]
    chain.wait(31 * DAY)
    assert [chain.plans.subscriptions.get(number).period for number in numbers].count(2) == SWEPT_A_BLOCK
    chain.wait(1)
    assert [chain.plans.subscriptions.get(number).period for number in numbers].count(2) == 2 * SWEPT_A_BLOCK
    chain.check()


# ------------------------------------------------------------------------------------------------- mandates


def test_a_dearer_version_renews_only_within_the_mandate() -> None:
    chain = SpendingChain(money=10_000)
    plan = published(chain)
    careful, easy = subscribed(chain, plan), subscribed(chain, plan, max_price=ait(200), max_amount=ait(200))
    published(chain, plan, price=ait(100) + 1)
    told = chain.wait(31 * DAY + SLOT_MS)

    assert [event.error for event in told if hasattr(event, "failures")] == [Error.OverMandate]
    assert chain.plans.subscriptions.get(careful).version == 1
    assert chain.plans.subscriptions.get(easy).version == 2
    with pytest.raises(Error.OverMandate):
        chain.run("eve", "Plans.renew", careful)
    for _ in range(FAILURES_MAX):
        chain.wait(DAY + SLOT_MS)
    assert not chain.plans.subscriptions.contains(careful)
    assert chain.plans.plans.get(plan).versions == 1  # nobody needs the first any more
    chain.check()


def test_a_fiat_plan_costs_what_the_oracle_says_up_to_the_most_in_the_token() -> None:
    chain = SpendingChain(money=10_000)
    plan = published(chain, currency=USD, price=10 * 10**12)
    chain.market.rates[USD] = 2 * AIT
    number = subscribed(chain, plan, max_price=10 * 10**12, max_amount=ait(25))
    assert chain.plans.subscriptions.get(number).price == ait(20)
    chain.market.rates[USD] = 3 * AIT
    chain.set_time(chain.plans.subscriptions.get(number).ends)
    with pytest.raises(Error.OverMandate):
        chain.run("eve", "Plans.renew", number)
    del chain.market.rates[USD]
    with pytest.raises(Error.NoRate):
        chain.run("eve", "Plans.renew", number)
    chain.market.rates[USD] = 5 * AIT // 2
    chain.run("eve", "Plans.renew", number)
    assert chain.plans.subscriptions.get(number).price == ait(25)
    chain.check()


def test_no_period_begins_at_or_after_the_end_of_the_mandate() -> None:
    chain = SpendingChain(money=10_000)
    plan = published(chain)
    number = subscribed(chain, plan, until=add_months(Moment(chain.now), 1))
    chain.set_time(chain.plans.subscriptions.get(number).ends)
    with pytest.raises(Error.MandateOver):
        chain.run("alice", "Plans.renew", number)
    chain.run("eve", "Plans.settle", number)
    assert not chain.plans.subscriptions.contains(number)
    for until in (chain.now, chain.now + MANDATE_MAX_MS + 1):
        with pytest.raises(Error.BadMandate):
            subscribed(chain, plan, until=until)
    with pytest.raises(Error.OverMandate):
        subscribed(chain, plan, max_price=ait(100) - 1)
    with pytest.raises(Error.OverMandate):
        subscribed(chain, plan, max_amount=ait(100) - 1)
    chain.check()


def test_only_the_payer_renews_where_the_mandate_does_not_let_others() -> None:
    chain = SpendingChain(money=10_000)
    number = subscribed(chain, published(chain), auto_renew=False)
    told = chain.wait(31 * DAY + SLOT_MS)
    assert not [event for event in told if hasattr(event, "failures")]
    with pytest.raises(Error.MandateOver):
        chain.run("eve", "Plans.renew", number)
    chain.run("alice", "Plans.renew", number)
    assert chain.plans.subscriptions.get(number).period == 2
    chain.wait(40 * DAY)
    chain.wait(SLOT_MS)
    assert not chain.plans.subscriptions.contains(number)
    chain.check()


def test_a_payer_without_money_is_asked_three_times_and_then_it_is_over() -> None:
    chain = SpendingChain()
    number = subscribed(chain, published(chain))
    chain.run("alice", "Balances.transfer_all", account("bob"), True)
    failed = [event for _ in range(6) for event in chain.wait(DAY * 8 if _ < 4 else DAY + SLOT_MS)
              if hasattr(event, "failures")]  # fmt: skip

    assert [event.failures for event in failed] == [1, 2, 3]
    assert all(event.error == FundsUnavailable for event in failed)
    assert not chain.plans.subscriptions.contains(number)
    assert chain.free("payout") == ait(1100)  # the period that was paid, and no other
    chain.check()


# ------------------------------------------------------------------------------------------------- money back


def test_pro_rata_the_provider_has_what_has_passed_and_the_payer_the_rest() -> None:
    chain = SpendingChain()
    plan = published(chain, period=Period(PeriodUnit.Day, 10))
    number = subscribed(chain, plan)
    assert chain.free("payout") == ait(1000)
    chain.wait(3 * DAY)
    chain.run("eve", "Plans.settle", number)
    assert chain.free("payout") == ait(1030)
    with pytest.raises(Error.NothingToSettle):
        chain.run("eve", "Plans.settle", number)
    with pytest.raises(Error.NotPayer):
        chain.run("eve", "Plans.cancel", number, True)
    chain.wait(DAY + HOUR)

    ended = chain.run("alice", "Plans.cancel", number, True)[-1]

    earned = ait(100) * (4 * DAY + HOUR) // (10 * DAY)
    assert ended.refund == ait(100) - earned
    assert (chain.free("alice"), chain.free("payout")) == (ait(1000) - earned, ait(1000) + earned)
    with pytest.raises(Error.NoSubscription):
        chain.run("alice", "Plans.cancel", number, True)
    chain.check()


def test_without_refund_the_price_is_the_providers_at_once() -> None:
    chain = SpendingChain()
    number = subscribed(chain, published(chain, refund=Refund.Nothing))
    assert chain.free("payout") == ait(1100)
    assert chain.run("alice", "Plans.cancel", number, True)[-1].refund == 0
    assert chain.free("alice") == ait(900)
    chain.check()


def test_cancelling_while_a_renewal_is_due_leaves_nothing_to_renew() -> None:
    chain = SpendingChain(money=10_000)
    at_end, at_once = subscribed(chain, published(chain)), subscribed(chain, published(chain))
    chain.wait(chain.plans.subscriptions.get(at_end).ends - chain.now - HOUR)
    chain.set_time(chain.now + HOUR)
    chain.run("alice", "Plans.cancel", at_end, False)
    chain.run("alice", "Plans.cancel", at_once, True)
    with pytest.raises(Error.MandateOver):
        chain.run("eve", "Plans.renew", at_end)
    with pytest.raises(Error.NoSubscription):
        chain.run("eve", "Plans.renew", at_once)
    told = chain.wait(SLOT_MS)
    assert names(told)[-1] == "Ended"
    assert chain.free("alice") == ait(9800)
    chain.check()


def test_a_provider_that_is_gone_cannot_keep_money_held() -> None:
    chain = SpendingChain()
    number = subscribed(chain, published(chain))
    chain.market.payouts.clear()
    chain.wait(31 * DAY + SLOT_MS)
    for _ in range(FAILURES_MAX):
        chain.wait(DAY + SLOT_MS)
    assert not chain.plans.subscriptions.contains(number)
    assert chain.free("alice") == ait(1000)
    chain.check()


# ------------------------------------------------------------------------------------------------- trials, passes


def test_a_trial_is_free_once_an_account_and_the_first_paid_period_begins_at_its_end() -> None:
    chain = SpendingChain()
    plan = published(chain, refund=Refund.Nothing)
    began = chain.now
    number = subscribed(chain, plan, trial=True)
    assert (chain.free("payout"), chain.plans.subscriptions.get(number).period) == (ait(1000), 0)
    with pytest.raises(Error.TrialUsed):
        subscribed(chain, plan, trial=True)
    chain.wait(7 * DAY + SLOT_MS)
    found = chain.plans.subscriptions.get(number)
    assert (found.period, found.starts, found.ends) == (1, began + 7 * DAY, add_months(Moment(began + 7 * DAY), 1))
    assert chain.free("payout") == ait(1100)
    chain.run("alice", "Plans.cancel", number, True)
    with pytest.raises(Error.TrialUsed):
        subscribed(chain, plan, trial=True)
    with pytest.raises(Error.PlanExists):
        chain.run("eve", "Plans.forget_trial", plan, account("alice"))
    with pytest.raises(Error.NoTrial):
        subscribed(chain, published(chain, trial_days=0), trial=True)
    chain.run("operator", "Plans.retire", plan)
    chain.check()
    chain.run("eve", "Plans.forget_trial", plan, account("alice"))
    assert chain.free("alice") == ait(900)
    chain.check()


def test_a_pass_says_what_its_holder_may_do_and_can_be_given_and_given_away() -> None:
    chain = SpendingChain()
    plan = published(chain)
    number = subscribed(chain, plan, to="bob")
    (found,) = chain.plans.passes_of(account("bob"), 7)
    assert (found.subscription, found.entitlements, found.included) == (number, PROFESSIONAL, INCLUDED)
    assert not chain.plans.passes_of(account("alice"), 7)
    assert not chain.plans.passes_of(account("bob"), 8)
    with pytest.raises(Error.NotHolder):
        chain.run("alice", "Plans.transfer", number, account("carol"))

    chain.run("bob", "Plans.transfer", number, account("carol"))

    assert [row.subscription for row in chain.plans.passes_of(account("carol"), 7)] == [number]
    fixed = subscribed(chain, published(chain, transferable=False))
    with pytest.raises(Error.NotHolder):
        chain.run("alice", "Plans.transfer", fixed, account("carol"))
    chain.set_time(chain.plans.subscriptions.get(number).ends)
    assert not chain.plans.passes_of(account("carol"), 7)
    chain.check()


def test_included_units_are_counted_up_within_the_period_and_never_beyond() -> None:
    chain = SpendingChain()
    number = subscribed(chain, published(chain))
    root = b"r" * 32
    with pytest.raises(Error.NotProvider):
        chain.run("alice", "Plans.redeem", number, 1, [(INPUT_TOKEN, 1)], root)
    chain.run("operator", "Plans.redeem", number, 1, [(INPUT_TOKEN, 400)], root)
    for used in (
        [(INPUT_TOKEN, 399)], [], [(INPUT_TOKEN, 1001)], [(INPUT_TOKEN, 400), (99, 1)],
        [(OUTPUT_TOKEN, 1), (INPUT_TOKEN, 400)], [(INPUT_TOKEN, 400), (OUTPUT_TOKEN, 0)],
    ):  # fmt: skip
        with pytest.raises(Error.BadUnits):
            chain.run("operator", "Plans.redeem", number, 1, used, root)
    chain.run("operator", "Plans.redeem", number, 1, [(INPUT_TOKEN, 1000), (OUTPUT_TOKEN, 500)], root)
    chain.set_time(chain.plans.subscriptions.get(number).ends)
    chain.run("eve", "Plans.renew", number)
    assert chain.plans.subscriptions.get(number).used == []
    with pytest.raises(Error.OtherPeriod):
        chain.run("operator", "Plans.redeem", number, 1, [(INPUT_TOKEN, 1)], root)


# ------------------------------------------------------------------------------------------------- plans


def test_who_does_not_run_the_provider_publishes_and_retires_nothing() -> None:
    chain = SpendingChain()
    plan = published(chain)
    with pytest.raises(Error.NotProvider):
        chain.run("eve", "Plans.publish", 7, None, MONTH, terms())
    with pytest.raises(Error.NotProvider):
        chain.run("eve", "Plans.retire", plan)
    chain.market.payouts[8] = account("dave")
    with pytest.raises(Error.NotProvider):
        chain.run("owner", "Plans.publish", 8, plan, MONTH, terms())


def test_terms_that_make_no_sense_are_refused() -> None:
    chain = SpendingChain()
    plan = published(chain)
    for period in (Period(PeriodUnit.Month, 0), Period(PeriodUnit.Month, 13), Period(PeriodUnit.Day, 367)):
        with pytest.raises(Error.BadPeriod):
            published(chain, period=period)
    with pytest.raises(Error.BadPeriod):
        published(chain, plan, period=Period(PeriodUnit.Week, 1))
    for changes in (
        {"included": [(60_000, 1)]}, {"included": [(INPUT_TOKEN, 0)]}, {"trial_days": TRIAL_DAYS_MAX + 1},
        {"included": [(INPUT_TOKEN, 1), (INPUT_TOKEN, 2)]},
    ):  # fmt: skip
        with pytest.raises(Error.BadTerms):
            published(chain, **changes)


def test_versions_are_kept_as_long_as_somebody_has_them_and_no_more_than_eight() -> None:
    chain = SpendingChain(money=100_000)
    plan = published(chain)
    for count in range(1, VERSIONS_MAX):
        subscribed(chain, plan)
        published(chain, plan)
        assert chain.plans.plans.get(plan).versions == count + 1
    published(chain, plan)  # replaces one nobody has
    subscribed(chain, plan)
    with pytest.raises(Error.TooManyVersions):
        published(chain, plan)
    with pytest.raises(Error.OtherVersion):
        chain.run("alice", "Plans.subscribe", plan, 1, mandate(chain), None, False)
    chain.check()


def test_a_retired_plan_runs_out_and_leaves_nothing() -> None:
    chain = SpendingChain()
    plan = published(chain)
    number = subscribed(chain, plan)
    published(chain, plan, price=ait(90))
    chain.run("owner", "Plans.retire", plan)
    with pytest.raises(Error.NoPlan):
        subscribed(chain, plan)
    chain.check()
    chain.wait(31 * DAY + SLOT_MS)
    assert not chain.plans.subscriptions.contains(number)
    assert not chain.plans.plans.contains(plan)
    assert not rows(chain.plans.versions)
    assert chain.free("owner") == ait(1000)
    assert chain.free("payout") == ait(1100)
    chain.check()


# ------------------------------------------------------------------------------------------------- spend keys


def test_a_spend_key_subscribes_and_renews_within_its_grant_but_lets_nobody_else_renew() -> None:
    chain = SpendingChain(money=10_000)
    plan = published(chain)
    limits = Limits(ait(110), ait(110), ait(230), 28 * DAY)
    scope = Scope([Purpose.Plans], [ToProvider(7)])
    grant = chain.run("alice", "Allowances.grant", account("bob"), limits, scope, chain.now + 400 * DAY, None)[-1].grant

    def spend(call: Any) -> list[Any]:
        return chain.run("bob", "Allowances.spend", account("alice"), grant, call)

    with pytest.raises(Allowances.Error.OutOfScope):  # later renewals would not count
        spend(chain.call("Plans.subscribe", plan, 1, mandate(chain), None, False))
    told = spend(chain.call("Plans.subscribe", plan, 1, mandate(chain, auto_renew=False), None, False))
    number = next(event.subscription for event in told if type(event).__name__ == "Subscribed")
    chain.wait(32 * DAY)
    with pytest.raises(Error.MandateOver):
        chain.run("eve", "Plans.renew", number)
    spend(chain.call("Plans.renew", number))
    chain.wait(28 * DAY)
    with pytest.raises(Allowances.Error.OverTotal):
        spend(chain.call("Plans.renew", number))
    spend(chain.call("Plans.cancel", number, True))
    chain.market.payouts[8] = account("dave")
    other = chain.run("owner", "Plans.publish", 8, None, MONTH, terms())[-1].plan
    with pytest.raises(Allowances.Error.OutOfScope):
        spend(chain.call("Plans.subscribe", other, 1, mandate(chain, auto_renew=False), None, False))
    chain.check()
