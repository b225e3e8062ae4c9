"""What payment adds to a request over HTTP.

A plain aiohttp handler and the gateway answer the same request with the same built-in model, on one event loop with
their client; the difference is payment: voucher, rules, reservation, price, receipt, and the store on this disk. Wall
time, so a busy machine shows (the store's thread and the loop push each other out), and processor time beside it.

A buyer has its answer before it has checked the receipt, and signs its next voucher while nobody waits, as a purse
does; so there are two latencies: until the answer is there, and until everything is done. On the way to the answer one
signature is checked and one is made, in all two of each; what they cost in the same run stands beside.

For requests a second the buyers are in a process of their own (`bench.payers`), with and without uvloop.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from aitoken.collector import collect_rarely
from aitoken.crypto.ed25519 import verify
from aitoken.pay.headers import decode_signed, encode_signed
from aitoken.pay.seller import Signed
from aitoken.types import Balance, Moment
from bench.row import Row
from bench.shop import BODY, GENESIS, KEY, LANES, OPERATOR, PATH, PRICES, OneSession, buyer_of, session_facts
from gateway.catalogue import catalogue_of
from gateway.server import Gateway, Settings
from gateway.store import open_store
from gateway.upstreams.builtin import BuiltinUpstream

COST = Balance(10**9)
Ask = Callable[[], Awaitable[float]]
Took = tuple[float, float]
"""Until answered, and until everything was done, in ms."""


def run(quick: bool) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        rows += asyncio.run(_run(Path(folder), 300 if quick else 3_000))
    for name, loop in (("asyncio", asyncio.run), ("uvloop", _uvloop())):
        for lanes in (1, LANES // 2) if loop is not None else ():
            with tempfile.TemporaryDirectory() as folder:
                rows += loop(_two_processes(Path(folder), lanes, 2.0 if quick else 10.0, name))
    return rows


def _uvloop() -> Callable[[Coroutine[Any, Any, list[Row]]], list[Row]] | None:
    try:
        import uvloop
    except ImportError:
        return None
    run: Callable[[Coroutine[Any, Any, list[Row]]], list[Row]] = uvloop.run
    return run


@asynccontextmanager
async def _gateway(folder: Path) -> AsyncIterator[Gateway]:
    chain = OneSession(session_facts())
    async with open_store(folder, GENESIS, OPERATOR.public) as store:
        settings = Settings(catalogue_of(PRICES), OPERATOR, chain, store, {"builtin": BuiltinUpstream()})
        async with Gateway(settings) as gateway:
            yield gateway


async def _run(folder: Path, count: int) -> list[Row]:
    buyer = buyer_of()
    async with _gateway(folder) as gateway, aiohttp.ClientSession() as http:
        runner, plain_url = await _plain()
        paid_url = f"http://127.0.0.1:{gateway.port}{PATH}"

        async def plain() -> float:
            async with http.post(plain_url, data=BODY, headers={"Content-Type": "application/json"}) as response:
                await response.read()
            return time.perf_counter()

        async def paid(**more: str) -> float:
            promise = buyer.promise(COST, Moment(time.time_ns() // 1_000_000))
            voucher = encode_signed(promise.signed.statement, promise.signed.signature)
            headers = {"Content-Type": "application/json", "AI-Voucher": voucher, **more}
            async with http.post(paid_url, data=BODY, headers=headers) as response:
                await response.read()
                answered = time.perf_counter()
                buyer.accept(Signed(*decode_signed(response.headers["AI-Receipt"])))
            buyer.prepare(promise.lane, COST, Moment(time.time_ns() // 1_000_000))
            return answered

        async def keyed() -> float:
            return await paid(**{"Idempotency-Key": secrets.token_hex(16)})

        asks = (plain, paid, keyed)
        for ask in asks:
            await _times(ask, 50)
        collect_rarely()
        rows: list[Row] = []
        took, cpu, signatures = await _in_turn(asks, count)
        unpaid_ms, paid_ms, keyed_ms = took
        rows.append(Row("gateway", "unpaid, client and server, processor time", cpu[0], "ms"))
        rows.append(Row("gateway", "paid, client and server, processor time", cpu[1], "ms"))
        for name, some in (("unpaid", unpaid_ms), ("paid", paid_ms)):
            rows.append(Row("gateway", f"{name}, one at a time, until answered, p50", _p50(some, 0), "ms"))
            rows.append(Row("gateway", f"{name}, one at a time, until answered, p99", _p99(some), "ms"))
        for what, some, which in (
            ("until answered", paid_ms, 0),
            ("until the receipt is checked and the next voucher signed", paid_ms, 1),
            ("until answered, with a key for repetitions", keyed_ms, 0),
        ):
            added = _p50(some, which) - _p50(unpaid_ms, which)
            rows.append(Row("gateway", f"added by payment {what}, p50", added, "ms"))
        rows.append(Row("gateway", "of that, until answered: one signature checked and one made", signatures[0], "ms"))
        rows.append(Row("gateway", "two signatures made and two checked", signatures[1], "ms"))
        rows.append(Row("gateway", "unpaid, 32 at a time, one process", await _throughput(plain, count), "per second"))
        rows.append(Row("gateway", "paid, 32 at a time, one process", await _throughput(paid, count), "per second"))
        await runner.cleanup()
    return rows


async def _two_processes(folder: Path, lanes: int, seconds: float, loop: str) -> list[Row]:
    """The gateway with its upstream here, all buyers in another process, each on a core if there are two."""
    async with _gateway(folder) as gateway:
        collect_rarely()
        command = [sys.executable, "-m", "bench.payers", str(gateway.port), str(lanes), str(seconds)]
        begun = time.process_time()
        child = await asyncio.create_subprocess_exec(
            *command, *(["uvloop"] if loop == "uvloop" else []), stdout=asyncio.subprocess.PIPE
        )
        told, _ = await child.communicate()
        here, beside = time.process_time() - begun, _spent_by(gateway.checks.process)
    served, there = int(told.split()[0]), float(told.split()[1])
    name = f"paid, {lanes} at a time, buyers in a process of their own, {loop}"
    return [
        Row("gateway", name, served / seconds, "per second"),
        Row("gateway", f"{name}: processor time of the gateway", (here + beside) / served * 1000, "ms"),
        Row("gateway", f"{name}: of that, signatures checked beside the loop", beside / served * 1000, "ms"),
        Row("gateway", f"{name}: of the buyers", there / served * 1000, "ms"),
    ]


def _spent_by(process: int | None) -> float:
    """Processor time of another process, in seconds; see proc(5)."""
    stat = Path(f"/proc/{process}/stat")
    if process is None or not stat.exists():
        return 0.0
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


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


async def _in_turn(asks: Sequence[Ask], count: int) -> tuple[list[list[Took]], list[float], tuple[float, float]]:
    """Times of all in turn, so that what else the machine does hits all; processor time each; signatures in between."""
    took: list[list[Took]] = [[] for _ in asks]
    spent: list[list[float]] = [[] for _ in asks]
    signatures: list[tuple[float, float]] = []
    for _ in range(count // 50):
        for times, cpu, ask in zip(took, spent, asks, strict=True):
            begin = time.process_time()
            times.extend(await _times(ask, 50))
            cpu.append((time.process_time() - begin) / 50 * 1000)
        signatures += [_signatures() for _ in range(20)]
    one, all_ = (statistics.median(pair[which] for pair in signatures) for which in (0, 1))
    return took, [statistics.median(some) for some in spent], (one, all_)


async def _times(ask: Ask, count: int) -> list[Took]:
    took = []
    for _ in range(count):
        begin = time.perf_counter()
        answered = await ask()
        took.append(((answered - begin) * 1000, (time.perf_counter() - begin) * 1000))
    return took


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


def _signatures() -> tuple[float, float]:
    """What signatures alone take in ms: a voucher checked and a receipt made; both made and both checked."""
    message = bytes(200)
    begin = time.perf_counter()
    verify(KEY.sign(message), message, KEY.public)
    middle = time.perf_counter()
    verify(OPERATOR.sign(message), message, OPERATOR.public)
    return (middle - begin) * 1000, (time.perf_counter() - begin) * 1000
