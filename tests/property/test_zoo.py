"""Farming does not pay: every strategy of `tests/zoo`, on the real pallets; `make zoo` plays a thousand seeds."""

from __future__ import annotations

import pytest

from tests.zoo.__main__ import loosened, profits
from tests.zoo.farm import Farm
from tests.zoo.strategies import STRATEGIES, Strategy

SEEDS = range(1, 7)
LOOSENED = range(1, 4)


@pytest.fixture(scope="module")
def farm() -> Farm:
    return Farm()


@pytest.mark.parametrize("what", STRATEGIES, ids=lambda what: what.name.replace(" ", "-"))
def test_farming_does_not_pay_unless_the_chain_is_loosened(farm: Farm, what: Strategy) -> None:
    for seed, profit in profits(farm, what, SEEDS):
        assert profit <= 0, f"seed {seed}"

    assert max(profit for _, profit in loosened(farm, what, LOOSENED)) > 0


def test_there_are_a_dozen_strategies() -> None:
    assert len({what.name for what in STRATEGIES}) >= 12
