"""Codes: the bytes behind coupons, gift links and credit. Whoever knows a code's key may say once who gets its value.

    leaf    blake2b-256(0x00 | index u32 | key)         of each code's ed25519 key, in the order of the batch
    node    blake2b-256(0x01 | left | right)            the leaves are filled up to a power of two with 32 zero bytes
    claim   "AITPcod1" | genesis | batch u64 | index u32 | claimant                       signed by the code's key
    spend   "AITPcrd1" | genesis | batch u64 | index u32 | left u128 | provider u64 | amount u128 | reference
                                                                                          signed by the holder
    work    blake2b-256("AITPwrk1" | claim | nonce u64) begins with so many zero bits

A claim names its claimant, so it is of no use to whoever copies it. A spend names what is left of the credit before it,
which is never the same twice. A gift link is a batch of one: its root is the leaf of its only key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aitoken.crypto.hashing import blake2_256
from aitoken.types import AccountId, Balance, Hash32

CLAIM_MAGIC: Final = b"AITPcod1"
SPEND_MAGIC: Final = b"AITPcrd1"
WORK_MAGIC: Final = b"AITPwrk1"
COUNT_MAX: Final = 65_536
"""Most codes of a batch."""
DEPTH_MAX: Final = 16
NOTHING: Final = Hash32(bytes(32))


def depth_of(count: int) -> int:
    """Return how many hashes prove a code of a batch of so many."""
    return max(0, count - 1).bit_length()


def leaf_of(index: int, key: bytes) -> Hash32:
    """Return the leaf of a code's key."""
    return Hash32(blake2_256(b"\x00" + index.to_bytes(4, "little") + key))


def _levels(keys: Sequence[bytes]) -> list[list[Hash32]]:
    """Return the tree, leaves first."""
    row = [leaf_of(index, key) for index, key in enumerate(keys)]
    row += [NOTHING] * ((1 << depth_of(len(keys))) - len(row))
    levels = [row]
    while len(row) > 1:
        row = [Hash32(blake2_256(b"\x01" + row[at] + row[at + 1])) for at in range(0, len(row), 2)]
        levels.append(row)
    return levels


def root_of(keys: Sequence[bytes]) -> Hash32:
    """Return what a batch of these keys is created with."""
    if not 1 <= len(keys) <= COUNT_MAX:
        raise ValueError(f"a batch has 1 to {COUNT_MAX} codes")
    return _levels(keys)[-1][0]


def proofs_of(keys: Sequence[bytes]) -> list[list[Hash32]]:
    """Return for each key the hashes that prove it, from the leaf up."""
    levels = _levels(keys)[:-1]
    return [[row[(index >> level) ^ 1] for level, row in enumerate(levels)] for index in range(len(keys))]


def root_from(index: int, key: bytes, proof: Sequence[bytes]) -> Hash32:
    """Return the root that a proof leads to."""
    found = leaf_of(index, key)
    for level, other in enumerate(proof):
        pair = other + found if index >> level & 1 else found + other
        found = Hash32(blake2_256(b"\x01" + pair))
    return found


def claim_bytes(genesis: Hash32, batch: int, index: int, claimant: AccountId) -> bytes:
    """Return what the key of a code signs."""
    return CLAIM_MAGIC + genesis + batch.to_bytes(8, "little") + index.to_bytes(4, "little") + claimant


def spend_bytes(
    genesis: Hash32, batch: int, index: int, left: Balance, provider: int, amount: Balance, reference: bytes
) -> bytes:
    """Return what the holder of a credit signs, with what is left of it before."""
    numbers = batch.to_bytes(8, "little") + index.to_bytes(4, "little") + left.to_bytes(16, "little")
    payment = provider.to_bytes(8, "little") + amount.to_bytes(16, "little")
    return SPEND_MAGIC + genesis + numbers + payment + reference


def has_work(claim: bytes, nonce: int, bits: int) -> bool:
    """Whether a nonce proves that much work for a claim."""
    digest = blake2_256(WORK_MAGIC + claim + nonce.to_bytes(8, "little"))
    return int.from_bytes(digest, "big") >> (256 - bits) == 0


def work_for(claim: bytes, bits: int) -> int:
    """Return the first nonce that proves the work; takes 2^bits hashes."""
    nonce = 0
    while not has_work(claim, nonce, bits):
        nonce += 1
    return nonce
