"""What a header says besides the five hashes and numbers: the digest and the items this chain puts into it.

    logs[0]   PreRuntime(b"BABE", 0x02 | authority index u32 | slot u64 = view)   clients show the author from it
    logs[1]   Consensus(b"SMPX", SmpxDigest)                                      what consensus decides on
    then      Consensus(b"SMPX", NextEpoch)                                       only in the last block of an epoch
    or        RuntimeEnvironmentUpdated                                           only where the runtime changes

There is no seal: signatures are not part of a block. Consensus is not BABE; the first item borrows its "secondary
plain" form, and the second one is no pre-runtime item, because py-substrate-interface raises on pre-runtime items of
engines it does not know.
Source: `sp_runtime::generic::digest`, `sp_consensus_babe::digests::SecondaryPlainPreDigest`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from aitoken.codec.base import (
    Codec,
    Composite,
    DecodeError,
    EncodeError,
    Field,
    Shape,
    Variant,
    Variants,
    path_of,
    truncated,
)
from aitoken.codec.containers import Vec
from aitoken.codec.hints import Bytes32, Bytes80, codec_of, u8, u16, u32, u64
from aitoken.codec.primitives import Bytes, FixedBytes
from aitoken.codec.records import Record, record

OTHER: Final = 0
CONSENSUS: Final = 4
SEAL: Final = 5
PRE_RUNTIME: Final = 6
RUNTIME_ENVIRONMENT_UPDATED: Final = 8

BABE_ENGINE: Final = b"BABE"
SMPX_ENGINE: Final = b"SMPX"
SMPX_VERSION: Final = 1
LEADING_ITEMS: Final = 2
"""Items a block is opened with; what follows is added while it is executed."""
_SECONDARY_PLAIN: Final = 2


@dataclass(frozen=True, slots=True)
class DigestItem:
    """One item: its kind, the 4-byte engine it is for (empty for kinds without) and the engine's data."""

    kind: int
    engine: bytes = b""
    data: bytes = b""

    def encode(self) -> bytes:
        """Return the SCALE bytes."""
        return DIGEST_ITEM.encode(self)


def _encode_item(item: DigestItem) -> bytes:
    kind = bytes((item.kind,))
    if item.kind in (CONSENSUS, SEAL, PRE_RUNTIME):
        return kind + _ENGINE.encode(item.engine) + Bytes.encode(item.data)
    if item.kind == OTHER:
        return kind + Bytes.encode(item.data)
    if item.kind == RUNTIME_ENVIRONMENT_UPDATED:
        return kind
    raise EncodeError(f"{item.kind} is no kind of digest item")


def _read_item(data: bytes, offset: int) -> tuple[DigestItem, int]:
    if offset >= len(data):
        raise truncated(1, data, offset)
    kind = data[offset]
    if kind in (CONSENSUS, SEAL, PRE_RUNTIME):
        engine, offset = _ENGINE.read(data, offset + 1)
        body, offset = Bytes.read(data, offset)
        return DigestItem(kind, engine, body), offset
    if kind == OTHER:
        body, offset = Bytes.read(data, offset + 1)
        return DigestItem(kind, b"", body), offset
    if kind == RUNTIME_ENVIRONMENT_UPDATED:
        return DigestItem(kind), offset + 1
    raise DecodeError(f"{kind} is no kind of digest item")


def _item_shape() -> Shape:
    engine = (Field(_ENGINE, type_name="ConsensusEngineId"), Field(Bytes, type_name="Vec<u8>"))
    variants = (
        Variant("PreRuntime", PRE_RUNTIME, engine),
        Variant("Consensus", CONSENSUS, engine),
        Variant("Seal", SEAL, engine),
        Variant("Other", OTHER, (Field(Bytes, type_name="Vec<u8>"),)),
        Variant("RuntimeEnvironmentUpdated", RUNTIME_ENVIRONMENT_UPDATED),
    )
    return Shape(Variants(variants), path=path_of("sp_runtime::generic::digest::DigestItem"))


_ENGINE: Final = FixedBytes(4)
DIGEST_ITEM: Final[Codec[DigestItem]] = Codec(
    _encode_item, _read_item, default=lambda: DigestItem(OTHER), size_min=1, shape=_item_shape
)
_LOGS: Final = Vec(DIGEST_ITEM)


@dataclass(frozen=True, slots=True)
class Digest:
    """The items of a header, in order; their bytes are computed once."""

    logs: tuple[DigestItem, ...] = ()
    _encoded: bytes = field(default=b"", init=False, repr=False, compare=False)

    def encode(self) -> bytes:
        """Return the SCALE bytes."""
        if not self._encoded:
            object.__setattr__(self, "_encoded", _LOGS.encode(list(self.logs)))
        return self._encoded

    def with_item(self, item: DigestItem) -> Digest:
        """Return the digest with one more item at its end."""
        return Digest((*self.logs, item))

    def find(self, kind: int, engine: bytes) -> bytes | None:
        """Return the data of the first item of that kind and engine."""
        for item in self.logs:
            if item.kind == kind and item.engine == engine:
                return item.data
        return None


def _read_digest(data: bytes, offset: int) -> tuple[Digest, int]:
    logs, offset = _LOGS.read(data, offset)
    return Digest(tuple(logs)), offset


DIGEST: Final[Codec[Digest]] = Codec(
    Digest.encode,
    _read_digest,
    default=Digest,
    size_min=1,
    shape=lambda: Shape(
        Composite((Field(_LOGS, "logs", "Vec<DigestItem>"),)), path=path_of("sp_runtime::generic::digest::Digest")
    ),
)


@record("smpx::SmpxDigest")
class SmpxDigest(Record):
    """What consensus reads from a header without executing anything.

    `aitoken.proto.randomness` says what the VRF is of and for.
    """

    version: u8
    epoch: u64
    view: u64
    parent_view: u64
    leader: u16
    timestamp_ms: u64
    vrf_output: Bytes32
    vrf_proof: Bytes80


@record("smpx::NextEpoch")
class NextEpoch(Record):
    """The validators of the epoch that starts after this block: ed25519 key and weight of each, in index order."""

    epoch: u64
    authorities: list[tuple[Bytes32, u64]]
    seed: Bytes32
    first_block: u32
    length: u32


SMPX_DIGEST: Final[Codec[SmpxDigest]] = codec_of(SmpxDigest)
NEXT_EPOCH: Final[Codec[NextEpoch]] = codec_of(NextEpoch)


def leading_items_of(smpx: SmpxDigest) -> tuple[DigestItem, DigestItem]:
    """Return the two items every header of this chain starts with."""
    babe = bytes((_SECONDARY_PLAIN,)) + smpx.leader.to_bytes(4, "little") + smpx.view.to_bytes(8, "little")
    return (
        DigestItem(PRE_RUNTIME, BABE_ENGINE, babe),
        DigestItem(CONSENSUS, SMPX_ENGINE, SMPX_DIGEST.encode(smpx)),
    )


def smpx_of(digest: Digest) -> SmpxDigest:
    """Return what consensus wrote into a digest, checked for the form every header must have.

    Raises:
        DecodeError: the two leading items are missing, malformed or disagree.
    """
    logs = digest.logs
    if len(logs) < LEADING_ITEMS or logs[1].kind != CONSENSUS or logs[1].engine != SMPX_ENGINE:
        raise DecodeError("the second digest item is not consensus'")
    smpx, first = _read_smpx(logs[1].data)
    if first != logs[0]:
        raise DecodeError("the first digest item does not name the leader and view of the second")
    return smpx


@lru_cache(maxsize=16)
def _read_smpx(data: bytes) -> tuple[SmpxDigest, DigestItem]:
    """Read what consensus wrote, which is asked for many times of the latest blocks; with the item before it."""
    smpx = SMPX_DIGEST.decode(data)
    if smpx.version != SMPX_VERSION:
        raise DecodeError(f"consensus digest version {smpx.version}")
    return smpx, leading_items_of(smpx)[0]


def next_epoch_item(next_epoch: NextEpoch) -> DigestItem:
    """Return the item a terminal block carries."""
    return DigestItem(CONSENSUS, SMPX_ENGINE, NEXT_EPOCH.encode(next_epoch))


def next_epoch_of(digest: Digest) -> NextEpoch | None:
    """Return the next epoch a terminal block announces, None in every other block.

    Raises:
        DecodeError: the item is malformed.
    """
    data = Digest(digest.logs[LEADING_ITEMS:]).find(CONSENSUS, SMPX_ENGINE)
    return None if data is None else NEXT_EPOCH.decode(data)
