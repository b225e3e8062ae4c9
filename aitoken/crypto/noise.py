"""The primitives of Noise_XX_25519_ChaChaPoly_SHA256, for the peer transport; the handshake itself is in `node.net`.

Follows the Noise Protocol Framework, revision 34: DH (12.1), cipher (12.3), hash (12.4), HKDF (4.3), CipherState (5.1).
Two strictnesses beyond it: an all-zero shared secret (a peer key of small order) is refused, and a nonce is never used
twice because the counter lives inside the CipherState and stops before 2^64 - 1.

Cost: X25519 39 us, ChaCha20-Poly1305 1.3 us per kB.
"""

import hashlib
import hmac
import secrets
import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from aitoken.errors import Rejected

KEY_SIZE: Final = 32
HASH_SIZE: Final = 32
TAG_SIZE: Final = 16
COUNTER_MAX: Final = 2**64 - 2
"""The last counter a message may use; 2^64 - 1 is reserved for rekeying (section 4.2)."""

_USED_UP: Final = "all counters of this channel are used"
_nonce: Final = struct.Struct("<4xQ").pack
"""Of a counter."""


class BadNoiseKey(Rejected):
    """An X25519 key has a wrong length, or the shared secret would be all zero."""

    code = "noise.bad_key"


class BadNoiseMessage(Rejected):
    """A ciphertext does not authenticate: forged, damaged, out of order, or for another key."""

    code = "noise.bad_message"


class NoiseExhausted(Rejected):
    """A cipher state has used all its counters; the connection has to be made anew."""

    code = "noise.exhausted"


def generate_private() -> bytes:
    """Return 32 fresh secret bytes for X25519."""
    return secrets.token_bytes(KEY_SIZE)


def public_of(private: bytes) -> bytes:
    """Return the 32-byte X25519 public key of a 32-byte private key."""
    _check_length(private)
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def shared_secret(private: bytes, public: bytes) -> bytes:
    """Return the 32-byte X25519 secret of our `private` and a peer's `public` (32 bytes each).

    Raises:
        BadNoiseKey: a wrong length, or `public` has small order, so that the secret would be known to everybody.
    """
    _check_length(private)
    _check_length(public)
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as bad:
        raise BadNoiseKey("the peer's key has small order") from bad


def sha256(data: bytes) -> bytes:
    """Return the 32-byte SHA-256 of `data`."""
    return hashlib.sha256(data).digest()


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """Return the 32-byte HMAC-SHA-256 (RFC 2104) of `data` under `key` (any length)."""
    return hmac.digest(key, data, "sha256")


def hkdf(chaining_key: bytes, input_key: bytes, outputs: int) -> tuple[bytes, ...]:
    """Derive 2 or 3 keys of 32 bytes, as Noise's HKDF(chaining_key, input_key_material, num_outputs) does.

    Args:
        chaining_key: 32 bytes.
        input_key: 0 or 32 bytes.
        outputs: 2 or 3.
    """
    secret = hmac_sha256(chaining_key, input_key)
    derived: list[bytes] = []
    block = b""
    for index in range(1, outputs + 1):
        block = hmac_sha256(secret, block + bytes([index]))
        derived.append(block)
    return tuple(derived)


class CipherState:
    """One direction of an encrypted channel: a key and the counter of the next message.

    Attributes:
        counter: the nonce of the next message, from 0.
    """

    __slots__ = ("_aead", "counter")

    def __init__(self, key: bytes) -> None:
        _check_length(key)
        self._aead = ChaCha20Poly1305(key)
        self.counter = 0

    def encrypt(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        """Return the ciphertext (16 bytes longer) of the next message, bound to `associated`."""
        counter = self.counter
        if counter > COUNTER_MAX:
            raise NoiseExhausted(_USED_UP)
        sealed = self._aead.encrypt(_nonce(counter), plaintext, associated)
        self.counter = counter + 1
        return sealed

    def decrypt(self, ciphertext: bytes, associated: bytes = b"") -> bytes:
        """Return the plaintext of the next message.

        Raises:
            BadNoiseMessage: it does not authenticate. The counter stays; the channel should be closed.
        """
        counter = self.counter
        if counter > COUNTER_MAX:
            raise NoiseExhausted(_USED_UP)
        try:
            opened = self._aead.decrypt(_nonce(counter), ciphertext, associated)
        except InvalidTag as bad:
            raise BadNoiseMessage("a message does not authenticate") from bad
        self.counter = counter + 1
        return opened

    def rekey(self) -> None:
        """Replace the key by one that does not reveal it (section 11.3); the counter runs on."""
        sealed = self._aead.encrypt(_nonce(COUNTER_MAX + 1), bytes(KEY_SIZE), b"")
        self._aead = ChaCha20Poly1305(sealed[:KEY_SIZE])


def _check_length(key: bytes) -> None:
    if len(key) != KEY_SIZE:
        raise BadNoiseKey(f"a key has {KEY_SIZE} bytes, this has {len(key)}")
