"""`aitoken invite`: bring people here, and get a part of the fees they burn; see `docs/spec/rewards.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import click

from cli import coupons as kept_codes
from cli.amounts import parse_amount, show_amount
from cli.commands.gift import make_gift
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.signing import Signer, facts_of, signer_options, submit_final
from cli.wallet import account_of, address_of

if TYPE_CHECKING:
    from aitoken.client.client import Client as Library

CALLS_A_TRANSACTION: Final = 50


@click.group()
def invite() -> None:
    """Bring people here, and share the fees that they burn."""


@invite.command()
@click.argument("value")
@click.option("--days", type=click.IntRange(1, 730), default=30, show_default=True, help="How long it can be opened.")
@kept_codes.page_option
@signer_options
@node_option
@output_option
def link(value: str, days: int, page: str | None, signer: Signer, session: Session, out: Output) -> None:
    """Make a gift link worth VALUE AIT that says who invites, and show it once.

    Whoever opens it gets the tokens, and can become a member whom you brought here.
    """
    amount, pair = parse_amount(value), signer.pair()
    told = session.run(lambda client: make_gift(client, pair, amount, days, page, out))
    told["link"] = f"{told['link']}~{address_of(pair.public)}"
    out.result(told, told["link"])


@invite.command()
@click.argument("inviter", required=False)
@signer_options
@node_option
@output_option
def accept(inviter: str | None, signer: Signer, session: Session, out: Output) -> None:
    """Become a member: a part of the protocol fees you burn comes back.

    INVITER, an address or an invitation's link, gets a part too; it can be named before your first session and never
    be another. You stay a member for a year at least.
    """
    from aitoken.pay.coupons import inviter_of

    pair = signer.pair()
    referrer = None if inviter is None else account_of(inviter_of(inviter) or inviter)

    async def become(client: Client) -> dict[str, Any]:
        call = client.call("Rewards", "refer", referrer=referrer)
        return facts_of(await submit_final(client, pair, [call], out)) | {"inviter": referrer}

    told = session.run(become)
    out.result(told, "you are a member" + (f", invited by {address_of(referrer)}" if referrer else ""))


@invite.command()
@click.argument("who")
@node_option
@output_option
def status(who: str, session: Session, out: Output) -> None:
    """Show the members that WHO has brought here, and what of their fees waits to be shared (collect)."""
    address = address_of(account_of(who))

    async def look(client: Client) -> dict[str, Any]:
        own = await client.query("Rewards", "Members", account_of(who))
        return {
            "address": address, "member": own is not None, "inviter": own and own["referrer"],
            "invited": {name: row["burned"] for name, row in await _members(client) if row["referrer"] == address},
        }  # fmt: skip

    told = session.run(look)
    lines = [f"{address} is {'a' if told['member'] else 'no'} member"]
    lines += [f"{show_amount(burned):>24}  burned by {name}" for name, burned in told["invited"].items()]
    out.result(told, "\n".join(lines))


async def _members(client: Client) -> list[tuple[str, Any]]:
    return [(keys[0], row) async for keys, row in cast("Library", client).query_map("Rewards", "Members")]


@invite.command()
@signer_options
@node_option
@output_option
def collect(signer: Signer, session: Session, out: Output) -> None:
    """Have the fees shared that you and those you brought here have burned."""
    pair = signer.pair()
    address = address_of(pair.public)

    async def share(client: Client) -> dict[str, Any]:
        due = [
            name for name, row in await _members(client)
            if row["burned"] and address in (name, row["referrer"])
        ]  # fmt: skip
        got = 0
        for at in range(0, len(due), CALLS_A_TRANSACTION):
            calls = [client.call("Rewards", "share", who=who) for who in due[at : at + CALLS_A_TRANSACTION]]
            receipt = await submit_final(client, pair, [client.call("Utility", "force_batch", calls=calls)], out)
            for fields in [event.fields for event in receipt.events if event.name == "Shared"]:
                got += fields["rebate"] if fields["who"] == address else fields["referral"]
        return {"members": len(due), "amount": got}

    told = session.run(share)
    out.result(told, f"{show_amount(told['amount'])} from {told['members']} members")
