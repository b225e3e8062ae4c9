"""What payment adds to a request over HTTP.

A plain aiohttp handler and the gateway answer the same request with the same built-in model, on one event loop with
their client; the difference is payment: voucher, rules, reservation, price, receipt, and the store on this disk. Wall
time, so a busy machine shows (the store's thread and the loop push each other out), and processor time beside it.

A buyer has its answer before it has checked the receipt, so there are two latencies: until the answer is there, and
until its receipt is checked and the next voucher can be made. Two signatures made and two checked are the floor of
both sides together; what they cost in the same run stands beside what payment adds.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import web

from aitoken.collector import collect_rarely
from aitoken.crypto.ed25519 import Pair, verify
from aitoken.pay.buyer import BuyerSession
from aitoken.pay.headers import decode_signed, encode_signed
from aitoken.pay.layouts import OpenParams, session_id
from aitoken.pay.seller import Signed
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment
from bench.row import Row
from gateway.catalogue import catalogue_of
from gateway.ports import ClaimItem as DueClaim
from gateway.ports import SessionFacts
from gateway.server import Gateway, Settings
from gateway.store import open_store
from gateway.upstreams.builtin import BuiltinUpstream

GENESIS = Hash32(b"\x47" * 32)
OPERATOR, KEY = Pair(b"\x22" * 32), Pair(b"\x33" * 32)
PATH = "/v1/chat/completions"
BODY = msgspec.json.encode(
    {"model": "echo", "messages": [{"role": "user", "content": "what does it cost ? " * 10}], "max_tokens": 20}
)
PRICES = {
    "provider": 7,
    "book": [{"version": 1, "prices": {"input_token": "0.000000001", "output_token": "0.000000002"}}],
    "model": [{"name": "echo", "service": 1, "books": [1], "upstream": "builtin", "tokenizer": "pieces@1"}],
}
DEPOSIT = Balance(10**18)
LANES = 64
Ask = Callable[[], Awaitable[float]]
Took = tuple[float, float]
"""Until answered, and until everything was done, in ms."""


class _Chain:
    """One session, and nothing else."""

    genesis = GENESIS

    def __init__(self, facts: SessionFacts) -> None:
        self._facts = facts

    async def session(self, session: Hash32) -> SessionFacts | None:
        return self._facts if session == self._facts.id else None

    async def changes(self) -> AsyncIterator[Hash32 | None]:
        await asyncio.Event().wait()
        yield None

    def rate(self, currency: int) -> int | None:  # noqa: ARG002 - all prices are in the asset
        return None

    async def claim(self, items: Sequence[DueClaim]) -> Sequence[bool]:
        return [True] * len(items)


def run(quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_run(Path(folder), 300 if quick else 3_000))


async def _run(folder: Path, count: int) -> list[Row]:
    params = OpenParams(7, 1, KEY.public, 0, BlockNumber(500_000), 300, LANES, bytes(16))
    payer = AccountId(b"\xaa" * 32)
    session = session_id(GENESIS, payer, params)
    buyer = BuyerSession(session, KEY, OPERATOR.public, DEPOSIT, LANES, DEPOSIT)
    chain = _Chain(SessionFacts(session, payer, KEY.public, 1, DEPOSIT, LANES))
    async with open_store(folder, GENESIS, OPERATOR.public) as store, aiohttp.ClientSession() as http:
        settings = Settings(catalogue_of(PRICES), OPERATOR, chain, store, {"builtin": BuiltinUpstream()})
        async with Gateway(settings) as gateway:
            runner, plain_url = await _plain()
            paid_url = f"http://127.0.0.1:{gateway.port}{PATH}"

            async def plain() -> float:
                async with http.post(plain_url, data=BODY, headers={"Content-Type": "application/json"}) as response:
                    await response.read()
                return time.perf_counter()

            async def paid() -> float:
                promise = buyer.promise(Balance(10**9), Moment(time.time_ns() // 1_000_000))
                voucher = encode_signed(promise.signed.statement, promise.signed.signature)
                headers = {"Content-Type": "application/json", "AI-Voucher": voucher}
                async with http.post(paid_url, data=BODY, headers=headers) as response:
                    await response.read()
                    answered = time.perf_counter()
                    buyer.accept(Signed(*decode_signed(response.headers["AI-Receipt"])))
                return answered

            await _times(plain, 50)
            await _times(paid, 50)
            collect_rarely()
            rows: list[Row] = []
            unpaid_ms, paid_ms = await _in_turn(plain, paid, count)
            unpaid_cpu, paid_cpu = await _processor(plain, count), await _processor(paid, count)
            rows.append(Row("gateway", "unpaid, client and server, processor time", unpaid_cpu, "ms"))
            rows.append(Row("gateway", "paid, client and server, processor time", paid_cpu, "ms"))
            for name, took in (("unpaid", unpaid_ms), ("paid", paid_ms)):
                rows.append(Row("gateway", f"{name}, one at a time, until answered, p50", _p50(took, 0), "ms"))
                rows.append(Row("gateway", f"{name}, one at a time, until answered, p99", _p99(took), "ms"))
            added = _p50(paid_ms, 0) - _p50(unpaid_ms, 0)
            rows.append(Row("gateway", "added by payment until answered, p50", added, "ms"))
            added = _p50(paid_ms, 1) - _p50(unpaid_ms, 1)
            rows.append(Row("gateway", "added by payment until the receipt is checked, p50", added, "ms"))
            rows.append(Row("gateway", "of that, two signatures made and two checked", _signatures(), "ms"))
            rows.append(Row("gateway", "unpaid, 32 at a time", await _throughput(plain, count), "per second"))
            rows.append(Row("gateway", "paid, 32 at a time", await _throughput(paid, count), "per second"))
            await runner.cleanup()
    return rows


async def _plain() -> tuple[web.AppRunner, str]:
    upstream = BuiltinUpstream()

    async def handler(request: web.Request) -> web.Response:
        body = await request.read()
        answer = await upstream.ask(request.path, msgspec.json.encode(msgspec.json.decode(body)))
        return web.Response(body=answer.body, content_type=answer.content_type)

    app = web.Application()
    app.router.add_post(PATH, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}"


async def _in_turn(one: Ask, other: Ask, count: int) -> tuple[list[Took], list[Took]]:
    """Times of both, in turn, so that what else the machine does hits both."""
    took: tuple[list[Took], list[Took]] = ([], [])
    for _ in range(count // 50):
        took[0].extend(await _times(one, 50))
        took[1].extend(await _times(other, 50))
    return took


async def _times(ask: Ask, count: int) -> list[Took]:
    took = []
    for _ in range(count):
        begin = time.perf_counter()
        answered = await ask()
        took.append(((answered - begin) * 1000, (time.perf_counter() - begin) * 1000))
    return took


async def _processor(ask: Ask, count: int) -> float:
    """Processor time of a request in ms, all threads."""
    begin = time.process_time()
    for _ in range(count):
        await ask()
    return (time.process_time() - begin) / count * 1000


async def _throughput(ask: Ask, count: int) -> float:
    async def some() -> None:
        for _ in range(count // 32):
            await ask()

    begin = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(32)))
    return 32 * (count // 32) / (time.perf_counter() - begin)


def _p50(took: list[Took], which: int) -> float:
    return statistics.median(one[which] for one in took)


def _p99(took: list[Took]) -> float:
    return statistics.quantiles([one[0] for one in took], n=100)[98]


def _signatures() -> float:
    """What a voucher and a receipt cost in signatures alone, in ms; the median of many."""
    took, message = [], bytes(200)
    for _ in range(500):
        begin = time.perf_counter()
        for pair in (KEY, OPERATOR):
            verify(pair.sign(message), message, pair.public)
        took.append((time.perf_counter() - begin) * 1000)
    return statistics.median(took)
