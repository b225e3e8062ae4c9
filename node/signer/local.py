"""The signer whose keys are in this process: each vote is on disk, in the key's own sign-state, before it is signed.

It signs three kinds of statement and nothing else: votes, "this connection is mine" and "here I can be dialled". Each
has a prefix of its own, so that none can be taken for another. What the journal or the consensus core think is of no
importance here: this is the second lock on the same door. Where votes leave only after a sync of the journal, both
files are synced at the same time: `beside_the_journal`.

It also makes the VRF proof of a view. There is one output for a view, whoever asks how often, so nothing is written
down. Nonces of proofs and signatures share a secret: no statement signed here may ever be 32 bytes that others choose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aitoken.crypto import ed25519
from aitoken.errors import Bug
from aitoken.proto import randomness
from aitoken.proto.votes import sign_bytes
from node.net.address_record import AddressRecord
from node.net.peer_auth import peer_statement
from node.signer.errors import SignerLost
from node.signer.place import KeyLock
from node.signer.state_file import SignState
from node.store.errors import StoreFailed


@dataclass(frozen=True, slots=True)
class Key:
    """A key, the file of what it signed, and the lock that keeps other processes of this machine off it.

    A key without a file signs no votes: it names a peer, as in tests of the network.
    """

    pair: ed25519.Pair
    state: SignState | None
    lock: KeyLock | None = None

    def close(self) -> None:
        """Let go of file and lock."""
        if self.state is not None:
            self.state.close()
        if self.lock is not None:
            self.lock.release()


class LocalSigner:
    """Signs with the keys of this process; one of them is the present one."""

    def __init__(
        self,
        genesis_hash: bytes,
        keys: Sequence[Key],
        on_failure: Callable[[BaseException], None] | None = None,
        *,
        remembers: bool = False,
    ) -> None:
        """Keep the keys.

        Args:
            genesis_hash: the chain.
            keys: the first one is present until `choose` finds another in the set of validators.
            on_failure: told when the disk fails; the process must end then.
            remembers: the sign-states are as old as the keys (`node.driver.ports.Signer.remembers`).
        """
        self.remembers = remembers
        if not keys:
            raise Bug("a signer without a key")
        self._genesis_hash = genesis_hash
        self._keys = {key.pair.public: key for key in keys}
        self._key = keys[0]
        self._on_failure = on_failure
        self._is_beside = False

    @property
    def public(self) -> bytes:
        """The present key."""
        return self._key.pair.public

    @property
    def publics(self) -> tuple[bytes, ...]:
        """All keys."""
        return tuple(self._keys)

    def add(self, key: Key) -> None:
        """Hold a further key; it is present from the epoch on whose validators it is among."""
        self._keys[key.pair.public] = key

    def choose(self, validators: Sequence[bytes]) -> None:
        """Make the key present that is among the validators of an epoch; without one, nothing changes."""
        found = next((self._keys[public] for public in validators if public in self._keys), None)
        if found is not None:
            self._key = found

    def of(self, public: bytes) -> Key:
        """Return one of the keys.

        Raises:
            SignerLost: it is none of these.
        """
        found = self._keys.get(public)
        if found is None:
            raise SignerLost(f"the key 0x{public.hex()} is not here")
        return found

    def beside_the_journal(self) -> Callable[[], None]:
        """From now on `sign_vote` does not wait for the disk; no vote may leave before a call of what this returns.

        It returns when all votes signed so far are on disk, and raises `WriteFailed` where they are not.
        """
        self._is_beside = True
        return self.settle

    def settle(self) -> None:
        """Return when all votes signed so far are on disk. Any thread may call it.

        Raises:
            WriteFailed: the disk refuses; nothing is signed any more.
        """
        for key in tuple(self._keys.values()):
            if key.state is not None:
                key.state.settle()

    def sign_vote(self, kind: int, epoch: int, view: int, block_hash: bytes, final_view: int = 0) -> bytes:
        """Return the signature of a vote, once it is on disk that it was made (but see `beside_the_journal`).

        Raises:
            VoteRefused: it, or one that excludes it, may have been signed.
            SignerLost: the disk refuses; nothing is signed any more.
        """
        return self._sign_vote(self._key, kind, epoch, view, block_hash, final_view, is_beside=self._is_beside)

    def sign_vote_with(
        self, key: Key, kind: int, epoch: int, view: int, block_hash: bytes, final_view: int = 0
    ) -> bytes:
        """Return the signature of a vote by one of the keys, once it is on disk that it was made (`sign_vote`)."""
        return self._sign_vote(key, kind, epoch, view, block_hash, final_view, is_beside=False)

    def _sign_vote(
        self, key: Key, kind: int, epoch: int, view: int, block_hash: bytes, final_view: int, *, is_beside: bool
    ) -> bytes:
        if key.state is None:
            raise Bug("a key without a sign-state signs no votes")
        try:
            note = key.state.write_down if is_beside else key.state.enter
            note(kind, epoch, view, block_hash, final_view)
        except StoreFailed as failure:
            if self._on_failure is not None:
                self._on_failure(failure)
            raise SignerLost(str(failure)) from failure
        return key.pair.sign(sign_bytes(self._genesis_hash, kind, epoch, view, block_hash))

    def prove_view(self, epoch: int, view: int, seed: bytes) -> bytes:
        """Return the present key's VRF proof for a view of the epoch with this seed."""
        return self.prove_view_with(self._key, epoch, view, seed)

    def prove_view_with(self, key: Key, epoch: int, view: int, seed: bytes) -> bytes:
        """Return the VRF proof of one of the keys (`prove_view`)."""
        return randomness.prove(key.pair, self._genesis_hash, seed, epoch, view)

    def knows(self, kind: int, epoch: int, view: int, block_hash: bytes) -> bool:
        """Whether the sign-state can have seen a vote that was made; False proves that it is older."""
        state = self._key.state
        return state is None or state.votes.knows(kind, epoch, view, block_hash)

    def sign_peer(self, handshake_hash: bytes, *, initiator: bool) -> bytes:
        """Return the signature that binds the present key to one end of a connection."""
        return self.sign_peer_with(self._key, handshake_hash, initiator=initiator)

    def sign_peer_with(self, key: Key, handshake_hash: bytes, *, initiator: bool) -> bytes:
        """Return the signature that binds a key to one end of a connection."""
        if len(handshake_hash) != 32:
            raise Bug(f"a handshake hash of {len(handshake_hash)} bytes")
        return key.pair.sign(peer_statement(self._genesis_hash, handshake_hash, initiator=initiator))

    def sign_address(self, record: AddressRecord) -> bytes:
        """Return the signature of an address record of the present key."""
        return self.sign_address_with(self._key, record)

    def sign_address_with(self, key: Key, record: AddressRecord) -> bytes:
        """Return the signature of an address record."""
        if record.session != key.pair.public:
            raise Bug("an address record of another key")
        return key.pair.sign(record.sign_bytes(self._genesis_hash))

    def close(self) -> None:
        """Let go of all files and locks."""
        for key in self._keys.values():
            key.close()
