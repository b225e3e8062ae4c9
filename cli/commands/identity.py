"""`aitoken identity`: what accounts say of themselves, and what others say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from cli.amounts import parse_amount, show_amount
from cli.exits import BadInput
from cli.hashes import hash_in
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.signing import Signer, facts_of, signer_options, submit_final
from cli.wallet import account_of, address_of

if TYPE_CHECKING:
    from aitoken.client.client import Client as Library
    from aitoken.client.identities import Vouched

JUDGEMENTS = ("Unknown", "Reasonable", "KnownGood", "OutOfDate", "LowQuality", "Erroneous")
PGP_BYTES = 20


@click.group()
def identity() -> None:
    """Say who you are, and see who others are and who vouches for them."""


@identity.command("set")
@click.option("--display", help="The name people see.")
@click.option("--legal", help="The name in law.")
@click.option("--web")
@click.option("--email")
@click.option("--matrix")
@click.option("--twitter")
@click.option("--github")
@click.option("--discord")
@click.option("--image", help="Where a picture is.")
@click.option("--pgp", metavar="HEX", help="Fingerprint of a PGP key, 20 bytes.")
@signer_options
@node_option
@output_option
def set_(pgp: str | None, signer: Signer, session: Session, out: Output, **texts: str | None) -> None:
    """Say who you are: what is given changes, the rest stays; "" takes a text away.

    Texts have 32 bytes at most. A deposit is held for each byte. Judgements of what was said before are dropped.
    """
    from aitoken.client import identities

    given = {name: identities.data_of(text) for name, text in texts.items() if text is not None}
    fingerprint = None if pgp is None else _fingerprint(pgp)
    if not given and pgp is None:
        raise BadInput("nothing is given to say: --display NAME, for example")
    pair = signer.pair()

    async def send(client: Client) -> Any:
        try:
            info = dict(await identities.info_of(cast("Library", client), pair.public))
        except identities.NoIdentity:
            info = dict.fromkeys(identities.TEXTS, "None") | {"pgp_fingerprint": None}
        info |= given | ({"pgp_fingerprint": fingerprint} if pgp is not None else {})
        return await submit_final(client, pair, [client.call("Identity", "set_identity", info=info)], out)

    receipt = session.run(send)
    out.result(facts_of(receipt), f"said for {address_of(pair.public)}, final in block {receipt.block_number:_}")


@identity.command()
@click.argument("who")
@node_option
@output_option
def show(who: str, session: Session, out: Output) -> None:
    """Show what an account says of itself, who has judged it, and what issuers attest of it.

    WHO is an account, or provider:7 for what issuers attest of a provider.
    """
    from aitoken.client import identities

    provider = who.removeprefix("provider:")
    if provider != who:
        if not (provider.isascii() and provider.isdigit()):
            raise BadInput(f"{who!r} is no provider: provider:7")
        subject = {"Provider": int(provider)}
        rows = session.run(lambda client: identities.attestations_of(cast("Library", client), subject))
        domains = identities.domains_of(rows)
        out.result({"attestations": rows, "domains": domains}, "\n".join(_vouching(rows, domains)) or "nothing")
        return
    account = account_of(who)
    known = session.run(lambda client: identities.known_of(cast("Library", client), account))
    lines = [f"{'account':<12} {known.account}"]
    lines += [f"{name:<12} {text}" for name, text in known.texts.items()]
    if known.hash is not None:
        lines.append(f"{'hash':<12} 0x{known.hash.hex()}")
    if known.parent is not None:
        lines.append(f"{'belongs to':<12} {known.parent[0]} as {known.parent[1]}")
    lines += [f"{'judged':<12} {said} by registrar {number}" for number, said in known.judgements]
    lines += [f"{'has':<12} {each}" for each in known.accounts]
    if known.person:
        lines.append(f"{'person':<12} {known.person} issuer{'s' * (known.person > 1)} vouch: one person, once")
    lines += _vouching(known.attestations, known.domains)
    if len(lines) == 1:
        lines.append("says nothing of itself, and nobody says anything of it")
    out.result(known, "\n".join(lines))


def _vouching(rows: tuple[Vouched, ...], domains: tuple[bytes, ...]) -> list[str]:
    lines = [f"{'domain':<12} 0x{each.hex()}, two issuers agree" for each in domains]
    for row in rows:
        state = "" if row.counts else ", revoked" if row.revoked else ", does not count"
        kind = f" ({row.kind})" if row.kind else ""
        lines.append(f"{'attested':<12} {row.schema}{kind} by {row.issuer}: 0x{row.data.hex()}{state}")
    return lines


@identity.command()
@click.argument("registrar", type=int)
@click.option("--max-fee", metavar="AIT", default="1", show_default=True, help="Pay at most this.")
@signer_options
@node_option
@output_option
def ask(registrar: int, max_fee: str, signer: Signer, session: Session, out: Output) -> None:
    """Ask a registrar for a judgement; its fee is held until it is given."""
    most, pair = parse_amount(max_fee), signer.pair()

    async def send(client: Client) -> Any:
        call = client.call("Identity", "request_judgement", reg_index=registrar, max_fee=most)
        return await submit_final(client, pair, [call], out)

    receipt = session.run(send)
    out.result(facts_of(receipt), f"registrar {registrar} is asked, for {show_amount(most)} at most")


@identity.command()
@click.argument("account")
@click.argument("judgement", type=click.Choice(JUDGEMENTS))
@click.option("--registrar", type=int, required=True, help="Your number.")
@click.option("--hash", "seen", metavar="HASH", required=True, help="Of what you have looked at: `show` prints it.")
@signer_options
@node_option
@output_option
def judge(
    account: str, judgement: str, registrar: int, seen: str, signer: Signer, session: Session, out: Output
) -> None:
    """Judge, as a registrar, what an account says of itself; the fee of its request is yours.

    It is refused if the account has said something else meanwhile.
    """
    target, pair, said = account_of(account), signer.pair(), hash_in(seen)

    async def send(client: Client) -> Any:
        call = client.call(
            "Identity", "provide_judgement", reg_index=registrar, target=target, judgement=judgement, identity=said
        )
        return await submit_final(client, pair, [call], out)

    receipt = session.run(send)
    out.result(facts_of(receipt), f"{address_of(target)} is {judgement}, final in block {receipt.block_number:_}")


@identity.command()
@signer_options
@node_option
@output_option
def clear(signer: Signer, session: Session, out: Output) -> None:
    """Say nothing any more; all deposits come back, and accounts below you lose their names."""
    pair = signer.pair()
    receipt = session.run(lambda client: submit_final(client, pair, [client.call("Identity", "clear_identity")], out))
    out.result(facts_of(receipt), f"{address_of(pair.public)} says nothing any more")


def _fingerprint(text: str) -> bytes | None:
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raw = b"?"
    if raw and len(raw) != PGP_BYTES:
        raise BadInput(f"a PGP fingerprint has {2 * PGP_BYTES} hex digits")
    return raw or None
