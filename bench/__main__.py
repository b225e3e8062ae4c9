"""Runs every module of this folder that has `run(quick) -> list[Row]` and prints one table.

    python -m bench [--quick] [--times N] [--write] [--aims | NAME...]

Figures mean little without the machine: the table begins with how many signatures one core of it checks a second,
measured in the same run. README.md beside this file says how to read the rest.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench import raw, report
from bench.claims import CLAIMS, Figures
from bench.row import Row


@click.command()
@click.option("--quick", is_flag=True, help="Smaller sizes: a minute instead of many.")
@click.option("--times", default=1, show_default=True, help="Measure all of it so often; medians count.")
@click.option("--aims", is_flag=True, help="Only what README.md's table of aims needs.")
@click.option("--write", is_flag=True, help="Write README.md's table of aims, figures.json and the plots.")
@click.argument("names", nargs=-1)
def main(quick: bool, times: int, aims: bool, write: bool, names: tuple[str, ...]) -> None:
    """Measure, and print what was found."""
    if aims:
        names = tuple(dict.fromkeys(claim.module for claim in CLAIMS))
    rows: list[Row] = []
    for module in _modules(names):
        measure = getattr(importlib.import_module(f"bench.{module}"), "run", None)
        for round_ in range(times if measure is not None else 0):
            print(f"bench: {module}" + (f", {round_ + 1} of {times}" if times > 1 else ""), file=sys.stderr)
            rows += raw.run(quick)
            rows += measure(quick)
    if not rows:
        rows = raw.run(quick)
    if write:
        report.write(rows)
    table = Table("subject", "what", "figure", "unit")
    for row in medians(rows):
        table.add_row(row.subject, row.what, f"{row.figure:,.2f}", row.unit)
    Console(width=None if sys.stdout.isatty() else 110).print(table)


def medians(rows: Iterable[Row]) -> list[Row]:
    """One row of each figure, in the order of their first appearance."""
    rows = list(rows)
    figures = Figures(rows)
    first = {(row.subject, row.what): row for row in reversed(rows)}
    order = dict.fromkeys((row.subject, row.what) for row in rows)
    return [first[key]._replace(figure=figures.get(*key)) for key in order]


def _modules(names: Iterable[str]) -> list[str]:
    if names:
        return list(names)
    return sorted(
        path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_") and path.stem != "raw"
    )


if __name__ == "__main__":
    main()
