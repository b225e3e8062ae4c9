"""The files of a validator, looked at while its node is stopped: keys and what they signed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.exits import BadInput
from cli.genesis import facts_of
from cli.specs import read_spec

if TYPE_CHECKING:
    from aitoken.crypto import ed25519
    from node.signer.state_file import SignState


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain a key is for."""

    name: str
    genesis_hash: bytes


def chain_of(genesis_file: Path) -> Chain:
    """The name and genesis hash of a genesis file."""
    facts = facts_of(read_spec(genesis_file))
    return Chain(facts.name, facts.hash)


def keys_of(data_dir: Path, key_file: Path | None) -> list[ed25519.Pair]:
    """Every voting key of a node.

    Raises:
        KeyFileMissing: it has none.
    """
    from aitoken.keystore import node_keys
    from node.signer import memory

    memory.protect()
    return [node_keys.read_key(key_file)] if key_file is not None else node_keys.voting_keys(data_dir / "keys")


@contextmanager
def opened(data_dir: Path, public: bytes, genesis_hash: bytes, *, adopt: bool = False) -> Iterator[SignState]:
    """The sign-state of a key, held for this command alone.

    Raises:
        Unavailable: a node uses it, or it cannot be used here.
    """
    from node.signer.state_file import Owner, SignState, path_of

    state = SignState(path_of(data_dir, public), Owner(genesis_hash, public), adopt=adopt)
    try:
        yield state
    finally:
        state.close()


def has_history(data_dir: Path) -> bool:
    """Whether a node has run in the folder: a key there may have signed."""
    return any((data_dir / name).exists() for name in ("journal", "voting.json"))


def voted_epoch(data_dir: Path) -> int | None:
    """The highest epoch in which a key of the folder voted, by its voting record."""
    from node.store.voting_record import VotingRecordFile

    return VotingRecordFile(data_dir / "voting.json").epoch


def parse_hex(text: str, size: int, what: str) -> bytes:
    """Bytes given as 0x-hex.

    Raises:
        BadInput: they are not `size` bytes.
    """
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        data = b""
    if len(data) != size:
        raise BadInput(f"{what} must be 0x and {2 * size} hex digits")
    return data
