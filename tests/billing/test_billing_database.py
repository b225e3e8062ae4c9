"""The database two gateways share dies under them: killed, stopped at once, restarted, or out of reach."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from aitoken.pay.errors import PayRejected
from aitoken.pay.headers import encode_signed
from aitoken.pay.layouts import Receipt, Voucher
from aitoken.types import Balance
from gateway.store import StoreFailed, StoreUnusable, open_store
from tests.support.gateway_fleet import CHAT, HELLO, Seen, claimable
from tests.support.gateways import (
    DATABASES,
    DONE,
    GENESIS,
    LEASE_S,
    OPERATOR,
    Buyer,
    Gate,
    Reply,
    Shop,
    chunk,
    place_of,
    shop,
)

PRICE = 3000
AWAY = (503, "gateway.store_unavailable")


@pytest.fixture(autouse=True)
def there_again() -> Iterator[None]:
    """Other tests find the database as they like it."""
    yield
    if DATABASES:
        DATABASES[-1].start()


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what happens elsewhere
            await asyncio.sleep(0.01)


def told(reply: Reply) -> tuple[int, str]:
    """The status and code of a refusal; what is away says when to come again."""
    problem = reply.json
    if reply.status >= 500:
        assert int(reply.headers["Retry-After"]) > 0
        assert reply.receipt is None
    return reply.status, problem.get("code") or problem["error"]["code"]


@dataclass
class Customer:
    """A buyer that goes from gateway to gateway and never stops asking, also for more than it has put down."""

    buyer: Buyer
    shops: tuple[Shop, Shop]
    seen: Seen
    acked: dict[int, int] = field(default_factory=dict)
    outcomes: list[Counter[Any]] = field(default_factory=lambda: [Counter(), Counter()])
    enough: bool = False

    async def run(self) -> None:
        avoid: set[int] = set()
        number = 0
        while not self.enough:
            number += 1
            try:
                promise = self.buyer.session.promise(Balance(10**6), self.shops[0].clock.now(), avoid=avoid)
            except PayRejected:
                return  # no lane is left
            which = number % 2
            reply = await self.shops[which].post(CHAT, HELLO, self.buyer.headers(promise))
            self.take(reply, promise)
            outcome = "served" if reply.status == 200 else told(reply)
            self.outcomes[which][outcome] += 1
            if reply.status == 402:
                avoid |= set(reply.json.get("used_lanes", ()))
            if reply.status == 200:
                await self.acknowledge(self.shops[which], promise.lane)
            else:
                await asyncio.sleep(0.01)

    def take(self, reply: Reply, promise: Any) -> None:
        if reply.signed is None:
            self.buyer.session.give_up(promise)
            assert reply.status != 402 or "receipt" not in reply.json, "a receipt was kept that did not come"
            return
        self.seen.note(reply.signed)
        self.buyer.session.accept(reply.signed)

    async def acknowledge(self, here: Shop, lane: Any) -> None:
        ack = self.buyer.session.acknowledgement(lane)
        headers = {"AI-Voucher": encode_signed(ack.statement, ack.signature)}
        reply = await here.post("/.well-known/aitp/voucher", b"", headers)
        if reply.status == 200:
            self.acked[lane.number] = int(reply.json["acked"])
        else:
            assert told(reply)[0] in (402, 503)

    def served(self) -> int:
        return sum(one["served"] for one in self.outcomes)


async def test_shared_a_database_that_crashes_costs_nobody_anything_and_is_waited_for(tmp_path: Path) -> None:
    """Every receipt that was kept has come to its buyer, whatever was refused, and what was countersigned is there."""
    seen, database = Seen(), DATABASES[-1]
    async with shop(tmp_path) as one, shop(tmp_path) as two:
        shops = (one, two)
        deposits = [10**6, 10**5, 10**9, 10**9]
        buyers = [one.buyer(deposit=deposit, lanes=64) for deposit in deposits]
        for buyer in buyers:
            two.chain.open(one.chain.facts[buyer.id])
            buyer.session.deposit = Balance(10**15)  # it promises what it likes
        customers = [Customer(buyer, shops, seen) for buyer in buyers]
        running = [asyncio.ensure_future(customer.run()) for customer in customers]
        numbers = {store_of(here).number for here in shops}
        for how in (signal.SIGKILL, signal.SIGQUIT, signal.SIGINT):
            await served_more(customers[2:], 1)
            await asyncio.to_thread(database.stop, how)
            stranger = one.buyer()
            two.chain.open(one.chain.facts[stranger.id])
            for here in shops:
                reply = await here.post(CHAT, HELLO, stranger.headers(stranger.promise(10**6)))
                assert told(reply) == AWAY
            await asyncio.to_thread(database.start)
            await served_more(customers[2:], 3)
            last = max(numbers)
            await until(lambda last=last: all(store_of(here).number > last for here in shops))
            numbers = {store_of(here).number for here in shops}
        for customer in customers:
            customer.enough = True
        await asyncio.gather(*running)
        for which in (0, 1):
            codes = set().union(*(customer.outcomes[which] for customer in customers))
            assert {"served", AWAY} <= codes <= {"served", AWAY, *PAYMENTS}, codes
    paid = await claimable(tmp_path, buyers, deposits)
    for customer, amount, deposit in zip(customers, paid, deposits, strict=True):
        assert sum(customer.acked.values()) <= amount <= deposit
    assert all((402, "pay.over_deposit") in customers[1].outcomes[which] for which in (0, 1))
    assert await kept(tmp_path, buyers) == seen.statements


async def served_more(customers: list[Customer], count: int) -> None:
    """Wait until each of them has been served some times more."""
    before = [customer.served() for customer in customers]
    await until(lambda: all(c.served() >= b + count for c, b in zip(customers, before, strict=True)))


PAYMENTS = {(402, f"pay.{code}") for code in ("lane_busy", "lane_retired", "lane_unknown", "over_deposit")}


def store_of(here: Shop) -> Any:
    return here.gateway.sessions._store


async def kept(folder: Path, buyers: list[Buyer]) -> dict[tuple[bytes, int, int], bytes]:
    """All receipts in a store."""
    found = {}
    async with open_store(place_of(folder), GENESIS, OPERATOR.public) as store:
        for buyer in buyers:
            for lane in await store.lanes(buyer.id):
                for signed in await store.receipts(buyer.id, lane.lane, 0, 10**6):
                    receipt = Receipt.decode(signed.statement)
                    found[receipt.session_id, receipt.lane, receipt.seq] = signed.statement
    return found


async def test_shared_a_number_and_a_countersignature_survive_a_crash_in_the_next_moment(tmp_path: Path) -> None:
    database = DATABASES[-1]
    async with shop(tmp_path) as here:
        number = store_of(here).number
        database.stop(signal.SIGKILL)
        with pytest.raises(StoreFailed):
            await store_of(here).sweep()
        database.start()
        await until(lambda: store_of(here).number > number)
        buyer = here.buyer()
        await until_served(buyer)
        await buyer.acknowledge()
        database.stop(signal.SIGKILL)
    database.start()
    async with open_store(place_of(tmp_path), GENESIS, OPERATOR.public) as store:
        (lane,) = await store.lanes(buyer.id)
    assert lane.voucher is not None
    assert Voucher.decode(lane.voucher.statement).acked == PRICE


async def until_served(buyer: Buyer) -> None:
    async with asyncio.timeout(60):
        while (await buyer.ask(HELLO, 10**6)).status != 200:  # noqa: ASYNC110 - what happens elsewhere
            await asyncio.sleep(0.01)


async def test_shared_a_receipt_on_its_way_in_a_crash_comes_late_if_it_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = DATABASES[-1]
    async with shop(tmp_path) as here:
        buyer, store = here.buyer(), store_of(here)
        await until_served(buyer)
        write = store._write_once

        async def write_and_crash(connection: Any, changes: Any) -> set[bytes]:
            """The word that it was committed never comes."""
            if not changes:
                return set()
            monkeypatch.setattr(store, "_write_once", write)
            done: set[bytes] = await write(connection, changes) if committed else set()
            await asyncio.to_thread(database.stop, signal.SIGKILL)
            await connection.execute("SELECT 1")
            return done

        for committed in (True, False):
            monkeypatch.setattr(store, "_write_once", write_and_crash)
            waiting = asyncio.ensure_future(buyer.ask(HELLO, 10**6))
            await until(lambda: store._failed is not None)
            assert not waiting.done()
            await asyncio.to_thread(database.start)
            reply = await waiting
            assert (reply.status == 200, reply.receipt is not None) == (committed, committed)
            await until(lambda: store._failed is None)


async def test_shared_a_flow_breaks_off_when_its_receipt_cannot_be_kept_any_more(tmp_path: Path) -> None:
    database = DATABASES[-1]
    async with shop(tmp_path) as here:
        buyer, gate = here.buyer(), Gate()
        here.script.play(chunk("a"), gate, *[chunk("free") for _ in range(50)], chunk(None, finish="stop"), DONE)
        body = {**HELLO, "model": "script", "stream": True, "max_tokens": 500}
        lines: list[bytes] = []

        async def read() -> None:
            headers = {"Content-Type": "application/json", **buyer.headers(buyer.promise(10**8))}
            async with here.http.post(here.url + CHAT, json=body, headers=headers) as response:
                async for line in response.content:
                    lines.append(line)  # noqa: PERF401 - what came before it broke off counts

        reading = asyncio.ensure_future(read())
        await gate.reached.wait()
        database.stop(signal.SIGKILL)
        with pytest.raises(StoreFailed):
            await store_of(here).sweep()
        gate.open()
        with pytest.raises(aiohttp.ClientPayloadError):
            await reading
        assert b'"a"' in b"".join(lines)
        assert b"free" not in b"".join(lines)
        assert not any(b"aitp.receipt" in line for line in lines)


async def health(here: Shop) -> tuple[int, bytes]:
    reply = await here.get("/healthz")
    assert reply.status == 200 or int(reply.headers["Retry-After"]) > 0
    return reply.status, reply.body


async def test_shared_a_gateway_started_while_the_database_is_away_says_so_and_begins_when_it_is_there(
    tmp_path: Path,
) -> None:
    database = DATABASES[-1]
    place_of(tmp_path)
    database.stop(signal.SIGQUIT)
    async with shop(tmp_path) as here:
        buyer = here.buyer(lanes=64)
        status, words = await health(here)
        assert (status, b"store is away" in words, str(database.url).encode() in words) == (503, True, False)
        assert told(await buyer.ask(HELLO, 10**6)) == AWAY
        await asyncio.to_thread(database.start)
        await until_served(buyer)
        assert await health(here) == (200, b"ok")
        database.stop(signal.SIGKILL)
        assert told(await buyer.ask(HELLO, 10**6)) == AWAY
        assert (await health(here))[0] == 503


async def test_shared_a_gateway_whose_database_never_comes_stops_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store_postgres.START_S", 0.0)
    place_of(tmp_path)
    DATABASES[-1].stop(signal.SIGQUIT)
    with pytest.raises(StoreFailed, match=r"no database within 0 s: .*No such file"):
        async with shop(tmp_path):
            await asyncio.Event().wait()


async def test_shared_a_database_where_no_table_may_be_made_is_refused_at_once(tmp_path: Path) -> None:
    place = str(place_of(tmp_path)).replace("search_path%3D", "search_path%3Dno_such_")
    with pytest.raises(StoreUnusable, match="no schema has been selected"):
        async with open_store(place, GENESIS, OPERATOR.public):
            pass


async def test_shared_a_database_that_does_not_answer_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.gateways.LEASE_S", 1.0)
    database = DATABASES[-1]
    async with shop(tmp_path) as here:
        buyer = here.buyer(lanes=64)
        await until_served(buyer)
        with database.freeze():
            assert told(await buyer.ask(HELLO, 10**6)) == AWAY
            assert told(await buyer.ask(HELLO, 10**6)) == AWAY
            assert (await health(here))[0] == 503
        await until_served(buyer)


async def test_shared_another_database_in_its_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = DATABASES[-1]
    database.place(str(tmp_path / "before"))
    for _ in range(3):
        async with open_store(place_of(tmp_path / "store"), GENESIS, OPERATOR.public, lease_s=LEASE_S):
            pass
    store = open_store(place_of(tmp_path / "store"), GENESIS, OPERATOR.public, lease_s=LEASE_S)
    async with store:
        running = asyncio.ensure_future(store.run())
        monkeypatch.setattr(store, "_url", place_of(tmp_path / "empty"))
        await store.link.close()
        with pytest.raises(StoreFailed):
            await store.sessions()
        with pytest.raises(StoreUnusable, match="old copy"):
            await running
