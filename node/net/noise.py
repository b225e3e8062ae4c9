"""The handshake Noise_XX_25519_ChaChaPoly_SHA256 without any I/O, over the primitives of `aitoken.crypto.noise`.

    -> e
    <- e, ee, s, es
    -> s, se

Both sides learn each other's static key; payloads of the second and third message are encrypted. After the third
message there is one cipher state for each direction, and a hash that names this very session: what is signed over
that hash cannot be replayed in another one.

Source: The Noise Protocol Framework, revision 34, sections 5 and 7.5. Vectors: cacophony (XX, SHA256), byte by byte.
"""

from __future__ import annotations

from typing import Final

from aitoken.crypto.noise import (
    KEY_SIZE,
    TAG_SIZE,
    CipherState,
    generate_private,
    hkdf,
    public_of,
    sha256,
    shared_secret,
)
from aitoken.errors import Bug, Rejected

PROTOCOL_NAME: Final = b"Noise_XX_25519_ChaChaPoly_SHA256"
MESSAGE_SIZE_MAX: Final = 65_535
PATTERN: Final = (("e",), ("e", "ee", "s", "es"), ("s", "se"))


class BadHandshake(Rejected):
    """A handshake message is too short or too long."""

    code = "net.bad_handshake"


class Handshake:
    """One side of a handshake: `write` and `read` take turns, the initiator writes first, until `done`.

    Attributes:
        remote_static: the peer's static key, once it was read.
        hash: names the session, final once `done`.
    """

    def __init__(self, *, initiator: bool, static: bytes, prologue: bytes, ephemeral: bytes | None = None) -> None:
        """Prepare a handshake.

        Args:
            initiator: whether this side dialled.
            static: our private static key, 32 bytes.
            prologue: what both sides must agree on beforehand; a different one makes the handshake fail.
            ephemeral: our private ephemeral key, for test vectors only; fresh when omitted.
        """
        self._initiator = initiator
        self._static = static
        self._ephemeral = ephemeral or generate_private()
        self._remote_ephemeral = b""
        self.remote_static = b""
        self._turn = 0
        self._chaining_key = self.hash = PROTOCOL_NAME  # exactly 32 bytes, hence not hashed (section 5.2)
        self._cipher: CipherState | None = None
        self._mix_hash(prologue)

    @property
    def done(self) -> bool:
        """Whether all three messages went through."""
        return self._turn == len(PATTERN)

    @property
    def may_write(self) -> bool:
        """Whether it is this side's turn to write."""
        return not self.done and (self._turn % 2 == 0) == self._initiator

    def write(self, payload: bytes) -> bytes:
        """Return the next message, carrying `payload`."""
        if not self.may_write:
            raise Bug("handshake message out of turn")
        parts = []
        for word in PATTERN[self._turn]:
            if word == "e":
                public = public_of(self._ephemeral)
                self._mix_hash(public)
                parts.append(public)
            elif word == "s":
                parts.append(self._encrypt(public_of(self._static)))
            else:
                self._mix_shared(word)
        parts.append(self._encrypt(payload))
        self._turn += 1
        return b"".join(parts)

    def read(self, message: bytes) -> bytes:
        """Return the payload of the peer's next message.

        Raises:
            BadHandshake: too short for its place.
            BadNoiseKey, BadNoiseMessage: a useless key, or not authentic.
        """
        if self.may_write or self.done:
            raise Bug("handshake message out of turn")
        if len(message) > MESSAGE_SIZE_MAX:
            raise BadHandshake(f"a message of {len(message)} bytes")
        offset = 0
        for word in PATTERN[self._turn]:
            if word in ("e", "s"):
                size = KEY_SIZE + (TAG_SIZE if self._cipher and word == "s" else 0)
                field = message[offset : offset + size]
                if len(field) < size:
                    raise BadHandshake("a message is cut short")
                offset += size
                if word == "e":
                    self._remote_ephemeral = field
                    self._mix_hash(field)
                else:
                    self.remote_static = self._decrypt(field)
            else:
                self._mix_shared(word)
        rest = message[offset:]
        if self._cipher and len(rest) < TAG_SIZE:
            raise BadHandshake("a message is cut short")
        payload = self._decrypt(rest)
        self._turn += 1
        return payload

    def split(self) -> tuple[CipherState, CipherState]:
        """Return the cipher states to send and to receive with."""
        if not self.done:
            raise Bug("the handshake is not done")
        first, second = (CipherState(key) for key in hkdf(self._chaining_key, b"", 2))
        return (first, second) if self._initiator else (second, first)

    def _mix_hash(self, data: bytes) -> None:
        self.hash = sha256(self.hash + data)

    def _mix_shared(self, word: str) -> None:
        """Mix the secret of two keys, named initiator's first: "es" is its ephemeral and the responder's static key."""
        ours, theirs = (word[0], word[1]) if self._initiator else (word[1], word[0])
        private = self._ephemeral if ours == "e" else self._static
        public = self._remote_ephemeral if theirs == "e" else self.remote_static
        self._chaining_key, key = hkdf(self._chaining_key, shared_secret(private, public), 2)
        self._cipher = CipherState(key)

    def _encrypt(self, plaintext: bytes) -> bytes:
        sealed = self._cipher.encrypt(plaintext, self.hash) if self._cipher else plaintext
        self._mix_hash(sealed)
        return sealed

    def _decrypt(self, sealed: bytes) -> bytes:
        plaintext = self._cipher.decrypt(sealed, self.hash) if self._cipher else sealed
        self._mix_hash(sealed)
        return plaintext
