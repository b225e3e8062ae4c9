"""From an admitted request to its answer and receipt, whole or flowing; the charging table is this module.

ok                                                  measured units
upstream fails, times out or answers nothing        0, status 3
upstream refuses                                    0, status 4, its answer is passed on
upstream dies while the answer flows                0, status 3; what was delivered if the book says so
client goes away                                    input and what was delivered, status 2; the upstream is hung up
usage missing                                       a recount of what was delivered
another model answers                               its leg alone, at its prices
ceiling or cap reached                              what was delivered, status 1, never more than was allowed
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import msgspec
from aiohttp import web

from aitoken.crypto.hashing import blake2_256
from aitoken.pay.headers import LEFT, RECEIPT
from aitoken.pay.layouts import Receipt, Status
from aitoken.types import Hash32
from gateway.apis.base import Api, Meter
from gateway.deadlines import Deadlines, Wait
from gateway.paid import ANSWER_BYTES_MAX, Leg, Paid, StoredAnswerParts, Usage, cost_fields
from gateway.ports import Answer, Event, Flow, Upstream, UpstreamFailed
from gateway.reply import Reply
from gateway.sse import CONTENT_TYPE, DONE, encode_event
from gateway.store import LaneLost, StoreFailed

log = logging.getLogger(__name__)

JSON: Final = "application/json"
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
WHOLE_S: Final = 600
"""How long a whole answer may take."""

NEED_WAIT_S: Final = 2.0
"""How long a flow waits for a raised ceiling."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things may take, in seconds."""

    whole: float = WHOLE_S
    silence: float = 120
    need: float = NEED_WAIT_S


class Served:
    """Answers admitted requests."""

    def __init__(self, upstreams: Mapping[str, Upstream], timing: Timing) -> None:
        self._upstreams = upstreams
        self._timing = timing
        self._whole = Deadlines(timing.whole)
        self._silence = Deadlines(timing.silence)

    # ------------------------------------------------------------------------------------------- whole answers

    async def whole(self, paid: Paid) -> Reply:
        """Answer at once."""
        try:
            number, answer = await self._first_answer(paid)
        except asyncio.CancelledError:
            self.abandoned(paid)
            raise
        return await self.finish(paid, number, answer)

    async def finish(self, paid: Paid, number: int, answer: Answer) -> Reply:
        """Make an answer of a leg that of the request, or refuse it."""
        if answer.status >= 400:
            return await self._refused(paid, number, answer)
        return await self._answered(paid, number, answer)

    def in_time(self) -> Wait:
        """Return a context in which a whole answer has to come, or it ends with `TimeoutError`."""
        return self._whole.wait()

    @staticmethod
    def none_of(leg: Leg, failure: Exception) -> Answer:
        """Return what stands for the answer of an upstream that gave none."""
        log.info("an upstream failed", extra={"model": leg.model.name, "reason": str(failure)})
        return Answer(504 if isinstance(failure, TimeoutError) else 502, JSON, _error("the upstream failed"))

    async def _first_answer(self, paid: Paid) -> tuple[int, Answer]:
        """Return the first answer of a leg that is one, or the last that is none."""
        last = _NO_ANSWER
        for number, leg in enumerate(paid.order.legs):
            try:
                with self.in_time():
                    answer = await self._upstream(leg).ask(paid.order.api.path, _body(paid, leg))
            except (UpstreamFailed, TimeoutError) as failure:
                last = self.none_of(leg, failure)
                continue
            if not _try_next(answer):
                return number, answer
            last = answer
        return 0, last

    async def _answered(self, paid: Paid, number: int, answer: Answer) -> Reply:
        order, leg = paid.order, paid.order.legs[number]
        meter = paid.meter(leg)
        told: dict[str, Any] | None = None
        try:
            if answer.content_type == JSON:
                told = _object(answer.body)
                order.api.whole(meter, told)
            else:
                order.api.binary(meter, answer.content_type, answer.body)
        except UpstreamFailed as failure:
            return await self._failed(paid, number, str(failure))
        if not meter.delivered:
            return await self._failed(paid, number, "the upstream answered nothing")
        usage = paid.usage(leg, meter, final=True)
        body = answer.body
        if told is not None:
            order.api.with_cost(told, cost_fields(paid.fix(leg, usage), usage))
            body = _encode(told)
        kept = StoredAnswerParts(200, answer.content_type, body)
        recounted = meter.recounted and bool(meter.characters)
        paid.settle(Status.OK, number, usage, blake2_256(body), recounted=recounted, answer=kept)
        await paid.known_to_disk()
        return Reply(200, body, {"Content-Type": answer.content_type, **paid.receipt_headers()})

    async def _failed(self, paid: Paid, number: int, reason: str, status: int = 502) -> Reply:
        body = _error(reason)
        paid.settle(Status.PROVIDER_ERROR, number, (), blake2_256(body))
        await paid.known_to_disk()
        return Reply(status, body, {"Content-Type": JSON, **paid.receipt_headers()})

    async def _refused(self, paid: Paid, number: int, answer: Answer) -> Reply:
        """Pass an upstream's refusal on, free of charge; its own troubles are a 502 of ours."""
        ours = answer.status >= 500
        status = answer.status if answer.status in (429, 504) or not ours else 502
        body = answer.body if not ours or answer.status in (502, 504) else _error("the upstream failed")
        paid.settle(Status.PROVIDER_ERROR if _try_next(answer) else Status.REFUSED, number, (), blake2_256(body))
        await paid.known_to_disk()
        headers = {"Content-Type": answer.content_type or JSON, **paid.receipt_headers()}
        if "retry-after" in answer.headers:
            headers["Retry-After"] = answer.headers["retry-after"]
        return Reply(status, body, headers)

    def abandoned(self, paid: Paid) -> None:
        """The client went away before anything was delivered: what went in is owed."""
        leg = paid.order.legs[0]
        usage = paid.usage(leg, paid.meter(leg), final=True)
        paid.settle(Status.CLIENT_ABORT, 0, usage, recounted=True)

    # ------------------------------------------------------------------------------------------- answers that flow

    async def flow(self, request: web.BaseRequest, paid: Paid) -> Reply | web.StreamResponse:
        """Let the answer flow."""
        last = _NO_ANSWER
        for number, leg in enumerate(paid.order.legs):
            try:
                async with self._opened(paid, leg) as flow:
                    if flow.refused is not None:
                        last = flow.refused
                        if _try_next(last):
                            continue
                        return await self._refused(paid, number, last)
                    async with aclosing(self._events(flow)) as events:
                        first = await anext(events, None)
                        if first is None:
                            raise UpstreamFailed("the upstream answered nothing")
                        return await _Flowing(self._timing, request, paid, number).run(first, events)
            except asyncio.CancelledError:
                if paid.settled is None:
                    self.abandoned(paid)
                raise
            except UpstreamFailed as failure:
                log.info("an upstream failed", extra={"model": leg.model.name, "reason": str(failure)})
                last = Answer(502, JSON, _error("the upstream failed"))
        return await self._refused(paid, 0, last)

    def _opened(self, paid: Paid, leg: Leg) -> AbstractAsyncContextManager[Flow]:
        return self._upstream(leg).stream(paid.order.api.path, _body(paid, leg))

    async def _events(self, flow: Flow) -> AsyncGenerator[Event, None]:
        """Give a flow's events; a long silence is a failure."""
        events = aiter(flow)
        while True:
            try:
                with self._silence.wait():
                    event = await anext(events, None)
            except TimeoutError:
                raise UpstreamFailed("the upstream says nothing any more") from None
            if event is None:
                return
            yield event

    def _upstream(self, leg: Leg) -> Upstream:
        return self._upstreams[leg.model.upstream]


class _Flowing:
    """One answer on its way to a client."""

    def __init__(self, timing: Timing, request: web.BaseRequest, paid: Paid, number: int) -> None:
        self._timing = timing
        self._request = request
        self._paid = paid
        self._number = number
        self._leg = paid.order.legs[number]
        self._meter: Meter = paid.meter(self._leg)
        self._response = web.StreamResponse(
            headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        self._hash = blake2b(digest_size=32)
        self._kept: list[bytes] | None = [] if paid.order.key is not None else None
        self._kept_size = 0
        self._head: dict[str, Any] = {}
        self._warned = -1

    async def run(self, first: Event, events: AsyncIterator[Event]) -> web.StreamResponse:
        """Pass events on until the end, whoever brings it about; then the receipt."""
        try:
            await self._response.prepare(self._request)
            status = await self._pass(first, events)
        except (ConnectionError, asyncio.CancelledError):
            self._settle(Status.CLIENT_ABORT)
            raise
        except UpstreamFailed as failure:
            await self._write(Event(_error(str(failure)).decode()))
            self._settle(Status.PROVIDER_ERROR)
        else:
            self._settle(status)
        try:
            await self._tell_receipt()
            await self._response.write_eof()
        except ConnectionError:
            log.debug("a client went away before its receipt")
        except (StoreFailed, LaneLost) as failure:
            log.warning("an answer ends without its receipt, free of charge", extra={"reason": str(failure)})
            if self._request.transport is not None:
                self._request.transport.abort()
        return self._response

    async def _pass(self, first: Event, events: AsyncIterator[Event]) -> Status:
        event: Event | None = first
        while event is not None:
            if event.data == DONE:
                self._meter.finished = True
                break
            chunk = _chunk(event)
            if not self._head:
                self._head = chunk
            if not await self._pass_one(event, chunk):
                return Status.PARTIAL
            event = await anext(events, None)
        if not self._meter.finished:
            raise UpstreamFailed("the upstream broke off")
        if not self._meter.delivered:
            raise UpstreamFailed("the upstream answered nothing")
        return Status.OK

    async def _pass_one(self, event: Event, chunk: dict[str, Any]) -> bool:
        """Pass one event on, if it is paid for; tell whether it was."""
        paid, meter = self._paid, self._meter
        if paid.lost:
            raise UpstreamFailed("the gateway cannot keep receipts now")
        before = meter.mark()
        paid.order.api.event(meter, event, chunk)
        if paid.known.facts.frozen or not await self._affordable():
            meter.back_to(before)
            return False
        if paid.order.api.is_usage_only(chunk) and not paid.order.ask.wants_usage:
            return True
        try:
            await self._write(event)
        except ConnectionError:
            meter.back_to(before)
            raise
        return True

    async def _affordable(self) -> bool:
        """Tell whether what was counted so far is within what is allowed; wait a moment for more if it is not."""
        paid = self._paid
        cost = self._cost()
        if paid.order.window and cost * 4 > paid.allowance * 3 and self._warned != paid.allowance:
            self._warned = paid.allowance
            await self._tell_need(cost)
        while cost > paid.allowance:
            if not paid.order.window:
                return False
            paid.known.raised.clear()
            allowed = paid.allowance
            try:
                async with asyncio.timeout(self._timing.need):
                    while paid.allowance == allowed:
                        await paid.more()
            except TimeoutError:
                return False
        return True

    def _cost(self) -> int:
        meter = self._meter
        final = meter.reported is not None
        cost = self._paid.price(self._leg, self._paid.usage(self._leg, meter, final=final))
        # The last word on the usage comes when everything was delivered: it is cut to the allowance, not the answer.
        return min(cost, self._paid.allowance) if final and meter.finished else cost

    async def _write(self, event: Event) -> None:
        raw = encode_event(event)
        await self._response.write(raw)
        self._hash.update(raw)
        if self._kept is not None:
            self._kept_size += len(raw)
            if self._kept_size <= 2 * ANSWER_BYTES_MAX:
                self._kept.append(raw)

    async def _tell_need(self, cost: int) -> None:
        lane = self._paid.allowance
        told = {"type": "aitp.need", "cost": str(cost), "allowed": str(lane)}
        data = self._paid.order.api.receipt_data(told, self._head)
        await self._response.write(encode_event(Event(msgspec.json.encode(data).decode(), "aitp.need")))

    def _settle(self, status: Status) -> None:
        paid, meter = self._paid, self._meter
        usage: Usage = ()
        owed = status != Status.PROVIDER_ERROR or (paid.pays_delivered(self._leg) and meter.delivered)
        if owed:
            usage = paid.usage(self._leg, meter, final=True)
        digest = Hash32(self._hash.digest())
        kept = None
        if self._kept is not None and status in (Status.OK, Status.PARTIAL):
            kept = StoredAnswerParts(200, CONTENT_TYPE, b"".join(self._kept))
        paid.settle(status, self._number, usage, digest, recounted=owed and meter.recounted, answer=kept)

    async def _tell_receipt(self) -> None:
        paid = self._paid
        await paid.known_to_disk()
        if paid.settled is not None:
            raw = ending(paid.order.api, paid.settled.receipt, paid.receipt_headers(), self._head)
            await self._response.write(raw)


def ending(api: Api, receipt: Receipt, headers: Mapping[str, str], head: dict[str, Any]) -> bytes:
    """Return what ends a flow: the receipt as an event that readers of the API skip, and the API's own end."""
    told = {"receipt": headers[RECEIPT], "left": headers[LEFT], **cost_fields(receipt.charge, receipt.usage)}
    data = msgspec.json.encode(api.receipt_data(told, head)).decode()
    raw = encode_event(Event(data, "aitp.receipt"))
    return raw + encode_event(Event(DONE)) if api.ends_with_done else raw


def _body(paid: Paid, leg: Leg) -> bytes:
    order = paid.order
    limit = order.output_limit
    return _encode(order.api.prepare(order.ask, leg.model.upstream_model, limit))


def _try_next(answer: Answer) -> bool:
    """Whether another model may do better: the upstream is overloaded or broken, not the request."""
    return answer.status == 429 or answer.status >= 500


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = _decode(body)
    except msgspec.DecodeError:
        raise UpstreamFailed("the upstream's answer is no JSON") from None
    if not isinstance(told, dict):
        raise UpstreamFailed("the upstream's answer is no object")
    return told


def _chunk(event: Event) -> dict[str, Any]:
    chunk = _object(event.data.encode("utf-8", "replace"))
    if "error" in chunk and "choices" not in chunk and chunk.get("error"):
        raise UpstreamFailed("the upstream broke off with an error")
    return chunk


def _error(reason: str) -> bytes:
    return msgspec.json.encode({"error": {"message": reason, "type": "upstream_error", "code": "upstream_failed"}})


_NO_ANSWER: Final = Answer(502, JSON, _error("no upstream answers"))
