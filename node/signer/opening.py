"""From settings and files to the signer of a node: which key, and whether it may be used here at all.

A key without a record of what it signed is refused, unless nothing was ever signed here: a chain at genesis, without
a journal. A record from another folder or machine is refused: it is a copy. A record that lacks a vote of the last
final block's certificate, or of the journal (`node.driver.driver`), is refused: it is older. Development keys, which
everybody has, are spared the first two, since a devnet's folders come and go, and the lock of the machine, since two
devnets may run on it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aitoken.crypto import ed25519
from aitoken.crypto.derive import Scheme, pair_from_uri
from aitoken.keystore import node_keys
from aitoken.proto.votes import Certificate
from consensus.signed import SignedVotes
from node.config import ValidatorConfig
from node.signer.errors import SignStateElsewhere, SignStateOlder
from node.signer.local import Key, LocalSigner
from node.signer.place import KeyLock
from node.signer.remote import KNOWN_FILE, RemoteSigner, socket_path
from node.signer.state_file import Owner, SignState, create, path_of

WATCH_MS: Final = 30_000
U64_MAX: Final = 2**64 - 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known here of earlier votes, from elsewhere than the sign-state.

    Attributes:
        untouched: nothing was ever voted or committed in this folder.
        certificate: the finalization of the last committed block.
        validators: the keys of its epoch, by index.
    """

    untouched: bool
    certificate: Certificate | None = None
    validators: tuple[bytes, ...] = ()

    def check(self, votes: dict[bytes, SignedVotes]) -> None:
        """Compare with what the sign-states know.

        Raises:
            SignStateOlder: they lack a vote.
        """
        certificate = self.certificate
        for index in certificate.signers() if certificate is not None else ():
            held = votes.get(self.validators[index]) if index < len(self.validators) else None
            if (
                held is not None
                and certificate is not None
                and not held.knows(certificate.kind, certificate.epoch, certificate.view, certificate.hash)
            ):
                raise SignStateOlder(
                    _older(f"the chain holds its vote of epoch {certificate.epoch}, view {certificate.view}")
                )


def open_signer(
    config: ValidatorConfig,
    data_dir: Path,
    genesis_hash: bytes,
    evidence: Evidence,
    on_failure: Callable[[BaseException], None],
) -> LocalSigner | RemoteSigner | None:
    """Return whoever signs for this node; None for a node that only follows.

    Raises:
        Unavailable: the key may not be used here (`node.signer.errors`), or the disk refuses.
        Rejected: a key file is missing or can be read by others.
    """
    if not config.enabled:
        return None
    if config.signer:
        return RemoteSigner(socket_path(config.signer), genesis_hash, data_dir / KNOWN_FILE)
    development = bool(config.dev_key)
    keys: list[Key] = []
    pairs = _pairs(config, data_dir)
    remembers = not development and all(path_of(data_dir, pair.public).exists() for pair in pairs)
    try:
        for pair in pairs:
            key = open_key(pair, data_dir, genesis_hash, development=development, untouched=evidence.untouched)
            keys.append(key)
        if not development:
            evidence.check({key.pair.public: key.state.votes for key in keys if key.state is not None})
    except BaseException:
        for key in keys:
            key.close()
        raise
    return LocalSigner(genesis_hash, keys, on_failure, remembers=remembers)


def open_key(
    pair: ed25519.Pair, data_dir: Path, genesis_hash: bytes, *, development: bool = False, untouched: bool = False
) -> Key:
    """Open the sign-state of a key, or make it where nothing can have been signed."""
    owner = Owner(genesis_hash, pair.public)
    path = path_of(data_dir, pair.public)
    lock = None if development else KeyLock(genesis_hash, pair.public)
    try:
        if not path.exists() and (development or untouched):
            create(path, owner)
            log.info("a new record of what the key signs", extra={"public": pair.public})
        return Key(pair, _open(path, owner, development=development), lock)
    except BaseException:
        if lock is not None:
            lock.release()
        raise


def watch_ms(config: ValidatorConfig) -> int:
    """Return how long to listen before the first vote."""
    if config.watch_seconds is not None:
        return config.watch_seconds * 1000
    return 0 if config.dev_key else WATCH_MS


def _open(path: Path, owner: Owner, *, development: bool) -> SignState:
    try:
        return SignState(path, owner)
    except SignStateElsewhere:
        if not development:
            raise
        return SignState(path, owner, adopt=True)


def _pairs(config: ValidatorConfig, data_dir: Path) -> list[ed25519.Pair]:
    if config.dev_key:
        pair = pair_from_uri(config.dev_key, Scheme.ED25519)
        if not isinstance(pair, ed25519.Pair):
            raise TypeError("an ed25519 URI gives an ed25519 pair")
        return [pair, *node_keys.rotated_keys(data_dir / "keys")]
    if config.key_file is not None:
        return [node_keys.read_key(config.key_file), *node_keys.rotated_keys(data_dir / "keys")]
    return node_keys.voting_keys(data_dir / "keys")


def _older(what: str) -> str:
    return (
        f"the record of what the key signed is older than what it signed: {what}. Put the newer sign-state back; where "
        "it is lost, set new session keys (aitoken validator rotate-keys) and remove the old key file"
    )
