"""Panels of arbiters: who is drawn, and what several votes come to. Pure functions.

Seats are drawn without replacement, by stake up to a cap, from a seed nobody knew when the case was answered; the
same seed gives the same panel everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from aitoken.crypto.hashing import blake2_256
from aitoken.types import AccountId

DRAW_PREFIX: Final = b"AITPjury"
COHERENT: Final = 5_000
"""A vote further than this from the outcome earns no fee."""


def draw(
    seed: bytes, case: int, panel: int, candidates: Iterable[tuple[AccountId, int]], seats: int
) -> list[AccountId]:
    """Return up to `seats` accounts out of (account, weight); the chance of each seat is in proportion to weight.

    Args:
        seed: randomness of an epoch.
        case: the number of the case.
        panel: 0 for its first panel, 1 for that of the appeal.
        candidates: whoever may sit; their order does not matter.
        seats: how many.
    """
    left = sorted((who, weight) for who, weight in candidates if weight > 0)
    total = sum(weight for _, weight in left)
    drawn: list[AccountId] = []
    while left and len(drawn) < seats:
        text = DRAW_PREFIX + seed + case.to_bytes(8, "little") + bytes((panel, len(drawn)))
        at = int.from_bytes(blake2_256(text), "little") % total
        for index, (who, weight) in enumerate(left):
            at -= weight
            if at < 0:
                drawn.append(who)
                total -= weight
                del left[index]
                break
    return drawn


def median(votes: Sequence[int]) -> int:
    """Return the middle of at least one vote, of an even number the mean of the two in the middle, rounded down."""
    ordered = sorted(votes)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) // 2
