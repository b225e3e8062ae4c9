"""Who validates, and how much weight each has: pure functions over a snapshot.

Approval ranking: a candidate counts for its own bond and the whole bonds of all who nominate it; the highest win, ties
go to the smaller account. Then every nominator's bond is split equally over those of its targets that won, in whole
units, the remainder to the first of them. Votes of our agreement are weighted by stake, so the balance Phragmen buys is
not needed, and everybody can follow the arithmetic.

    support(c)  = own(c) + sum of stake(n) over nominators n of c
    value(n, w) = stake(n) // |W(n)|,   W(n) = targets of n that won;   the first also gets stake(n) mod |W(n)|

No validator of a set of 7 or more has more than 3/N of the voting weight: what it has beyond is stake all the same, but
does not vote.

Source: runtime paper, section 3.5; consensus paper, section 5.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from aitoken.types import AccountId, Balance

CAP_FROM: Final = 7
"""The size of a set from which on voting weight is capped."""
CAP_SHARES: Final = 3
"""How many equal shares of the weight one validator may have at most."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who wants to validate, with a bond."""

    who: AccountId
    own: Balance


@dataclass(frozen=True, slots=True)
class Voter:
    """Somebody who nominates, with a bond; targets in order, none twice."""

    who: AccountId
    stake: Balance
    targets: Sequence[AccountId]


@dataclass(slots=True)
class Exposure:
    """What stands behind one validator: its own bond and parts of those of its nominators."""

    own: Balance
    total: Balance
    others: list[tuple[AccountId, Balance]] = field(default_factory=list)


def elect(candidates: Iterable[Candidate], voters: Sequence[Voter], seats: int) -> dict[AccountId, Exposure]:
    """Return the winners with their exposures, by rank."""
    own = {candidate.who: candidate.own for candidate in candidates}
    support: dict[AccountId, int] = dict(own)
    for voter in voters:
        for target in voter.targets:
            if target in support:
                support[target] += voter.stake
    ranked = sorted(support, key=lambda who: (-support[who], who))[:seats]
    won = {who: Exposure(own[who], own[who]) for who in ranked}
    for voter in voters:
        chosen = [target for target in voter.targets if target in won]
        if chosen and voter.stake:
            _split(voter, [won[target] for target in chosen])
    return won


def _split(voter: Voter, exposures: Sequence[Exposure]) -> None:
    part, rest = divmod(voter.stake, len(exposures))
    for exposure in exposures:
        value = Balance(part + rest)
        rest = 0
        if value:
            exposure.others.append((voter.who, value))
            exposure.total = Balance(exposure.total + value)


def capped(stakes: Sequence[int]) -> list[int]:
    """Return voting weights: the stakes, the largest cut so that none exceeds 3/N of the weights' sum.

    With the k largest cut to c, the rest keeping r together: c = 3/N * (k*c + r), so c = 3*r // (N - 3*k); the least k
    for which the next stake is not above c is the answer, and there is one below N/3.
    """
    count = len(stakes)
    if count < CAP_FROM:
        return list(stakes)
    falling = sorted(stakes, reverse=True)
    rest = sum(falling)
    cut = 0
    limit = CAP_SHARES * rest // count
    while falling[cut] > limit:
        rest -= falling[cut]
        cut += 1
        limit = CAP_SHARES * rest // (count - CAP_SHARES * cut)
    return [min(stake, limit) for stake in stakes]
