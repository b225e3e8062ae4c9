"""What is printed on a coupon: everything a claim takes, nothing that can be read wrongly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.pay.codes import root_from
from aitoken.pay.coupons import TEXT_MAX, BadCoupon, Coupon, CouponBook, key_of, parse
from aitoken.types import Hash32

GENESIS = Hash32(bytes(range(32)))
hashes = st.binary(min_size=32, max_size=32).map(Hash32)
coupons = st.builds(
    Coupon, st.binary(min_size=4, max_size=4), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1),
    st.binary(min_size=16, max_size=16), st.lists(hashes, max_size=16).map(tuple),
)  # fmt: skip


@given(coupons)
def test_a_code_is_read_as_it_was_written_bare_or_in_a_link(coupon: Coupon) -> None:
    text = coupon.text()

    assert parse(text) == parse(f" https://example.org/claim#{text}\n") == coupon
    assert len(text) <= TEXT_MAX


@given(coupons, st.data())
def test_a_code_with_a_wrong_letter_is_refused(coupon: Coupon, data: st.DataObject) -> None:
    text = coupon.text()
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("ABCabc019-_").filter(lambda other: other != text[at]))
    mistyped = text[:at] + letter + text[at + 1 :]

    # The last letter has bits that mean nothing, so another one may say the same.
    if at == len(text) - 1:
        try:
            assert parse(mistyped) == coupon
        except BadCoupon:
            return
    else:
        with pytest.raises(BadCoupon):
            parse(mistyped)


@pytest.mark.parametrize("text", ["", "#", "x", "AQ", "A" * (TEXT_MAX + 1), "ä", "https://example.org/claim"])
def test_what_is_no_code_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BadCoupon) as refused:
        parse(text)

    assert text == "" or text not in str(refused.value)


def test_the_seed_of_a_batch_makes_all_its_codes_again_each_proven_at_its_place() -> None:
    book = CouponBook(b"\x05" * 32, 5)
    codes = book.coupons(GENESIS, 7)

    assert [parse(code.text()) for code in CouponBook(b"\x05" * 32, 5).coupons(GENESIS, 7)] == codes
    assert len({code.secret for code in codes}) == 5
    for code in codes:
        assert root_from(code.index, key_of(code.secret).public, code.proof) == book.root
    assert CouponBook(b"\x06" * 32, 5).root != book.root
