"""`aitoken person`: one real person, once, and nobody learns who: for issuers who let persons in, and for persons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from cli.exits import BadInput, CallFailed
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.signing import Signer, facts_of, signer_options, submit_final
from cli.wallet import account_of, address_of, write_new

if TYPE_CHECKING:
    from aitoken.client.client import Client as Library

DAY_MS = 86_400_000
request_option = click.option(
    "--request", "file", type=click.Path(path_type=Path), required=True, help="File of what was asked; a secret."
)
key_file_option = click.option(
    "--rsa-key", "rsa_key", type=click.Path(path_type=Path), required=True, help="The issuer's secret key."
)


@click.group()
def person() -> None:
    """Show that you are one person, once, without showing who; or let persons in."""


@person.command()
@key_file_option
@output_option
def key(rsa_key: Path, out: Output) -> None:
    """Make an issuer's key to let persons in with, and keep it in a file; one for each scope and time."""
    from aitoken.crypto.blind_rsa import IssuerKey

    made = IssuerKey.generate()
    write_new(rsa_key, made.pem())
    out.result({"modulus": made.modulus}, f"a new key in {rsa_key}")


@person.command()
@key_file_option
@click.option("--scope", help="What persons count in: a text of 32 bytes at most, or 0x-hex. Default: everything.")
@click.option("--days", type=click.IntRange(1, 365), default=90, show_default=True, help="How long persons count.")
@click.option("--persons", "cap", type=click.IntRange(1), required=True, help="Most persons; all is put down now.")
@signer_options
@node_option
@output_option
def publish(
    rsa_key: Path, scope: str | None, days: int, cap: int, signer: Signer, session: Session, out: Output
) -> None:
    """Let persons in with a key from now on, as an accepted issuer."""
    secret, where, pair = _key(rsa_key), _scope(scope), signer.pair()

    async def send(client: Client) -> Any:
        now = int(await client.query("Timestamp", "Now"))
        call = client.call(
            "Attest", "publish_key", scope=where, modulus=secret.modulus, since=now, until=now + days * DAY_MS, cap=cap
        )
        return await submit_final(client, pair, [call], out)

    receipt = session.run(send)
    fields = next(event.fields for event in receipt.events if event.name == "KeyPublished")
    out.result(facts_of(receipt) | {"key": fields["key"]}, f"key {fields['key']} lets in {cap} persons")


@person.command()
@click.argument("number", metavar="KEY", type=int)
@request_option
@node_option
@output_option
def ask(number: int, file: Path, session: Session, out: Output) -> None:
    """Ask the issuer of a key: keep a secret in a file, and print what to send to the issuer.

    The issuer looks at who you are and answers once. It cannot see what it signs.
    """
    from aitoken.client import identities

    request = session.run(lambda client: identities.ask_for_person(cast("Library", client), number))
    write_new(file, identities.keep(request))
    out.result({"blinded": request.blinded}, "0x" + request.blinded.hex())


@person.command()
@click.argument("blinded")
@key_file_option
@output_option
def sign(blinded: str, rsa_key: Path, out: Output) -> None:
    """Sign, as an issuer, what a person has sent. That it has been signed for is yours to remember."""
    answer = _key(rsa_key).sign_blind(_bytes(blinded))
    out.result({"answer": answer}, "0x" + answer.hex())


@person.command()
@click.argument("answer")
@request_option
@click.option("--to", "dest", metavar="ACCOUNT", required=True, help="The account that counts as a person.")
@node_option
@output_option
def claim(answer: str, file: Path, dest: str, session: Session, out: Output) -> None:
    """Count an account as a person, with the issuer's answer. It may be empty, and there is no fee."""
    from aitoken.client import identities

    request, raw, account = identities.kept(_read(file)), _bytes(answer), account_of(dest)
    receipt = session.run(lambda client: identities.become_person(cast("Library", client), request, raw, account))
    if receipt.success is False:
        raise CallFailed(f"the credential was not taken: {receipt.error}. {receipt.reason}")
    told = facts_of(receipt) | {"account": address_of(account), "key": request.key}
    out.result(told, f"{address_of(account)} is a person, final in block {receipt.block_number:_}")


def _key(file: Path) -> Any:
    from aitoken.crypto.blind_rsa import IssuerKey

    return IssuerKey.from_pem(_read(file))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from None


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text.strip().removeprefix("0x"))
    except ValueError:
        raise BadInput(f"{text[:40]!r} is not hex") from None


def _scope(text: str | None) -> bytes:
    from aitoken.credentials import EVERYWHERE

    if text is None:
        return EVERYWHERE
    raw = _bytes(text) if text.startswith("0x") else text.encode()
    if not 0 < len(raw) <= len(EVERYWHERE):
        raise BadInput("a scope has 1 to 32 bytes")
    return raw.ljust(len(EVERYWHERE), b"\x00")
