"""`aitoken query`: one storage item of the chain."""

from __future__ import annotations

from typing import Any

import click

from cli.light import Light, light_options, own_description
from cli.render import Output, encode, output_option
from cli.session import Client, Session, node_option
from cli.values import parse_value


@click.command()
@click.argument("pallet")
@click.argument("item")
@click.argument("keys", nargs=-1)
@light_options
@node_option
@output_option
def query(pallet: str, item: str, keys: tuple[str, ...], session: Session, out: Output, light: Light | None) -> None:
    """Read one storage item of the chain.

    PALLET and ITEM as the metadata spells them: aitoken query System Account //Alice.
    Each key is an integer, true or false, an address, a development URI, 0x-hex or JSON; anything else is text.
    With --light the value is proven from the checkpoint on, as of the last final block.
    """
    parsed = [parse_value(key) for key in keys]

    async def ask(client: Client) -> Any:
        if light is not None:
            return await _proven(client, light, out, pallet, item, parsed)
        return await client.query(pallet, item, *parsed)

    value = session.run(ask)
    out.result(value, value if isinstance(value, str) else encode(value))


async def _proven(client: Any, light: Light, out: Output, pallet: str, item: str, keys: list[Any]) -> Any:
    from aitoken.client.errors import BadValue
    from aitoken.crypto.hashing import twox_128

    upgrade_key = twox_128(b"System") + twox_128(b"LastRuntimeUpgrade")
    prover = await light.open(client)
    chain = own_description((await prover.read([upgrade_key]))[upgrade_key], client.chain)
    if chain is None:
        out.progress("the runtime is newer or older than this program: what the value means is only the node's word")
        chain = client.chain
    wanted = chain.key_count(pallet, item)
    if len(keys) != wanted:
        raise BadValue(f"{pallet}.{item} has {wanted} keys, {len(keys)} were given")
    key = chain.storage_key(pallet, item, *keys)
    value = (await prover.read([key]))[key]
    out.progress(f"proven at block {prover.head.number} 0x{prover.head.hash.hex()}")
    return chain.decode_value(pallet, item, value)
