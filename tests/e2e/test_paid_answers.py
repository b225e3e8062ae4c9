"""A buyer opens a session on a running chain, asks a running gateway, and the chain pays what both signed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from aitoken.client.client import Client
from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.ed25519 import Pair
from aitoken.pay.buyer import BuyerSession
from aitoken.pay.headers import encode_signed
from aitoken.pay.layouts import OpenParams, session_id
from aitoken.types import AIT, AccountId, Balance, BlockNumber, Hash32, Moment
from cli.wallet import address_of
from tests.support.devnet import GENESIS, Net, answer_of, client_of, run_aitoken
from tests.support.gateways import Reply, read_reply
from tests.support.market import do, gateway, proxy, sell, setup, wind_up

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(300)]

CHAT = "/v1/chat/completions"
HELLO = {"model": "echo", "messages": [{"role": "user", "content": "hello chain"}], "max_tokens": 8}
DEPOSIT = Balance(5 * AIT)


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    spec = msgspec.json.decode(GENESIS.read_bytes())
    spec["params"] |= {"blockTimeMs": 200, "idleIntervalMs": 400}
    file = tmp_path / "quick.json"
    file.write_bytes(msgspec.json.encode(spec))
    net = Net.make(tmp_path / "net", 1, file)
    net.start()
    yield net
    net.close()


async def subscribe(client: Client, provider: int) -> None:
    """Alice offers a plan with four tokens in and four out a day, and Bob takes it."""
    granted = {"models": [], "tier": 0, "per_minute": 0, "at_once": 0, "queue": 1}
    terms = {
        "currency": 0, "price": AIT // 100, "entitlements": granted, "included": [(1, 4), (2, 4)], "trial_days": 0,
        "refund": "Nothing", "transferable": False,
    }  # fmt: skip
    period = {"unit": "Day", "count": 1}
    published = await do(
        client, "//Alice", "Plans", "publish", provider=provider, plan=None, period=period, terms=terms
    )  # fmt: skip
    plan = next(found.fields["plan"] for found in published.events if found.pallet == "Plans")
    mandate = {"max_price": AIT, "max_amount": AIT, "until": now() + 86_400_000, "auto_renew": False}
    version = (await client.query("Plans", "Plans", plan))["version"]
    await do(
        client, "//Bob", "Plans", "subscribe", plan=plan, version=version, mandate=mandate, beneficiary=None,
        trial=False,
    )  # fmt: skip


async def test_answers_are_paid_though_the_node_dies_and_the_rest_comes_back(net: Net, tmp_path: Path) -> None:
    operator = pair_from_uri("//Alice//operator", "ed25519")
    assert isinstance(operator, Pair)
    async with client_of(net.url(0)) as client, aiohttp.ClientSession() as http:
        await do(client, "//Alice", "Balances", "transfer_keep_alive", dest=pair_from_uri("//Eve").public, value=AIT)
        provider, book = await sell(net.url(0), tmp_path)
        await subscribe(client, provider)
        key, payer = Pair(b"\x31" * 32), pair_from_uri("//Bob")
        head = await client.head()
        grace = client.constant("Sessions", "MinGrace")
        params = OpenParams(provider, 1, key.public, 0, BlockNumber(head.number + 5_000), grace, 8, b"\x01" * 16)
        opened = {name: getattr(params, name) for name in type(params).scale_fields}
        await do(client, "//Bob", "Sessions", "open", params=opened, deposit=DEPOSIT)
        session = session_id(Hash32(client.chain.genesis_hash), AccountId(payer.public), params)
        buyer = BuyerSession(session, key, operator.public, DEPOSIT, 8, DEPOSIT)
        before = (await client.account(pair_from_uri("//Eve")))["data"]["free"]

        async with gateway(tmp_path, net.url(0), book) as (shop, process):
            for flows in (False, True):
                assert (await ask(http, shop, buyer, flows=flows)).status == 200
            # Without its node a gateway serves whom it knows; what is owed waits.
            net.kill(0)
            assert (await ask(http, shop, buyer)).status == 200
            net.start(0)
            ack = buyer.acknowledgement(next(iter(buyer.lanes.values())))
            headers = {"AI-Voucher": encode_signed(ack.statement, ack.signature)}
            async with http.post(shop + "/.well-known/aitp/voucher", headers=headers) as response:
                assert response.status == 200, await response.text()
            # "hello chain" is 4 pieces in and out; Bob's plan pays the first request.
            assert buyer.spent == 2 * (4 + 8) * 10**9
            async with client_of(net.url(0)) as again:
                await paid(again, session, buyer.spent)
                after = (await again.account(pair_from_uri("//Eve")))["data"]["free"]
                assert after - before == buyer.spent - buyer.spent // 1000

                await do(again, "//Alice", "Sessions", "close", session=session, agreement=None)
                async with asyncio.timeout(60):
                    while (refused := await ask(http, shop, buyer)).status == 200:
                        await asyncio.sleep(0.1)
                assert (refused.status, refused.json["code"]) == (402, "pay.session_closing")
                assert process.poll() is None
                found = await again.query("Sessions", "Sessions", session)
                assert found["escrow"] == 0

                # Another session, whose last receipt nobody has countersigned when the provider gives up.
                opened["salt"] = b"\x02" * 16
                second = OpenParams(**opened)
                await do(again, "//Bob", "Sessions", "open", params=opened, deposit=DEPOSIT)
                other = session_id(Hash32(client.chain.genesis_hash), AccountId(payer.public), second)
                late = BuyerSession(other, key, operator.public, DEPOSIT, 8, DEPOSIT)
                assert [(await ask(http, shop, late)).status for _ in range(2)] == [200, 200]
        told = await asyncio.to_thread(wind_up, tmp_path, net.url(0), book)
        assert "all sessions are over" in told
        async with client_of(net.url(0)) as again:
            found = await again.query("Sessions", "Sessions", other)
            assert "Closed" in found["state"]
            # What was countersigned is paid, the tail waits for its window: nothing else is held.
            assert found["claimed"] + found["escrow"] == late.spent


async def ask(http: aiohttp.ClientSession, shop: str, buyer: BuyerSession, *, flows: bool = False) -> Reply:
    """Ask once and take the receipt."""
    promise = buyer.promise(Balance(AIT), now())
    headers = {"AI-Voucher": encode_signed(promise.signed.statement, promise.signed.signature)}
    async with http.post(shop + CHAT, json={**HELLO, "stream": flows}, headers=headers) as response:
        reply = await read_reply(response)
    if reply.signed is not None:
        buyer.accept(reply.signed)
    return reply


def now() -> Moment:
    return Moment(time.time_ns() // 1_000_000)


async def paid(client: Client, session: Hash32, amount: int) -> None:
    """Wait until a session has paid so much."""
    async with asyncio.timeout(90):
        async for _ in client.subscribe_heads(final=True):
            found = await client.query("Sessions", "Sessions", session)
            if found["claimed"] == amount:
                return


# ------------------------------------------------------------------------------------------------- a tool that pays


async def test_fifty_requests_through_the_proxy_are_paid_to_the_unit(net: Net, tmp_path: Path) -> None:
    async with client_of(net.url(0)) as client, aiohttp.ClientSession() as http:
        await do(client, "//Alice", "Balances", "transfer_keep_alive", dest=pair_from_uri("//Eve").public, value=AIT)
        _, book = await sell(net.url(0), tmp_path)
        purse = ["--purse", str(tmp_path / "purse")]
        paying = [*purse, "--from", "//Bob", "--url", net.url(0)]
        before = (await client.account(pair_from_uri("//Eve")))["data"]["free"]

        async with gateway(tmp_path, net.url(0), book) as (shop, _):
            put_down = await asyncio.to_thread(answer_of, "topup", shop, "2", *paying)
            session = Hash32(bytes.fromhex(put_down["session"]))
            assert (await client.query("Sessions", "Sessions", session))["escrow"] == 2 * AIT
            async with proxy(tmp_path, *paying, "--port", "0", "--max-request", "0.2") as base:

                async def ask(number: int) -> None:
                    body = {**HELLO, "stream": number % 3 == 0}
                    async with http.post(f"{base}/chat/completions", json=body) as response:
                        assert response.status == 200, await response.text()
                        assert await response.read()

                for start in range(0, 50, 5):
                    await asyncio.gather(*(ask(number) for number in range(start, start + 5)))
            spent = 50 * (4 + 8) * 10**9
            told = await asyncio.to_thread(answer_of, "receipts", *purse)
            assert (told["count"], told["total"]) == (50, spent)
            closed = await asyncio.to_thread(answer_of, "close", *paying)
            assert [(one["deposit"], one["spent"]) for one in closed] == [(2 * AIT, spent)]
            await paid(client, session, spent)
            audited = await asyncio.to_thread(answer_of, "audit", *purse, "--url", net.url(0))
            assert audited["findings"] == []
            assert audited["total"] == audited["sessions"][0]["claimed"] == spent
        after = (await client.account(pair_from_uri("//Eve")))["data"]["free"]
        assert after - before == spent - spent // 1000


async def test_an_agent_without_money_pays_by_its_allowance_until_it_is_stopped(net: Net, tmp_path: Path) -> None:
    async with client_of(net.url(0)) as client:
        await do(client, "//Alice", "Balances", "transfer_keep_alive", dest=pair_from_uri("//Eve").public, value=AIT)
        _, book = await sell(net.url(0), tmp_path)
        owner = ("--from", "//Bob", "--url", net.url(0))
        given = await asyncio.to_thread(answer_of, "allowance", "give", "//Agent", "--total", "3", *owner)
        paying = (
            "--purse", str(tmp_path / "purse"), "--from", "//Agent", "--grant", f"//Bob/{given['grant']}", "--url",
            net.url(0),
        )  # fmt: skip
        asking = ("ask", "hello", "--model", "echo", "--max-tokens", "4", *paying)
        async with gateway(tmp_path, net.url(0), book) as (shop, _):
            put_down = await asyncio.to_thread(answer_of, "topup", shop, "1", *paying)
            session = Hash32(bytes.fromhex(put_down["session"]))
            assert (await client.query("Sessions", "Sessions", session))["payer"] == address_of(
                pair_from_uri("//Bob").public
            )
            assert (await asyncio.to_thread(answer_of, *asking, "--gateway", shop))["cost"] > 0
            shown = await asyncio.to_thread(answer_of, "allowance", "list", "//Bob", "--url", net.url(0))
            assert AIT < shown[0]["spent"] < 2 * AIT

            stopped = await asyncio.to_thread(answer_of, "allowance", "stop", *owner)

            assert stopped["frozen"] == ["0x" + session.hex()]
            async with asyncio.timeout(60):
                while (refused := await asyncio.to_thread(run_aitoken, *asking, "--gateway", shop)).returncode == 0:
                    await asyncio.sleep(0.2)
            assert (await client.query("Sessions", "Sessions", session))["key"] is None
            assert refused.returncode == 3, refused.stderr
        assert (await client.account(pair_from_uri("//Agent")))["data"]["free"] == 0


# ------------------------------------------------------------------------------------------------- a seller


async def test_a_price_file_goes_to_the_chain_piece_by_piece_and_never_says_what_the_chain_does_not(
    net: Net, tmp_path: Path
) -> None:
    async with client_of(net.url(0)):
        provider, file = await sell(net.url(0), tmp_path)
    first = file.read_text()
    assert f"provider = {provider}\n" in first
    assert setup(net.url(0), file)["books"] == [1]
    assert file.read_text() == first
    more = """
[[book]]
version = 9  # ours, until the chain has given one
currency = "USD"
prices = { output_token = "0.5 / 1000000" }
[[model]]
name = "markov-small"
service = 0
books = [9]
kinds = ["completions"]
"""
    file.write_text(first + more)

    told = setup(net.url(0), file)

    assert told["books"] == [1, 2]
    assert "version = 2  # ours" in file.read_text()
    async with client_of(net.url(0)) as client:
        service = await client.query("Providers", "Services", told["services"]["markov-small"])
    assert (service["provider"], service["book"], service["terms"]["kind"]) == (provider, 2, "Completion")
    async with gateway(tmp_path, net.url(0), file) as (shop, _):
        assert shop
    shown = answer_of("provider", "show", str(provider), "--url", net.url(0))
    assert (shown["models"], shown["payout"]) == (
        ["echo@1", "markov-small@1"],
        address_of(pair_from_uri("//Eve").public),
    )

    file.write_text(file.read_text().replace("0.002", "0.001"))
    wrong = run_aitoken(
        "provider", "setup", "//Alice", str(file), "--operator", "//Alice//operator", "--url", net.url(0)
    )
    assert (wrong.returncode, "never changes" in wrong.stderr) == (2, True)
    theirs = run_aitoken("provider", "setup", "//Bob", str(file), "--operator", "//Bob", "--url", net.url(0))
    assert (theirs.returncode, "is not yours" in theirs.stderr) == (2, True)
