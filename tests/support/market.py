"""A provider on a real chain, its gateway and a buyer's proxy as people start them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aitoken.client.client import Client
from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.ed25519 import Pair
from tests.support.devnet import AITOKEN, answer_of, environment

PRICES = """
provider = 0
[[book]]
version = 1
prices = { input_token = "0.001", output_token = "0.002" }
[[model]]
name = "echo"
service = 0
books = [1]
upstream = "builtin"
tokenizer = "pieces@1"
"""


async def do(client: Client, uri: str | Pair, pallet: str, name: str, **arguments: Any) -> Any:
    """Submit a call, wait until it is final, and see that it worked."""
    pair = pair_from_uri(uri) if isinstance(uri, str) else uri
    receipt = await client.submit(client.call(pallet, name, **arguments), pair, wait="final")
    assert receipt.success, (name, receipt.error, receipt.reason)
    return receipt


async def sell(url: str, folder: Path) -> tuple[int, Path]:
    """Make Alice a provider that is paid to Eve, as a person does; return its number and price file."""
    file = folder / "prices.toml"
    file.write_text(PRICES)
    told = await asyncio.to_thread(setup, url, file)
    return int(told["provider"]), file


def setup(url: str, file: Path) -> Any:
    """Bring Alice's price file to the chain."""
    return answer_of(
        "provider", "setup", "//Alice", str(file), "--operator", "//Alice//operator", "--endpoint", "http://127.0.0.1",
        "--payout", "//Eve", "--fund", "10", "--url", url,
    )  # fmt: skip


@asynccontextmanager
async def gateway(folder: Path, url: str, book: Path) -> AsyncIterator[tuple[str, subprocess.Popen[bytes]]]:
    """The command as a person starts it."""
    log = folder / "node-gateway.log"
    command = [
        *AITOKEN, "gateway", "--book", str(book), "--provider", "//Alice//operator", "--data-dir", str(folder / "shop"),
        "--url", url, "--port", "0", "--claim-above", "0.00001", "--claim-every", "0.5",
    ]  # fmt: skip
    with log.open("ab") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment())  # noqa: ASYNC220 - a moment
    try:
        async with asyncio.timeout(60):
            while "selling at" not in (text := log.read_text()):
                assert process.poll() is None, text
                await asyncio.sleep(0.1)
        yield text.rpartition("selling at ")[2].strip().splitlines()[0], process
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)


def wind_up(folder: Path, url: str, book: Path) -> str:
    """End a stopped gateway's sessions as a person does; return what is told."""
    command = [
        *AITOKEN, "gateway", "--book", str(book), "--provider", "//Alice//operator", "--data-dir", str(folder / "shop"),
        "--url", url, "--port", "0", "--claim-every", "0.5", "--wind-up",
    ]  # fmt: skip
    return subprocess.run(command, env=environment(), check=True, capture_output=True, timeout=120).stderr.decode()


@asynccontextmanager
async def proxy(folder: Path, *arguments: str) -> AsyncIterator[str]:
    """The proxy as a person starts it."""
    log = folder / "proxy.log"
    with log.open("ab") as stream:
        process = subprocess.Popen([*AITOKEN, "proxy", *arguments], stdout=stream, stderr=stream, env=environment())  # noqa: ASYNC220 - a moment
    try:
        async with asyncio.timeout(60):
            while "paying at" not in (text := log.read_text()):
                assert process.poll() is None, text
                await asyncio.sleep(0.1)
        yield text.rpartition("paying at ")[2].strip().splitlines()[0]
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)
    assert process.returncode == 0, log.read_text()


@asynccontextmanager
async def facilitator(folder: Path, url: str, account: str, *payees: str) -> AsyncIterator[str]:
    """The facilitator as a person starts it."""
    log = folder / "facilitator.log"
    chosen = [part for payee in payees for part in ("--payee", payee)]
    command = [*AITOKEN, "facilitator", account, *chosen, "--url", url, "--port", "0"]
    with log.open("ab") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment())  # noqa: ASYNC220 - a moment
    try:
        async with asyncio.timeout(60):
            while "settling" not in (text := log.read_text()):
                assert process.poll() is None, text
                await asyncio.sleep(0.1)
        yield text.rpartition(" at ")[2].strip().splitlines()[0]
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)
    assert process.returncode == 0, log.read_text()
