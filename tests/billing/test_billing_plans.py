"""The billing kit on renewals, B26 to B28: the Plans pallet decides who has paid, a gateway on a port serves by it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aitoken.crypto.hashing import blake2_256
from aitoken.pay.units import INPUT_TOKEN, OUTPUT_TOKEN
from aitoken.types import Balance, Moment
from chain.frame.errors import DispatchError
from chain.pallets.ai.agenda import SLOT_MS
from chain.pallets.ai.plans import Plans
from chain.pallets.ai.plans_types import Entitlements, Pass
from gateway.node_chain import pass_of
from tests.support.gateways import Buyer, Reply, Shop, chat_answer, shop, usage
from tests.support.plans import published, subscribed
from tests.support.spending_chain import DAY, SpendingChain, account, ait

Error = Plans.Error
IN_PRICE, OUT_PRICE = 10**6, 6 * 10**6
"""Base units of a token in the priority tier of book 4, at one dollar a token."""

QUESTION = {"model": "script", "messages": [{"role": "user", "content": "how ?"}], "service_tier": "priority"}
ENTITLED = Entitlements([blake2_256(b"script")], 2, 0, 0, 1)
INCLUDED = [(INPUT_TOKEN, 100), (OUTPUT_TOKEN, 10)]
MINUTE = 60_000
BEGIN, FEBRUARY, MARCH = "2027-01-31T10:00:00", "2027-02-28T10:00:00", "2027-03-31T10:00:00"


def ms(text: str) -> Moment:
    return Moment(int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000)


def told(row: Pass) -> dict[str, Any]:
    """A pass as a client is told of it."""
    granted = {name: getattr(row.entitlements, name) for name in ("models", "tier", "queue")}
    fields = {name: getattr(row, name) for name in ("subscription", "period", "ends", "included", "used")}
    return {**fields, "entitlements": granted}


class Market:
    """A chain with plans, and the gateway of provider 7 that sees it."""

    def __init__(self, here: Shop) -> None:
        self.here = here
        self.chain = SpendingChain(money=10_000)
        self.buyer: Buyer = here.buyer(book=4)
        here.script.play(chat_answer("one two", usage(2, 4)))

    def at(self, when: Moment) -> None:
        self.chain.set_time(when)
        self.here.clock.moment = when

    def sweep(self, ms: int) -> list[Any]:
        """Let time pass with blocks, and as many more as the chain needs to look at what is due."""
        events = self.chain.wait(ms)
        while self.chain.plans.agenda_front.get()[0] <= self.chain.now // SLOT_MS:
            events += self.chain.wait(0)
        return events

    def subscribe(self) -> int:
        return subscribed(self.chain, published(self.chain, entitlements=ENTITLED, included=INCLUDED))

    def ends(self, number: int) -> Moment:
        return Moment(self.chain.plans.subscriptions.get(number).ends)

    def lose(self, who: str, error: type[DispatchError], name: str, *args: Any) -> None:
        with pytest.raises(error):
            self.chain.run(who, name, *args)

    async def ask(self) -> Reply:
        """Ask with what the chain now says of Alice's passes."""
        passes = tuple(pass_of(told(one)) for one in self.chain.plans.passes_of(account("alice"), 7))
        self.here.chain.change(self.buyer.id, passes=passes)
        known = await self.here.gateway.sessions.find(self.buyer.id)
        assert known is not None
        async with asyncio.timeout(30):
            while known.facts.passes != passes:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        return await self.buyer.ask(QUESTION)

    async def charges(self, count: int) -> list[int]:
        replies = [await self.ask() for _ in range(count)]
        assert {reply.status for reply in replies} == {200}
        return [reply.receipt.charge for reply in replies if reply.receipt is not None]

    async def is_refused(self) -> bool:
        reply = await self.ask()
        return (reply.status, reply.receipt, reply.json.get("code")) == (402, None, "gateway.not_entitled")


@asynccontextmanager
async def market(folder: Path) -> AsyncIterator[Market]:
    async with shop(folder) as here:
        found = Market(here)
        found.at(ms(BEGIN))
        yield found


async def test_b26_a_plan_of_31_january_renews_on_28_february_and_31_march_and_is_paid_once_each(
    tmp_path: Path,
) -> None:
    async with market(tmp_path) as here:
        number = here.subscribe()
        for begun, until in ((BEGIN, FEBRUARY), (FEBRUARY, MARCH), (MARCH, "2027-04-30T10:00:00")):
            assert here.ends(number) == ms(until)
            # 10 output tokens are included in each period: 4, 4 and 2 of three answers.
            assert await here.charges(3) == [0, 0, 2 * OUT_PRICE], begun
            here.chain.set_time(ms(until) - 1)
            here.lose("eve", Error.NotDue, "Plans.renew", number)
            here.at(Moment(ms(until) - MINUTE))
            assert await here.charges(1) == [4 * OUT_PRICE]
            here.at(ms(until))
            assert await here.is_refused()
            here.chain.run("eve", "Plans.renew", number)
        assert here.chain.free("payout") == ait(10_000 + 3 * 100)
        assert here.chain.free("alice") < ait(10_000 - 4 * 100)
        here.chain.check()


async def test_b27_two_renewals_and_the_sweep_race_and_one_period_is_bought_and_its_units_are_there_once(
    tmp_path: Path,
) -> None:
    async with market(tmp_path) as here:
        number = here.subscribe()
        assert await here.charges(3) == [0, 0, 2 * OUT_PRICE]
        here.at(here.ends(number))
        racers, rng = ["eve", "bob", "alice"], random.Random(27)
        rng.shuffle(racers)
        before = here.chain.free("alice")
        here.chain.run(racers[0], "Plans.renew", number)
        for loser in racers[1:]:
            here.lose(loser, Error.NotDue, "Plans.renew", number)
        events = here.sweep(2 * SLOT_MS)
        assert not [event for event in events if type(event).__name__ == "Renewed"]
        here.at(Moment(here.chain.now))
        assert here.chain.plans.subscriptions.get(number).period == 2
        assert before - here.chain.free("alice") == ait(100)
        assert await here.charges(4) == [0, 0, 2 * OUT_PRICE, 4 * OUT_PRICE]
        here.chain.check()


async def test_b27_the_sweep_wins_the_race_and_who_comes_late_pays_and_is_paid_nothing(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        number = here.subscribe()
        before = here.chain.free("alice")
        events = here.sweep(here.ends(number) - here.chain.now + SLOT_MS)
        assert [type(event).__name__ for event in events].count("Renewed") == 1
        for loser in ("eve", "alice"):
            here.lose(loser, Error.NotDue, "Plans.renew", number)
        assert before - here.chain.free("alice") == ait(100)
        here.at(Moment(here.chain.now))
        assert await here.charges(3) == [0, 0, 2 * OUT_PRICE]
        here.chain.check()


@pytest.mark.parametrize("first", ["cancel", "renew"])
async def test_b28_a_cancellation_and_a_renewal_at_the_same_moment(tmp_path: Path, first: str) -> None:
    async with market(tmp_path) as here:
        number = here.subscribe()
        here.at(here.ends(number))
        before = here.chain.free("alice")
        if first == "cancel":
            here.chain.run("alice", "Plans.cancel", number, False)
            here.lose("eve", Error.MandateOver, "Plans.renew", number)
            assert here.chain.free("alice") == before  # nothing was bought
            assert await here.is_refused()
        else:
            here.chain.run("eve", "Plans.renew", number)
            here.chain.run("alice", "Plans.cancel", number, False)
            assert before - here.chain.free("alice") == ait(100)
            # What was paid is served to its end, and no further.
            assert await here.charges(3) == [0, 0, 2 * OUT_PRICE]
            here.at(Moment(here.ends(number) - MINUTE))
            assert await here.charges(1) == [4 * OUT_PRICE]
            here.at(here.ends(number))
            here.lose("eve", Error.MandateOver, "Plans.renew", number)
            assert await here.is_refused()
        events = here.sweep(4 * DAY)
        assert not [event for event in events if type(event).__name__ == "Renewed"]
        assert not here.chain.plans.subscriptions.contains(number)
        here.chain.check()


async def test_b28_who_cancels_at_once_after_a_renewal_has_the_rest_back_and_nothing_more_is_served(
    tmp_path: Path,
) -> None:
    async with market(tmp_path) as here:
        number = here.subscribe()
        here.at(here.ends(number))
        before = here.chain.free("alice")
        here.chain.run("eve", "Plans.renew", number)
        assert await here.charges(1) == [0]
        begun, until = here.chain.now, here.ends(number)
        here.at(Moment(begun + (until - begun) // 4))
        here.chain.run("alice", "Plans.cancel", number, True)
        earned = ait(100) * (here.chain.now - begun) // (until - begun)
        returned = here.chain.free("alice") - (before - ait(100))
        assert Balance(ait(100) - earned) <= returned  # and the deposit of the subscription
        assert here.chain.free("payout") == ait(10_000 + 100) + earned
        assert await here.is_refused()
        here.lose("eve", Error.NoSubscription, "Plans.renew", number)
        here.chain.check()
