"""The straight way of the usual request, in one piece: a whole chat completion of one model, paid by a voucher.

The rooms it passes (`door`, `paid`, `serve`) can do far more, which costs the usual request more than its signatures.
Here is what is left of them for a request of which nothing is special: no plan, tier, quote, tool or second choice,
prices that are plain products, a voucher that covers all, a key that is new if there is one, one gateway on the store.
Whatever else turns up before the request is admitted makes `read` or `serve` return None, with nothing done, and
`gateway.front` gives it to aiohttp's server and the rooms; whatever turns up after it (an upstream that fails, a client
that goes away, an odd answer) is finished by those rooms. They are the reference: a property test holds the same
conversations with and without this module.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from aitoken.crypto.checks import Check
from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256
from aitoken.crypto.signature import SignatureKind
from aitoken.errors import Bug
from aitoken.pay import units as u
from aitoken.pay.errors import PayRejected
from aitoken.pay.extension import IDEMPOTENCY as IDEMPOTENCY_FIELD
from aitoken.pay.extension import encode_extension
from aitoken.pay.headers import COST, LEFT, RECEIPT, decode_signed, encode_signed, request_hash
from aitoken.pay.layouts import Receipt, Status, Voucher
from aitoken.pay.price import RATE_ONE
from aitoken.pay.seller import Admission
from aitoken.types import Balance, Hash32, Moment
from gateway.apis.base import COUNT_LIMIT, FRAMING_TOKENS, OUTPUT_MAX
from gateway.apis.text import Chat
from gateway.catalogue import Catalogue
from gateway.checks import Checks
from gateway.door import Door
from gateway.head import Head
from gateway.headers import is_key, show_ait, unit_name
from gateway.paid import Leg, Order, Paid, Settled, StoredAnswerParts, stored_answer
from gateway.places import Places
from gateway.ports import Answer, Clock, Upstream, UpstreamFailed
from gateway.refusals import UNEXPECTED
from gateway.reply import Reply
from gateway.serve import JSON, Served
from gateway.sessions import Known, Sessions
from gateway.store import Store
from gateway.tokens import PIECES, TOKENIZERS

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode
_OK: Final = int(Status.OK)
_AMOUNT_LIMIT: Final = 1 << 128
_FIELDS: Final = frozenset(
    {"model", "messages", "max_tokens", "temperature", "top_p", "stop", "seed", "user", "presence_penalty",
     "frequency_penalty", "metadata", "logit_bias", "stream"}
)  # fmt: skip
"""Fields of a request of which nothing depends here but what is read below."""

_MESSAGE_FIELDS: Final = frozenset({"role", "content", "name"})
_COUNTED_OTHERWISE: Final = frozenset({u.REQUEST, u.INPUT_CHARACTER, u.OUTPUT_CHARACTER})
_IN, _OUT = unit_name(u.INPUT_TOKEN), unit_name(u.OUTPUT_TOKEN)


class Line(msgspec.Struct, frozen=True):
    """A model at the prices of a book, made ready.

    Attributes:
        leg: model and book.
        upstream: who answers.
        count: its tokenizer.
        byte: what a byte of a request costs at most, as a numerator.
        token: what a token of the output costs at most.
        input: what a token of the input costs.
        output: what a token of the output costs.
        least: what a request costs at least.
        denominator: of all of them.
    """

    leg: Leg
    upstream: Upstream
    count: Callable[[str], int]
    byte: int
    token: int
    input: int
    output: int
    least: int
    denominator: int

    def charge(self, total: int) -> int:
        """Return base units for a sum of numerators, rounded up once."""
        return -(-max(total, self.least) * RATE_ONE // self.denominator)


class Asked(msgspec.Struct):
    """A usual request that was read.

    Attributes:
        key: its `Idempotency-Key`, or "" where it has none.
        begun: when it came, by the monotonic clock.
        checked: the key with which the voucher's signature has been checked, if it has.
    """

    known: Known
    statement: bytes
    signature: bytes
    voucher: Voucher
    told: dict[str, Any]
    body: bytes
    key: str
    begun: float
    checked: bytes = b""


class Work(msgspec.Struct):
    """A request that was admitted."""

    line: Line
    known: Known
    admission: Admission
    told: dict[str, Any]
    size: int
    limit: int
    request: Hash32
    started: Moment
    key: Hash32 | None
    body_hash: Hash32
    settled: bool = False


class Straight:
    """Serves the usual request.

    Attributes:
        lines: models whose usual requests cost plain products, by name and version of the book.
        served: how many answers went this way to their end.
    """

    def __init__(
        self, catalogue: Catalogue, upstreams: Mapping[str, Upstream], door: Door, served: Served, sessions: Sessions,
        places: Places, checks: Checks, store: Store, clock: Clock, operator: Pair, done: Callable[[Settled], None],
    ) -> None:  # fmt: skip
        self._door = door
        self._served = served
        self._sessions = sessions
        self._places = places
        self._checks = checks
        self._store = store
        self._clock = clock
        self._operator = operator
        self._done = done
        self._api = Chat()
        self.lines = {} if store.shared else _lines_of(catalogue, upstreams)
        self.served = 0

    def read(self, head: Head, body: bytes) -> Asked | None:
        """Return a request; None where it is none of the usual ones."""
        try:
            statement, signature = decode_signed(head.voucher)
            voucher = Voucher.decode(statement)
            told = _decode(body)
        except (PayRejected, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        known = self._sessions.at_hand(voucher.session_id)
        if known is None or not _usual(told) or (head.key and not is_key(head.key)):
            return None
        return Asked(known, statement, signature, voucher, told, body, head.key, time.monotonic())

    def check(self, asked: Asked, then: Callable[[Asked, bool], None]) -> None:
        """Go on with a request: at once, or if many are there once the voucher's signature was checked beside the loop.

        `then` is told False where that is wrong; at once nobody has looked, and `serve` will.
        """
        if self._checks.crowded:
            asked.checked = asked.known.seller.key
            check = Check(SignatureKind.ED25519, asked.signature, asked.statement, asked.checked)
            self._checks.ask(check, partial(then, asked))
        else:
            then(asked, True)

    async def serve(self, asked: Asked) -> Reply | None:
        """Answer a request; None, with nothing done, where the rooms have to.

        Raises:
            StoreFailed: the receipt must not leave.
        """
        work = self._admit(asked)
        if work is None:
            return None
        paid: Paid | None = None
        place = None if work.key is None else (work.known.seller.id, work.key)
        if place is not None:
            self._door.hold(place, work.body_hash)
        try:
            try:
                answer = await self._ask(work)
            except asyncio.CancelledError:
                paid = self._plain(work)
                self._served.abandoned(paid)
                raise
            reply = await self._answered(work, answer)
            if reply is None:
                paid = self._plain(work)
                reply = await self._served.finish(paid, 0, answer)
            return reply
        finally:
            if not work.settled:
                (paid or self._plain(work)).settle(UNEXPECTED)
            self._places.leave(work.known.facts.payer)
            if place is not None:
                self._door.let_go(place)

    # ------------------------------------------------------------------------------------------- admission

    def _admit(self, asked: Asked) -> Work | None:
        """Reserve, in one step without a pause."""
        known, told, body, voucher = asked.known, asked.told, asked.body, asked.voucher
        facts, seller = known.facts, known.seller
        line = self.lines.get((told["model"], facts.book_version))
        key = blake2_256(asked.key.encode("ascii")) if asked.key else None
        if (
            line is None
            or facts.passes
            or self._store.may_have_offers
            or self._sessions.at_hand(seller.id) is not known
        ):
            return None
        if key is not None and not self._door.is_new((seller.id, key)):
            return None
        longest = line.leg.model.max_output
        limit = min(told.get("max_tokens") or longest, longest)
        most = line.charge(len(body) * line.byte + limit * line.token)
        payer = facts.payer
        if most > voucher.ceiling - voucher.acked or most >= _AMOUNT_LIMIT or not self._places.enter_now(payer):
            return None
        now = self._clock.now()
        try:
            admission = seller.admit(
                asked.statement, asked.signature, now, Balance(most), Balance(most), voucher,
                asked.checked,
            )  # fmt: skip
            lane = admission.lane
            if lane.signed_voucher is None:
                raise Bug("a lane is admitted without a voucher")
            self._store.put_voucher(seller.id, lane.number, lane.signed_voucher, retired=lane.retired)
        except PayRejected:
            self._places.leave(payer)
            return None
        except BaseException:
            self._places.leave(payer)
            raise
        body_hash = blake2_256(body)
        request = request_hash(body, asked.key) if asked.key else body_hash
        return Work(line, known, admission, told, len(body), limit, request, now, key, body_hash)

    def _plain(self, work: Work) -> Paid:
        """Return what the plain rooms know an admitted request as."""
        order = Order(
            self._api, self._api.read(work.told, work.size), (work.line.leg,), work.limit, False, work.request,
            work.key, work.body_hash, work.known.facts.rate_lock, None, work.started,
        )  # fmt: skip
        return self._door.taken_over(order, work.known, work.admission)

    # ------------------------------------------------------------------------------------------- the answer

    async def _ask(self, work: Work) -> Answer:
        line = work.line
        body = {**work.told, "model": line.leg.model.upstream_model, "max_tokens": work.limit}
        try:
            with self._served.in_time():
                return await line.upstream.ask(Chat.path, _encode(body))
        except (UpstreamFailed, TimeoutError) as failure:
            return self._served.none_of(line.leg, failure)

    async def _answered(self, work: Work, answer: Answer) -> Reply | None:
        """Write the receipt of a usual answer; None, with nothing done, where it is not one."""
        line, known, lane = work.line, work.known, work.admission.lane
        if answer.status != 200 or answer.content_type != JSON:
            return None
        try:
            told = _decode(answer.body)
        except msgspec.DecodeError:
            return None
        tokens = _delivered(told, line)
        if tokens is None:
            return None
        given, output = tokens
        price = line.charge(given * line.input + output * line.output)
        if price >= _AMOUNT_LIMIT:
            return None
        charge = min(price, lane.end - lane.total)
        cost = show_ait(charge)
        details = {_IN: given, _OUT: output}
        told["usage"] = {**told["usage"], "cost": cost, "cost_currency": "AIT", "cost_details": details}
        body = _encode(told)
        leg, seller = line.leg, known.seller
        receipt = Receipt(
            seller.id, lane.number, lane.seq + 1, _OK, leg.model.service, leg.edition.version, leg.model.hash,
            work.request, blake2_256(body), work.started, max(work.started, self._clock.now()), Balance(charge),
            Balance(lane.total + charge), 0, lane.ack, ((u.INPUT_TOKEN, given), (u.OUTPUT_TOKEN, output)),
            b"" if work.key is None else encode_extension({IDEMPOTENCY_FIELD: work.key}),
        )  # fmt: skip
        signed = seller.settle(work.admission, receipt, self._operator)
        work.settled = True
        self.served += 1
        self._store.put_receipt(receipt, signed)
        if work.key is not None:
            kept = stored_answer(work.body_hash, StoredAnswerParts(200, JSON, body), signed)
            self._store.put_answer(seller.id, work.key, receipt.finished, kept)
        self._done(Settled(receipt, signed))
        await self._store.kept(receipt, signed)
        return Reply(200, body, {
            "Content-Type": JSON,
            RECEIPT: encode_signed(signed.statement, signed.signature),
            COST: f"{cost} AIT; units={_IN}:{given},{_OUT}:{output}",
            LEFT: show_ait(seller.left),
        })  # fmt: skip


def _lines_of(catalogue: Catalogue, upstreams: Mapping[str, Upstream]) -> dict[tuple[str, int], Line]:
    """Return the models whose usual requests cost plain products, by name and version of the book."""
    lines = {}
    for model in catalogue.models.values():
        for version in model.books if Chat.kind in model.kinds else ():
            edition = catalogue.editions[version]
            prices = edition.prices
            plain = prices.plain
            upstream = upstreams.get(model.upstream)
            if (
                upstream is None
                or not prices.in_asset
                or prices.choices
                or prices.free
                or edition.units & _COUNTED_OTHERWISE
                or u.INPUT_TOKEN not in plain
                or u.OUTPUT_TOKEN not in plain
                or model.max_output < 1
            ):
                continue
            read = plain[u.INPUT_TOKEN] + plain.get(u.CACHED_INPUT_TOKEN, 0) + plain.get(u.CACHE_WRITE_TOKEN, 0)
            lines[model.name, version] = Line(
                Leg(model, edition), upstream, TOKENIZERS[model.tokenizer or PIECES], read,
                plain[u.OUTPUT_TOKEN] + plain.get(u.REASONING_TOKEN, 0), plain[u.INPUT_TOKEN], plain[u.OUTPUT_TOKEN],
                prices.least, prices.denominator,
            )  # fmt: skip
    return lines


def _usual(told: object) -> bool:
    """Tell whether a chat request has nothing but one model, messages of text, and perhaps a limit."""
    if type(told) is not dict or not told.keys() <= _FIELDS:
        return False
    messages, limit = told.get("messages"), told.get("max_tokens")
    if told.get("stream") not in (None, False):
        return False
    if type(told.get("model")) is not str or type(messages) is not list or not messages:
        return False
    if limit is not None and not (type(limit) is int and 1 <= limit <= OUTPUT_MAX):
        return False
    for message in messages:
        if (
            type(message) is not dict
            or type(message.get("content")) is not str
            or not message.keys() <= _MESSAGE_FIELDS
        ):
            return False
    return True


def _delivered(told: object, line: Line) -> tuple[int, int] | None:
    """Return the tokens, in and out, of an answer with one choice of text and a usage without details."""
    if type(told) is not dict:
        return None
    usage, choices = told.get("usage"), told.get("choices")
    if type(usage) is not dict or type(choices) is not list or len(choices) != 1 or type(choices[0]) is not dict:
        return None
    message = choices[0].get("message")
    if type(message) is not dict or message.get("refusal") or message.get("tool_calls"):
        return None
    if usage.get("prompt_tokens_details") or usage.get("completion_tokens_details"):
        return None
    text, given, output = message.get("content"), usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(text) is not str or not text or type(given) is not int or type(output) is not int:
        return None
    tolerance = line.leg.model.tolerance_percent
    if tolerance is None:
        believable = len(text if text.isascii() else text.encode("utf-8", "surrogatepass")) + FRAMING_TOKENS
    else:
        counted = line.count(text)
        believable = counted + -(-counted * tolerance // 100)
    if not (0 < given < COUNT_LIMIT and 0 < output < COUNT_LIMIT and believable):
        return None
    return given, min(output, believable)
