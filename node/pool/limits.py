"""How much the pool holds. Everything in it is bounded: this is where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the pool and of its door.

    Sizing: a pooled transfer of 146 bytes takes about 2 KiB of Python objects, so `count` of them stay near 32 MiB;
    at 3,000 transfers a second `count` is five seconds of work.
    """

    size: int = 256 * KIB
    """Bytes of one transaction."""
    count: int = 16_384
    """Transactions in the pool, ready and future together."""
    bytes: int = 16 * MIB
    """Their bytes together."""
    future_count: int = 2_048
    """Those of them that wait for an earlier nonce."""
    future_bytes: int = 2 * MIB
    """Bytes of these."""
    per_sender: int = 2_048
    """Transactions of one sender."""
    unsigned_per_priority: int = 2_048
    """Unsigned transactions of one kind; of claims of codes about as many as blocks take before these expire."""
    bump_percent: int = 10
    """How much more priority, in percent and at least 1, replaces a transaction of the same sender and nonce."""
    ban_ms: int = 60_000
    """How long a transaction found invalid is refused without another look."""
    bans: int = 8_192
    """How many of those are remembered."""
    queue: int = 4_096
    """Transactions waiting at the door for their checks."""
    queue_bytes: int = 8 * MIB
    """Their bytes together."""
    queue_per_source: int = 1_024
    """Those of one address or peer; of more, those go first that promise most, and the others are refused."""
