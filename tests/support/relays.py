"""A chain's side of what payers signed, without a chain, and a payer that signs."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import msgspec

from aitoken.crypto.ed25519 import Pair
from aitoken.pay.layouts import Authorization, OpenParams, session_id
from aitoken.types import AccountId, Balance, Hash32, Moment
from gateway.ports import AnySigned, ChainDown, Executed, OpeningTerms, SessionFacts
from tests.support.gateways import GENESIS, OPERATOR, FakeChain

PAYEE = AccountId(b"\x55" * 32)
START = 1_790_000_000_000


class FakeRelay:
    """Accounts with money, and nonces that are used once.

    Attributes:
        money: of accounts.
        moved: what was carried out, in order.
        down: nothing answers.
        lost: the next payment is carried out, but its outcome is not heard.
        problem: why the next payment is refused.
        held: payments wait while it is not set.
    """

    payee = PAYEE
    account = AccountId(OPERATOR.public)

    def __init__(self, chain: FakeChain) -> None:
        self.chain = chain
        self.money: dict[bytes, int] = {}
        self.used: dict[tuple[bytes, bytes], AccountId] = {}
        self.moved: list[tuple[bytes, int]] = []
        self.down = False
        self.lost = False
        self.problem = ""
        self.held = asyncio.Event()
        self.held.set()
        self.begun = asyncio.Event()
        self.paid = asyncio.Event()

    async def spendable(self, payer: AccountId) -> Balance:
        self._check()
        return Balance(self.money.get(payer, 0))

    async def used_by(self, payer: AccountId, nonce: bytes) -> AccountId | None:
        self._check()
        return self.used.get((payer, nonce))

    async def execute(self, order: AnySigned, amount: Balance) -> Executed:
        self.begun.set()
        await self.held.wait()
        self._check()
        terms = Authorization.decode(order.statement)
        assert 0 < amount <= terms.maximum
        assert amount == terms.maximum or not terms.exact
        if self.problem:
            return Executed(problem=self.problem)
        if (terms.payer, terms.nonce) in self.used:
            return Executed(problem="Pay.NonceUsed")
        if self.money[terms.payer] < amount:
            return Executed(problem="Balances.InsufficientBalance")
        self.money[terms.payer] -= amount
        self.used[(terms.payer, terms.nonce)] = self.account
        self.moved.append((terms.payer, amount))
        self.paid.set()
        if self.lost:
            self.lost = False
            raise ChainDown("nobody heard what became of it")
        return Executed(f"0x{len(self.moved):064x}")

    async def opening_terms(self) -> OpeningTerms:
        self._check()
        return OpeningTerms(500_000, 300, Balance(1000))

    async def open_for(
        self, payer: AccountId, params: OpenParams, deposit: Balance, valid_before: Moment, signature: bytes
    ) -> Executed:
        self._check()
        self.money[payer] -= deposit
        number = session_id(GENESIS, payer, params)
        self.chain.facts[number] = SessionFacts(
            number, payer, params.session_key, params.book_version, deposit, params.max_lanes
        )
        self.moved.append((payer, deposit))
        return Executed("0x01")

    def _check(self) -> None:
        if self.down:
            raise ChainDown("the chain is down")


class SinglePayer:
    """An account that signs single payments."""

    def __init__(self, relay: FakeRelay, money: int, seed: int = 0x77) -> None:
        self.pair = Pair(bytes([seed]) * 32)
        self.id = AccountId(self.pair.public)
        self.nonces = 0
        relay.money[self.id] = money

    def order(self, maximum: int, **changes: Any) -> AnySigned:
        """Sign a payment; the next nonce, unless `changes` says otherwise."""
        self.nonces += 1
        fields: dict[str, Any] = {
            "genesis": GENESIS, "payer": self.id, "payee": PAYEE, "asset": 0, "maximum": Balance(maximum),
            "exact": False, "valid_after": Moment(0), "valid_before": Moment(START + 900_000),
            "nonce": self.nonces.to_bytes(32, "little"), "memo_hash": Hash32(bytes(32)),
        }  # fmt: skip
        statement = Authorization(**{**fields, **changes}).encode()
        return AnySigned(statement, b"\x00" + self.pair.sign(statement))


def header(payload: dict[str, Any]) -> dict[str, str]:
    """Return what an x402 client sends."""
    told = {"x402Version": 2, "payload": payload, "accepted": {}}
    return {"PAYMENT-SIGNATURE": base64.b64encode(msgspec.json.encode(told)).decode()}


def paid_with(order: AnySigned) -> dict[str, str]:
    """Return the header of a request that an authorisation pays."""
    return header({"authorization": f"0x{order.statement.hex()}", "signature": f"0x{order.signature.hex()}"})


def settled(headers: Any) -> dict[str, Any]:
    """Return what an answer says of its payment."""
    told: dict[str, Any] = msgspec.json.decode(base64.b64decode(headers["PAYMENT-RESPONSE"]))
    return told
