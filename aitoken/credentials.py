"""Credentials: the bytes behind "one real person, once in a scope", and behind attestations that others hand in.

    token       "AITPnul1" | genesis | key u32 | nullifier         signed blindly by the issuer (RFC 9474)
    claim       "AITPper1" | genesis | key u32 | account           signed by the nullifier, an ed25519 key
    statements  "AITPatt1" | genesis | issuer | SCALE(statements)  signed by the issuer, as wallets sign bytes

A person makes a nullifier, a key it uses this once, and has the issuer sign the token blindly: the issuer knows the
person, not the nullifier, and gives each person one signature for each of its keys. A key of an issuer is for one scope
and one time, so that whoever sees two tokens of a person in two scopes cannot tell that they are of one. The claim
names the account that will count as a person; only the nullifier's owner can make it, so a copy is of no use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from aitoken.crypto import blind_rsa
from aitoken.crypto.ed25519 import Pair
from aitoken.types import AccountId, Hash32

TOKEN_MAGIC: Final = b"AITPnul1"
CLAIM_MAGIC: Final = b"AITPper1"
STATEMENTS_MAGIC: Final = b"AITPatt1"
EVERYWHERE: Final = b"persons".ljust(32, b"\x00")
"""The scope of those who count as persons wherever nothing narrower is asked for."""


def token_bytes(genesis: Hash32, key: int, nullifier: bytes) -> bytes:
    """Return what an issuer signs blindly."""
    return TOKEN_MAGIC + genesis + key.to_bytes(4, "little") + nullifier


def claim_bytes(genesis: Hash32, key: int, account: AccountId) -> bytes:
    """Return what a nullifier signs: which account is a person's."""
    return CLAIM_MAGIC + genesis + key.to_bytes(4, "little") + account


def statements_bytes(genesis: Hash32, issuer: AccountId, statements: bytes) -> bytes:
    """Return what an issuer signs for attestations that somebody else hands in; `statements` is their SCALE list."""
    return STATEMENTS_MAGIC + genesis + issuer + statements


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """What a person keeps between asking an issuer and having its token; lost, the issuer owes it nothing any more.

    Attributes:
        blinded: goes to the issuer.
    """

    genesis: Hash32
    key: int
    modulus: bytes
    nullifier: Pair
    blinded: bytes
    secret: int

    @classmethod
    def make(cls, genesis: Hash32, key: int, modulus: bytes) -> Self:
        """Begin to ask for a credential of a key that an issuer has published."""
        nullifier = Pair.generate()
        blinded, secret = blind_rsa.blind(token_bytes(genesis, key, nullifier.public), modulus)
        return cls(genesis, key, modulus, nullifier, blinded, secret)

    def finish(self, answer: bytes, account: AccountId) -> tuple[int, bytes, bytes, AccountId, bytes]:
        """Return the arguments of `Attest.post_nullifier` for an account.

        Raises:
            BadBlindSignature: the issuer's answer is not a signature of its key over what was asked.
        """
        message = token_bytes(self.genesis, self.key, self.nullifier.public)
        token = blind_rsa.finalize(message, answer, self.secret, self.modulus)
        claim = self.nullifier.sign(claim_bytes(self.genesis, self.key, account))
        return self.key, self.nullifier.public, token, account, claim
