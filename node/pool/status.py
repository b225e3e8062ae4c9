"""What happens to a transaction, as told to whoever watches it.

Normal run: ready, (broadcast), in_block, finalized. A nonce gap starts with future. A block that loses its place
gives retracted, then ready or in_block again. Source: `sc_transaction_pool_api::TransactionStatus`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aitoken.types import Hash32
    from node.pool.errors import PoolRejected


class Stage(Enum):
    """Where a transaction is; the value is Substrate's JSON name."""

    FUTURE = "future"
    READY = "ready"
    BROADCAST = "broadcast"
    IN_BLOCK = "inBlock"
    RETRACTED = "retracted"
    FINALIZED = "finalized"
    USURPED = "usurped"
    DROPPED = "dropped"
    INVALID = "invalid"


ENDS: Final = frozenset({Stage.FINALIZED, Stage.USURPED, Stage.DROPPED, Stage.INVALID})
"""Stages after which nothing more is told."""


@dataclass(frozen=True, slots=True)
class Status:
    """One step in the life of a transaction."""

    stage: Stage
    hash: Hash32 | None = None
    """The block (in_block, retracted, finalized) or the transaction that took its place (usurped)."""
    index: int | None = None
    """Position in that block."""
    peers: tuple[str, ...] = ()
    """Who it was sent to (broadcast)."""
    error: PoolRejected | None = None
    """Why it is invalid."""

    @property
    def ends(self) -> bool:
        """Whether this is the last one."""
        return self.stage in ENDS


Watcher = Callable[[Status], None]
"""Called on the event loop, in order; must neither block nor raise."""
