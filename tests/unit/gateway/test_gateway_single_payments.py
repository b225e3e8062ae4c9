"""Requests that one signed payment pays: checked before work, single use, settled before the answer leaves."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitoken.crypto.ed25519 import Pair
from aitoken.pay.headers import decode_signed, encode_signed, request_hash
from aitoken.pay.layouts import Opening, OpenParams, Receipt, Voucher, ack0, session_id
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment
from tests.support.gateways import GENESIS, PRICES, FakeChain, Gate, Shop, chat_answer, shop, usage
from tests.support.relays import START, FakeRelay, SinglePayer, header, paid_with, settled

HELLO: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "hello paid world"}]}
SCRIPT: dict[str, Any] = {**HELLO, "model": "script", "max_tokens": 10}
COST = 5 * 1000 + 5 * 2000
IN_TOKEN = {**PRICES, "model": [{**model, "books": [3]} for model in PRICES["model"]]}
CHAT = "/v1/chat/completions"
RICH = 10**9


@dataclass
class Here:
    """A shop that takes single payments, and somebody with money."""

    shop: Shop
    relay: FakeRelay
    payer: SinglePayer

    async def ask(self, order: Any, body: dict[str, Any] | None = None, **headers: str) -> Any:
        return await self.shop.post(CHAT, body or HELLO, {**paid_with(order), **headers})


@asynccontextmanager
async def here(folder: Path, money: int = RICH, least: int = 0, chain: FakeChain | None = None) -> AsyncIterator[Here]:
    chain = chain or FakeChain()
    relay = FakeRelay(chain)
    payer = SinglePayer(relay, money)
    async with shop(folder, chain=chain, prices=IN_TOKEN, relay=relay, least=least) as open_shop:
        yield Here(open_shop, relay, payer)


def offers_of(reply: Any) -> dict[str, dict[str, Any]]:
    told = msgspec.json.decode(base64.b64decode(reply.headers["PAYMENT-REQUIRED"]))
    return {offer["scheme"]: offer for offer in told["accepts"]}


async def test_a_bare_request_is_told_what_each_way_of_paying_needs(tmp_path: Path) -> None:
    async with here(tmp_path, least=7_000_000) as it:
        reply = await it.shop.post(CHAT, {**HELLO, "max_tokens": 8})
        offers = offers_of(reply)
        assert list(offers) == ["batch-settlement", "upto", "exact"]
        needed = int(offers["batch-settlement"]["amount"])
        assert needed >= COST
        assert {offers["upto"]["amount"], offers["exact"]["amount"]} == {"7000000"}
        assert offers["upto"]["payTo"] == "0x" + "55" * 32
        assert offers["upto"]["extra"]["request"] == request_hash(msgspec.json.encode({**HELLO, "max_tokens": 8})).hex()
        assert offers["batch-settlement"]["extra"]["opening"]["provider"] == 7

        flowing = await it.shop.post(CHAT, {**HELLO, "stream": True})
        assert list(offers_of(flowing)) == ["batch-settlement"]


async def test_up_to_a_maximum_the_real_price_moves(tmp_path: Path) -> None:
    async with here(tmp_path) as it:
        reply = await it.ask(it.payer.order(10**8))
        assert (reply.status, reply.text) == (200, "hello paid world")
        assert it.relay.moved == [(it.payer.id, COST)]
        told = settled(reply.headers)
        assert (told["success"], told["amount"], told["payer"]) == (True, str(COST), f"0x{it.payer.id.hex()}")
        receipt = Receipt.decode(decode_signed(told["extra"]["receipt"])[0])
        assert (receipt.charge, receipt.lane_total, receipt.seq) == (COST, COST, 1)
        assert it.shop.gateway.metrics.charged.counts[()] == COST


async def test_exactly_what_was_asked_for_moves_and_at_least_the_fee(tmp_path: Path) -> None:
    async with here(tmp_path, least=20_000) as it:
        exact = await it.ask(it.payer.order(10**8, exact=True))
        least = await it.ask(it.payer.order(10**8))
        assert (exact.status, least.status) == (200, 200)
        assert it.relay.moved == [(it.payer.id, 10**8), (it.payer.id, 20_000)]


async def test_a_payment_serves_one_request_and_gets_its_answer_again(tmp_path: Path) -> None:
    chain = FakeChain()
    async with here(tmp_path, chain=chain) as it:
        order = it.payer.order(10**8)
        first = await it.ask(order)
        again = await it.ask(order)
        assert (again.status, again.body, again.headers["AI-Repeated"]) == (200, first.body, "1")
        other = await it.ask(order, {**HELLO, "max_tokens": 3})
        twin = await it.ask(it.payer.order(10**8 + 1, nonce=(1).to_bytes(32, "little")))
        for reply in (other, twin):
            assert (reply.status, reply.json["code"]) == (402, "gateway.order_used")
            assert settled(reply.headers)["success"] is False
        assert len(it.relay.moved) == 1
    # The store remembers it, whatever the chain says.
    async with here(tmp_path, chain=chain) as it:
        again = await it.ask(order)
        assert (again.status, again.body) == (200, first.body)
        assert (await it.ask(order, {**HELLO, "max_tokens": 3})).status == 402
        assert not it.relay.moved


async def test_the_answer_is_kept_back_until_the_chain_has_paid(tmp_path: Path) -> None:
    async with here(tmp_path) as it:
        it.relay.held.clear()
        order = it.payer.order(10**8)
        asking = asyncio.ensure_future(it.ask(order))
        await it.relay.begun.wait()
        beside = asyncio.ensure_future(it.ask(order))
        it.relay.money[it.payer.id] = 0
        it.relay.held.set()
        for reply in (await asking, await beside):
            assert (reply.status, reply.json["code"]) in ((402, "gateway.not_settled"), (402, "gateway.order_used"))
            assert "hello" not in str(reply.body)
        assert (await it.ask(order)).json["code"] == "gateway.order_used"


async def test_a_client_that_goes_away_can_come_back_for_its_answer(tmp_path: Path) -> None:
    async with here(tmp_path) as it:
        gate = Gate()
        it.shop.script.play(gate, chat_answer("late", usage(5, 1)))
        order = it.payer.order(10**8)
        asking = asyncio.ensure_future(it.ask(order, SCRIPT))
        await gate.reached.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        gate.open()
        reply = await it.ask(order, SCRIPT)
        assert (reply.status, reply.text) == (200, "late")
        assert it.relay.moved == [(it.payer.id, 5 * 1000 + 1 * 2000)]
        assert it.shop.script.hung_up == 0


async def test_nothing_is_paid_for_what_fails(tmp_path: Path) -> None:
    async with here(tmp_path) as it:
        it.shop.script.play(chat_answer("", usage(5, 0)))
        order = it.payer.order(10**8, exact=True)
        reply = await it.ask(order, SCRIPT)
        assert reply.status == 502
        assert not it.relay.moved
        assert (await it.ask(order, SCRIPT)).status == 402


async def test_what_was_signed_is_checked_before_any_work(tmp_path: Path) -> None:
    async with here(tmp_path) as it:
        good = it.payer.order(10**8)
        bad = [
            it.payer.order(10**8, genesis=Hash32(b"\x48" * 32)),
            it.payer.order(10**8, payee=AccountId(b"\x56" * 32)),
            it.payer.order(10**8, asset=1),
            it.payer.order(10**8, valid_before=Moment(START + 10_000)),
            it.payer.order(10**8, valid_before=Moment(START + 8 * 86_400_000)),
            it.payer.order(10**8, valid_before=Moment((1 << 64) - 1)),
            it.payer.order(10**8, valid_after=Moment(START + 10**6)),
            it.payer.order(10**8, memo_hash=Hash32(b"\x01" * 32)),
            type(good)(good.statement, good.signature[:1] + bytes(64)),
            type(good)(good.statement, b"\x01" + good.signature[1:]),
        ]
        for order in bad:
            reply = await it.ask(order)
            assert (reply.status, reply.json["code"]) == (402, "gateway.bad_order"), reply.body
        poor = await it.ask(it.payer.order(RICH + 1))
        assert (poor.status, poor.json["code"]) == (402, "gateway.cannot_pay")
        little = await it.ask(it.payer.order(100), {**HELLO, "max_tokens": 8})
        assert (little.status, little.json["code"]) == (402, "gateway.too_dear")
        it.relay.used[(it.payer.id, (77).to_bytes(32, "little"))] = it.payer.id
        used = await it.ask(it.payer.order(10**8, nonce=(77).to_bytes(32, "little")))
        assert (used.status, used.json["code"]) == (402, "gateway.order_used")
        flow = await it.ask(it.payer.order(10**8), {**HELLO, "stream": True})
        assert (flow.status, flow.json["code"]) == (402, "gateway.no_single_payments")
        assert not it.relay.moved
        assert (await it.ask(good)).status == 200


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"authorization": 7, "signature": "0x"},
        {"authorization": "0x" + "00" * 204, "signature": "0x" + "00" * 65},
        {"authorization": "0x" + "zz" * 205, "signature": "0x" + "00" * 65},
        {"authorization": "0x" + "00" * 205, "signature": "0x" + "00" * 65},
        {"authorization": "0x" + "00" * 205, "signature": "0x" + "02" * 65},
        {"authorization": "0x" + "00" * 205, "signature": "0x" + "00" * 65, "voucher": "AAAA"},
        {"voucher": "AAAA", "opening": 7},
        {"voucher": "AAAA", "opening": {"params": "0x"}},
    ],
)
async def test_what_is_malformed_is_the_senders_mistake(tmp_path: Path, payload: dict[str, Any]) -> None:
    async with here(tmp_path) as it:
        reply = await it.shop.post(CHAT, HELLO, header(payload))
        assert reply.status == 400, reply.body
        assert reply.json["code"] in ("gateway.bad_payment_header", "pay.bad_layout")


async def test_money_is_promised_once_however_many_ask_at_the_same_time(tmp_path: Path) -> None:
    async with here(tmp_path, money=3 * 10**6) as it:
        it.relay.held.clear()
        asking = [asyncio.ensure_future(it.ask(it.payer.order(10**6))) for _ in range(5)]
        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        it.relay.held.set()
        replies = await asyncio.gather(*asking)
        assert sorted(reply.status for reply in replies) == [200, 200, 200, 402, 402]
        assert len(it.relay.moved) == 3


async def test_what_is_owed_is_carried_out_after_a_restart(tmp_path: Path) -> None:
    chain = FakeChain()
    async with here(tmp_path, chain=chain) as it:
        order = it.payer.order(10**8)
        it.relay.held.clear()
        asking = asyncio.ensure_future(it.ask(order))
        await it.relay.begun.wait()
        asking.cancel()
        stopped = it.relay
    assert not stopped.moved
    async with here(tmp_path, chain=chain) as it:
        await it.relay.paid.wait()
        assert it.relay.moved == [(it.payer.id, COST)]
        reply = await it.ask(order)
        assert (reply.status, reply.text) == (200, "hello paid world")
        assert len(it.relay.moved) == 1


async def test_a_payment_whose_outcome_was_not_heard_is_not_made_twice(tmp_path: Path) -> None:
    async with here(tmp_path) as it:
        order = it.payer.order(10**8)
        it.relay.lost = True
        assert (await it.ask(order)).status == 503
        assert len(it.relay.moved) == 1
        reply = await it.ask(order)
        assert (reply.status, reply.text) == (200, "hello paid world")
        assert len(it.relay.moved) == 1


async def test_without_a_chain_nothing_is_served(tmp_path: Path) -> None:
    async with here(tmp_path) as it:
        it.relay.down = True
        order = it.payer.order(10**8)
        assert (await it.ask(order)).status == 503
        it.relay.down = False
        assert (await it.ask(order)).status == 200


def as_credential(payload: dict[str, Any]) -> dict[str, str]:
    """What is paid with, in the dress of MPP."""
    text = base64.urlsafe_b64encode(msgspec.json.encode({"challenge": {}, "payload": payload})).decode().rstrip("=")
    return {"Authorization": f"Payment {text}"}


@pytest.mark.parametrize("dress", [header, as_credential], ids=["x402", "mpp"])
async def test_a_session_is_opened_for_who_only_signs(
    tmp_path: Path, dress: Callable[[dict[str, Any]], dict[str, str]]
) -> None:
    async with here(tmp_path) as it:
        key = Pair(b"\x66" * 32)
        params = OpenParams(7, 3, key.public, 0, BlockNumber(500_000), 300, 4, bytes(16))
        number = session_id(GENESIS, it.payer.id, params)
        order = Opening(number, Balance(10**8), Moment(START + 600_000)).encode()
        first = Voucher(
            number, 0, 1, 0, 0, Balance(0), Balance(10**7), Moment(START + 600_000), ack0(number, 0)
        ).encode()  # fmt: skip
        opening = {
            "payer": f"0x{it.payer.id.hex()}", "params": f"0x{params.encode().hex()}", "deposit": str(10**8),
            "validBefore": str(START + 600_000), "signature": f"0x00{it.payer.pair.sign(order).hex()}",
        }  # fmt: skip
        voucher = encode_signed(first, key.sign(first))
        bad = {**opening, "deposit": str(10**8 + 1)}
        reply = await it.shop.post(CHAT, HELLO, dress({"voucher": voucher, "opening": bad}))
        assert (reply.status, reply.json["code"]) == (402, "gateway.bad_order")
        assert not it.relay.moved

        reply = await it.shop.post(CHAT, HELLO, dress({"voucher": voucher, "opening": opening}))
        assert (reply.status, reply.text) == (200, "hello paid world")
        assert Receipt.decode(decode_signed(reply.headers["AI-Receipt"])[0]).charge == COST
        if dress is header:
            told = settled(reply.headers)
            assert (told["transaction"], told["amount"]) == ("", str(COST))
        else:
            assert "PAYMENT-RESPONSE" not in reply.headers
        assert it.relay.moved == [(it.payer.id, 10**8)]
        # Sent again it opens nothing; the voucher has been used.
        again = await it.shop.post(CHAT, HELLO, dress({"voucher": voucher, "opening": opening}))
        assert (again.status, again.json["code"]) == (402, "pay.out_of_step")
        assert len(it.relay.moved) == 1


async def test_a_gateway_without_a_relay_takes_sessions_alone(tmp_path: Path) -> None:
    async with shop(tmp_path) as alone:
        payer = SinglePayer(FakeRelay(alone.chain), RICH)
        reply = await alone.post(CHAT, HELLO, paid_with(payer.order(10**8)))
        assert (reply.status, reply.json["code"]) == (402, "gateway.no_single_payments")
        assert list(offers_of(reply)) == ["batch-settlement"]
