"""`aitoken issuer`: vouch for others, with a stake behind it."""

from __future__ import annotations

from typing import Any

import click

from cli.amounts import parse_amount, show_amount
from cli.exits import BadInput, CallFailed
from cli.hashes import domain_in, hash_in, hash_of
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.signing import Signer, facts_of, signer_options, submit_final
from cli.wallet import account_of, address_of

CLASSES = ("Kyc", "Personhood", "Quality", "Domain", "Education", "Audit")
DAY_MS = 86_400_000
class_argument = click.argument("class_", metavar="CLASS", type=click.Choice(CLASSES, case_sensitive=False))
about_argument = click.argument("about", metavar="SUBJECT")


@click.group()
def issuer() -> None:
    """Vouch for accounts, providers and things, with a stake behind it."""


@issuer.command()
@class_argument
@click.argument("stake", metavar="AIT")
@click.option("--method", metavar="FILE|HASH", required=True, help="How you work; its blake2b-256 goes on chain.")
@signer_options
@node_option
@output_option
def register(class_: str, stake: str, method: str, signer: Signer, session: Session, out: Output) -> None:
    """Put down a stake for a class, or more of it. What you say counts once root has accepted you.

    For persons, see `aitoken person`.
    """
    arguments = {"class": class_, "stake": parse_amount(stake), "method": hash_of(method)}
    receipt = _send(signer, session, out, "register_issuer", arguments)
    total = next(event.fields["stake"] for event in receipt.events if event.name == "IssuerRegistered")
    out.result(facts_of(receipt) | {"stake": total}, f"{show_amount(total)} stand behind what you say of {class_}")


@issuer.command()
@class_argument
@signer_options
@node_option
@output_option
def leave(class_: str, signer: Signer, session: Session, out: Output) -> None:
    """Vouch no more; say it again after the time for that, and the stake comes back."""
    receipt = _send(signer, session, out, "leave", {"class": class_})
    gone = any(event.name == "IssuerLeft" for event in receipt.events)
    told = "the stake is back" if gone else "what you have said does not count any more; the stake waits"
    out.result(facts_of(receipt) | {"left": gone}, told)


@issuer.command()
@click.argument("account", metavar="ISSUER")
@class_argument
@click.argument("verdict", type=click.Choice(["accept", "suspend", "slash"]))
@click.option("--cap", type=click.IntRange(0, 2**32 - 1), default=0, help="Persons one of its keys may let in.")
@click.option("--amount", metavar="AIT", help="What a slash takes.")
@click.option("--evidence", metavar="FILE|HASH", required=True, help="Why; with accept, the method.")
@signer_options
@node_option
@output_option
def judge(
    account: str, class_: str, verdict: str, cap: int, amount: str | None, evidence: str, signer: Signer,
    session: Session, out: Output,
) -> None:  # fmt: skip
    """Accept, suspend or slash an issuer, with the root key."""
    if (verdict == "slash") != (amount is not None):
        raise BadInput("slash has an --amount, and nothing else has")
    said: Any = {"Accept": {"cap": cap}} if verdict == "accept" else "Suspend"
    if amount is not None:
        said = {"Slash": {"amount": parse_amount(amount)}}
    target = account_of(account)
    arguments = {"issuer": target, "class": class_, "verdict": said, "evidence": hash_of(evidence)}
    receipt = _send(signer, session, out, "judge_issuer", arguments, root=True)
    out.result(facts_of(receipt), f"{address_of(target)}: {verdict}")


@issuer.command()
@click.argument("name")
@click.option("--class", "class_", type=click.Choice(CLASSES, case_sensitive=False), help="For its issuers alone.")
@click.option("--fields", metavar="FILE|HASH", required=True, help="What attestations of it say.")
@signer_options
@node_option
@output_option
def schema(name: str, class_: str | None, fields: str, signer: Signer, session: Session, out: Output) -> None:
    """Describe a kind of attestation, and see its number."""
    arguments = {"name": name.encode(), "fields": hash_of(fields), "class": class_}
    receipt = _send(signer, session, out, "register_schema", arguments)
    number = next(event.fields["schema"] for event in receipt.events if event.name == "SchemaRegistered")
    out.result(facts_of(receipt) | {"schema": number}, f"schema {number}")


@issuer.command()
@click.argument("number", metavar="SCHEMA", type=int)
@about_argument
@click.option("--domain", help="That it has this domain.")
@click.option("--data", metavar="FILE|HASH", help="What is said; its blake2b-256 goes on chain.")
@click.option("--days", type=click.IntRange(1, 1825), default=365, show_default=True, help="How long it counts.")
@signer_options
@node_option
@output_option
def attest(
    number: int, about: str, domain: str | None, data: str | None, days: int, signer: Signer, session: Session,
    out: Output,
) -> None:  # fmt: skip
    """Say something of an account, "provider:7" or a hash: that it has a domain, or what --data holds."""
    from aitoken.crypto.hashing import blake2_256

    if (domain is None) == (data is None):
        raise BadInput("say --domain or --data")
    said = blake2_256(domain_in(domain)) if domain is not None else hash_of(str(data))
    subject, pair = _subject(about), signer.pair()

    async def send(client: Client) -> Any:
        until = int(await client.query("Timestamp", "Now")) + days * DAY_MS
        statement = {"schema": number, "subject": subject, "data": said, "expires": until, "reference": None}
        call = client.call("Attest", "attest", statements=[statement], by=None)
        return await submit_final(client, pair, [call], out)

    receipt = session.run(send)
    uid = next(event.fields["uid"] for event in receipt.events if event.name == "Attested")
    out.result(facts_of(receipt) | {"attestation": uid}, f"0x{bytes(uid).hex()}")


@issuer.command()
@about_argument
@click.argument("attestation", metavar="HASH")
@signer_options
@node_option
@output_option
def revoke(about: str, attestation: str, signer: Signer, session: Session, out: Output) -> None:
    """Take back what you said of a subject."""
    receipt = _send(signer, session, out, "revoke", {"places": [(_subject(about), hash_in(attestation))]})
    out.result(facts_of(receipt), "revoked")


def _send(
    signer: Signer, session: Session, out: Output, name: str, arguments: dict[str, Any], *, root: bool = False
) -> Any:
    pair = signer.pair()

    async def send(client: Client) -> Any:
        call = client.call("Attest", name, **arguments)
        receipt = await submit_final(client, pair, [client.call("Sudo", "sudo", call=call) if root else call], out)
        failed = [event for event in receipt.events if event.name == "Sudid" and "Ok" not in str(event.fields)]
        if failed:
            raise CallFailed(f"it failed and changed nothing: {failed[0].fields}")
        return receipt

    return session.run(send)


def _subject(text: str) -> dict[str, Any]:
    kind, _, number = text.partition(":")
    if kind == "provider" and number.isascii() and number.isdigit():
        return {"Provider": int(number)}
    if kind == "hash":
        return {"Hash": hash_in(number)}
    return {"Account": account_of(text)}
