"""Blind signatures: RSABSSA-SHA384-PSS-Deterministic of RFC 9474. Who signs does not see what, nor knows it again.

    person   blinded, secret = blind(message, modulus)         goes to the issuer, who knows the person
    issuer   blind_signature = key.sign_blind(blinded)          goes back
    person   signature = finalize(message, blind_signature, secret, modulus)
    anybody  verify(signature, message, modulus)                an RSASSA-PSS signature like any other (RFC 8017, 8.1.2)

The variant without a random prefix is for messages nobody can guess; ours contain a fresh public key.

Verification is OpenSSL's, for odd moduli of at least 2,048 bits, where nothing is left to a library's taste: which
other keys are taken at all differs from version to version. The exponent is always 65537.

Signing blinds its input once more with a number of its own, so that how long it takes says nothing about the key, and
checks what comes out before it leaves, so that a fault cannot give the key away (RFC 9474, 4.3 and 7.1).

Cost, where an ed25519 verification takes 61 us, with 2,048 bits: verify 37 us (55 us with
a key that was not read yet), blind 0.6 ms, sign_blind 8 ms.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha384
from math import gcd
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from aitoken.errors import Bug, Rejected

EXPONENT: Final = 65537
BITS: Final = 2048
SIZE: Final = BITS // 8
"""Bytes of the modulus, of what is blinded, and of signatures."""
SALT_SIZE: Final = 48
KEYS_MAX: Final = 64
"""Keys that stay read."""
_HASH_SIZE: Final = 48
_PAD: Final = bytes(8)
_SHA384: Final = hashes.SHA384()
_PSS: Final = {size: padding.PSS(padding.MGF1(_SHA384), size) for size in (0, SALT_SIZE)}


class BadBlinded(Rejected):
    """What should be signed blindly is no number below the modulus."""

    code = "crypto.bad_blinded"


class BadBlindSignature(Rejected):
    """What the issuer sent back is not its signature over what it was given."""

    code = "crypto.bad_blind_signature"


class BadIssuerKey(Rejected):
    """A key is no RSA key, or not of the exponent used here."""

    code = "crypto.bad_issuer_key"


def is_modulus(modulus: bytes) -> bool:
    """Whether these bytes can be a modulus here: odd, with exactly 2,048 bits."""
    return len(modulus) == SIZE and bool(modulus[0] & 0x80) and bool(modulus[-1] & 1)


def verify(signature: bytes, message: bytes, modulus: bytes, *, salt_size: int = SALT_SIZE) -> bool:
    """Tell whether `signature` over `message` was made with the key of this modulus; nothing raises.

    Args:
        signature: as many bytes as the modulus has.
        message: of any length.
        modulus: big-endian, without zero bytes before it.
        salt_size: 48, or 0 in the variants of RFC 9474 called PSSZERO.
    """
    if len(signature) != len(modulus) or not _is_sound(modulus):
        return False
    try:
        _public(modulus).verify(signature, message, _PSS[salt_size], _SHA384)
    except InvalidSignature:
        return False
    return True


def _is_sound(modulus: bytes) -> bool:
    """Whether all libraries take such a modulus."""
    return len(modulus) >= SIZE and modulus[0] != 0 and modulus[-1] & 1 == 1


@lru_cache(maxsize=KEYS_MAX)
def _public(modulus: bytes) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(EXPONENT, int.from_bytes(modulus)).public_key()


def blind(message: bytes, modulus: bytes) -> tuple[bytes, int]:
    """Hide a message; return what goes to the issuer, and the secret that makes a signature of its answer.

    Raises:
        BadIssuerKey: nobody can sign with a key of this modulus.
    """
    n = _number_of(modulus)
    while True:
        inverse = secrets.randbelow(n - 1) + 1
        if gcd(inverse, n) == 1:
            return blind_with(message, modulus, secrets.token_bytes(SALT_SIZE), inverse), inverse


def blind_with(message: bytes, modulus: bytes, salt: bytes, inverse: int) -> bytes:
    """Hide a message with given salt and secret (RFC 9474, 4.2); both must be random and used once."""
    n = _number_of(modulus)
    number = _encode(message, n.bit_length() - 1, salt)
    if gcd(number, n) != 1:
        raise BadIssuerKey("the message has a factor in common with the modulus, which is then broken")
    return (number * pow(pow(inverse, -1, n), EXPONENT, n) % n).to_bytes(len(modulus))


def finalize(
    message: bytes, blind_signature: bytes, secret: int, modulus: bytes, *, salt_size: int = SALT_SIZE
) -> bytes:
    """Return the signature over `message` (RFC 9474, 4.4).

    Raises:
        BadBlindSignature: the issuer has not signed what it was given.
        BadIssuerKey: nobody can sign with a key of this modulus.
    """
    n = _number_of(modulus)
    signature = (int.from_bytes(blind_signature) * secret % n).to_bytes(len(modulus))
    if len(blind_signature) != len(modulus) or not verify(signature, message, modulus, salt_size=salt_size):
        raise BadBlindSignature("the issuer's answer does not become a signature")
    return signature


@dataclass(frozen=True, slots=True, repr=False)
class IssuerKey:
    """The issuer's secret. It shows in no `repr`, and signs nothing but what is blinded."""

    _p: int
    _q: int

    @classmethod
    def generate(cls) -> Self:
        """Make a fresh key of 2,048 bits."""
        numbers = rsa.generate_private_key(EXPONENT, BITS).private_numbers()
        return cls(numbers.p, numbers.q)

    @classmethod
    def from_pem(cls, pem: bytes, password: bytes | None = None) -> Self:
        """Read a key as `pem` writes it.

        Raises:
            BadIssuerKey: it is none, or the password is wrong.
        """
        try:
            key = serialization.load_pem_private_key(pem, password)
        except (ValueError, TypeError) as error:
            raise BadIssuerKey(f"no private key: {error}") from None
        if not isinstance(key, rsa.RSAPrivateKey) or key.public_key().public_numbers().e != EXPONENT:
            raise BadIssuerKey(f"an issuer's key is an RSA key of exponent {EXPONENT}")
        numbers = key.private_numbers()
        return cls(numbers.p, numbers.q)

    def pem(self, password: bytes | None = None) -> bytes:
        """Return the key as PKCS #8, encrypted where there is a password."""
        p, q, d = self._p, self._q, self._exponent()
        public = rsa.RSAPublicNumbers(EXPONENT, p * q)
        numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
        return numbers.private_key().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
        )

    @property
    def modulus(self) -> bytes:
        """What everybody may know."""
        n = self._p * self._q
        return n.to_bytes((n.bit_length() + 7) // 8)

    def sign_blind(self, blinded: bytes) -> bytes:
        """Sign what a person has blinded (RFC 9474, 4.3). Whether it may have a signature is decided before.

        Raises:
            BadBlinded: it is no number below the modulus.
        """
        p, q = self._p, self._q
        n = p * q
        number = int.from_bytes(blinded)
        size = (n.bit_length() + 7) // 8
        if len(blinded) != size or number >= n:
            raise BadBlinded(f"what is signed blindly is a number of {size} bytes below the modulus")
        shield = secrets.randbelow(n - 2) + 2
        shielded = number * pow(shield, EXPONENT, n) % n
        d = self._exponent()
        at_p, at_q = pow(shielded % p, d % (p - 1), p), pow(shielded % q, d % (q - 1), q)
        root = at_q + q * (pow(q, -1, p) * (at_p - at_q) % p)
        signature = root * pow(shield, -1, n) % n
        if pow(signature, EXPONENT, n) != number:
            raise Bug("a blind signature came out wrong")
        return signature.to_bytes(size)

    def _exponent(self) -> int:
        return pow(EXPONENT, -1, (self._p - 1) * (self._q - 1))

    def __repr__(self) -> str:
        return "<issuer key>"


def _number_of(modulus: bytes) -> int:
    if not _is_sound(modulus):
        raise BadIssuerKey("the modulus of an issuer's key is odd and has 2,048 bits at least")
    return int.from_bytes(modulus)


def _mask(seed: bytes, size: int) -> bytes:
    """MGF1 with SHA-384 (RFC 8017, B.2.1)."""
    rows = range(-(-size // _HASH_SIZE))
    return b"".join([sha384(seed + row.to_bytes(4)).digest() for row in rows])[:size]


def _encode(message: bytes, bits: int, salt: bytes) -> int:
    """EMSA-PSS-ENCODE (RFC 8017, 9.1.1)."""
    size = -(-bits // 8)
    digest = sha384(_PAD + sha384(message).digest() + salt).digest()
    block_size = size - _HASH_SIZE - 1
    if block_size < len(salt) + 1:
        raise BadIssuerKey("the modulus is too short")
    block = 1 << 8 * len(salt) | int.from_bytes(salt)
    masked = block ^ int.from_bytes(_mask(digest, block_size))
    masked &= (1 << (8 * block_size - (8 * size - bits))) - 1
    return masked << 8 * (_HASH_SIZE + 1) | int.from_bytes(digest) << 8 | 0xBC
