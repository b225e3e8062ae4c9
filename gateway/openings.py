"""Sessions that are opened for payers that only sign: the gateway submits what they ordered, and pays the fee.

So a client needs no node and no library of the chain. What it ordered is checked before a fee is spent, and the deposit
has to be worth it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aitoken.crypto import ed25519
from aitoken.crypto.signature import verify_multi
from aitoken.pay.errors import PayRejected
from aitoken.pay.layouts import Opening, Voucher, session_id
from aitoken.pay.seller import Signed
from aitoken.types import Hash32, Moment
from gateway import refusals as r
from gateway.catalogue import Catalogue
from gateway.ports import ChainDown, Clock, OpeningTerms, RelaySide
from gateway.sessions import Sessions
from gateway.x402 import OpeningOrder

AT_ONCE: Final = 16
LANES_MAX: Final = 64
TERMS_MS: Final = 5_000
"""How long a challenge tells the same terms."""


class Openings:
    """Opens sessions payers ordered."""

    def __init__(
        self, catalogue: Catalogue, sessions: Sessions, relay: RelaySide, genesis: Hash32, clock: Clock
    ) -> None:
        self._catalogue = catalogue
        self._sessions = sessions
        self._relay = relay
        self._genesis = genesis
        self._clock = clock
        self._running: dict[Hash32, asyncio.Future[None]] = {}
        self._terms: tuple[OpeningTerms, Moment] | None = None

    async def terms(self) -> dict[str, Any]:
        """Return what a client may order, for the challenge.

        Raises:
            ChainUnavailable: the chain does not answer.
        """
        now = self._clock.now()
        if self._terms is None or now - self._terms[1] > TERMS_MS:
            try:
                self._terms = (await self._relay.opening_terms(), now)
            except ChainDown as error:
                raise r.ChainUnavailable(str(error), retry_after_s=2) from error
        terms = self._terms[0]
        return {
            "provider": self._catalogue.provider, "expiresBlock": terms.expires_block,
            "graceBlocks": terms.grace_blocks, "leastDeposit": str(terms.least), "mostLanes": LANES_MAX,
        }  # fmt: skip

    async def open(self, order: OpeningOrder, voucher: Signed | None) -> None:
        """Open what a payer ordered, unless the session is there already.

        Raises:
            Refusal: it is not opened.
        """
        session = session_id(self._genesis, order.payer, order.params)
        if await self._sessions.find(session) is not None:
            return
        running = self._running.get(session)
        if running is None:
            self._check(order, voucher, session)
            if len(self._running) >= AT_ONCE:
                raise r.TooBusy("too many sessions are being opened", retry_after_s=2)
            running = asyncio.ensure_future(self._open(order, session))
            self._running[session] = running
            running.add_done_callback(lambda done: self._ended(session, done))
        await asyncio.shield(running)

    def _ended(self, session: Hash32, done: asyncio.Future[None]) -> None:
        del self._running[session]
        if not done.cancelled():
            done.exception()  # whoever waited knows it

    def _check(self, order: OpeningOrder, voucher: Signed | None, session: Hash32) -> None:
        params = order.params
        if params.provider != self._catalogue.provider or params.book_version not in self._catalogue.editions:
            raise r.BadOrder("the session would be with another provider, or at prices that are not sold")
        if params.asset != 0 or not 1 <= params.max_lanes <= LANES_MAX:
            raise r.BadOrder(f"a session is in the token and has 1 to {LANES_MAX} lanes")
        if self._clock.now() > order.valid_before:
            raise r.BadOrder("the order has ended")
        statement = Opening(session, order.deposit, order.valid_before).encode()
        if not verify_multi(order.signature[0], order.signature[1:], statement, order.payer):
            raise r.BadOrder("the order is not signed by its payer")
        if voucher is None:
            raise r.PaymentRequired("an order to open a session comes with the session's first voucher")
        try:
            first = Voucher.decode(voucher.statement)
        except PayRejected as error:
            raise r.PayRefusal(error) from None
        if first.session_id != session:
            raise r.BadOrder("the voucher is of another session than the order")
        if not ed25519.verify(voucher.signature, voucher.statement, params.session_key):
            raise r.BadOrder("the voucher is not signed with the key of the session")

    async def _open(self, order: OpeningOrder, session: Hash32) -> None:
        try:
            terms = await self._relay.opening_terms()
            if order.deposit < terms.least:
                raise r.BadOrder(f"a deposit is {terms.least} at least", {"leastDeposit": str(terms.least)})
            if order.deposit > await self._relay.spendable(order.payer):
                raise r.CannotPay("the payer's account does not hold the deposit")
            outcome = await self._relay.open_for(
                order.payer, order.params, order.deposit, order.valid_before, order.signature
            )
        except ChainDown as error:
            raise r.ChainUnavailable(str(error), retry_after_s=2) from error
        if outcome.problem:
            raise r.NotSettled(f"the chain did not open the session: {outcome.problem}")
        await self._sessions.refresh(session)
