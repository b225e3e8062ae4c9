"""Writes what a run found: the table of aims in `README.md`, every figure in `figures.json`, and plots."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from bench.claims import AIMED_AT, CLAIMS, Claim, Figures
from bench.machine import facts, sentence
from bench.row import Row

FOLDER: Final = Path(__file__).parent
README: Final = FOLDER / "README.md"
BEGIN: Final = "<!-- aims: written by `make bench` -->"
END: Final = "<!-- end of aims -->"
LOAD: Final = re.compile(r"load of (\d+)/s")
GROWTH: Final = re.compile(r"growth, ([\d,]+) accounts")
IMPORT: Final = re.compile(r"import ([\d,]+), 1,000 a block")
STAGES: Final = ("decode", "signatures", "execution", "extrinsics root", "state root and events", "commit")


def write(rows: Sequence[Row]) -> None:
    """Write table, figures and plots; what this run did not measure stays as it was."""
    figures = Figures(rows)
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    old, _, after = rest.partition(END)
    README.write_text(before + BEGIN + "\n" + table(rows, old) + END + after)
    FOLDER.joinpath("figures.json").write_text(
        json.dumps(facts() | {"rows": [list(row) for row in rows]}, indent=0) + "\n"
    )
    FOLDER.joinpath("plots").mkdir(exist_ok=True)
    for name, chart in plots(figures, rows).items():
        chart.render_to_file(str(FOLDER / "plots" / name))


def table(rows: Sequence[Row], old: str) -> str:
    """The aims and what was found; the line of a claim that was not measured is kept."""
    figures = Figures(rows)
    kept = {line.split(" | ")[0].removeprefix("| "): line for line in old.splitlines() if line.startswith("| ")}
    lines = [
        f"| aim | found | least and most of the runs | at {AIMED_AT:,} raw checks/s | target | stretch | measured |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for claim in CLAIMS:
        try:
            found = claim.value(figures)
        except KeyError:
            lines += [kept[claim.what]] if claim.what in kept else []
            continue
        lines.append(_line(claim, found, _scatter(claim, rows), claim.elsewhere(found, figures.raw)))
    return "\n".join(lines) + "\n"


def _line(claim: Claim, found: float, scatter: str, elsewhere: float | None) -> str:
    sign = "at most" if claim.lower else "at least"
    figure = " ".join(part for part in (_figure(found), claim.unit) if part) + _mark(claim, found)
    there = "" if elsewhere is None else _figure(elsewhere) + _mark(claim, elsewhere)
    aims = f"{sign} {claim.target:,} | {claim.stretch:,}"
    return f"| {claim.what} | {figure} | {scatter} | {there} | {aims} | {sentence()} |"


def _mark(claim: Claim, found: float) -> str:
    return "" if claim.is_met(found) else " (not met)"


def _scatter(claim: Claim, rows: Sequence[Row]) -> str:
    """The least and the most of several runs: the first rows of each name are one, the second another."""
    runs: list[list[Row]] = []
    seen: Counter[tuple[str, str]] = Counter()
    for row in rows:
        turn = seen[row.subject, row.what]
        seen[row.subject, row.what] += 1
        runs += [[]] if turn == len(runs) else []
        runs[turn].append(row)
    found: list[float] = []
    for run in runs:
        with suppress(KeyError):
            found.append(claim.value(Figures(run)))
    return "one run" if len(found) == 1 else f"{_figure(min(found))} to {_figure(max(found))} of {len(found)}"


def _figure(found: float) -> str:
    return f"{found:,.0f}" if found >= 100 else f"{found:.3g}"


def plots(figures: Figures, rows: Sequence[Row]) -> dict[str, Any]:
    """The charts this run has the figures for, by file name; none without pygal, which is said."""
    try:
        import pygal
    except ImportError:
        print("no plots: pip install 'aitoken-node[plots]'")
        return {}
    found: dict[str, Any] = {}
    rates = sorted({int(match[1]) for row in rows if (match := LOAD.fullmatch(row.subject))})
    if rates:
        found["throughput.svg"] = _line_chart(pygal, "final transfers/s over transfers/s sent", rates, {
            "final": [figures.get(f"load of {rate}/s", "final") for rate in rates],
        })  # fmt: skip
        found["latency.svg"] = _line_chart(pygal, "ms from submission to finality over transfers/s sent", rates, {
            "p50": [figures.get(f"load of {rate}/s", "submission to finality, p50") for rate in rates],
            "p99": [figures.get(f"load of {rate}/s", "submission to finality, p99") for rate in rates],
        })  # fmt: skip
    if sizes := _sizes(GROWTH, rows):
        subjects = [f"growth, {size:,} accounts" for size in sizes]
        chart = pygal.Line(title="a transfer in signature checks, over accounts on chain", js=[], range=(0, None))
        chart.x_labels = [f"{size:,}" for size in sizes]
        chart.add("imported", [figures.get(subject, "all, in ed25519 verifications") for subject in subjects])
        found["accounts.svg"] = chart
    if sizes := _sizes(IMPORT, rows):
        bar = pygal.HorizontalStackedBar(title=f"us a transfer by stage, {sizes[0]:,} accounts", js=[])
        for stage in STAGES:
            bar.add(stage, figures.get(f"import {sizes[0]:,}, 1,000 a block", stage))
        found["stages.svg"] = bar
    return found


def _sizes(subject: re.Pattern[str], rows: Sequence[Row]) -> list[int]:
    """The numbers of accounts in the subjects that are named like this."""
    return sorted({int(match[1].replace(",", "")) for row in rows if (match := subject.fullmatch(row.subject))})


def _line_chart(pygal: Any, title: str, places: Sequence[int], lines: dict[str, list[float]]) -> Any:
    chart = pygal.XY(title=title, js=[])
    for name, values in lines.items():
        chart.add(name, list(zip(places, values, strict=True)))
    return chart
