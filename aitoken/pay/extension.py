"""The open end of a receipt: fields that few receipts need, as `type u8 | length u8 | value`.

Types stand in ascending order, each at most once, each with its one length; a type nobody defined is refused, so a
receipt has one meaning for everybody who reads it. All integers are little-endian.
"""

from collections.abc import Mapping
from typing import Final

from aitoken.pay.errors import BadLayout

TIER: Final = 1
"""u8: the service tier that was served; prices may depend on it."""

CACHE_TTL: Final = 3
"""u32: seconds that written cache entries live; prices may depend on it."""

QUALITY: Final = 4
"""u16: the class of quality or resolution; prices may depend on it."""

TOKENIZER: Final = 5
"""[32]: blake2b-256 of the name of the tokenizer that counted."""

REASONING_ROOT: Final = 6
"""[32]: Merkle root over hidden reasoning tokens."""

FALLBACK_LEG: Final = 7
"""u8: which upstream answered, 0 being the first choice."""

IDEMPOTENCY: Final = 8
"""[32]: blake2b-256 of the `Idempotency-Key`."""

SIZES: Final[dict[int, int]] = {
    TIER: 1, CACHE_TTL: 4, QUALITY: 2, TOKENIZER: 32, REASONING_ROOT: 32, FALLBACK_LEG: 1, IDEMPOTENCY: 32,
}  # fmt: skip

EXTENSION_BYTES_MAX: Final = sum(2 + size for size in SIZES.values())


def encode_extension(fields: Mapping[int, bytes]) -> bytes:
    """Return the fields as bytes.

    Raises:
        BadLayout: a type is unknown or its value has the wrong length.
    """
    parts = []
    for kind in sorted(fields):
        value = fields[kind]
        if SIZES.get(kind) != len(value):
            raise BadLayout(f"extension {kind} of {len(value)} bytes")
        parts.append(bytes((kind, len(value))) + value)
    return b"".join(parts)


def decode_extension(data: bytes) -> dict[int, bytes]:
    """Return the fields by type.

    Raises:
        BadLayout: a type is unknown, out of order or twice there, a length is wrong, or bytes are left over.
    """
    fields: dict[int, bytes] = {}
    offset, last = 0, 0
    while offset < len(data):
        head = data[offset : offset + 2]
        if len(head) < 2 or head[0] <= last or SIZES.get(head[0]) != head[1]:
            raise BadLayout(f"extension field at {offset} is unknown, out of order or of a wrong length")
        last, end = head[0], offset + 2 + head[1]
        if end > len(data):
            raise BadLayout("extension ends inside a field")
        fields[last] = data[offset + 2 : end]
        offset = end
    return fields
