"""A purse pays a gateway on a real port: lanes, receipts, repetitions, corrections, caps, and the proxy in front."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from aitoken.client.pay.errors import CapReached, GatewayRefused, NotSold, PurseUnusable, WrongGateway
from aitoken.client.pay.exchange import Buyer
from aitoken.client.pay.ledger import OnChain, ProviderFacts
from aitoken.client.pay.payer import Caps, Payer
from aitoken.client.pay.proxy import Proxy
from aitoken.client.pay.purse import CLOSING, Purse, open_purse
from aitoken.client.pay.shop import Shop as Seen
from aitoken.crypto.ed25519 import verify
from aitoken.pay.book import BOOK
from aitoken.pay.layouts import Closing, OpenParams, session_id
from aitoken.types import AccountId, Balance, BlockNumber, Hash32
from gateway.ports import SessionFacts
from tests.support.gateways import DONE, GENESIS, OPERATOR, Gate, Shop, chat_answer, chunk, shop, usage, usage_chunk

CHAT = "/v1/chat/completions"
PAYER = AccountId(b"\x77" * 32)
CAPS = Caps(Balance(10**9), Balance(10**11), Balance(10**10), Balance(10**11), Balance(10**12))


class FakeLedger:
    """Opens sessions on the pretended chain of a shop."""

    def __init__(self, seller: Shop) -> None:
        self.genesis = GENESIS
        self.payer = PAYER
        self.operator = OPERATOR.public
        self.closed: list[tuple[Hash32, Any]] = []
        self.opened = 0
        self._seller = seller

    async def provider(self, number: int) -> ProviderFacts:
        return ProviderFacts(number, self.operator, self._seller.url)

    async def book(self, provider: int, version: int) -> bytes:
        assert provider == 7
        return BOOK.encode(self._seller.gateway._settings.catalogue.editions[version].book)

    async def rate(self, currency: int) -> int | None:
        return self._seller.chain.rate(currency)

    async def limits(self) -> tuple[BlockNumber, int, int]:
        return BlockNumber(100), 10, 10_000

    async def session(self, session: Hash32) -> OnChain | None:
        facts = self._seller.chain.facts.get(session)
        if facts is None:
            return None
        return OnChain(facts.deposit, Balance(self._seller.chain.paid(session)), not facts.closing)

    async def open(self, params: OpenParams, deposit: Balance) -> None:
        number = session_id(self.genesis, self.payer, params)
        self.opened += 1
        self._seller.chain.open(
            SessionFacts(number, self.payer, params.session_key, params.book_version, deposit, params.max_lanes)
        )

    async def top_up(self, session: Hash32, amount: Balance) -> None:
        facts = self._seller.chain.facts[session]
        self._seller.chain.change(session, deposit=Balance(facts.deposit + amount))

    async def close(self, session: Hash32, agreement: Mapping[str, Any] | None) -> None:
        self.closed.append((session, agreement))
        self._seller.chain.change(session, closing=True)


@dataclass
class Deal:
    """A gateway, and a purse that pays it."""

    seller: Shop
    ledger: FakeLedger
    payer: Payer
    seen: Seen
    purse: Purse

    async def ask(self, model: str = "echo", text: str = "hello there", **more: Any) -> Any:
        headers = more.pop("headers", None)
        body = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": text}], **more})
        return await Buyer(self.payer, self.seen).send(CHAT, body, headers)

    def receipts(self) -> int:
        return sum(len(list(self.purse.receipts(kept.id))) for kept in self.purse.sessions())


@asynccontextmanager
async def deal(folder: Path, caps: Caps = CAPS) -> AsyncIterator[Deal]:
    async with shop(folder / "shop") as seller:
        with open_purse(folder / "purse") as purse:
            ledger = FakeLedger(seller)
            payer = Payer(purse, ledger, seller.http, caps, seller.clock.now)
            yield Deal(seller, ledger, payer, Seen(seller.url, seller.http), purse)


def seller_total(made: Deal) -> int:
    return sum(known.seller.reserved for known in made.seller.gateway.sessions.all())


async def test_a_request_opens_a_session_and_both_sides_count_the_same(tmp_path: Path) -> None:
    async with deal(tmp_path) as made:
        for _ in range(3):
            answer = await made.ask(max_tokens=8)
            assert answer.status == 200
            assert msgspec.json.decode(await answer.read())["object"] == "chat.completion"
            assert answer.receipt.charge > 0
        assert made.ledger.opened == 1
        (tab,) = made.payer.tabs
        assert tab.session.spent == seller_total(made) == 3 * answer.receipt.charge
        assert made.receipts() == 3
        assert stat.S_IMODE((tmp_path / "purse" / "purse.sqlite").stat().st_mode) == 0o600


async def test_a_flow_is_passed_on_before_it_ends_and_without_what_is_ours(tmp_path: Path) -> None:
    async with deal(tmp_path) as made:
        gate = Gate()
        made.seller.script.play(chunk("one "), gate, chunk("two", finish="stop"), usage_chunk(3, 2), DONE)
        answer = await made.ask("script", stream=True, max_tokens=8)
        pieces = answer.pieces()
        first = await anext(pieces)
        assert b"one" in first
        assert b"two" not in first
        gate.open()
        rest = b"".join([piece async for piece in pieces])
        assert b"two" in rest
        assert rest.endswith(b"data: [DONE]\n\n")
        assert b"aitp" not in first + rest
        assert made.receipts() == 1
        assert made.payer.tabs[0].session.spent == seller_total(made)


async def test_who_goes_away_in_the_middle_gets_the_receipt_with_the_next_request(tmp_path: Path) -> None:
    async with deal(tmp_path) as made:
        gate = Gate()
        made.seller.script.play(chunk("one "), gate)
        answer = await made.ask("script", stream=True, max_tokens=8)
        async for _ in answer.pieces():
            break
        await answer.close()
        await asyncio.wait_for(made.seller.script.ended.wait(), 10)
        assert made.receipts() == 0
        answer = await made.ask(max_tokens=8)
        assert answer.status == 200
        assert made.receipts() == 2
        assert len(made.payer.tabs[0].session.lanes) == 1
        assert made.payer.tabs[0].session.spent == seller_total(made)


async def test_many_at_once_take_lanes_of_their_own_and_wait_for_one(tmp_path: Path) -> None:
    async with deal(tmp_path) as made:
        answers = await asyncio.gather(*(made.ask(max_tokens=8) for _ in range(40)))
        assert {answer.status for answer in answers} == {200}
        (tab,) = made.payer.tabs
        assert made.receipts() == 40
        assert tab.session.spent == seller_total(made) == sum(answer.receipt.charge for answer in answers)


async def test_the_same_key_is_paid_once(tmp_path: Path) -> None:
    async with deal(tmp_path) as made:
        one = await made.ask(max_tokens=8, headers={"Idempotency-Key": "k"})
        two = await made.ask(max_tokens=8, headers={"Idempotency-Key": "k"})
        assert await one.read() == await two.read()
        assert two.receipt == one.receipt
        assert made.receipts() == 1
        assert not any(lane.busy for lane in made.payer.tabs[0].session.lanes.values())


async def test_a_purse_opened_again_goes_on_where_it_was(tmp_path: Path) -> None:
    async with shop(tmp_path / "shop") as seller:
        spent = []
        for _ in range(2):
            with open_purse(tmp_path / "purse") as purse:
                payer = Payer(purse, FakeLedger(seller), seller.http, CAPS, seller.clock.now)
                await payer.recover()
                made = Deal(seller, FakeLedger(seller), payer, Seen(seller.url, seller.http), purse)
                await made.ask(max_tokens=8)
                spent.append(payer.tabs[0].session.spent)
        assert spent[1] == 2 * spent[0] == seller_total(made)


async def test_money_is_added_up_to_the_cap_and_no_further(tmp_path: Path) -> None:
    caps = Caps(Balance(15 * 10**7), Balance(10**11), Balance(15 * 10**7), Balance(3 * 10**8), Balance(10**12))
    async with deal(tmp_path, caps) as made:
        for _ in range(100):
            try:
                await made.ask(max_tokens=1)
            except (CapReached, GatewayRefused):
                break
        else:
            pytest.fail("a hundred requests were paid from a deposit for fifty")
        (tab,) = made.payer.tabs
        assert tab.session.deposit == 3 * 10**8 == made.seller.chain.facts[tab.kept.id].deposit
        assert 10**8 < tab.session.spent <= 3 * 10**8


async def test_what_costs_more_than_a_request_may_is_refused_in_words(tmp_path: Path) -> None:
    caps = Caps(Balance(10**8), Balance(10**11), Balance(10**10), Balance(10**11), Balance(10**12))
    async with deal(tmp_path, caps) as made:
        with pytest.raises(GatewayRefused) as refused:
            await made.ask(max_tokens=900)
        assert refused.value.reason == "gateway.too_dear"
        assert made.payer.tabs[0].session.spent == 0
        with pytest.raises(NotSold):
            await made.ask("nothing")


async def test_a_closed_session_gives_way_to_a_new_one(tmp_path: Path) -> None:
    async with deal(tmp_path) as made:
        await made.ask(max_tokens=8)
        (tab,) = made.payer.tabs
        assert await made.payer.close(tab, made.seen)
        ((closed, agreement),) = made.ledger.closed
        assert closed == tab.kept.id
        assert agreement["final_total"] == tab.session.spent == seller_total(made)
        statement = Closing(closed, agreement["final_total"], agreement["valid_until"]).encode()
        assert verify(agreement["signature"], statement, OPERATOR.public)
        assert made.payer.tabs == []
        assert [kept.state for kept in made.purse.sessions()] == [CLOSING]
        seller = next(iter(made.seller.gateway.sessions.all())).seller
        assert all(lane.countersigned == lane.total for lane in seller.lanes.values())
        answer = await made.ask(max_tokens=8)
        assert answer.status == 200
        assert made.ledger.opened == 2


async def test_another_key_than_the_chains_is_paid_nothing(tmp_path: Path) -> None:
    async with deal(tmp_path) as made:
        made.ledger.operator = bytes(32)
        with pytest.raises(WrongGateway):
            await made.ask()
        assert made.ledger.opened == 0


async def test_two_programs_do_not_spend_from_one_purse(tmp_path: Path) -> None:
    with open_purse(tmp_path), pytest.raises(PurseUnusable):
        open_purse(tmp_path)
    open_purse(tmp_path, spend=False).close()


# ------------------------------------------------------------------------------------------------- the proxy


async def test_a_tool_pays_through_the_proxy_without_knowing(tmp_path: Path) -> None:
    async with deal(tmp_path) as made, Proxy(made.payer, [made.seen]) as proxy, aiohttp.ClientSession() as http:
        base = f"http://127.0.0.1:{proxy.port}/v1"
        body = {"model": "echo", "messages": [{"role": "user", "content": "hello there"}], "max_tokens": 8}
        async with http.get(base + "/models") as response:
            assert "echo" in [model["id"] for model in (await response.json())["data"]]
        async with http.post(base + "/chat/completions", json=body) as response:
            assert response.status == 200
            assert (await response.json())["choices"][0]["message"]["content"]
        async with http.post(base + "/chat/completions", json={**body, "stream": True}) as response:
            assert response.content_type == "text/event-stream"
            flowed = await response.read()
        assert flowed.endswith(b"data: [DONE]\n\n")
        assert b"aitp" not in flowed
        async with http.post(base + "/chat/completions", json={**body, "model": "nothing"}) as response:
            assert response.status == 404
            assert (await response.json())["error"]["code"] == "buyer.not_sold"
        async with http.post(base + "/chat/completions", data=b"{") as response:
            assert response.status == 400
        assert made.receipts() == 2
        assert made.payer.tabs[0].session.spent == seller_total(made)


async def test_the_proxy_says_what_an_upstream_refuses(tmp_path: Path) -> None:
    async with deal(tmp_path) as made, Proxy(made.payer, [made.seen]) as proxy, aiohttp.ClientSession() as http:
        made.seller.script.play(chat_answer("fine", usage(3, 1)))
        url = f"http://127.0.0.1:{proxy.port}{CHAT}"
        body = {"model": "script", "messages": [{"role": "user", "content": "x"}], "max_tokens": 4}
        async with http.post(url, json=body) as response:
            assert response.status == 200
        async with http.post(url, json={**body, "n": "many"}) as response:
            told = await response.json()
            assert response.status == 400
            assert told["error"]["message"]
