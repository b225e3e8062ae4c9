"""Requests that one payment of their own pays: an authorisation the payer signed, carried out by this gateway.

    1. what was signed is checked: chain, payee, time, request, signature, money, and that it is new
    2. it is noted on disk, so that it serves no second request, whatever happens
    3. the work is done
    4. the chain moves what it came to; only then the answer leaves, with its receipt

So a payer that empties its account meanwhile gets nothing, and one whose request fails pays nothing. Work that has
begun is finished and settled even if the client is gone: the same request with the same authorisation gets its answer
then. What is owed when the gateway stops is carried out when it starts again.

An answer that flows cannot be held back until it is paid, so such requests want a session.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from aitoken.crypto.hashing import blake2_256
from aitoken.crypto.signature import verify_multi
from aitoken.errors import Bug
from aitoken.pay.errors import PayRejected
from aitoken.pay.headers import REPEATED, encode_signed, request_hash
from aitoken.pay.layouts import Authorization, Receipt
from aitoken.pay.rules import NOTHING
from aitoken.pay.seller import SellerSession, Signed
from aitoken.types import AccountId, Balance, Hash32
from gateway import refusals as r
from gateway import x402
from gateway.apis.base import Api, Ask
from gateway.catalogue import Catalogue
from gateway.door import Door, Single
from gateway.headers import PaymentHeaders
from gateway.paid import Settled, SingleTerms, receipt_headers, stored_answer
from gateway.ports import AnySigned, ChainDown, Clock, RelaySide, SessionFacts
from gateway.reply import Reply
from gateway.serve import Served
from gateway.sessions import Known
from gateway.store import OWED, PAID, TAKEN, VOID, Store, StoredOrder, StoreFailed

log = logging.getLogger(__name__)

MARGIN_MS: Final = 30_000
"""How long an authorisation has to hold at least when its request comes."""

LIFE_MS_MAX: Final = 7 * 86_400_000
"""How long it may hold at most; the chain's own limit, so that what has to be remembered is bounded."""

NO_MEMO: Final = bytes(32)
RESUME_EVERY_S: Final = 10.0
OTHERS_MS: Final = 180_000
"""How long another gateway is given to carry out what it owes."""


class Once:
    """Serves requests with a payment of their own.

    Attributes:
        network: the chain as x402 names it.
        least: the least such a payment is charged.
    """

    def __init__(
        self, catalogue: Catalogue, door: Door, served: Served, store: Store, clock: Clock, relay: RelaySide,
        genesis: Hash32, least: Balance, done: Callable[[Settled], None],
    ) -> None:  # fmt: skip
        self._catalogue = catalogue
        self._door = door
        self._served = served
        self._store = store
        self._clock = clock
        self._relay = relay
        self._genesis = genesis
        self._done = done
        self._running: dict[tuple[AccountId, bytes], tuple[Hash32, asyncio.Task[Reply]]] = {}
        self._promised: dict[AccountId, int] = {}
        self.network = f"polkadot:{genesis.hex()[:32]}"
        self.least = least

    def asked(self, needed: Balance) -> Balance:
        """Return what a single payment has to be for a request that may cost `needed`."""
        return max(needed, self.least)

    async def serve(self, api: Api, ask: Ask, body: bytes, payment: PaymentHeaders) -> Reply:
        """Answer a request, once it is paid.

        Raises:
            Refusal: it is not answered.
        """
        order = payment.order
        if order is None:
            raise Bug("no authorisation")
        if ask.stream:
            raise r.NoSinglePayments("an answer that flows is paid from a session")
        try:
            terms = Authorization.decode(order.statement)
        except PayRejected as error:
            raise r.PayRefusal(error) from None
        place = (terms.payer, terms.nonce)
        running = self._running.get(place)
        if running is None:
            self.check(order, terms, request_hash(body, payment.key))
            work = self._work(api, ask, body, payment, order, terms)
            running = (blake2_256(order.statement + body), asyncio.get_running_loop().create_task(work))
            self._running[place] = running
            running[1].add_done_callback(lambda task: self._ended(place, task))
        elif running[0] != blake2_256(order.statement + body):
            raise r.OrderUsed("this payment is at work for another request")
        done = await asyncio.shield(running[1])
        return Reply(done.status, done.body, dict(done.headers))

    def _ended(self, place: tuple[AccountId, bytes], task: asyncio.Task[Reply]) -> None:
        del self._running[place]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("a single payment came to nothing", extra={"reason": str(error)})

    # ------------------------------------------------------------------------------------------- what was signed

    def check(self, order: AnySigned, terms: Authorization, request: Hash32 | None = None) -> None:
        """Check all of an authorisation that needs no asking.

        Raises:
            BadOrder: it is not good here and now.
        """
        now = self._clock.now()
        if terms.genesis != self._genesis:
            raise r.BadOrder("the authorisation is for another chain")
        if terms.payee != self._relay.payee:
            raise r.BadOrder("the authorisation pays somebody else")
        if terms.asset != 0:
            raise r.BadOrder("the authorisation is not in the token")
        if not (terms.valid_after <= now and now + MARGIN_MS <= terms.valid_before):
            raise r.BadOrder("the authorisation does not hold now, or not long enough")
        if terms.valid_before > now + LIFE_MS_MAX:
            raise r.BadOrder("the authorisation holds longer than the chain allows")
        if request is not None and terms.memo_hash not in (NO_MEMO, request):
            raise r.BadOrder("the authorisation is for another request")
        if not verify_multi(order.signature[0], order.signature[1:], order.statement, terms.payer):
            raise r.BadOrder("the authorisation is not signed by its payer")

    async def _set_aside(self, terms: Authorization) -> None:
        """Check on chain that an authorisation can be carried out, and set its money aside among those at work.

        Raises:
            OrderUsed, CannotPay: it cannot.
            ChainUnavailable: the chain does not answer.
        """
        try:
            user = await self._relay.used_by(terms.payer, terms.nonce)
            there = await self._relay.spendable(terms.payer)
        except ChainDown as error:
            raise r.ChainUnavailable(str(error), retry_after_s=2) from error
        if user is not None:
            raise r.OrderUsed("the chain knows this nonce as used")
        promised = self._promised.get(terms.payer, 0) + terms.maximum
        if promised > there:
            raise r.CannotPay("the payer's account does not hold that much")
        self._promised[terms.payer] = promised

    # ------------------------------------------------------------------------------------------- from work to money

    async def _work(
        self, api: Api, ask: Ask, body: bytes, payment: PaymentHeaders, order: AnySigned, terms: Authorization
    ) -> Reply:
        number = blake2_256(order.statement)
        self._door.check_models(api, ask)
        taken = StoredOrder(
            terms.payer, terms.nonce, order, terms.valid_before, TAKEN, NOTHING, self._clock.now()
        )  # fmt: skip
        before = await self._store.take_order(taken)
        if before is not None:
            return await self._again(before, order, number, body)
        try:
            await self._set_aside(terms)
        except r.Refusal:
            self._store.drop_order(taken)
            raise
        try:
            single = Single(api, ask, body, payment, self._known(ask, terms, number))
            return await self._answered(single, taken, terms, number)
        finally:
            self._promised[terms.payer] -= terms.maximum
            if not self._promised[terms.payer]:
                del self._promised[terms.payer]

    def _known(self, ask: Ask, terms: Authorization, number: Hash32) -> Known:
        """What a payment is to the rest of the gateway: a session of one lane and one request."""
        version = self._catalogue.models[ask.models[0]].books[-1]
        facts = SessionFacts(number, terms.payer, bytes(32), version, terms.maximum, 1)
        return Known(facts, SellerSession(number, bytes(32), terms.maximum, 1))

    async def _answered(self, single: Single, taken: StoredOrder, terms: Authorization, number: Hash32) -> Reply:
        try:
            paid = await self._door.admit_once(single, SingleTerms(terms.exact, self.least))
        except r.Refusal:
            # No work began, so the payment is as good as before.
            self._store.drop_order(taken)
            raise
        try:
            response = await self._served.whole(paid)
        finally:
            self._door.leave(paid)
        settled = paid.settled
        if settled is None:
            raise Bug("a single payment without a receipt")
        charge = settled.receipt.charge
        if not charge:
            self._store.put_order(replace(taken, state=VOID))
            self._done(settled)
            return Reply(response.status, response.body, response.headers | self.told(taken, settled.signed))
        if paid.answer is not None:
            stored = stored_answer(paid.order.body_hash, paid.answer, settled.signed)
            self._store.put_answer(number, number, settled.receipt.finished, stored)
        owed = replace(taken, state=OWED, amount=charge, at=self._clock.now())
        self._store.put_order(owed)
        await self._store.synced()
        transaction = await self._pay(owed)
        self._done(settled)
        told = self.told(replace(owed, state=PAID), settled.signed, transaction)
        return Reply(response.status, response.body, response.headers | told)

    async def _pay(self, owed: StoredOrder) -> str:
        """Carry out what is owed; return the transaction, or nothing where an earlier one did it.

        Raises:
            NotSettled: the chain refused it.
            ChainUnavailable: it is not known yet; it is tried again later.
        """
        try:
            outcome = await self._relay.execute(owed.order, owed.amount)
            if outcome.problem and await self._relay.used_by(owed.payer, owed.nonce) == self._relay.account:
                outcome = replace(outcome, problem="")
        except ChainDown as error:
            raise r.ChainUnavailable(f"the payment is not settled yet: {error}", retry_after_s=5) from error
        self._store.put_order(replace(owed, state=VOID if outcome.problem else PAID))
        if outcome.problem:
            log.warning("the chain refused a payment", extra={"problem": outcome.problem, "amount": owed.amount})
            raise r.NotSettled(f"the chain refused the payment: {outcome.problem}")
        return outcome.transaction

    async def _again(self, before: StoredOrder, order: AnySigned, number: Hash32, body: bytes) -> Reply:
        """Answer a request whose payment is known: with the answer it had, and with nothing else."""
        stored = await self._store.answer(number, number)
        same = before.order == order and stored is not None and stored.body_hash == blake2_256(body)
        if not same or stored is None or stored.answer is None or before.state not in (OWED, PAID):
            raise r.OrderUsed("this payment, or another with its nonce, was used before")
        transaction = await self._pay(before) if before.state == OWED else ""
        told = self.told(before, stored.receipt, transaction)
        headers = {"Content-Type": stored.content_type, REPEATED: "1"} | told
        return Reply(stored.status, stored.answer, headers)

    def told(self, order: StoredOrder, receipt: Signed, transaction: str = "") -> dict[str, str]:
        """Return what a paid answer tells in headers."""
        read = Receipt.decode(receipt.statement)
        signed = encode_signed(receipt.statement, receipt.signature)
        extra = {"receipt": signed}
        told = x402.response(self.network, order.payer, read.charge, transaction, extra)
        return receipt_headers(read, receipt, NOTHING) | {x402.RESPONSE: told}

    # ------------------------------------------------------------------------------------------- in the background

    async def run(self) -> None:
        """Carry out what an earlier run, or a chain that was down, left owed; until cancelled."""
        while True:
            try:
                await self._resume()
            except StoreFailed as failure:
                log.warning("payments that are owed have to wait", extra={"reason": str(failure)})
            await asyncio.sleep(RESUME_EVERY_S)

    async def _resume(self) -> None:
        for owed in await self._store.owed_orders() if await self._store.may_claim() else []:
            now = self._clock.now()
            # Another gateway may be at it; if both are, the chain carries it out once and both see that.
            at_work = (owed.payer, owed.nonce) in self._running or (self._store.shared and now - owed.at < OTHERS_MS)
            if not at_work and owed.until > now:
                try:
                    await self._pay(owed)
                except r.Refusal as refusal:
                    log.warning("a payment is still owed", extra={"reason": str(refusal)})

    async def close(self) -> None:
        """Stop what is at work; what is owed is on disk."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
