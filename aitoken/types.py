"""The few types every room shares. A plain `int` or `bytes` never stands for money, a height or a hash.

They are `NewType`s: the type checker keeps them apart, at run time they cost nothing.
The SCALE form of each is declared in `aitoken.codec`; ranges are enforced when a value is encoded or decoded.
"""

from typing import Final, NewType

Balance = NewType("Balance", int)
"""An amount of money in the smallest unit: 1 AIT = 10^12. Unsigned 128-bit."""

BlockNumber = NewType("BlockNumber", int)
"""The height of a block; genesis is 0. Unsigned 32-bit, as Substrate encodes it."""

Moment = NewType("Moment", int)
"""Milliseconds since the Unix epoch. Unsigned 64-bit."""

Nonce = NewType("Nonce", int)
"""How many transactions an account has sent. Unsigned 32-bit."""

AccountId = NewType("AccountId", bytes)
"""The 32 bytes of an account: an ed25519 or sr25519 public key, or a derived address."""

Hash32 = NewType("Hash32", bytes)
"""A 32-byte blake2b-256 digest."""

TOKEN_DECIMALS: Final = 12
AIT: Final = 10**TOKEN_DECIMALS
"""Smallest units in one AIT."""
