"""Paid requests on a real chain: a node, a gateway process, a buyer; then every receipt audited against the chain.

    python -m bench market            100,000 requests over HTTP, 1,000 a lane; a million receipts audited
    python -m bench --quick market    2,000 and 20,000

The chain is one validator, its blocks are read back and counted: all signed transactions between the first session's
opening and the last one's end, and every voucher whose signature the chain checked. Sessions are closed without the
gateway's agreement, so each lane is claimed with its voucher. The buyer keeps its receipts in a purse as the proxy
does, and `aitoken audit` says whether they come to what moved.

The million is signed without asking anybody: sessions of 250 lanes of 1,000 receipts with the vouchers that countersign
them, claimed on the same chain. Nothing else of it is made up.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from aitoken.client.client import Client
from aitoken.client.pay.purse import CLOSING, Kept, Purse, open_purse
from aitoken.client.session_calls import open_params, session_claims
from aitoken.codec.base import compact_read
from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.book import ALWAYS, BOOK, IN_ASSET, Book, Component, Price
from aitoken.pay.buyer import BuyerSession
from aitoken.pay.headers import decode_signed, encode_signed
from aitoken.pay.layouts import CUMULATIVE, OpenParams, Receipt, Voucher, ack0, session_id
from aitoken.pay.price import Situation, price_list
from aitoken.pay.rules import Claim
from aitoken.pay.seller import Signed
from aitoken.types import AIT, AccountId, Balance, BlockNumber, Hash32, Moment
from bench.network import network
from bench.row import Row
from bench.shop import BODY, PATH
from cli.demo import AITOKEN, running, set_up
from cli.devnet.plan import port_is_free
from cli.selling import do

LANES: Final = 16
A_LANE: Final = 1_000
WIDE: Final = 250
"""Lanes of a session of the million; a claim takes 256."""
PRICES: Final = Book(
    IN_ASSET, [Component(unit, Price(unit, 3), 1, ALWAYS) for unit in (1, 2)], Price(0, 0), [], 0
)  # fmt: skip
"""What `set_up` publishes: a thousandth of an AIT for a token that goes in, twice that for one that comes out."""
OWNER, BUYER, KEY = "//Alice", "//Bob", Pair(b"\x35" * 32)
PARAMS: Final = {"noticeMs": 36_000_000}
"""Sessions that ended stay readable until they are audited."""

SIGNED: Final = 0x84
"""First byte of a signed transaction of version 4."""


def run(quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_run(Path(folder), 2_000 if quick else 100_000, 20_000 if quick else 1_000_000))


async def _run(folder: Path, requests: int, receipts: int) -> list[Row]:
    port = next(port for port in range(23_000, 24_000, 7) if port_is_free(port) and port_is_free(port + 100))
    async with network(1, 1, base_port=port, params=PARAMS) as chain:
        url = chain.urls[0]
        client = await Client.connect(url)
        try:
            book = await set_up(client, OWNER, "echo", 1, folder)
            provider, service = _numbers(book)
            place = _Place(client, url, folder, provider, service)
            rows = await _through_http(place, book, requests)
            first = await place.settled()
            rows += await _audited(place, "audit of these", folder / "purse", requests, first)
            rows += await _signed_alone(place, receipts)
            second = await place.settled() - first
            rows += await _audited(place, "audit of many", folder / "many", receipts, second)
            return rows
        finally:
            await client.close()


@dataclass(frozen=True, slots=True)
class _Place:
    client: Client
    url: str
    folder: Path
    provider: int
    service: int

    async def open(self, lanes: int, deposit: Balance, salt: int) -> Kept:
        """Open a session on chain; as a purse keeps it."""
        client = self.client
        head = await client.head()
        grace = int(client.constant("Sessions", "MinGrace"))
        payer, genesis = AccountId(pair_from_uri(BUYER).public), Hash32(client.chain.genesis_hash)
        params = OpenParams(
            self.provider, 1, KEY.public, 0, BlockNumber(head.number + 100_000), grace, lanes,
            salt.to_bytes(16, "little"),
        )  # fmt: skip
        await do(client, pair_from_uri(BUYER), "Sessions", "open", params=open_params(params), deposit=deposit)
        return Kept(
            session_id(genesis, payer, params), genesis, payer, self.provider, _operator().public, "http://127.0.0.1",
            1, BOOK.encode(PRICES), KEY.seed, deposit, lanes, params.expires_block, CLOSING,
        )  # fmt: skip

    async def settled(self) -> int:
        """What the chain says the provider was paid so far, in all."""
        return int((await self.client.query("Providers", "Stats", self.provider))["settled"])

    async def wait_claimed(self, kept: Kept, total: int) -> None:
        """Wait until a session has paid what its receipts come to."""
        async with asyncio.timeout(120):
            async for _ in self.client.subscribe_heads(final=True):
                if int((await self.client.query("Sessions", "Sessions", kept.id))["claimed"]) == total:
                    return


def _operator() -> Pair:
    operator = pair_from_uri(f"{OWNER}//operator", "ed25519")
    if not isinstance(operator, Pair):
        raise TypeError("an operator's key is ed25519")
    return operator


def _numbers(book: Path) -> tuple[int, int]:
    told = dict(line.split(" = ") for line in book.read_text().splitlines() if line.count(" = ") == 1)
    return int(told["provider"]), int(told["service"])


# ------------------------------------------------------------------------------------------------- over HTTP


async def _through_http(place: _Place, book: Path, count: int) -> list[Row]:
    """All requests, session by session; what they took, and what the chain saw of them."""
    arguments = (
        "gateway", "--book", str(book), "--provider", f"{OWNER}//operator", "--data-dir", str(place.folder / "shop"),
        "--url", place.url, "--port", "0", "--claim-above", "100000", "--claim-every", "0.5",
    )  # fmt: skip
    log = place.folder / "gateway.log"
    first = (await place.client.head()).number + 1
    took = cpu = 0.0
    async with running(log, *arguments, ready="selling at") as shop, aiohttp.ClientSession() as http:
        with open_purse(place.folder / "purse") as purse:
            for number, start in enumerate(range(0, count, LANES * A_LANE)):
                session = min(LANES * A_LANE, count - start)
                kept = await place.open(LANES, Balance(session * AIT // 5), number)
                purse.put(kept)
                buyer = BuyerSession(kept.id, KEY, kept.operator, kept.deposit, LANES, kept.deposit)
                begin, busy = time.perf_counter(), time.process_time()
                await _ask_all(http, shop, buyer, purse, session)
                took += time.perf_counter() - begin
                cpu += time.process_time() - busy
                await _countersign(http, shop, buyer)
                await do(place.client, pair_from_uri(BUYER), "Sessions", "close", session=kept.id, agreement=None)
                await place.wait_claimed(kept, buyer.spent)
                print(f"market: {start + session:,} requests", file=sys.stderr)
    seen = await _seen(place.client, first)
    return [
        Row("paid over HTTP", "requests", count, ""),
        Row("paid over HTTP", f"end to end, {LANES} at a time, two processes", count / took, "per second"),
        Row("paid over HTTP", "processor, client and purse", cpu / count * 1000, "ms a request"),
        Row("chain", "transactions", seen.transactions, ""),
        Row("chain", "bytes a request", seen.size / count, "bytes"),
        Row("chain", "requests a signature checked", count / seen.signatures, ""),
    ]


async def _ask_all(http: aiohttp.ClientSession, shop: str, buyer: BuyerSession, purse: Purse, count: int) -> None:
    """Each lane its share, one request after another."""

    async def on_lane(number: int) -> None:
        others = frozenset(range(LANES)) - {number}
        for _ in range(count // LANES):
            promise = buyer.promise(Balance(AIT), Moment(time.time_ns() // 1_000_000), avoid=others)
            purse.put_lane(buyer.id, promise.lane)
            voucher = encode_signed(promise.signed.statement, promise.signed.signature)
            headers = {"Content-Type": "application/json", "AI-Voucher": voucher}
            async with http.post(shop + PATH, data=BODY, headers=headers) as response:
                if response.status != 200:
                    raise RuntimeError(await response.text())
                await response.read()
            signed = Signed(*decode_signed(response.headers["AI-Receipt"]))
            purse.put_receipt(buyer.accept(signed), signed)

    await asyncio.gather(*(on_lane(number) for number in range(LANES)))


async def _countersign(http: aiohttp.ClientSession, shop: str, buyer: BuyerSession) -> None:
    for lane in buyer.lanes.values():
        signed = buyer.acknowledgement(lane)
        headers = {"AI-Voucher": encode_signed(signed.statement, signed.signature)}
        async with http.post(shop + "/.well-known/aitp/voucher", headers=headers) as response:
            if response.status != 200:
                raise RuntimeError(await response.text())


@dataclass(slots=True)
class _Seen:
    transactions: int = 0
    size: int = 0
    signatures: int = 0


async def _seen(client: Client, first: int) -> _Seen:
    """What is in the chain's blocks from `first` on: signed transactions, their bytes, all signatures checked."""
    seen = _Seen()
    for number in range(first, (await client.head(final=True)).number + 1):
        block = await client.request("chain_getBlockHash", [number])
        body = (await client.request("chain_getBlock", [block]))["block"]["extrinsics"]
        raw = [bytes.fromhex(text[2:]) for text in body]
        signed = [data for data in raw if data[compact_read(data, 0)[1]] == SIGNED]
        if not signed:
            continue
        vouchers = [event for event in await client.events(str(block)) if event.name in ("Claimed", "ClaimRefused")]
        seen.transactions += len(signed)
        seen.size += sum(map(len, signed))
        seen.signatures += len(signed) + len(vouchers)
    return seen


# ------------------------------------------------------------------------------------------------- a million


async def _signed_alone(place: _Place, count: int) -> list[Row]:
    """Receipts signed without being asked for, and their sessions claimed on chain."""
    begin = time.process_time()
    with open_purse(place.folder / "many") as purse:
        for start in range(0, count, WIDE * A_LANE):
            lanes = min(WIDE, (count - start) // A_LANE)
            kept = await place.open(lanes, Balance(lanes * A_LANE * AIT // 4), 1_000 + start)
            purse.put(kept)
            claims = []
            for number in range(lanes):
                last = await asyncio.to_thread(_fill_lane, purse, kept, place.service, number)
                voucher = Voucher(
                    kept.id, number, CUMULATIVE, 0, last.seq, last.lane_total, last.lane_total, Moment(0), last.hash
                )
                claims.append((Claim(voucher, voucher.acked, voucher.seq), KEY.sign(voucher.encode())))
            told = [session_claims(kept.id, claims)]
            await do(place.client, _operator(), "Sessions", "claim", claims=told)
            total = sum(int(claim.total) for claim, _ in claims)
            await place.wait_claimed(kept, total)
            print(f"market: {start + lanes * A_LANE:,} receipts", file=sys.stderr)
    return [Row("made alone", "receipts signed and kept", count / (time.process_time() - begin), "per second")]


def _fill_lane(purse: Purse, kept: Kept, service: int, number: int) -> Receipt:
    last = None
    with purse.at_once():
        for last, signed in _receipts(kept, service, number):
            purse.put_receipt(last, signed)
    if last is None:
        raise ValueError("a lane without receipts")
    return last


def _receipts(kept: Kept, service: int, lane: int) -> Iterator[tuple[Receipt, Signed]]:
    """The receipts of a lane, each a little different; a quarter of an AIT at most."""
    prices, body, now = price_list(PRICES), blake2_256(BODY), Moment(time.time_ns() // 1_000_000)
    model, operator = blake2_256(b"echo@1"), _operator()
    total, before = Balance(0), ack0(kept.id, lane)
    for seq in range(1, A_LANE + 1):
        usage = ((1, 60 + (seq + lane) % 41), (2, 1 + seq % 20))
        charge = prices.charge(usage, Situation(), 0)
        total = Balance(total + charge)
        receipt = Receipt(
            kept.id, lane, seq, 0, service, 1, model, body, body, now, now, charge, total, 0, before, usage
        )  # fmt: skip
        statement = receipt.encode()
        before = blake2_256(statement)
        yield receipt, Signed(statement, operator.sign(statement))


# ------------------------------------------------------------------------------------------------- audit


async def _audited(place: _Place, name: str, purse: Path, count: int, moved: int) -> list[Row]:
    """Run `aitoken audit`; it must find every receipt right and the total exactly what moved on chain.

    `moved` is what the chain's own count of the provider's sales has grown by.
    """
    command = [*AITOKEN, "audit", "--purse", str(purse), "--url", place.url, "--output", "json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    took = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    if told["receipts"] != count or told["wrong"] or not told["total"] == told["moved"] == moved:
        raise RuntimeError(f"the audit does not add up: {told}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [
        Row(name, "receipts, all right, to the base unit what moved on chain", count, ""),
        Row(name, "took", took, "s"),
        Row(name, "processor, all processes", cpu, "s"),
        Row(name, "receipts a second of one processor", count / cpu, "per second"),
        Row(name, "memory, greatest of its processes", after.ru_maxrss / 1024, "MB"),
    ]
