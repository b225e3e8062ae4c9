"""The gateway as one HTTP server: the only place that wires its parts.

Every request ends in one of three ways: an answer with a receipt, a refusal with a reason and no charge, or (a bug of
ours) a 500 that charges nothing. Bodies, headers, places, queues and what is kept are bounded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeVar

import msgspec
from aiohttp import web

from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.headers import RECEIPT, REPEATED, decode_signed, request_hash
from aitoken.pay.layouts import Receipt, Status
from aitoken.types import AIT, Balance, Hash32, Moment
from gateway import refusals as r
from gateway import x402
from gateway.apis.all import APIS
from gateway.apis.base import Api, Ask
from gateway.apis.text import Chat
from gateway.catalogue import Catalogue
from gateway.challenges import Challenges, openai_error
from gateway.checks import Checks
from gateway.claimer import Claimer, ClaimPolicy
from gateway.control import Control
from gateway.door import Asked, Door
from gateway.front import Front
from gateway.headers import PaymentHeaders, read_headers
from gateway.metrics import CONTENT_TYPE as METRICS_TYPE
from gateway.metrics import Metrics
from gateway.once import Once
from gateway.openings import Openings
from gateway.paid import Settled, receipt_headers
from gateway.places import Places
from gateway.ports import ChainSide, Clock, RelaySide, Upstream
from gateway.reply import Reply
from gateway.serve import Served, Timing, ending
from gateway.sessions import Known, Sessions
from gateway.sse import CONTENT_TYPE
from gateway.store import LaneLost, Store, StoredAnswer, StoreFailed
from gateway.straight import Asked as UsuallyAsked
from gateway.straight import Straight

log = logging.getLogger(__name__)

BODY_BYTES_MAX: Final = 8 << 20
DEPTH_MAX: Final = 64
KEPT_MS: Final = 24 * 3_600_000
FORGET_EVERY_S: Final = 60
SHUTDOWN_S: Final = 10.0
AWAY_S: Final = 5
"""After how long one may ask again whether the store is back."""
LEAST_SINGLE: Final = Balance(AIT // 1000)
"""The least a single payment is charged: about the fee of its transaction."""

_decode: Final = msgspec.json.Decoder().decode
_Answer = TypeVar("_Answer", bound=web.StreamResponse | Reply | None)
_STATUS_NAMES: Final = {int(status): status.name.lower() for status in Status}


class WallClock:
    """The machine's clock."""

    def now(self) -> Moment:
        """Unix milliseconds."""
        return Moment(time.time_ns() // 1_000_000)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once."""

    places: int = 256
    queue: int = 1024
    body_bytes: int = BODY_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Settings:
    """What a gateway is made of."""

    catalogue: Catalogue
    operator: Pair
    chain: ChainSide
    store: Store
    upstreams: Mapping[str, Upstream]
    clock: Clock = field(default_factory=WallClock)
    limits: Limits = field(default_factory=Limits)
    timing: Timing = field(default_factory=Timing)
    claims: ClaimPolicy = field(default_factory=ClaimPolicy)
    relay: RelaySide | None = None
    least_single: Balance = LEAST_SINGLE


class Gateway:
    """A gateway; `async with` serves.

    Attributes:
        port: where it listens, once it does.
        sessions: the sessions that pay here.
        claimer: brings what is owed to the chain.
        metrics: what it measures.
        front: its connections, once it listens.
        straight: serves the usual request.
    """

    def __init__(self, settings: Settings, host: str = "127.0.0.1", port: int = 0) -> None:
        self._settings = settings
        self._host = host
        self.port = port
        self.metrics = Metrics()
        catalogue, store, chain, clock = settings.catalogue, settings.store, settings.chain, settings.clock
        self.sessions = Sessions(chain, store, clock)
        self._places = Places(settings.limits.places, settings.limits.queue)
        self._door = Door(
            catalogue, self.sessions, self._places, store, chain, clock, settings.operator, self._count
        )  # fmt: skip
        self._served = Served(settings.upstreams, settings.timing)
        self.checks = Checks(lambda: 0 if self.front is None else self.front.serving)
        self.straight = Straight(
            catalogue, settings.upstreams, self._door, self._served, self.sessions, self._places,
            self.checks, store, clock, settings.operator, self._count,
        )  # fmt: skip
        relay = settings.relay
        payee = None if relay is None else relay.payee
        self._challenges = Challenges(catalogue, chain.genesis, settings.operator.public, payee)
        self._once = self._openings = None
        if relay is not None:
            self._once = Once(
                catalogue, self._door, self._served, store, clock, relay, chain.genesis, settings.least_single,
                self._count,
            )  # fmt: skip
            self._openings = Openings(catalogue, self.sessions, relay, chain.genesis, clock)
        self.claimer = Claimer(self.sessions, store, chain, clock, settings.claims, self.metrics)
        self._control = Control(
            catalogue, self.sessions, self._door, store, chain, clock, settings.operator, self._places, self._read
        )  # fmt: skip
        self._apis = {api.path: api for api in APIS}
        self._tasks = asyncio.TaskGroup()
        self._loops: list[asyncio.Task[None]] = []
        self._runner: web.AppRunner | None = None
        self.front: Front | None = None
        self._watch()

    def _watch(self) -> None:
        self.metrics.watch("serving", "Requests in service.", lambda: self._places.taken)
        self.metrics.watch("waiting", "Requests in the queue.", lambda: self._places.waiting)
        self.metrics.watch("sessions", "Sessions in memory.", lambda: len(self.sessions))
        self.metrics.watch(
            "unclaimed_base_units", "What receipts come to beyond claims.",
            lambda: sum(known.unclaimed for known in self.sessions.all()),
        )  # fmt: skip
        self.metrics.watch("store_commits", "Groups of changes committed.", lambda: self._settings.store.commits)

    # ------------------------------------------------------------------------------------------- running

    async def __aenter__(self) -> Self:
        """Load what is owed, then listen."""
        await self._tasks.__aenter__()
        self._loops = [
            self._tasks.create_task(loop, name=name)
            for name, loop in (
                ("store", self._settings.store.run()),
                ("lease", self._settings.store.keep_lease()),
                ("sessions", self.sessions.follow()),
                ("claims", self.claimer.run()),
                ("forget", self._forget()),
                ("checks", self.checks.run()),
                *([("orders", self._once.run())] if self._once is not None else []),
            )
        ]
        await self.sessions.load_all()
        app = web.Application(client_max_size=self._settings.limits.body_bytes)
        app.add_routes([web.post(api.path, self._by_aiohttp) for api in APIS])
        app.add_routes([web.RouteDef(d.method, d.path, self._guarded(d.handler), {}) for d in self._control.routes()])
        app.add_routes([web.get("/metrics", self._metrics_page), web.get("/healthz", self._health)])
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN_S,
            max_line_size=16_384, max_field_size=16_384,
        )  # fmt: skip
        await self._runner.setup()
        self.front = Front(self._runner, self.straight, self._straightly)
        self.port = await self.front.listen(self._host, self.port)
        return self

    async def __aexit__(self, *failure: Any) -> None:
        """Stop listening, let requests end, stop the loops; the store is the owner's to close."""
        if self.front is not None:
            await self.front.stop(SHUTDOWN_S)
        if self._runner is not None:
            await self._runner.cleanup()
        if self._once is not None:
            await self._once.close()
        for loop in self._loops:
            loop.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None  # what failed first ended the others

    async def _forget(self) -> None:
        while True:
            now = self._settings.clock.now()
            self._settings.store.forget(Moment(now - KEPT_MS), now)
            await asyncio.sleep(FORGET_EVERY_S)

    # ------------------------------------------------------------------------------------------- requests

    async def _by_aiohttp(self, request: web.Request) -> web.StreamResponse:
        api = self._apis[request.path]
        answer = await self._counted(api, self._handle(request, api), time.monotonic())
        return answer.response() if isinstance(answer, Reply) else answer

    async def _straightly(self, asked: UsuallyAsked) -> Reply | None:
        return await self._counted(self._apis[Chat.path], self.straight.serve(asked), asked.begun)

    async def _counted(self, api: Api, work: Awaitable[_Answer], begun: float) -> _Answer | Reply:
        """Await an answer, and count how it ends."""
        answer: _Answer | Reply
        try:
            answer = await work
        except (StoreFailed, LaneLost) as failure:
            answer = self._refuse(_not_kept(failure), "", "")
        except (ConnectionError, asyncio.CancelledError):
            self.metrics.requests.add(api.kind, "gone")
            raise
        except Exception:
            log.exception("a request failed", extra={"api": api.kind})
            answer = _failed()
        if answer is not None:
            self.metrics.requests.add(api.kind, str(answer.status))
            self.metrics.took.add(api.kind, (time.monotonic() - begun) * 1000)
        return answer

    async def _handle(self, request: web.Request, api: Api) -> Reply | web.StreamResponse:
        ask, body = None, b""
        try:
            body = await self._body(request)
            ask = self._read_for(api, body)
            return await self._serve(request, api, ask, body)
        except r.Refusal as refusal:
            if isinstance(refusal, r.PaymentRefusal) and ask is not None:
                await self._price(refusal, request, api, ask, body)
            return self._refuse(refusal, str(request.url), "" if ask is None else ask.models[0])

    async def _serve(self, request: web.Request, api: Api, ask: Ask, body: bytes) -> Reply | web.StreamResponse:
        self._door.check_models(api, ask)
        payment = read_headers(request.headers)
        if payment.order is not None:
            if self._once is None:
                raise r.NoSinglePayments("single payments are not taken here")
            return await self._once.serve(api, ask, body, payment)
        if payment.opening is not None and self._openings is not None:
            await self._openings.open(payment.opening, payment.voucher)
        known, voucher = await self._door.session_of(payment)
        asked = Asked(api, ask, body, payment, known, voucher)
        answer = await (self._from_session(request, asked) if payment.key else self._answer(request, asked, None))
        if payment.x402 and isinstance(answer, Reply) and RECEIPT in answer.headers:
            answer.headers[x402.RESPONSE] = self._told(known, answer.headers[RECEIPT])
        return answer

    async def _from_session(self, request: web.Request, asked: Asked) -> Reply | web.StreamResponse:
        async with self._door.repetition(asked, blake2_256(asked.body)) as (key, stored):
            if stored is not None:
                return self._repeat(asked.api, asked.known, stored)
            return await self._answer(request, asked, key)

    async def _answer(self, request: web.Request, asked: Asked, key: Hash32 | None) -> Reply | web.StreamResponse:
        paid = await self._door.admit(asked, key)
        try:
            if asked.ask.stream:
                return await self._served.flow(request, paid)
            return await self._served.whole(paid)
        finally:
            self._door.leave(paid)

    def _told(self, known: Known, receipt: str) -> str:
        """Return PAYMENT-RESPONSE for a request a voucher paid."""
        read = Receipt.decode(decode_signed(receipt)[0])
        extra = {"receipt": receipt, "left": str(known.seller.left), "session": known.seller.id.hex()}
        return x402.response(self._challenges.network, known.facts.payer, read.charge, "", extra)

    async def _price(self, refusal: r.Refusal, request: web.Request, api: Api, ask: Ask, body: bytes) -> None:
        """Say with a refusal what a payment would have to allow, where that can be said."""
        try:
            payment = read_headers(request.headers)
        except r.Refusal:
            payment = PaymentHeaders()
        try:
            needed = Balance(int(refusal.extra.setdefault("needed", str(self._door.asking(api, ask, payment)))))
            refusal.extra.setdefault("request", request_hash(body, payment.key).hex())
            if self._once is not None and not ask.stream:
                refusal.extra["single"] = str(self._once.asked(needed))
            if self._openings is not None and payment.voucher is None:
                refusal.extra["opening"] = await self._openings.terms()
        except r.Refusal as unknown:
            log.debug("a request has no price now", extra={"reason": str(unknown)})

    def _repeat(self, api: Api, known: Known, stored: StoredAnswer) -> Reply:
        """Give an answer again, with the receipt it had; nothing is charged."""
        receipt = Receipt.decode(stored.receipt.statement)
        headers = receipt_headers(receipt, stored.receipt, known.seller.left)
        body = stored.answer or b""
        if stored.content_type == CONTENT_TYPE:
            body += ending(api, receipt, headers, {})
        headers |= {"Content-Type": stored.content_type, REPEATED: "1"}
        return Reply(stored.status, body, headers)

    async def _body(self, request: web.Request) -> bytes:
        if request.content_type not in ("application/json", "application/octet-stream"):
            raise r.BadRequest("the body is JSON")
        try:
            return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise r.TooLarge(f"a body has at most {self._settings.limits.body_bytes} bytes") from None
        except web.HTTPException:
            raise r.BadRequest("the body cannot be read") from None

    def _read(self, path: str, body: bytes) -> tuple[Api, Ask]:
        api = self._apis.get(path)
        if api is None:
            raise r.BadRequest(f"nothing is sold at {path[:80]}")
        return api, self._read_for(api, body)

    def _read_for(self, api: Api, body: bytes) -> Ask:
        try:
            told = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise r.BadRequest("the body is no JSON") from None
        if not isinstance(told, dict):
            raise r.BadRequest("the body is a JSON object")
        ask = api.read(told, len(body))
        if ask.stream and not api.may_stream:
            raise r.BadRequest(f"{api.path} does not stream")
        return ask

    def _refuse(self, refusal: r.Refusal, url: str, model: str) -> Reply:
        code = r.code_of(refusal)
        self.metrics.refusals.add(code)
        headers = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
        if isinstance(refusal, r.PaymentRefusal):
            headers |= self._challenges.headers(refusal, url, model)
            if isinstance(refusal, r.OrderRefusal):
                headers[x402.RESPONSE] = x402.failure(self._challenges.network, code, str(refusal))
            body, content_type = self._challenges.problem(refusal), r.PROBLEM
        else:
            body, content_type = openai_error(refusal), "application/json"
        return Reply(r.status_of(refusal), body, {"Content-Type": content_type, **headers})

    def _guarded(self, handler: Any) -> Any:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                response: web.StreamResponse = await handler(request)
            except r.Refusal as refusal:
                response = self._refuse(refusal, str(request.url), "").response()
            except StoreFailed as failure:
                response = self._refuse(_not_kept(failure), str(request.url), "").response()
            except web.HTTPRequestEntityTooLarge:
                response = self._refuse(r.TooLarge("the body is too large"), str(request.url), "").response()
            return response

        return guarded

    def _count(self, settled: Settled) -> None:
        self.metrics.receipts.add(_STATUS_NAMES[settled.receipt.status])
        self.metrics.charged.add(by=settled.receipt.charge)

    async def _metrics_page(self, request: web.Request) -> web.Response:  # noqa: ARG002 - the same for all
        return web.Response(body=self.metrics.render(), headers={"Content-Type": METRICS_TYPE})

    async def _health(self, request: web.Request) -> web.Response:  # noqa: ARG002 - the same for all
        """Say whether requests can be served; why not in detail is for the log, since strangers may ask."""
        if not self._settings.store.away:
            return web.Response(text="ok")
        text = "the store is away: nothing is served until it is back"
        return web.Response(status=503, text=text, headers={"Retry-After": str(AWAY_S)})


def _failed() -> Reply:
    body = openai_error(r.Refusal("the gateway failed; nothing is charged"))
    return Reply(500, body, {"Content-Type": "application/json"})


def _not_kept(failure: Exception) -> r.Refusal:
    log.warning("what must be kept cannot be", extra={"reason": str(failure)})
    return r.StoreUnavailable("the gateway cannot keep receipts now; nothing is charged", retry_after_s=AWAY_S)
