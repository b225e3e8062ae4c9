"""`aitoken close`: take the rest of the money back."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from cli.amounts import show_amount
from cli.exits import BadInput
from cli.paying import Paying, paying_options
from cli.render import Output, output_option
from cli.session import Session, node_option


@click.command()
@click.argument("provider", required=False)
@paying_options
@node_option
@output_option
def close(provider: str | None, paying: Paying, session: Session, out: Output) -> None:
    """Close sessions: take the last receipts, countersign them, and get the rest of the money back.

    PROVIDER is its number or its gateway's address; all sessions are closed if it is left out. The rest comes back
    at once if the gateway signs what the receipts come to, else after a grace in which the provider claims.
    """
    told = asyncio.run(_close(provider, paying, session))
    if not told:
        raise BadInput("the purse has no such open session")
    lines = [
        f"provider {one['provider']}: {show_amount(one['spent'])} spent, {show_amount(one['deposit'] - one['spent'])} "
        f"{'came back' if one['at_once'] else 'comes back after the grace'}"
        for one in told
    ]
    out.result(told, "\n".join(lines))


async def _close(provider: str | None, paying: Paying, session: Session) -> list[dict[str, Any]]:
    from aitoken.client.pay.payer import facts
    from aitoken.client.pay.shop import Shop

    told = []
    async with paying.payer(session) as payer:
        for tab in payer.tabs:
            shop = Shop(tab.kept.url, payer.http)
            if provider in (None, str(tab.kept.provider)) or Shop(str(provider), payer.http).url == shop.url:
                at_once = await payer.close(tab, shop)
                told.append(facts(tab) | {"at_once": at_once})
    return told
