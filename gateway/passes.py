"""Plans: what a payer's passes let it do here, and the units that are paid with them already.

A pass is the chain's; how many of its included units are used is counted here and told the chain from time to time
(`Plans.redeem`). Units are set aside before the work and given back after it, as money is, so that requests at the same
time do not use one unit twice. What is beyond the included units costs what the book says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aitoken.crypto.hashing import blake2_256
from aitoken.types import Moment
from gateway.ports import PassFacts
from gateway.store import Store

PERIODS_MAX: Final = 100_000
Usage = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """Units of a pass set aside for one request."""

    of: PassFacts
    units: dict[int, int]


class PassBook:
    """What of which pass is used, by subscription and period."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._used: dict[tuple[int, int], dict[int, int]] = store.used_units()
        self._flying: dict[tuple[int, int], dict[int, int]] = {}

    def used(self, pass_: PassFacts) -> dict[int, int]:
        """Return the units of a pass that are used, as far as it is known here or on chain."""
        ours = self._used.get((pass_.subscription, pass_.period), {})
        return {unit: max(ours.get(unit, 0), pass_.used.get(unit, 0)) for unit in pass_.included}

    def left(self, pass_: PassFacts) -> dict[int, int]:
        """Return the included units nobody has used or set aside."""
        used, flying = self.used(pass_), self._flying.get((pass_.subscription, pass_.period), {})
        return {unit: max(0, most - used[unit] - flying.get(unit, 0)) for unit, most in pass_.included.items()}

    def take(self, pass_: PassFacts, usage: Usage) -> Taken:
        """Set aside what a request may use of a pass."""
        left, units = self.left(pass_), {}
        flying = self._flying.setdefault((pass_.subscription, pass_.period), {})
        for unit, quantity in usage:
            units[unit] = min(quantity, left.get(unit, 0))
            flying[unit] = flying.get(unit, 0) + units[unit]
        return Taken(pass_, units)

    def settle(self, taken: Taken, usage: Usage) -> None:
        """Count what was used of what was set aside, and give the rest back."""
        place = (taken.of.subscription, taken.of.period)
        flying, used = self._flying[place], self.used(taken.of)
        quantities = dict(usage)
        for unit, aside in taken.units.items():
            flying[unit] -= aside
            spent = min(aside, quantities.get(unit, 0))
            if spent:
                used[unit] = used.get(unit, 0) + spent
                self._store.put_used(*place, unit, used[unit])
        if not any(flying.values()):
            del self._flying[place]
        self._used[place] = used
        while len(self._used) > PERIODS_MAX:
            del self._used[next(iter(self._used))]


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
