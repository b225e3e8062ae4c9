"""The protocol's headers, signed statements as text, and the hash that names a request.

Headers carry `base64url(statement || signature)` without padding, in its one spelling.
A request's hash is over the bytes of its body as sent, salted by its `Idempotency-Key`, so that nobody can guess a
short prompt from a receipt without knowing the key:

    blake2b-256( body )                                        without a key
    blake2b-256( blake2b-256(key as UTF-8) || body )           with one
"""

from __future__ import annotations

import binascii
from typing import Final

from aitoken.crypto.ed25519 import SIGNATURE_SIZE
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.errors import BadLayout
from aitoken.types import Hash32

VOUCHER: Final = "AI-Voucher"
MAX_COST: Final = "AI-Max-Cost"
QUOTE: Final = "AI-Quote"
WINDOW: Final = "AI-Window"
IDEMPOTENCY: Final = "Idempotency-Key"
RECEIPT: Final = "AI-Receipt"
COST: Final = "AI-Cost"
LEFT: Final = "AI-Session-Left"
REPEATED: Final = "AI-Repeated"
"""An answer is given again, and its receipt with it; nothing is charged."""

REQUIRED: Final = "AI-Payment-Required"

SIGNED_TEXT_MAX: Final = 2048
"""Characters of a signed statement that are read at all."""

_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_+/=", b"+/\0\0\0")
"""What base64url does not know becomes what base64 does not know either."""

_PADDING: Final = (b"", b"=", b"==", b"=")
"""By how many characters of four are there; one alone is refused with any."""


def encode_signed(statement: bytes, signature: bytes) -> str:
    """Return statement and signature as one header value."""
    return _text(statement + signature).decode("ascii")


def decode_signed(text: str) -> tuple[bytes, bytes]:
    """Return (statement, signature) of a header value.

    Raises:
        BadLayout: it is not the one spelling of at least a signature.
    """
    if len(text) > SIGNED_TEXT_MAX or not text.isascii():
        raise BadLayout("a signed header is ASCII of bounded length")
    told = text.encode("ascii")
    last = len(told) % 4
    try:
        data = binascii.a2b_base64(told.translate(_FROM_URL) + _PADDING[last], strict_mode=True)
    except binascii.Error:
        raise BadLayout("a signed header is base64url without padding") from None
    # Strict reading leaves one freedom: the bits of the last character beyond the last byte.
    if len(data) <= SIGNATURE_SIZE or (last and _text(data[1 - last :]) != told[-last:]):
        raise BadLayout("a signed header is the one base64url spelling of a statement and 64 bytes of signature")
    return data[:-SIGNATURE_SIZE], data[-SIGNATURE_SIZE:]


def _text(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=")


def request_hash(body: bytes, key: str = "") -> Hash32:
    """Return the hash receipts and offers name a request by."""
    return blake2_256(blake2_256(key.encode("utf-8")) + body if key else body)
