"""New session keys for a running node: made or brought, kept, and ready to sign before the chain lists them.

The old keys go on signing until the chain lists the new ones, which takes until the session after next once
`Session.set_keys` is in a block; then the signer takes the key that is listed, by itself.

A key that is brought must be new to the chain: one that is registered may be signing elsewhere at this moment, and two
that sign with one key lose the validator's stake. Who moves a validator takes its signing history along
(`aitoken validator export-state`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aitoken.codec.base import compact_encode
from aitoken.crypto import ed25519
from aitoken.crypto.hashing import twox_64_concat
from aitoken.errors import Rejected
from aitoken.keystore import node_keys
from chain.frame.storage import storage_prefix
from chain.state.base import KeyValue
from node.signer.local import LocalSigner
from node.signer.opening import open_key
from node.signer.remote import RemoteSigner
from node.signer.state_file import Owner, create, path_of

BFT: Final = "bft_"
NET: Final = "net_"


def owner_key(public: bytes) -> bytes:
    """Return where the chain keeps whose voting key this is."""
    return storage_prefix("Session", "KeyOwner") + twox_64_concat(BFT.encode() + compact_encode(len(public)) + public)


class CannotRotate(Rejected):
    """This node does not hold its keys itself, or votes with none."""

    code = "signer.cannot_rotate"


@dataclass(frozen=True, slots=True)
class Rotation:
    """Makes keys for the signer of a node."""

    signer: LocalSigner | RemoteSigner | None
    data_dir: Path
    genesis_hash: bytes

    def rotate(self, owner: bytes | None = None) -> tuple[bytes, bytes]:
        """Make session keys; return both public keys, and for an owner the proof that `Session.set_keys` wants.

        Raises:
            CannotRotate: the keys are not held here.
        """
        signer = self._local()
        pairs = node_keys.add_session_pairs(self.data_dir / "keys")
        self._sign_with(signer, pairs.bft)
        return pairs.publics, b"" if owner is None else pairs.proof(owner)

    def _local(self) -> LocalSigner:
        if not isinstance(self.signer, LocalSigner):
            what = "has no key: start it with --validator" if self.signer is None else "asks a signer process for votes"
            raise CannotRotate(f"this node {what}; make keys where they are held: aitoken signer new-keys")
        return self.signer

    def _sign_with(self, signer: LocalSigner, pair: ed25519.Pair) -> None:
        """Sign with a key that never signed anything, from the epoch on that lists it."""
        create(path_of(self.data_dir, pair.public), Owner(self.genesis_hash, pair.public))
        signer.add(open_key(pair, self.data_dir, self.genesis_hash))

    def insert(self, kind: str, pair: ed25519.Pair, state: KeyValue) -> None:
        """Keep a key somebody made: `bft_` votes, `net_` names the peer.

        Args:
            kind: the key type.
            pair: the key.
            state: of the chain now.

        Raises:
            CannotRotate: keys are not held here, there is no such kind, or the key may be in use elsewhere.
            KeyFileExists: it is here already.
        """
        signer = self._local()
        if kind == NET:
            node_keys.add_key(self.data_dir / "keys", "net", pair)
            return
        if kind != BFT:
            raise CannotRotate(f"this chain has keys of the types {BFT} and {NET}, not {kind[:8]!r}")
        if state.get(owner_key(pair.public)) is not None or pair.public in signer.publics:
            raise CannotRotate(
                "this key is registered and may be signing elsewhere: aitoken validator export-state moves a validator"
            )
        node_keys.add_key(self.data_dir / "keys", "session", pair)
        self._sign_with(signer, pair)

    def holds(self, kind: str, public: bytes) -> bool:
        """Whether a key of a kind is kept here."""
        if kind == NET:
            return public in node_keys.net_publics(self.data_dir / "keys")
        return kind == BFT and self.signer is not None and public in self.signer.publics

    def has(self, publics: bytes) -> bool:
        """Whether this node signs with the first of two public keys."""
        return self.signer is not None and len(publics) == 64 and publics[:32] in self.signer.publics
