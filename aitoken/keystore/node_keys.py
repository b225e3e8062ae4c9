"""The keys a node needs to start unattended: not encrypted, so all the more only their owner's.

`network.key`  the X25519 static key of the peer transport: the node's name among peers. Losing it costs the name.
`session.key`  the ed25519 key that signs votes. Two copies in use at once get the validator slashed, so it is made
               once, by a person's command, and never silently at start.

Each file is one line of 64 hex digits: the 32 secret bytes.
"""

import re
from pathlib import Path
from typing import Final

from aitoken.crypto import ed25519, noise
from aitoken.errors import Rejected
from aitoken.keystore.files import KeyFileMissing, read_private, write_private

NETWORK_FILE: Final = "network.key"
SESSION_FILE: Final = "session.key"

_LINE: Final = re.compile(rb"[0-9a-f]{64}\n?")


class BadNodeKey(Rejected):
    """A node's key file is not one line of 64 hex digits. Its content is not repeated."""

    code = "keystore.bad_node_key"


def network_key(directory: Path) -> bytes:
    """Return the 32 secret bytes of this node's X25519 key; make the file at the first call."""
    path = directory / NETWORK_FILE
    try:
        return _read(path)
    except KeyFileMissing:
        private = noise.generate_private()
        _write(path, private)
        return private


def session_key(directory: Path) -> ed25519.Pair:
    """Return the pair that signs votes.

    Raises:
        KeyFileMissing: this node has none: it is no validator, or the directory is the wrong one.
    """
    return ed25519.Pair(_read(directory / SESSION_FILE))


def write_session_key(directory: Path, pair: ed25519.Pair) -> None:
    """Keep the pair that signs votes.

    Raises:
        KeyFileExists: there is one already; it may be registered on chain, so it is never replaced.
    """
    _write(directory / SESSION_FILE, pair.seed)


def _read(path: Path) -> bytes:
    data = read_private(path)
    if _LINE.fullmatch(data) is None:
        raise BadNodeKey(f"{path} is not one line of 64 hex digits")
    return bytes.fromhex(data.decode())


def _write(path: Path, secret: bytes) -> None:
    write_private(path, secret.hex().encode() + b"\n")
