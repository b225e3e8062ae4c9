"""Whatever is sent, money is conserved and a block means the same to everybody."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.types import AIT
from chain.frame import errors
from tests.support import small_runtime as small
from tests.support.small_runtime import ALICE, BOB, CHARLIE, Chain, account, small_schema

PEOPLE = [ALICE, BOB, CHARLIE]
AMOUNTS = st.one_of(
    st.sampled_from([0, 1, AIT // 100 - 1, AIT // 100, AIT, 999 * AIT, 1000 * AIT, 2**128 - 1]),
    st.integers(0, 1001 * AIT),
)
CALLS = st.one_of(
    st.tuples(st.just("Balances.transfer_allow_death"), st.integers(0, 3), AMOUNTS),
    st.tuples(st.just("Balances.transfer_keep_alive"), st.integers(0, 3), AMOUNTS),
    st.tuples(st.just("Balances.transfer_all"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("Balances.burn"), AMOUNTS, st.booleans()),
    st.tuples(st.just("Balances.force_transfer"), st.integers(0, 3), st.integers(0, 3), AMOUNTS),
)
TARGETS = [account(ALICE), account(BOB), account(CHARLIE), small.AUTHOR]


def arguments(row: tuple[Any, ...]) -> tuple[Any, ...]:
    name, *rest = row
    if name == "Balances.burn":
        return tuple(rest)
    people = 2 if name == "Balances.force_transfer" else 1
    return (*(TARGETS[who] for who in rest[:people]), *rest[people:])


@settings(max_examples=40)
@given(st.lists(st.lists(st.tuples(st.integers(0, 2), CALLS, st.integers(0, AIT)), max_size=4), max_size=3))
def test_money_is_conserved_and_blocks_replay(blocks: list[list[tuple[int, tuple[Any, ...], int]]]) -> None:
    chain = Chain()
    for rows in blocks:
        state, parent = chain.state, chain.header
        chain.open()
        for who, row, tip in rows:
            found = chain.system.account.find(account(PEOPLE[who]))
            nonce = 0 if found is None else found.nonce
            try:
                chain.executive.apply(chain.sign(PEOPLE[who], row[0], *arguments(row), nonce=nonce, tip=tip))
            except errors.CannotPay:
                assert found is None or found.free < AIT + 2 * AIT
        block = chain.seal()
        machine, system, balances, _, executive = small.assemble(small_schema(chain.schema.params), fast=False)
        executive.open_block(state, parent, block.header.digest)
        for extrinsic in block.body[1:]:
            executive.apply(extrinsic)
        assert executive.seal().header == block.header
        machine.store.load(block.state)
        accounts = [each for _, each in system.account.items()]
        assert sum(each.free + each.reserved for each in accounts) == balances.total_issuance.get()
        assert all(each.free >= chain.schema.params.existential_deposit for each in accounts)
        for each in accounts:
            assert each.providers == 1
