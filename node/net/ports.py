"""What the network room asks of the rest of the node besides `node.ports`, as small Protocols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from aitoken.proto.votes import Certificate, Vote
from aitoken.types import Hash32
from consensus import messages as consensus
from consensus.types import Block

if TYPE_CHECKING:
    from aitoken.proto.extrinsic import Extrinsic
    from consensus.core import Core
    from node.net.peer import Peer
    from node.net.score import Deed

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
    | consensus.FinalityNote
)
"""What is handed to the consensus driver. Proposals arrive with their block in full, or as `Again`."""


class Consensus(Protocol):
    """The consensus driver, as the network sees it (`node.driver.driver.Driver`). Signatures are unchecked."""

    def receive(self, peer: PeerId, message: ConsensusMessage) -> None:
        """A message came from a peer. Proposals and blocks have the body that their header names."""

    def connected(self, peer: PeerId) -> None:
        """A peer can be talked to; a validator only after it proved its key."""

    def disconnected(self, peer: PeerId) -> None:
        """A connection is gone."""

    @property
    def core(self) -> Core:
        """The agreement of the running epoch; its validators are the mesh."""

    @property
    def committed(self) -> Block:
        """The last committed block."""

    def synced(self, blocks: Sequence[Block], certificate: Certificate) -> None:
        """Take a range of final blocks, the last of which is certified.

        Raises:
            Rejected: the certificate is wrong: its sender is to blame.
        """


class Ahead(Protocol):
    """Whoever may begin to work on blocks before they are offered to consensus (`node.chain.ahead`)."""

    def expect(self, blocks: Sequence[Block]) -> None:
        """These blocks are likely to be executed soon, after those expected before."""

    def forget(self) -> None:
        """They are not."""

    async def rest(self) -> None:
        """Nothing more comes for a while."""


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

    def on_ready(self, call: Callable[[Sequence[PooledTransaction]], None]) -> None:
        """Call with transactions that became ready, soon after they did."""

    def note_broadcast(self, tx_hash: Hash32, peers: Sequence[str]) -> None:
        """Peers were sent this transaction."""

    async def submit_many(
        self, raws: Sequence[bytes], source: str, hashes: Sequence[Hash32] | None = None
    ) -> Sequence[object]:
        """Take a batch from a peer; the outcome of each, in order: its hash, or an exception that is not raised.

        `hashes` are those of `raws`, computed already.
        """


class Neighbours(Protocol):
    """The connections, as gossip and sync see them (`node.net.network`)."""

    def open_peers(self) -> Sequence[Peer]:
        """Return all of them."""

    def validator_peers(self) -> Sequence[Peer]:
        """Return those that proved to be validators."""

    def is_validator(self, peer: Peer) -> bool:
        """Whether a peer is one of those."""

    def is_wanted(self, peer: Peer) -> bool:
        """Whether a peer behaves well enough to be asked for something."""

    def punish(self, peer: Peer, deed: Deed, why: str = "") -> None:
        """Count what a peer did."""
