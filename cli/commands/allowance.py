"""`aitoken allowance`: let other keys spend your money within limits, and stop them."""

from __future__ import annotations

from typing import Any

import click

from cli.amounts import parse_amount, show_amount
from cli.exits import BadInput
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.signing import Signer, facts_of, signer_options, submit_final
from cli.wallet import account_of, address_of

DAY_MS = 86_400_000
PURPOSES = ("transfer", "pay", "sessions", "plans", "delegate")


@click.group()
def allowance() -> None:
    """Let other keys spend your money within limits, and stop them."""


@allowance.command()
@click.argument("key")
@click.option("--total", metavar="AMOUNT", required=True, help="What the key may spend in all, fees included.")
@click.option("--at-once", metavar="AMOUNT", help="What one transaction may spend. Default: the total.")
@click.option("--per-day", metavar="AMOUNT", help="What a day may cost. Default: the total.")
@click.option(
    "--for", "purposes", type=click.Choice(PURPOSES), multiple=True, default=("sessions",), show_default=True,
    help="What for; several are possible.",
)  # fmt: skip
@click.option("--payee", "payees", metavar="WHOM", multiple=True, help="Provider's number or account. Default: anyone.")
@click.option("--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="How long.")
@click.option("--parent", type=click.IntRange(0), help="Your grant that this one is a part of.")
@signer_options
@node_option
@output_option
def give(
    key: str,
    total: str,
    at_once: str | None,
    per_day: str | None,
    purposes: tuple[str, ...],
    payees: tuple[str, ...],
    days: int,
    parent: int | None,
    signer: Signer,
    session: Session,
    out: Output,
) -> None:
    """Let KEY spend the money of --from.

    KEY cannot spend more, or on anything else, whatever it is made to sign. It needs no money of its own: fees are
    yours and count. A program pays with it by `--from KEY --grant OWNER/NUMBER`.
    """
    import time

    pair, most = signer.pair(), parse_amount(total)
    limits = {
        "per_transaction": most if at_once is None else parse_amount(at_once),
        "per_period": most if per_day is None else parse_amount(per_day),
        "total": most,
        "period": 0 if per_day is None else DAY_MS,
    }
    scope = {"purposes": [each.capitalize() for each in dict.fromkeys(purposes)], "payees": [_payee(p) for p in payees]}
    who, until = account_of(key), int(time.time() * 1000) + days * DAY_MS

    async def ask(client: Client) -> Any:
        call = client.call("Allowances", "grant", key=who, limits=limits, scope=scope, expires=until, parent=parent)
        return await submit_final(client, pair, [call], out)

    receipt = session.run(ask)
    number = next(int(event.fields["grant"]) for event in receipt.events if event.name == "Granted")
    grant = f"{address_of(pair.public)}/{number}"
    out.result(
        facts_of(receipt) | {"grant": number, "named": grant},
        f"{address_of(who)} may spend up to {show_amount(most)} of yours: --grant {grant}",
    )


def _payee(text: str) -> dict[str, Any]:
    if text.isascii() and text.isdigit() and len(text) < 20:
        return {"Provider": int(text)}
    return {"Account": account_of(text)}


@allowance.command(name="list")
@click.argument("owner")
@node_option
@output_option
def show(owner: str, session: Session, out: Output) -> None:
    """List what OWNER has allowed, and what was spent of it."""
    who = account_of(owner)

    async def ask(client: Client) -> list[dict[str, object]]:
        mine = await client.query("Allowances", "Owners", who)
        below = 0 if mine is None else int(mine["void_below"])
        rows = {}
        async for (_, number), row in client.query_map("Allowances", "Grants", who):
            rows[int(number)] = _row(int(number), row, below)
        return [rows[number] for number in sorted(rows)]

    rows = session.run(ask)
    if not out.json:
        rows = [row | {name: show_amount(int(str(row[name]))) for name in ("total", "spent")} for row in rows]
    out.table(rows, ("grant", "key", "total", "spent", "for", "until", "void"))


def _row(number: int, row: Any, below: int) -> dict[str, object]:
    from datetime import UTC, datetime

    return {
        "grant": number,
        "key": address_of(account_of(row["key"])),
        "total": int(row["limits"]["total"]),
        "spent": int(row["spent"]),
        "for": ", ".join(str(purpose).lower() for purpose in row["scope"]["purposes"]),
        "until": datetime.fromtimestamp(int(row["expires"]) // 1000, UTC).isoformat(),
        "parent": row["parent"],
        "void": number < below,
    }


@allowance.command()
@click.argument("grant", metavar="NUMBER", type=click.IntRange(0))
@signer_options
@node_option
@output_option
def revoke(grant: int, signer: Signer, session: Session, out: Output) -> None:
    """End one grant of --from, all that come from it, and freeze the sessions its keys have opened."""
    pair = signer.pair()

    async def ask(client: Client) -> Any:
        call = client.call("Allowances", "revoke", owner=pair.public, grant=grant)
        return await submit_final(client, pair, [call], out)

    receipt = session.run(ask)
    out.result(_stopped(receipt), f"grant {grant} is over, {_frozen(receipt)}")


@allowance.command()
@signer_options
@node_option
@output_option
def stop(signer: Signer, session: Session, out: Output) -> None:
    """Stop all keys of --from at once, and freeze all sessions they have opened.

    What was promised in a session before can be claimed for its grace; close it to get the rest back.
    """
    pair = signer.pair()

    async def ask(client: Client) -> Any:
        if await client.query("Allowances", "Owners", pair.public) is None:
            raise BadInput(f"{address_of(pair.public)} has given no allowance")
        return await submit_final(client, pair, [client.call("Allowances", "revoke_all")], out)

    receipt = session.run(ask)
    out.result(_stopped(receipt), f"no key may spend your money any more, {_frozen(receipt)}")


def _stopped(receipt: Any) -> dict[str, Any]:
    sessions = [event.fields["session"] for event in receipt.events if event.name == "KeyChanged"]
    return facts_of(receipt) | {"frozen": sessions}


def _frozen(receipt: Any) -> str:
    count = len(_stopped(receipt)["frozen"])
    return f"{count} session{'' if count == 1 else 's'} frozen"
