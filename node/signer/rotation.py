"""New session keys for a running node: made, kept and ready to sign before anybody outside knows of them.

The old keys go on signing until the chain lists the new ones, which takes until the session after next once
`Session.set_keys` is in a block; then the signer takes the key that is listed, by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aitoken.errors import Rejected
from aitoken.keystore import node_keys
from node.signer.local import LocalSigner
from node.signer.opening import open_key
from node.signer.remote import RemoteSigner
from node.signer.state_file import Owner, create, path_of


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
        if not isinstance(self.signer, LocalSigner):
            what = "has no key: start it with --validator" if self.signer is None else "asks a signer process for votes"
            raise CannotRotate(f"this node {what}; make keys where they are held: aitoken signer new-keys")
        pairs = node_keys.add_session_pairs(self.data_dir / "keys")
        create(path_of(self.data_dir, pairs.bft.public), Owner(self.genesis_hash, pairs.bft.public))
        self.signer.add(open_key(pairs.bft, self.data_dir, self.genesis_hash))
        return pairs.publics, b"" if owner is None else pairs.proof(owner)

    def has(self, publics: bytes) -> bool:
        """Whether this node signs with the first of two public keys."""
        return self.signer is not None and len(publics) == 64 and publics[:32] in self.signer.publics
