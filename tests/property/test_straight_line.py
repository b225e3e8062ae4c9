"""The straight line gives the same blocks as the general way and refuses the same, whatever follows on what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.proto.digest import Digest, SmpxDigest, leading_items_of
from aitoken.proto.extrinsic import Extrinsic
from aitoken.proto.randomness import UNPROVEN
from aitoken.types import AIT
from chain.frame.errors import InvalidTransaction
from chain.frame.executive import ExecutedBlock
from tests.support import small_runtime as small
from tests.support.small_runtime import ALICE, BOB, CHARLIE, Chain, account

PEOPLE = (ALICE, BOB, CHARLIE)
CALLS = ("transfer_keep_alive", "transfer_allow_death", "transfer_all", "burn")
ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 1, 1, 2]),  # who signs; the third has no account at first
        st.sampled_from([0, 0, 0, 1, 1, 2, 3]),
        st.integers(0, 2),
        st.sampled_from([0, AIT, AIT, 2 * AIT, 998 * AIT, 2**64, 2**127]),
        st.sampled_from([0, 0, 1, 2**64]),
        st.sampled_from([0, 0, 0, 0, 0, 0, 1, -1]),  # how far the nonce is off
        st.sampled_from([True, True, True, False]),  # whether it is signed by whom it says
    ),
    max_size=12,
)


def transactions(chain: Chain, rows: list[tuple[int, int, int, int, int, int, bool]]) -> list[bytes]:
    """Sign them; nonces count on as if all were good."""
    nonces, raws = [0, 0, 0], []
    for who, call, to, amount, tip, off, honest in rows:
        dest = account(PEOPLE[to])
        args: tuple[Any, ...] = (dest, amount)
        if CALLS[call] == "transfer_all":
            args = (dest, True)
        elif CALLS[call] == "burn":
            args = (amount, True)
        nonce = max(0, nonces[who] + off)
        xt = chain.sign(PEOPLE[who], f"Balances.{CALLS[call]}", *args, nonce=nonce, tip=tip)
        nonces[who] += off == 0 and honest
        raws.append(xt.raw if honest else xt.raw[:40] + bytes((xt.raw[40] ^ 1,)) + xt.raw[41:])
    return raws


def built(chain: Chain, raws: list[bytes], *, fast: bool) -> tuple[ExecutedBlock, list[tuple[int, str]]]:
    """Build a block of those that are good; say which were refused, counted from one, and how."""
    _, _, _, _, executive = small.assemble(chain.schema, fast=fast)
    leading = leading_items_of(SmpxDigest(1, 0, 1, 0, 0, chain.time_ms + 250, *UNPROVEN))
    executive.open_block(chain.state, chain.header, Digest(leading))
    offered: list[Extrinsic] = []

    def walk() -> Iterator[Extrinsic]:
        for raw in raws:
            offered.append(Extrinsic(raw))
            yield offered[-1]

    walking, refused = walk(), []
    while True:
        try:
            executive.apply_all(walking)
        except InvalidTransaction as error:
            refused.append((len(offered), repr(error)))
        else:
            return executive.seal(), refused


@settings(max_examples=60)
@given(ROWS)
def test_the_straight_line_is_the_general_way(rows: list[tuple[int, int, int, int, int, int, bool]]) -> None:
    chain = Chain()
    check_both_ways(chain, transactions(chain, rows))


@pytest.mark.parametrize("narrow", [{"block_length_max": 800}, {"block_weight_ms": 3}])
def test_both_find_a_block_full_at_the_same_transfer(narrow: dict[str, int]) -> None:
    chain = Chain(params=replace(small.PRESETS["devnet"], **narrow))
    raws = transactions(chain, [(who, 0, 1 - who, AIT, 0, 0, True) for who in (0, 1) for _ in range(20)])
    assert 0 < len(check_both_ways(chain, raws)) < len(raws) - 2


def check_both_ways(chain: Chain, raws: list[bytes]) -> list[tuple[int, str]]:
    """Build a block both ways and compare; return what was refused."""

    block, refused = built(chain, raws, fast=True)
    reference, reference_refused = built(chain, raws, fast=False)

    assert refused == reference_refused
    assert [xt.raw for xt in block.body] == [xt.raw for xt in reference.body]
    assert block.header == reference.header
    return refused


def test_keys_to_read_ahead_are_those_of_both_sides_of_transfers() -> None:
    chain = Chain()
    raws = transactions(chain, [(0, 0, 2, AIT, 0, 0, True), (1, 1, 1, AIT, 0, 0, True), (1, 3, 0, AIT, 0, 0, True)])
    _, _, _, _, executive = small.assemble(chain.schema, fast=True)
    malformed = Extrinsic(raws[0])
    malformed.call_bytes = b"\xff"

    keys = list(executive.keys_of([malformed, *map(Extrinsic, raws)]))

    assert keys == [executive._accounts.raw_key(account(who)) for who in (ALICE, CHARLIE, BOB, BOB)]
    assert list(small.assemble(chain.schema, fast=False)[-1].keys_of([Extrinsic(raws[0])])) == []
