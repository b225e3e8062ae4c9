"""Random histories of subscriptions: whatever people do and in which order, what the events tell obeys a few laws."""

from __future__ import annotations

import os
from collections import defaultdict
from random import Random
from typing import Any

import pytest

from aitoken.types import AIT
from chain.frame.errors import DispatchError
from chain.pallets.ai.plans import RETRY_MS
from chain.pallets.ai.plans_types import Entitlements, Mandate, Period, PeriodUnit, PlanTerms, Refund
from tests.support.spending_chain import DAY, HOUR, STEP, SpendingChain, account, ait

HISTORIES = int(os.environ.get("AITOKEN_PAY_HISTORIES", "60"))
STEPS = 50
PAYERS = ("alice", "bob", "carol")


class PlanHistory:
    """One random history; the books are kept from the events alone."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.chain = SpendingChain(money=self.random.choice((30, 3000)))
        self.chain.market.rates[840] = AIT
        self.start = {who: self.total(who) for who in (*PAYERS, "payout")}
        self.plans: list[int] = []
        self.mandates: dict[int, tuple[str, Mandate]] = {}
        self.charged: dict[tuple[int, int], int] = {}
        """(subscription, period) -> what it cost."""
        self.ends: dict[int, int] = {}
        self.settled: defaultdict[int, int] = defaultdict(int)
        self.refunded: defaultdict[str, int] = defaultdict(int)

    def total(self, who: str) -> int:
        row = self.chain.system.account.get(account(who))
        return int(row.free + row.reserved)

    def attempt(self, who: str, name: str, *args: Any) -> None:
        try:
            told = self.chain.run(who, name, *args)
        except DispatchError:
            return
        self.read(told, who)

    def read(self, told: list[Any], who: str = "") -> None:
        now = self.chain.now
        for event in told:
            name = type(event).__name__
            if name == "Subscribed":
                period = self.chain.plans.subscriptions.get(event.subscription).period
                assert not (period == 0 and event.amount), "a trial is free"
                self.charge(event.subscription, period, event.amount)
                self.ends[event.subscription] = event.ends
            elif name == "Renewed":
                starts = self.ends[event.subscription]
                assert starts <= now < min(starts + RETRY_MS, event.ends), "only the period after the last, and in time"
                payer, mandate = self.mandates[event.subscription]
                assert event.amount <= mandate.max_amount
                assert starts < mandate.until
                assert who in ("", payer) or mandate.auto_renew
                self.charge(event.subscription, event.period, event.amount)
                self.ends[event.subscription] = event.ends
            elif name == "Settled":
                self.settled[event.subscription] += event.amount
            elif name == "Ended":
                self.refunded[self.mandates[event.subscription][0]] += event.refund

    def charge(self, number: int, period: int, amount: int) -> None:
        assert (number, period) not in self.charged, "one payment a period"
        self.charged[number, period] = amount

    def step(self) -> None:
        random, chain = self.random, self.chain
        numbers = list(self.mandates)
        action = random.randrange(12)
        who = random.choice((*PAYERS, "eve"))
        if action == 0 or not self.plans:
            self.publish()
        elif action in (1, 2):
            self.subscribe(random.choice(PAYERS))
        elif action == 3 and numbers:
            self.attempt(who, "Plans.cancel", random.choice(numbers), random.random() < 0.5)
        elif action == 4 and numbers:
            self.attempt(who, "Plans.settle", random.choice(numbers))
        elif action in (5, 9, 10, 11) and numbers:
            number = random.choice(numbers)
            self.attempt(random.choice((who, self.mandates[number][0])), "Plans.renew", number)
        elif action == 6 and random.random() < 0.2:
            self.attempt("owner", "Plans.retire", random.choice(self.plans))
        elif action == 7:
            chain.set_time(chain.now + random.choice((1, HOUR, DAY, 5 * DAY, 25 * DAY)))
        else:
            for _ in range(random.choice((1, 12, 84, 250))):
                self.read(chain.wait(STEP))
        chain.check()
        self.check_books()

    def publish(self) -> None:
        random = self.random
        terms = PlanTerms(
            random.choice((0, 840)), random.choice((0, 7, AIT, ait(20))), Entitlements([], 0, 0, 0, 0), [],
            random.choice((0, 3)), random.choice(list(Refund)), True,
        )  # fmt: skip
        plan = random.choice((None, None, *self.plans))
        period = Period(random.choice(list(PeriodUnit)), random.choice((1, 2)))
        if plan is not None and self.chain.plans.plans.contains(plan):
            period = self.chain.plans.plans.get(plan).period
        try:
            self.plans.append(self.chain.run("owner", "Plans.publish", 7, plan, period, terms)[-1].plan)
        except DispatchError:
            return

    def subscribe(self, who: str) -> None:
        random, chain = self.random, self.chain
        plan = random.choice(self.plans)
        found = chain.plans.plans.get(plan)
        mandate = Mandate(
            random.choice((AIT, ait(50))), random.choice((AIT, ait(50))),
            chain.now + random.choice((DAY, 20 * DAY, 300 * DAY)), random.random() < 0.7,
        )  # fmt: skip
        number = chain.plans.next_id.get()
        self.mandates[number] = (who, mandate)
        args = (plan, found.version if found else 1, mandate, None, random.random() < 0.3)
        self.attempt(who, "Plans.subscribe", *args)
        if not chain.plans.subscriptions.contains(number):
            del self.mandates[number]

    def check_books(self) -> None:
        """What payers lost is what periods cost less what came back or is still held; the provider has the rest."""
        held = dict.fromkeys(PAYERS, 0)
        for number, row in self.chain.plans.subscriptions.items():
            payer = self.mandates[number][0]
            held[payer] += row.price - row.paid
        cost = dict.fromkeys(PAYERS, 0)
        for (number, _), amount in self.charged.items():
            cost[self.mandates[number][0]] += amount
        for who in PAYERS:
            assert self.start[who] - self.total(who) == cost[who] - self.refunded[who] - held[who]
        gained = self.total("payout") - self.start["payout"]
        assert gained == sum(cost.values()) - sum(self.refunded.values()) - sum(held.values())


@pytest.mark.parametrize("part", range(4))
def test_every_period_is_paid_once_in_time_and_within_the_mandate(part: int) -> None:
    charged = 0
    for seed in range(part, HISTORIES, 4):
        history = PlanHistory(seed)
        for _ in range(STEPS):
            history.step()
        charged += sum(period > 1 for _, period in history.charged)
    assert charged
