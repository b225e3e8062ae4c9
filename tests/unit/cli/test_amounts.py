"""Money on the command line is exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.amounts import parse_amount, show_amount
from cli.exits import BadInput

OUT_OF_RANGE = ("0.0000000000001", "340282366920938463463374607.431768211456")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 10**12),
        ("12.5", 12_500_000_000_000),
        ("0.000000000001", 1),
        ("10_000 AIT", 10**16),
        (" 0 ", 0),
        ("340282366920938463463374607.431768211455", 2**128 - 1),
    ],
)
def test_decimal_text_is_read_exactly(text: str, value: int) -> None:
    assert parse_amount(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "1e3", "1,5", "0x10", "1.", ".5", "nan", "１", "1 DOT", "9" * 41, "9" * 5_000, *OUT_OF_RANGE],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_amount(text)


@given(st.integers(0, 2**128 - 1))
def test_what_is_shown_is_read_back_the_same(value: int) -> None:
    assert parse_amount(show_amount(value)) == value


def test_amounts_are_shown_without_needless_zeros() -> None:
    assert show_amount(1_234_500_000_000_000) == "1_234.5 AIT"
    assert show_amount(-1) == "-0.000000000001 AIT"
    assert show_amount(0) == "0 AIT"
