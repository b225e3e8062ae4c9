"""`aitoken query`: one storage item of the chain."""

from __future__ import annotations

from typing import Any

import click

from cli.render import Output, encode, output_option
from cli.session import Client, Session, node_option
from cli.values import parse_value


@click.command()
@click.argument("pallet")
@click.argument("item")
@click.argument("keys", nargs=-1)
@node_option
@output_option
def query(pallet: str, item: str, keys: tuple[str, ...], session: Session, out: Output) -> None:
    """Read one storage item of the chain.

    PALLET and ITEM as the metadata spells them: aitoken query System Account //Alice.
    Each key is an integer, true or false, an address, a development URI, 0x-hex or JSON; anything else is text.
    """
    parsed = [parse_value(key) for key in keys]

    async def ask(client: Client) -> Any:
        return await client.query(pallet, item, *parsed)

    value = session.run(ask)
    out.result(value, value if isinstance(value, str) else encode(value))
