"""The validators' keys: played where only the order of things matters, real where their cost does."""

from __future__ import annotations

from hashlib import blake2b

from aitoken.crypto import ed25519, vrf
from aitoken.proto import randomness
from aitoken.proto.randomness import PROOF_SIZE
from aitoken.proto.votes import sign_bytes
from node.driver.ports import Verify
from simulation.ledger import GENESIS


class PlayedKeys:
    """A signature is the key twice; whether it was ever made, `simulation.world.Registry` knows."""

    def __init__(self) -> None:
        self._owners: dict[bytes, int] = {}

    def of(self, node: int, generation: int) -> bytes:
        """Return one of the keys of a node; twins share theirs."""
        key = b"key-%05d-%022d" % (node, generation)
        self._owners[key] = node
        return key

    def node_of(self, key: bytes) -> int:
        """Return whose key this is."""
        return self._owners[key]

    def sign(self, key: bytes, kind: int, epoch: int, view: int, block_hash: bytes) -> bytes:
        """Return the signature of a vote."""
        del kind, epoch, view, block_hash
        return key * 2

    def prove(self, key: bytes, epoch: int, view: int, seed: bytes) -> bytes:
        """Return the VRF proof for a view; nobody asks for that of another's key."""
        return blake2b(b"%b|%d|%d|%b" % (key, epoch, view, seed)).digest().ljust(PROOF_SIZE, b"\0")

    def proves(self, key: bytes, proof: bytes, epoch: int, view: int, seed: bytes) -> bool:
        """Whether it is that proof."""
        return proof == self.prove(key, epoch, view, seed)

    def verifier(self, played: Verify) -> Verify:
        """Return what checks signatures."""
        return played


class RealKeys(PlayedKeys):
    """ed25519, as on a real chain.

    Args:
        verify: checks a signature; a measurement counts and times it.
    """

    def __init__(self, verify: Verify = ed25519.verify) -> None:
        super().__init__()
        self._verify = verify
        self._pairs: dict[bytes, ed25519.Pair] = {}

    def of(self, node: int, generation: int) -> bytes:
        """Return one of the keys of a node."""
        pair = ed25519.Pair(b"%016d%016d" % (node, generation))
        self._pairs[pair.public] = pair
        self._owners[pair.public] = node
        return pair.public

    def sign(self, key: bytes, kind: int, epoch: int, view: int, block_hash: bytes) -> bytes:
        """Return the signature of a vote."""
        return self._pairs[key].sign(sign_bytes(GENESIS.hash, kind, epoch, view, block_hash))

    def prove(self, key: bytes, epoch: int, view: int, seed: bytes) -> bytes:
        """Return the VRF proof for a view."""
        return randomness.prove(self._pairs[key], GENESIS.hash, seed, epoch, view)

    def proves(self, key: bytes, proof: bytes, epoch: int, view: int, seed: bytes) -> bool:
        """Whether it is a right one."""
        message = randomness.message_of(GENESIS.hash, seed, epoch, view)
        return vrf.verify(proof, message, key) is not None

    def verifier(self, played: Verify) -> Verify:
        """Return what checks signatures."""
        del played
        return self._verify
