"""Times scenarios: processor time, scaled to the reference machine; keys read and written, counted.

Each run starts with cold caches; what collecting no changes takes is taken off. A figure is the lower quartile of some
rounds, each the median of many runs, for other work on the machine only ever adds. Signatures are checked around each
round, and of them too it is the lower quartile that counts: the quartile of the ratios would choose the rounds in which
not the call was quick but the signatures were held up, and make everything seem cheap. On top comes what machines
scatter by: a full block must not take longer than it weighs. Where the cost grows with a count, the line is drawn
through the dearest points: its slope is that between the ends, and its start is such that no measured point lies above
it.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aitoken.crypto import ed25519
from aitoken.crypto.hashing import blake2_256
from aitoken.types import Hash32
from bench.weights.world import Run, Scenario, World
from chain.frame.weights import REFERENCE_RATE, Cost

SIGNATURES = 150
ROUNDS = 15
ROUND_SECONDS = 0.03
RUNS_MIN = 3
RUNS_MAX = 200
DIGITS = 3
SCATTER_PERCENT = 20
"""By so much a figure is greater than what was measured."""


class Signatures:
    """The yardstick: how long this machine takes for one verification just now."""

    def __init__(self) -> None:
        pairs = [ed25519.Pair(index.to_bytes(32, "little")) for index in range(SIGNATURES)]
        self._cases = [(pair.sign(bytes(107)), pair.public) for pair in pairs]

    def seconds(self) -> float:
        """Processor seconds for one."""
        start = time.process_time()
        for signature, public in self._cases:
            ed25519.verify(signature, bytes(107), public)
        return (time.process_time() - start) / SIGNATURES


class Probe:
    """A state that counts the keys asked for, and makes no tries: their cost is that of a write."""

    root = Hash32(bytes(32))

    def __init__(self, state: Any, changes: Mapping[bytes, bytes | None] | None = None) -> None:
        self._state = state
        self.changes = changes or {}
        self.keys: set[bytes] = set()

    def get(self, key: bytes) -> bytes | None:
        """Return a value."""
        self.keys.add(key)
        found: bytes | None = self._state.get(key)
        return found

    def iterate(self, prefix: bytes, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield pairs."""
        for key, value in self._state.iterate(prefix, after):
            self.keys.add(key)
            yield key, value

    def child(self, changes: Mapping[bytes, bytes | None]) -> Probe:
        """Take what a block changed."""
        return Probe(self._state, changes)


@dataclass(frozen=True, slots=True)
class Point:
    """What one case is weighed, in picoseconds of the reference machine."""

    units: int
    ps: float
    reads: int
    writes: int


def measure(world: World, what: Scenario, signatures: Signatures) -> tuple[Cost, list[Point]]:
    """Measure one scenario, at each of its counts."""
    points = [_point(world, what, units, signatures) for units in what.units or (0,)]
    return line(points), points


def line(points: list[Point]) -> Cost:
    """Return the cost that no point exceeds, growing by what the ends say."""
    first, last = points[0], points[-1]
    span = last.units - first.units

    def fit(value: Callable[[Point], float], up: Callable[[float], int]) -> tuple[int, int]:
        slope = up(max(0.0, (value(last) - value(first)) / span) if span else 0.0)
        return up(max(0.0, *(value(point) - slope * point.units for point in points))), slope

    ps, unit_ps = fit(lambda point: point.ps, rounded)
    reads, unit_reads = fit(lambda point: point.reads, _keys)
    writes, unit_writes = fit(lambda point: point.writes, _keys)
    return Cost(ps, reads, writes, unit_ps, unit_reads, unit_writes)


def rounded(ps: float) -> int:
    """Round up to three digits: more would say more than was measured."""
    whole = math.ceil(ps)
    step = 10 ** max(0, len(str(whole)) - DIGITS)
    return -(-whole // step) * step


def _keys(count: float) -> int:
    """Round up, unless only a key or two at the ends of many units make the difference; the start has those then."""
    return math.ceil(count - 0.1)


def _point(world: World, what: Scenario, units: int, signatures: Signatures) -> Point:
    world.reset()
    run = what.prepare(world, units) if what.units else what.prepare(world)
    world.settle()
    counting = Probe(world.state)
    written = _once(world, run, counting)[1]
    gc.collect()
    gc.disable()
    try:
        rounds = [_round(world, run, signatures) for _ in range(ROUNDS)]
    finally:
        gc.enable()
    spent, unit = (statistics.quantiles(column, n=4)[0] for column in zip(*rounds, strict=True))
    ps = spent / unit * 1e12 / REFERENCE_RATE * (100 + SCATTER_PERCENT) / 100
    return Point(units, ps, len(counting.keys), written)


def _round(world: World, run: Run, signatures: Signatures) -> tuple[float, float]:
    """Seconds that one run takes, and that one verification takes."""
    before = signatures.seconds()
    times: list[int] = []
    nothing: list[int] = []
    while len(times) < RUNS_MIN or (sum(times) < ROUND_SECONDS * 1e9 and len(times) < RUNS_MAX):
        times.append(_once(world, run, Probe(world.state))[0])
        nothing.append(_once(world, _nothing, Probe(world.state))[0])
    spent = max(0, statistics.median(times) - statistics.median(nothing))
    return spent / 1e9, (before + signatures.seconds()) / 2


def _nothing() -> None:
    pass


def _once(world: World, run: Run, state: Probe) -> tuple[int, int]:
    """Nanoseconds of one run from cold caches to encoded changes, and how many keys it wrote."""
    store = world.machine.store
    store.load(state)
    start = time.process_time_ns()
    result = run()
    changes = store.changes()
    blake2_256(b"".join(store.events))
    spent = time.process_time_ns() - start
    sealed = getattr(getattr(result, "state", None), "changes", {})
    return spent, len(changes) + len(sealed)
