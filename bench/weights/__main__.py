"""Measures calls and hooks and writes `chain/weights.py`.

    make weights                        everything: some minutes
    make weights ARGS="Balances Sudo"   what these pallets declare; the rest stays
    make weights ARGS="--dry Balances"  only shows it

Names are of pallets, of calls ("Balances.burn"), or "block" and "database".
"""

from __future__ import annotations

import sys

import click

from bench.weights import database, measure
from bench.weights.pallets import everything
from bench.weights.table import FILE, render, source
from bench.weights.world import World
from chain.frame.weights import Cost
from chain.weights import MEASURED, WEIGHTS


@click.command()
@click.option("--dry", is_flag=True, help="Show, and write nothing.")
@click.argument("names", nargs=-1)
def main(dry: bool, names: tuple[str, ...]) -> None:
    """Measure what calls and hooks cost."""
    scenarios = everything()
    wanted = [name for name in scenarios if not names or name in names or name.partition(".")[0] in names]
    if not wanted and "database" not in names:
        raise click.UsageError(f"no scenario of {', '.join(names)}")
    signatures = measure.Signatures()
    read, write = WEIGHTS.read, WEIGHTS.write
    costs = {name: cost for name, cost in WEIGHTS.costs.items() if name in scenarios}
    measured = dict(MEASURED)
    if not names or "database" in names:
        read, write = database.measure(signatures)
        measured["database"] = source(signatures)
        print(f"read {read / 1e6:.2f} us, write {write / 1e6:.2f} us", file=sys.stderr)
    world = World()
    for name in wanted:
        costs[name], points = measure.measure(world, scenarios[name], signatures)
        measured[name.partition(".")[0]] = source(signatures)
        print(show(name, costs[name], points), file=sys.stderr)
    text = render(read, write, dict(sorted(costs.items())), measured)
    if dry:
        print(text)
    else:
        FILE.write_text(text, encoding="utf-8")


def show(name: str, cost: Cost, points: list[measure.Point]) -> str:
    """One line for the person who waits."""
    found = ", ".join(f"{point.units}: {point.ps / 1e6:,.1f} us" for point in points)
    return f"{name:<40} {found}   {cost.reads}r {cost.writes}w + {cost.unit_reads}r {cost.unit_writes}w"


if __name__ == "__main__":
    main()
