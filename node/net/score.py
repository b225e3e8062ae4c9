"""What peers earn and lose: who is asked first, who is evicted first, who is turned away for a while.

A score lies between -100 and +50, halves every 10 minutes, and is remembered for an hour after the peer left. At -100
the peer's identity is banned. Nothing here is ever taken from a peer for being slow, for sending what we already have,
or for passing on what others said: such rules isolated honest nodes elsewhere.

Source: section 17 of the consensus paper.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from enum import IntEnum
from typing import Final, TypeVar

K = TypeVar("K")

SCORE_MIN: Final = -100.0
SCORE_MAX: Final = 50.0
BAN_AT: Final = -99.0
"""Just above the minimum: what was lost in quick steps has decayed by a hair."""
UNWANTED: Final = -50.0
"""Below this a peer is not asked for anything and is the first to be evicted."""
HALF_LIFE_S: Final = 600.0
MEMORY_S: Final = 3600.0
REMEMBERED_MAX: Final = 4096
BAN_S: Final = 3600.0
ADDRESS_BAN_S: Final = 600.0


class Deed(IntEnum):
    """What a peer did, and what it counts."""

    BROKE_PROTOCOL = -100
    """A bad signature, an undecodable or oversized message, another chain's content."""
    BAD_BLOCK = -50
    """A block or range that does not match its header or certificate."""
    BAD_TRANSACTION = -10
    """A transaction that can be valid in no state."""
    UNASKED = -5
    """An answer nobody asked for."""
    TIMED_OUT = -2
    """Did not answer what another peer then did."""
    TOO_FAST = -1
    """Exceeded a rate for a second."""
    USEFUL = 1
    """Was the first to bring something new and valid."""


class Scores:
    """The scores of peers by identity, and the bans of identities and addresses; all bounded."""

    def __init__(self) -> None:
        self._scores: OrderedDict[bytes, tuple[float, float]] = OrderedDict()
        self._banned: OrderedDict[bytes, float] = OrderedDict()
        self._banned_addresses: OrderedDict[str, float] = OrderedDict()

    def of(self, identity: bytes, now: float) -> float:
        """Return the present score of a peer; 0 for one never heard of."""
        score, updated = self._scores.get(identity, (0.0, now))
        if now - updated > MEMORY_S:
            return 0.0
        return score * math.pow(0.5, (now - updated) / HALF_LIFE_S)

    def add(self, identity: bytes, deed: Deed, now: float) -> float:
        """Count a deed and return the new score; no good deeds make up for a broken protocol."""
        score = SCORE_MIN if deed is Deed.BROKE_PROTOCOL else self.of(identity, now) + deed
        return self.put(identity, min(SCORE_MAX, max(SCORE_MIN, score)), now)

    def put(self, identity: bytes, score: float, now: float) -> float:
        """Set a score."""
        self._scores[identity] = (score, now)
        self._scores.move_to_end(identity)
        if len(self._scores) > REMEMBERED_MAX:
            self._scores.popitem(last=False)
        return score

    def ban(self, identity: bytes, address: str | None, now: float) -> None:
        """Turn an identity away for an hour, and the address it came from for ten minutes."""
        _remember(self._banned, identity, now + BAN_S)
        if address is not None:
            _remember(self._banned_addresses, address, now + ADDRESS_BAN_S)

    def is_banned(self, identity: bytes, now: float) -> bool:
        """Whether an identity is turned away."""
        return self._banned.get(identity, 0.0) > now

    def is_address_banned(self, address: str, now: float) -> bool:
        """Whether connections from an address are turned away."""
        return self._banned_addresses.get(address, 0.0) > now


def _remember(table: OrderedDict[K, float], key: K, until: float) -> None:
    table[key] = until
    table.move_to_end(key)
    if len(table) > REMEMBERED_MAX:
        table.popitem(last=False)
