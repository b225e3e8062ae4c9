"""Two gateways on one store: what one of them may do while the other has it, and what is left of one that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from aitoken.pay.layouts import Receipt, Status
from aitoken.pay.seller import SellerSession, Signed
from aitoken.types import AccountId, Balance, Hash32, Moment
from gateway.ports import AnySigned, PassFacts
from gateway.store import (
    OWED,
    TAKEN,
    Held,
    LaneLost,
    Store,
    StoredOrder,
    StoredSession,
    StoreUnusable,
    Wanted,
    open_store,
)
from tests.support.gateway_fleet import buyer_of
from tests.support.gateways import (
    DATABASES,
    DONE,
    GENESIS,
    LEASE_S,
    OPERATOR,
    Buyer,
    Gate,
    Shop,
    chat_answer,
    chunk,
    place_of,
    shop,
    usage,
)

IN, OUT = 1000, 2000
SESSION, KEY, BODY = Hash32(b"s" * 32), Hash32(b"k" * 32), Hash32(b"b" * 32)
ASK: dict[str, Any] = {"model": "script", "messages": [{"role": "user", "content": "how ?"}]}
MOST = len(msgspec.json.encode({**ASK, "max_tokens": 10})) * IN + 10 * OUT


@asynccontextmanager
async def two_stores(folder: Path, **more: Any) -> AsyncIterator[tuple[Store, Store]]:
    more.setdefault("lease_s", LEASE_S)
    async with (
        open_store(place_of(folder), GENESIS, OPERATOR.public, **more) as one,
        open_store(place_of(folder), GENESIS, OPERATOR.public, **more) as two,
    ):
        loops = [asyncio.ensure_future(store.run()) for store in (one, two)]
        yield one, two
        for loop in loops:
            loop.cancel()
        await asyncio.wait(loops)


@asynccontextmanager
async def two_shops(folder: Path) -> AsyncIterator[tuple[Shop, Shop]]:
    async with shop(folder) as one, shop(folder) as two:
        yield one, two


def known_to(buyer: Buyer, other: Shop) -> None:
    """The chain tells both gateways the same."""
    other.chain.open(buyer.shop.chain.facts[buyer.id])


async def ask_at(here: Shop, buyer: Buyer, body: Any, ceiling: int = 10**8, **more: Any) -> Any:
    buyer.shop, before = here, buyer.shop
    try:
        return await buyer.ask(body, ceiling, **more)
    finally:
        buyer.shop = before


# ------------------------------------------------------------------------------------------------- gateways


async def test_shared_a_lane_goes_from_gateway_to_gateway_with_each_request(tmp_path: Path) -> None:
    async with two_shops(tmp_path) as (one, two):
        buyer = one.buyer()
        known_to(buyer, two)
        for here in (one, two):
            here.script.play(chat_answer("one", usage(2, 1)))
        for number, here in enumerate((one, two, two, one, two)):
            reply = await ask_at(here, buyer, ASK)
            assert (reply.receipt.lane, reply.receipt.seq) == (0, number + 1)
        assert buyer.session.spent == 5 * (2 * IN + OUT)
        await buyer.acknowledge()
        # One of them claims, also what the other has served.
        claimed = [await here.gateway.claimer.claim_due(everything=True) for here in (one, two)]
        assert sorted(claimed) == [0, 1]
        assert one.chain.paid(buyer.id) + two.chain.paid(buyer.id) == buyer.session.spent


async def test_shared_a_lane_and_the_deposit_are_taken_for_all_gateways_while_a_request_is_in_flight(
    tmp_path: Path,
) -> None:
    async with two_shops(tmp_path) as (one, two):
        buyer, gate = one.buyer(deposit=MOST + 5), Gate()
        buyer.session.deposit = Balance(10**12)
        known_to(buyer, two)
        one.script.play(gate, chat_answer("one", usage(2, 1)))
        two.script.play(chat_answer("two", usage(2, 1)))
        body, promise = {**ASK, "max_tokens": 10}, buyer.promise(MOST)
        running = asyncio.ensure_future(buyer.ask(body, promise=promise))
        await gate.reached.wait()
        busy = await two.post("/v1/chat/completions", body, buyer.headers(promise))
        assert (busy.status, busy.json["code"], busy.json["used_lanes"]) == (402, "pay.lane_busy", [0])
        over = await ask_at(two, buyer, body, MOST)
        assert (over.status, over.json["code"]) == (402, "pay.over_deposit")
        closing = await two.post("/.well-known/aitp/close", b"", buyer.headers(buyer.promise(0)))
        assert (closing.status, closing.json["code"]) == (402, "pay.lane_busy")
        gate.open()
        assert (await running).status == 200
        # What the request did not use is there for the other gateway at once.
        assert (await ask_at(two, buyer, {**ASK, "max_tokens": 1}, 10**8)).status == 200


async def test_shared_a_ceiling_raised_at_the_other_gateway_lets_the_answer_flow_on(tmp_path: Path) -> None:
    async with two_shops(tmp_path) as (one, two):
        buyer, gate = one.buyer(), Gate()
        known_to(buyer, two)
        one.script.play(*[chunk(" w") for _ in range(10)], gate, *[chunk(" w") for _ in range(40)],
                        chunk(None, finish="stop"), DONE)  # fmt: skip
        body = {**ASK, "stream": True, "max_tokens": 500}
        raw = len(msgspec.json.encode(body))
        promise = buyer.promise(raw * IN + 20 * OUT)
        running = asyncio.ensure_future(buyer.ask(body, promise=promise, AI_Window="10"))
        await gate.reached.wait()
        more = buyer.session.raise_ceiling(promise, raw * IN + 1000 * OUT, one.clock.now())
        raised = await two.post("/.well-known/aitp/voucher", b"", buyer.headers(more))
        assert raised.status == 200, raised.body
        gate.open()
        reply = await running
        assert (reply.receipt.status, reply.receipt.charge) == (Status.OK, 2 * IN + 50 * OUT)


async def test_shared_an_idempotency_key_is_answered_once_by_whichever_gateway(tmp_path: Path) -> None:
    async with two_shops(tmp_path) as (one, two):
        buyer, gate = one.buyer(), Gate()
        known_to(buyer, two)
        one.script.play(gate, chat_answer("once", usage(2, 1)))
        first = asyncio.ensure_future(buyer.ask(ASK, promise=buyer.promise(10**8), Idempotency_Key="k"))
        await gate.reached.wait()
        other = await ask_at(two, buyer, {**ASK, "max_tokens": 3}, Idempotency_Key="k")
        assert other.status == 409
        promise = buyer.promise(10**8)
        again = asyncio.ensure_future(
            two.post("/v1/chat/completions", ASK, buyer.headers(promise, Idempotency_Key="k"))
        )
        await asyncio.sleep(0.2)
        gate.open()
        replies = [await first, await again]
        assert replies[0].body == replies[1].body
        assert replies[0].signed == replies[1].signed
        assert two.script.bodies == []


async def test_shared_quotes_bind_and_closings_hold_at_every_gateway(tmp_path: Path) -> None:
    async with two_shops(tmp_path) as (one, two):
        buyer = one.buyer(book=4)
        known_to(buyer, two)
        two.script.play(chat_answer("w " * 5, usage(2, 500)))
        raw = msgspec.json.encode({**ASK, "max_tokens": 5})
        quote = await one.post("/.well-known/aitp/quote", {"path": "/v1/chat/completions", "body": raw.decode()})
        two.chain.rates[840] *= 10  # everything is ten times as dear
        reply = await ask_at(two, buyer, raw, 10**11)
        assert reply.receipt.charge <= int(quote.json["max_charge"])
        closed = await one.post("/.well-known/aitp/close", b"", buyer.headers(buyer.promise(0)))
        assert int(closed.json["final_total"]) == reply.receipt.charge
        refused = await ask_at(two, buyer, raw, 10**11)
        assert (refused.status, refused.json["code"]) == (402, "pay.session_closing")


async def test_shared_included_units_are_set_aside_for_all_gateways(tmp_path: Path) -> None:
    async with two_shops(tmp_path) as (one, two):
        buyer, gates = one.buyer(), (Gate(), Gate())
        one.chain.change(buyer.id, passes=(PassFacts(9, 1, Moment(2**60), included={1: 10**6, 2: 10}),))
        known_to(buyer, two)
        for here, gate in zip((one, two), gates, strict=True):
            here.script.play(gate, chat_answer("one", usage(2, 6)))
        promises = [buyer.promise(10**8) for _ in range(2)]
        body = {**ASK, "max_tokens": 6}
        first = asyncio.ensure_future(one.post("/v1/chat/completions", body, buyer.headers(promises[0])))
        await gates[0].reached.wait()
        second = asyncio.ensure_future(two.post("/v1/chat/completions", body, buyer.headers(promises[1])))
        await gates[1].reached.wait()
        for gate in gates:
            gate.open()
        receipts = [Receipt.decode(reply.signed.statement) for reply in await asyncio.gather(first, second)]
        assert [receipt.charge for receipt in receipts] == [0, 2 * OUT]  # 6 of 10 were taken, 4 were left


# ------------------------------------------------------------------------------------------------- the store


async def admitted(store: Store, buyer: Buyer, lane: int, ceiling: int) -> tuple[SellerSession, Any]:
    """What a gateway does with a request until its work begins."""
    seller = SellerSession(buyer.id, buyer.key.public, Balance(10**9), 16)
    promise = buyer.promise(ceiling)
    assert promise.lane.number == lane
    async with store.turn(buyer.id, lane, lambda found: None) as turn:
        admission = seller.admit(promise.signed.statement, promise.signed.signature, buyer.shop.clock.now())
        turn.keep(admission.lane, begins=True)
    return seller, admission


def receipt_of(seller: SellerSession, admission: Any, charge: int) -> tuple[Receipt, Signed]:
    blank = Receipt(
        seller.id, 0, 1, 0, 42, 3, Hash32(bytes(32)), Hash32(bytes(32)), Hash32(bytes(32)), Moment(1), Moment(2),
        Balance(charge), Balance(charge), 0, Hash32(bytes(32)), ((1, 1),), b"",
    )  # fmt: skip
    receipt = seller.next_receipt(admission, blank)
    return receipt, seller.settle(admission, receipt, OPERATOR)


async def test_shared_steps_of_a_session_wait_for_each_other_and_see_what_is_reserved(tmp_path: Path) -> None:
    async with two_stores(tmp_path) as (one, two):
        buyer = buyer_of(5, 10**12, 16)
        seller = SellerSession(buyer.id, buyer.key.public, Balance(10**9), 16)
        promise, order = buyer.promise(700), list[str]()

        async def other() -> int:
            found: list[StoredSession] = []
            async with two.turn(buyer.id, 1, found.append):
                order.append("two")
            return found[0].reserved

        async with one.turn(buyer.id, 0, lambda found: None) as turn:
            waiting = asyncio.ensure_future(other())
            await asyncio.sleep(0.2)
            order.append("one")
            admission = seller.admit(promise.signed.statement, promise.signed.signature, Moment(1))
            turn.keep(admission.lane, begins=True)
        assert await waiting == 700
        assert order == ["one", "two"]


async def test_shared_a_gateway_taken_for_dead_commits_no_receipt_and_what_it_committed_stays(tmp_path: Path) -> None:
    async with two_stores(tmp_path) as (one, two):
        buyer = buyer_of(6, 10**12, 16)
        seller, admission = await admitted(one, buyer, 0, 500)
        receipt, signed = receipt_of(seller, admission, 300)
        one.put_receipt(receipt, signed)
        await one.kept(receipt, signed)
        _, second = await admitted(one, buyer, 1, 500)
        late_seller, late = seller, second
        (first_lane, lane) = await two.lanes(buyer.id)
        assert (first_lane.held, lane.held) == (Held.NOWHERE, Held.ELSEWHERE)

        DATABASES[-1].bury(str(tmp_path))

        kept, retired = await two.lanes(buyer.id)
        assert (kept.retired, kept.receipt, kept.end) == (False, signed, 300)
        assert (retired.retired, retired.held, retired.receipt, retired.end) == (True, Held.NOWHERE, None, 0)
        late_seller.lanes[1] = late.lane
        lost, lost_signed = receipt_of(late_seller, late, 400)
        one.put_receipt(lost, lost_signed)
        with pytest.raises(LaneLost):
            await one.kept(lost, lost_signed)
        assert await two.receipt(buyer.id, 1, 1) is None
        assert await two.receipt(buyer.id, 0, 1) == signed


async def test_shared_duties_keys_and_units_of_a_dead_gateway_are_free_again(tmp_path: Path) -> None:
    async with two_stores(tmp_path) as (one, two):
        wanted = {2: Wanted(6, 10, 1)}
        assert await one.may_claim()
        assert not await two.may_claim()
        assert await one.begin_key(SESSION, KEY, BODY) is None
        assert await two.begin_key(SESSION, KEY, BODY) == BODY
        assert await one.set_aside(9, 1, wanted) == {2: 6}
        assert await two.set_aside(9, 1, wanted) == {2: 3}
        two.put_used(9, 1, {2: (3, 2)}, two.number)
        await two.synced()

        DATABASES[-1].bury(str(tmp_path))
        one.put_used(9, 1, {2: (6, 6)}, one.number)
        await one.synced()

    async with open_store(place_of(tmp_path), GENESIS, OPERATOR.public) as three:
        assert await three.may_claim()
        assert await three.begin_key(SESSION, KEY, BODY) is None
        assert await three.set_aside(9, 1, {2: Wanted(100, 10, 1)}) == {2: 7}


async def test_shared_a_gateway_that_slept_too_long_begins_again_with_a_new_number(tmp_path: Path) -> None:
    async with two_stores(tmp_path, lease_s=0.5) as (one, two):
        buyer = buyer_of(7, 10**12, 16)
        seller, admission = await admitted(one, buyer, 0, 500)
        numbers = {one.number, two.number}
        DATABASES[-1].bury(str(tmp_path))
        lease = asyncio.ensure_future(one.keep_lease())
        async with asyncio.timeout(30):
            while one.number in numbers or not await one.may_claim():  # noqa: ASYNC110 - what happens elsewhere
                await asyncio.sleep(0.01)
        lease.cancel()
        assert not one.holds(buyer.id, 0)
        # Even if a crash forgot that the lane was taken, and it is taken again.
        await one._rows(
            "UPDATE lanes SET retired = 0, gateway = ?, lane_end = 500 WHERE session = ? RETURNING 1",
            one.number, buyer.id,
        )  # fmt: skip
        late, signed = receipt_of(seller, admission, 300)
        one.put_receipt(late, signed)
        with pytest.raises(LaneLost):
            await one.kept(late, signed)
        assert await one.receipts(buyer.id, 0, 0, 9) == []
        seller, admission = await admitted(one, buyer, 1, 500)
        receipt, signed = receipt_of(seller, admission, 300)
        one.put_receipt(receipt, signed)
        await one.kept(receipt, signed)


async def test_shared_an_answer_whose_lane_was_taken_away_is_a_503_or_breaks_off_and_is_free(tmp_path: Path) -> None:
    async with two_shops(tmp_path) as (one, two):
        buyer = one.buyer()
        known_to(buyer, two)
        for body, script in (
            (ASK, [chat_answer("one", usage(2, 1))]),
            ({**ASK, "stream": True}, [chunk(" w"), chunk(None, finish="stop"), DONE]),
        ):
            gate, promise = Gate(), buyer.promise(10**8)
            one.script.scripts = [[gate, *script]]
            running = asyncio.ensure_future(one.post("/v1/chat/completions", body, buyer.headers(promise)))
            await gate.reached.wait()
            DATABASES[-1].bury(str(tmp_path))
            gate.open()
            if body is ASK:
                reply = await running
                assert (reply.status, reply.receipt) == (503, None)
                assert reply.json["error"]["code"] == "gateway.store_unavailable"
            else:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await running
        assert await two.gateway.sessions._store.receipts(buyer.id, 0, 0, 100) == []
        assert await two.gateway.sessions._store.receipts(buyer.id, 1, 0, 100) == []


async def test_shared_a_store_of_another_key_or_an_old_copy_is_refused(tmp_path: Path) -> None:
    place = place_of(tmp_path / "store")
    for _ in range(2):
        async with open_store(place, GENESIS, OPERATOR.public, folder=tmp_path / "own"):
            pass
    with pytest.raises(StoreUnusable, match="another operator"):
        await open_store(place, GENESIS, b"x" * 32).__aenter__()
    with pytest.raises(StoreUnusable, match="old copy"):
        await open_store(place_of(tmp_path / "fresh"), GENESIS, OPERATOR.public, folder=tmp_path / "own").__aenter__()


async def test_shared_who_hangs_up_while_being_admitted_leaves_no_lane_busy(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        here.script.play(chat_answer("one", usage(2, 1)))
        buyer = here.buyer(lanes=64)
        raw = msgspec.json.encode(ASK)
        for number in range(20):
            promise = buyer.promise(10**8, avoid=range(number))
            task = asyncio.ensure_future(here.post("/v1/chat/completions", raw, buyer.headers(promise)))
            await asyncio.sleep(0.004)
            task.cancel()
            await asyncio.wait([task])
            buyer.session.give_up(promise)
        assert (await buyer.ask(ASK, promise=buyer.promise(10**8, avoid=range(20)))).status == 200
        async with asyncio.timeout(30):
            known = next(one for one in here.gateway.sessions.all())
            while known.busy or known.away:
                await here.gateway.sessions.renew(known)
                await asyncio.sleep(0.01)


async def test_shared_a_single_payment_is_taken_by_one(tmp_path: Path) -> None:
    order = StoredOrder(
        AccountId(b"p" * 32),
        b"n" * 32,
        AnySigned(b"signed", b"signature"),
        Moment(10**12),
        TAKEN,
        Balance(0),
        Moment(1),
    )
    async with two_stores(tmp_path) as (one, two):
        before = await asyncio.gather(*(store.take_order(order) for store in (one, two, one, two)))
        assert sorted(found is None for found in before) == [False, False, False, True]
        assert {found for found in before if found is not None} == {order}
        owed = replace(order, state=OWED, amount=Balance(10**30), at=Moment(2))
        one.put_order(owed)
        await one.synced()
        assert await two.owed_orders() == [owed]
        two.forget(Moment(10**12 + 1), Moment(0))
        await two.synced()
        assert await one.take_order(order) is None
