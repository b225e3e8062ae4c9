"""Places are bounded, better tiers come first, and a payer's flood does not starve another."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from aitoken.pay.rules import CLOCK_SLACK_MS
from aitoken.types import Balance
from gateway.claimer import ClaimPolicy
from gateway.places import Places
from gateway.refusals import TooBusy
from gateway.server import Limits
from tests.support.gateways import Gate, chat_answer, shop, usage

ASK = {"model": "script", "messages": [{"role": "user", "content": "x"}]}


async def test_who_waits_is_served_by_tier_and_then_by_how_much_its_payer_has() -> None:
    places, order = Places(2, 10), []
    free = asyncio.Event()

    async def hold(payer: bytes) -> None:
        await places.enter(payer, 0)
        await free.wait()
        places.leave(payer)

    async def wait(payer: bytes, tier: int, name: str) -> None:
        await places.enter(payer, tier)
        order.append(name)
        places.leave(payer)

    holders = [asyncio.ensure_future(hold(b"a")) for _ in range(2)]
    await asyncio.sleep(0)
    waiters = []
    for payer, tier, name in ((b"a", 0, "a1"), (b"a", 0, "a2"), (b"b", 0, "b"), (b"a", 2, "fast")):
        waiters.append(asyncio.ensure_future(wait(payer, tier, name)))
        await asyncio.sleep(0)
    assert (places.taken, places.waiting) == (2, 4)
    free.set()
    await asyncio.gather(*holders, *waiters)
    assert order == ["fast", "b", "a1", "a2"]
    assert (places.taken, places.waiting) == (0, 0)


async def test_a_full_queue_refuses_and_who_gives_up_leaves_no_gap() -> None:
    places, free = Places(1, 1), asyncio.Event()

    async def hold() -> None:
        await places.enter(b"a", 0)
        await free.wait()
        places.leave(b"a")

    first, second = asyncio.ensure_future(hold()), asyncio.ensure_future(hold())
    await asyncio.sleep(0)
    with pytest.raises(TooBusy):
        await hold()
    second.cancel()
    await asyncio.wait([second])
    assert places.waiting == 0
    third = asyncio.ensure_future(hold())
    await asyncio.sleep(0)
    free.set()
    await asyncio.gather(first, third)
    assert places.taken == 0


async def test_too_many_requests_are_429_and_free(tmp_path: Path) -> None:
    async with shop(tmp_path, limits=Limits(places=1, queue=0)) as here:
        gate = Gate()
        here.script.play(gate, chat_answer("one", usage(1, 1)))
        first = asyncio.ensure_future(here.buyer().ask(ASK))
        await gate.reached.wait()
        refused = await here.buyer().ask(ASK)
        assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
        assert refused.receipt is None
        gate.open()
        assert (await first).status == 200


# ------------------------------------------------------------------------------------------------- claims


async def test_claims_wait_for_enough_or_for_age_and_tails_for_the_end_of_their_ceiling(tmp_path: Path) -> None:
    policy = ClaimPolicy(threshold=Balance(10_000), age_ms=60_000, tail_least=Balance(1), every_s=3600)
    async with shop(tmp_path, claims=policy) as here:
        here.script.play(chat_answer("one", usage(1, 1)))
        buyer = here.buyer()
        claimer, clock = here.gateway.claimer, here.clock
        for _ in range(3):
            await buyer.ask(ASK)
        assert await claimer.claim_due() == 0  # 9,000 are not enough
        await buyer.ask(ASK)
        assert await claimer.claim_due() == 1
        assert here.chain.paid(buyer.id) == 9_000  # what is countersigned; the tail waits
        assert await claimer.claim_due() == 0
        clock.moment += 600_000 - 60_000  # type: ignore[assignment]
        assert await claimer.claim_due() == 1
        lane = here.chain.lanes[buyer.id, 0]
        assert (lane.paid, lane.tail and lane.tail.total) == (9_000, 12_000)
        clock.moment += 60_000 + CLOCK_SLACK_MS  # type: ignore[assignment]
        await buyer.acknowledge()
        assert await claimer.claim_due() == 0
        clock.moment += 60_001  # type: ignore[assignment]
        assert await claimer.claim_due(everything=True) == 0
        assert here.chain.paid(buyer.id) <= 12_000


async def test_a_refused_claim_is_not_sent_again_and_again(tmp_path: Path) -> None:
    policy = ClaimPolicy(threshold=Balance(1), every_s=3600)
    async with shop(tmp_path, claims=policy) as here:
        here.script.play(chat_answer("one", usage(1, 1)))
        buyer = here.buyer()
        await buyer.ask(ASK)
        await buyer.acknowledge()
        here.chain.facts[buyer.id] = replace(here.chain.facts[buyer.id], deposit=Balance(1))
        assert await here.gateway.claimer.claim_due() == 0
        metrics = (await here.get("/metrics")).body.decode()
        assert 'aitoken_gateway_claims_total{outcome="refused"} 1.0' in metrics
        await here.gateway.claimer.claim_due()
        assert (await here.get("/metrics")).body.decode().count('outcome="refused"} 1.0') == 1
