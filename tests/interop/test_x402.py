"""Unmodified clients of x402 against a gateway that wants to be paid: what moved on chain is what receipts say."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sysconfig
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitoken.client.client import Client
from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.ed25519 import Pair
from aitoken.types import AIT
from tests.interop.test_wallet_libraries import (
    CLIENT_SECONDS,
    HERE,
    INSTALL_SECONDS,
    installed_javascript,
    installed_python,
)
from tests.support.devnet import Net, client_of
from tests.support.market import do, facilitator, gateway, sell

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(INSTALL_SECONDS + CLIENT_SECONDS)]


REFUSED = {
    "replay": "invalid_exact_polkadot_nonce_already_used",
    "amount": "invalid_exact_polkadot_payload_authorization_value_mismatch",
    "payee": "invalid_exact_polkadot_payload_recipient_mismatch",
    "expired": "invalid_exact_polkadot_payload_authorization_valid_before",
}
"""What our facilitator says of payments that are not what was asked for."""


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    net = Net.make(tmp_path / "net", 1)
    net.start()
    yield net
    net.close()


@pytest.fixture(scope="module")
def python() -> Path:
    return installed_python("x402", "requirements-x402.txt", "--no-deps")


@asynccontextmanager
async def shop(net: Net, folder: Path) -> AsyncIterator[str]:
    """A gateway of Alice, paid to Eve."""
    async with client_of(net.url(0)) as client:
        await do(client, "//Alice", "Balances", "transfer_keep_alive", dest=pair_from_uri("//Eve").public, value=AIT)
    _, book = await sell(net.url(0), folder)
    async with gateway(folder, net.url(0), book) as (url, _):
        yield url


async def talk(command: list[str], seconds: float = CLIENT_SECONDS, **environment: str) -> dict[str, Any]:
    """Run a client to its end; return what it printed last."""
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=seconds, env=os.environ | environment,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = msgspec.json.decode(done.stdout.strip().rpartition("\n")[2])
    return told


async def free(client: Client, who: str | Pair) -> int:
    pair = pair_from_uri(who) if isinstance(who, str) else who
    return int((await client.account(pair.public))["data"]["free"])


async def claimed(client: Client, session: str, wanted: int) -> bool:
    """Wait until the chain has what a session's receipts come to; tell whether it is that."""
    async with asyncio.timeout(60):
        while True:
            found = int((await client.query("Sessions", "Sessions", bytes.fromhex(session)))["claimed"])
            if found >= wanted:
                return found == wanted
            await asyncio.sleep(0.1)


async def test_the_x402_client_for_python_pays(net: Net, python: Path, tmp_path: Path) -> None:
    paths = [str(HERE.parents[1]), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    async with shop(net, tmp_path) as url, client_of(net.url(0)) as client:
        before = {uri: await free(client, uri) for uri in ("//Dave", "//Ferdie", "//Eve")}
        command = [str(python), str(HERE / "x402_client.py"), url, net.url(0), str(tmp_path / "own")]
        told = await talk(command, PYTHONPATH=os.pathsep.join(paths))
        after = {uri: await free(client, uri) for uri in before}
        assert before["//Dave"] - after["//Dave"] == told["upto"]
        assert before["//Ferdie"] - after["//Ferdie"] == told["exact"]
        found = await client.query("Sessions", "Sessions", bytes.fromhex(told["session"]))
        assert int(found["claimed"]) == told["spent"]
        fee = -(-told["spent"] // 1000)
        assert after["//Eve"] - before["//Eve"] == told["upto"] + told["exact"] + told["spent"] - fee


async def test_the_x402_server_for_python_sells_through_our_facilitator(net: Net, python: Path, tmp_path: Path) -> None:
    paths = [str(HERE.parents[1]), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    eve = pair_from_uri("//Eve").public
    async with client_of(net.url(0)) as client, facilitator(tmp_path, net.url(0), "//Charlie", "//Eve") as url:
        await do(client, "//Alice", "Balances", "transfer_keep_alive", dest=eve, value=AIT)
        before = {uri: await free(client, uri) for uri in ("//Dave", "//Eve")}
        command = [str(python), str(HERE / "x402_server.py"), url, client.chain.genesis_hash.hex(), f"0x{eve.hex()}"]
        told = await talk(command, PYTHONPATH=os.pathsep.join(paths))
        paid = told["exact"] + told["upto"]
        assert (told["exact"], told["upto"]) == (AIT // 20, AIT // 50)
        assert before["//Dave"] - await free(client, "//Dave") == paid
        assert await free(client, "//Eve") - before["//Eve"] == paid
        assert told.items() >= REFUSED.items()


@pytest.fixture(scope="module")
def javascript() -> Path:
    folder = installed_javascript()
    for script in (HERE.parents[1] / "packaging" / "js" / "x402").glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


async def test_the_x402_client_for_fetch_pays(net: Net, javascript: Path, tmp_path: Path) -> None:
    accounts = [Pair(bytes([number]) * 32) for number in (0x31, 0x32, 0x33)]
    async with shop(net, tmp_path) as url, client_of(net.url(0)) as client:
        for account in accounts:
            await do(client, "//Alice", "Balances", "transfer_keep_alive", dest=account.public, value=5 * AIT)
        eve = await free(client, "//Eve")
        seeds = [bytes([number] * 32).hex() for number in (0x31, 0x32, 0x33)]
        command = ["node", str(javascript / "x402_fetch.mjs"), url, client.chain.genesis_hash.hex(), *seeds]
        told = await talk(command)
        for account, paid in zip(accounts, (told["upto"], told["exact"]), strict=False):
            assert 5 * AIT - await free(client, account) == int(paid)
        spent = int(told["spent"])
        assert await claimed(client, told["session"], spent)
        paid = int(told["upto"]) + int(told["exact"]) + spent - spent // 1000
        assert await free(client, "//Eve") - eve == paid
        assert 5 * AIT - await free(client, accounts[2]) >= 3 * AIT


async def test_the_x402_server_for_express_sells_through_our_facilitator(
    net: Net, javascript: Path, tmp_path: Path
) -> None:
    eve, buyer = pair_from_uri("//Eve").public, Pair(bytes([0x34]) * 32)
    async with client_of(net.url(0)) as client, facilitator(tmp_path, net.url(0), "//Charlie", "//Eve") as url:
        for account in (eve, buyer.public):
            await do(client, "//Alice", "Balances", "transfer_keep_alive", dest=account, value=5 * AIT)
        before = await free(client, "//Eve")
        script = str(javascript / "x402_express.mjs")
        told = await talk(["node", script, url, client.chain.genesis_hash.hex(), f"0x{eve.hex()}", "34" * 32])
        paid = {name: int(told[name]) for name in ("exact", "upto")}
        assert paid == {"exact": AIT // 20, "upto": AIT // 50}
        assert 5 * AIT - await free(client, buyer) == sum(paid.values())
        assert await free(client, "//Eve") - before == sum(paid.values())
        assert told.items() >= REFUSED.items()
