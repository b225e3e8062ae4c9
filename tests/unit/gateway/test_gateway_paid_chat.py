"""A chat completion is paid by a voucher, whole and flowing, through a real port."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec

from aitoken.crypto.ed25519 import verify
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.buyer import Terms
from aitoken.pay.headers import decode_signed, encode_signed, request_hash
from aitoken.pay.layouts import Closing, Offer, Status
from aitoken.pay.price import price_list
from aitoken.pay.seller import Signed
from gateway.catalogue import catalogue_of
from tests.support.gateways import GENESIS, OPERATOR, PRICES, shop

HELLO: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "hello paid world"}]}
# "hello paid world" is 5 pieces of up to four characters, in and out.
COST = 5 * 1000 + 5 * 2000


async def test_a_whole_answer_comes_with_its_receipt(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer = here.buyer()
        terms = Terms(
            request_hash(msgspec.json.encode(HELLO)), 42, price_list(catalogue_of(PRICES).editions[3].book), 0
        )  # fmt: skip
        reply = await buyer.ask(HELLO, terms=terms)

        assert reply.status == 200
        assert reply.text == "hello paid world"
        assert reply.receipt is not None
        assert (reply.receipt.status, reply.receipt.charge, reply.receipt.usage) == (Status.OK, COST, ((1, 5), (2, 5)))
        assert reply.receipt.response == blake2_256(reply.body)
        assert reply.json["usage"]["cost"] == "0.000000015000"
        assert reply.headers["AI-Cost"] == "0.000000015000 AIT; units=input_token:5,output_token:5"
        assert buyer.seller.reserved == COST

        second = await buyer.ask(HELLO)
        assert second.receipt is not None
        assert (second.receipt.seq, second.receipt.lane_total) == (2, 2 * COST)
        assert buyer.seller.lanes[0].countersigned == COST


async def test_a_flowing_answer_ends_with_its_receipt(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer = here.buyer()
        reply = await buyer.ask({**HELLO, "stream": True})

        assert reply.status == 200
        assert reply.text == "hello paid world"
        assert reply.receipt is not None
        assert (reply.receipt.status, reply.receipt.charge) == (Status.OK, COST)
        assert [event.name for event in reply.events[-2:]] == ["aitp.receipt", ""]
        assert reply.events[-1].data == "[DONE]"
        before = reply.body[: reply.body.index(b"event: aitp.receipt")]
        assert reply.receipt.response == blake2_256(before)
        assert all(msgspec.json.decode(event.data)["choices"] for event in reply.events[:-2])


async def test_who_has_no_voucher_is_told_three_ways_to_pay(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        reply = await here.post("/v1/chat/completions", HELLO)

        assert reply.status == 402
        assert reply.headers["Content-Type"].startswith("application/problem+json")
        assert reply.json["code"] == "gateway.payment_required"
        x402 = msgspec.json.decode(base64.b64decode(reply.headers["PAYMENT-REQUIRED"]))
        assert x402["x402Version"] == 2
        assert x402["accepts"][0]["network"] == f"polkadot:{GENESIS.hex()[:32]}"
        assert reply.headers["WWW-Authenticate"].startswith("Payment id=")
        ours = msgspec.json.decode(base64.urlsafe_b64decode(reply.headers["AI-Payment-Required"] + "==="))
        assert (ours["provider"], ours["book_version"], ours["service"]) == (7, 4, 42)


async def test_the_same_voucher_in_the_dress_of_other_protocols(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer = here.buyer()
        for name, before in (("PAYMENT-SIGNATURE", ""), ("Authorization", "Payment ")):
            promise = buyer.promise(10**9)
            voucher = buyer.headers(promise)["AI-Voucher"]
            dressed = base64.b64encode(msgspec.json.encode({"payload": {"voucher": voucher}})).decode()
            reply = await here.post("/v1/chat/completions", HELLO, {name: before + dressed})
            buyer.take(reply)
            assert reply.status == 200
            assert reply.receipt is not None


async def test_a_quote_binds_and_is_served_at_most_at_its_price(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer = here.buyer(book=4)
        raw = msgspec.json.encode({**HELLO, "max_tokens": 20})
        quote = await here.post("/.well-known/aitp/quote", {"path": "/v1/chat/completions", "body": raw.decode()})
        offer = Offer.decode(decode_signed(quote.json["offer"])[0])
        assert (offer.service, offer.book_version, offer.request) == (42, 4, request_hash(raw))

        here.chain.rates[840] = 10**15
        reply = await buyer.ask(raw, AI_Quote=quote.json["offer"])
        assert reply.receipt is not None
        assert reply.receipt.charge == 5 * 10**6 + 10 * 10**6
        assert reply.receipt.rate == 10**12

        unshown = await buyer.ask(raw)
        assert unshown.receipt is not None
        assert unshown.receipt.charge == offer.max_charge
        other = await buyer.ask({**HELLO, "max_tokens": 21}, AI_Quote=quote.json["offer"])
        assert (other.status, other.json["code"]) == (402, "gateway.quote_mismatch")


async def test_a_client_that_lost_its_state_is_told_where_its_lanes_are(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer = here.buyer(seed=5)
        for _ in range(3):
            await buyer.ask(HELLO)
        fresh = here.buyer(seed=5)
        promise = fresh.promise(10**9)
        refused = await here.post("/v1/chat/completions", HELLO, fresh.headers(promise))
        assert (refused.status, refused.json["code"]) == (402, "pay.out_of_step")
        fresh.session.adopt(Signed(*decode_signed(refused.json["receipt"])))
        reply = await fresh.ask(HELLO)
        assert reply.receipt is not None
        assert reply.receipt.seq == 4

        told = await here.get("/.well-known/aitp/session", fresh.headers(promise))
        assert [(lane["lane"], lane["seq"], lane["total"]) for lane in told.json["lanes"]] == [(0, 4, str(4 * COST))]
        page = await here.get("/.well-known/aitp/receipts?lane=0&after=1", fresh.headers(promise))
        assert len(page.json["receipts"]) == 3


async def test_a_session_is_ended_with_a_signed_total_and_stays_so(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer, chain = here.buyer(), here.chain
        await buyer.ask(HELLO)
        proof = buyer.session.acknowledgement(buyer.session.lanes[0])
        headers = {"AI-Voucher": encode_signed(proof.statement, proof.signature)}
        told = await here.post("/.well-known/aitp/close", b"", headers)
        statement, signature = decode_signed(told.json["closing"])
        closing = Closing.decode(statement)
        assert verify(signature, statement, OPERATOR.public)
        assert (closing.session_id, closing.final_total) == (buyer.id, COST)
        assert (await buyer.ask(HELLO)).json["code"] == "pay.session_closing"
    async with shop(tmp_path, chain=chain) as here:
        buyer.shop = here
        assert (await buyer.ask(HELLO)).json["code"] == "pay.session_closing"
        forged = {"AI-Voucher": encode_signed(proof.statement, bytes(64))}
        assert (await here.post("/.well-known/aitp/close", b"", forged)).status == 402


async def test_health_metrics_models_and_who_sells(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        await here.buyer().ask(HELLO)
        assert (await here.get("/healthz")).body == b"ok"
        metrics = (await here.get("/metrics")).body.decode()
        assert 'aitoken_gateway_receipts_total{status="ok"} 1.0' in metrics
        assert "aitoken_gateway_charged_base_units_total 15000.0" in metrics
        models = (await here.get("/v1/models")).json
        assert (
            models["data"][0]["pricing"]["units"]["input_token"] == "0.000001 / 1000000"
            or models["data"][0]["id"] == "echo"
        )
        about = (await here.get("/.well-known/aitp")).json
        assert about["provider"] == 7
        assert (await here.get("/.well-known/aitp/status")).json["open"] is True
