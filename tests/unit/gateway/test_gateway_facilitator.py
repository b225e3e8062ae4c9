"""What a facilitator verifies, settles and refuses, by the names x402 has for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from aitoken.crypto import sr25519
from aitoken.crypto.ed25519 import Pair
from aitoken.pay.layouts import Authorization
from aitoken.types import AccountId, Balance, Hash32, Moment
from gateway.facilitator import SETTLING_MAX, Facilitator
from tests.support.gateways import GENESIS, FakeChain, FakeClock
from tests.support.relays import PAYEE, START, FakeRelay

NETWORK = f"polkadot:{GENESIS.hex()[:32]}"
PAYER = Pair(b"\x61" * 32)
PRICE = 5000
OTHER = f"polkadot:{'ab' * 16}"
HOUR = 3_600_000


class Desk:
    """A facilitator, and a payer with money."""

    def __init__(self, **more: Any) -> None:
        self.clock = FakeClock()
        self.relay = FakeRelay(FakeChain())
        self.relay.money[AccountId(PAYER.public)] = 10 * PRICE
        given = {"payees": [PAYEE], "least": Balance(100)} | more
        self.facilitator = Facilitator(self.relay, GENESIS, self.clock, **given)
        self.count = 0

    def ask(
        self, scheme: str = "exact", amount: int | None = None, signer: Any = PAYER, **terms: Any
    ) -> dict[str, Any]:
        """What a server sends for a payment; `amount` is what it wants, where that is not what was signed."""
        self.count += 1
        signed = replace(
            Authorization(
                GENESIS, AccountId(bytes(signer.public)), PAYEE, 0, Balance(PRICE), scheme == "exact", Moment(0),
                Moment(START + HOUR), self.count.to_bytes(32, "little"), Hash32(bytes(32)),
            ),
            **terms,
        )  # fmt: skip
        statement = signed.encode()
        signature = bytes((signer.kind,)) + signer.sign(statement)
        wanted = {
            "scheme": scheme, "network": NETWORK, "asset": "native",
            "amount": str(signed.maximum if amount is None else amount), "payTo": f"0x{PAYEE.hex()}",
            "maxTimeoutSeconds": 300, "extra": {},
        }  # fmt: skip
        payload = {
            "x402Version": 2, "accepted": wanted,
            "payload": {"authorization": f"0x{statement.hex()}", "signature": f"0x{signature.hex()}"},
        }  # fmt: skip
        return {"x402Version": 2, "paymentPayload": payload, "paymentRequirements": dict(wanted)}

    async def reasons(self, told: Any) -> set[str]:
        """Why a payment is neither verified nor settled."""
        verified, settled = await self.facilitator.verify(told), await self.facilitator.settle(told)
        assert (verified["isValid"], settled["success"], settled["transaction"]) == (False, False, "")
        return {verified["invalidReason"], settled["errorReason"]}


@pytest.mark.parametrize("signer", [PAYER, sr25519.Pair(b"\x62" * 32)], ids=["ed25519", "sr25519"])
async def test_a_payment_is_verified_and_settled_once(signer: Any) -> None:
    desk = Desk()
    desk.relay.money[AccountId(bytes(signer.public))] = 10 * PRICE
    told, payer = desk.ask(signer=signer), f"0x{bytes(signer.public).hex()}"
    assert await desk.facilitator.verify(told) == {"isValid": True, "payer": payer}
    assert desk.relay.moved == []
    settled = await desk.facilitator.settle(told)
    assert settled == {
        "success": True, "network": NETWORK, "transaction": f"0x{1:064x}", "payer": payer, "amount": str(PRICE),
    }  # fmt: skip
    assert await desk.reasons(told) == {"invalid_exact_polkadot_nonce_already_used"}
    assert desk.relay.moved == [(bytes(signer.public), PRICE)]


async def test_of_upto_what_was_used_is_moved_and_nothing_where_nothing_was() -> None:
    desk = Desk()
    for used in (0, 7, PRICE):
        assert (await desk.facilitator.verify(desk.ask("upto")))["isValid"]
        settled = await desk.facilitator.settle(desk.ask("upto", used))
        assert (settled["success"], settled["amount"], bool(settled["transaction"])) == (True, str(used), used > 0)
    assert [amount for _, amount in desk.relay.moved] == [7, PRICE]
    over = await desk.facilitator.settle(desk.ask("upto", PRICE + 1))
    assert over["errorReason"] == "invalid_upto_polkadot_payload_authorization_value_mismatch"
    part = await desk.facilitator.verify(desk.ask("upto", PRICE - 1))
    assert part["invalidReason"] == "invalid_upto_polkadot_payload_authorization_value_mismatch"


async def test_what_is_wrong_with_a_payment_has_the_name_x402_has_for_it() -> None:
    desk, of = Desk(), "invalid_exact_polkadot_payload_"
    cases: list[tuple[dict[str, Any], str]] = [
        (desk.ask(amount=PRICE - 1), of + "authorization_value_mismatch"),
        (desk.ask(amount=PRICE + 1), of + "authorization_value_mismatch"),
        (desk.ask(payee=AccountId(b"\x56" * 32)), of + "recipient_mismatch"),
        (desk.ask(valid_before=Moment(START)), of + "authorization_valid_before"),
        (desk.ask(valid_before=Moment(START + 1000 * HOUR)), of + "authorization_valid_before"),
        (desk.ask(valid_after=Moment(START + HOUR // 2)), of + "authorization_valid_after"),
        (desk.ask(payer=AccountId(b"\x57" * 32)), of + "signature"),
        (desk.ask(genesis=Hash32(b"\x48" * 32)), "invalid_network"),
        (desk.ask(asset=7), "invalid_payload"),
        (desk.ask(exact=False), "invalid_payload"),
        (desk.ask(maximum=Balance(99)), "invalid_payment_requirements"),
        (desk.ask(maximum=Balance(11 * PRICE)), "insufficient_funds"),
        (desk.ask("upto", exact=True), "invalid_payload"),
    ]
    for told, reason in cases:
        assert await desk.reasons(told) == {reason}
    changes: list[tuple[str, Any, str]] = [
        ("scheme", "batch-settlement", "unsupported_scheme"), ("network", OTHER, "invalid_network"),
        ("asset", "USDC", "invalid_payment_requirements"), ("amount", "-1", "invalid_payment_requirements"),
        ("amount", 5000, "invalid_payment_requirements"), ("payTo", "5Grw", "invalid_payment_requirements"),
        ("payTo", "0x" + "zz" * 32, "invalid_payment_requirements"),
        ("payTo", "0x" + "56" * 32, "invalid_payment_requirements"),
    ]  # fmt: skip
    for name, value, reason in changes:
        told = desk.ask()
        told["paymentRequirements"][name] = value
        assert await desk.reasons(told) == {reason}, (name, value)
    assert desk.relay.moved == []


async def test_what_is_no_payment_at_all_is_refused() -> None:
    desk = Desk()
    for path, value, reason in (
        (("x402Version",), 1, "invalid_x402_version"),
        (("paymentPayload", "x402Version"), 1, "invalid_x402_version"),
        (("paymentPayload", "accepted"), None, "unsupported_scheme"),
        (("paymentPayload", "accepted", "network"), OTHER, "invalid_network"),
        (("paymentPayload", "payload"), None, "invalid_payload"),
        (("paymentPayload", "payload"), {"voucher": "x"}, "invalid_payload"),
        (("paymentPayload", "payload", "authorization"), "0x" + "00" * 205, "invalid_payload"),
        (("paymentPayload", "payload", "signature"), "0x00", "invalid_payload"),
        (("paymentPayload",), 7, "invalid_payload"),
        (("paymentRequirements",), [], "invalid_payload"),
    ):
        told = desk.ask()
        place = told
        for name in path[:-1]:
            place[name] = dict(place[name])
            place = place[name]
        place[path[-1]] = value
        assert await desk.reasons(told) == {reason}, path


async def test_anybody_is_served_where_that_was_said() -> None:
    desk = Desk(payees=[])
    payee = AccountId(b"\x56" * 32)
    told = desk.ask(payee=payee)
    told["paymentRequirements"]["payTo"] = f"0x{payee.hex()}"
    assert (await desk.facilitator.settle(told))["success"]


async def test_one_payment_is_settled_once_by_however_many_at_a_time() -> None:
    desk = Desk()
    told = desk.ask()
    desk.relay.held.clear()
    first = asyncio.ensure_future(desk.facilitator.settle(told))
    await desk.relay.begun.wait()
    assert (await desk.facilitator.settle(told))["errorReason"] == "duplicate_settlement"
    desk.relay.held.set()
    assert (await first)["success"]
    assert len(desk.relay.moved) == 1


async def test_an_outcome_that_was_not_heard_is_pending_and_found_out_when_it_is_asked_for_again() -> None:
    desk = Desk()
    told = desk.ask()
    desk.relay.lost = True
    assert (await desk.facilitator.settle(told))["errorReason"] == "settlement_pending"
    again = await desk.facilitator.settle(told)
    assert (again["success"], again["amount"]) == (True, str(PRICE))
    assert await desk.reasons(told) == {"invalid_exact_polkadot_nonce_already_used"}
    assert len(desk.relay.moved) == 1


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        ("Pay.NonceUsed", "invalid_exact_polkadot_nonce_already_used"),
        ("Pay.Expired", "invalid_exact_polkadot_payload_authorization_valid_before"),
        ("Balances.InsufficientBalance", "insufficient_funds"),
        ("Token.FundsUnavailable", "insufficient_funds"),
        ("System.CallFiltered", "invalid_transaction_state"),
    ],
)
async def test_what_the_chain_refuses_is_not_settled(problem: str, reason: str) -> None:
    desk = Desk()
    desk.relay.problem = problem
    assert (await desk.facilitator.settle(desk.ask()))["errorReason"] == reason


async def test_a_chain_that_is_down_moves_nothing() -> None:
    desk = Desk()
    desk.relay.down = True
    assert await desk.reasons(desk.ask()) == {"unexpected_verify_error", "unexpected_settle_error"}


async def test_it_answers_over_http() -> None:
    desk = Desk()
    async with TestServer(desk.facilitator.app()) as server, aiohttp.ClientSession(server.make_url("/")) as http:
        async with http.get("/supported") as response:
            told = await response.json()
        kinds = {(kind["x402Version"], kind["scheme"], kind["network"]) for kind in told["kinds"]}
        assert kinds == {(2, "exact", NETWORK), (2, "upto", NETWORK)}
        assert told["signers"] == {"polkadot:*": [f"0x{desk.relay.account.hex()}"]}
        asked = desk.ask()
        async with http.post("/verify", json=asked) as response:
            assert (response.status, (await response.json())["isValid"]) == (200, True)
        async with http.post("/settle", json=asked) as response:
            assert (response.status, (await response.json())["success"]) == (200, True)
        for body in (b"", b"[]", b"{", b"[" * 9000, b"\xff"):
            for path in ("/verify", "/settle"):
                async with http.post(path, data=body) as response:
                    assert response.status == 400
        async with http.post("/settle", data=b"x" * (65 << 10)) as response:
            assert response.status == 413


async def test_only_so_many_are_settled_at_once() -> None:
    desk = Desk()
    desk.relay.money[AccountId(PAYER.public)] = PRICE * SETTLING_MAX
    desk.relay.held.clear()
    waiting = [asyncio.ensure_future(desk.facilitator.settle(desk.ask())) for _ in range(SETTLING_MAX)]
    await asyncio.sleep(0)
    async with (
        TestServer(desk.facilitator.app()) as server,
        aiohttp.ClientSession(server.make_url("/")) as http,
        http.post("/settle", json=desk.ask()) as response,
    ):
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
    desk.relay.held.set()
    assert all(told["success"] for told in await asyncio.gather(*waiting))
