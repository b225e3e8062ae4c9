"""Every planted bug is found within its budget of seeds."""

from __future__ import annotations

import pytest

from simulation.campaign import run_seed
from simulation.mutations import MUTATIONS


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_a_planted_bug_is_found(name: str) -> None:
    mutation = MUTATIONS[name]

    seeds = range(mutation.first, mutation.first + mutation.budget)
    found = next((seed for seed in seeds if run_seed(seed, name).failure is not None), None)

    assert found is not None
    assert run_seed(found, name, plant=False).failure is None  # it is the bug that was found, not the weather


def test_a_dozen_bugs_and_more_are_planted() -> None:
    assert len(MUTATIONS) >= 12
