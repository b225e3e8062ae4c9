"""The cap: nothing is minted beyond it, not by root either, and eras go on at it."""

from __future__ import annotations

import pytest

from aitoken.errors import Bug
from aitoken.types import AIT
from chain.frame import errors
from tests.support.staking_chain import StakingChain, account


@pytest.fixture
def chain() -> StakingChain:
    return StakingChain()


def test_not_even_root_mints_beyond_the_cap(chain: StakingChain) -> None:
    room = chain.supply.room()
    free = chain.free("root")
    with pytest.raises(errors.Overflow):
        chain.call("ROOT", "Balances.force_set_balance", account("root"), free + room + 1)
    chain.call("ROOT", "Balances.force_set_balance", account("root"), free + room)
    assert chain.supply.room() == 0


def test_at_the_cap_eras_go_on_and_pay_nothing(chain: StakingChain) -> None:
    top = chain.schema.make_call("Balances.force_set_balance", account("X"), chain.supply.room())
    chain.run("root", "Sudo.sudo", top)
    assert chain.supply.room() == 0
    chain.until_era(chain.era + 2)
    assert chain.supply.room() == 0
    assert chain.balances.total_issuance.get() <= chain.supply.max_issuance
    chain.check_money()


def test_a_block_in_which_more_was_issued_is_no_block(chain: StakingChain) -> None:
    over = chain.supply.max_issuance + AIT
    chain.supply.genesis.put(over)
    chain.supply.issued_ever.put(over)
    chain.balances.total_issuance.put(over)
    with pytest.raises(Bug, match="more was issued"):
        chain.supply.check_block(1)
