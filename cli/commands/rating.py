"""`aitoken rating`: what those say of a service who have paid it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from cli.exits import BadInput
from cli.hashes import hash_in
from cli.paying import purse_option
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.signing import Signer, facts_of, signer_options, submit_final

if TYPE_CHECKING:
    from aitoken.client.client import Client as Library


@click.group()
def rating() -> None:
    """Rate what you have paid for, and see what others say who have paid."""


@rating.command()
@click.argument("provider", type=int)
@click.argument("score", type=click.IntRange(0, 100))
@click.option("--text", default="", help="What you say; its hash goes on chain, where you publish it is yours.")
@click.option("--tag", "tags", type=click.IntRange(0, 65_535), multiple=True, help="A number for search; up to four.")
@purse_option
@signer_options
@node_option
@output_option
def give(
    provider: int, score: int, text: str, tags: tuple[int, ...], folder: Path, signer: Signer, session: Session,
    out: Output,
) -> None:  # fmt: skip
    """Rate a provider's service by a receipt in your purse: SCORE is 0 to 100.

    Each paid session is rated once, until a day after its end. Owner, operator and payee do not rate themselves.
    """
    from aitoken.client.pay.purse import open_purse
    from aitoken.client.ratings import evidence_of
    from aitoken.crypto.hashing import blake2_256

    if len(tags) > 4:
        raise BadInput("feedback has four tags at most")
    pair = signer.pair()

    async def send(client: Client) -> Any:
        with open_purse(folder, spend=False) as purse:
            found = await evidence_of(cast("Library", client), purse, provider, pair.public)
        receipt = {"statement": found.receipt.statement, "signature": found.receipt.signature}
        call = client.call(
            "Reputation", "feedback", session=found.session, lane=found.lane, receipt=receipt, score=score,
            tags=list(tags), text=blake2_256(text.encode()),
        )  # fmt: skip
        return found, await submit_final(client, pair, [call], out)

    found, receipt = session.run(send)
    weight = next(event.fields["weight"] for event in receipt.events if event.name == "Rated")
    told = facts_of(receipt) | {"session": found.session.hex(), "service": found.service, "weight": weight}
    out.result(told, f"service {found.service} is rated {score}; it counts {weight}")


@rating.command()
@click.argument("service", type=int)
@node_option
@output_option
def show(service: int, session: Session, out: Output) -> None:
    """Show what is said of a service: the mean as it counts today, of persons only, and each feedback."""
    from aitoken.client.ratings import standing_of

    found = session.run(lambda client: standing_of(cast("Library", client), service))
    mean = "nothing counts" if found.score is None else f"{found.score} of 100"
    persons = "" if found.persons is None else f"; by persons {found.persons}"
    lines = [f"service {service} of provider {found.provider}: {mean}{persons}; {found.count} said something"]
    for number, row in found.rows:
        state = " (taken back)" if row["revoked"] else ""
        answer = ", answered" if row["response"] is not None else ""
        lines.append(
            f"{row['score']:>4}  {row['author']}  weight {row['weight']}, session {number.hex()}{answer}{state}"
        )
    out.result(found, "\n".join(lines))


@rating.command()
@click.argument("provider", type=int)
@click.argument("rated", metavar="SESSION")
@click.argument("text")
@signer_options
@node_option
@output_option
def answer(provider: int, rated: str, text: str, signer: Signer, session: Session, out: Output) -> None:
    """Answer feedback on a session, as the provider: the hash of TEXT goes on chain."""
    from aitoken.crypto.hashing import blake2_256

    number, pair = hash_in(rated), signer.pair()

    async def send(client: Client) -> Any:
        call = client.call("Reputation", "respond", provider=provider, session=number, text=blake2_256(text.encode()))
        return await submit_final(client, pair, [call], out)

    out.result(facts_of(session.run(send)), "answered")


@rating.command(name="take-back")
@click.argument("provider", type=int)
@click.argument("rated", metavar="SESSION")
@signer_options
@node_option
@output_option
def take_back(provider: int, rated: str, signer: Signer, session: Session, out: Output) -> None:
    """Take feedback back; again, once the chain has forgotten its session, to have the deposit back."""
    number, pair = hash_in(rated), signer.pair()

    async def send(client: Client) -> Any:
        return await submit_final(
            client, pair, [client.call("Reputation", "revoke", provider=provider, session=number)], out
        )

    receipt = session.run(send)
    gone = any(event.name == "Removed" for event in receipt.events)
    told = "it is gone, and the deposit is back" if gone else "it does not count any more"
    out.result(facts_of(receipt) | {"removed": gone}, told)
