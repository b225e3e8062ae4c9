"""`aitoken proxy`: a base URL on this machine that pays for any OpenAI tool."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

import click

from cli.loops import serve
from cli.paying import Paying, gateway_option, paying_options, shops_of
from cli.session import Session, node_option


@click.command()
@gateway_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; whoever can reach it can spend.")
@click.option("--port", default=8403, show_default=True, help="Where to listen; 0 takes any free port.")
@paying_options
@node_option
def proxy(gateways: Sequence[str], host: str, port: int, paying: Paying, session: Session) -> None:
    """Pay for any OpenAI tool until SIGTERM or Ctrl-C: give it the address printed here as its base URL.

    A model is asked of the first gateway that sells it. What a tool sends as its API key is not passed on.
    """
    from node.telemetry import log

    log.configure("warning", json=False)
    serve(_run(gateways, host, port, paying, session))


async def _run(gateways: Sequence[str], host: str, port: int, paying: Paying, session: Session) -> None:
    from aitoken.client.pay.proxy import Proxy
    from aitoken.collector import collect_rarely

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with paying.payer(session) as payer:
        shops = shops_of(gateways, payer.purse, payer.http)
        async with Proxy(payer, shops, host, port) as running:
            collect_rarely()
            click.echo(f"paying at http://{host}:{running.port}/v1", err=True)
            await stop.wait()
