"""What the gateway needs of the world: a clock, the chain, and servers that answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from aitoken.errors import Unavailable
from aitoken.light import light
from aitoken.pay.layouts import OpenParams
from aitoken.pay.rules import Claim
from aitoken.pay.seller import Signed
from aitoken.types import AccountId, Balance, Hash32, Moment


class Clock(Protocol):
    """Wall-clock time."""

    def now(self) -> Moment:
        """Unix milliseconds."""


# ------------------------------------------------------------------------------------------------- the chain


@dataclass(frozen=True, slots=True)
class RateLock:
    """A rate both sides agreed on until a moment."""

    rate: int
    until: Moment


@dataclass(frozen=True, slots=True)
class PassFacts:
    """A pass of a payer's plan with this provider.

    Attributes:
        subscription: its number.
        period: number of the period that is paid.
        ends: when that ends.
        models: blake2b-256 of the names of models it is good for; none means all.
        tier: the best service tier it entitles to.
        queue: its class in the queue, a higher one first.
        included: units that are paid with it, by unit.
        used: how many of them the chain knows to be used.
    """

    subscription: int
    period: int
    ends: Moment
    models: frozenset[Hash32] = frozenset()
    tier: int = 0
    queue: int = 0
    included: Mapping[int, int] = field(default_factory=dict)
    used: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What the chain knows of a session.

    Attributes:
        id: the session.
        payer: whose money it is.
        key: the 32-byte session key.
        book_version: the prices it is bound to.
        deposit: what was put down, top-ups included.
        max_lanes: how many lanes there may be.
        closing: nothing new is to be served: closing was asked for, or it is frozen or about to expire.
        frozen: what is being served stops as well.
        rate_lock: the agreed rate, if any.
        passes: the payer's, with this provider.
    """

    id: Hash32
    payer: AccountId
    key: bytes
    book_version: int
    deposit: Balance
    max_lanes: int
    closing: bool = False
    frozen: bool = False
    rate_lock: RateLock | None = None
    passes: tuple[PassFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimItem:
    """A claim on a lane, with the signatures it needs."""

    claim: Claim
    voucher: Signed
    receipt: Signed | None


class ChainDown(Unavailable):
    """The chain does not answer."""

    code = "gateway.chain_down"


class ChainSide(Protocol):
    """The chain as a seller needs it. What raises, raises `ChainDown`."""

    genesis: Hash32

    async def session(self, session: Hash32) -> SessionFacts | None:
        """Return what the chain knows of a session with this provider; None where there is none."""

    def changes(self) -> AsyncIterator[Hash32 | None]:
        """Go through the sessions of this provider that change on chain, as they do; None where any may have."""

    def rate(self, currency: int) -> int | None:
        """Return base units per whole of a currency as receipts may use it now; None where nothing is fresh."""

    async def claim(self, items: Sequence[ClaimItem]) -> Sequence[bool]:
        """Submit claims and wait until they are final; tell which were accepted."""

    async def end(self, sessions: Sequence[Hash32]) -> Sequence[bool]:
        """End sessions as their provider, at once and with all that was not claimed; tell which did."""

    async def is_over(self, session: Hash32) -> bool:
        """Whether a session has ended: nothing can be claimed of it any more."""


# ------------------------------------------------------------------------------------------------- what is relayed


@dataclass(frozen=True, slots=True)
class AnySigned:
    """Bytes and a signature of an account, in the form the chain has: one byte for its kind before it."""

    statement: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Executed:
    """What became of a relayed payment: the transaction, or why the chain refused it."""

    transaction: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class OpeningTerms:
    """What a session that is opened now may look like."""

    expires_block: int
    grace_blocks: int
    least: Balance


class RelaySide(Protocol):
    """The chain as whoever carries out what payers signed needs it. What raises, raises `ChainDown`.

    Attributes:
        payee: whom single payments have to pay: the account the chain has for this provider.
        account: whose transactions these are.
    """

    payee: AccountId
    account: AccountId

    async def spendable(self, payer: AccountId) -> Balance:
        """Return what an account could pay now and stay alive."""

    async def used_by(self, payer: AccountId, nonce: bytes) -> AccountId | None:
        """Return who used up a nonce of a payer, None where nobody has."""

    async def execute(self, order: AnySigned, amount: Balance) -> Executed:
        """Carry out an authorisation for an amount; final when it returns."""

    async def opening_terms(self) -> OpeningTerms:
        """Return what an opening has to keep to."""

    async def open_for(
        self, payer: AccountId, params: OpenParams, deposit: Balance, valid_before: Moment, signature: bytes
    ) -> Executed:
        """Open a session a payer ordered; final when it returns."""


# ------------------------------------------------------------------------------------------------- servers that answer


class UpstreamFailed(Unavailable):
    """An upstream does not answer, breaks off, or answers what is no answer."""

    code = "gateway.upstream_failed"


@light
@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of an upstream."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event."""

    data: str
    name: str = ""


class Flow(Protocol):
    """An answer that flows. Where `refused` is set, it does not, and that is the answer."""

    refused: Answer | None

    def __aiter__(self) -> AsyncIterator[Event]:
        """Go through its events; raises `UpstreamFailed` where it breaks off."""


class Upstream(Protocol):
    """A server with an OpenAI-compatible API. What raises, raises `UpstreamFailed`."""

    async def ask(self, path: str, body: bytes) -> Answer:
        """Post a body and return the whole answer."""

    def stream(self, path: str, body: bytes) -> AbstractAsyncContextManager[Flow]:
        """Post a body and let the answer flow; leaving the context hangs up."""
