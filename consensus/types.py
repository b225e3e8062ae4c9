"""What the core needs to know of a block, and the settings of its pace. Blocks are opaque beyond this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from aitoken.types import Hash32

Peer: TypeAlias = int | bytes | str
"""Whoever a message came from: opaque, hashable, given back in `Send`."""

FUTURE_VIEWS: Final = 16
"""Votes and proposals are kept for views up to this far ahead of the current one."""
OFFERS_MAX: Final = 2
"""Proposals kept per view: the first is the one to vote on, a second is evidence and may win elsewhere."""
CERTIFIED_ROUNDS_MAX: Final = 4096
"""Views above the final one that are kept; the newest stay."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block as consensus sees it; `header` and `extrinsics` are only carried."""

    hash: Hash32
    number: int
    parent_hash: Hash32
    epoch: int
    view: int
    parent_view: int
    leader: int
    timestamp_ms: int
    header: bytes = b""
    extrinsics: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Slot:
    """What a leader builds a block for; all of it goes into the header."""

    epoch: int
    view: int
    parent_view: int
    leader: int
    timestamp_ms: int
    number: int
    terminal: bool


@dataclass(frozen=True, slots=True)
class Pace:
    """Times of the protocol, in milliseconds."""

    block_time_ms: int
    """Least distance of two blocks; part of validity."""
    idle_interval_ms: int
    """Distance of two blocks when nothing waits."""
    delta_ms: int
    """Assumed bound of a message's delay; only liveness depends on it."""
    busy_interval_ms: int = 0
    """Distance of two blocks where agreement takes long or blocks are full; `block_time_ms` where that is more."""
    max_drift_ms: int = 500
    """How far ahead of the own clock a block's timestamp may be voted for at once."""
    certificate_push_ms: int = 150
    """How long after entering a view its certificate is sent to validators who seem not to have it."""
    status_interval_ms: int = 5000
    """A node that sees no new final block for so long tells its peers where it stands."""
