"""Runs every module of this folder that has `run(quick) -> list[Row]` and prints one table.

    python -m bench [--quick] [NAME...]

Figures mean little without the machine: the table begins with how many ed25519 signatures it verifies per second.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from aitoken.crypto import ed25519
from bench.row import Row


@click.command()
@click.option("--quick", is_flag=True, help="Smaller sizes: a minute instead of many.")
@click.argument("names", nargs=-1)
def main(quick: bool, names: tuple[str, ...]) -> None:
    """Measure, and print what was found."""
    rows = [_anchor()]
    for module in _modules(names):
        print(f"bench: {module}", file=sys.stderr)
        rows += importlib.import_module(f"bench.{module}").run(quick)
    table = Table("subject", "what", "figure", "unit")
    for row in rows:
        table.add_row(row.subject, row.what, f"{row.figure:,.2f}", row.unit)
    Console(width=None if sys.stdout.isatty() else 110).print(table)


def _modules(names: Iterable[str]) -> list[str]:
    if names:
        return list(names)
    return sorted(
        path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_") and path.stem != "row"
    )


def _anchor() -> Row:
    pair = ed25519.Pair(bytes(32))
    message = bytes(100)
    signature = pair.sign(message)
    start = time.process_time()
    for _ in range(5_000):
        ed25519.verify(signature, message, pair.public)
    return Row("this machine", "ed25519 verifications", 5_000 / (time.process_time() - start), "per second and core")


if __name__ == "__main__":
    main()
