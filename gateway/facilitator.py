"""An x402 facilitator: sellers with any x402 server take payments in the token through it, without node or chain code.

    GET  /supported   what it settles: `exact` and `upto` on its chain
    POST /verify      whether a payment is good here and now: `isValid`, or `invalidReason`
    POST /settle      carries it out, and answers when that is final: `success`, `transaction`, or `errorReason`

A payment is an authorisation its payer signed for one payee (`gateway.x402`); the chain moves the money from one to the
other and never through here. The facilitator's account pays for the transaction, so it serves the payees it was told,
and payments that are worth it. It keeps nothing: a nonce is used up on chain, so of several that settle one payment,
here or elsewhere, one does.

Reasons are x402's where it has one for all chains; those of a chain are named as for other chains, with `polkadot`.
Source: x402 specification v2, sections 7 (facilitator interface) and 9 (error codes).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import web

from aitoken.crypto.signature import verify_multi
from aitoken.errors import Rejected
from aitoken.pay.errors import BadLayout
from aitoken.pay.layouts import Authorization
from aitoken.types import AccountId, Balance, Hash32
from gateway import x402
from gateway.ports import AnySigned, ChainDown, Clock, RelaySide
from gateway.refusals import BadPaymentHeader

log = logging.getLogger(__name__)

BODY_BYTES_MAX: Final = 64 << 10
SETTLING_MAX: Final = 256
UNKNOWN_MAX: Final = 10_000
"""Payments whose outcome was not heard that are remembered, so that their seller may ask again."""

MARGIN_MS: Final = 6_000
"""How long a payment has to hold at least."""

LIFE_MS_MAX: Final = 7 * 86_400_000
"""How long it may hold at most; the chain's own limit."""

NETWORK: Final = "invalid_network"
REQUIREMENTS: Final = "invalid_payment_requirements"
PAYLOAD: Final = "invalid_payload"
FUNDS: Final = "insufficient_funds"
PENDING: Final = "settlement_pending"
_CHAIN_REASONS: Final = {
    "NonceUsed": "nonce_already_used", "Expired": "payload_authorization_valid_before",
    "NotYetValid": "payload_authorization_valid_after", "BadSignature": "payload_signature",
}  # fmt: skip


class _Bad(Rejected):
    """A payment is not good: a reason for programs, and one for people."""

    code = "gateway.bad_payment"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment that was asked about: what is wanted, and what its payer signed.

    Attributes:
        amount: what it has to be; when an `upto` is settled, what is to be moved of it.
    """

    scheme: str
    amount: Balance
    payee: AccountId
    order: AnySigned
    terms: Authorization

    @property
    def place(self) -> tuple[AccountId, bytes]:
        """What the chain knows it by."""
        return self.terms.payer, self.terms.nonce

    def reason(self, what: str) -> str:
        """Return a reason of this chain."""
        return f"invalid_{self.scheme}_polkadot_{what}"


class Facilitator:
    """Verifies and settles."""

    def __init__(
        self, relay: RelaySide, genesis: Hash32, clock: Clock, payees: Collection[AccountId], least: Balance
    ) -> None:
        """Make one.

        Args:
            relay: the chain, and the account that pays fees.
            genesis: names the chain.
            clock: tells the time.
            payees: whom it serves; empty: anybody.
            least: the least a payment has to be worth.
        """
        self.network = f"polkadot:{genesis.hex()[:32]}"
        self._relay = relay
        self._genesis = genesis
        self._clock = clock
        self._payees = frozenset(payees)
        self._least = least
        self._settling: set[tuple[AccountId, bytes]] = set()
        self._unknown: OrderedDict[bytes, Balance] = OrderedDict()

    def app(self) -> web.Application:
        """Return the endpoints."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.add_routes(
            [
                web.get("/supported", self._supported),
                web.post("/verify", self._verify),
                web.post("/settle", self._settle),
            ]
        )
        return app

    async def _supported(self, request: web.Request) -> web.Response:  # noqa: ARG002 - the same for all
        return _json(self.supported())

    async def _verify(self, request: web.Request) -> web.Response:
        return _json(await self.verify(await _body(request)))

    async def _settle(self, request: web.Request) -> web.Response:
        if len(self._settling) >= SETTLING_MAX:
            raise web.HTTPServiceUnavailable(text="too many payments are being settled", headers={"Retry-After": "5"})
        return _json(await self.settle(await _body(request)))

    # ------------------------------------------------------------------------------------------- what is answered

    def supported(self) -> dict[str, Any]:
        """Return what is settled here."""
        kinds = [
            {"x402Version": x402.VERSION, "scheme": scheme, "network": self.network}
            for scheme in (x402.EXACT, x402.UPTO)
        ]
        return {"kinds": kinds, "extensions": [], "signers": {"polkadot:*": [f"0x{self._relay.account.hex()}"]}}

    async def verify(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Tell whether a payment is good."""
        payer: dict[str, str] = {}
        try:
            payment = self._read(told)
            payer = {"payer": f"0x{payment.terms.payer.hex()}"}
            if payment.amount != payment.terms.maximum:
                raise _Bad(payment.reason("payload_authorization_value_mismatch"), "it is for another amount")
            self._check(payment)
            await self._look(payment, payment.amount)
        except _Bad as bad:
            return {"isValid": False, "invalidReason": bad.reason, "invalidMessage": str(bad), **payer}
        except ChainDown as error:
            log.warning("the chain does not answer", extra={"reason": str(error)})
            return {"isValid": False, "invalidReason": "unexpected_verify_error", "invalidMessage": str(error), **payer}
        return {"isValid": True, **payer}

    async def settle(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Carry a payment out."""
        common: dict[str, str] = {"network": self.network, "transaction": ""}
        try:
            payment = self._read(told)
            common["payer"] = f"0x{payment.terms.payer.hex()}"
            common["amount"] = str(payment.amount)
            most = payment.terms.maximum
            if payment.amount > most or (payment.scheme == x402.EXACT and payment.amount != most):
                raise _Bad(payment.reason("payload_authorization_value_mismatch"), "it is for another amount")
            self._check(payment)
            if payment.place in self._settling:
                raise _Bad("duplicate_settlement", "it is being settled")
            self._settling.add(payment.place)
            try:
                common["transaction"] = await self._carry_out(payment)
            finally:
                self._settling.discard(payment.place)
        except _Bad as bad:
            return {"success": False, "errorReason": bad.reason, "errorMessage": str(bad), **common}
        return {"success": True, **common}

    async def _carry_out(self, payment: Payment) -> str:
        """Return the transaction; nothing where nothing had to be moved, or an earlier one did it unheard."""
        if not payment.amount:
            return ""
        statement = payment.order.statement
        try:
            unheard = self._unknown.get(statement) == payment.amount
            if unheard and await self._relay.used_by(*payment.place) == self._relay.account:
                del self._unknown[statement]
                return ""
            await self._look(payment, payment.amount)
        except ChainDown as error:
            raise _Bad("unexpected_settle_error", str(error)) from error
        try:
            outcome = await self._relay.execute(payment.order, payment.amount)
        except ChainDown as error:
            self._unknown[statement] = payment.amount
            while len(self._unknown) > UNKNOWN_MAX:
                self._unknown.popitem(last=False)
            raise _Bad(PENDING, f"whether it was settled is not known yet; ask again: {error}") from error
        if outcome.problem:
            log.warning("the chain refused a payment", extra={"problem": outcome.problem})
            raise _Bad(_reason_of(payment, outcome.problem), f"the chain refused it: {outcome.problem}")
        return outcome.transaction

    # ------------------------------------------------------------------------------------------- what is checked

    def _read(self, told: Mapping[str, Any]) -> Payment:
        """Read what is wanted and what was signed; raises `_Bad` where they are not for this facilitator."""
        payload, wanted = told.get("paymentPayload"), told.get("paymentRequirements")
        if not isinstance(payload, Mapping) or not isinstance(wanted, Mapping):
            raise _Bad(PAYLOAD, "there is no paymentPayload, or no paymentRequirements")
        if told.get("x402Version") != x402.VERSION or payload.get("x402Version") != x402.VERSION:
            raise _Bad("invalid_x402_version", f"this is x402 version {x402.VERSION}")
        accepted = payload.get("accepted")
        chosen = accepted if isinstance(accepted, Mapping) else {}
        scheme = wanted.get("scheme")
        if scheme not in (x402.EXACT, x402.UPTO) or chosen.get("scheme") != scheme:
            raise _Bad("unsupported_scheme", "exact and upto are settled here")
        if wanted.get("network") != self.network or chosen.get("network") != self.network:
            raise _Bad(NETWORK, f"this is {self.network}")
        if wanted.get("asset") != x402.ASSET:
            raise _Bad(REQUIREMENTS, f"the asset is {x402.ASSET!r}")
        payee, amount = _account(wanted.get("payTo")), _amount(wanted.get("amount"))
        if self._payees and payee not in self._payees:
            raise _Bad(REQUIREMENTS, "nothing is settled here for that payee")
        try:
            order = x402.read_payload(payload, "paymentPayload").order
            if order is None:
                raise _Bad(PAYLOAD, "there is no authorization")
            terms = Authorization.decode(order.statement)
        except (BadPaymentHeader, BadLayout) as error:
            raise _Bad(PAYLOAD, str(error)) from None
        return Payment(scheme, amount, payee, order, terms)

    def _check(self, payment: Payment) -> None:
        """Check all that needs no asking."""
        terms, now = payment.terms, self._clock.now()
        if terms.genesis != self._genesis:
            raise _Bad(NETWORK, "it was signed for another chain")
        if terms.payee != payment.payee:
            raise _Bad(payment.reason("payload_recipient_mismatch"), "it pays somebody else")
        if terms.asset != 0 or terms.exact != (payment.scheme == x402.EXACT):
            raise _Bad(PAYLOAD, "it was signed for another asset or scheme")
        if terms.maximum < max(self._least, 1):
            raise _Bad(REQUIREMENTS, f"payments of {self._least} base units and more are settled here")
        if terms.valid_after > now:
            raise _Bad(payment.reason("payload_authorization_valid_after"), "it does not hold yet")
        if not now + MARGIN_MS <= terms.valid_before <= now + LIFE_MS_MAX:
            raise _Bad(payment.reason("payload_authorization_valid_before"), "it has ended, or holds for too long")
        signature = payment.order.signature
        if not verify_multi(signature[0], signature[1:], payment.order.statement, terms.payer):
            raise _Bad(payment.reason("payload_signature"), "it is not signed by its payer")

    async def _look(self, payment: Payment, amount: Balance) -> None:
        """Check on chain that it can be carried out."""
        if await self._relay.used_by(*payment.place) is not None:
            raise _Bad(payment.reason("nonce_already_used"), "it was settled or cancelled before")
        if await self._relay.spendable(payment.terms.payer) < amount:
            raise _Bad(FUNDS, "the payer's account does not hold that much")


def _reason_of(payment: Payment, problem: str) -> str:
    pallet, _, name = problem.rpartition(".")
    if pallet != "Pay":
        return FUNDS if pallet in ("Balances", "Token") or "Insufficient" in name else "invalid_transaction_state"
    found = _CHAIN_REASONS.get(name)
    return "invalid_transaction_state" if found is None else payment.reason(found)


def _account(told: Any) -> AccountId:
    if isinstance(told, str) and len(told) == 66 and told.startswith("0x"):
        try:
            return AccountId(bytes.fromhex(told[2:]))
        except ValueError:
            pass
    raise _Bad(REQUIREMENTS, "payTo is 0x and the 32 bytes of an account in hex")


def _amount(told: Any) -> Balance:
    if not (isinstance(told, str) and 0 < len(told) < 40 and told.isascii() and told.isdigit()):
        raise _Bad(REQUIREMENTS, "amount is a number of base units")
    return Balance(int(told))


async def _body(request: web.Request) -> Mapping[str, Any]:
    try:
        told = msgspec.json.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise web.HTTPBadRequest(text="the body is a JSON object")
    return told


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
