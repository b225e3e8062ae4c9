"""`aitoken validator`: become a validator, see how one is, change its keys, leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cli.amounts import BALANCE_MAX, parse_amount, show_amount
from cli.exits import BadInput
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.signing import facts_of, submit_final
from cli.wallet import account_of, load_pair

data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), required=True, help="The node's data folder."
)
chain_option = click.option("--chain", type=click.Path(path_type=Path), required=True, help="Genesis file.")
key_file_option = click.option(
    "--key-file", type=click.Path(path_type=Path), help="The voting key, if it lies elsewhere."
)
suri_option = click.option("--suri-file", type=click.Path(path_type=Path), help="File with the secret phrase of STASH.")


@click.group()
def validator() -> None:
    """Become a validator, see how one is, change its keys, leave."""


@validator.command()
@data_dir_option
@chain_option
@key_file_option
@click.option("--moved", is_flag=True, help="This folder was moved here, and the old one will never run again.")
@click.option("--confirm", metavar="NAME", help="Name of the chain, where the command asks for it.")
@output_option
def init(data_dir: Path, chain: Path, key_file: Path | None, moved: bool, confirm: str | None, out: Output) -> None:
    """Make the keys of a validator and the record of what they sign.

    Nothing that exists is replaced. Where a node has already run in the folder, its key may have signed,
    and the name of the chain must be typed: a record made anew forgets what was signed.
    """
    from aitoken.keystore import node_keys
    from cli import validator_keys as files
    from consensus.signed import SignedVotes
    from node.signer.state_file import Owner, create, path_of

    found = files.chain_of(chain)
    keys = data_dir / "keys"
    if key_file is None and not (keys / node_keys.SESSION_FILE).exists() and not node_keys.rotated_keys(keys):
        node_keys.make_session_pairs(keys)
        out.progress(f"new keys in {keys}: never copy them to a second machine")
    rows: list[dict[str, Any]] = []
    for pair in files.keys_of(data_dir, key_file):
        path = path_of(data_dir, pair.public)
        if path.exists():
            if moved:
                _confirm(confirm, found.name, "the old folder will never run again")
            with files.opened(data_dir, pair.public, found.genesis_hash, adopt=moved):
                state = "taken over" if moved else "there already"
        else:
            votes = SignedVotes()
            if files.has_history(data_dir):
                _confirm(confirm, found.name, "the key was never used elsewhere, and its record is lost")
                epoch = files.voted_epoch(data_dir)
                votes = SignedVotes() if epoch is None else SignedVotes(epoch, 2**64 - 1)
            create(path, Owner(found.genesis_hash, pair.public), votes)
            state = "made"
        rows.append({"public": "0x" + pair.public.hex(), "record": state})
    out.table(rows, ("public", "record"))


def _confirm(given: str | None, name: str, statement: str) -> None:
    answer = (
        given if given is not None else click.prompt(f"If {statement}, type the name of the chain ({name})", err=True)
    )
    if answer != name:
        raise BadInput(f"nothing was done: {answer!r} is not the name of the chain")


@validator.command()
@data_dir_option
@chain_option
@key_file_option
@click.option("--file", type=click.Path(path_type=Path), help="Where to write it; the terminal when omitted.")
def export_state(data_dir: Path, chain: Path, key_file: Path | None, file: Path | None) -> None:
    """Write what the keys of a stopped node have signed, as JSON, to take along when it moves."""
    from aitoken.keystore.files import write_private
    from cli import validator_keys as files
    from node.signer import exchange

    found = files.chain_of(chain)
    votes = {}
    for pair in files.keys_of(data_dir, key_file):
        with files.opened(data_dir, pair.public, found.genesis_hash) as state:
            votes[pair.public] = state.votes
    data = exchange.encode(found.genesis_hash, votes)
    if file is None:
        click.echo(data.decode(), nl=False)
    else:
        write_private(file, data)


@validator.command()
@click.argument("file", type=click.Path(path_type=Path))
@data_dir_option
@chain_option
@output_option
def import_state(file: Path, data_dir: Path, chain: Path, out: Output) -> None:
    """Take over what keys have signed elsewhere.

    The higher mark wins, of the file or of this folder; nothing is ever lowered. A file of another chain is refused.
    """
    from cli import validator_keys as files
    from consensus.signed import SignedVotes
    from node.signer import exchange
    from node.signer.state_file import Owner, create, path_of

    found = files.chain_of(chain)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from None
    rows: list[dict[str, Any]] = []
    for public, (epoch, view) in exchange.decode(data, found.genesis_hash).items():
        path = path_of(data_dir, public)
        if not path.exists():
            create(path, Owner(found.genesis_hash, public), SignedVotes(epoch, view))
        with files.opened(data_dir, public, found.genesis_hash) as state:
            state.raise_to(epoch, view)
            rows.append({"public": "0x" + public.hex(), "epoch": state.votes.epoch, "view": state.votes.highest_view})
    out.table(rows, ("public", "epoch", "view"))


def keys_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the ways to name session keys."""
    options = (
        click.option("--proof", metavar="HEX", help="Proof for --keys, as 'aitoken signer prove' prints it."),
        click.option("--keys", metavar="HEX", help="Public keys held elsewhere, with --proof."),
        click.option(
            "--data-dir", type=click.Path(path_type=Path), help="Register the first keys of this node's data folder."
        ),
    )
    for option in options:
        command = option(command)
    return command


@validator.command()
@click.argument("stash")
@click.argument("amount")
@click.option("--commission", type=click.FloatRange(0, 100), default=5, show_default=True, help="Percent.")
@click.option(
    "--payee", type=click.Choice(["staked", "stash"]), default="staked", show_default=True, help="Rewards go."
)
@keys_options
@suri_option
@node_option
@output_option
def setup(
    stash: str,
    amount: str,
    commission: float,
    payee: str,
    data_dir: Path | None,
    keys: str | None,
    proof: str | None,
    suri_file: Path | None,
    session: Session,
    out: Output,
) -> None:
    """Bond AMOUNT of STASH, register session keys and offer to validate, in one transaction.

    Without --data-dir or --keys the node makes new keys and keeps them (it needs --unsafe-rpc).
    What was done before is left out, so the command can be repeated.
    """
    from cli.staking import PERBILL_PER_PERCENT, standing_of

    value, pair = parse_amount(amount), load_pair(stash, "sr25519", None, suri_file)

    async def send(client: Client) -> Any:
        standing = await standing_of(client, pair.public)
        calls = []
        if not standing.bonded:
            calls.append(client.call("Staking", "bond", value=value, payee=payee.capitalize()))
        if not (standing.keys and standing.keys_here):
            publics, shown = await _session_keys(client, pair.public, data_dir, keys, proof)
            calls.append(client.call("Session", "set_keys", keys=_split(publics), proof=shown))
        prefs = {"commission": round(commission * PERBILL_PER_PERCENT), "blocked": False}
        calls.append(client.call("Staking", "validate", prefs=prefs))
        return await submit_final(client, pair, calls, out)

    receipt = session.run(send)
    out.result(
        facts_of(receipt), "done: it is elected at the next era if its stake is among the highest; see validator status"
    )


@validator.command()
@click.argument("stash")
@keys_options
@suri_option
@node_option
@output_option
def rotate_keys(
    stash: str,
    data_dir: Path | None,
    keys: str | None,
    proof: str | None,
    suri_file: Path | None,
    session: Session,
    out: Output,
) -> None:
    """Register new session keys of STASH; the old ones sign until the session after next.

    Without --data-dir or --keys the node makes new keys and keeps them (it needs --unsafe-rpc).
    """
    pair = load_pair(stash, "sr25519", None, suri_file)

    async def send(client: Client) -> Any:
        publics, shown = await _session_keys(client, pair.public, data_dir, keys, proof)
        call = client.call("Session", "set_keys", keys=_split(publics), proof=shown)
        return publics, await submit_final(client, pair, [call], out)

    publics, receipt = session.run(send)
    text = (
        f"registered 0x{publics.hex()[:16]}...: it signs from the session after next; keep the old key file until then"
    )
    out.result(facts_of(receipt) | {"keys": publics}, text)


@validator.command()
@click.argument("stash")
@suri_option
@node_option
@output_option
def exit(stash: str, suri_file: Path | None, session: Session, out: Output) -> None:  # noqa: A001 - its name on the line
    """Leave, in as many calls of this command as it takes.

    First: offer no more to validate, have rewards paid out, and unbond everything. When the unbonding time is over:
    withdraw, and remove the session keys. Keep the node running until the command says that it may stop.
    """
    from cli.staking import standing_of

    pair = load_pair(stash, "sr25519", None, suri_file)

    async def leave(client: Client) -> tuple[dict[str, Any], str]:
        standing = await standing_of(client, pair.public)
        calls = []
        if standing.validates:
            calls.append(client.call("Staking", "chill"))
        if standing.active:
            # What is still to be rewarded must not be bonded anew, nor escape if it comes before this call.
            calls.append(client.call("Staking", "set_payee", payee="Stash"))
            calls.append(client.call("Staking", "unbond", value=BALANCE_MAX))
        due = [part for part in standing.unlocking if part["era"] <= standing.era]
        if due and not standing.active:
            calls.append(client.call("Staking", "withdraw_unbonded", num_slashing_spans=0))
            if standing.keys and len(due) == len(standing.unlocking) and not standing.elected:
                calls.append(client.call("Session", "purge_keys"))
        if not calls:
            return asdict(standing), _what_is_left(asdict(standing))
        receipt = await submit_final(client, pair, calls, out)
        after = await standing_of(client, pair.public)
        return facts_of(receipt) | asdict(after), _what_is_left(asdict(after))

    data, text = session.run(leave)
    out.result(data, text)


def _what_is_left(standing: dict[str, Any]) -> str:
    if standing["unlocking"]:
        era = max(part["era"] for part in standing["unlocking"])
        amount = show_amount(sum(part["value"] for part in standing["unlocking"]))
        node = "keep the node running: it is in the present set" if standing["elected"] else "the node may stop"
        return f"{amount} is free in era {era} (now: {standing['era']}); {node}. Then: aitoken validator exit once more"
    if standing["bonded"]:
        return f"{show_amount(standing['bonded'])} is still bonded"
    return "nothing is bonded: this account is no validator any more"


@validator.command()
@click.argument("stash", required=False)
@node_option
@output_option
def status(stash: str | None, session: Session, out: Output) -> None:
    """Show on one screen how a validator is, who was punished and why, and what holds finality back."""
    from cli import offences, staking
    from cli.status import in_words, look

    async def ask(client: Client) -> tuple[dict[str, Any], list[str]]:
        facts = await look(client)
        lines, _ = in_words(facts)
        history = facts["offences"] = await offences.offences(client)
        if stash is None:
            return facts, lines + offences.in_words(history)
        standing = await staking.standing_of(client, account_of(stash))
        facts["validator"] = asdict(standing)
        return facts, lines + staking.in_words(standing) + offences.in_words(history, standing.stash)

    facts, lines = session.run(ask)
    out.result(facts, "\n".join(lines))


async def _session_keys(
    client: Client, owner: bytes, data_dir: Path | None, keys: str | None, proof: str | None
) -> tuple[bytes, bytes]:
    """Public keys and the proof that they are held, wherever they lie."""
    from cli.validator_keys import parse_hex

    if (keys is None) != (proof is None) or (keys is not None and data_dir is not None):
        raise BadInput("--keys needs --proof, and neither goes with --data-dir")
    if keys is not None and proof is not None:
        return parse_hex(keys, 64, "--keys"), parse_hex(proof, 128, "--proof")
    if data_dir is not None:
        from aitoken.keystore.node_keys import session_pairs

        pairs = session_pairs(data_dir / "keys")
        return pairs.publics, pairs.proof(owner)
    made = await client.request("author_rotateKeysWithOwner", ["0x" + owner.hex()])
    return parse_hex(made["keys"], 64, "the node's keys"), parse_hex(made["proof"], 128, "the node's proof")


def _split(publics: bytes) -> dict[str, bytes]:
    return {"bft": publics[:32], "net": publics[32:]}
