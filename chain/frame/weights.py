"""What calls and hooks cost: measured once, frozen, and from then on part of the runtime.

A weight is picoseconds of one core of the reference machine, which checks `REFERENCE_RATE` ed25519 signatures a second.
What a benchmark finds elsewhere is scaled by the signatures that machine checked in the same run, so figures of
different machines and days mean the same.

    weight(n) = ps + reads * read + writes * write + n * (unit_ps + unit_reads * read + unit_writes * write)

`n` counts what the cost of a call grows with: items, bytes, nominators. `make weights` writes the figures of this chain
(`chain/weights.py`), `bench/weights` says how they are measured.

Source: `sp_weights`, `frame_benchmarking`; runtime paper, section 4.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PS_PER_US: Final = 1_000_000
PS_PER_MS: Final = 1000 * PS_PER_US
REFERENCE_RATE: Final = 27_000
"""Verifications of ed25519 signatures a second and core, by libsodium, that define the reference machine."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What was measured: processor time without the database, keys read and written, and the same for each unit."""

    ps: int
    reads: int = 0
    writes: int = 0
    unit_ps: int = 0
    unit_reads: int = 0
    unit_writes: int = 0


@dataclass(frozen=True, slots=True)
class Linear:
    """A weight that grows with a count."""

    base: int
    unit: int = 0

    def at(self, units: int) -> int:
        """Return the weight for that many units."""
        return self.base + self.unit * units


UNMEASURED: Final = Linear(PS_PER_MS, PS_PER_MS)
"""Stands for what no benchmark has seen: a new pallet works with it, and a test is red until it is measured."""


class Weights:
    """The frozen figures of a runtime.

    Args:
        read: of one key from the database, in picoseconds.
        write: of one key: its part in the new state root and in the batch of the final block.
        costs: by "Pallet.call" or "Pallet.hook"; "block" is an empty block, its units what every transaction costs
            besides its call, signature included.
    """

    def __init__(self, *, read: int, write: int, costs: Mapping[str, Cost]) -> None:
        self.read = read
        self.write = write
        self.costs = costs
        self._linear = {
            name: Linear(
                cost.ps + cost.reads * read + cost.writes * write,
                cost.unit_ps + cost.unit_reads * read + cost.unit_writes * write,
            )
            for name, cost in costs.items()
        }

    def of(self, name: str) -> Linear:
        """Return what `name` costs, `UNMEASURED` where that is not known."""
        return self._linear.get(name, UNMEASURED)

    def encode(self) -> bytes:
        """Return bytes that differ where any figure does."""
        rows = [(name, self.of(name)) for name in sorted(self.costs)]
        return repr((self.read, self.write, [(name, cost.base, cost.unit) for name, cost in rows])).encode()
