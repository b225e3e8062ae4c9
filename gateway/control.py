"""`/.well-known/aitp`: what a buyer needs beside the APIs themselves.

    GET  /.well-known/aitp             who sells: provider, operator key, chain, models, books
    POST /.well-known/aitp/quote       a signed offer for a request: {"path", "body" (text, as it will be sent), "key"}
    POST /.well-known/aitp/voucher     countersign without a request, or raise the ceiling of one in flight
    GET  /.well-known/aitp/session     where one's lanes are, with the last receipt of each
    GET  /.well-known/aitp/receipts    ?lane=&seq= one receipt, or ?lane=&after= a page of them
    POST /.well-known/aitp/close       end a session: a signed final total, so the rest comes back at once
    GET  /.well-known/aitp/status      is it open, and how busy

What concerns a session wants a voucher of it in `AI-Voucher`, signed with its key; any will do, such as one that
promises nothing, so a client that lost its state can ask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from aitoken.crypto import ed25519
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.book import ALWAYS, BOOK, book_hash
from aitoken.pay.errors import BadSignature, LaneBusy, OverDeposit, PayRejected
from aitoken.pay.headers import encode_signed, request_hash
from aitoken.pay.layouts import Offer
from aitoken.pay.seller import SellerLane, Signed
from aitoken.types import Moment
from gateway import refusals as r
from gateway.apis.base import Api, Ask
from gateway.catalogue import Catalogue, Edition, Model
from gateway.cost import most
from gateway.door import Door
from gateway.headers import read_headers, show_ait, unit_name
from gateway.places import Places
from gateway.ports import ChainSide, Clock
from gateway.sessions import Known, Sessions
from gateway.store import Store

ROOT: Final = "/.well-known/aitp"
OFFER_MS: Final = 600_000
ENDPOINTS: Final = ("quote", "voucher", "session", "receipts", "close", "status")
CLOSING_MS: Final = 3_600_000
OFFERS_MAX: Final = 100_000
PAGE_MAX: Final = 100


class _QuoteBody(msgspec.Struct):
    path: str
    body: str
    key: str = ""


class Control:
    """The control endpoints."""

    def __init__(
        self, catalogue: Catalogue, sessions: Sessions, door: Door, store: Store, chain: ChainSide, clock: Clock,
        operator: ed25519.Pair, places: Places, read: Callable[[str, bytes], tuple[Api, Ask]],
    ) -> None:  # fmt: skip
        self._catalogue = catalogue
        self._sessions = sessions
        self._door = door
        self._store = store
        self._chain = chain
        self._clock = clock
        self._operator = operator
        self._places = places
        self._read = read

    def routes(self) -> list[web.RouteDef]:
        """All endpoints."""
        return [
            web.get(ROOT, self.about),
            web.post(f"{ROOT}/quote", self.quote),
            web.post(f"{ROOT}/voucher", self.voucher),
            web.post(f"{ROOT}/close", self.close),
            web.get(f"{ROOT}/session", self.session),
            web.get(f"{ROOT}/receipts", self.receipts),
            web.get(f"{ROOT}/status", self.status),
            web.get("/v1/models", self.models),
        ]

    async def about(self, request: web.Request) -> web.Response:  # noqa: ARG002 - the same for all
        """Who sells, and what."""
        return _json(
            {
                "version": 1,
                "provider": self._catalogue.provider,
                "operator": self._operator.public.hex(),
                "genesis": self._chain.genesis.hex(),
                "network": f"polkadot:{self._chain.genesis.hex()[:32]}",
                "models": [self._model(model) for model in self._catalogue.models.values()],
                "books": [_book(edition) for edition in self._catalogue.editions.values()],
                "endpoints": {
                    name: f"{ROOT}/{name}" for name in ("quote", "voucher", "session", "receipts", "close", "status")
                },
            }
        )

    async def models(self, request: web.Request) -> web.Response:  # noqa: ARG002 - the same for all
        """The models as OpenAI's clients list them, each with its prices."""
        told = []
        for model in self._catalogue.models.values():
            edition = self._catalogue.editions[model.books[-1]]
            units = {
                unit_name(component.unit): _price(component.price.mantissa, component.price.scale, component.per)
                for component in edition.book.components
                if component.conditions == ALWAYS
            }
            pricing = {
                "currency": edition.book.currency,
                "book_version": edition.version,
                "book_hash": book_hash(edition.book).hex(),
                "units": units,
            }
            owner = f"provider-{self._catalogue.provider}"
            told.append({"id": model.name, "object": "model", "created": 0, "owned_by": owner, "pricing": pricing})
        return _json({"object": "list", "data": told})

    async def quote(self, request: web.Request) -> web.Response:
        """Sign what a request may cost at most; whoever sends it later is charged no more, shown the quote or not."""
        try:
            wanted = msgspec.json.decode(await request.read(), type=_QuoteBody)
        except (msgspec.DecodeError, RecursionError):
            raise r.BadRequest('the body is {"path": ..., "body": ..., "key": ...}') from None
        body = wanted.body.encode("utf-8")
        api, ask = self._read(wanted.path, body)
        self._door.check_models(api, ask)
        model = self._catalogue.models[ask.models[0]]
        edition = self._catalogue.editions[model.books[-1]]
        rate = 0 if edition.prices.in_asset else self._chain.rate(edition.book.currency)
        if rate is None:
            raise r.RateUnavailable(
                "there is no fresh exchange rate for the currency of these prices", retry_after_s=30
            )
        if self._store.offers >= OFFERS_MAX:
            raise r.TooBusy("too many quotes are open", retry_after_s=60)
        now = self._clock.now()
        output = min(ask.output_limit or model.max_output, model.max_output) if api.may_stream else 0
        charge = most(ask, edition, rate, now, output)
        until = Moment(now + OFFER_MS)
        hashed = request_hash(body, wanted.key)
        offer = Offer(self._chain.genesis, model.service, edition.version, hashed, charge, rate, until)
        statement = offer.encode()
        self._store.put_offer(hashed, model.service, edition.version, charge, until)
        await self._store.synced()
        return _json(
            {
                "offer": encode_signed(statement, self._operator.sign(statement)), "max_charge": str(charge),
                "max_charge_text": f"{show_ait(charge)} AIT", "rate": str(rate), "valid_until": until,
                "book_version": edition.version, "service": model.service,
            }
        )  # fmt: skip

    async def voucher(self, request: web.Request) -> web.Response:
        """Take a voucher that countersigns, or one that raises the ceiling of a request in flight."""
        payment = read_headers(request.headers)
        known, voucher = await self._door.session_of(payment)
        signed = payment.voucher or Signed(b"", b"")
        try:
            try:
                lane = await self._take(known, voucher.lane, signed)
            except OverDeposit:
                # Perhaps it was topped up a moment ago.
                await self._sessions.refresh(known.seller.id)
                lane = await self._take(known, voucher.lane, signed)
        except PayRejected as error:
            raise await self._door.pay_refusal(known, signed, error) from None
        return _json({"lane": lane.number, "seq": lane.seq, "acked": str(lane.countersigned), "end": str(lane.end)})

    async def _take(self, known: Known, number: int, signed: Signed) -> SellerLane:
        now = self._clock.now()
        async with self._sessions.turn(known, number, signed) as turn:
            lane = known.seller.lanes.get(number)
            if lane is not None and lane.busy:
                known.seller.raise_ceiling(signed.statement, signed.signature, now)
            else:
                lane = known.seller.acknowledge(signed.statement, signed.signature, now)
            turn.keep(lane)
        if not lane.busy:
            await self._store.synced()  # a countersignature is money: who is told that it was taken may forget it
        known.raised.set()
        return lane

    async def close(self, request: web.Request) -> web.Response:
        """Serve nothing more of a session, and sign what it comes to."""
        known = await self._own(request)
        until = Moment(self._clock.now() + CLOSING_MS)
        try:
            async with self._sessions.turn(known, None) as turn:
                if known.away:
                    raise LaneBusy("a request is in flight")
                signed = known.seller.close(until, self._operator)
                known.ended = True
                turn.close(known.seller.id)
        except PayRejected as error:
            raise r.PayRefusal(error) from None
        await self._store.synced()
        total = sum(lane.total for lane in known.seller.lanes.values())
        text = encode_signed(signed.statement, signed.signature)
        return _json({"closing": text, "final_total": str(total), "valid_until": until})

    async def session(self, request: web.Request) -> web.Response:
        """Where a session's lanes are."""
        known = await self._own(request)
        await self._sessions.renew(known)
        lanes = []
        for lane in known.seller.lanes.values():
            receipt = lane.last_receipt
            lanes.append(
                {
                    "lane": lane.number, "seq": lane.seq, "total": str(lane.total), "busy": lane.busy,
                    "retired": lane.retired, "countersigned": str(lane.countersigned),
                    "receipt": None if receipt is None else encode_signed(receipt.statement, receipt.signature),
                }
            )  # fmt: skip
        return _json(
            {
                "session": known.seller.id.hex(), "deposit": str(known.seller.deposit), "left": str(known.seller.left),
                "closing": known.seller.closing, "book_version": known.facts.book_version,
                "max_lanes": known.seller.max_lanes, "lanes": lanes,
            }
        )  # fmt: skip

    async def receipts(self, request: web.Request) -> web.Response:
        """One receipt of a lane, or those after a number."""
        known = await self._own(request)
        lane, seq = _number(request, "lane"), _number(request, "seq")
        if lane is None:
            raise r.BadRequest("which lane?")
        if seq is not None:
            receipt = await self._store.receipt(known.seller.id, lane, seq)
            found = [] if receipt is None else [receipt]
        else:
            found = await self._store.receipts(known.seller.id, lane, _number(request, "after") or 0, PAGE_MAX)
        return _json({"receipts": [encode_signed(one.statement, one.signature) for one in found]})

    async def status(self, request: web.Request) -> web.Response:  # noqa: ARG002 - the same for all
        """Whether it is open, and how busy."""
        return _json(
            {
                "open": True, "now": self._clock.now(), "serving": self._places.taken, "waiting": self._places.waiting,
                "sessions": len(self._sessions),
            }
        )  # fmt: skip

    async def _own(self, request: web.Request) -> Known:
        """The session of a caller that has its key."""
        payment = read_headers(request.headers)
        known, _ = await self._door.session_of(payment)
        voucher = payment.voucher
        if voucher is None or not ed25519.verify(voucher.signature, voucher.statement, known.seller.key):
            raise r.PayRefusal(BadSignature("the voucher is not signed with the session's key"))
        return known

    def _model(self, model: Model) -> dict[str, Any]:
        return {
            "name": model.name, "service": model.service, "book_versions": list(model.books),
            "kinds": sorted(model.kinds), "max_output": model.max_output, "hash": model.hash.hex(),
            "tokenizer": model.tokenizer,
        }  # fmt: skip


def _book(edition: Edition) -> dict[str, Any]:
    encoded = BOOK.encode(edition.book)
    return {"version": edition.version, "hash": blake2_256(encoded).hex(), "scale": encoded.hex()}


def _price(mantissa: int, scale: int, per: int) -> str:
    digits = str(mantissa).rjust(scale + 1, "0")
    amount = f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
    return amount if per == 1 else f"{amount} / {per}"


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise r.BadRequest(f"{name} is a number")
    return int(text)


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
