"""A provider that gives up: its sessions end at once, so what they owe is claimed first."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.ports import ChainDown
from tests.support.gateways import Gate, chat_answer, shop, usage

ASK: dict[str, Any] = {"model": "script", "messages": [{"role": "user", "content": "how ?"}]}


async def test_a_provider_that_winds_up_ends_no_session_before_its_claims_are_taken(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        here.script.play(chat_answer("one", usage(2, 1)))
        seen, busy, gate = here.buyer(), here.buyer(), Gate()
        for _ in range(2):  # the last receipt of a lane is not countersigned: a tail
            assert (await seen.ask(ASK)).status == 200
        here.script.scripts = [[gate, chat_answer("one", usage(2, 1))]]
        running = asyncio.ensure_future(busy.ask(ASK))
        await gate.reached.wait()
        here.chain.down = True
        with pytest.raises(ChainDown):
            await here.gateway.claimer.wind_up()
        assert here.chain.over == set()
        here.chain.down = False
        assert await here.gateway.claimer.wind_up() == 1
        assert here.chain.over == {seen.id}
        assert (await seen.ask(ASK)).status == 402
        gate.open()
        assert (await running).status == 200
        assert await here.gateway.claimer.wind_up() == 0
        # Receipts of both were claimed first: nothing is the payers' that both signed.
        for buyer in (seen, busy):
            committed = sum(lane.committed for (owner, _), lane in here.chain.lanes.items() if owner == buyer.id)
            assert committed == buyer.session.spent > 0


async def test_what_was_ended_before_its_last_claim_does_not_keep_a_provider_from_giving_up(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        here.script.play(chat_answer("one", usage(2, 1)))
        buyer = here.buyer()
        assert (await buyer.ask(ASK)).status == 200
        here.chain.over.add(buyer.id)  # by the owner's hand, and the gateway has not heard of it
        assert await here.gateway.claimer.wind_up() == 0
        assert here.chain.paid(buyer.id) == 0
