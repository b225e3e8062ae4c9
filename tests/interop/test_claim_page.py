"""The claim page: what it computes is what the Python side computes, and a browser gets from a link to tokens."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from aitoken.client.chain import Chain
from aitoken.client.metadata import parse as parse_metadata
from aitoken.crypto import ed25519, mnemonic, ss58
from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.hashing import blake2_128, blake2_128_concat, blake2_256, twox_64_concat, twox_128
from aitoken.pay.codes import claim_bytes, work_for
from aitoken.pay.coupons import CouponBook, inviter_of, key_of, parse
from aitoken.proto.extrinsic import bare_extrinsic
from aitoken.types import AIT, AccountId, Hash32
from chain.frame.metadata import write_metadata
from chain.params import PRESETS
from chain.runtime import build_schema
from cli.amounts import show_amount
from node.rpc.claim_page import FOLDER
from tests.support.devnet import Net, answer_of, client_of

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(300)]

HERE = Path(__file__).parent
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
]  # fmt: skip
GENESIS = Hash32(bytes(range(100, 132)))
CLAIMANT = AccountId(pair_from_uri("//Bob").public)


def in_javascript(*questions: dict[str, Any]) -> list[Any]:
    node = shutil.which("node")
    assert node is not None, "node is missing: these tests need node and npm"
    given = b"\n".join(map(msgspec.json.encode, questions))
    command = [node, str(HERE / "claim_codes.mjs"), str(FOLDER / "codes.js")]
    done = subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return [msgspec.json.decode(line) for line in done.stdout.splitlines()]


def shown(data: bytes) -> str:
    return "0x" + data.hex()


def test_hashes_keys_and_addresses_are_the_same() -> None:
    texts = [bytes(range(size % 256)) * (1 + size // 256) for size in (0, 1, 63, 127, 128, 129, 255, 600)]
    accounts = [bytes(32), b"\xff" * 32, CLAIMANT, bytes([0, *range(31)])]
    numbers = [0, 1, 255, 2**32, 2**64 - 1]
    addresses = [ss58.encode(account, prefix) for account in accounts for prefix in (0, 42, 63, 64, 16383)]
    mistyped = ss58.encode(CLAIMANT).replace("G", "H", 1)

    found = iter(
        in_javascript(
            *({"name": "hash", "data": shown(text), "size": 32} for text in texts),
            *({"name": "hash", "data": shown(text), "size": 16} for text in texts),
            *({"name": "address", "account": shown(account)} for account in accounts),
            *({"name": "account", "address": address} for address in addresses),
            *({"name": "account", "address": wrong} for wrong in (mistyped, "", "0OIl", "5" * 200)),
            *({"name": "batchKey", "batch": str(number)} for number in numbers),
            *({"name": "accountKey", "account": shown(account)} for account in accounts),
        )
    )

    assert list(itertools.islice(found, len(texts))) == [shown(blake2_256(text)) for text in texts]
    assert list(itertools.islice(found, len(texts))) == [shown(blake2_128(text)) for text in texts]
    assert list(itertools.islice(found, len(accounts))) == [ss58.encode(account) for account in accounts]
    assert list(itertools.islice(found, len(addresses))) == [shown(ss58.decode(each)[0]) for each in addresses]
    assert list(itertools.islice(found, 4)) == [None] * 4
    batches = twox_128(b"Codes") + twox_128(b"Batches")
    assert list(itertools.islice(found, len(numbers))) == [
        shown(batches + twox_64_concat(number.to_bytes(8, "little"))) for number in numbers
    ]
    people = twox_128(b"System") + twox_128(b"Account")
    assert list(found) == [shown(people + blake2_128_concat(account)) for account in accounts]


def test_a_wallet_of_the_page_is_the_wallet_its_words_make_elsewhere() -> None:
    for entropy in (bytes(16), b"\xff" * 16, bytes(range(16))):
        words, public = in_javascript(
            {"name": "words", "entropy": shown(entropy), "list": mnemonic.words()},
            {"name": "wallet", "entropy": shown(entropy)},
        )

        assert mnemonic.to_entropy(words) == entropy
        assert public == shown(ed25519.Pair(mnemonic.to_seed(words)).public)
        assert public == shown(pair_from_uri(words, "ed25519").public)


@pytest.mark.parametrize(("count", "bits"), [(1, 0), (3, 0), (300, 5)])
def test_a_claim_of_the_page_is_the_claim_of_the_command(count: int, bits: int) -> None:
    schema = build_schema(PRESETS["devnet"])
    coupon = CouponBook(b"\x07" * 32, count).coupons(GENESIS, 2**40 + 5)[count - 1]
    message, key = claim_bytes(GENESIS, coupon.batch, coupon.index, CLAIMANT), key_of(coupon.secret)
    call = schema.make_call(
        "Codes.claim", coupon.batch, coupon.index, key.public, list(coupon.proof), CLAIMANT,
        work_for(message, bits), key.sign(message),
    )  # fmt: skip
    as_person = bare_extrinsic(schema.make_call("Codes.claim_as_person", *call.args).encode()).raw
    asked = {"name": "claim", "genesis": shown(GENESIS), "claimant": shown(CLAIMANT), "bits": bits}
    text = coupon.text()
    wrong = text[:20] + ("A" if text[20] != "A" else "B") + text[21:]

    found, for_persons, *refused = in_javascript(
        asked | {"text": f"https://example.org/claim#{text}"},
        asked | {"text": text, "forPersons": True},
        {"name": "parse", "text": wrong},
        {"name": "parse", "text": ""},
        {"name": "parse", "text": "äöü"},
    )

    assert found == shown(bare_extrinsic(call.encode()).raw)
    assert for_persons == shown(as_person)
    assert refused == [None, None, None]


@pytest.mark.parametrize("nonce", [0, 63, 64, 16_383, 16_384, 2**30 - 1, 2**30, 2**32 - 1])
def test_a_transaction_signed_by_the_page_is_the_one_the_library_signs(nonce: int) -> None:
    chain = Chain(parse_metadata(write_metadata(build_schema(PRESETS["devnet"]), 15)), GENESIS, 103, 7)
    pair = ed25519.Pair(bytes(range(32)))
    call = chain.call("Rewards", "refer", referrer=CLAIMANT)
    asked = {
        "name": "refer", "seed": shown(pair.seed), "inviter": shown(CLAIMANT), "genesis": shown(GENESIS),
        "nonce": nonce, "specVersion": 103, "transactionVersion": 7,
    }  # fmt: skip

    assert in_javascript(asked) == [shown(chain.sign(call, pair, nonce=nonce))]


def test_a_link_says_who_invites() -> None:
    code, address = CouponBook(b"\x07" * 32, 1).coupons(GENESIS, 5)[0], ss58.encode(CLAIMANT)
    link = f"https://example.org/claim#{code.text()}~{address}"
    plain = link.partition("~")[0]

    found = in_javascript(
        {"name": "inviter", "text": link}, {"name": "parse", "text": link}, {"name": "inviter", "text": plain}
    )

    assert found == [shown(CLAIMANT), 5, None]
    assert (inviter_of(link), inviter_of(plain), parse(link)) == (address, None, code)


def test_amounts_are_written_exactly() -> None:
    values = [0, 1, AIT, 5 * AIT + 10**10, 2**127]

    assert [f"{each} AIT" for each in in_javascript(*({"name": "amount", "value": str(v)} for v in values))] == [
        show_amount(value).replace("_", "") for value in values
    ]


# ------------------------------------------------------------------------------------------------- a browser


class Tab:
    """A page of a browser, driven by the Chrome DevTools Protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count()
        self.asked: list[str] = []
        self.told: list[str] = []

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            told = await self._socket.receive_json(timeout=120)
            if told.get("method") == "Network.requestWillBeSent":
                request = told["params"]["request"]
                self.asked.append(request["url"])
                self.told.append(msgspec.json.encode(request["headers"]).decode() + request.get("postData", ""))
            if told.get("id") == number:
                assert "error" not in told, told
                return dict(told["result"])

    async def run(self, script: str) -> Any:
        found = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, script: str) -> Any:
        wait = (
            f"new Promise(r => {{ const at = () => {{ const v = {script}; v ? r(v) : setTimeout(at, 20); }}; at(); }})"
        )
        return await self.run(wait)


@contextlib.asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Tab]:
    if BROWSER is None:
        pytest.skip("no Chromium on this machine")
    log = folder / "browser.log"
    with log.open("wb") as stream:
        command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        process = subprocess.Popen(command, stderr=stream, stdout=stream)  # noqa: ASYNC220 - a moment
    try:
        port_file = folder / "profile" / "DevToolsActivePort"
        async with asyncio.timeout(240), aiohttp.ClientSession() as http:
            while not (port_file.exists() and port_file.read_text().count("\n")):
                assert process.poll() is None, log.read_text()
                await asyncio.sleep(0.05)
            port = port_file.read_text().split()[0]
            async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [each for each in await answer.json() if each["type"] == "page"]
            async with http.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Tab(socket)
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    net = Net.make(tmp_path / "net", 1)
    net.start()
    yield net
    net.close()


async def test_somebody_without_a_wallet_opens_a_link_and_has_wallet_and_tokens(net: Net, tmp_path: Path) -> None:
    async with client_of(net.url(0)) as client:
        page = net.url(0).replace("ws://", "http://") + "/claim"
        gift = answer_of("invite", "link", "2", "--page", page, "--from", "//Alice", "--url", net.url(0))
        async with browser(tmp_path) as tab:
            for domain in ("Page", "Network", "Runtime"):
                await tab.send(f"{domain}.enable")
            await tab.send("Page.navigate", url=gift["link"])
            await tab.until("document.readyState === 'complete' && !document.getElementById('choose').hidden")
            assert "2 AIT" in await tab.run("document.getElementById('worth').textContent")
            assert await tab.run("location.href") == page, "the code is not left in the address"

            await tab.run("document.getElementById('new').click()")
            await tab.until("!document.getElementById('words').hidden")
            words = await tab.run("[...document.querySelectorAll('#list li')].map(e => e.textContent).join(' ')")
            assert await tab.run("document.getElementById('take').disabled"), "the words are written down first"
            await tab.run("document.getElementById('written').click()")
            await tab.run("document.getElementById('take').click()")
            await tab.until("!document.getElementById('done').hidden")
            shown_address = await tab.run("document.getElementById('paid').textContent")

            wallet = pair_from_uri(words, "ed25519")
            assert ss58.decode(shown_address)[0] == wallet.public
            assert (await client.account(wallet.public))["data"]["free"] == 2 * AIT

            await tab.run("document.getElementById('join').click()")
            await tab.until("document.getElementById('invited').textContent === 'You are a member.'")
            members = client.subscribe_storage("Rewards", "Members", wallet.public)
            member = await anext(each async for each in members if each is not None)
            assert member["referrer"] == ss58.encode(pair_from_uri("//Alice").public)

            await tab.send("Page.navigate", url="about:blank")
            await tab.send("Page.navigate", url=gift["link"])
            await tab.until("location.pathname === '/claim' && document.readyState === 'complete' "
                            "&& !document.getElementById('choose').hidden")  # fmt: skip
            await tab.run("document.getElementById('new').click()")
            await tab.until("!document.getElementById('words').hidden")
            await tab.run("document.getElementById('written').click(); document.getElementById('take').click()")
            assert await tab.until("document.getElementById('wrong').textContent") == "This code has been used."
            assert {url for url in tab.asked if not url.startswith(page)} <= {"about:blank"}, "nobody else is asked"
            code = gift["link"].partition("#")[2].partition("~")[0]
            secrets = [code, parse(code).secret.hex(), words, *(f'"{word}"' for word in words.split())]
            secrets += [wallet.seed.hex(), key_of(parse(code).secret).seed.hex()]
            assert any("author_submitExtrinsic" in text for text in tab.told), "what was sent was seen"
            assert not any(secret in text for secret in secrets for text in (*tab.told, *tab.asked))
