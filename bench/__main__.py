"""Runs every module of this folder that has `run(quick) -> list[Row]` and prints one table.

    python -m bench [--quick] [NAME...]

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

from bench import raw


@click.command()
@click.option("--quick", is_flag=True, help="Smaller sizes: a minute instead of many.")
@click.argument("names", nargs=-1)
def main(quick: bool, names: tuple[str, ...]) -> None:
    """Measure, and print what was found."""
    rows = raw.run(quick)
    for module in _modules(names):
        measure = getattr(importlib.import_module(f"bench.{module}"), "run", None)
        if measure is not None:
            print(f"bench: {module}", file=sys.stderr)
            rows += measure(quick)
    table = Table("subject", "what", "figure", "unit")
    for row in rows:
        table.add_row(row.subject, row.what, f"{row.figure:,.2f}", row.unit)
    Console(width=None if sys.stdout.isatty() else 110).print(table)


def _modules(names: Iterable[str]) -> list[str]:
    if names:
        return list(names)
    return sorted(
        path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_") and path.stem != "raw"
    )


if __name__ == "__main__":
    main()
