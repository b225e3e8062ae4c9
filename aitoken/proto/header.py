"""The header of a block: five fields, and its blake2-256 is the block's hash.

    parent hash [32] | number compact u32 | state root [32] | extrinsics root [32] | digest

Source: `sp_runtime::generic::header`. Vectors: the first blocks of Westend.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from aitoken.codec.base import Codec, Composite, DecodeError, Field, Shape, compact_encode, path_of, truncated
from aitoken.codec.primitives import H256, U32, Compact, CompactU32
from aitoken.crypto.hashing import blake2_256
from aitoken.proto.digest import DIGEST, Digest
from aitoken.types import BlockNumber, Hash32


class Header:
    """An immutable header; its bytes and hash are computed once."""

    __slots__ = ("_encoded", "_hash", "digest", "extrinsics_root", "number", "parent_hash", "state_root")

    def __init__(
        self, parent_hash: Hash32, number: BlockNumber, state_root: Hash32, extrinsics_root: Hash32, digest: Digest
    ) -> None:
        self.parent_hash: Final = parent_hash
        self.number: Final = number
        self.state_root: Final = state_root
        self.extrinsics_root: Final = extrinsics_root
        self.digest: Final = digest
        self._encoded: bytes | None = None
        self._hash: Hash32 | None = None

    def encode(self) -> bytes:
        """Return the SCALE bytes."""
        if self._encoded is None:
            self._encoded = b"".join(
                (
                    self.parent_hash,
                    compact_encode(self.number),
                    self.state_root,
                    self.extrinsics_root,
                    self.digest.encode(),
                )
            )
        return self._encoded

    @property
    def hash(self) -> Hash32:
        """The block hash."""
        if self._hash is None:
            self._hash = blake2_256(self.encode())
        return self._hash

    @staticmethod
    def decode(data: bytes) -> Header:
        """Read a header from exactly its bytes; the latest ones are remembered, network and execution ask for the same.

        Raises:
            DecodeError: malformed.
        """
        return _decoded(data)

    def __eq__(self, other: object) -> bool:
        return self.encode() == other.encode() if isinstance(other, Header) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.encode())

    def __repr__(self) -> str:
        return f"<Header #{self.number} {self.hash.hex()[:12]}>"


def _read(data: bytes, offset: int) -> tuple[Header, int]:
    start = offset
    if len(data) < offset + 97:
        raise truncated(97, data, offset)
    parent_hash = data[offset : offset + 32]
    number, offset = CompactU32.read(data, offset + 32)
    roots = data[offset : offset + 64]
    if len(roots) != 64:
        raise DecodeError("header cut short")
    digest, offset = DIGEST.read(data, offset + 64)
    header = Header(Hash32(parent_hash), BlockNumber(number), Hash32(roots[:32]), Hash32(roots[32:]), digest)
    header._encoded = data[start:offset]  # noqa: SLF001 - decoding is strict, so these are the canonical bytes
    return header, offset


@lru_cache(maxsize=16)
def _decoded(data: bytes) -> Header:
    return HEADER.decode(data)


def _shape() -> Shape:
    fields = (
        Field(H256, "parent_hash", "Hash::Output"),
        Field(Compact(U32), "number", "Number"),
        Field(H256, "state_root", "Hash::Output"),
        Field(H256, "extrinsics_root", "Hash::Output"),
        Field(DIGEST, "digest", "Digest"),
    )
    return Shape(
        Composite(fields), path=path_of("sp_runtime::generic::header::Header"), params=(("Number", U32), ("Hash", None))
    )


HEADER: Final[Codec[Header]] = Codec(
    Header.encode,
    _read,
    default=lambda: Header(Hash32(bytes(32)), BlockNumber(0), Hash32(bytes(32)), Hash32(bytes(32)), Digest()),
    size_min=98,
    shape=_shape,
)
