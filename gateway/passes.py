"""Plans: what a payer's passes let it do here, and the units that are paid with them already.

A pass is the chain's; how many of its included units are used is counted here and told the chain from time to time
(`Plans.redeem`). Units are set aside before the work and given back after it, as money is, so that requests at the same
time do not use one unit twice. What is beyond the included units costs what the book says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aitoken.crypto.hashing import blake2_256
from aitoken.types import Moment
from gateway.ports import PassFacts
from gateway.store import Store, Wanted

Usage = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """Units of a pass set aside for one request; `number` is the store's as it was then."""

    of: PassFacts
    units: dict[int, int]
    number: int


class PassBook:
    """What of which pass is used, by subscription and period."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, pass_: PassFacts, usage: Usage) -> Taken:
        """Set aside what a request may use of a pass."""
        included, used = pass_.included, pass_.used
        wanted = {unit: Wanted(quantity, included.get(unit, 0), used.get(unit, 0)) for unit, quantity in usage}
        number = self._store.number
        return Taken(pass_, await self._store.set_aside(pass_.subscription, pass_.period, wanted), number)

    def settle(self, taken: Taken, usage: Usage) -> None:
        """Count what was used of what was set aside, and give the rest back."""
        quantities = dict(usage)
        spent = {unit: (aside, min(aside, quantities.get(unit, 0))) for unit, aside in taken.units.items()}
        self._store.put_used(taken.of.subscription, taken.of.period, spent, taken.number)


def fitting(passes: Sequence[PassFacts], model: str, now: Moment) -> list[PassFacts]:
    """Return the passes that are good for a model now, the best tier first."""
    if not passes:
        return []
    name = blake2_256(model.encode())
    good = [one for one in passes if now < one.ends and (not one.models or name in one.models)]
    return sorted(good, key=lambda one: (-one.tier, one.ends))


def beyond(usage: Usage, units: Mapping[int, int]) -> Usage:
    """Return what of a usage is not covered by units that are paid already."""
    if not units:
        return usage
    rest = ((unit, quantity - units.get(unit, 0)) for unit, quantity in usage)
    return tuple((unit, quantity) for unit, quantity in rest if quantity > 0)
