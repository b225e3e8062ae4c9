"""Every schedule of a small network: safety of the voting rules, and the fork that each rule prevents."""

from __future__ import annotations

from unittest import mock

import pytest

from consensus.state import State
from simulation.explorer import Explorer, Rules


@pytest.mark.parametrize(
    ("terminal", "states"), [(1000, 62_432), (1, 30_264)], ids=["two-views", "two-views-with-proposing-again"]
)
def test_two_views_are_safe_in_every_order(terminal: int, states: int) -> None:
    verdict = Explorer(2, terminal=terminal).search()

    assert verdict.violation is None
    assert verdict.states == states  # the search space itself must not shrink unnoticed


@pytest.mark.parametrize(
    "rules", [Rules(one_notarize=False), Rules(no_finalize_and_nullify=False)], ids=["without-r1", "without-r3"]
)
def test_without_a_rule_the_fork_is_found(rules: Rules) -> None:
    assert Explorer(2, rules=rules).search(100_000).violation is not None


def test_without_the_check_of_nullifications_the_fork_is_found() -> None:
    with mock.patch.object(State, "is_nullified", return_value=True):
        assert Explorer(3, blocks_per_leader=1).search(200_000).violation is not None
