"""`aitoken transfer`: send tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.amounts import parse_amount, show_amount
from cli.exits import BadInput, CallFailed
from cli.naming import account_named
from cli.render import Output, output_option
from cli.session import Client, Session, Wait, node_option
from cli.wallet import account_of, address_of, load_pair

WAITS: dict[str, Wait] = {"none": "none", "in-block": "in_block", "final": "final"}
"""Spelling on the command line -> in the client library."""


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("dest")
@click.argument("amount")
@click.option("--wait", type=click.Choice(list(WAITS)), default="final", show_default=True, help="What to wait for.")
@click.option("--tip", metavar="AMOUNT", default="0", help="Added to the fee, to come first.")
@click.option("--despite-warning", is_flag=True, help="Send to a name that there is a warning of.")
@click.option("--allow-death", is_flag=True, help="Let FROM fall below the existential deposit and be removed.")
@click.option("--type", "scheme", type=click.Choice(["sr25519", "ed25519"]), default="sr25519", show_default=True)
@click.option("--key-file", type=click.Path(path_type=Path), help="Encrypted key file of FROM, as wallets export it.")
@click.option("--suri-file", type=click.Path(path_type=Path), help="File with the secret phrase of FROM.")
@node_option
@output_option
def transfer(
    source: str,
    dest: str,
    amount: str,
    wait: str,
    tip: str,
    despite_warning: bool,
    allow_death: bool,
    scheme: str,
    key_file: Path | None,
    suri_file: Path | None,
    session: Session,
    out: Output,
) -> None:
    """Send tokens.

    FROM is an address or a development URI such as //Alice; DEST an address, 0x-hex, development URI or @name;
    AMOUNT is in AIT, decimal: 12.5. The secret of FROM comes from a file, from the key folder or is asked for.

    Exit codes: 0 done, 2 wrong input (nothing was sent), 3 refused by the chain, 4 no node,
    7 sent but its fate was not seen.
    """
    value, tip_value = parse_amount(amount), parse_amount(tip)
    to = None if dest.startswith("@") else account_of(dest)
    if value == 0:
        raise BadInput("the amount is 0: nothing would be sent")
    pair = load_pair(source, scheme, key_file, suri_file)

    async def send(client: Client) -> Any:
        who = account_of(await _meant(client, dest, out, despite=despite_warning)) if to is None else to
        out.progress(f"sending {show_amount(value)} from {address_of(pair.public)} to {address_of(who)}")
        name = "transfer_allow_death" if allow_death else "transfer_keep_alive"
        call = client.call("Balances", name, dest=who, value=value)
        return await client.submit(call, pair, wait=WAITS[wait], tip=tip_value)

    receipt = session.run(send)
    data = _facts(receipt)
    out.result(data | {"value": value}, _sentence(data, wait))
    if receipt.success is False:
        why = f"{receipt.error}: {receipt.reason}" if receipt.reason else f"{receipt.error}."
        raise CallFailed(f"the transfer failed, the fee was paid: {why}")


async def _meant(client: Client, typed: str, out: Output, *, despite: bool) -> str:
    """The address a name means, with what a person should know of it on the way."""
    found = await account_named(client, typed, despite_warning=despite)
    for warning in found.warnings:
        out.progress(warning)
    state = "" if found.state == "in use" else f", {found.state}"
    out.progress(f"@{found.name}{state}: {f'verified, {found.badge}' if found.badge else 'not verified'}")
    return str(found.target[1])


def _facts(receipt: Any) -> dict[str, Any]:
    """What of a receipt is shown."""
    names = ("hash", "block_hash", "block_number", "index", "success", "error", "fee")
    return {name: getattr(receipt, name) for name in names if getattr(receipt, name) is not None}


def _sentence(data: dict[str, Any], wait: str) -> str:
    if "block_hash" not in data:
        return f"sent: transaction {data['hash']}"
    state = "failed" if data.get("success") is False else "final" if wait == "final" else "included"
    fee = f", fee {show_amount(data['fee'])}" if "fee" in data else ""
    return f"{state} in block {data['block_number']:_} {data['block_hash']}: transaction {data['hash']}{fee}"
