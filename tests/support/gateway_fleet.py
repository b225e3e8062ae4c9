"""Gateways in processes of their own that are killed, and buyers that ask them from here."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from aitoken.pay.buyer import BuyerLane
from aitoken.pay.errors import PayRejected
from aitoken.pay.headers import decode_signed, encode_signed
from aitoken.pay.layouts import Receipt
from aitoken.pay.rules import NEW_LANE, claim, mature
from aitoken.pay.seller import SellerSession, Signed
from aitoken.types import Balance, Hash32, Moment
from gateway.store import open_store
from tests.support.gateways import DATABASES, GENESIS, LEASE_S, OPERATOR, Buyer, FakeClock, place_of, read_reply
from tests.tidy.rules import ROOT

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
MOST = 10**6
WHERE = ("admitted", "held", "answered", "signed", "before_commit", "after_commit", "before_send")
TRIES = 20
RESTART_S = 1.0
"""How long one waits before one asks again where a gateway died."""

SERVED, NOBODY = "served", "nobody"
OTHER_LANE = ("pay.lane_unknown", "pay.lane_busy", "pay.out_of_step")
NO_TIME = aiohttp.ClientTimeout(total=None)


class NoShop:
    """Where a buyer keeps nothing: the gateway lives in another process."""

    clock = FakeClock()
    chain = type("Chain", (), {"open": lambda self, facts: None})()


def buyer_of(seed: int, deposit: int, lanes: int) -> Buyer:
    """A buyer whose gateway lives elsewhere; it may promise whatever it likes."""
    buyer = Buyer(NoShop(), seed, deposit, 10**15, 3, lanes)  # type: ignore[arg-type]  # no shop here
    buyer.shown = deposit
    buyer.session.deposit = Balance(10**15)
    return buyer


class Child:
    """A gateway in a process of its own that kills itself at a point."""

    def __init__(self, folder: Path, sessions: Sequence[Buyer], crash: str, lease_s: float = LEASE_S) -> None:
        facts = [
            {
                "payer": b.payer.hex(), "key": b.key.public.hex(), "id": b.id.hex(),
                "deposit": b.shown or b.session.deposit, "lanes": b.session.max_lanes,
            }
            for b in sessions
        ]  # fmt: skip
        self._folder = str(folder)
        self._arguments = [str(place_of(folder)), msgspec.json.encode(facts).decode(), crash, str(lease_s)]
        self.process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def start(self) -> Child:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.gateway_child", *self._arguments, cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        port = (await asyncio.wait_for(self.process.stdout.readline(), 60)).strip()
        self.url = f"http://127.0.0.1:{port.decode()}"
        return self

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()

    async def __aenter__(self) -> Child:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
        bury(self._folder)


def bury(folder: str | Path) -> None:
    """All gateways of a store are gone; let its leases run out."""
    if DATABASES:
        DATABASES[-1].bury(str(folder))


class Fleet:
    """Gateways on one store that are started again whenever they die."""

    def __init__(self, folder: Path, buyers: Sequence[Buyer], count: int, crashes: Iterator[str]) -> None:
        self._folder = folder
        self._buyers = buyers
        self._count = count
        self._crashes = crashes
        self._rng = random.Random(count)
        self._living: dict[int, Child] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._some = asyncio.Event()
        self.deaths = 0

    async def __aenter__(self) -> Fleet:
        children = [Child(self._folder, self._buyers, next(self._crashes)) for _ in range(self._count)]
        first = await asyncio.gather(*(child.start() for child in children))
        self._living = dict(enumerate(first))
        self._some.set()
        self._keepers = [asyncio.ensure_future(self._keep(number, child)) for number, child in enumerate(first)]
        return self

    async def _keep(self, number: int, child: Child) -> None:
        while True:
            try:
                assert child.process is not None
                await child.process.wait()
                self.deaths += 1
                del self._living[number]
                if not self._living:
                    self._some.clear()
                child = Child(self._folder, self._buyers, next(self._crashes))
                self._living[number] = await child.start()
                self._some.set()
            except asyncio.CancelledError:
                await child.kill()
                raise

    async def kill_one(self) -> None:
        """Kill one that lives, in the midst of its work."""
        await self._some.wait()
        child = self._rng.choice(list(self._living.values()))
        if child.process is not None and child.process.returncode is None:
            await child.kill()

    async def url(self) -> str:
        """One that lives."""
        await self._some.wait()
        return self._rng.choice(list(self._living.values())).url

    async def __aexit__(self, *_: object) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.wait(self._keepers)
        bury(self._folder)


class Seen:
    """Every receipt that left; a number of a lane has one."""

    def __init__(self) -> None:
        self.statements: dict[tuple[bytes, int, int], bytes] = {}

    def note(self, signed: Signed) -> None:
        receipt = Receipt.decode(signed.statement)
        place = (receipt.session_id, receipt.lane, receipt.seq)
        assert self.statements.setdefault(place, signed.statement) == signed.statement, place


async def storm(
    folder: Path, buyers: Sequence[Buyer], requests: int, gateways: int, crashes: Sequence[str], rng: random.Random,
) -> tuple[Seen, int, int]:  # fmt: skip
    """Send requests all at once, to gateways that die; return receipts, how many were served, and deaths.

    Each buyer is served one in peace, so that there is something to lose. Then as many gateways as points are named are
    killed while requests come to their end; what is started in their place dies at a point, if it comes to it.
    """
    every, ended = requests // (len(crashes) + 2), 0

    async def one(fleet: Fleet, http: aiohttp.ClientSession) -> bool:
        nonlocal ended
        served = await insist(http, fleet, rng.choice(buyers), seen)
        ended += 1
        if ended % every == 0 and ended // every <= len(crashes):
            await fleet.kill_one()
        return served

    seen, points = Seen(), itertools.chain([""] * gateways, crashes, itertools.repeat(""))
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        Fleet(folder, buyers, gateways, points) as fleet,
        aiohttp.ClientSession(connector=connector, timeout=NO_TIME) as http,
    ):
        calm = [await insist(http, fleet, buyer, seen) for buyer in buyers]
        told = await asyncio.gather(*(one(fleet, http) for _ in range(requests)))
        return seen, sum(calm) + sum(told), fleet.deaths


async def insist(http: aiohttp.ClientSession, fleet: Fleet, buyer: Buyer, seen: Seen) -> bool:
    """One request of a buyer that does not look after itself, again where a gateway died under it or its lane."""
    avoid: set[int] = set()
    for _ in range(TRIES):
        try:
            told = await ask_once(http, await fleet.url(), buyer, avoid, seen.note)
        except PayRejected:
            return False  # no free lane, or the lane moved on: another request has it
        if told == NOBODY:
            await asyncio.sleep(RESTART_S)
        elif told not in OTHER_LANE:
            return told == SERVED
    return False


async def ask_once(
    http: aiohttp.ClientSession, url: str, buyer: Buyer, avoid: set[int], note: Callable[[Signed], None]
) -> str:
    """One request, with what an honest buyer does after a refusal; return its code, or `SERVED` or `NOBODY`."""
    promise = buyer.session.promise(Balance(MOST), buyer.shop.clock.now(), avoid=avoid)
    try:
        async with http.post(url + CHAT, json=HELLO, headers=buyer.headers(promise)) as response:
            reply = await read_reply(response)
    except aiohttp.ClientError:
        buyer.session.give_up(promise)
        return NOBODY
    if reply.signed is not None:
        note(reply.signed)
        buyer.session.accept(reply.signed)
        return SERVED
    buyer.session.give_up(promise)
    if reply.status >= 500:
        return NOBODY
    assert reply.status in (402, 429), reply.body
    if "receipt" in reply.json:
        signed = Signed(*decode_signed(reply.json["receipt"]))
        note(signed)
        buyer.session.accept(signed)
    avoid |= set(reply.json.get("used_lanes", ()))
    return str(reply.json.get("code", reply.status))


async def acknowledge(
    http: aiohttp.ClientSession, url: str, buyer: Buyer, lane: BuyerLane, note: Callable[[Signed], None]
) -> None:
    """Countersign a lane, and before it a receipt that never arrived."""
    for _ in range(2):
        ack = buyer.session.acknowledgement(lane)
        headers = {"AI-Voucher": encode_signed(ack.statement, ack.signature)}
        async with http.post(url + "/.well-known/aitp/voucher", headers=headers) as response:
            reply = await read_reply(response)
        if reply.status == 200:
            return
        signed = Signed(*decode_signed(reply.json["receipt"]))
        note(signed)
        buyer.session.accept(signed)
    raise AssertionError(reply.body)


async def claimable(folder: Path, buyers: Sequence[Buyer], deposits: Sequence[int]) -> list[int]:
    """What a chain pays for what is stored; every lane's claim fits in the deposit beside all others."""
    paid = []
    async with open_store(place_of(folder), GENESIS, OPERATOR.public) as store:
        for buyer, deposit in zip(buyers, deposits, strict=True):
            seller = SellerSession(Hash32(buyer.id), buyer.key.public, Balance(deposit), 1024)
            committed = 0
            for stored in await store.lanes(buyer.id):
                best = seller.restore(stored.lane, stored.voucher, stored.receipt).claim(Moment(0))
                if best is not None:
                    state = mature(claim(NEW_LANE, best, Balance(deposit - committed), 0, Moment(0)))
                    committed += state.paid
            assert seller.reserved <= deposit
            assert committed <= deposit
            paid.append(committed)
    return paid
