r"""Votes and certificates: what validators sign, and the proof that a quorum signed the same.

Three kinds of statement about a view (Simplex, Chan & Pass 2023, in the three-vote form): NOTARIZE a block,
NULLIFY the view, FINALIZE a block. What is signed has one fixed form of 93 bytes, so that no encoding can be ambiguous:

    b"SMPX-vote-1\0" (12) | genesis hash (32) | kind u8 | epoch u64le | view u64le | block hash (32; zeros for NULLIFY)

Both layouts below are SCALE (all integers little-endian, lengths compact):

    Vote         kind u8 | epoch u64 | view u64 | hash [u8;32] | signer u16 | signature [u8;64]     115 bytes
    Certificate  kind u8 | epoch u64 | view u64 | hash [u8;32] | bitmap Vec<u8> | signatures Vec<[u8;64]>

Bit `i % 8` of bitmap byte `i // 8` says that validator `i` signed; signatures follow in ascending order of index.
Certificates are not canonical: different signers prove the same statement. Never hash one into consensus data, never
compare two by their bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from aitoken.errors import Rejected
from aitoken.types import Hash32

NOTARIZE: Final = 1
NULLIFY: Final = 2
FINALIZE: Final = 3
KIND_NAMES: Final = {NOTARIZE: "notarize", NULLIFY: "nullify", FINALIZE: "finalize"}

NO_BLOCK: Final = Hash32(bytes(32))
"""Stands where a NULLIFY has no block."""

VALIDATORS_MAX: Final = 1024
"""Most validators of an epoch; bounds bitmap and signatures of a certificate before anything is allocated."""

SIGN_BYTES_PREFIX: Final = b"SMPX-vote-1\x00"
VOTE_BYTES: Final = 115
SIGNATURE_BYTES: Final = 64

_STATEMENT = struct.Struct("<BQQ32s")
_VOTE = struct.Struct("<BQQ32sH64s")
_U64_MAX: Final = 2**64 - 1


class MalformedVote(Rejected):
    """The bytes are not a vote."""

    code = "vote.malformed"


class MalformedCertificate(Rejected):
    """The bytes are not a certificate, or its bitmap and signatures do not fit together."""

    code = "certificate.malformed"


class TooLittleWeight(Rejected):
    """The signers of the certificate weigh less than a quorum."""

    code = "certificate.too_little_weight"


class BadSignature(Rejected):
    """A signature does not verify."""

    code = "vote.bad_signature"


def sign_bytes(genesis_hash: bytes, kind: int, epoch: int, view: int, block_hash: bytes) -> bytes:
    """Return the 93 bytes a validator signs for one statement."""
    return SIGN_BYTES_PREFIX + genesis_hash + _STATEMENT.pack(kind, epoch, view, block_hash)


def quorum(total_weight: int) -> int:
    """Return the weight that decides: more than two thirds, so that two quorums share an honest validator."""
    return 2 * total_weight // 3 + 1


def third(total_weight: int) -> int:
    """Return the least weight that surely contains an honest validator."""
    return total_weight // 3 + 1


@dataclass(frozen=True, slots=True)
class Vote:
    """One validator's signed statement about a view."""

    kind: int
    epoch: int
    view: int
    hash: Hash32
    signer: int
    signature: bytes

    def encode(self) -> bytes:
        """Return the 115 bytes of the vote."""
        return _VOTE.pack(self.kind, self.epoch, self.view, self.hash, self.signer, self.signature)

    def sign_bytes(self, genesis_hash: bytes) -> bytes:
        """Return what the signature covers."""
        return sign_bytes(genesis_hash, self.kind, self.epoch, self.view, self.hash)

    @staticmethod
    def decode(data: bytes) -> Vote:
        """Read a vote from exactly its bytes.

        Raises:
            MalformedVote: wrong length or a statement that cannot be.
        """
        if len(data) != VOTE_BYTES:
            raise MalformedVote(f"{len(data)} bytes instead of {VOTE_BYTES}")
        kind, epoch, view, block_hash, signer, signature = _VOTE.unpack(data)
        vote = Vote(kind, epoch, view, Hash32(block_hash), signer, signature)
        if not vote.is_well_formed():
            raise MalformedVote(f"kind {kind} with hash {block_hash.hex()[:8]} for view {view}")
        return vote

    def is_well_formed(self) -> bool:
        """Whether lengths and ranges are right and a block is named exactly when the kind needs one."""
        return (
            is_statement(self.kind, self.epoch, self.view, self.hash)
            and 0 <= self.signer < VALIDATORS_MAX
            and len(self.signature) == SIGNATURE_BYTES
        )


@dataclass(frozen=True, slots=True)
class Certificate:
    """Proof that a quorum made one statement about a view."""

    kind: int
    epoch: int
    view: int
    hash: Hash32
    bitmap: bytes
    signatures: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the SCALE bytes, as stored and as served in block justifications."""
        return b"".join(
            (
                _STATEMENT.pack(self.kind, self.epoch, self.view, self.hash),
                _compact(len(self.bitmap)),
                self.bitmap,
                _compact(len(self.signatures)),
                *self.signatures,
            )
        )

    def sign_bytes(self, genesis_hash: bytes) -> bytes:
        """Return what every signature covers."""
        return sign_bytes(genesis_hash, self.kind, self.epoch, self.view, self.hash)

    @staticmethod
    def decode(data: bytes) -> Certificate:
        """Read a certificate from exactly its bytes.

        Raises:
            MalformedCertificate: bytes missing or left over, a length not in its shortest form, or a statement,
                bitmap and signatures that do not fit together.
        """
        try:
            kind, epoch, view, block_hash = _STATEMENT.unpack_from(data)
            length, offset = _read_compact(data, _STATEMENT.size)
            bitmap = data[offset : offset + length]
            count, start = _read_compact(data, offset + length)
        except (struct.error, IndexError):
            raise MalformedCertificate("too short") from None
        if len(data) != start + count * SIGNATURE_BYTES:
            raise MalformedCertificate(f"{len(data)} bytes with {count} signatures")
        signatures = tuple(data[at : at + SIGNATURE_BYTES] for at in range(start, len(data), SIGNATURE_BYTES))
        certificate = Certificate(kind, epoch, view, Hash32(block_hash), bitmap, signatures)
        if not certificate.is_well_formed():
            raise MalformedCertificate(f"kind {kind} for view {view} with {count} signatures")
        return certificate

    def is_well_formed(self) -> bool:
        """Whether the statement can be and there is exactly one signature for each bit of the bitmap."""
        return (
            is_statement(self.kind, self.epoch, self.view, self.hash)
            and 0 < len(self.bitmap) <= VALIDATORS_MAX // 8
            and int.from_bytes(self.bitmap, "little").bit_count() == len(self.signatures)
            and all(len(signature) == SIGNATURE_BYTES for signature in self.signatures)
        )

    def signers(self) -> list[int]:
        """Return the indices of the signers, ascending: the order of the signatures."""
        return bitmap_indices(self.bitmap)

    def votes(self) -> list[Vote]:
        """Return the votes the certificate is made of."""
        return [
            Vote(self.kind, self.epoch, self.view, self.hash, signer, signature)
            for signer, signature in zip(self.signers(), self.signatures, strict=True)
        ]

    def check_weight(self, weights: Sequence[int]) -> list[int]:
        """Return the signers after checking shape and weight; do this before verifying any signature.

        Args:
            weights: of the validators of the certificate's epoch, by index.

        Raises:
            MalformedCertificate: the bitmap is not that of this many validators.
            TooLittleWeight: the signers are no quorum.
        """
        if not self.is_well_formed() or len(self.bitmap) != bitmap_bytes(len(weights)):
            raise MalformedCertificate(f"bitmap of {len(self.bitmap)} bytes for {len(weights)} validators")
        signers = self.signers()
        if signers and signers[-1] >= len(weights):
            raise MalformedCertificate(f"signer {signers[-1]} of {len(weights)}")
        weight = sum(weights[signer] for signer in signers)
        if weight < quorum(sum(weights)):
            raise TooLittleWeight(f"{weight} of {sum(weights)}")
        return signers


def is_statement(kind: int, epoch: int, view: int, block_hash: bytes) -> bool:
    """Whether the four can be signed at all: a known kind, views from 1, a block exactly where one is named."""
    return (
        ((kind in (NOTARIZE, FINALIZE) and block_hash != NO_BLOCK) or (kind == NULLIFY and block_hash == NO_BLOCK))
        and len(block_hash) == 32
        and 0 <= epoch <= _U64_MAX
        and 1 <= view <= _U64_MAX
    )


def bitmap_bytes(count: int) -> int:
    """Return the length of a bitmap over `count` validators."""
    return (count + 7) // 8


def bitmap_of(indices: Iterable[int], count: int) -> bytes:
    """Return the bitmap over `count` validators with the bits of `indices` set."""
    bits = 0
    for index in indices:
        bits |= 1 << index
    return bits.to_bytes(bitmap_bytes(count), "little")


def bitmap_indices(bitmap: bytes) -> list[int]:
    """Return the indices of the set bits, ascending."""
    bits = int.from_bytes(bitmap, "little")
    indices = []
    while bits:
        low = bits & -bits
        indices.append(low.bit_length() - 1)
        bits ^= low
    return indices


def _compact(value: int) -> bytes:
    """SCALE compact form of a length below 2^14, enough for both lengths of a certificate."""
    return bytes([value << 2]) if value < 64 else (value << 2 | 1).to_bytes(2, "little")


def _read_compact(data: bytes, offset: int) -> tuple[int, int]:
    mode = data[offset] & 3
    if mode == 0:
        return data[offset] >> 2, offset + 1
    value = (data[offset] | data[offset + 1] << 8) >> 2
    if mode != 1 or value < 64:
        raise MalformedCertificate("a length out of range or not in its shortest form")
    return value, offset + 2
