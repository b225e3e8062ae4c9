"""`aitoken topup`: put money down with a provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.amounts import parse_amount, show_amount
from cli.exits import BadInput
from cli.paying import Paying, paying_options
from cli.render import Output, output_option
from cli.session import Session, node_option

if TYPE_CHECKING:
    from aitoken.client.pay.payer import Payer
    from aitoken.client.pay.shop import Shop


@click.command()
@click.argument("provider")
@click.argument("amount")
@paying_options
@node_option
@output_option
def topup(provider: str, amount: str, paying: Paying, session: Session, out: Output) -> None:
    """Put money down with a provider: into the session there is, or a new one.

    PROVIDER is its number on chain or its gateway's address, AMOUNT in AIT. What is not used comes back when the
    session is closed or ends.
    """
    import asyncio

    from aitoken.client.pay.payer import facts

    value = parse_amount(amount)
    if value == 0:
        raise BadInput("the amount is 0: nothing would be put down")

    async def put_down() -> dict[str, Any]:
        async with paying.payer(session) as payer:
            return facts(await payer.open(await _shop_of(provider, payer), value))

    told = asyncio.run(put_down())
    out.result(told, f"provider {told['provider']} holds {show_amount(told['deposit'] - told['spent'])} for you, "
                     f"session {told['session']}")  # fmt: skip


async def _shop_of(provider: str, payer: Payer) -> Shop:
    from aitoken.client.pay.shop import Shop

    if provider.isascii() and provider.isdigit() and len(provider) < 20:
        provider = (await payer.ledger.provider(int(provider))).endpoint
    if not provider.startswith(("http://", "https://")):
        raise BadInput(f"{provider!r} is no number of a provider and no address of a gateway")
    return Shop(provider, payer.http)
