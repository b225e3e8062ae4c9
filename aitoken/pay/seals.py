"""Seals: how work and verdicts are put down before anybody may see them. Rewards and Disputes check the same bytes.

work      blake2b-256("AITPwork" | campaign u64 | who | content | salt)        content: blake2b-256 of the work
verdict   blake2b-256("AITPvote" | submission u64 | attester | accepts u8 | salt)
award     blake2b-256("AITPvote" | case u64 | panel u8 | arbiter | award u16 | salt)    in hundredths of a percent
fraud     an award of all, or of nothing, about a submission: panel 2
salt      blake2b-256("AITPsalt" | own secret | what is sealed)     so that nothing has to be remembered to open it
"""

from __future__ import annotations

from typing import Final

from aitoken.crypto.hashing import blake2_256
from aitoken.types import AccountId, Hash32

WORK_MAGIC: Final = b"AITPwork"
VOTE_MAGIC: Final = b"AITPvote"
SALT_MAGIC: Final = b"AITPsalt"
FULL_AWARD: Final = 10_000
COURT: Final = 2
"""In the place of a panel's number: 0 and 1 are those of Disputes, this is that of Rewards."""


def seal_of(campaign: int, who: AccountId, content: Hash32, salt: bytes) -> Hash32:
    """Return what is submitted for work whose hash is `content`; of no use to anybody else."""
    return Hash32(blake2_256(WORK_MAGIC + campaign.to_bytes(8, "little") + who + content + salt))


def vote_of(submission: int, attester: AccountId, salt: bytes, *, accepts: bool) -> Hash32:
    """Return the seal of a verdict."""
    return Hash32(blake2_256(VOTE_MAGIC + submission.to_bytes(8, "little") + attester + bytes((accepts,)) + salt))


def commitment(case: int, panel: int, arbiter: AccountId, award: int, salt: bytes) -> Hash32:
    """Return what an arbiter commits to: nobody can copy it, and it is good for one case and panel."""
    text = VOTE_MAGIC + case.to_bytes(8, "little") + bytes((panel,)) + arbiter + award.to_bytes(2, "little") + salt
    return Hash32(blake2_256(text))


def juror_seal(submission: int, juror: AccountId, salt: bytes, *, fraud: bool) -> Hash32:
    """Return the seal of what a juror says about challenged work."""
    return commitment(submission, COURT, juror, FULL_AWARD * fraud, salt)


def work_salt(secret: bytes, campaign: int, content: Hash32) -> bytes:
    """Return the salt of somebody's work, the same each time."""
    return blake2_256(SALT_MAGIC + secret + b"work" + campaign.to_bytes(8, "little") + content)


def vote_salt(secret: bytes, submission: int) -> bytes:
    """Return the salt of somebody's verdict, the same each time."""
    return blake2_256(SALT_MAGIC + secret + b"vote" + submission.to_bytes(8, "little"))


def juror_salt(secret: bytes, submission: int, since: int) -> bytes:
    """Return the salt of what somebody says as a juror about a challenge of that time, the same each time."""
    moment = since.to_bytes(8, "little")
    return blake2_256(SALT_MAGIC + secret + b"rule" + submission.to_bytes(8, "little") + moment)


def award_salt(secret: bytes, case: int, panel: int) -> bytes:
    """Return the salt of somebody's vote on a panel about a payment, the same each time."""
    return blake2_256(SALT_MAGIC + secret + b"case" + case.to_bytes(8, "little") + bytes((panel,)))
