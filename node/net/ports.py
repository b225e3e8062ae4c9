"""What the network room asks of the rest of the node besides `node.ports`, as small Protocols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from aitoken.proto.votes import Certificate, Vote
from aitoken.types import Hash32
from consensus import messages as consensus

if TYPE_CHECKING:
    from aitoken.proto.extrinsic import Extrinsic

PeerId: TypeAlias = bytes
"""The name of a connected peer as other rooms see it: its 32-byte static key."""

ConsensusMessage: TypeAlias = (
    Vote
    | Certificate
    | consensus.Proposal
    | consensus.Status
    | consensus.GetCertificates
    | consensus.GetBlock
    | consensus.BlockReply
    | consensus.NotHave
    | consensus.Evidence
)
"""What is handed to the consensus driver. Proposals arrive with their block in full, or as `Again`."""


class ConsensusInbox(Protocol):
    """The driver, as the network sees it. Called on the event loop, signatures unchecked."""

    def on_message(self, peer: PeerId, message: ConsensusMessage) -> None:
        """A message came from a peer. Raising `Rejected` disconnects the peer and counts against it."""

    def on_connected(self, peer: PeerId) -> None:
        """A peer can be talked to; a validator only after it proved its key."""


class PooledTransaction(Protocol):
    """A transaction that became ready."""

    @property
    def hash(self) -> Hash32:
        """Of the bytes as submitted."""

    @property
    def xt(self) -> Extrinsic:
        """The transaction itself."""

    @property
    def propagate(self) -> bool:
        """Whether peers are told."""


class TransactionPool(Protocol):
    """Transactions waiting for a block (`node.pool`)."""

    def lookup(self, tx_hash: Hash32) -> Extrinsic | None:
        """A transaction that waits, or is in a block not yet final."""

    def ready(self) -> list[bytes]:
        """What could be in the next block, best first."""

    def on_ready(self, call: Callable[[PooledTransaction], None]) -> None:
        """Call for each transaction that becomes ready."""

    def note_broadcast(self, tx_hash: Hash32, peers: Sequence[str]) -> None:
        """Peers were sent this transaction."""

    async def submit_many(self, raws: Sequence[bytes], source: str) -> Sequence[object]:
        """Take a batch from a peer; the outcome of each, in order: its hash, or an exception that is not raised."""


class FinalBlocks(Protocol):
    """Where blocks that peers proved final go (the driver's chain side)."""

    async def import_final(self, blocks: Sequence[tuple[bytes, Sequence[bytes]]], certificate: Certificate) -> bool:
        """Execute and commit `blocks` (header and extrinsics, ascending), the last of which is certified.

        Returns:
            False when they do not fit to header hashes or certificate: the peer that sent them is to blame.
        """
