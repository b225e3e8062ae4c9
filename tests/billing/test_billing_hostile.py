"""The billing kit against strangers and crashes: B38 malformed payment headers, B40 kill -9 at each write point."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import random
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.support.gateway_fleet import (
    CHAT,
    HELLO,
    MOST,
    NOBODY,
    WHERE,
    Child,
    Seen,
    acknowledge,
    ask_once,
    buyer_of,
    claimable,
    storm,
)
from tests.support.gateways import read_reply, shop


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


FULL = os.environ.get("AITOKEN_BILLING") == "full"
REQUESTS = int(os.environ.get("AITOKEN_BILLING_REQUESTS", "10000" if FULL else "150"))
POINTS = ("answered:2", "before_commit:1", "before_send:3")
if FULL:
    POINTS = tuple(f"{point}:{nth}" for point in WHERE for nth in (1, 2, 3))


@pytest.mark.slow
@pytest.mark.xdist_group("billing")
@pytest.mark.timeout(1800)
async def test_b40_killed_at_any_write_point_nothing_is_charged_twice_lost_or_signed_twice(tmp_path: Path) -> None:
    """Receipts are collected wherever they show up; a number has one receipt, and what was accepted can be claimed."""

    buyer, seen = buyer_of(40, 10**12, 64), Seen()
    for point in (*POINTS, ""):
        async with Child(tmp_path, [buyer], point) as child, aiohttp.ClientSession() as http:
            avoid: set[int] = set()
            for _ in range(6):
                if await ask_once(http, child.url, buyer, avoid, seen.note) == NOBODY:
                    break
            if not point:
                for lane in buyer.session.lanes.values():
                    await acknowledge(http, child.url, buyer, lane, seen.note)
                await asyncio.sleep(0.2)

    assert buyer.session.spent > 0
    assert await claimable(tmp_path, [buyer], [10**12]) == [buyer.session.spent]


@pytest.mark.slow
@pytest.mark.xdist_group("billing")
@pytest.mark.timeout(3600)
async def test_b15_b16_b40_random_budgets_many_at_once_and_kills_never_one_unit_over(
    tmp_path: Path, kept_in: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Careless buyers promise more than they have put down, all at once; gateways are killed while they serve them.

    What a crash made a gateway forget it has served for nothing; nobody is charged for it.
    """
    rng, gateways = random.Random(15), 4 if kept_in == "postgres" else 1
    count = max(4, REQUESTS // 150)
    budgets = [rng.randrange(0, REQUESTS // count) * 5000 + rng.randrange(5000) for _ in range(count)]
    buyers = [buyer_of(100 + number, budget, 256) for number, budget in enumerate(budgets)]
    crashes = [f"{rng.choice(WHERE)}:{rng.randrange(5, 60)}" for _ in range(4 if FULL else 1)]
    begun = time.monotonic()
    seen, served, deaths = await storm(tmp_path, buyers, REQUESTS, gateways, crashes, rng)
    took = time.monotonic() - begun
    paid = await claimable(tmp_path, buyers, budgets)
    assert all(amount <= budget for amount, budget in zip(paid, budgets, strict=True))
    assert deaths
    assert served
    assert 0 < sum(paid) <= sum(budgets)
    with capsys.disabled():
        print(
            f"\n{kept_in}: {REQUESTS} at once, {gateways} gateways, {deaths} killed, {served} served, "
            f"{len(seen.statements)} receipts, {sum(paid)} of {sum(budgets)} charged, {took:.0f} s"
        )  # fmt: skip
