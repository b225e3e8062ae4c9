"""What the consensus driver needs of the shell, as small Protocols; the simulator passes its own.

All calls are made on one event loop. A `done` may be called at once or later, exactly once, never after the process
decided to stop. Nothing here returns an awaitable: the driver is plain callbacks, so that virtual time can run it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from aitoken.proto.digest import NextEpoch
from aitoken.proto.votes import Certificate
from aitoken.types import Hash32
from consensus.messages import Evidence, Message
from consensus.types import Block, Peer, Slot


class Journal(Protocol):
    """The file of own votes, certificates and blocks (`consensus.journal` says what the records are)."""

    @property
    def size(self) -> int:
        """Bytes in the current segment."""

    def append(self, record: bytes) -> None:
        """Add a record, in order; it need not be on disk yet."""

    def barrier(self, done: Callable[[], None]) -> None:
        """Call `done` when everything appended is on disk. A failure ends the process; it is never retried."""

    def restart(self, records: Sequence[bytes], done: Callable[[], None]) -> None:
        """Begin a new segment that holds exactly `records`, durable before `done`; the old one is gone only then."""


class VotingRecord(Protocol):
    """The small file that outlives a lost journal: the highest epoch in which this key voted."""

    @property
    def epoch(self) -> int | None:
        """That epoch; None without a record. A damaged record counts as the journal being lost, not as None."""

    def raise_to(self, epoch: int) -> None:
        """Write a higher epoch, durable on return."""


class Transport(Protocol):
    """Connections to other nodes; `Peer` is whatever names one."""

    def begin_epoch(self, keys: Sequence[bytes]) -> None:
        """Learn the validator keys of the epoch that runs from now on."""

    def broadcast(self, message: Message) -> None:
        """Send to every connected validator of the epoch."""

    def announce(self, message: Message) -> None:
        """Send to every connected peer that is no validator of the epoch."""

    def send(self, peer: Peer, message: Message) -> None:
        """Send to one peer; nothing happens where the connection is gone."""

    def peers(self) -> Sequence[Peer]:
        """Return the connected peers, in a stable order."""

    def validator(self, key: bytes) -> Peer | None:
        """Return the peer that proved to hold this validator key, where it is directly connected."""

    def misbehaved(self, peer: Peer, code: str) -> None:
        """The peer sent something that no honest node sends; `code` is that of the error."""


class Executor(Protocol):
    """The chain: builds, executes and commits blocks. Parents are executed or committed before their children."""

    def build(self, parent_hash: Hash32, slot: Slot, proof: bytes, done: Callable[[Block | None], None]) -> None:
        """Build a block for `slot` that carries our VRF proof; it counts as executed. None when it cannot be built."""

    def verify(self, block: Block, done: Callable[[bool], None]) -> None:
        """Execute a block: whether it is valid on its parent, header and state root included."""

    def commit(self, certificate: Certificate, block_hash: Hash32, done: Callable[[], None]) -> None:
        """Make an executed block and its uncommitted ancestors final, durable before `done`."""


class Archive(Protocol):
    """What is known of committed blocks, and how blocks read."""

    def read(self, header: bytes, extrinsics: tuple[bytes, ...]) -> Block:
        """Return the block with these parts, without executing it.

        Raises:
            Rejected: the header does not read.
        """

    def block(self, block_hash: Hash32) -> tuple[bytes, tuple[bytes, ...]] | None:
        """Return header and extrinsics of a committed block, to serve a peer."""

    def terminal_certificate(self, epoch: int) -> Certificate | None:
        """Return the finalization that ended an epoch; kept for ever."""

    def next_epoch(self, block: Block) -> NextEpoch:
        """Return what a committed terminal block announces."""


class Signer(Protocol):
    """Whoever holds the validator's keys; it refuses what must not be signed by a memory of its own."""

    @property
    def public(self) -> bytes:
        """The present 32-byte key."""

    @property
    def remembers(self) -> bool:
        """Whether its memory is as old as the keys: then nobody else need tell what they signed."""

    def choose(self, validators: Sequence[bytes], /) -> None:
        """An epoch with these keys begins: make the one present that is among them."""

    def sign_vote(self, kind: int, epoch: int, view: int, block_hash: bytes, final_view: int) -> bytes:
        """Return the 64-byte signature of a vote, durably noted before, or at the latest when a next barrier is over.

        Raises:
            VoteRefused: it is not made; the next one may be.
            Unavailable: nothing is signed until `Driver.signer_is_back`.
        """

    def prove_view(self, epoch: int, view: int, seed: bytes) -> bytes:
        """Return the 80-byte VRF proof for a view of the epoch with that seed; the same each time, so never harmful.

        Raises:
            Unavailable: nothing is signed until `Driver.signer_is_back`.
        """

    def knows(self, kind: int, epoch: int, view: int, block_hash: bytes) -> bool:
        """Whether its memory can have seen this vote of ours; False proves that it is older than the vote."""


class Verify(Protocol):
    """Checks one signature; `aitoken.crypto.ed25519.verify` is it."""

    def __call__(self, signature: bytes, message: bytes, public: bytes, /) -> bool:
        """Whether `signature` over `message` is by the key `public`."""


class Observer(Protocol):
    """Whoever is told what consensus finds out."""

    def head(self, block_hash: Hash32) -> None:
        """The block is the best one now; it is executed."""

    def evidence(self, evidence: Evidence) -> None:
        """Somebody provably cheated; both signatures are right."""

    def behind(self, certificate: Certificate) -> None:
        """This certificate is final and right, but its block or an ancestor is not here: the syncer may help."""

    def alarm(self, code: str, reason: str) -> None:
        """This node stopped signing; people must look. The sentence says why and what to do."""
