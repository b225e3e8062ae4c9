"""One paid request: a voucher with it, its receipt checked and kept, and what a 402 says put right.

A request is sent with its voucher at once. Where no answer comes, it is sent again with the same voucher and the same
`Idempotency-Key`, so it is paid once. A 402 that tells where the lane is, or which lanes are taken, is answered with
another voucher; only so often, and never beyond the caps.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import msgspec

from aitoken.client.pay.errors import GatewayDown, GatewayRefused, NotSold
from aitoken.client.pay.flow import Sieve
from aitoken.client.pay.payer import Payer, Tab
from aitoken.client.pay.shop import Shop, problem_of, read_bounded, refusal_of
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.buyer import Promise, Terms
from aitoken.pay.errors import LaneBusy, LaneUnknown, OutOfStep, OverDeposit
from aitoken.pay.headers import (
    IDEMPOTENCY,
    MAX_COST,
    RECEIPT,
    REPEATED,
    VOUCHER,
    decode_signed,
    encode_signed,
    request_hash,
)
from aitoken.pay.layouts import Receipt
from aitoken.pay.seller import SessionClosing, Signed
from aitoken.types import Balance, Hash32

log = logging.getLogger(__name__)

ANSWER_BYTES_MAX: Final = 64 << 20
CORRECTIONS: Final = 8
REPEATS: Final = 4
PAUSE_S: Final = 0.25
PAUSE_MAX_S: Final = 10.0
SILENCE_S: Final = 660
"""The gateway gives up on an answer after 600 s."""

TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE_S)
AGAIN: Final = frozenset({
    "gateway.too_busy", "gateway.chain_unavailable", "gateway.rate_unavailable", "gateway.still_running",
})  # fmt: skip
UNKNOWN: Final = "gateway.session_unknown"
FLOWS: Final = "text/event-stream"
PASSED_ON: Final = (MAX_COST, "Accept", "OpenAI-Beta", "anthropic-version")
"""Headers of a client that the gateway may see; its keys are not among them."""


@dataclass(slots=True)
class _Request:
    path: str
    body: bytes
    key: str
    headers: Mapping[str, str]
    terms: Terms
    cost_max: Balance
    avoid: set[int] = field(default_factory=set)


class Exchange:
    """An answer, whole or flowing. Read it to its end or close it.

    Attributes:
        status: HTTP status.
        headers: of the gateway's answer.
        receipt: what it cost, once that is known.
    """

    def __init__(
        self, response: aiohttp.ClientResponse, payer: Payer, tab: Tab, promise: Promise, terms: Terms
    ) -> None:
        self._response = response
        self._payer = payer
        self._tab = tab
        self._promise = promise
        self._terms = terms
        self._body: bytes | None = None
        self._over = False
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.receipt: Receipt | None = None

    @property
    def flows(self) -> bool:
        """Whether the answer comes in pieces."""
        return self._response.content_type == FLOWS

    async def take(self, raw: bytes | None = None) -> None:
        """Read a whole answer, unless `raw` is it, and its receipt.

        Raises:
            GatewayDown: it breaks off.
            PayRejected: the receipt is not what was agreed.
        """
        text = self.headers.get(RECEIPT)
        if text is not None:
            self._accept(Signed(*decode_signed(text)))
        self._body = await read_bounded(self._response, ANSWER_BYTES_MAX) if raw is None else raw
        self._check_delivered(blake2_256(self._body))
        await self.close()

    async def read(self) -> bytes:
        """Return the whole answer."""
        return b"".join([piece async for piece in self.pieces()])

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give the answer as it comes.

        Raises:
            GatewayDown: it breaks off.
            PayRejected: the receipt is not what was agreed.
        """
        if self._body is not None:
            yield self._body
            return
        sieve = Sieve()
        try:
            async for piece in self._response.content.iter_any():
                passed = sieve.feed(piece)
                if sieve.receipt is not None and self.receipt is None:
                    self._accept(sieve.receipt)
                    self._check_delivered(sieve.delivered)
                if passed:
                    yield passed
            if rest := sieve.rest():
                yield rest
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise GatewayDown(f"the gateway broke off: {error}") from error
        finally:
            await self.close()

    async def close(self) -> None:
        """Be done with it; the receipt of an answer that was not read to its end comes with a later request."""
        if self._over:
            return
        self._over = True
        self._response.close() if self.receipt is None else self._response.release()
        await self._payer.release(self._tab, self._promise)

    def _accept(self, signed: Signed) -> None:
        read = Receipt.decode(signed.statement)
        if REPEATED in self.headers and self._payer.purse.has(read):
            self.receipt = read
            return
        self.receipt = self._payer.accept(self._tab, signed, self._terms)

    def _check_delivered(self, digest: Hash32) -> None:
        if self.receipt is not None and self.receipt.response != digest:
            log.warning("a receipt is for other bytes than came", extra={"seq": self.receipt.seq})


class Buyer:
    """Pays requests to one gateway."""

    def __init__(self, payer: Payer, shop: Shop) -> None:
        self._payer = payer
        self._shop = shop

    async def send(
        self, path: str, body: bytes, headers: Mapping[str, str] | None = None, cost_max: Balance | None = None
    ) -> Exchange:
        """Send a request and pay for it.

        Args:
            path: such as /v1/chat/completions.
            body: JSON with a `model`.
            headers: of the client; its `Idempotency-Key` and what the gateway has use for are passed on.
            cost_max: the most it may cost; the payer's cap if None.

        Raises:
            GatewayRefused: the gateway does not serve it for what is allowed.
            CapReached: a cap forbids it.
            GatewayDown: no answer came, though it was asked for several times.
            PayRejected: the receipt is not what was agreed.
        """
        given = {name.lower(): value for name, value in (headers or {}).items()}
        key = given.get("idempotency-key") or secrets.token_hex(16)
        passed = {name: given[name.lower()] for name in PASSED_ON if name.lower() in given}
        about = await self._shop.about()
        name, fallbacks = _models(body)
        model = about.model(name)
        cost = min(self._payer.caps.request, self._payer.caps.request if cost_max is None else cost_max)
        tab = await self._payer.tab_for(self._shop, model.book_versions)
        terms = await self._payer.terms(tab, request_hash(body, key), model.service)
        if fallbacks:
            terms = Terms(terms.request, None, terms.prices, terms.rate_max)
        asked = _Request(path, body, key, passed, terms, cost)
        for _ in range(CORRECTIONS):
            exchange = await self._once(tab, asked)
            if exchange is not None:
                return exchange
            if tab not in self._payer.tabs:
                tab = await self._payer.tab_for(self._shop, model.book_versions)
        raise GatewayDown("the gateway and this purse do not agree on where the lanes are")

    async def _once(self, tab: Tab, asked: _Request) -> Exchange | None:
        """Send with one voucher; None where another has to be made."""
        promise = await self._payer.promise(tab, asked.cost_max, asked.avoid)
        try:
            response, raw = await self._post(promise, asked)
            exchange = Exchange(response, self._payer, tab, promise, asked.terms)
            if response.status != 402 or raw is None:
                if not exchange.flows:
                    await exchange.take(raw)
                return exchange
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            await self._payer.release(tab, promise)
            raise GatewayDown(f"the gateway broke off: {error}") from error
        except BaseException:
            await self._payer.release(tab, promise)
            raise
        try:
            await self._put_right(tab, promise, asked, raw)
        finally:
            response.release()
            await self._payer.release(tab, promise)
        return None

    async def _post(self, promise: Promise, asked: _Request) -> tuple[aiohttp.ClientResponse, bytes | None]:
        """Send, and send the same again where no answer came; give the body of a refusal with it."""
        headers = {
            **asked.headers,
            "Content-Type": "application/json",
            IDEMPOTENCY: asked.key,
            VOUCHER: encode_signed(promise.signed.statement, promise.signed.signature),
        }
        pause, last = PAUSE_S, ""
        for _ in range(REPEATS):
            try:
                response = await self._payer.http.post(
                    self._shop.url + asked.path, data=asked.body, headers=headers, timeout=TIMEOUT,
                    allow_redirects=False,
                )  # fmt: skip
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                last = f"no gateway answers at {self._shop.url}: {error}"
            else:
                if response.status not in (402, 409, 429, 503) or RECEIPT in response.headers:
                    return response, None
                raw = await read_bounded(response, ANSWER_BYTES_MAX)
                problem = problem_of(raw)
                # A session that was opened a moment ago may not be known to the gateway's node yet.
                if problem.get("code") not in AGAIN | {UNKNOWN}:
                    return response, raw
                last = str(problem.get("detail", ""))
                wanted = response.headers.get("Retry-After", "")
                pause = max(pause, min(float(wanted), PAUSE_MAX_S) if wanted.isdigit() else 0)
            await asyncio.sleep(pause)
            pause = min(pause * 3, PAUSE_MAX_S)
        raise GatewayDown(last)

    async def _put_right(self, tab: Tab, promise: Promise, asked: _Request, raw: bytes) -> None:
        """Do what a 402 asks for.

        Raises:
            GatewayRefused: nothing can be done about it.
        """
        problem = problem_of(raw)
        code, lane = problem.get("code"), promise.lane
        if code == OutOfStep.code:
            await self._payer.catch_up(tab, self._shop, lane.number)
            if lane.seq == promise.voucher.seq:
                await self._payer.stop_lane(tab, lane, "the gateway has forgotten receipts of this lane")
        elif code == LaneUnknown.code:
            await self._payer.stop_lane(tab, lane, "the gateway does not take this lane any more")
        elif code == LaneBusy.code:
            asked.avoid.update(_numbers(problem.get("used_lanes")), {lane.number})
        elif code == OverDeposit.code:
            await self._payer.recover()
            await self._payer.top_up(tab, max(self._payer.caps.deposit, asked.cost_max))
        elif code == SessionClosing.code:
            self._payer.give_up(tab)
        else:
            raise refusal_of(402, raw)


async def send_to_first(
    payer: Payer, shops: Sequence[Shop], path: str, body: bytes, headers: Mapping[str, str]
) -> Exchange:
    """Ask the first gateway that sells the model; see `Buyer.send`.

    Raises:
        NotSold: none of them does.
    """
    missing = NotSold("no gateway is known")
    for shop in shops:
        try:
            return await Buyer(payer, shop).send(path, body, headers)
        except NotSold as error:
            missing = error
    raise missing


def _models(body: bytes) -> tuple[str, bool]:
    """Return the model a request asks for, and whether it allows others."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        told = None
    model = told.get("model") if isinstance(told, dict) else None
    if not isinstance(model, str):
        raise GatewayRefused("the body is a JSON object with a model", 400, "gateway.bad_request")
    return model, bool(told.get("models"))


def _numbers(told: Any) -> list[int]:
    return [number for number in told if isinstance(number, int)] if isinstance(told, list) else []
