"""What the measurements of a gateway have in common: a chain that knows one session, prices, a request, its buyer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec

from aitoken.crypto.ed25519 import Pair
from aitoken.pay.buyer import BuyerSession
from aitoken.pay.layouts import OpenParams, session_id
from aitoken.types import AccountId, Balance, BlockNumber, Hash32
from gateway.ports import ClaimItem, SessionFacts

GENESIS = Hash32(b"\x47" * 32)
OPERATOR, KEY = Pair(b"\x22" * 32), Pair(b"\x33" * 32)
PATH = "/v1/chat/completions"
BODY = msgspec.json.encode(
    {"model": "echo", "messages": [{"role": "user", "content": "what does it cost ? " * 10}], "max_tokens": 20}
)
PRICES = {
    "provider": 7,
    "book": [{"version": 1, "prices": {"input_token": "0.000000001", "output_token": "0.000000002"}}],
    "model": [{"name": "echo", "service": 1, "books": [1], "upstream": "builtin", "tokenizer": "pieces@1"}],
}
DEPOSIT = Balance(10**18)


LANES = 64
PAYER = AccountId(b"\xaa" * 32)


class OneSession:
    """One session, and nothing else."""

    genesis = GENESIS

    def __init__(self, facts: SessionFacts) -> None:
        self._facts = facts

    async def session(self, session: Hash32) -> SessionFacts | None:
        """Return it, if it is asked for."""
        return self._facts if session == self._facts.id else None

    async def changes(self) -> AsyncIterator[Hash32 | None]:
        """There are none."""
        await asyncio.Event().wait()
        yield None

    def rate(self, currency: int) -> int | None:  # noqa: ARG002 - all prices are in the asset
        """There is none."""
        return None

    async def claim(self, items: Sequence[ClaimItem]) -> Sequence[bool]:
        """Take all."""
        return [True] * len(items)


def session_facts() -> SessionFacts:
    """The session as the chain knows it."""
    return SessionFacts(_session(), PAYER, KEY.public, 1, DEPOSIT, LANES)


def buyer_of(lanes: int = LANES) -> BuyerSession:
    """The session as its buyer knows it, before its first request."""
    return BuyerSession(_session(), KEY, OPERATOR.public, DEPOSIT, lanes, DEPOSIT)


def _session() -> Hash32:
    return session_id(GENESIS, PAYER, OpenParams(7, 1, KEY.public, 0, BlockNumber(500_000), 300, LANES, bytes(16)))
