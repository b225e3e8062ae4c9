"""Coupons: how a code is written down, so that whoever has the text has everything a claim takes.

    code    0x01 | genesis, first 4 bytes | batch compact | index compact | secret, 16 bytes | proof, 32 bytes a hash
            | first 4 bytes of blake2b-256 of all that                                 as base64url without padding
    link    https://HOST/claim#code     what follows the # never leaves the browser
            https://HOST/claim#code~address                        with who invites, in a referral link
    seed    blake2b-256("AITPseed" | secret)                                    of the code's ed25519 key
    secret  the first 16 bytes of blake2b-256("AITPbook" | seed of the batch | index u32)

A secret has 128 random bits, so it needs no stretching. The proof travels with the code: 32 bytes for each doubling of
the batch, none in a gift link. The seed of a batch makes all its codes again.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from aitoken.codec.base import DecodeError, compact_encode
from aitoken.codec.primitives import CompactU32, CompactU64
from aitoken.crypto import ed25519
from aitoken.crypto.hashing import blake2_256
from aitoken.errors import Rejected
from aitoken.pay.codes import DEPTH_MAX, proofs_of, root_of
from aitoken.types import Hash32

VERSION: Final = b"\x01"
SECRET_BYTES: Final = 16
CHECK_BYTES: Final = 4
GENESIS_BYTES: Final = 4
SEED_MAGIC: Final = b"AITPseed"
BOOK_MAGIC: Final = b"AITPbook"
TEXT_MAX: Final = 4 * (1 + GENESIS_BYTES + 9 + 5 + SECRET_BYTES + 32 * DEPTH_MAX + CHECK_BYTES) // 3 + 1
_TEXT: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class BadCoupon(Rejected):
    """This is no code, or a letter of it is wrong. It is not repeated: it may be worth money."""

    code = "coupon.malformed"


def key_of(secret: bytes) -> ed25519.Pair:
    """Return the key that claims with a secret."""
    return ed25519.Pair(blake2_256(SEED_MAGIC + secret))


def secret_of(seed: bytes, index: int) -> bytes:
    """Return the secret of a code of the batch with this seed (32 random bytes)."""
    return blake2_256(BOOK_MAGIC + seed + index.to_bytes(4, "little"))[:SECRET_BYTES]


@dataclass(frozen=True, slots=True)
class Coupon:
    """A code and its place.

    Attributes:
        chain: first bytes of the genesis hash: a code of another chain is told apart before anything is sent.
        secret: whoever knows it gets the value.
    """

    chain: bytes
    batch: int
    index: int
    secret: bytes
    proof: tuple[Hash32, ...]

    def __str__(self) -> str:
        return f"code {self.index} of batch {self.batch}"

    def text(self) -> str:
        """Return the code as it is handed out."""
        place = compact_encode(self.batch) + compact_encode(self.index)
        body = VERSION + self.chain + place + self.secret + b"".join(self.proof)
        return base64.urlsafe_b64encode(body + blake2_256(body)[:CHECK_BYTES]).rstrip(b"=").decode()


def parse(text: str) -> Coupon:
    """Read a code, or a link that ends in one.

    Raises:
        BadCoupon: it is neither, or mistyped.
    """
    text = text.strip().rpartition("#")[2].partition("~")[0]
    if len(text) > TEXT_MAX or not _TEXT.fullmatch(text):
        raise BadCoupon
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise BadCoupon from None
    body, check = data[:-CHECK_BYTES], data[-CHECK_BYTES:]
    if body[:1] != VERSION or blake2_256(body)[:CHECK_BYTES] != check:
        raise BadCoupon
    try:
        batch, at = CompactU64.read(body, 1 + GENESIS_BYTES)
        index, at = CompactU32.read(body, at)
    except DecodeError:
        raise BadCoupon from None
    secret, path = body[at : at + SECRET_BYTES], body[at + SECRET_BYTES :]
    if len(secret) < SECRET_BYTES or len(path) % 32 or len(path) > 32 * DEPTH_MAX:
        raise BadCoupon
    proof = tuple(Hash32(path[at : at + 32]) for at in range(0, len(path), 32))
    return Coupon(body[1 : 1 + GENESIS_BYTES], batch, index, secret, proof)


def inviter_of(text: str) -> str | None:
    """Return the address of who invites by a link, None where it names nobody."""
    return text.strip().rpartition("#")[2].partition("~")[2] or None


class CouponBook:
    """All codes of a batch, made from its seed."""

    def __init__(self, seed: bytes, count: int) -> None:
        self.secrets = [secret_of(seed, index) for index in range(count)]
        self._keys = [key_of(secret).public for secret in self.secrets]
        self.root = root_of(self._keys)

    def coupons(self, genesis: Hash32, batch: int) -> list[Coupon]:
        """Return them, in order."""
        proofs = proofs_of(self._keys)
        return [
            Coupon(genesis[:GENESIS_BYTES], batch, index, secret, tuple(proof))
            for index, (secret, proof) in enumerate(zip(self.secrets, proofs, strict=True))
        ]
