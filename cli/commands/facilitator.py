"""`aitoken facilitator`: settle x402 payments for sellers that have no node."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.exits import BadInput
from cli.loops import serve
from cli.session import DEFAULT_URL
from cli.wallet import account_of, load_pair

if TYPE_CHECKING:
    from aitoken.crypto.signature import Signer
    from aitoken.types import AccountId, Balance


@click.command()
@click.argument("account", required=False)
@click.option("--payee", "payees", metavar="ACCOUNT", multiple=True, help="Whose payments are settled. Repeatable.")
@click.option("--any-payee", is_flag=True, help="Settle for everybody, at ACCOUNT's expense.")
@click.option("--least", default="0.001", show_default=True, help="Least AIT of a payment, whose fee ACCOUNT pays.")
@click.option("--type", "scheme", type=click.Choice(["sr25519", "ed25519"]), default="sr25519", show_default=True)
@click.option(
    "--key-file", type=click.Path(path_type=Path), help="Encrypted key file of ACCOUNT, as wallets export it."
)
@click.option("--suri-file", type=click.Path(path_type=Path), help="File with the secret phrase of ACCOUNT.")
@click.option("--url", envvar="AITOKEN_URL", default=DEFAULT_URL, show_default=True, help="The node to ask.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8404, show_default=True, help="Where to listen; 0 takes any free port.")
@click.option("--log-json", is_flag=True, help="One JSON object a line.")
def facilitator(
    account: str | None,
    payees: tuple[str, ...],
    any_payee: bool,
    least: str,
    scheme: str,
    key_file: Path | None,
    suri_file: Path | None,
    url: str,
    host: str,
    port: int,
    log_json: bool,
) -> None:
    """Settle x402 payments until SIGTERM or Ctrl-C.

    Give the address printed here to an x402 server as its facilitator. ACCOUNT pays the fees and never holds the money.
    """
    from cli.amounts import parse_amount
    from node.telemetry import log

    log.configure("info", json=log_json)
    if bool(payees) == any_payee:
        raise BadInput("say whose payments are settled: --payee ACCOUNT, or --any-payee")
    signer = load_pair(account, scheme, key_file, suri_file)
    chosen = [_account(payee) for payee in payees]
    serve(_run(signer, _Terms(chosen, parse_amount(least)), url, host, port))


@dataclass(frozen=True, slots=True)
class _Terms:
    payees: list[AccountId]
    least: Balance


def _account(text: str) -> AccountId:
    from aitoken.types import AccountId

    return AccountId(account_of(text))


async def _run(signer: Signer, terms: _Terms, url: str, host: str, port: int) -> None:
    from aiohttp import web

    from aitoken.client.client import Client
    from aitoken.types import AccountId
    from gateway.facilitator import Facilitator
    from gateway.node_account import NodeAccount
    from gateway.relay import NodeRelay
    from gateway.server import WallClock

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    chain = NodeAccount(url, await Client.connect(url), signer)
    try:
        relay = NodeRelay(chain, AccountId(bytes(signer.public)))
        service = Facilitator(relay, chain.genesis, WallClock(), terms.payees, terms.least)
        runner = web.AppRunner(service.app(), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0][1]
        click.echo(f"settling {service.network} at http://{host}:{bound}", err=True)
        await stop.wait()
        await runner.cleanup()
    finally:
        await chain.close()
