"""The billing kit against strangers and crashes: B38 malformed payment headers, B40 kill -9 at each write point."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from aitoken.pay.buyer import BuyerLane
from aitoken.pay.errors import OverDeposit, PayRejected
from aitoken.pay.headers import decode_signed, encode_signed
from aitoken.pay.layouts import Receipt
from aitoken.pay.rules import NEW_LANE, claim, mature
from aitoken.pay.seller import SellerSession, Signed
from aitoken.types import Balance, Hash32, Moment
from gateway.store import open_store
from tests.support.gateways import DATABASES, GENESIS, OPERATOR, Buyer, FakeClock, place_of, read_reply, shop
from tests.tidy.rules import ROOT

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
MOST = 10**6


def wrong_headers(good: str, rng: random.Random) -> list[list[tuple[str, str]]]:
    """Payment headers nobody should send."""
    raw = bytearray(base64.urlsafe_b64decode(good + "=" * (-len(good) % 4)))

    def flipped() -> str:
        changed = bytearray(raw)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        return base64.urlsafe_b64encode(bytes(changed)).rstrip(b"=").decode()

    def dressed(value: object) -> str:
        return base64.b64encode(msgspec.json.encode(value)).decode()

    texts = [
        "", "x", "=", "%%%", "A" * 252, "A" * 4000, good[:-1], good + "A", good + "=", good.replace("A", "*", 1),
        *(flipped() for _ in range(60)), *(good[: rng.randrange(len(good))] for _ in range(20)),
        base64.b64encode(bytes(raw)).decode() + "==", "\u00fc\u00e4".encode().decode("latin-1"),
    ]  # fmt: skip
    cases = [[("AI-Voucher", text)] for text in texts]
    cases += [
        [("AI-Voucher", good), ("AI-Voucher", good)],
        [("AI-Voucher", good), ("PAYMENT-SIGNATURE", dressed({"payload": {"voucher": good[:-4] + "AAAA"}}))],
        [("PAYMENT-SIGNATURE", "no base64 !")],
        [("PAYMENT-SIGNATURE", dressed([]))],
        [("PAYMENT-SIGNATURE", dressed({"payload": 7}))],
        [("PAYMENT-SIGNATURE", dressed({"payload": {"voucher": 7}}))],
        [("PAYMENT-SIGNATURE", base64.b64encode(b"[" * 5000).decode())],
        [("Authorization", "Payment")],
        [("Authorization", "Payment !!!")],
        [("Authorization", "Payment " + dressed({"payload": {}}))],
        [("Authorization", "Bearer sk-nothing")],
    ]
    for name, values in {
        "AI-Max-Cost": ("", "-1", "1e9", "0.1", "1 BTC", "9" * 40, "0.1234567890123 AIT"),
        "AI-Window": ("0", "-1", "x", "99999999"),
        "AI-Quote": ("x", good, "A" * 4000),
        "Idempotency-Key": ("", "a b", "x" * 256),
    }.items():
        cases += [[("AI-Voucher", good), (name, value)] for value in values]
    return cases


async def test_b38_malformed_payment_headers_are_400_or_402_with_a_reason_and_never_served(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer = here.buyer(book=3)
        rng = random.Random(38)
        good = buyer.headers(buyer.promise(MOST))["AI-Voucher"]
        raw = msgspec.json.encode(HELLO)
        for case in wrong_headers(good, rng):
            headers = [("Content-Type", "application/json"), *case]
            async with here.http.post(here.url + CHAT, data=raw, headers=headers) as response:
                reply = await read_reply(response)
            assert reply.status in (400, 402), (case, reply.status, reply.body)
            if reply.headers["Content-Type"] == "application/problem+json":
                assert reply.json["detail"], case
            assert reply.receipt is None
        assert not any(known.seller.reserved for known in here.gateway.sessions.all())
        oversized = {"Content-Type": "application/json", "AI-Voucher": "A" * 100_000}
        async with here.http.post(here.url + CHAT, data=raw, headers=oversized) as response:
            assert response.status == 400


async def test_b38_malformed_bodies_are_refused_before_anything_is_paid(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        buyer = here.buyer(book=3)
        headers = buyer.headers(buyer.promise(MOST))
        bodies: list[Any] = [
            b"", b"{", b"[]", b"7", b"\xff\xfe", b'{"model":"\\ud800"}', b"[" * 10_000, {}, {"model": 7},
            {**HELLO, "messages": []}, {**HELLO, "messages": ["x"]}, {**HELLO, "n": 0}, {**HELLO, "n": True},
            {**HELLO, "max_tokens": -1}, {**HELLO, "max_tokens": 10**30}, {**HELLO, "stream": "yes"},
            {**HELLO, "service_tier": "gold"}, {**HELLO, "models": "x"}, {**HELLO, "stream_options": 3},
        ]  # fmt: skip
        for body in bodies:
            reply = await here.post(CHAT, body, headers)
            assert reply.status == 400, (body, reply.status, reply.body)
        assert (await here.post(CHAT, {**HELLO, "model": "none"}, headers)).status == 404
        assert (await here.post("/v1/embeddings", {"model": "script", "input": []}, headers)).status == 400
        assert (await here.post("/v1/images/generations", {"model": "script", "prompt": 1}, headers)).status == 400
        large = {"Content-Type": "application/json", **headers}
        async with here.http.post(here.url + CHAT, data=io.BytesIO(b"x" * (9 << 20)), headers=large) as response:
            assert response.status == 413
        assert (await buyer.ask(HELLO, MOST)).status == 200


# ------------------------------------------------------------------------------------------------- crashes


class Child:
    """A gateway in a process of its own that kills itself at a point."""

    def __init__(self, folder: Path, sessions: list[Buyer], crash: str) -> None:
        facts = [
            {
                "payer": b.payer.hex(), "key": b.key.public.hex(), "id": b.id.hex(), "deposit": b.session.deposit,
                "lanes": b.session.max_lanes,
            }
            for b in sessions
        ]  # fmt: skip
        self._folder = str(folder)
        self._arguments = [str(place_of(folder)), msgspec.json.encode(facts).decode(), crash]
        self.process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def __aenter__(self) -> Child:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.gateway_child", *self._arguments, cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        port = (await asyncio.wait_for(self.process.stdout.readline(), 60)).strip()
        self.url = f"http://127.0.0.1:{port.decode()}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()
        if DATABASES:
            await asyncio.to_thread(DATABASES[-1].bury, self._folder)


class NoShop:
    """Where a buyer keeps nothing: the gateway lives in another process."""

    clock = FakeClock()
    chain = type("Chain", (), {"open": lambda self, facts: None})()


WHERE = ("admitted", "held", "answered", "signed", "before_commit", "after_commit", "before_send")
POINTS = ("answered:2", "before_commit:1", "before_send:3")
if os.environ.get("AITOKEN_BILLING") == "full":
    POINTS = tuple(f"{point}:{nth}" for point in WHERE for nth in (1, 2, 3))


@pytest.mark.slow
@pytest.mark.xdist_group("billing")
@pytest.mark.timeout(1800)
async def test_b40_killed_at_any_write_point_nothing_is_charged_twice_lost_or_signed_twice(tmp_path: Path) -> None:
    """Receipts are collected wherever they show up; a number has one receipt, and what was accepted can be claimed."""

    buyer = Buyer(NoShop(), 40, 10**12, 10**12, 3, 64)  # type: ignore[arg-type]
    seen: dict[tuple[int, int], bytes] = {}

    def note(signed: Signed) -> None:
        receipt = Receipt.decode(signed.statement)
        assert seen.setdefault((receipt.lane, receipt.seq), signed.statement) == signed.statement

    for point in (*POINTS, ""):
        async with Child(tmp_path, [buyer], point) as child, aiohttp.ClientSession() as http:
            avoid: set[int] = set()
            for _ in range(6):
                if not await ask_once(http, child.url, buyer, avoid, note):
                    break
            if not point:
                for lane in buyer.session.lanes.values():
                    await acknowledge(http, child.url, buyer, lane, note)
                await asyncio.sleep(0.2)

    assert buyer.session.spent > 0
    assert await claimable(tmp_path, buyer) == buyer.session.spent


@pytest.mark.slow
@pytest.mark.xdist_group("billing")
@pytest.mark.timeout(1800)
async def test_b15_b40_random_budgets_many_at_once_and_kills_never_one_unit_over(tmp_path: Path) -> None:
    """Careless buyers promise more than they have put down; the gateway is killed while it serves them."""
    rng, charged = random.Random(15), dict[bytes, int]()
    full = os.environ.get("AITOKEN_BILLING") == "full"
    rounds, requests = (40, 250) if full else (2, 60)
    budgets = [rng.randrange(0, 40) * 3000 + rng.randrange(3000) for _ in range(8)]
    buyers = [Buyer(NoShop(), 100 + n, budget, 10**12, 3, 256) for n, budget in enumerate(budgets)]  # type: ignore[arg-type]
    seen: dict[tuple[bytes, int, int], bytes] = {}

    def note(signed: Signed) -> None:
        receipt = Receipt.decode(signed.statement)
        place = (receipt.session_id, receipt.lane, receipt.seq)
        assert seen.setdefault(place, signed.statement) == signed.statement

    for number in range(rounds):
        crash = f"{rng.choice(WHERE)}:{rng.randrange(5, requests)}" if number < rounds - 1 else ""
        async with Child(tmp_path, buyers, crash) as child, aiohttp.ClientSession() as http:
            for buyer in buyers:
                buyer.session.deposit = Balance(10**12)
            tasks = [
                asyncio.ensure_future(careless(http, child.url, rng.choice(buyers), note)) for _ in range(requests)
            ]
            await asyncio.gather(*tasks)
        for buyer, budget in zip(buyers, budgets, strict=True):
            charged[buyer.id] = await claimable(tmp_path, buyer, budget)
            assert charged[buyer.id] <= budget
    # What a crash made the gateway forget it has served for nothing; nobody is charged for it.
    assert len(seen) > len(buyers)
    assert sum(charged.values()) > 0


async def careless(http: aiohttp.ClientSession, url: str, buyer: Buyer, note: Any) -> None:
    """One request of a buyer that sends it whatever it has left."""
    try:
        await ask_once(http, url, buyer, set(), note)
    except PayRejected:
        pass  # no free lane, or the lane moved on: another request has it


async def acknowledge(http: aiohttp.ClientSession, url: str, buyer: Buyer, lane: BuyerLane, note: Any) -> None:
    """Countersign a lane, and before it a receipt that never arrived."""
    for _ in range(2):
        ack = buyer.session.acknowledgement(lane)
        headers = {"AI-Voucher": encode_signed(ack.statement, ack.signature)}
        async with http.post(url + "/.well-known/aitp/voucher", headers=headers) as response:
            reply = await read_reply(response)
        if reply.status == 200:
            return
        signed = Signed(*decode_signed(reply.json["receipt"]))
        note(signed)
        buyer.session.accept(signed)
    raise AssertionError(reply.body)


async def ask_once(http: aiohttp.ClientSession, url: str, buyer: Buyer, avoid: set[int], note: Any) -> bool:
    """One request, with what an honest buyer does after a refusal; tell whether the gateway still lives."""
    promise = buyer.session.promise(Balance(MOST), buyer.shop.clock.now(), avoid=avoid)
    try:
        async with http.post(url + CHAT, json=HELLO, headers=buyer.headers(promise)) as response:
            reply = await read_reply(response)
    except aiohttp.ClientError:
        buyer.session.give_up(promise)
        return False
    if reply.signed is not None:
        note(reply.signed)
        buyer.session.accept(reply.signed)
        return True
    buyer.session.give_up(promise)
    assert reply.status in (402, 429), reply.body
    if "receipt" in reply.json:
        signed = Signed(*decode_signed(reply.json["receipt"]))
        note(signed)
        buyer.session.accept(signed)
    avoid |= set(reply.json.get("used_lanes", ()))
    return True


async def claimable(folder: Path, buyer: Buyer, deposit: int = 10**12) -> int:
    """What a chain pays for what is on disk, from a deposit."""
    async with open_store(place_of(folder), GENESIS, OPERATOR.public) as store:
        seller = SellerSession(Hash32(buyer.id), buyer.key.public, Balance(10**12), 256)
        committed = paid = 0
        for stored in await store.lanes(buyer.id):
            best = seller.restore(stored.lane, stored.voucher, stored.receipt).claim(Moment(0))
            if best is None:
                continue
            try:
                state = claim(NEW_LANE, best, Balance(deposit - committed), 0, Moment(0))
            except OverDeposit:
                continue
            committed, paid = committed + state.committed, paid + mature(state).paid
        assert paid == committed <= deposit
        return paid
