"""Payment headers: where a voucher may stand, and how costs are told.

    AI-Voucher           the voucher; the other two are the same in the dress of other protocols
    PAYMENT-SIGNATURE    x402 version 2: base64 of JSON with `payload.voucher`, or another payment: `gateway.x402`
    Authorization        "Payment" scheme (MPP): base64url of JSON with `payload.voucher`, perhaps with an opening
    AI-Max-Cost          the client's own cap, in base units or as "0.5 AIT"
    AI-Quote             a signed offer for this request
    AI-Window            output tokens that the voucher is for, if it will be raised while the answer flows
    Idempotency-Key      1 to 255 visible characters

Whatever is wrong with one of them is the sender's mistake: 400 with a reason.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from multidict import CIMultiDictProxy, istr

from aitoken.pay.book import price_of
from aitoken.pay.errors import BadBook, BadLayout
from aitoken.pay.headers import IDEMPOTENCY, MAX_COST, QUOTE, SIGNED_TEXT_MAX, VOUCHER, WINDOW, decode_signed
from aitoken.pay.seller import Signed
from aitoken.pay.units import UNITS
from aitoken.types import AIT, Balance
from gateway.ports import AnySigned
from gateway.refusals import BadPaymentHeader
from gateway.x402 import SIGNATURE as X402
from gateway.x402 import OpeningOrder, Payload, read_json, read_payload

AUTHORIZATION: Final = "Authorization"
_VOUCHER: Final = istr(VOUCHER)
_RARE: Final = tuple(istr(name) for name in (X402, AUTHORIZATION, MAX_COST, WINDOW, QUOTE))
"""Payment headers that most requests do not have."""

_KEY_NAME: Final = istr(IDEMPOTENCY)


DRESSED_TEXT_MAX: Final = 8192
WINDOW_MAX: Final = 1_000_000
_UNIT_NAMES: Final = {number: unit.name.replace(" ", "_").lower() for number, unit in UNITS.items()}
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_AMOUNT: Final = re.compile(r"(\d{1,39})|(\d{1,26}(?:\.\d{1,12})?) ?AIT")


class PaymentHeaders(msgspec.Struct, frozen=True):
    """What a request says about its payment."""

    voucher: Signed | None = None
    max_cost: Balance | None = None
    quote: Signed | None = None
    window: int | None = None
    key: str = ""
    opening: OpeningOrder | None = None
    order: AnySigned | None = None
    x402: bool = False


def read_headers(headers: CIMultiDictProxy[str]) -> PaymentHeaders:
    """Read the payment headers of a request.

    Raises:
        BadPaymentHeader: one is malformed, there twice, or two say different things.
    """
    for name in _RARE:
        if name in headers:
            break
    else:
        text = _single(headers, _VOUCHER)
        return PaymentHeaders(_signed(text) if text else None, key=_key(_single(headers, _KEY_NAME)))
    return read_all_headers(headers)


def read_all_headers(headers: CIMultiDictProxy[str]) -> PaymentHeaders:
    """Read the payment headers of a request that may have any of them: the plain way of `read_headers`.

    Raises:
        BadPaymentHeader: one is malformed, there twice, or two say different things.
    """
    dressed, credential = _x402(headers), _mpp(headers)
    vouchers = [text for text in (_voucher(headers), dressed.voucher, credential.voucher) if text]
    if len(set(vouchers)) > 1:
        raise BadPaymentHeader("several payment headers with different vouchers")
    if vouchers and dressed.order is not None:
        raise BadPaymentHeader("a voucher and an authorisation: which one?")
    quote = _single(headers, QUOTE)
    return PaymentHeaders(
        voucher=_signed(vouchers[0]) if vouchers else None,
        max_cost=_amount(_single(headers, MAX_COST)),
        quote=_signed(quote) if quote else None,
        window=_window(_single(headers, WINDOW)),
        key=_key(_single(headers, IDEMPOTENCY)),
        opening=dressed.opening or credential.opening,
        order=dressed.order,
        x402=bool(dressed.voucher) or dressed.order is not None,
    )


def _single(headers: CIMultiDictProxy[str], name: str, length_max: int = SIGNED_TEXT_MAX) -> str:
    if name not in headers:
        return ""
    values = headers.getall(name)
    if len(values) > 1:
        raise BadPaymentHeader(f"{name} is there {len(values)} times")
    if not values[0] or len(values[0]) > length_max:
        raise BadPaymentHeader(f"{name} is empty or too long")
    return values[0]


def _voucher(headers: CIMultiDictProxy[str]) -> str:
    return _single(headers, VOUCHER)


def _x402(headers: CIMultiDictProxy[str]) -> Payload:
    text = _single(headers, X402, DRESSED_TEXT_MAX)
    return read_payload(read_json(text, X402), X402) if text else Payload()


def _mpp(headers: CIMultiDictProxy[str]) -> Payload:
    for value in headers.getall(AUTHORIZATION, []):
        scheme, _, credential = value.partition(" ")
        if scheme.lower() == "payment":
            if len(value) > DRESSED_TEXT_MAX:
                raise BadPaymentHeader("Authorization is too long")
            return read_payload(read_json(credential.strip(), AUTHORIZATION), AUTHORIZATION)
    return Payload()


def _signed(text: str) -> Signed:
    try:
        return Signed(*decode_signed(text))
    except BadLayout as error:
        raise BadPaymentHeader(str(error)) from None


def _amount(text: str) -> Balance | None:
    if not text:
        return None
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise BadPaymentHeader(f"{MAX_COST} is base units, or an amount in AIT")
    if match.group(1):
        return Balance(int(match.group(1)))
    try:
        price = price_of(match.group(2))
    except BadBook:
        raise BadPaymentHeader(f"{MAX_COST} is too large") from None
    return Balance(price.mantissa * AIT // 10**price.scale)


def _window(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 8 and 1 <= int(text) <= WINDOW_MAX):
        raise BadPaymentHeader(f"{WINDOW} is 1 to {WINDOW_MAX} tokens")
    return int(text)


def is_key(text: str) -> bool:
    """Tell whether a text can be an `Idempotency-Key`."""
    return _KEY.fullmatch(text) is not None


def _key(text: str) -> str:
    if text and not is_key(text):
        raise BadPaymentHeader(f"{IDEMPOTENCY} is 1 to 255 visible characters")
    return text


def show_ait(amount: int) -> str:
    """Return base units as AIT with all twelve decimals."""
    return f"{amount // AIT}.{amount % AIT:012d}"


def show_units(usage: tuple[tuple[int, int], ...]) -> str:
    """Return a usage as `input_token:1200,output_token:350`."""
    return ",".join([f"{unit_name(unit)}:{quantity}" for unit, quantity in usage])


def unit_name(unit: int) -> str:
    """Return a unit's name as price files and answers have it."""
    return _UNIT_NAMES.get(unit) or f"unit_{unit}"
