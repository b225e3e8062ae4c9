"""`aitoken balance`: what an account owns."""

from __future__ import annotations

from typing import Any

import click

from cli.amounts import show_amount
from cli.exits import BadInput
from cli.light import Light, light_options
from cli.naming import account_named
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.wallet import account_of, address_of


@click.command()
@click.argument("account")
@light_options
@node_option
@output_option
def balance(account: str, session: Session, out: Output, light: Light | None) -> None:
    """Show what an account owns.

    ACCOUNT is an SS58 address, 0x-hex, a development URI such as //Alice, or @name.
    With --light the answer is proven from the checkpoint on, as of the last final block.
    """
    if account.startswith("@") and light is not None:
        raise BadInput("what a name means is only the node's word: give an address with --light")
    known = None if account.startswith("@") else account_of(account)
    proven: dict[str, Any] = {}

    async def ask(client: Client) -> dict[str, Any]:
        public = known or account_of((await account_named(client, account, despite_warning=True)).target[1])
        address = address_of(public)
        if light is None:
            return facts(address, await client.account(address))
        prover = await light.open(client)
        found = await prover.account(public)
        proven.update(provenAt={"number": prover.head.number, "hash": "0x" + prover.head.hash.hex()})
        return facts(address, {"nonce": found.nonce, "data": found})

    data = session.run(ask) | proven
    lines = [f"{'address':<13} {data['address']}"]
    lines += [f"{name:<13} {show_amount(data[name])}" for name in ("free", "reserved", "frozen", "transferable")]
    lines.append(f"{'transactions':<13} {data['nonce']}")
    if proven:
        lines.append(f"{'proven at':<13} block {data['provenAt']['number']} {data['provenAt']['hash']}")
    out.result(data, "\n".join(lines))


def facts(address: str, account: Any) -> dict[str, Any]:
    """`System.Account` flat, with what can be sent: free less what is frozen beyond the reserved (wallets' formula)."""
    nonce, money = field(account, "nonce"), field(account, "data")
    free, reserved, frozen = (int(field(money, name)) for name in ("free", "reserved", "frozen"))
    return {
        "address": address,
        "free": free,
        "reserved": reserved,
        "frozen": frozen,
        "transferable": max(0, free - max(0, frozen - reserved)),
        "nonce": int(nonce),
    }


def field(record: Any, name: str) -> Any:
    """A field of a decoded record, whether the library gives mappings or objects."""
    return record[name] if isinstance(record, dict) else getattr(record, name)
