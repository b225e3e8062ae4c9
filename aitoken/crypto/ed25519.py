"""Ed25519 (RFC 8032) by libsodium, the one implementation of consensus and runtime.

Libraries disagree on odd signatures: of the twelve "speccheck" cases libsodium accepts one, OpenSSL five, Substrate's
ed25519-zebra nine. Which ones a chain accepts is part of its rules, so nothing else may ever verify ed25519 here.
libsodium refuses points of small order, non-canonical points and S not below the group order.

Cost: verify 39-60 us, sign 23 us. libsodium through `crypto_sign_open` is 0.8 us slower than a call without a message
buffer would be; that call needs PyNaCl's private module, which is not worth 2 %.
"""

import secrets
from typing import ClassVar, Final, Self

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from aitoken.errors import Rejected

PUBLIC_SIZE: Final = 32
SEED_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64


class BadSeed(Rejected):
    """A seed is not exactly 32 bytes."""

    code = "crypto.bad_seed"


def verify(signature: bytes, message: bytes, public: bytes) -> bool:
    """Tell whether `signature` (64 bytes) over `message` (any length) was made by the key of `public` (32 bytes).

    Wrong lengths, malformed points and wrong signatures all answer False; nothing raises.
    """
    # Both lengths are checked here: libsodium reads 32 bytes of `public` whatever its length is.
    if len(signature) != SIGNATURE_SIZE or len(public) != PUBLIC_SIZE:
        return False
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


class Pair:
    """A signing key made from a 32-byte seed. Its secret shows in no `repr`.

    Attributes:
        public: the 32-byte public key, which is also the account id.
    """

    __slots__ = ("_secret", "public")

    kind: ClassVar[int] = 0  # the variant of MultiSignature
    scheme: ClassVar[str] = "ed25519"

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_SIZE:
            raise BadSeed(f"an ed25519 seed has {SEED_SIZE} bytes, this has {len(seed)}")
        public, secret = crypto_sign_seed_keypair(seed)
        self.public: bytes = public
        self._secret: bytes = secret

    @classmethod
    def generate(cls) -> Self:
        """Make a fresh pair from the operating system's randomness."""
        return cls(secrets.token_bytes(SEED_SIZE))

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes the pair was made from; for key files only."""
        return self._secret[:SEED_SIZE]

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message`; the same each time."""
        return crypto_sign(message, self._secret)[:SIGNATURE_SIZE]

    def __repr__(self) -> str:
        return f"<ed25519 pair {self.public.hex()}>"
