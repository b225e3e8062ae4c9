"""What JSON-RPC asks of the rest of the node besides `node.ports.ChainView`, as small Protocols.

`node.service` passes the real things, tests pass fakes. All of it is called on the event loop and answers at once;
only `PoolView.submit` may wait, for signature checks done in slices or in a worker process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from aitoken.errors import Rejected
from aitoken.types import AccountId, Hash32, Nonce
from chain.state.base import State
from node.ports import Cancellable

TxStatusKind = Literal[
    "future",
    "ready",
    "broadcast",
    "in_block",
    "retracted",
    "finality_timeout",
    "finalized",
    "usurped",
    "dropped",
    "invalid",
]
FINAL_STATUSES: frozenset[str] = frozenset({"finality_timeout", "finalized", "usurped", "dropped", "invalid"})
"""After one of these nothing more is told about a transaction."""


@dataclass(frozen=True, slots=True)
class TxStatus:
    """What became of a pooled transaction.

    `block` belongs to in_block, retracted, finality_timeout and finalized; `by` (the hash of the transaction that
    took its place) to usurped; `peers` to broadcast; `reason` may explain dropped and invalid.
    """

    kind: TxStatusKind
    block: Hash32 | None = None
    by: Hash32 | None = None
    peers: tuple[str, ...] = ()
    reason: str = ""


class SubmissionRefused(Rejected):
    """The pool does not take a transaction; carries the error object wallets understand.

    Args:
        number: JSON-RPC error code, 1001 to 1021 (contract, section 6).
        message: its exact text.
        data: the explanation, exact where the contract gives one.
    """

    code = "pool.refused"

    def __init__(self, number: int, message: str, data: str | None = None) -> None:
        super().__init__(f"{message}: {data}" if data else message)
        self.number = number
        self.message = message
        self.data = data


class PoolView(Protocol):
    """Transactions waiting for a block."""

    async def submit(self, raw: bytes, watch: Callable[[TxStatus], None] | None = None) -> Hash32:
        """Take a transaction as a wallet sent it (with its length prefix) and return its hash.

        `watch` is told every status from the first (`ready` or `future`) on, in order, on the event loop, never
        before this call has returned its first suspension and never after a final status.

        Raises:
            SubmissionRefused: the pool does not want it.
        """

    def unwatch(self, tx_hash: Hash32, watch: Callable[[TxStatus], None]) -> None:
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


class ConsensusView(Protocol):
    """What the agreement is doing."""

    @property
    def is_validator(self) -> bool:
        """Whether this node votes."""

    def round_state(self) -> dict[str, Any]:
        """Epoch, view and votes so far, as JSON values."""


class RuntimeApi(Protocol):
    """The read-only face of `chain.runtime`, on an instance of its own for queries."""

    def call(self, state: State, name: str, data: bytes) -> bytes:
        """Run a runtime API such as `Core_version` on `state`.

        Raises:
            UnknownRuntimeApi: there is none of that name.
            Rejected: it refused its arguments.
        """

    def metadata(self, version: int) -> bytes:
        """The metadata blob of a version, starting with `meta`."""


class Subscribable(Protocol):
    """Something that can be listened to and left again."""

    def subscribe(self, listener: Callable[[Any], None]) -> Cancellable:
        """Tell `listener` from now on."""
