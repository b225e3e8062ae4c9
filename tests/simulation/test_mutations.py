"""Every planted bug is found within its budget of seeds."""

from __future__ import annotations

import pytest

from simulation.campaign import run_seed
from simulation.mutations import MUTATIONS


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_a_planted_bug_is_found(name: str) -> None:
    mutation = MUTATIONS[name]

    outcomes = (run_seed(seed, name) for seed in range(mutation.first, mutation.first + mutation.budget))

    assert any(outcome.failure is not None for outcome in outcomes)


def test_a_dozen_bugs_and_more_are_planted() -> None:
    assert len(MUTATIONS) >= 12
