"""x402 version 2 as this gateway speaks it: what it offers, what a client pays with, what it is told.

    PAYMENT-REQUIRED     offers, the best first; `payTo` is the account single payments go to
      batch-settlement   a session: one deposit on chain, a voucher with each request
      upto               one authorisation for at most `amount`; the chain moves what the answer really cost
      exact              one authorisation for `amount`, whatever the answer costs
    PAYMENT-SIGNATURE    base64 of JSON; what its `payload` holds says how it is paid:
      voucher            a voucher, as in AI-Voucher
      opening            with it, where the session is not open yet: payer, params, deposit, validBefore, signature
      authorization      the 205 bytes the payer signed, and `signature`; a signature of an account has its kind before
                         it, 00 ed25519 or 01 sr25519
    PAYMENT-RESPONSE     base64 of JSON: transaction, amount, and in `extra` the receipt

Bytes are hex with 0x. Amounts are base units. Source: x402 specification v2; payments paper, section 7.2.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from aitoken.pay.errors import BadLayout
from aitoken.pay.headers import SIGNED_TEXT_MAX
from aitoken.pay.layouts import AUTHORIZATION_BYTES, OPEN_PARAMS_BYTES, OpenParams
from aitoken.types import AccountId, Balance, Moment
from gateway.ports import AnySigned
from gateway.refusals import BadPaymentHeader

VERSION: Final = 2
REQUIRED: Final = "PAYMENT-REQUIRED"
SIGNATURE: Final = "PAYMENT-SIGNATURE"
RESPONSE: Final = "PAYMENT-RESPONSE"

ASSET: Final = "native"

BATCH: Final = "batch-settlement"
UPTO: Final = "upto"
EXACT: Final = "exact"
SESSION_S: Final = 600
ONCE_S: Final = 900
"""How long an authorisation has to hold: an answer may take ten minutes, and then it has to be settled."""

_SIGNATURE_BYTES: Final = 65
_AMOUNT_MAX: Final = (1 << 128) - 1
_TIME_MAX: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class OpeningOrder:
    """A payer's order to open a session."""

    payer: AccountId
    params: OpenParams
    deposit: Balance
    valid_before: Moment
    signature: bytes


@dataclass(frozen=True, slots=True)
class Payload:
    """What a client pays with: a voucher (base64url), perhaps with an opening, or an authorisation."""

    voucher: str = ""
    opening: OpeningOrder | None = None
    order: AnySigned | None = None


def read_json(text: str, name: str) -> Mapping[str, Any]:
    """Read base64 (either alphabet, padded or not) of a JSON object.

    Raises:
        BadPaymentHeader: it is none.
    """
    try:
        data = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
        told: Any = msgspec.json.decode(data)
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        raise BadPaymentHeader(f"{name} is no base64 of JSON") from None
    if not isinstance(told, dict):
        raise BadPaymentHeader(f"{name} is no JSON object")
    return told


def read_payload(told: Mapping[str, Any], name: str) -> Payload:
    """Take what is paid with out of the JSON it is wrapped in.

    Raises:
        BadPaymentHeader: there is nothing of that kind, or it is malformed.
    """
    payload = told.get("payload")
    if not isinstance(payload, Mapping):
        raise BadPaymentHeader(f"{name} holds no payload")
    if "authorization" in payload:
        if "voucher" in payload:
            raise BadPaymentHeader(f"{name} holds a voucher and an authorisation: which one?")
        statement = _hex(payload, "authorization", AUTHORIZATION_BYTES)
        return Payload(order=AnySigned(statement, _any_signature(payload)))
    voucher = payload.get("voucher")
    if not isinstance(voucher, str) or not 0 < len(voucher) <= SIGNED_TEXT_MAX:
        raise BadPaymentHeader(f"{name} holds no payload.voucher and no payload.authorization")
    opening = payload.get("opening")
    return Payload(voucher, None if opening is None else _opening(opening))


def _opening(told: Any) -> OpeningOrder:
    if not isinstance(told, Mapping):
        raise BadPaymentHeader("opening is no JSON object")
    try:
        params = OpenParams.decode(_hex(told, "params", OPEN_PARAMS_BYTES))
    except BadLayout as error:
        raise BadPaymentHeader(str(error)) from None
    return OpeningOrder(
        AccountId(_hex(told, "payer", 32)), params, Balance(_number(told, "deposit", _AMOUNT_MAX)),
        Moment(_number(told, "validBefore", _TIME_MAX)), _any_signature(told),
    )  # fmt: skip


def _any_signature(told: Mapping[str, Any]) -> bytes:
    signature = _hex(told, "signature", _SIGNATURE_BYTES)
    if signature[0] > 1:
        raise BadPaymentHeader("signature begins with its kind: 00 ed25519, 01 sr25519")
    return signature


def _hex(told: Mapping[str, Any], name: str, size: int) -> bytes:
    text = told.get(name)
    if not isinstance(text, str) or len(text) != 2 + 2 * size or not text.startswith("0x"):
        raise BadPaymentHeader(f"{name} is 0x and {size} bytes in hex")
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        raise BadPaymentHeader(f"{name} is 0x and {size} bytes in hex") from None


def _number(told: Mapping[str, Any], name: str, most: int) -> int:
    value = told.get(name)
    if isinstance(value, str) and 0 < len(value) < 40 and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise BadPaymentHeader(f"{name} is a number")
    return value


# ------------------------------------------------------------------------------------------------- what it says


@dataclass(frozen=True, slots=True)
class Terms:
    """What every offer says alike."""

    network: str
    asset: str
    pay_to: str


def offers(terms: Terms, needed: str, single: str, extra: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the offers for a request.

    Args:
        terms: what all say.
        needed: what it may cost at most, in base units.
        single: what a single payment for it has to be; empty where none is taken.
        extra: what our own clients want to know.
    """
    found = [_offer(terms, BATCH, needed, SESSION_S, extra)]
    if single:
        found += [_offer(terms, scheme, single, ONCE_S, extra) for scheme in (UPTO, EXACT)]
    return found


def _offer(terms: Terms, scheme: str, amount: str, seconds: int, extra: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "scheme": scheme, "network": terms.network, "asset": terms.asset, "amount": amount, "payTo": terms.pay_to,
        "maxTimeoutSeconds": seconds, "extra": dict(extra),
    }  # fmt: skip


def response(network: str, payer: bytes, amount: int, transaction: str, extra: Mapping[str, Any]) -> str:
    """Return PAYMENT-RESPONSE for what was paid; `transaction` is empty where a voucher paid."""
    return encode(
        {
            "success": True, "transaction": transaction, "network": network, "payer": f"0x{payer.hex()}",
            "amount": str(amount), "extra": dict(extra),
        }
    )  # fmt: skip


def failure(network: str, reason: str, message: str) -> str:
    """Return PAYMENT-RESPONSE for what was not paid."""
    return encode(
        {"success": False, "errorReason": reason, "errorMessage": message, "transaction": "", "network": network}
    )


def encode(value: object) -> str:
    """Return base64 of JSON."""
    return base64.b64encode(msgspec.json.encode(value, order="sorted")).decode("ascii")
