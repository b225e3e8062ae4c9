"""What JSON-RPC asks of the rest of the node besides `node.ports.ChainView`, as small Protocols.

`node.service` passes the real things, tests pass fakes. All of it is called on the event loop and answers at once;
only `PoolView.submit` and `submit_then` may wait, for signature checks done in slices or in a worker process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aitoken.crypto import ed25519
from aitoken.proto.digest import DigestItem
from aitoken.proto.header import Header
from aitoken.types import AccountId, Hash32, Nonce
from chain.frame.builder import BlockBuilder
from chain.state.base import State
from node.pool.errors import PoolRejected
from node.pool.status import Watcher


@dataclass(frozen=True, slots=True)
class ChainInfo:
    """What a node says about itself and its chain; fixed while it runs."""

    chain: str = "AI Token Devnet"
    chain_type: str = "Development"
    node_name: str = "AI Token Node"
    node_version: str = "0.1.0"
    properties: dict[str, Any] = field(
        default_factory=lambda: {"ss58Format": 42, "tokenDecimals": 12, "tokenSymbol": "AIT"}
    )


class PoolView(Protocol):
    """Transactions waiting for a block."""

    async def submit(self, raw: bytes, watch: Watcher | None = None, *, source: str = "local") -> Hash32:
        """Take a transaction as a wallet sent it (with its length prefix) and return its hash.

        `watch` is told every status from the first (ready or future) on, in order, on the event loop; `source` is
        who brings it, for fairness.

        Raises:
            PoolRejected: the pool does not want it; carries the error object wallets understand.
        """

    def submit_then(self, raw: bytes, source: str, done: Callable[[Hash32 | PoolRejected], None]) -> None:
        """Do what `submit` does without a task: `done` is called once, with the hash or why not; maybe at once."""

    def unwatch(self, tx_hash: Hash32, watch: Watcher) -> None:
        """Stop telling `watch`; the transaction stays. Harmless when it is not watched any more."""

    def ready(self) -> Sequence[bytes]:
        """Transactions that could be in the next block, in that order, each with its length prefix."""

    def next_nonce(self, account: AccountId, on_chain: Nonce) -> Nonce:
        """`on_chain` plus the run of ready transactions of `account` that starts there."""

    def remove(self, tx_hash: Hash32) -> bool:
        """Forget a transaction; whether it was there."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One connected peer as `system_peers` shows it."""

    peer_id: str
    best_hash: Hash32
    best_number: int
    roles: str = "FULL"


class NetworkView(Protocol):
    """Who this node talks to."""

    @property
    def peer_id(self) -> str:
        """Our own name in the network."""

    def peers(self) -> Sequence[Peer]:
        """Connected peers."""

    def listen_addresses(self) -> Sequence[str]:
        """Multiaddresses this node can be dialled at."""

    def is_syncing(self) -> bool:
        """Whether a peer is known to be well ahead of us."""

    def highest_seen(self) -> int:
        """The greatest height a peer told of; 0 when none did."""

    def add_reserved(self, address: str) -> None:
        """Always keep a connection to this peer.

        Raises:
            Rejected: the address means nothing.
        """


class ConsensusView(Protocol):
    """What the agreement is doing."""

    @property
    def is_validator(self) -> bool:
        """Whether this node votes."""

    def round_state(self) -> dict[str, Any]:
        """Epoch, view and votes so far, as JSON values."""

    def rotate_keys(self, owner: bytes | None = None) -> tuple[bytes, bytes]:
        """Make session keys; both public keys, and for an owner the proof that they are held here.

        Raises:
            Rejected: this node does not hold its keys itself.
        """

    def insert_key(self, kind: str, pair: ed25519.Pair) -> None:
        """Keep a key of the kind `bft_` or `net_`.

        Raises:
            Rejected: keys are not held here, or this one may be in use elsewhere.
        """

    def has_key(self, kind: str, public: bytes) -> bool:
        """Whether a key of a kind is kept here."""

    def has_keys(self, publics: bytes) -> bool:
        """Whether this node signs with these session keys."""


class RuntimeApi(Protocol):
    """The read-only face of `chain.runtime`, on an instance of its own for queries."""

    def call(self, state: State, name: str, data: bytes) -> bytes:
        """Run a runtime API such as `Core_version` on `state`.

        Raises:
            UnknownApi: there is none of that name.
            Rejected: it refused its arguments.
        """

    def metadata(self, version: int) -> bytes:
        """The metadata blob of a version, starting with `meta`."""

    def open_block(self, parent_state: State, parent_header: Header, items: Sequence[DigestItem]) -> BlockBuilder:
        """Start a block on top of another one, to see what a transaction does in it."""
