"""`aitoken gateway`: sell AI by the unit, in front of an OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.exits import BadInput
from cli.loops import serve
from cli.session import DEFAULT_URL
from cli.wallet import load_pair

if TYPE_CHECKING:
    from aitoken.crypto.ed25519 import Pair
    from aitoken.types import Balance
    from gateway.catalogue import Catalogue
    from gateway.claimer import Claimer, ClaimPolicy


@click.command()
@click.option("--upstream", default="builtin", show_default=True, help="URL of the server that answers.")
@click.option("--upstream-key-file", type=click.Path(path_type=Path), help="File with the key that server wants.")
@click.option("--book", type=click.Path(path_type=Path), required=True, help="The price file.")
@click.option("--provider", help="Operator key: //Name on a devnet, or the name of a kept ed25519 key.")
@click.option("--suri-file", type=click.Path(path_type=Path), help="File with the operator key's secret phrase.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where vouchers and receipts are kept.")
@click.option("--store", envvar="AITOKEN_STORE", help="postgresql:// URL of a store that several gateways share.")
@click.option("--url", envvar="AITOKEN_URL", default=DEFAULT_URL, show_default=True, help="The node to ask.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8402, show_default=True, help="Where to listen; 0 takes any free port.")
@click.option("--claim-above", default="0.1", show_default=True, help="AIT of a session that are claimed at once.")
@click.option("--claim-every", default=5.0, show_default=True, help="Seconds between looks at what is to be claimed.")
@click.option("--wind-up", is_flag=True, help="Serve nothing more: claim everything, end all sessions, and stop.")
@click.option(
    "--single-least",
    default="0.001",
    show_default=True,
    help="Least AIT of a payment without a session, whose fee is yours; 0: take none, open no session for anybody.",
)
@click.option("--log-json", is_flag=True, help="One JSON object a line.")
def gateway(
    upstream: str,
    upstream_key_file: Path | None,
    book: Path,
    provider: str | None,
    suri_file: Path | None,
    data_dir: Path | None,
    store: str | None,
    url: str,
    host: str,
    port: int,
    claim_above: str,
    claim_every: float,
    wind_up: bool,
    single_least: str,
    log_json: bool,
) -> None:
    """Sell AI by the unit until SIGTERM or Ctrl-C.

    Prices are those of the price file, which must be on chain; docs/operating/selling.md says how.
    """
    from aitoken.crypto.ed25519 import Pair
    from cli.amounts import parse_amount
    from gateway.catalogue import read_catalogue
    from gateway.claimer import ClaimPolicy
    from gateway.store import POSTGRES
    from node.telemetry import log

    log.configure("info", json=log_json)
    operator = load_pair(provider, "ed25519", None, suri_file)
    if not isinstance(operator, Pair):
        raise BadInput("the operator key signs receipts and has to be ed25519")
    upstream_key = upstream_key_file.read_text().strip() if upstream_key_file is not None else ""
    policy = ClaimPolicy(threshold=parse_amount(claim_above), every_s=claim_every)
    if data_dir is None and store is None:
        raise BadInput("say where vouchers and receipts are kept: --data-dir FOLDER, or --store postgresql://...")
    if store is not None and not store.startswith(POSTGRES):
        raise BadInput("--store is a postgresql:// URL; a folder is --data-dir")
    place = Place(url, data_dir, store, host, port, upstream_key, parse_amount(single_least))
    serve(_run(read_catalogue(book, upstream), operator, policy, place, wind_up))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gateway finds things, and is found."""

    node_url: str
    data_dir: Path | None
    store: str | None
    host: str
    port: int
    upstream_key: str
    single_least: Balance


async def _run(catalogue: Catalogue, operator: Pair, policy: ClaimPolicy, place: Place, wind_up: bool) -> None:
    from aitoken.collector import collect_rarely
    from gateway.catalogue import BUILTIN
    from gateway.node_chain import NodeChain
    from gateway.ports import Upstream
    from gateway.relay import NodeRelay
    from gateway.server import Gateway, Settings
    from gateway.store import open_store
    from gateway.upstreams.builtin import BuiltinUpstream
    from gateway.upstreams.http import HttpUpstream

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    names = {model.upstream for model in catalogue.models.values()} - {BUILTIN}
    servers = {name: HttpUpstream(name, place.upstream_key) for name in sorted(names)}
    upstreams: dict[str, Upstream] = {BUILTIN: BuiltinUpstream(), **servers}
    chain = await NodeChain.connect(place.node_url, catalogue, operator)
    try:
        kept_in = place.store or place.data_dir or Path()
        relay = await NodeRelay.of(chain, catalogue.provider) if place.single_least else None
        async with open_store(kept_in, chain.genesis, operator.public, folder=place.data_dir) as store:
            settings = Settings(
                catalogue, operator, chain, store, upstreams, claims=policy, relay=relay,
                least_single=place.single_least,
            )  # fmt: skip
            async with Gateway(settings, place.host, place.port) as running:
                collect_rarely()
                if wind_up:
                    await _wind_up(running.claimer, stop, policy.every_s)
                    return
                click.echo(f"selling at http://{place.host}:{running.port}", err=True)
                if store.away:
                    click.echo(f"as soon as the store is there: {store.away}", err=True)
                await stop.wait()
    finally:
        for server in servers.values():
            await server.close()
        await chain.close()


async def _wind_up(claimer: Claimer, stop: asyncio.Event, every_s: float) -> None:
    """End all sessions, each once nothing is owed any more; go on until none is left or somebody says stop."""
    from gateway.store import StoreFailed

    while not stop.is_set():
        try:
            left = await claimer.wind_up()
        except StoreFailed as failure:
            click.echo(f"nothing can be wound up now: {failure}", err=True)
        else:
            if not left:
                click.echo("all sessions are over", err=True)
                return
            click.echo(f"{left} sessions have claims or requests that are not through yet", err=True)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every_s)
    click.echo("sessions are left open", err=True)
