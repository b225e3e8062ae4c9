"""The regression gate: no ratio may fall below nine tenths of what was recorded.

    python -m bench.check [--record] [MODULE...]

It runs the small sizes of the benches that claims have a ratio for, up to three times: a ratio that falls short is
measured again, and the best counts, since a machine only ever makes things slower than they are. What is recorded is
in `recorded.json` beside this file, with the machine and the day.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click

from bench import raw
from bench.claims import CLAIMS, Claim, Figures
from bench.machine import facts
from bench.row import Row

RECORDED: Final = Path(__file__).with_name("recorded.json")
LEAST: Final = 0.9
TRIES: Final = 3


@click.command()
@click.option(
    "--record", is_flag=True, help="Record what is measured now, the median of three, as what the gate wants."
)
@click.argument("modules", nargs=-1)
def main(record: bool, modules: tuple[str, ...]) -> None:
    """Compare ratios with the recorded ones; exit 1 if one fell."""
    watched = [claim for claim in CLAIMS if claim.ratio is not None and (not modules or claim.module in modules)]
    if record:
        _record(watched)
        return
    wanted: dict[str, float] = json.loads(RECORDED.read_text())["ratios"]
    best: dict[str, float] = {}
    short = [claim for claim in watched if claim.what in wanted]
    for _ in range(TRIES):
        for what, ratio in ratios_of(short, measured(short)).items():
            best[what] = max(ratio, best.get(what, 0.0))
        short = fallen(short, best, wanted)
        if not short:
            break
    for claim in watched:
        if claim.what in best:
            mark = "FELL" if claim in short else "ok"
            print(f"{mark:<5} {best[claim.what]:.4f} of {wanted[claim.what]:.4f}  {claim.what}")
    sys.exit(1 if short else 0)


def measured(claims: Iterable[Claim]) -> Figures:
    """The small sizes of what these claims need, with raw signature checks beside each."""
    rows: list[Row] = []
    for module in dict.fromkeys(claim.module for claim in claims):
        print(f"bench: {module}", file=sys.stderr)
        rows += raw.run(quick=True)
        rows += importlib.import_module(f"bench.{module}").run(quick=True)
    return Figures(rows)


def ratios_of(claims: Iterable[Claim], figures: Figures) -> dict[str, float]:
    """The ratios of claims."""
    return {claim.what: claim.ratio(figures) for claim in claims if claim.ratio is not None}


def fallen(claims: Iterable[Claim], found: dict[str, float], wanted: dict[str, float]) -> list[Claim]:
    """The claims whose ratio is below nine tenths of what it was."""
    return [claim for claim in claims if found[claim.what] < LEAST * wanted[claim.what]]


def _record(watched: list[Claim]) -> None:
    runs = [ratios_of(watched, measured(watched)) for _ in range(TRIES)]
    before: dict[str, Any] = json.loads(RECORDED.read_text()) if RECORDED.exists() else {"ratios": {}}
    now = {claim.what: round(sorted(run[claim.what] for run in runs)[TRIES // 2], 4) for claim in watched}
    RECORDED.write_text(json.dumps(facts() | {"ratios": before["ratios"] | now}, indent=1) + "\n")


if __name__ == "__main__":
    main()
