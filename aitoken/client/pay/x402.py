"""Schemes with which the x402 library for Python pays on this chain; the library is not needed to import them.

    from x402 import x402Client
    from x402.http.clients.httpx import x402HttpxClient
    from aitoken.client.pay.x402 import Limits, UptoScheme, controls, network_of

    scheme = UptoScheme(pair, genesis, Limits(payment=AIT // 10, total=AIT))
    client = x402Client().register(network_of(genesis), scheme)
    client.set_spend_controls(controls(genesis, scheme.limits.payment))
    async with x402HttpxClient(client) as http:
        await http.post(url, json=body)

`UptoScheme` and `ExactScheme` sign a payment a request; they need a key, and no node. `SessionScheme` signs vouchers
from a session of a purse, so that any number of requests are one transaction, and checks every receipt.

The library's own cap ("$1") takes one token for a dollar. So the token is no asset it knows by itself: `controls` names
it with a cap in base units, and the schemes have caps of their own beyond which they sign nothing, whatever the library
was told.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aitoken.client.pay.errors import CapReached, WrongGateway
from aitoken.client.pay.payer import Payer, Tab, wall_clock
from aitoken.client.pay.shop import Shop
from aitoken.crypto.signature import Signer
from aitoken.pay.buyer import ANY_TERMS, Promise, Terms
from aitoken.pay.errors import ExposureTooHigh, LaneBusy, LaneUnknown, OutOfStep, OverDeposit
from aitoken.pay.headers import decode_signed, encode_signed
from aitoken.pay.layouts import Authorization, Receipt
from aitoken.pay.rules import NOTHING
from aitoken.pay.seller import Signed
from aitoken.types import AccountId, Balance, Hash32, Moment

ASSET: Final = "native"
HOLDS_S_MAX: Final = 3600
"""A payment is signed for this long at most, whatever the seller asks for."""


class Requirements(Protocol):
    """What of an x402 offer the schemes read."""

    network: str
    asset: str
    amount: str
    pay_to: str
    max_timeout_seconds: int
    extra: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be signed, in base units.

    Attributes:
        payment: the most of one payment.
        total: the most of all payments of a scheme together. What a payment might have come to counts, not what a
            seller says it did.
    """

    payment: Balance
    total: Balance


@dataclass(frozen=True, slots=True)
class Recovered:
    """Tells the library to send the request once more."""

    recovered: bool = True


def network_of(genesis: Hash32) -> str:
    """Return a chain's name in x402."""
    return f"polkadot:{genesis.hex()[:32]}"


def controls(genesis: Hash32, payment: Balance) -> dict[str, Any]:
    """Return spend controls that allow the token, up to a number of base units a payment."""
    entry = {"network": network_of(genesis), "asset": ASSET, "max_amount_per_payment": str(payment)}
    return {"allowed_assets": [entry]}


class _SingleScheme:
    scheme = ""
    exact = False

    def __init__(self, pair: Signer, genesis: Hash32, limits: Limits, now: Callable[[], Moment] = wall_clock) -> None:
        """Pay from an account.

        Args:
            pair: whose money it is.
            genesis: the chain's genesis hash.
            limits: what may be signed.
            now: the clock.
        """
        self.limits = limits
        self.signed = NOTHING
        self._pair = pair
        self._genesis = genesis
        self._now = now

    def create_payment_payload(self, requirements: Requirements) -> dict[str, str]:
        """Sign a payment; the library calls this.

        Raises:
            CapReached: a limit forbids it; nothing was signed.
            WrongGateway: the offer is not of this chain, or makes no sense.
        """
        amount = _amount_of(requirements, self._genesis)
        if amount > self.limits.payment:
            raise CapReached(f"a payment may be {self.limits.payment} base units, {amount} are asked for")
        if self.signed + amount > self.limits.total:
            raise CapReached(f"payments may be {self.limits.total} base units in all, {self.signed} are signed")
        until = self._now() + min(requirements.max_timeout_seconds, HOLDS_S_MAX) * 1000
        statement = Authorization(
            self._genesis, AccountId(bytes(self._pair.public)), AccountId(_hex32(requirements.pay_to)), 0, amount,
            self.exact, Moment(0), Moment(until), secrets.token_bytes(32),
            Hash32(_hex32(str(requirements.extra.get("request", "")) or "00" * 32)),
        ).encode()  # fmt: skip
        self.signed = Balance(self.signed + amount)
        signature = bytes((self._pair.kind,)) + self._pair.sign(statement)
        return {"authorization": f"0x{statement.hex()}", "signature": f"0x{signature.hex()}"}


class UptoScheme(_SingleScheme):
    """Signs a payment for what an answer may cost at most; the chain moves what it did cost."""

    scheme = "upto"


class ExactScheme(_SingleScheme):
    """Signs a payment for the price a seller names."""

    scheme = "exact"
    exact = True


class SessionScheme:
    """Signs vouchers from one session of a purse; the purse's caps hold."""

    scheme = "batch-settlement"

    def __init__(self, payer: Payer, tab: Tab) -> None:
        """Pay from a session, such as `await payer.open(shop, deposit)` gives."""
        self.scheme_hooks = {"on_payment_response": self.on_payment_response}
        self._payer = payer
        self._tab = tab
        self._at_work: dict[int, Promise] = {}
        self._behind: set[int] = set()
        # With prices in money the rate has to be asked for; such receipts are checked by `aitoken audit`.
        self._terms = Terms(prices=tab.prices) if tab.prices.in_asset else ANY_TERMS

    def create_payment_payload(self, requirements: Requirements) -> dict[str, str]:
        """Sign a voucher; the library calls this.

        Raises:
            CapReached: a cap of the purse forbids it; nothing was signed.
            WrongGateway: the offer is another provider's.
            PayRejected: the session has no lane, or not enough money.
        """
        cap = self._payer.caps.request
        amount = _amount_of(requirements, self._payer.ledger.genesis)
        if amount > cap:
            raise CapReached(f"a request may cost {cap} base units, {amount} are asked for")
        if requirements.extra.get("provider") != self._tab.kept.provider:
            raise WrongGateway(f"the session is with provider {self._tab.kept.provider}")
        promise = self._promise(amount or cap)
        self._payer.purse.put_lane(self._tab.kept.id, promise.lane)
        self._at_work.pop(promise.lane.number, None)
        self._at_work[promise.lane.number] = promise
        return {"voucher": encode_signed(promise.signed.statement, promise.signed.signature)}

    def _promise(self, cost_max: Balance) -> Promise:
        """Take a free lane, or else the one that waits longest for an answer.

        Answers that flowed, or never came, are not seen here: a lane that was given up is behind the gateway's, and
        the 402 it gets tells where that is.
        """
        session, now = self._tab.session, self._payer.now()
        while True:
            with suppress(LaneBusy, ExposureTooHigh, OverDeposit):
                return session.promise(cost_max, now, avoid=self._behind)
            try:
                promise = session.promise(cost_max, now)
            except (LaneBusy, ExposureTooHigh, OverDeposit):
                if not self._at_work:
                    raise
                number = next(iter(self._at_work))
                session.give_up(self._at_work.pop(number))
                self._behind.add(number)
            else:
                self._behind.discard(promise.lane.number)
                return promise

    def on_payment_response(self, context: Any) -> Recovered | None:
        """Take the receipt of an answer, or put right what a 402 says; the library calls this.

        Raises:
            PayRejected: a receipt is not what was agreed.
        """
        told = context.settle_response
        extra: Mapping[str, Any] = (told.extra or {}) if told is not None else {}
        if told is not None and isinstance(extra.get("receipt"), str):
            self.accept(extra["receipt"])
            return None
        if context.payment_required is None:
            return None
        promise = self._promise_of(context.payment_payload.payload)
        if promise is None:
            return None
        return self._put_right(promise, context.payment_required)

    async def catch_up(self, shop: Shop) -> None:
        """Fetch the receipts the library did not see, such as those of answers that flowed.

        Raises:
            GatewayDown, GatewayRefused: the gateway does not say.
            PayRejected: one of them is not what was agreed.
        """
        for promise in self._at_work.values():
            self._tab.session.give_up(promise)
        self._at_work.clear()
        self._behind.clear()
        await self._payer.catch_up(self._tab, shop)

    def _put_right(self, promise: Promise, required: Any) -> Recovered | None:
        lane = promise.lane
        self._at_work.pop(lane.number, None)
        self._tab.session.give_up(promise)
        receipt = next((offer.extra.get("receipt") for offer in required.accepts if offer.extra), None)
        if required.error == OutOfStep.code and isinstance(receipt, str):
            self.accept(receipt)
        elif required.error == LaneUnknown.code:
            lane.stopped = "the gateway does not take this lane any more"
            self._payer.purse.put_lane(self._tab.kept.id, lane)
        elif required.error == LaneBusy.code:
            self._at_work[lane.number] = promise
            lane.busy = True
        else:
            return None
        return Recovered()

    def go_on_from(self, receipt: str) -> None:
        """Take a receipt that a refusal brought: the lane of the voucher is there, and its request was not served.

        Raises:
            PayRejected: it is not what was agreed.
        """
        promise = self._at_work.pop(Receipt.decode(decode_signed(receipt)[0]).lane, None)
        if promise is not None:
            self._tab.session.give_up(promise)
            self.accept(receipt)

    def accept(self, text: str) -> None:
        """Take a receipt.

        Raises:
            PayRejected: it is not what was agreed.
        """
        signed = Signed(*decode_signed(text))
        lane = Receipt.decode(signed.statement).lane
        try:
            self._payer.accept(self._tab, signed, self._terms)
        finally:
            self._at_work.pop(lane, None)
            self._behind.discard(lane)

    def _promise_of(self, payload: Mapping[str, Any]) -> Promise | None:
        sent = payload.get("voucher")
        for promise in self._at_work.values():
            if encode_signed(promise.signed.statement, promise.signed.signature) == sent:
                return promise
        return None


def _amount_of(requirements: Requirements, genesis: Hash32) -> Balance:
    if requirements.network != network_of(genesis) or requirements.asset != ASSET:
        raise WrongGateway(f"the offer is on {requirements.network} in {requirements.asset}")
    if not (requirements.amount.isascii() and requirements.amount.isdigit() and len(requirements.amount) < 40):
        raise WrongGateway(f"the offer asks for {requirements.amount[:40]!r}")
    return Balance(int(requirements.amount))


def _hex32(text: str) -> bytes:
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        data = b""
    if len(data) != 32:
        raise WrongGateway(f"{text[:80]!r} is no account or hash")
    return data
