"""A gateway on a port of this machine, a chain that is only pretended, upstreams that follow a script, and a buyer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from aitoken.crypto.ed25519 import Pair
from aitoken.pay.buyer import ANY_TERMS, BuyerSession, Promise, Terms
from aitoken.pay.errors import PayRejected
from aitoken.pay.headers import decode_signed, encode_signed
from aitoken.pay.layouts import OpenParams, Receipt, session_id
from aitoken.pay.rules import NEW_LANE, Lane, claim
from aitoken.pay.seller import SessionClosing, Signed
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment
from gateway.catalogue import Catalogue, catalogue_of
from gateway.claimer import ClaimPolicy
from gateway.ports import (
    Answer,
    ChainDown,
    ClaimItem,
    Event,
    Flow,
    RelaySide,
    SessionFacts,
    Upstream,
    UpstreamFailed,
)  # fmt: skip
from gateway.serve import Timing
from gateway.server import Gateway, Limits, Settings
from gateway.sse import EventReader
from gateway.store import open_store
from gateway.upstreams.builtin import BuiltinUpstream
from tests.support.databases import Cluster

GENESIS = Hash32(b"\x47" * 32)
OPERATOR = Pair(b"\x22" * 32)
NEVER = ClaimPolicy(every_s=3600)
QUICK = Timing(whole=20, silence=10, need=0.3)

PRICES: dict[str, Any] = {
    "provider": 7,
    "book": [
        {"version": 3, "prices": {"input_token": "0.000000001", "output_token": "0.000000002"}},
        {
            "version": 4,
            "currency": "USD",
            "policy": ["pay-delivered"],
            "prices": {
                "input_token": "1 / 1000000", "output_token": "2 / 1000000", "cached_input_token": "0.1 / 1000000",
                "reasoning_token": "4 / 1000000", "image": "0.01", "audio_second_out": "0.001",
                "embedding_vector": "0.0001", "guard_unit": "0.00001",
            },
            "when": [{"unit": "output_token", "price": "6 / 1000000", "tier": 2}],
        },
    ],
    "model": [
        {"name": "echo", "service": 42, "books": [3, 4], "upstream": "builtin", "tokenizer": "pieces@1",
         "tolerance_percent": 0, "max_output": 1000},
        {"name": "script", "service": 43, "books": [3, 4], "upstream": "script", "tokenizer": "pieces@1",
         "max_output": 1000},
        {"name": "strict", "service": 44, "books": [3, 4], "upstream": "script", "tokenizer": "pieces@1",
         "tolerance_percent": 0, "max_output": 1000},
        {"name": "second", "service": 45, "books": [3, 4], "upstream": "second", "tokenizer": "pieces@1",
         "max_output": 1000},
    ],
}  # fmt: skip


class FakeClock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.moment = Moment(1_790_000_000_000)

    def now(self) -> Moment:
        self.moment = Moment(self.moment + 1)
        return self.moment


class FakeChain:
    """Sessions, rates and claims by the rules of the protocol, without a chain."""

    def __init__(self) -> None:
        self.genesis = GENESIS
        self.facts: dict[Hash32, SessionFacts] = {}
        self.rates: dict[int, int] = {840: 10**12}
        self.lanes: dict[tuple[Hash32, int], Lane] = {}
        self.down = False
        self.over: set[Hash32] = set()
        self.asked = 0
        self._changed: asyncio.Queue[Hash32] = asyncio.Queue()

    def open(self, facts: SessionFacts) -> None:
        self.facts[facts.id] = facts
        self._changed.put_nowait(facts.id)

    def change(self, session: Hash32, **what: Any) -> None:
        self.open(replace(self.facts[session], **what))

    async def session(self, session: Hash32) -> SessionFacts | None:
        self.asked += 1
        if self.down:
            raise ChainDown("the chain is down")
        return self.facts.get(session)

    async def changes(self) -> AsyncIterator[Hash32]:
        while True:
            yield await self._changed.get()

    def rate(self, currency: int) -> int | None:
        return self.rates.get(currency)

    def paid(self, session: Hash32) -> int:
        return sum(lane.paid for (owner, _), lane in self.lanes.items() if owner == session)

    async def end(self, sessions: Sequence[Hash32]) -> Sequence[bool]:
        for session in sessions:
            self.over.add(session)
            self.change(session, closing=True)
        return [True] * len(sessions)

    async def is_over(self, session: Hash32) -> bool:
        return session in self.over

    async def claim(self, items: Sequence[ClaimItem]) -> Sequence[bool]:
        if self.down:
            raise ChainDown("the chain is down")
        outcomes = []
        for item in items:
            voucher = item.claim.voucher
            facts = self.facts[voucher.session_id]
            others = sum(
                lane.committed
                for (owner, number), lane in self.lanes.items()
                if owner == voucher.session_id and number != voucher.lane
            )
            place = (voucher.session_id, voucher.lane)
            try:
                if voucher.session_id in self.over:
                    raise SessionClosing("what was not claimed is the payer's")
                before = self.lanes.get(place, NEW_LANE)
                self.lanes[place] = claim(before, item.claim, Balance(facts.deposit - others), 0, Moment(0))
                outcomes.append(True)
            except PayRejected:
                outcomes.append(False)
        return outcomes


# ------------------------------------------------------------------------------------------------- upstreams


class Gate:
    """Something a script waits for."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.reached = asyncio.Event()

    def open(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        self.reached.set()
        await self._event.wait()


Step = Event | Gate | Exception
Script = Answer | Exception | Gate | list[Any]


class ScriptedUpstream:
    """Does what it was told, one script a request; the last is repeated."""

    def __init__(self) -> None:
        self.scripts: list[list[Any]] = []
        self.bodies: list[dict[str, Any]] = []
        self.hung_up = 0
        self.ended = asyncio.Event()

    def play(self, *steps: Any) -> None:
        self.scripts.append(list(steps))

    def _next(self, body: bytes) -> list[Any]:
        self.bodies.append(msgspec.json.decode(body))
        return self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]

    async def ask(self, path: str, body: bytes) -> Answer:
        try:
            for step in self._next(body):
                if isinstance(step, Gate):
                    await step.wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    return step
        except asyncio.CancelledError:
            self.hung_up += 1
            self.ended.set()
            raise
        raise UpstreamFailed("the script is over")

    @asynccontextmanager
    async def stream(self, path: str, body: bytes) -> AsyncIterator[Flow]:
        steps = self._next(body)
        refused = steps[0] if steps and isinstance(steps[0], Answer) else None
        if steps and isinstance(steps[0], Exception):
            raise steps[0]
        flow = _ScriptedFlow(steps, refused)
        try:
            yield flow
        finally:
            if not flow.finished:
                self.hung_up += 1
            self.ended.set()


class _ScriptedFlow:
    def __init__(self, steps: list[Any], refused: Answer | None) -> None:
        self._steps = steps
        self.refused = refused
        self.finished = refused is not None

    async def __aiter__(self) -> AsyncIterator[Event]:
        for step in self._steps:
            if isinstance(step, Gate):
                await step.wait()
            elif isinstance(step, Exception):
                self.finished = True
                raise step
            else:
                yield step
        self.finished = True


def chunk(text: str | None, index: int = 0, finish: str | None = None, **more: Any) -> Event:
    """A chunk of a chat completion that flows."""
    delta = {} if text is None else {"content": text}
    told = {
        "id": "c",
        "object": "chat.completion.chunk",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
    }
    return Event(msgspec.json.encode({**told, **more}).decode())


def usage_chunk(prompt: int, completion: int, **details: Any) -> Event:
    """The last chunk, with the usage."""
    told = {"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": usage(prompt, completion, **details)}
    return Event(msgspec.json.encode(told).decode())


def usage(prompt: int, completion: int, **details: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, **details}


DONE = Event("[DONE]")


def chat_answer(text: str | None, usage_told: dict[str, Any] | None = None, **message: Any) -> Answer:
    """A whole chat completion."""
    said = {"role": "assistant", "content": text, **message}
    told: dict[str, Any] = {
        "id": "c", "object": "chat.completion", "choices": [{"index": 0, "message": said, "finish_reason": "stop"}],
    }  # fmt: skip
    if usage_told is not None:
        told["usage"] = usage_told
    return json_answer(told)


def json_answer(told: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status, "application/json", msgspec.json.encode(told), headers)


# ------------------------------------------------------------------------------------------------- buyer


@dataclass
class Reply:
    """What a request came to."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    events: list[Event] = field(default_factory=list)
    receipt: Receipt | None = None
    signed: Signed | None = None

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def text(self) -> str:
        """The text of all chunks of a chat completion that flowed, or of its first choice."""
        if not self.events:
            return str(self.json["choices"][0]["message"]["content"])
        told = [msgspec.json.decode(e.data) for e in self.events if e.data != "[DONE]" and not e.name]
        return "".join(c["delta"].get("content") or "" for one in told for c in one.get("choices", []))


class Buyer:
    """One session, and requests paid from it."""

    def __init__(self, shop: Shop, seed: int, deposit: int, exposure: int, book: int, lanes: int) -> None:
        self.shop = shop
        self.key = Pair(seed.to_bytes(32, "little"))
        self.payer = AccountId(blake(seed))
        params = OpenParams(7, book, self.key.public, 0, BlockNumber(500_000), 300, lanes, bytes(16))
        self.id = session_id(GENESIS, self.payer, params)
        self.session = BuyerSession(self.id, self.key, OPERATOR.public, Balance(deposit), lanes, Balance(exposure))
        self.shown: int | None = None
        shop.chain.open(SessionFacts(self.id, self.payer, self.key.public, book, Balance(deposit), lanes))

    def promise(self, ceiling: int, **more: Any) -> Promise:
        return self.session.promise(Balance(ceiling), self.shop.clock.now(), **more)

    def headers(self, promise: Promise, **more: str) -> dict[str, str]:
        signed = promise.signed
        names = {name.replace("_", "-"): value for name, value in more.items()}
        return {"AI-Voucher": encode_signed(signed.statement, signed.signature), **names}

    async def ask(
        self, body: Any, ceiling: int = 10**9, path: str = "/v1/chat/completions", promise: Promise | None = None,
        terms: Terms = ANY_TERMS, **headers: str,
    ) -> Reply:  # fmt: skip
        """Send a request and take its receipt."""
        made = promise or self.promise(ceiling)
        reply = await self.shop.post(path, body, self.headers(made, **headers))
        self.take(reply, terms)
        if reply.receipt is None:
            self.session.give_up(made)
        return reply

    def take(self, reply: Reply, terms: Terms = ANY_TERMS) -> None:
        if reply.signed is not None and "AI-Repeated" not in reply.headers:
            reply.receipt = self.session.accept(reply.signed, terms)

    async def acknowledge(self) -> None:
        """Countersign everything."""
        for lane in self.session.lanes.values():
            ack = self.session.acknowledgement(lane)
            reply = await self.shop.post(
                "/.well-known/aitp/voucher", b"", {"AI-Voucher": encode_signed(ack.statement, ack.signature)}
            )
            assert reply.status == 200, reply.body

    @property
    def seller(self) -> Any:
        """The session as the gateway has it."""
        return next(known for known in self.shop.gateway.sessions.all() if known.seller.id == self.id).seller


def blake(number: int) -> bytes:
    from aitoken.crypto.hashing import blake2_256

    return blake2_256(number.to_bytes(8, "little"))


@dataclass
class Shop:
    """A gateway that runs, and what is around it."""

    gateway: Gateway
    chain: FakeChain
    clock: FakeClock
    script: ScriptedUpstream
    second: ScriptedUpstream
    http: aiohttp.ClientSession
    buyers: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"

    def buyer(
        self, deposit: int = 10**12, exposure: int = 10**12, book: int = 3, lanes: int = 16, seed: int | None = None
    ) -> Buyer:
        self.buyers += 1
        return Buyer(self, 1000 + self.buyers if seed is None else seed, deposit, exposure, book, lanes)

    async def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        sent = {"Content-Type": "application/json", **(headers or {})}
        async with self.http.post(self.url + path, data=raw, headers=sent) as response:
            return await read_reply(response)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        async with self.http.get(self.url + path, headers=headers or {}) as response:
            return await read_reply(response)


async def read_reply(response: aiohttp.ClientResponse) -> Reply:
    """Read a response to its end."""
    body = await response.read()
    reply = Reply(response.status, response.headers, body)
    text = response.headers.get("AI-Receipt")
    if response.content_type == "text/event-stream":
        reply.events = list(EventReader().feed(body))
        for event in reply.events:
            if event.name == "aitp.receipt":
                told = msgspec.json.decode(event.data)
                text = told.get("aitp", told)["receipt"]
    if text:
        reply.signed = Signed(*decode_signed(text))
        reply.receipt = Receipt.decode(reply.signed.statement)
    return reply


LEASE_S = 300.0
"""Longer than any test stands still on a busy machine; tests end leases themselves (`Cluster.bury`)."""

DATABASES: list[Cluster] = []
"""Where stores are kept, the last one now; folders if there is none."""


def place_of(folder: Path) -> str | Path:
    """Where the store of a folder is kept."""
    return DATABASES[-1].place(str(folder)) if DATABASES else folder


def crashed(folder: Path, target: Path) -> Path:
    """The store as a gateway that is gone leaves it: files as they are now, or a lease that runs out."""
    if DATABASES:
        DATABASES[-1].bury(str(folder))
        DATABASES[-1].rename(str(folder), str(target))
        return target
    target.mkdir()
    for name in ("gateway.sqlite", "gateway.sqlite-wal", "gateway.floor"):
        if (folder / name).exists():
            (target / name).write_bytes((folder / name).read_bytes())
    return target


@asynccontextmanager
async def shop(
    folder: Path, chain: FakeChain | None = None, prices: dict[str, Any] | None = None, claims: ClaimPolicy = NEVER,
    timing: Timing = QUICK, limits: Limits | None = None, clock: FakeClock | None = None,
    upstreams: Callable[[ScriptedUpstream, ScriptedUpstream], Mapping[str, Upstream]] | None = None,
    relay: RelaySide | None = None, least: int = 0,
) -> AsyncIterator[Shop]:  # fmt: skip
    """Run a gateway."""
    chain, clock = chain or FakeChain(), clock or FakeClock()
    script, second = ScriptedUpstream(), ScriptedUpstream()
    catalogue: Catalogue = catalogue_of(prices or PRICES)
    everyone: dict[str, Any] = {"builtin": BuiltinUpstream(), "script": script, "second": second}
    if upstreams is not None:
        everyone |= upstreams(script, second)
    async with open_store(place_of(folder), GENESIS, OPERATOR.public, lease_s=LEASE_S) as store:
        settings = Settings(
            catalogue, OPERATOR, chain, store, everyone, clock, limits or Limits(), timing, claims,
            relay, Balance(least),
        )  # fmt: skip
        async with Gateway(settings) as gateway, aiohttp.ClientSession() as http:
            yield Shop(gateway, chain, clock, script, second, http)
