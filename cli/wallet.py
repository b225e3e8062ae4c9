"""Which key a command means, and how its secret gets in: a file or a prompt, never the command line.

Only development URIs (`//Alice`, `//Alice//stash`) are taken as arguments: everybody knows their secrets.
"""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cli.exits import BadInput

if TYPE_CHECKING:
    from aitoken.crypto.derive import Pair
    from aitoken.keystore.polkadot_js import KeyDocument

DEV_URI: Final = re.compile(r"(//[A-Za-z0-9_-]+)+", re.ASCII)
KEY_FOLDER: Final = Path("~/.aitoken/keys")
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", re.ASCII)
"""What may be the name of a kept key; shorter than any address."""
SECRET_FILE_BYTES_MAX: Final = 64 * 1024


def no_core_dumps() -> None:
    """Keep secrets of this process out of core files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def is_dev_uri(text: str) -> bool:
    """Whether this names a development key, whose secret is public."""
    return DEV_URI.fullmatch(text) is not None


def account_of(text: str, scheme: str = "sr25519") -> bytes:
    """The 32 bytes of an account given as SS58 address, 0x-hex, development URI or name of a kept key.

    Raises:
        BadInput: it is none of them.
        BadAddress: it looks like an address and is mistyped.
    """
    from aitoken.crypto import ss58
    from aitoken.crypto.derive import pair_from_uri

    if is_dev_uri(text):
        return bytes(pair_from_uri(text, scheme).public)
    if text.startswith("0x"):
        if not re.fullmatch(r"0x[0-9a-fA-F]{64}", text):
            raise BadInput("an account in hex is 0x and 64 hex digits")
        return bytes.fromhex(text[2:])
    if NAME.fullmatch(text):
        if (kept := kept_key(text)) is not None:
            return kept[1].public
        raise BadInput(f"{text!r} is no address, and no key is kept under that name: see aitoken key list")
    if any(character in text for character in " /"):
        raise BadInput("give an address here; a secret phrase belongs into --suri-file or the prompt")
    return ss58.decode(text)[0]


def address_of(account: bytes) -> str:
    """The SS58 address wallets show."""
    from aitoken.crypto import ss58

    return ss58.encode(account)


def load_pair(who: str | None, scheme: str, key_file: Path | None, suri_file: Path | None) -> Pair:
    """The signing pair of `who`.

    Args:
        who: a development URI, a kept key, or an address the secret must belong to; None takes whatever the secret is.
        scheme: sr25519 or ed25519, for secrets that do not say so themselves.
        key_file: an encrypted key file as wallets export it.
        suri_file: a file with the secret phrase or URI as its only line.

    Raises:
        BadInput: the secret is missing, unreadable, or belongs to another account.
    """
    no_core_dumps()
    if key_file is not None and suri_file is not None:
        raise BadInput("--key-file and --suri-file exclude each other")
    pair = _pair(who, scheme, key_file, suri_file)
    if who is not None and (wanted := account_of(who, scheme)) != pair.public:
        raise BadInput(f"the secret belongs to {address_of(pair.public)}, not to {address_of(wanted)}")
    return pair


def _pair(who: str | None, scheme: str, key_file: Path | None, suri_file: Path | None) -> Pair:
    from aitoken.crypto.derive import pair_from_uri
    from aitoken.keystore import polkadot_js

    if suri_file is not None:
        return pair_from_uri(secret_line(suri_file), scheme)
    if key_file is not None:
        document = polkadot_js.parse(read_secret(key_file).encode())
        return document.unlock(prompt_secret(f"Password of {key_file.name}"))
    if who is not None and is_dev_uri(who):
        return pair_from_uri(who, scheme)
    if who is not None and (kept := kept_key(who)) is not None:
        name, document = kept
        return document.unlock(prompt_secret(f"Password of {name}"))
    return pair_from_uri(prompt_secret("Secret phrase or URI"), scheme)


def kept_key(who: str, folder: Path | None = None) -> tuple[str, KeyDocument] | None:
    """Name and encrypted document of a key in the key folder, by its name or address."""
    from aitoken.keystore.wallet import Wallet

    directory = (folder or KEY_FOLDER).expanduser()
    if not directory.is_dir():
        return None
    wallet = Wallet(directory)
    for name in wallet.names():
        document = wallet.document(name)
        if who in {name, document.address} or who == address_of(document.public):
            return name, document
    return None


def prompt_secret(what: str, *, confirm: bool = False) -> str:
    """Ask for a secret without showing it."""
    return str(click.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True))


def secret_line(file: Path) -> str:
    """The only line of a file that holds a secret."""
    lines = read_secret(file).strip().splitlines()
    if len(lines) != 1:
        raise BadInput(f"{file} must hold the secret as its only line")
    return lines[0].strip()


def read_secret(file: Path) -> str:
    """The text of a file that holds a secret; a warning where others can read it."""
    try:
        if file.stat().st_mode & 0o077:
            click.echo(f"warning: other users of this machine can read {file}; run: chmod 600 {file}", err=True)
        with file.open(encoding="utf-8") as stream:
            return stream.read(SECRET_FILE_BYTES_MAX)
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{file} is not text") from None


def write_new(path: Path, data: bytes) -> None:
    """Write a secret where the person wants it: readable by its owner alone, never over another file."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadInput(f"{path} exists: a secret is never overwritten") from None
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(descriptor)
