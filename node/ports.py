"""What the rooms of the shell ask of each other, as small Protocols kept in one place so that fakes are easy.

The real things are built in `node.service`, the one composition root; simulation and tests pass their own.
All of it runs on one event loop: nothing here blocks for longer than a slice of work, nothing is thread-safe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from aitoken.proto.extrinsic import Extrinsic
    from aitoken.proto.header import Header
    from aitoken.types import BlockNumber, Hash32
    from chain.state.base import State


class Cancellable(Protocol):
    """A pending call that can be called off."""

    def cancel(self) -> None:
        """Call it off; harmless when it already ran."""


class Timer(Protocol):
    """A call that is put off again and again, and seldom made."""

    def set(self, delay_ms: int) -> None:
        """Make the call once after `delay_ms`, instead of when it was due before."""

    def cancel(self) -> None:
        """Do not make it, until it is set again."""


class Clock(Protocol):
    """Time and timers; virtual in the simulator."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""

    def call_later(self, delay_ms: int, call: Callable[[], None]) -> Cancellable:
        """Run `call` once after `delay_ms`."""

    def timer(self, call: Callable[[], None]) -> Timer:
        """Return a timer for `call` that is not set."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block this node has executed: what it says and the state after it."""

    hash: Hash32
    header: Header
    body: tuple[Extrinsic, ...]
    state: State

    @property
    def number(self) -> BlockNumber:
        """The height."""
        return self.header.number


class ChainListener(Protocol):
    """Told of every change of the chain, in order, on the event loop."""

    def on_block(self, block: Block) -> None:
        """A block was executed and is known; its parent was told before."""

    def on_best(self, block: Block) -> None:
        """`block` is the new head: the highest notarised block on the final chain."""

    def on_finalized(self, blocks: Sequence[Block], pruned: Sequence[Hash32]) -> None:
        """`blocks` became final, ascending and without a gap; `pruned` are executed blocks that never will."""


class ChainView(Protocol):
    """Reading the chain: unfinalised blocks from memory, final ones from disk."""

    @property
    def genesis_hash(self) -> Hash32:
        """Hash of block 0."""

    @property
    def best(self) -> Block:
        """The head."""

    @property
    def finalized(self) -> Block:
        """The last final block."""

    def hash_of(self, number: int) -> Hash32 | None:
        """Hash of the block at `number` on the best chain."""

    def number_of(self, block_hash: Hash32) -> BlockNumber | None:
        """Height of a known block."""

    def header(self, block_hash: Hash32) -> Header | None:
        """Header of a known block."""

    def body(self, block_hash: Hash32) -> Sequence[bytes] | None:
        """Extrinsics of a known block as submitted, each with its length prefix; None also when pruned."""

    def justification(self, block_hash: Hash32) -> bytes | None:
        """The SCALE finality certificate of a final block, where it is kept."""

    def certified_from(self, number: int, limit: int) -> BlockNumber | None:
        """The first final block at or above `number`, below `number + limit`, whose certificate is kept."""

    def epoch_end(self, epoch: int) -> tuple[Header, bytes] | None:
        """Header and certificate of the final block that ended an epoch; None when it is not over."""

    def genesis_proof(self) -> tuple[Header, list[bytes]] | None:
        """Genesis header, and the trie nodes that show under it the first epoch and the time, where kept."""

    def is_final(self, block_hash: Hash32) -> bool:
        """Whether the block is final (and so on the canonical chain)."""

    def state_at(self, block_hash: Hash32) -> State:
        """State after a block.

        Raises:
            UnknownBlock: no such block.
            StateDiscarded: its state is older than the history this node keeps.
        """

    def unfinalized(self) -> Sequence[Block]:
        """Executed blocks above the final one, parents first."""

    def subscribe(self, listener: ChainListener) -> Cancellable:
        """Tell `listener` of changes from now on."""
