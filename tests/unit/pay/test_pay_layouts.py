"""Vouchers, receipts and the other signed statements: the published vectors, and one encoding of each value."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.crypto.ed25519 import verify
from aitoken.pay.errors import BadLayout
from aitoken.pay.extension import SIZES, decode_extension, encode_extension
from aitoken.pay.headers import decode_signed, encode_signed, request_hash
from aitoken.pay.layouts import (
    CUMULATIVE,
    RECEIPT_BYTES_MAX,
    TICKS,
    TICKS_MAX,
    Authorization,
    Closing,
    Offer,
    OpenParams,
    Receipt,
    Tick,
    Voucher,
    ack0,
    session_id,
)
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment
from tests.support.payments import GENESIS, PARAMS, PAYER, PROVIDER, RECEIPT, SESSION, VOUCHER

HASHES = st.binary(min_size=32, max_size=32).map(Hash32)
U64 = st.integers(0, 2**64 - 1)
U128 = st.integers(0, 2**128 - 1).map(Balance)


@st.composite
def vouchers(draw: st.DrawFn) -> Voucher:
    acked = draw(st.integers(0, 2**120))
    if draw(st.booleans()):
        tick = Tick(draw(HASHES), Balance(draw(st.integers(1, 2**100))), draw(st.integers(1, TICKS_MAX)))
        kind, ceiling = TICKS, acked + tick.value * tick.max_ticks
    else:
        tick, kind, ceiling = None, CUMULATIVE, acked + draw(st.integers(0, 2**120))
    return Voucher(
        draw(HASHES), draw(st.integers(0, 65535)), kind, draw(st.integers(0, 3)), draw(U64), Balance(acked),
        Balance(ceiling), Moment(draw(U64)), draw(HASHES), tick,
    )  # fmt: skip


EXTENSIONS = st.sets(st.sampled_from(sorted(SIZES))).map(
    lambda kinds: encode_extension({kind: bytes(range(SIZES[kind])) for kind in kinds})
)
USAGES = st.dictionaries(st.integers(1, 65535), st.integers(1, 2**64 - 1), max_size=64).map(
    lambda usage: tuple(sorted(usage.items()))
)


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    started, total = draw(st.integers(0, 2**63)), draw(st.integers(0, 2**128 - 1))
    return Receipt(
        draw(HASHES), draw(st.integers(0, 65535)), draw(st.integers(1, 2**64 - 1)), draw(st.integers(0, 5)), draw(U64),
        draw(st.integers(0, 2**32 - 1)), draw(HASHES), draw(HASHES), draw(HASHES), Moment(started),
        Moment(draw(st.integers(started, 2**64 - 1))), Balance(draw(st.integers(0, total))), Balance(total),
        draw(U128), draw(HASHES), draw(USAGES), draw(EXTENSIONS),
    )  # fmt: skip


OFFERS = st.builds(Offer, HASHES, U64, st.integers(0, 2**32 - 1), HASHES, U128, U128, U64.map(Moment))
CLOSINGS = st.builds(Closing, HASHES, U128, U64.map(Moment))
AUTHORIZATIONS = st.builds(
    Authorization, HASHES, HASHES.map(AccountId), HASHES.map(AccountId), st.integers(0, 2**32 - 1), U128,
    st.booleans(), U64.map(Moment), U64.map(Moment), st.binary(min_size=32, max_size=32), HASHES,
)  # fmt: skip
STATEMENTS = st.one_of(vouchers(), receipts(), OFFERS, CLOSINGS, AUTHORIZATIONS)


def test_the_papers_check_vector() -> None:
    assert SESSION.hex() == "525c54ec87ef715198afe1aabf511cc9ede3128d4dbe03c06a5e2d5048ee2910"
    assert ack0(SESSION, 3).hex() == "d85350a989289fe428ce3feffbbabe42a2d2b81e600bcc634efb004b802c982f"
    assert RECEIPT.hash.hex() == "8d766abe30858850a03718126d4c1a2154c7b579d2639f39615be71080efb26b"
    assert PAYER.sign(VOUCHER.encode()).hex() == (
        "77964ae422ad5fb95f48436297154ff4fa35791fb385423d807ceac10df69dd7"
        "b25b2a08f81baf6b5df2a98852b5139ecbd17c3bf311e808547955dc500e3803"
    )


def test_sizes_are_the_published_ones() -> None:
    assert len(PARAMS.encode()) == 74
    assert len(VOUCHER.encode()) == 124
    assert len(RECEIPT.encode()) == 265
    assert len(encode_signed(VOUCHER.encode(), bytes(64))) == 251
    assert len(encode_signed(RECEIPT.encode(), bytes(64))) == 439


@given(STATEMENTS)
def test_what_is_encoded_is_decoded_to_the_same(statement: Voucher | Receipt | Offer | Closing | Authorization) -> None:
    assert type(statement).decode(statement.encode()) == statement


@given(STATEMENTS, st.data())
def test_a_changed_statement_is_refused_or_another_one(
    statement: Voucher | Receipt | Offer | Closing | Authorization, data: st.DataObject
) -> None:
    raw = bytearray(statement.encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        other = type(statement).decode(bytes(raw))
    except BadLayout:
        return
    assert other != statement
    assert other.encode() == bytes(raw)


@given(STATEMENTS, st.data())
def test_cut_and_lengthened_statements_are_refused(
    statement: Voucher | Receipt | Offer | Closing | Authorization, data: st.DataObject
) -> None:
    raw = statement.encode()
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]
    for wrong in (cut, raw + b"\x00"):
        with pytest.raises(BadLayout):
            type(statement).decode(wrong)


@given(st.binary(max_size=400))
def test_garbage_is_refused(garbage: bytes) -> None:
    for kind in (Voucher, Receipt, Offer, Closing, Authorization):
        with pytest.raises(BadLayout):
            kind.decode(garbage)


@pytest.mark.parametrize(
    "wrong",
    [
        replace(VOUCHER, kind=TICKS),
        replace(VOUCHER, kind=3),
        replace(VOUCHER, flags=4),
        replace(VOUCHER, ceiling=Balance(183_599_999)),
        replace(VOUCHER, lane=65536),
        replace(VOUCHER, seq=-1),
        replace(VOUCHER, ack=Hash32(b"short")),
        replace(VOUCHER, kind=TICKS, tick=Tick(Hash32(bytes(32)), Balance(1), TICKS_MAX + 1)),
        replace(VOUCHER, kind=TICKS, tick=Tick(Hash32(bytes(32)), Balance(0), 1)),
        replace(VOUCHER, kind=TICKS, tick=Tick(Hash32(bytes(32)), Balance(1), 1)),
        replace(RECEIPT, seq=0),
        replace(RECEIPT, status=6),
        replace(RECEIPT, finished=Moment(0)),
        replace(RECEIPT, charge=Balance(183_600_001)),
        replace(RECEIPT, usage=((2, 1), (1, 1))),
        replace(RECEIPT, usage=((1, 1), (1, 1))),
        replace(RECEIPT, usage=((1, 0),)),
        replace(RECEIPT, usage=((0, 1),)),
        replace(RECEIPT, usage=((1, 2**64),)),
        replace(RECEIPT, usage=tuple((unit, 1) for unit in range(1, 66))),
        replace(RECEIPT, extension=b"\x01\x01"),
    ],
)
def test_what_means_nothing_cannot_be_written(wrong: Voucher | Receipt) -> None:
    with pytest.raises(BadLayout):
        wrong.encode()


def test_a_receipt_may_be_as_long_as_its_fields_allow_and_no_longer() -> None:
    usage = tuple((unit, 2**64 - 1) for unit in range(1, 65))
    extension = encode_extension({kind: bytes(size) for kind, size in SIZES.items()})
    longest = replace(RECEIPT, usage=usage, extension=extension).encode()

    assert len(longest) == RECEIPT_BYTES_MAX
    assert Receipt.decode(longest).usage == usage


@pytest.mark.parametrize(
    "wrong", [b"\x02\x01\x00", b"\x01\x02\x00\x00", b"\x04\x02\x00\x00\x01\x01\x00", b"\x01\x01", b"\x01"]
)
def test_extensions_are_known_ordered_and_whole(wrong: bytes) -> None:
    with pytest.raises(BadLayout):
        decode_extension(wrong)


def test_session_ids_differ_in_every_part() -> None:
    ids = {
        session_id(GENESIS, AccountId(b"\xaa" * 32), PARAMS),
        session_id(Hash32(b"\x48" * 32), AccountId(b"\xaa" * 32), PARAMS),
        session_id(GENESIS, AccountId(b"\xab" * 32), PARAMS),
    }
    for name, value in {
        "provider": 8, "book_version": 4, "session_key": bytes(32), "asset": 1, "expires_block": 1, "grace_blocks": 1,
        "max_lanes": 1, "salt": bytes(16),
    }.items():  # fmt: skip
        changed = PARAMS.copy()
        setattr(changed, name, value)
        ids.add(session_id(GENESIS, AccountId(b"\xaa" * 32), changed))
    assert len(ids) == 11
    assert OpenParams.decode(PARAMS.encode()) == PARAMS
    with pytest.raises(BadLayout):
        OpenParams.decode(PARAMS.encode() + b"\x00")
    with pytest.raises(BadLayout):
        OpenParams(2**64, 3, PAYER.public, 0, BlockNumber(1), 300, 16, bytes(16)).encode()


@given(st.binary(max_size=300), st.binary(min_size=64, max_size=64))
def test_signed_text_is_read_back(statement: bytes, signature: bytes) -> None:
    if statement:
        assert decode_signed(encode_signed(statement, signature)) == (statement, signature)


@given(st.text(max_size=300) | st.text(alphabet="ABCxyz019-_=+/ \n", max_size=300))
def test_any_other_text_is_refused_or_the_one_spelling(text: str) -> None:
    try:
        statement, signature = decode_signed(text)
    except BadLayout:
        return
    assert encode_signed(statement, signature) == text


@given(st.binary(min_size=1, max_size=3), st.integers(1, 3), st.sampled_from("ABQgwz09-_+/= \n\0"))
def test_signed_text_with_another_end_is_refused_or_the_one_spelling(end: bytes, place: int, other: str) -> None:
    text = encode_signed(bytes(64), end)
    text = text[:-place] + other + (text[1 - place :] if place > 1 else "")
    try:
        statement, signature = decode_signed(text)
    except BadLayout:
        return
    assert encode_signed(statement, signature) == text


def test_a_signature_counts_for_its_statement_only() -> None:
    signature = PROVIDER.sign(RECEIPT.encode())

    assert verify(signature, RECEIPT.encode(), PROVIDER.public)
    assert not verify(signature, replace(RECEIPT, lane=4).encode(), PROVIDER.public)
    assert request_hash(b"req", "a") != request_hash(b"req", "b") != request_hash(b"req")
