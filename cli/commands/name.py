"""`aitoken name`: readable names of accounts and providers, and warnings of who imitates them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.exits import CallFailed
from cli.hashes import domain_in, hash_of
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.wallet import account_of, load_pair

if TYPE_CHECKING:
    from aitoken.crypto.derive import Pair

DANGERS = ("Impersonation", "Phishing", "Fraud", "StolenKey", "Other")
Command = Callable[..., Any]


def _signed(command: Command) -> Command:
    """Add the options that say who signs; the function gets a key pair as `pair`."""

    @functools.wraps(command)
    def with_pair(
        *args: Any, by: str, scheme: str, key_file: Path | None, suri_file: Path | None, **options: Any
    ) -> Any:
        return command(*args, pair=load_pair(by, scheme, key_file, suri_file), **options)

    path = click.Path(path_type=Path)
    for option in (
        click.option("--suri-file", type=path, help="File with the secret phrase of who signs."),
        click.option("--key-file", type=path, help="Encrypted key file of who signs."),
        click.option("--type", "scheme", type=click.Choice(["sr25519", "ed25519"]), default="sr25519", hidden=True),
        click.option(
            "--from", "by", metavar="ACCOUNT", required=True, help="Who signs: an address or a development URI."
        ),
    ):
        with_pair = option(with_pair)
    return node_option(output_option(with_pair))


@click.group()
def name() -> None:
    """Have, show and challenge readable names."""


@name.command()
@click.argument("name")
@node_option
@output_option
def show(name: str, session: Session, out: Output) -> None:
    """Show what a name means, whose it is, and what there is against it."""
    from aitoken.client.lookalikes import read_name
    from cli.naming import look_up, taken_by

    typed = read_name(name)

    async def ask(client: Client) -> tuple[Any, str | None]:
        found = await look_up(client, typed)
        return found, None if found is not None else await taken_by(client, typed)

    found, other = session.run(ask)
    if found is None:
        text = f"@{typed} is nobody's" + (f", but cannot be registered: @{other} looks like it" if other else "")
        out.result({"name": typed, "owner": None, "taken_by": other}, text)
        return
    kind, which = found.target
    badge = f"verified: {found.badge}" if found.badge else "not verified"
    lines = [
        f"@{found.name}: {found.state}, paid {_day(found.expires)}", f"means   {kind.lower()} {which}",
        f"owner   {found.owner}, {badge}", *found.warnings,
    ]  # fmt: skip
    out.result(found, "\n".join(lines))


@name.command()
@click.argument("name")
@click.option("--years", type=click.IntRange(1, 5), default=1, show_default=True, help="How long it is paid for.")
@_signed
def register(name: str, years: int, pair: Pair, session: Session, out: Output) -> None:
    """Register a name: commit to it, wait five blocks, then show it. The rent is burned."""
    import secrets

    from aitoken.names import commitment_of
    from aitoken.types import AccountId
    from cli.naming import check_free

    typed, salt = _read(name).encode(), secrets.token_bytes(32)

    async def send(client: Client) -> Any:
        await check_free(client, typed.decode(), pair.public)
        commitment = commitment_of(AccountId(pair.public), salt, typed)
        receipt = await _submit(client, pair, "commit", commitment=commitment)
        out.progress(f"committed in block {receipt.block_number}; waiting until it is old enough")
        blocks = client.constant("Names", "CommitBlocks")
        async for head in client.subscribe_heads(final=True):
            if head.number >= receipt.block_number + blocks - 1:
                break
        return await _submit(client, pair, "register", name=typed, years=years, salt=salt)

    _tell(out, session.run(send), f"@{typed.decode()} is yours")


@name.command()
@click.argument("name")
@click.option("--years", type=click.IntRange(1, 5), default=1, show_default=True, help="How long it is paid for.")
@_signed
def renew(name: str, years: int, pair: Pair, session: Session, out: Output) -> None:
    """Pay for more years of a name, whoever owns it."""
    typed = _read(name)
    call = _call(session, pair, "renew", name=typed, years=years)
    _tell(out, call, f"@{typed} is paid for {years} more years")


@name.command()
@click.argument("name")
@click.argument("dest")
@_signed
def transfer(name: str, dest: str, pair: Pair, session: Session, out: Output) -> None:
    """Give a name to another account, which it means from then on."""
    typed, to = _read(name), account_of(dest)
    _tell(out, _call(session, pair, "transfer", name=typed, dest=to), f"@{typed} is {dest}'s")


@name.command()
@click.argument("name")
@click.argument("means")
@_signed
def target(name: str, means: str, pair: Pair, session: Session, out: Output) -> None:
    """Say what a name means: an account, "provider:7" or "split:3"."""
    typed, meant = _read(name), _subject(means, "Split")
    _tell(out, _call(session, pair, "set_target", name=typed, target=meant), f"@{typed} means {means}")


@name.command()
@click.argument("name")
@_signed
def release(name: str, pair: Pair, session: Session, out: Output) -> None:
    """Give a name up; the deposit comes back."""
    typed = _read(name)
    _tell(out, _call(session, pair, "release", name=typed), f"@{typed} is nobody's")


@name.command()
@click.argument("name")
@click.argument("domain", required=False)
@click.option("--attestation", "uids", metavar="HASH", multiple=True, help="What an issuer said; two at least.")
@_signed
def verify(name: str, domain: str | None, uids: tuple[str, ...], pair: Pair, session: Session, out: Output) -> None:
    """Show the DOMAIN that issuers attest of a name's owner or provider; without DOMAIN take it away."""
    typed, vouched = _read(name), None
    if domain is not None:
        vouched = {"domain": domain_in(domain), "attestations": [hash_of(uid) for uid in uids]}
    call = _call(session, pair, "mark_verified", name=typed, vouched=vouched)
    _tell(out, call, f"@{typed} is {'verified' if domain else 'no longer verified'}")


@name.command()
@click.argument("what")
@click.option("--evidence", metavar="FILE|HASH", required=True, help="What proves it; its blake2b-256 goes on chain.")
@_signed
def challenge(what: str, evidence: str, pair: Pair, session: Session, out: Output) -> None:
    """Say that a name is an impersonation, or "warning:@name", "warning:ADDRESS", that a warning is wrong.

    A bond of 10 AIT is held. It is lost if the challenge is not right.
    """
    call = _call(session, pair, "challenge", case=_case(what), evidence=hash_of(evidence))
    _tell(out, call, f"{what} is challenged")


@name.command()
@click.argument("subject")
@click.option("--danger", type=click.Choice(DANGERS), default="Other", show_default=True)
@click.option("--evidence", metavar="FILE|HASH", help="What proves it; without it the warning is taken back.")
@_signed
def warn(subject: str, danger: str, evidence: str | None, pair: Pair, session: Session, out: Output) -> None:
    """Warn of "@name", an account or "provider:7" for 30 days, with the root key."""
    about = _subject(subject, "Name")
    proof = None if evidence is None else hash_of(evidence)
    call = _call(session, pair, "warn", root=True, subject=about, danger=danger, evidence=proof)
    _tell(out, call, f"{subject} is {'warned of' if evidence else 'no longer warned of'}")


@name.command()
@click.argument("what")
@click.option("--right/--wrong", "upheld", required=True, help="Whether the challenge is right, or the appeal.")
@_signed
def rule(what: str, upheld: bool, pair: Pair, session: Session, out: Output) -> None:
    """Decide about a challenged name, or about "warning:@name" and the like, with the root key."""
    call = _call(session, pair, "rule", root=True, case=_case(what), upheld=upheld)
    _tell(out, call, f"the challenge of {what} is {'right' if upheld else 'wrong'}")


@name.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--for", "holder", metavar="ACCOUNT", help="Who may register them; nobody when omitted.")
@click.option("--lift", is_flag=True, help="Everybody may.")
@_signed
def reserve(names: tuple[str, ...], holder: str | None, lift: bool, pair: Pair, session: Session, out: Output) -> None:
    """Keep names, and what looks like them, from everybody, with the root key; takes frozen ones out of the way."""
    terms: Any = "Everybody" if lift else "Nobody" if holder is None else {"For": account_of(holder)}
    call = _call(session, pair, "reserve", root=True, names=[_read(each) for each in names], terms=terms)
    _tell(out, call, f"{len(names)} names are for {'everybody' if lift else holder or 'nobody'}")


def _read(text: str) -> str:
    from aitoken.client.lookalikes import read_name

    return read_name(text)


def _case(what: str) -> dict[str, Any]:
    """A name, or a warning of a name, an account or a provider."""
    warning = what.removeprefix("warning:")
    return {"Name": _read(what)} if warning == what else {"Warning": _subject(warning, "Name")}


def _subject(text: str, also: str) -> dict[str, Any]:
    """An account, a provider, or a split or name where there may be one."""
    kind, _, number = text.partition(":")
    if text.startswith("@") and also == "Name":
        return {"Name": _read(text)}
    if kind in ("provider", also.lower()) and number.isascii() and number.isdigit():
        return {kind.capitalize(): int(number)}
    return {"Account": account_of(text)}


def _call(session: Session, pair: Pair, which: str, *, root: bool = False, **arguments: Any) -> Any:
    return session.run(lambda client: _submit(client, pair, which, root=root, **arguments))


async def _submit(client: Client, pair: Pair, which: str, *, root: bool = False, **arguments: Any) -> Any:
    """Send a call of Names and wait until it is final.

    Raises:
        CallFailed: it was included and did nothing.
    """
    call = client.call("Names", which, **arguments)
    receipt = await client.submit(client.call("Sudo", "sudo", call=call) if root else call, pair, wait="final")
    why, reason = receipt.error, receipt.reason
    for event in receipt.events if root else ():
        if event.name == "Sudid" and "Err" in event.fields["sudo_result"]:
            problem = client.chain.problem(event.fields["sudo_result"]["Err"])
            why, reason = problem.name, problem.docs
    if why:
        raise CallFailed(f"it failed and changed nothing; the fee was paid: {why}. {reason}")
    return receipt


def _tell(out: Output, receipt: Any, text: str) -> None:
    names = ("hash", "block_hash", "block_number", "fee")
    out.result({each: getattr(receipt, each) for each in names if getattr(receipt, each) is not None}, text)


def _day(time_ms: int) -> str:
    import datetime

    day = datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC).date()
    return f"until {day.isoformat()}"
