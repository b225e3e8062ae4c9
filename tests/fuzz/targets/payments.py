"""Statements buyers and sellers of AI services sign: as bytes, and as text in headers."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from aitoken.crypto.hashing import blake2_256
from aitoken.pay import coupons
from aitoken.pay.book import BOOK, check_book
from aitoken.pay.coupons import CouponBook
from aitoken.pay.extension import TIER, decode_extension, encode_extension
from aitoken.pay.headers import decode_signed, encode_signed
from aitoken.pay.layouts import Authorization, Closing, Offer, Opening, OpenParams, Receipt, Tick, Voucher
from aitoken.types import AccountId, Balance, Hash32, Moment
from tests.fuzz.engine import Target
from tests.support.pay_chain import book
from tests.support.payments import PARAMS, RECEIPT, SESSION, VOUCHER

WHO, HASH, SOON = AccountId(b"a" * 32), Hash32(b"h" * 32), Moment(1_790_000_000_000)


def targets() -> Iterator[Target]:
    """All of them."""
    tick = Voucher(SESSION, 3, 2, 0, 1, Balance(5), Balance(5 + 70), Moment(0), HASH, Tick(HASH, Balance(7), 10))
    statements = (
        PARAMS,
        RECEIPT,
        Offer(HASH, 1, 2, HASH, Balance(5), 10**12, SOON),
        Closing(SESSION, Balance(5), SOON),
        Opening(SESSION, Balance(5), SOON),
        Authorization(HASH, WHO, WHO, 0, Balance(5), True, Moment(0), SOON, bytes(32), HASH),
    )
    yield Target("pay.Voucher", [VOUCHER.encode(), tick.encode()], Voucher.decode, again=lambda each: each.encode())
    for statement in statements:
        kind: type[OpenParams | Receipt | Offer | Closing | Opening | Authorization] = type(statement)
        name = f"pay.{kind.__name__}"
        yield Target(name, [statement.encode()], kind.decode, again=lambda each: each.encode())
    extension = encode_extension({TIER: b"\x01"})
    yield Target("pay.extension", [extension, b""], decode_extension, again=encode_extension)
    signed = encode_signed(RECEIPT.encode(), bytes(64)).encode()
    yield Target(
        "pay.header",
        [signed],
        lambda data: decode_signed(data.decode("latin1")),
        again=lambda found: encode_signed(*found).encode("latin1"),
    )
    codes = CouponBook(bytes(32), 5).coupons(HASH, 2**40)
    yield Target(
        "pay.coupon", [code.text().encode() for code in codes], lambda data: coupons.parse(data.decode("latin1")),
        mend=_mend_coupon,
    )  # fmt: skip
    yield Target("pay.book", [BOOK.encode(book())], lambda data: check_book(BOOK.decode(data)))


def _mend_coupon(data: bytes) -> bytes:
    """Put the right check behind what the letters say."""
    letters = re.sub(rb"[^A-Za-z0-9_-]", b"", data)
    body = base64.urlsafe_b64decode(letters[: len(letters) // 4 * 4])[:-4]
    return base64.urlsafe_b64encode(body + blake2_256(body)[:4]).rstrip(b"=")
