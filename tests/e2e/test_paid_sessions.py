"""A thousand paid requests on several lanes of one deposit, with real nodes: what moved is right to the unit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aitoken.client.client import Client, Receipt
from aitoken.client.session_calls import open_params, session_claims
from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.book import ALWAYS, IN_ASSET, Book, Component, Price
from aitoken.pay.buyer import BuyerSession
from aitoken.pay.layouts import Closing, OpenParams, session_id
from aitoken.pay.layouts import Receipt as PayReceipt
from aitoken.pay.price import Situation, price_list
from aitoken.pay.seller import SellerSession
from aitoken.pay.units import INPUT_TOKEN, OUTPUT_TOKEN
from aitoken.types import AIT, AccountId, Balance, BlockNumber, Hash32, Moment
from cli.devnet.prices import report
from cli.session import connect_to_node
from tests.support.devnet import Net, client_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(400)]

OWNER, PAYER = pair_from_uri("//Charlie"), pair_from_uri("//Dave")
OPERATOR, KEY = pair_from_uri("//Charlie//operator", "ed25519"), Pair(b"\x33" * 32)
PAYOUT = pair_from_uri("//Charlie//payout").public
DEPOSIT = Balance(50 * AIT)
LANES = 8
REQUESTS = 1_000
USD = 840


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    net = Net.make(tmp_path / "net", 2)
    yield net
    net.close()


async def done(client: Client, call: Any, pair: Any) -> Receipt:
    """Make a call that must succeed, and wait until it is final."""
    receipt = await client.submit(call, pair, wait="final")
    assert receipt.success, receipt.error
    return receipt


async def free(client: Client, who: bytes) -> int:
    return int((await client.account(who))["data"]["free"])


async def sell(client: Client) -> tuple[int, Book]:
    """A provider with a service and a book; its number."""
    prices = Book(
        IN_ASSET,
        [Component(INPUT_TOKEN, Price(3, 6), 1, ALWAYS), Component(OUTPUT_TOKEN, Price(15, 6), 1, ALWAYS)],
        Price(0, 0), [], 0,
    )  # fmt: skip
    number = int(await client.query("Providers", "NextProvider"))
    await done(client, client.call("Balances", "transfer_keep_alive", dest=OPERATOR.public, value=10 * AIT), OWNER)
    await done(client, client.call("Balances", "transfer_keep_alive", dest=PAYOUT, value=AIT), OWNER)
    register = {"operator": OPERATOR.public, "payout": PAYOUT, "endpoint": b"http://127.0.0.1:1", "bond": 2_000 * AIT}
    await done(client, client.call("Providers", "register", **register), OWNER)
    terms = {
        "kind": "Chat", "model": b"demo-model@1", "tags": [1],
        "policy": {"refund": 1, "retention": 0, "region": 0, "latency": 1},
    }  # fmt: skip
    service = int(await client.query("Providers", "NextService"))
    await done(client, client.call("Providers", "publish_service", provider=number, service=None, terms=terms), OWNER)
    book = {
        "currency": prices.currency, "min_charge": {"mantissa": 0, "scale": 0}, "free_units": [], "policy": 0,
        "components": [
            {
                "unit": each.unit, "per": each.per,
                "price": {"mantissa": each.price.mantissa, "scale": each.price.scale},
                "conditions": dict.fromkeys(("tier", "input_over", "cache_ttl", "quality", "hours")),
            }
            for each in prices.components
        ],
    }  # fmt: skip
    publish = {"provider": number, "services": [service], "book": book, "effective_from": 0}
    await done(client, client.call("Providers", "publish_book", **publish), OPERATOR)
    assert int((await client.query("Providers", "Services", service))["book"]) == 1
    return number, prices


def use(buyer: BuyerSession, seller: SellerSession, prices: Book, requests: int, now: Moment) -> int:
    """Pay and serve requests, eight at a time; what they cost."""
    table, total = price_list(prices), 0
    for start in range(0, requests, LANES):
        promises = [buyer.promise(Balance(AIT // 50), now) for _ in range(min(LANES, requests - start))]
        for position, promise in enumerate(promises):
            admission = seller.admit(promise.signed.statement, promise.signed.signature, now)
            usage = ((INPUT_TOKEN, 100 + start + position), (OUTPUT_TOKEN, 17 * position + 1))
            charge = table.charge(usage, Situation(), 0)
            blank = PayReceipt(
                buyer.id, 0, 1, 0, 1, 1, blake2_256(b"demo-model@1"), blake2_256(b"q"), blake2_256(b"a"), now, now,
                charge, charge, 0, Hash32(bytes(32)), usage,
            )  # fmt: skip
            receipt = seller.settle(admission, seller.next_receipt(admission, blank), OPERATOR)
            buyer.accept(receipt)
            total += int(charge)
    return total


def countersign(buyer: BuyerSession, seller: SellerSession, lanes: list[int], now: Moment) -> None:
    for number in lanes:
        signed = buyer.acknowledgement(buyer.lanes[number])
        seller.acknowledge(signed.statement, signed.signature, now)


@contextlib.asynccontextmanager
async def reporters(net: Net) -> AsyncIterator[None]:
    """What reports the price of the token on a devnet: 1.25 dollars."""
    nodes: Any = [SimpleNamespace(plan=node, alive=True) for node in net.plan.nodes]
    task = asyncio.ensure_future(report(net.plan, nodes, connect_to_node, (125, 2)))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def check_rate(client: Client) -> None:
    """Prices in money need nobody: a price counts soon, and the wallet's question is answered."""
    async with asyncio.timeout(120):
        async for _ in client.subscribe_heads(final=True):
            found = await client.runtime_call("OracleApi", "current_rate", USD)
            if found is not None:
                break
    assert int(found["rate"]) == AIT * 100 // 125
    assert (await client.query("Oracle", "Last", USD))["weight"] == 10_000


async def test_a_thousand_requests_cost_the_chain_three_transactions(net: Net) -> None:
    net.start(extra=("--force-sign",))
    async with client_of(net.url(0)) as client, reporters(net):
        provider, prices = await sell(client)
        genesis = Hash32(client.chain.genesis_hash)
        head = await client.head(final=True)
        grace = int(client.constant("Sessions", "MinGrace"))
        params = OpenParams(
            provider, 1, KEY.public, 0, BlockNumber(head.number + 5_000), grace, LANES, b"\x07" * 16
        )  # fmt: skip
        session = session_id(genesis, AccountId(PAYER.public), params)
        await done(client, client.call("Sessions", "open", params=open_params(params), deposit=DEPOSIT), PAYER)
        assert int((await client.query("Sessions", "Sessions", session))["escrow"]) == DEPOSIT

        buyer = BuyerSession(session, KEY, OPERATOR.public, DEPOSIT, LANES, exposure_max=Balance(AIT))
        seller = SellerSession(session, KEY.public, DEPOSIT, LANES)
        now = Moment(int(await client.query("Timestamp", "Now")))
        total = use(buyer, seller, prices, REQUESTS, now)
        assert total == buyer.spent
        countersign(buyer, seller, list(range(LANES // 2)), now)
        claims = []
        for number, lane in sorted(seller.lanes.items()):
            claim = lane.claim(now)
            assert claim is not None
            assert lane.signed_voucher is not None
            assert (claim.receipt_hash is None) == (number < LANES // 2), "half of the lanes are countersigned"
            claims.append((claim, lane.signed_voucher.signature))
        acked = sum(int(claim.voucher.acked) for claim, _ in claims)
        before = await free(client, PAYOUT)
        call = client.call("Sessions", "claim", claims=[session_claims(session, claims)])
        receipt = await done(client, call, OPERATOR)

        events = await client.events(receipt.block_hash or "")
        told = [event for event in events if event.pallet == "Sessions" and event.name.startswith("Claim")]
        assert [event.name for event in told] == ["Claimed"] * LANES, told
        state = await client.query("Sessions", "Sessions", session)
        assert (int(state["claimed"]), int(state["waiting"])) == (acked, total - acked)
        assert await free(client, PAYOUT) - before == acked - acked // 1000

        until = int(await client.query("Timestamp", "Now")) + 600_000
        statement = Closing(session, Balance(total), Moment(until)).encode()
        agreement = {"final_total": total, "valid_until": until, "signature": OPERATOR.sign(statement)}
        payer = await free(client, PAYER.public)
        receipt = await done(client, client.call("Sessions", "close", session=session, agreement=agreement), PAYER)

        assert await free(client, PAYER.public) == payer - (receipt.fee or 0) + DEPOSIT - total
        tails = total - acked
        assert await free(client, PAYOUT) - before == acked - acked // 1000 + tails - tails // 1000
        state = await client.query("Sessions", "Sessions", session)
        assert (int(state["claimed"]), int(state["escrow"])) == (total, 0)
        assert int((await client.query("Providers", "Stats", provider))["settled"]) == total
        await check_rate(client)
