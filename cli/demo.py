"""A market in a minute: a devnet, two sellers of built-in models at different prices, a proxy, and somebody who asks.

`make demo`. Everything runs in a folder that is thrown away; Ctrl-C stops it at any time. What is shown comes from
the receipts of the purse and from the chain, side by side.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import click

from aitoken.client.client import Client
from aitoken.client.pay.purse import open_purse
from aitoken.crypto.derive import pair_from_uri
from aitoken.errors import Unavailable
from aitoken.pay.layouts import Receipt
from aitoken.types import AIT
from cli.amounts import show_amount
from cli.devnet.plan import port_is_free
from cli.selling import Seller, publish

AITOKEN: Final = (sys.executable, "-P", "-m", "cli")
PORTS: Final = range(19_944, 20_944, 8)
"""Where the first validator may listen; the others take the next ports."""

PEERS: Final = 100
"""How much higher they listen for peers: below the ports that outgoing connections take."""

VALIDATORS: Final = 4
START_S: Final = 120
ROUNDS: Final = 6
WORDS: Final = ("what", "does", "a", "question", "cost", "when", "nobody", "has", "to", "trust", "anybody")
SELLERS: Final = (("//Alice", "echo", 1), ("//Charlie", "markov-small", 3))
"""Owner, model, and thousandths of an AIT for a token that goes in; one that comes out is twice as dear."""

PRICES: Final = """
provider = 0
[[book]]
version = 1
prices = {{ input_token = "{price_in}", output_token = "{price_out}" }}
[[model]]
name = "{model}"
service = 0
books = [1]
upstream = "builtin"
tokenizer = "pieces@1"
"""


@asynccontextmanager
async def running(log: Path, *arguments: str, ready: str = "") -> AsyncIterator[str]:
    """Run a command of ours in the background; give the rest of the line that says `ready`."""
    with log.open("ab") as stream:
        # A session of its own: Ctrl-C is ours to pass on, in order.
        process = await asyncio.create_subprocess_exec(
            *AITOKEN, *arguments, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        async with asyncio.timeout(START_S):
            while ready not in (text := await asyncio.to_thread(log.read_text, errors="replace")):
                if process.returncode is not None:
                    raise Unavailable(f"{arguments[0]} ended: {text[-500:]}")
                await asyncio.sleep(0.1)
        yield text.partition(ready)[2].split("\n", 1)[0].strip() if ready else ""
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def connect(url: str) -> Client:
    """Connect to a node that may still be starting."""
    async with asyncio.timeout(START_S):
        while True:
            try:
                return await Client.connect(url)
            except Unavailable:
                await asyncio.sleep(0.2)


async def set_up(client: Client, owner: str, model: str, price: int, folder: Path) -> Path:
    """Register a seller with one model and one book; return its price file."""
    pair, operator = pair_from_uri(owner), pair_from_uri(f"{owner}//operator", "ed25519")
    prices = PRICES.format(model=model, price_in=f"0.{price:03d}", price_out=f"0.{2 * price:03d}")
    seller = Seller(operator.public, pair.public, "http://127.0.0.1", None, 10 * AIT)
    _, written = await publish(client, pair, prices, seller)
    file = folder / f"{model}.toml"
    file.write_text(written)
    return file


async def show(client: Client, purse: Path) -> None:
    """One line a seller: requests and cost by the receipts, and what the chain has seen."""
    with open_purse(purse, spend=False) as opened:
        for kept in opened.sessions():
            receipts = [Receipt.decode(one.statement) for one in opened.receipts(kept.id)]
            found = await client.query("Sessions", "Sessions", kept.id)
            claimed = "ended" if found is None else show_amount(int(found["claimed"]))
            cost = show_amount(sum(receipt.charge for receipt in receipts))
            click.echo(
                f"  provider {kept.provider}  {len(receipts):>3} receipts  {cost:>12}"
                f"   chain: {show_amount(kept.deposit)} put down, {claimed} claimed"
            )


def free_port() -> int:
    """The first port with as many free ones after it, for clients and for peers, as there are validators.

    Raises:
        Unavailable: there is none.
    """
    for port in PORTS:
        needed = (port + more + peers for more in range(VALIDATORS) for peers in (0, PEERS))
        if all(port_is_free(one) for one in needed):
            return port
    raise Unavailable(f"all ports from {PORTS.start} to {PORTS.stop} are taken")


async def run(folder: Path) -> None:
    """The whole of it."""
    port = free_port()
    url, purse = f"ws://127.0.0.1:{port}", folder / "purse"
    ports = ("--base-port", str(port), "--p2p-base-port", str(port + PEERS))
    click.echo("starting four validators")
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(
            running(folder / "devnet.log", "devnet", "--data-dir", str(folder / "devnet"), *ports)
        )
        client = await stack.enter_async_context(await connect(url))
        shops = []
        for owner, model, price in SELLERS:
            file = await set_up(client, owner, model, price, folder)
            shops.append(
                await stack.enter_async_context(
                    running(
                        folder / f"{model}.log", "gateway", "--book", str(file), "--provider", f"{owner}//operator",
                        "--data-dir", str(folder / model), "--url", url, "--port", "0", "--claim-above", "0.1",
                        "--claim-every", "1", ready="selling at",
                    )
                )
            )  # fmt: skip
            click.echo(f"{owner} sells {model} at {shops[-1]}")
        paying = ["--purse", str(purse), "--from", "//Bob", "--url", url]
        gateways = [part for shop in shops for part in ("--gateway", shop)]
        async with running(
            folder / "proxy.log", "proxy", *gateways, *paying, "--port", "0", "--max-request", "1", ready="paying at"
        ) as base:
            click.echo(f"//Bob pays at {base}: any OpenAI tool may use it now")
            await ask_around(client, base, purse)
        click.echo("closing: everything is countersigned, the rest comes back after the grace")
        process = await asyncio.create_subprocess_exec(*AITOKEN, "close", *paying)
        await process.wait()
        await asyncio.sleep(3)
        await show(client, purse)
        process = await asyncio.create_subprocess_exec(*AITOKEN, "audit", "--purse", str(purse), "--url", url)
        await process.wait()


async def ask_around(client: Client, base: str, purse: Path) -> None:
    """Ask both sellers a few questions and show what it comes to."""
    async with aiohttp.ClientSession() as http:
        for turn in range(ROUNDS):
            text = " ".join(WORDS[: 3 + turn])
            for _, model, _ in SELLERS:
                body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 12}
                async with http.post(f"{base}/chat/completions", json=body) as response:
                    told = await response.json()
                    if response.status != 200:
                        raise Unavailable(f"{model}: {told}")
                answer = str(told["choices"][0]["message"]["content"])[:36]
                click.echo(f"{model:<13} {told['usage']['cost']} AIT  {answer!r}")
            await show(client, purse)


async def _main() -> None:
    work = asyncio.ensure_future(_in_folder())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work
        return
    click.echo("stopped")


async def _in_folder() -> None:
    with tempfile.TemporaryDirectory(prefix="aitoken-demo-", ignore_cleanup_errors=True) as folder:
        await run(Path(folder))


if __name__ == "__main__":
    os.environ.pop("AITOKEN_URL", None)
    asyncio.run(_main())
