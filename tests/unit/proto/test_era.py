"""Eras as @polkadot/types writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.codec.base import DecodeError
from aitoken.proto.era import ERA, IMMORTAL, Era, era_of

VECTORS = Path(__file__).parents[2] / "vectors"


def test_mortal_eras_of_polkadot_js() -> None:
    rows = json.loads((VECTORS / "polkadot_js" / "mortal_era.json").read_text())
    assert len(rows) > 50
    for row in rows:
        era = Era(row["period"], row["phase"])
        assert era.encode().hex() == row["hex"][2:]
        assert ERA.decode(bytes.fromhex(row["hex"][2:])) == era
        assert era.birth(row["current"]) == row["birth"]
        assert era.death(row["current"]) == row["death"]
        if row["period"] <= 4096:  # above, polkadot-js does not round the phase the way Substrate does
            assert Era.mortal(row["period_requested"], row["current"]) == era


def test_eras_of_the_client_contract() -> None:
    for row in json.loads((VECTORS / "rpc" / "scale.json").read_text())["eras"]:
        era = Era.mortal(row["period"], row["current"])
        assert era.encode().hex() == row["encoded"][2:]
        assert (era.phase, era.birth(row["current"]), era.death(row["current"])) == (
            row["quantized_phase"], row["birth"], row["death"],
        )  # fmt: skip


def test_immortal_is_one_zero_byte_and_born_at_genesis() -> None:
    assert ERA.decode(b"\x00") == IMMORTAL
    assert (IMMORTAL.encode(), IMMORTAL.code, IMMORTAL.birth(77)) == (b"\x00", 0, 0)
    assert IMMORTAL.death(77) == 2**64 - 1


@pytest.mark.parametrize("data", ["10ff", "f1ff", "51f0", "01"])
def test_impossible_eras_are_refused(data: str) -> None:
    with pytest.raises(DecodeError):
        ERA.decode(bytes.fromhex(data))


@given(st.integers(2, 65536), st.integers(0, 2**32 - 1))
def test_an_era_made_at_a_block_contains_it(period: int, current: int) -> None:
    era = Era.mortal(period, current)

    assert era.birth(current) <= current < era.death(current)
    assert era_of(era.code) == era
    assert era.birth(era.death(current) - 1) == era.birth(current)
    assert era.birth(era.death(current)) == era.death(current)
