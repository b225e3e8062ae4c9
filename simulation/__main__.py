"""`python -m simulation --seeds N --first S [--jobs J] [--mutation NAME]`: the network simulator."""

from __future__ import annotations

import sys
import time
from typing import Final

import click

from simulation.campaign import Totals, run_seeds
from simulation.mutations import MUTATIONS

EVERYTHING_FROM: Final = 300
"""In so many seeds every kind of fault and change happens."""


@click.command()
@click.option("--seeds", default=500, show_default=True, help="How many seeds to run.")
@click.option("--first", default=1, show_default=True, help="The first seed.")
@click.option("--jobs", default=2, show_default=True, help="Processes.")
@click.option("--mutation", type=click.Choice(sorted(MUTATIONS)), help="Plant a bug; stop at the seed that finds it.")
@click.option("--trace", is_flag=True, help="Print the trace hash of every seed, to compare two runs.")
def main(*, seeds: int, first: int, jobs: int, mutation: str | None, trace: bool) -> None:
    """Run the network of many seeds and report what broke.

    Exit codes: 0 all seeds held (with --mutation: the bug was found), 1 otherwise; also where nothing was injected, or
    in many seeds not every kind of fault and change: that would prove nothing.
    """
    totals = Totals()
    start = time.perf_counter()
    for outcome in run_seeds(range(first, first + seeds), jobs=jobs, mutation=mutation):
        totals.add(outcome)
        if trace:
            click.echo(f"{outcome.seed} {outcome.trace}")
        if outcome.failure is not None:
            click.echo(f"seed {outcome.seed}: {outcome.failure}\n{outcome.detail}")
            if mutation is not None:
                break
    totals.seconds = time.perf_counter() - start
    click.echo(totals.report())
    if mutation is not None:
        sys.exit(int(not totals.failures))
    missing = totals.missing if seeds >= EVERYTHING_FROM else []
    if missing or not totals.injected:
        click.echo(f"proves little, because it never happened: {', '.join(missing) or 'any fault'}")
    sys.exit(int(bool(totals.failures or missing) or not totals.injected))


if __name__ == "__main__":
    main()
