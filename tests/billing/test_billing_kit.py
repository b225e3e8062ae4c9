"""The billing kit: forty situations in which AI is wrongly billed elsewhere, against a gateway on a real port.

Names are B1 to B40; `make billing` runs them in full numbers.
Unless said otherwise an input token costs 1,000 base units and an output token 2,000; words of up to four letters are
one token of `pieces@1`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from aitoken.pay.headers import decode_signed
from aitoken.pay.layouts import Status
from aitoken.pay.seller import Signed
from aitoken.types import Moment
from gateway.ports import Answer, PassFacts, RateLock, UpstreamFailed
from tests.support.gateways import (
    DONE,
    Buyer,
    Gate,
    Reply,
    Shop,
    chat_answer,
    chunk,
    crashed,
    json_answer,
    shop,
    usage,
    usage_chunk,
)

IN, OUT = 1000, 2000
FULL = os.environ.get("AITOKEN_BILLING") == "full"
INPUT = 2
"""Tokens of the question below."""


def ask(model: str = "script", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "how ?"}], **more}


def flow(model: str = "script", **more: Any) -> dict[str, Any]:
    return ask(model, stream=True, **more)


def words(count: int) -> list[Any]:
    """So many chunks of one token each."""
    return [chunk(f" w{number % 100}") for number in range(count)]


def end(reply: Reply) -> tuple[int, int]:
    """Status and charge of a reply's receipt."""
    assert reply.receipt is not None, (reply.status, reply.body)
    return reply.receipt.status, reply.receipt.charge


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells of."""
    async with asyncio.timeout(110):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def leave_after(here: Shop, buyer: Buyer, body: dict[str, Any], chunks: int, gate: Gate) -> None:
    """Ask, read so many chunks, and hang up while the upstream is at the gate."""
    promise = buyer.promise(10**9)
    raw = msgspec.json.encode(body)
    headers = {"Content-Type": "application/json", **buyer.headers(promise)}
    async with aiohttp.ClientSession() as own:
        response = await own.post(here.url + "/v1/chat/completions", data=raw, headers=headers)
        seen = b""
        while seen.count(b"\n\n") < chunks:
            seen += await response.content.readany()
        await gate.reached.wait()
        response.close()
    buyer.session.give_up(promise)


async def last_receipt(here: Shop, buyer: Buyer, seq: int = 1, lane: int = 0) -> tuple[int, int, tuple[Any, ...]]:
    """Wait for a receipt that nobody read, and take it: status, charge, usage."""
    await until(lambda: lane in buyer.seller.lanes and buyer.seller.lanes[lane].seq >= seq)
    receipt = buyer.session.accept(buyer.seller.lanes[lane].last_receipt)
    return receipt.status, receipt.charge, receipt.usage


async def test_b1_an_error_before_the_first_token_costs_nothing(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer = here.buyer()
        for step in (UpstreamFailed("no"), json_answer({"error": {}}, 500)):
            here.script.scripts = [[step]]
            reply = await buyer.ask(flow())
            assert (reply.status, end(reply)) == (502, (Status.PROVIDER_ERROR, 0))
        here.script.scripts = [[]]
        assert end(await buyer.ask(flow())) == (Status.PROVIDER_ERROR, 0)
        assert buyer.seller.reserved == 0


async def test_b2_an_error_after_some_tokens_costs_nothing_or_what_was_delivered_if_the_book_says_so(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path) as here:
        here.script.play(*words(5), UpstreamFailed("died"))
        reply = await here.buyer(book=3).ask(flow())
        assert (reply.status, end(reply)) == (200, (Status.PROVIDER_ERROR, 0))
        paying = await here.buyer(book=4).ask(flow())
        assert end(paying) == (Status.PROVIDER_ERROR, INPUT * 10**6 + 5 * 2 * 10**6)
        here.script.scripts = [words(3)]  # ends without a finish reason
        assert end(await here.buyer(book=3).ask(flow())) == (Status.PROVIDER_ERROR, 0)


async def test_b3_who_leaves_before_the_first_token_pays_the_input(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        for body in (flow(), ask()):
            buyer, gate = here.buyer(), Gate()
            here.script.scripts = [[gate]]
            here.script.ended.clear()
            await leave_before(here, buyer, body, gate)
            assert await last_receipt(here, buyer) == (Status.CLIENT_ABORT, INPUT * IN, ((1, INPUT),))
            await asyncio.wait_for(here.script.ended.wait(), 10)
        assert here.script.hung_up == 2


async def leave_before(here: Shop, buyer: Buyer, body: dict[str, Any], gate: Gate) -> None:
    """Ask, and hang up before anything came."""
    promise = buyer.promise(10**9)
    task = asyncio.ensure_future(here.post("/v1/chat/completions", body, buyer.headers(promise)))
    await gate.reached.wait()
    task.cancel()
    await asyncio.wait([task])
    buyer.session.give_up(promise)


async def test_b4_who_leaves_after_k_tokens_pays_exactly_k_and_the_upstream_is_hung_up(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        for k in (1, 4, 9):
            buyer, gate = here.buyer(), Gate()
            here.script.scripts = [[*words(k), gate, *words(50)]]
            here.script.ended.clear()
            await leave_after(here, buyer, flow(), k, gate)
            charge = INPUT * IN + k * OUT
            assert await last_receipt(here, buyer) == (Status.CLIENT_ABORT, charge, ((1, INPUT), (2, k)))
            await asyncio.wait_for(here.script.ended.wait(), 10)
        assert here.script.hung_up == 3


async def test_b5_leaving_again_and_again_is_no_free_service(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer = here.buyer()
        times = 1000 if FULL else 100
        for number in range(times):
            gate = Gate()
            here.script.scripts = [[*words(2), gate]]
            await leave_after(here, buyer, flow(), 2, gate)
            await last_receipt(here, buyer, seq=number + 1)
        assert buyer.session.spent == times * (INPUT * IN + 2 * OUT)


async def test_b6_without_a_usage_chunk_the_delivered_text_is_counted(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        here.script.play(*words(7), chunk(None, finish="stop"), DONE)
        assert end(await here.buyer().ask(flow())) == (Status.OK, INPUT * IN + 7 * OUT)
        here.script.scripts = [[chat_answer("one two three")]]
        assert end(await here.buyer().ask(ask())) == (Status.OK, INPUT * IN + 4 * OUT)


async def test_b7_a_usage_told_twice_counts_once(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        here.script.play(*words(3), chunk(None, finish="stop"), usage_chunk(2, 3), usage_chunk(2, 3), DONE)
        assert end(await here.buyer().ask(flow())) == (Status.OK, 2 * IN + 3 * OUT)


async def test_b8_a_usage_beyond_the_delivered_text_is_cut(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        here.script.play(*words(3), chunk(None, finish="stop"), usage_chunk(2, 90), DONE)
        strict = await here.buyer().ask(flow("strict"))
        assert end(strict) == (Status.OK, 2 * IN + 3 * OUT)
        # Without a tokenizer that must agree: never more than bytes and a small frame can hold.
        loose = await here.buyer().ask(flow("script"))
        assert end(loose) == (Status.OK, 2 * IN + (len(" w0 w1 w2") + 16) * OUT)


async def test_b9_an_overloaded_model_gives_way_to_one_the_client_allows(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        here.script.play(json_answer({"error": {}}, 429))
        here.second.play(chat_answer("fine", usage(2, 1)))
        alone = await here.buyer().ask(ask())
        assert (alone.status, end(alone)) == (429, (Status.PROVIDER_ERROR, 0))
        reply = await here.buyer().ask(ask(models=["second"]))
        assert (reply.text, end(reply)) == ("fine", (Status.OK, 2 * IN + OUT))
        here.second.scripts = [[*words(2), chunk(None, finish="stop"), DONE]]
        flowing = await here.buyer().ask(flow(models=["second"]))
        assert (flowing.text, end(flowing)) == (" w0 w1", (Status.OK, 2 * IN + 2 * OUT))


async def test_b10_only_the_leg_that_answers_is_paid_at_its_price(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        here.script.play(UpstreamFailed("no"))
        here.second.play(chat_answer("fine", usage(2, 1)))
        reply = await here.buyer().ask(ask(models=["second"]))
        assert reply.receipt is not None
        assert (reply.receipt.service, reply.receipt.charge) == (45, 2 * IN + OUT)
        assert reply.receipt.extension.startswith(bytes((7, 1, 1)))
        assert here.script.bodies[0]["model"] == "script"
        assert here.second.bodies[0]["model"] == "second"


async def test_b11_a_repetition_while_the_first_runs_waits_and_is_charged_once(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer, gate = here.buyer(), Gate()
        here.script.play(gate, chat_answer("once", usage(2, 1)))
        first_promise, second_promise = buyer.promise(10**8), buyer.promise(10**8)
        first = asyncio.ensure_future(buyer.ask(ask(), promise=first_promise, Idempotency_Key="k1"))
        await gate.reached.wait()
        second = asyncio.ensure_future(buyer.ask(ask(), promise=second_promise, Idempotency_Key="k1"))
        await asyncio.sleep(0.05)
        gate.open()
        one, two = await first, await second
        assert one.body == two.body
        assert two.headers["AI-Repeated"] == "1"
        assert len(here.script.bodies) == 1
        assert buyer.seller.reserved == 2 * IN + OUT


async def test_b12_a_repetition_after_a_lost_answer_gets_it_and_the_same_receipt(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer = here.buyer()
        for body, script in (
            (ask(), [chat_answer("lost", usage(2, 1))]),
            (flow(), [*words(2), chunk(None, finish="stop"), DONE]),
        ):
            key = "key-" + str(body.get("stream"))
            here.script.scripts = [script]
            promise = buyer.promise(10**8)
            headers = buyer.headers(promise, Idempotency_Key=key)
            lost = await here.post("/v1/chat/completions", body, headers)
            again = await here.post("/v1/chat/completions", body, headers)
            assert again.signed == lost.signed
            assert again.text == lost.text
            buyer.take(lost)
        assert len(here.script.bodies) == 2


async def test_b13_a_repetition_after_a_crash_is_served_and_what_was_lost_is_not_charged(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer, gate = here.buyer(seed=7), Gate()
        here.script.play(gate)
        promise = buyer.promise(10**8)
        running = asyncio.ensure_future(
            here.post("/v1/chat/completions", ask(), buyer.headers(promise, Idempotency_Key="k"))
        )
        await gate.reached.wait()
        await asyncio.sleep(0.1)  # the voucher is on disk
        left = crashed(tmp_path, tmp_path / "after")
        running.cancel()
        await asyncio.wait([running])
        chain = here.chain
    async with shop(left, chain=chain) as here:
        here.script.play(chat_answer("again", usage(2, 1)))
        buyer.shop = here
        buyer.session.give_up(promise)
        refused = await buyer.ask(ask(), promise=promise, Idempotency_Key="k")
        assert (refused.status, refused.json["code"]) == (402, "pay.lane_unknown")
        assert refused.json["used_lanes"] == [0]
        fresh = buyer.promise(10**8, avoid=refused.json["used_lanes"])
        reply = await buyer.ask(ask(), promise=fresh, Idempotency_Key="k")
        assert (reply.text, end(reply)) == ("again", (Status.OK, 2 * IN + OUT))
        assert buyer.seller.reserved == 2 * IN + OUT


async def test_b14_a_key_with_another_body_is_refused(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer = here.buyer()
        here.script.play(chat_answer("one", usage(2, 1)))
        await buyer.ask(ask(), Idempotency_Key="k")
        reply = await buyer.ask(ask(max_tokens=7), Idempotency_Key="k")
        assert (reply.status, reply.receipt) == (409, None)
        assert buyer.seller.reserved == 2 * IN + OUT


@pytest.mark.timeout(600)
async def test_b15_many_requests_at_once_on_a_budget_for_ten(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        price = 2 * IN + 10 * OUT
        body = ask(max_tokens=10)
        raw = len(msgspec.json.encode(body))
        most = raw * IN + 10 * OUT
        buyer = here.buyer(deposit=10 * most, lanes=1024, exposure=10**15)
        buyer.session.deposit = buyer.session.exposure_max  # a buyer that does not look after itself
        gate = Gate()
        here.script.play(gate, chat_answer("x " * 10, usage(2, 10)))
        here.http._connector._limit = 0  # type: ignore[union-attr]
        count = 1000 if FULL else 150
        promises = [buyer.promise(most) for _ in range(count)]
        tasks = [asyncio.ensure_future(buyer.ask(body, promise=promise)) for promise in promises]
        await gate.reached.wait()
        await until(lambda: sum(task.done() for task in tasks) == count - 10)
        gate.open()
        replies = await asyncio.gather(*tasks)
        served = [reply for reply in replies if reply.status == 200]
        assert len(served) == 10
        assert {reply.json["code"] for reply in replies if reply.status != 200} == {"pay.over_deposit"}
        assert buyer.seller.reserved == 10 * price <= buyer.seller.deposit


async def test_b17_b18_a_deposit_that_ends_while_the_answer_flows_and_is_topped_up(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        body = flow(max_tokens=500)
        raw = len(msgspec.json.encode(body))
        first = raw * IN + 10 * OUT
        for topped_up in (False, True):
            buyer = here.buyer(deposit=first + 20 * OUT)
            gate = Gate()
            here.script.scripts = [[*words(30), gate, *words(400), chunk(None, finish="stop"), DONE]]
            gate.open()
            promise = buyer.promise(first)
            running = asyncio.ensure_future(buyer.ask(body, promise=promise, AI_Window="10"))
            await gate.reached.wait() if topped_up else None
            if topped_up:
                here.chain.change(buyer.id, deposit=10**12)
                buyer.session.deposit = 10**12
                more = buyer.session.raise_ceiling(promise, raw * IN + 1000 * OUT, here.clock.now())
                raised = await here.post("/.well-known/aitp/voucher", b"", buyer.headers(more))
                assert raised.status == 200, raised.body
            reply = await running
            status, charge = end(reply)
            if topped_up:
                assert (status, charge) == (Status.OK, INPUT * IN + 430 * OUT)
            else:
                assert status == Status.PARTIAL
                assert first - OUT < charge <= first
                assert b"aitp.need" in reply.body


async def test_b19_a_session_that_closes_serves_what_it_began_and_nothing_new(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer, gate = here.buyer(), Gate()
        here.script.play(*words(3), gate, *words(3), chunk(None, finish="stop"), DONE)
        running = asyncio.ensure_future(buyer.ask(flow()))
        await gate.reached.wait()
        here.chain.change(buyer.id, closing=True)
        await until(lambda: buyer.seller.closing)
        gate.open()
        assert end(await running) == (Status.OK, INPUT * IN + 6 * OUT)
        refused = await buyer.ask(flow())
        assert (refused.status, refused.json["code"]) == (402, "pay.session_closing")
        await buyer.acknowledge()
        assert await here.gateway.claimer.claim_due() == 1
        assert here.chain.paid(buyer.id) == INPUT * IN + 6 * OUT


async def test_b20_a_session_that_is_frozen_stops_at_once_and_pays_what_was_delivered(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer, gate = here.buyer(), Gate()
        here.script.play(*words(3), gate, *words(300), chunk(None, finish="stop"), DONE)
        running = asyncio.ensure_future(buyer.ask(flow()))
        await gate.reached.wait()
        here.chain.change(buyer.id, closing=True, frozen=True)
        await until(lambda: buyer.seller.closing)
        gate.open()
        assert end(await running) == (Status.PARTIAL, INPUT * IN + 3 * OUT)


async def test_b21_a_quote_of_another_book_is_no_quote(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        here.script.play(chat_answer("one", usage(2, 1)))
        raw = msgspec.json.encode(ask())
        quote = await here.post("/.well-known/aitp/quote", {"path": "/v1/chat/completions", "body": raw.decode()})
        assert quote.json["book_version"] == 4
        buyer = here.buyer(book=3)
        reply = await buyer.ask(raw, AI_Quote=quote.json["offer"])
        assert (reply.status, reply.json["code"]) == (402, "gateway.quote_mismatch")
        # The session's own book counts, whatever is newest.
        assert end(await buyer.ask(raw)) == (Status.OK, 2 * IN + OUT)
        unknown = await here.buyer(book=9).ask(raw)
        assert (unknown.status, unknown.json["code"]) == (402, "gateway.book_unknown")
        assert unknown.json["book_versions"] == [3, 4]


async def test_b22_a_rate_lock_that_ends_meanwhile_is_followed_by_the_rate_of_the_end(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer, gate = here.buyer(book=4), Gate()
        here.chain.change(buyer.id, rate_lock=RateLock(5 * 10**11, here.clock.moment + 60_000))
        here.script.play(gate, chat_answer("one", usage(2, 1)))
        gate.open()
        locked = await buyer.ask(ask())
        assert locked.receipt is not None
        assert (locked.receipt.rate, locked.receipt.charge) == (5 * 10**11, 4 * 10**6 // 2)
        slow = Gate()
        here.script.scripts = [[slow, chat_answer("one", usage(2, 1))]]
        running = asyncio.ensure_future(buyer.ask(ask()))
        await slow.reached.wait()
        here.clock.moment += 120_000  # type: ignore[assignment]
        slow.open()
        ended = await running
        assert ended.receipt is not None
        assert (ended.receipt.rate, ended.receipt.charge) == (10**12, 4 * 10**6)


async def test_b23_without_a_fresh_rate_nothing_is_served_in_a_currency_unless_it_is_locked(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        here.script.play(chat_answer("one", usage(2, 1)))
        here.chain.rates.clear()
        buyer = here.buyer(book=4)
        reply = await buyer.ask(ask())
        assert (reply.status, reply.json["error"]["code"]) == (503, "gateway.rate_unavailable")
        assert reply.headers["Retry-After"] == "30"
        assert end(await here.buyer(book=3).ask(ask())) == (Status.OK, 2 * IN + OUT)
        here.chain.change(buyer.id, rate_lock=RateLock(10**12, here.clock.moment + 60_000))
        await asyncio.sleep(0.05)
        assert end(await buyer.ask(ask())) == (Status.OK, 4 * 10**6)


async def test_b24_a_tier_without_a_plan_is_refused_and_with_one_has_its_price(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        here.script.play(chat_answer("one", usage(2, 1)))
        buyer = here.buyer(book=4)
        refused = await buyer.ask(ask(service_tier="priority"))
        assert (refused.status, refused.json["code"]) == (402, "gateway.not_entitled")
        assert here.script.bodies == []
        here.chain.change(buyer.id, passes=(PassFacts(1, 1, Moment(2**60), tier=2),))
        await asyncio.sleep(0.05)
        reply = await buyer.ask(ask(service_tier="priority"))
        assert end(reply) == (Status.OK, 2 * 10**6 + 6 * 10**6)


async def test_b25_included_units_first_and_then_what_the_book_says(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer = here.buyer()
        plan = PassFacts(9, 1, Moment(2**60), included={1: 100, 2: 10}, used={2: 1})
        here.chain.change(buyer.id, passes=(plan,))
        here.script.play(chat_answer("one", usage(2, 4)))
        told = [end(await buyer.ask(ask())) for _ in range(4)]
        # 9 of 10 output tokens are left: 4, 4 and 1 of them are free.
        assert told == [(Status.OK, 0), (Status.OK, 0), (Status.OK, 3 * OUT), (Status.OK, 4 * OUT)]
        # A voucher over nothing is enough as long as the plan covers what a request may cost.
        covered = here.buyer()
        large = replace(plan, subscription=10, included={1: 10**6, 2: 10**6}, used={})
        here.chain.change(covered.id, passes=(large,))
        assert end(await covered.ask(ask(max_tokens=10), ceiling=0)) == (Status.OK, 0)
        gate = Gate()
        here.script.scripts = [[gate, chat_answer("one", usage(2, 4))]]
        last = replace(plan, subscription=11, included={1: 10**6, 2: 10}, used={})
        here.chain.change(covered.id, passes=(last,))
        await asyncio.sleep(0.05)
        promises = [covered.promise(10**8) for _ in range(5)]
        running = [asyncio.ensure_future(covered.ask(ask(max_tokens=4), promise=one)) for one in promises]
        await gate.reached.wait()
        gate.open()
        charges = sorted(end(reply)[1] for reply in await asyncio.gather(*running))
        # Set aside 4, 4 and 2 at the same time: no included unit counts twice.
        assert charges == [0, 0, 2 * OUT, 4 * OUT, 4 * OUT]
        chain = here.chain
    async with shop(tmp_path, chain=chain) as here:
        buyer.shop = here
        here.script.play(chat_answer("one", usage(2, 4)))
        assert end(await buyer.ask(ask())) == (Status.OK, 4 * OUT)


async def test_b29_b30_cached_and_reasoning_tokens_have_their_own_prices(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        told = usage(
            100, 21, prompt_tokens_details={"cached_tokens": 60}, completion_tokens_details={"reasoning_tokens": 20}
        )
        here.script.play(chat_answer("one", told))
        priced = await here.buyer(book=4).ask(ask())
        assert priced.receipt is not None
        assert priced.receipt.usage == ((1, 40), (2, 1), (3, 60), (5, 20))
        assert priced.receipt.charge == 40 * 10**6 + 2 * 10**6 + 60 * 10**5 + 20 * 4 * 10**6
        # A book without such prices counts them like all others, once.
        plain = await here.buyer(book=3).ask(ask())
        assert plain.receipt is not None
        assert (plain.receipt.usage, plain.receipt.charge) == (((1, 100), (2, 21)), 100 * IN + 21 * OUT)


async def test_b31_an_answer_of_tool_calls_alone_is_counted(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        call = {"id": "t", "type": "function", "function": {"name": "find", "arguments": '{"a":1}'}}
        here.script.play(chat_answer(None, tool_calls=[call]))
        tools = [{"type": "function", "function": {"name": "find"}}]
        reply = await here.buyer().ask(ask("strict", tools=tools))
        assert reply.receipt is not None
        assert reply.receipt.status == Status.OK
        assert dict(reply.receipt.usage)[2] == len(["find", '{"a"', ":1}"])


async def test_b32_an_empty_answer_costs_nothing(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        here.script.play(chat_answer("", usage(2, 0)))
        reply = await here.buyer().ask(ask())
        assert (reply.status, end(reply)) == (502, (Status.PROVIDER_ERROR, 0))
        here.script.scripts = [[chunk(None, finish="stop"), usage_chunk(2, 0), DONE]]
        assert end(await here.buyer().ask(flow())) == (Status.PROVIDER_ERROR, 0)


async def test_b33_more_than_one_can_afford_is_refused_with_a_hint_or_cut_if_one_says_so(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        here.script.play(chat_answer("w " * 5, usage(2, 5)))
        body = ask(max_tokens=500)
        raw = len(msgspec.json.encode(body))
        ceiling = raw * IN + 5 * OUT + 1
        refused = await here.buyer().ask(body, ceiling=ceiling)
        assert (refused.status, refused.json["code"]) == (402, "gateway.too_dear")
        assert refused.json["affordable_output_tokens"] == 5
        assert refused.json["needed"] == str(raw * IN + 500 * OUT)
        capped = await here.buyer().ask(body, AI_Max_Cost=str(ceiling))
        assert end(capped) == (Status.OK, 2 * IN + 5 * OUT)
        assert here.script.bodies[-1]["max_tokens"] == 5
        # Who names no limit gets what fits.
        unlimited = await here.buyer().ask(ask(), ceiling=len(msgspec.json.encode(ask())) * IN + 7 * OUT)
        assert unlimited.status == 200
        assert here.script.bodies[-1]["max_tokens"] == 7
        # And an upstream that does not keep to it is not paid beyond what was allowed.
        here.script.scripts = [[chat_answer("w " * 900, usage(2, 900))]]
        over = await here.buyer().ask(body, AI_Max_Cost=str(ceiling))
        assert end(over) == (Status.OK, ceiling - 1)


async def test_b34_several_choices_are_all_counted(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        choices = [{"index": n, "message": {"content": "one two"}, "finish_reason": "stop"} for n in range(3)]
        here.script.play(json_answer({"choices": choices}))
        assert end(await here.buyer().ask(ask(n=3))) == (Status.OK, INPUT * IN + 6 * OUT)
        pieces = [chunk("ab", index) for index in range(3)]
        here.script.scripts = [[*pieces, chunk(None, finish="stop"), DONE]]
        assert end(await here.buyer().ask(flow(n=3))) == (Status.OK, INPUT * IN + 3 * OUT)


async def test_b35_a_batch_of_embeddings_with_a_bad_item_is_paid_for_the_good_ones(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        data = [{"index": 0, "embedding": [0.5]}, {"index": 1, "error": "bad"}, {"index": 2, "embedding": [0.5]}]
        here.script.play(json_answer({"data": data, "usage": {"prompt_tokens": 3}}))
        body = {"model": "script", "input": ["a", "b", "c"]}
        reply = await here.buyer(book=4).ask(body, path="/v1/embeddings")
        assert reply.receipt is not None
        assert reply.receipt.usage == ((1, 3), (26, 2))
        here.script.scripts = [[json_answer({"error": {"message": "bad item"}}, 400)]]
        refused = await here.buyer(book=4).ask(body, path="/v1/embeddings")
        assert (refused.status, end(refused)) == (400, (Status.REFUSED, 0))


async def test_b36_images_are_paid_as_many_as_came(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        body = {"model": "script", "prompt": "a cat", "n": 4}
        for came in (3, 9):
            data = [{"b64_json": "AAAA"} for _ in range(came)] + [{"error": "failed"}]
            here.script.scripts = [[json_answer({"data": data})]]
            reply = await here.buyer(book=4).ask(body, 10**12, path="/v1/images/generations")
            assert reply.receipt is not None
            assert dict(reply.receipt.usage)[9] == min(came, 4)


async def test_b37_seconds_of_sound_are_whole_and_the_last_one_begun_counts(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        # A character sounds 0.06 s: 16 take 0.96 s, 17 take 1.02 s.
        for characters, seconds in ((16, 1), (17, 2), (1, 1)):
            body = {"model": "echo", "input": "x" * characters}
            reply = await here.buyer(book=4).ask(body, 10**12, path="/v1/audio/speech")
            assert reply.receipt is not None
            assert dict(reply.receipt.usage)[12] == seconds
            assert reply.receipt.charge == seconds * 10**9 + -(-characters // 4) * 10**6
        here.script.play(Answer(200, "audio/wav", b"RIFF junk"))
        broken = await here.buyer(book=4).ask({"model": "script", "input": "x"}, 10**12, path="/v1/audio/speech")
        assert end(broken) == (Status.PROVIDER_ERROR, 0)


async def test_b39_a_client_that_lost_its_state_goes_on_with_what_it_signed(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        here.script.play(chat_answer("one", usage(2, 1)))
        buyer = here.buyer(seed=3)
        for _ in range(2):
            await asyncio.gather(buyer.ask(ask()), buyer.ask(ask()))
        lost = here.buyer(seed=3)
        told = await here.get("/.well-known/aitp/session", lost.headers(lost.promise(0)))
        assert told.status == 200
        for lane in told.json["lanes"]:
            lost.session.adopt(Signed(*decode_signed(lane["receipt"])))
        assert lost.session.spent == buyer.session.spent == 4 * (2 * IN + OUT)
        assert end(await lost.ask(ask())) == (Status.OK, 2 * IN + OUT)
