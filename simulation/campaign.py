"""Many seeds over the cores of the machine, and what came of them in numbers."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from functools import partial

from simulation.mutations import mutated, mutated_scenario
from simulation.scenario import draw
from simulation.stakes import Life
from simulation.world import Faults, Outcome, World


@dataclass(slots=True)
class Totals:
    """Sums over a campaign; faults that never happened would mean that nothing was tried."""

    seeds: int = 0
    blocks: int = 0
    events: int = 0
    messages: int = 0
    faults: Faults = field(default_factory=Faults)
    life: Life = field(default_factory=Life)
    faulty_per_mille: int = 0
    seconds: float = 0.0
    healed_ms: list[int] = field(default_factory=list)
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one run."""
        self.seeds += 1
        self.blocks += outcome.blocks
        self.events += outcome.events
        self.messages += outcome.messages
        self.faults.add(outcome.faults)
        self.life.add(outcome.life)
        self.faulty_per_mille = max(self.faulty_per_mille, outcome.faulty_per_mille)
        self.healed_ms.append(outcome.healed_ms)
        if outcome.failure is not None:
            self.failures.append(outcome)

    @property
    def injected(self) -> int:
        """How many faults there were."""
        return sum(getattr(self.faults, each.name) for each in fields(self.faults))

    @property
    def missing(self) -> list[str]:
        """What was never done to any run: of that a campaign proves nothing."""
        counts: tuple[Faults | Life, ...] = (self.faults, self.life)
        return [each.name for count in counts for each in fields(count) if not getattr(count, each.name)]

    def report(self) -> str:
        """Return the figures as a few lines."""
        healed = sorted(self.healed_ms) or [0]
        rate = self.seeds * 60 / max(self.seconds, 0.001)
        failing = " ".join(str(outcome.seed) for outcome in self.failures) or "none"
        return (
            f"{self.seeds} seeds in {self.seconds:.1f} s, {rate:.0f} seeds a minute\n"
            f"{self.blocks} blocks, {self.events} events, {self.messages} messages\n"
            f"faults: {_listed(self.faults)}\n"
            f"validators: {_listed(self.life)}; the faulty had up to {self.faulty_per_mille} of 1000\n"
            f"from healing to six blocks everywhere: median {healed[len(healed) // 2]} ms, "
            f"99 % {healed[len(healed) * 99 // 100]} ms, most {healed[-1]} ms\n"
            f"failing seeds: {failing}"
        )


def _listed(counts: Faults | Life) -> str:
    return ", ".join(f"{getattr(counts, each.name)} {each.name.replace('_', ' ')}" for each in fields(counts))


def run_seed(seed: int, mutation: str | None = None, *, plant: bool = True) -> Outcome:
    """Run one seed, with a planted bug where one is named; or, for comparison, only where it would be searched."""
    if mutation is None:
        return World(draw(seed)).run()
    if not plant:
        return World(mutated_scenario(mutation, seed)).run()
    with mutated(mutation):
        return World(mutated_scenario(mutation, seed), frozenset((mutation,))).run()


def run_seeds(seeds: Iterable[int], *, jobs: int = 1, mutation: str | None = None) -> Iterator[Outcome]:
    """Run seeds in order; with several jobs in as many processes, the outcomes still come in order."""
    work = partial(run_seed, mutation=mutation)
    if jobs == 1:
        yield from map(work, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(work, seeds, chunksize=8)


def campaign(first: int, count: int, *, jobs: int = 1, mutation: str | None = None) -> Totals:
    """Run `count` seeds from `first` and add up."""
    totals = Totals()
    start = time.perf_counter()
    for outcome in run_seeds(range(first, first + count), jobs=jobs, mutation=mutation):
        totals.add(outcome)
    totals.seconds = time.perf_counter() - start
    return totals
