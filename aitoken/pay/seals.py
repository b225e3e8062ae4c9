"""Seals: how work and verdicts are put down before anybody may see them. The pallet Rewards checks the same bytes.

work      blake2b-256("AITPwork" | campaign u64 | who | content | salt)        content: blake2b-256 of the work
verdict   blake2b-256("AITPvote" | submission u64 | attester | accepts u8 | salt)
salt      blake2b-256("AITPsalt" | own secret | what is sealed)     so that nothing has to be remembered to open it
"""

from __future__ import annotations

from typing import Final

from aitoken.crypto.hashing import blake2_256
from aitoken.types import AccountId, Hash32

WORK_MAGIC: Final = b"AITPwork"
VOTE_MAGIC: Final = b"AITPvote"
SALT_MAGIC: Final = b"AITPsalt"


def seal_of(campaign: int, who: AccountId, content: Hash32, salt: bytes) -> Hash32:
    """Return what is submitted for work whose hash is `content`; of no use to anybody else."""
    return Hash32(blake2_256(WORK_MAGIC + campaign.to_bytes(8, "little") + who + content + salt))


def vote_of(submission: int, attester: AccountId, salt: bytes, *, accepts: bool) -> Hash32:
    """Return the seal of a verdict."""
    return Hash32(blake2_256(VOTE_MAGIC + submission.to_bytes(8, "little") + attester + bytes((accepts,)) + salt))


def work_salt(secret: bytes, campaign: int, content: Hash32) -> bytes:
    """Return the salt of somebody's work, the same each time."""
    return blake2_256(SALT_MAGIC + secret + b"work" + campaign.to_bytes(8, "little") + content)


def vote_salt(secret: bytes, submission: int) -> bytes:
    """Return the salt of somebody's verdict, the same each time."""
    return blake2_256(SALT_MAGIC + secret + b"vote" + submission.to_bytes(8, "little"))
