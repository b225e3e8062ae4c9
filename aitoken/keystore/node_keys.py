"""The keys a node needs to start unattended: not encrypted, so all the more only their owner's.

`session.key`  the ed25519 key that signs votes. Two copies in use at once get the validator slashed, so it is made
               once, by a person's command, and never silently at start.
`net.key`      the ed25519 key that is registered beside it as the validator's name among peers.
`session-<first 16 digits of the public key>.key`, `net-<the same digits>.key`
               the keys of a rotation: used from the session on in which the chain lists them; the old ones stay until
               a person removes them.

Each file is one line of 64 hex digits: the 32 secret bytes.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aitoken.crypto import ed25519
from aitoken.errors import Rejected
from aitoken.keystore.files import KeyFileMissing, read_private, write_private

SESSION_FILE: Final = "session.key"
NET_FILE: Final = "net.key"
POSSESSION_PREFIX: Final = b"POP_"

_LINE: Final = re.compile(rb"[0-9a-f]{64}\n?")


class BadNodeKey(Rejected):
    """A node's key file is not one line of 64 hex digits. Its content is not repeated."""

    code = "keystore.bad_node_key"


def session_key(directory: Path) -> ed25519.Pair:
    """Return the pair that signs votes.

    Raises:
        KeyFileMissing: this node has none: it is no validator, or the directory is the wrong one.
    """
    return ed25519.Pair(_read(directory / SESSION_FILE))


def read_key(path: Path) -> ed25519.Pair:
    """Return the pair in one key file."""
    return ed25519.Pair(_read(path))


def write_session_key(directory: Path, pair: ed25519.Pair) -> None:
    """Keep the pair that signs votes.

    Raises:
        KeyFileExists: there is one already; it may be registered on chain, so it is never replaced.
    """
    _write(directory / SESSION_FILE, pair.seed)


@dataclass(frozen=True, slots=True)
class SessionPairs:
    """What a validator registers: the pair that votes and the pair that names its peer."""

    bft: ed25519.Pair
    net: ed25519.Pair

    @property
    def publics(self) -> bytes:
        """Both public keys, in the order of the chain's session keys."""
        return self.bft.public + self.net.public

    def proof(self, owner: bytes) -> bytes:
        """Return what `Session.set_keys` wants to see: that whoever made it holds both keys, for this account."""
        statement = POSSESSION_PREFIX + owner
        return self.bft.sign(statement) + self.net.sign(statement)


def make_session_pairs(directory: Path) -> SessionPairs:
    """Make the first keys of a validator.

    Raises:
        KeyFileExists: there are some.
    """
    pairs = SessionPairs(ed25519.Pair.generate(), ed25519.Pair.generate())
    write_session_key(directory, pairs.bft)
    _write(directory / NET_FILE, pairs.net.seed)
    return pairs


def add_session_pairs(directory: Path) -> SessionPairs:
    """Make further keys beside those in use, for a rotation."""
    pairs = SessionPairs(ed25519.Pair.generate(), ed25519.Pair.generate())
    name = pairs.bft.public.hex()[:16]
    _write(directory / f"session-{name}.key", pairs.bft.seed)
    _write(directory / f"net-{name}.key", pairs.net.seed)
    return pairs


def add_key(directory: Path, kind: str, pair: ed25519.Pair) -> None:
    """Keep a further key under the digits of its own public key; `kind` is "session" or "net".

    Raises:
        KeyFileExists: it is kept already.
    """
    _write(directory / f"{kind}-{pair.public.hex()[:16]}.key", pair.seed)


def net_publics(directory: Path) -> list[bytes]:
    """Return the public keys of all pairs that name a peer."""
    paths = sorted(directory.glob("net*.key")) if directory.is_dir() else []
    return [ed25519.Pair(_read(path)).public for path in paths]


def session_pairs(directory: Path) -> SessionPairs:
    """Return the first keys of a validator; makes the net key where only the voting one is there."""
    bft = session_key(directory)
    try:
        return SessionPairs(bft, ed25519.Pair(_read(directory / NET_FILE)))
    except KeyFileMissing:
        pairs = SessionPairs(bft, ed25519.Pair.generate())
        _write(directory / NET_FILE, pairs.net.seed)
        return pairs


def voting_keys(directory: Path) -> list[ed25519.Pair]:
    """Return every pair that may sign votes: `session.key`, then those of rotations.

    Raises:
        KeyFileMissing: there is none: this node is no validator, or the directory is the wrong one.
    """
    rotated = rotated_keys(directory)
    if rotated and not (directory / SESSION_FILE).exists():
        return rotated
    return [session_key(directory), *rotated]


def rotated_keys(directory: Path) -> list[ed25519.Pair]:
    """Return the pairs of rotations, by name of their files."""
    paths = sorted(directory.glob("session-*.key")) if directory.is_dir() else []
    return [ed25519.Pair(_read(path)) for path in paths]


def _read(path: Path) -> bytes:
    data = read_private(path)
    if _LINE.fullmatch(data) is None:
        raise BadNodeKey(f"{path} is not one line of 64 hex digits")
    return bytes.fromhex(data.decode())


def _write(path: Path, secret: bytes) -> None:
    write_private(path, secret.hex().encode() + b"\n")
