"""Lets the farmers loose: `make zoo SEEDS=1000 FIRST=1`.

Prints for each strategy the best profit of all seeds, and of how many a profit is found once the chain is loosened.
Exits with 1 if a strategy pays as the chain is, or none does where it is loosened.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction

import click

from aitoken.types import AIT
from tests.zoo.farm import Farm
from tests.zoo.strategies import STRATEGIES, Strategy


def profits(farm: Farm, what: Strategy, seeds: range) -> Iterator[tuple[int, Fraction]]:
    """The profit a strategy expects with each seed."""
    for seed in seeds:
        farm.begin(seed)
        yield seed, what.play(farm)


def loosened(farm: Farm, what: Strategy, seeds: range) -> Iterator[tuple[int, Fraction]]:
    """The same, on a chain that lacks what stands against it."""
    for seed in seeds:
        farm.begin(seed)
        with what.loosen(farm):
            yield seed, what.play(farm)


@click.command()
@click.option("--seeds", default=1_000, show_default=True, help="How many.")
@click.option("--first", default=1, show_default=True, help="The first of them.")
@click.argument("names", nargs=-1)
def main(seeds: int, first: int, names: tuple[str, ...]) -> None:
    """Let the farmers loose, all of them or those whose names contain one of these words."""
    farm, failed, chosen = Farm(), False, range(first, first + seeds)
    for what in STRATEGIES:
        if names and not any(name in what.name for name in names):
            continue
        seed, best = max(profits(farm, what, chosen), key=lambda row: row[1])
        found = [gain for _, gain in loosened(farm, what, chosen[: max(1, seeds // 10)]) if gain > 0]
        most = max(found, default=Fraction(0))
        verdict = "PAYS" if best > 0 else "never found" if not found else "ok"
        failed = failed or verdict != "ok"
        print(
            f"{what.name:36} best {float(best / AIT):12.6f} AIT (seed {seed}); with {what.loosened}: "
            f"{float(most / AIT):.3f} AIT, in {len(found)} of {max(1, seeds // 10)}  {verdict}",
            flush=True,
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
