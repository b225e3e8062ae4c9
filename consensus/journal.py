"""What must survive a crash, as bytes: the records of the consensus journal. Files are the shell's business.

    record       u8 type | payload                                    all integers little-endian
    1 opening    version u8 = 1 | genesis hash 32 | own key 32 (zeros without one) | epoch u64 | votes from u64
                 | floor u64
    2 own vote   the 115 bytes of `Vote`; on disk before it is sent (a barrier)
    3 certificate   the bytes of `Certificate`; no barrier: it lies before the next own vote in the same file
    4 block      hash 32 | number u64 | parent 32 | epoch u64 | view u64 | parent view u64 | leader u16 | timestamp u64
                 | header length u32 | header | count u32 | (length u32 | extrinsic)*
                 under the same barrier as the own vote for it

A journal starts with an opening, followed by what was unsettled when it was started; a later opening of the same epoch
only changes where the key may vote. The file adds length and checksum to each record.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from aitoken.errors import Rejected
from aitoken.proto.votes import Certificate, Vote
from aitoken.types import Hash32
from consensus.types import Block

JOURNAL_VERSION: Final = 1
OPENING: Final = 1
OWN_VOTE: Final = 2
CERTIFICATE: Final = 3
BLOCK: Final = 4

_OPENING = struct.Struct("<B32s32sQQQ")
_BLOCK = struct.Struct("<32sQ32sQQQHQI")
_U32 = struct.Struct("<I")


class DamagedJournal(Rejected):
    """A record whose checksum was right does not read, or the journal belongs to another chain or key."""

    code = "consensus.damaged_journal"


@dataclass(frozen=True, slots=True)
class Opening:
    """The first record: whose journal this is, from which epoch its key may vote, and in `epoch` above which view."""

    genesis_hash: Hash32
    key: bytes
    epoch: int
    votes_from: int
    floor: int = 0


Record: TypeAlias = Opening | Vote | Certificate | Block


def encode_record(record: Record) -> bytes:
    """Return the bytes of one record."""
    match record:
        case Vote():
            return b"\x02" + record.encode()
        case Certificate():
            return b"\x03" + record.encode()
        case Opening():
            return b"\x01" + _OPENING.pack(
                JOURNAL_VERSION, record.genesis_hash, record.key, record.epoch, record.votes_from, record.floor
            )
        case Block():
            return _block(record)


def _block(record: Block) -> bytes:
    head = _BLOCK.pack(
        record.hash,
        record.number,
        record.parent_hash,
        record.epoch,
        record.view,
        record.parent_view,
        record.leader,
        record.timestamp_ms,
        len(record.header),
    )
    parts = [b"\x04", head, record.header, _U32.pack(len(record.extrinsics))]
    for extrinsic in record.extrinsics:
        parts.append(_U32.pack(len(extrinsic)))
        parts.append(extrinsic)
    return b"".join(parts)


def decode_record(data: bytes) -> Record:
    """Read one record from exactly its bytes.

    Raises:
        DamagedJournal: the bytes are no record.
    """
    try:
        kind, payload = data[0], data[1:]
        if kind == OWN_VOTE:
            return Vote.decode(payload)
        if kind == CERTIFICATE:
            return Certificate.decode(payload)
        if kind == BLOCK:
            return _decode_block(payload)
        if kind == OPENING:
            version, genesis_hash, key, epoch, votes_from, floor = _OPENING.unpack(payload)
            if version == JOURNAL_VERSION:
                return Opening(Hash32(genesis_hash), key, epoch, votes_from, floor)
    except (struct.error, IndexError, Rejected) as error:
        raise DamagedJournal(f"record of {len(data)} bytes: {error}") from error
    raise DamagedJournal(f"record type {data[0]} with {len(data)} bytes")


@dataclass(frozen=True, slots=True)
class Replay:
    """The records of one epoch, sorted by kind, each in the order it was written."""

    opening: Opening
    certificates: list[Certificate]
    own_votes: list[Vote]
    blocks: list[Block]


def replay(records: Iterable[bytes], genesis_hash: Hash32, key: bytes, epoch: int) -> Replay:
    """Read a journal of this chain and key, keeping what concerns `epoch` (blocks: whatever is there).

    Raises:
        DamagedJournal: a record does not read, the first is no opening, or the journal is another's.
    """
    certificates: list[Certificate] = []
    own_votes: list[Vote] = []
    blocks: list[Block] = []
    opening: Opening | None = None
    for data in records:
        record = decode_record(data)
        if isinstance(record, Opening):
            if (record.genesis_hash, record.key) != (genesis_hash, key):
                raise DamagedJournal("the journal belongs to another chain or key")
            opening = record
        elif opening is None:
            raise DamagedJournal("the journal does not start with an opening")
        elif isinstance(record, Block):
            blocks.append(record)
        elif isinstance(record, Vote):
            own_votes.append(record)
        else:
            certificates.append(record)
    if opening is None:
        raise DamagedJournal("the journal is empty")
    return Replay(
        opening,
        [certificate for certificate in certificates if certificate.epoch == epoch],
        [vote for vote in own_votes if vote.epoch == epoch],
        blocks,
    )


def _decode_block(data: bytes) -> Block:
    (block_hash, number, parent_hash, epoch, view, parent_view, leader, timestamp_ms, length) = _BLOCK.unpack_from(data)
    at = _BLOCK.size
    header = data[at : at + length]
    at += length
    (count,) = _U32.unpack_from(data, at)
    at += 4
    extrinsics = []
    for _ in range(count):
        (length,) = _U32.unpack_from(data, at)
        extrinsics.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    if at != len(data):
        raise DamagedJournal("a block cut short or with bytes left over")
    return Block(
        Hash32(block_hash),
        number,
        Hash32(parent_hash),
        epoch,
        view,
        parent_view,
        leader,
        timestamp_ms,
        header,
        tuple(extrinsics),
    )
