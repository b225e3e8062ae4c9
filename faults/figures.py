"""Figures for people."""

from __future__ import annotations

from collections.abc import Sequence


def spread(values: Sequence[float]) -> str:
    """Median and greatest of some figures."""
    return f"median {percentile(values, 50):.1f}, most {max(values):.1f}" if values else "-"


def percentile(values: Sequence[float], share: int) -> float:
    """The value that `share` per cent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]
