"""Signatures of any of Substrate's kinds, as `MultiSignature` carries them.

Source: `sp_runtime::MultiSignature`. This chain knows no ECDSA accounts: a signature of that kind is always invalid.
"""

from enum import IntEnum
from typing import Protocol

from aitoken.crypto import ed25519, sr25519

_FRAME = (b"<Bytes>", b"</Bytes>")


class SignatureKind(IntEnum):
    """The variants of `MultiSignature`, by their SCALE index."""

    ED25519 = 0
    SR25519 = 1
    ECDSA = 2


_ED25519, _SR25519 = int(SignatureKind.ED25519), int(SignatureKind.SR25519)  # looked up for every signature


class Signer(Protocol):
    """What signs: an `ed25519.Pair`, an `sr25519.Pair`, or a stand-in for a key kept elsewhere."""

    @property
    def kind(self) -> int:
        """The variant of MultiSignature, see `SignatureKind`."""

    @property
    def public(self) -> bytes:
        """The 32-byte public key."""

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message`."""


def verify_multi(kind: int, signature: bytes, payload: bytes, public: bytes) -> bool:
    """Tell whether `signature` over `payload` is valid under the 32-byte key `public`.

    Args:
        kind: index of the variant (`SignatureKind`); unknown kinds and ECDSA are invalid.
        signature: 64 bytes.
        payload: what was signed; the caller has hashed it already if it was longer than 256 bytes.
        public: 32 bytes.
    """
    if kind == _ED25519:
        return ed25519.verify(signature, payload, public)
    if kind == _SR25519:
        return sr25519.verify(signature, payload, public)
    return False


def verify_by_wallet(kind: int, signature: bytes, text: bytes, public: bytes) -> bool:
    """Do the same for bytes a wallet was asked to sign, with or without the frame most wallets put around them."""
    return any(verify_multi(kind, signature, each, public) for each in (text, text.join(_FRAME)))
