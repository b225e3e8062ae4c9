"""`aitoken key`: make, look at and list keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aitoken.errors import Rejected
from cli.exits import BadInput
from cli.render import Output, output_option
from cli.wallet import KEY_FOLDER, NAME, account_of, address_of, is_dev_uri, load_pair, prompt_secret, write_new

if TYPE_CHECKING:
    from aitoken.crypto.derive import Pair

SCHEMES = ("sr25519", "ed25519")


@click.group()
def key() -> None:
    """Make, look at and list keys."""


@key.command()
@click.option("--name", help=f"Keep it, encrypted, under this name in {KEY_FOLDER}.")
@click.option("--file", type=click.Path(path_type=Path), help="Write it, encrypted, to this file.")
@click.option("--show-phrase", is_flag=True, help="Print the secret phrase, for writing down.")
@click.option("--type", "scheme", type=click.Choice(SCHEMES), default="sr25519", show_default=True)
@click.option("--words", type=click.Choice(["12", "15", "18", "21", "24"]), default="12", show_default=True)
@output_option
def generate(name: str | None, file: Path | None, show_phrase: bool, scheme: str, words: str, out: Output) -> None:
    """Make a new key.

    The secret is kept encrypted (--name or --file; every wallet of the Substrate world reads it),
    is shown once (--show-phrase), or both.
    """
    from aitoken.crypto import mnemonic
    from aitoken.crypto.derive import pair_from_uri

    if name is None and file is None and not show_phrase:
        raise BadInput("the new secret would be lost: add --name NAME, --file PATH or --show-phrase")
    phrase = mnemonic.generate(int(words))
    pair = pair_from_uri(phrase, scheme)
    data = facts(pair, scheme)
    if name is not None or file is not None:
        data["file"] = str(_keep(pair, name, file))
    if show_phrase:
        data["phrase"] = phrase
        out.progress("write the phrase down and keep it away from computers: whoever has it has the money")
    out.result(data, _lines(data))


@key.command()
@click.option("--data-dir", type=click.Path(path_type=Path), required=True, help="The node's data folder.")
@click.option("--suri-file", type=click.Path(path_type=Path), help="Use the secret in this file instead of a new one.")
@output_option
def validator(data_dir: Path, suri_file: Path | None, out: Output) -> None:
    """Make the key a validator votes with.

    It is written to keys/session.key of the node's data folder, never over another.
    Two nodes that vote with the same key lose the validator's stake: never copy it to a second machine.
    """
    from aitoken.crypto import ed25519
    from aitoken.keystore.node_keys import SESSION_FILE, write_session_key

    pair = ed25519.Pair.generate() if suri_file is None else load_pair(None, "ed25519", None, suri_file)
    if not isinstance(pair, ed25519.Pair):
        raise BadInput("votes are signed with ed25519 keys")
    write_session_key(data_dir / "keys", pair)
    data = {"public": "0x" + pair.public.hex(), "file": str(data_dir / "keys" / SESSION_FILE)}
    out.result(data, _lines(data))


@key.command()
@click.argument("who", required=False)
@click.option("--type", "scheme", type=click.Choice(SCHEMES), default="sr25519", show_default=True)
@click.option("--key-file", type=click.Path(path_type=Path), help="Encrypted key file, as wallets export it.")
@click.option("--suri-file", type=click.Path(path_type=Path), help="File with a secret phrase or URI.")
@output_option
def inspect(who: str | None, scheme: str, key_file: Path | None, suri_file: Path | None, out: Output) -> None:
    """Show the public side of a key.

    WHO is an address, 0x-hex or a development URI; without it, the secret comes from a file or is asked for.
    """
    if who is not None and not is_dev_uri(who):
        account = account_of(who)
        data: dict[str, Any] = {"address": address_of(account), "public": "0x" + account.hex()}
    else:
        data = facts(load_pair(who, scheme, key_file, suri_file), scheme)
    out.result(data, _lines(data))


@key.command(name="list")
@click.option("--folder", type=click.Path(path_type=Path), default=KEY_FOLDER, show_default=True)
@output_option
def list_keys(folder: Path, out: Output) -> None:
    """List the kept keys; no password is needed."""
    from aitoken.keystore.wallet import Wallet

    directory = folder.expanduser()
    rows: list[dict[str, object]] = []
    if directory.is_dir():
        wallet = Wallet(directory)
        for name in wallet.names():
            try:
                document = wallet.document(name)
                rows.append({"name": name, "address": address_of(document.public), "type": document.scheme.value})
            except Rejected as error:
                out.progress(f"{name}: {error}")
    out.table(rows, ("name", "address", "type"))


def facts(pair: Pair, scheme: str) -> dict[str, Any]:
    """The public side of a pair."""
    return {"address": address_of(pair.public), "public": "0x" + pair.public.hex(), "type": scheme}


def _lines(data: dict[str, Any]) -> str:
    return "\n".join(f"{label:<8} {value}" for label, value in data.items())


def _keep(pair: Pair, name: str | None, file: Path | None) -> Path:
    """Write the encrypted key, readable by its owner alone, and never over another."""
    from aitoken.keystore import polkadot_js
    from aitoken.keystore.wallet import Wallet

    if name is not None and (file is not None or NAME.fullmatch(name) is None):
        raise BadInput("give either --file, or as --name up to 40 letters, digits, dots, dashes and underscores")
    password = prompt_secret("New password", confirm=True)
    if not password:
        raise BadInput("a kept key needs a password")
    if name is not None:
        folder = KEY_FOLDER.expanduser()
        Wallet(folder).add(name, pair, password)
        return folder / f"{name}.json"
    path = file or Path()
    write_new(path, polkadot_js.lock(pair, password, meta={"name": path.stem}).to_json())
    return path
