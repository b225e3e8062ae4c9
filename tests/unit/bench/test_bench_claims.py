"""Figures become aims, and ratios that fall are seen."""

from __future__ import annotations

from bench.__main__ import medians
from bench.check import LEAST, fallen, ratios_of
from bench.claims import AIMED_AT, CLAIMS, IMPORT, QUICK_IMPORT, SATURATED, Figures
from bench.report import table
from bench.row import Row

RAW = Row("one core", "ed25519 verifications", 10_000.0, "per second")
KNOWN = next(claim for claim in CLAIMS if claim.unit == "us/transfer")
EFFICIENCY = next(claim for claim in CLAIMS if claim.module == "devnet")


def test_of_several_runs_the_median_counts() -> None:
    rows = [Row("a", "b", figure, "s") for figure in (3.0, 1.0, 2.0)]
    assert medians([*rows, RAW]) == [Row("a", "b", 2.0, "s"), RAW]


def test_a_ratio_is_against_raw_checks_of_the_same_run_so_a_slow_machine_changes_nothing() -> None:
    quick = [Row(QUICK_IMPORT, "all, pre-verified", 50.0, "us/transfer"), RAW]
    slow = [Row(QUICK_IMPORT, "all, pre-verified", 100.0, "us/transfer"), RAW._replace(figure=5_000.0)]
    assert ratios_of([KNOWN], Figures(quick)) == ratios_of([KNOWN], Figures(slow)) == {KNOWN.what: 2.0}


def test_a_ratio_falls_when_less_than_nine_tenths_are_left() -> None:
    assert fallen([KNOWN], {KNOWN.what: LEAST * 2}, {KNOWN.what: 2.0}) == []
    assert fallen([KNOWN], {KNOWN.what: LEAST * 2 - 0.001}, {KNOWN.what: 2.0}) == [KNOWN]


def test_the_table_says_what_is_not_met_and_keeps_what_was_not_measured_again() -> None:
    first = table([RAW, Row(SATURATED, "efficiency", 0.2, "")], "")
    assert "0.2 (not met)" in first
    second = table([RAW, Row(IMPORT, "all, pre-verified", 40.0, "us/transfer")], first)
    assert [line for line in second.splitlines() if EFFICIENCY.what in line] == first.splitlines()[2:]
    assert "| 40 us/transfer |" in second


def test_the_table_has_the_scatter_of_the_runs_and_what_a_quicker_machine_would_need() -> None:
    raw = RAW._replace(figure=AIMED_AT / 2)
    rows = [raw, *(Row(IMPORT, "all, pre-verified", us, "us/transfer") for us in (60.0, 70.0, 50.0))]
    assert "| 60 us/transfer (not met) | 50 to 70 of 3 | 30 | at most 45 |" in table(rows, "")
