r"""Blocks in a file: written from a database, executed and verified into another one.

    file    "AITOKEN-BLOCKS-1\n" | genesis hash [32] | first number u32 | count u32 | record ... | digest [32]
    record  length u32 | SCALE (header, Vec<Vec<u8>> extrinsics, Option<Vec<u8>> certificate), the header being Vec<u8>

Integers are little-endian; the digest is blake2-256 of all before it. The last block has a certificate, others may.
Importing believes nothing of it: links, bodies, certificates are checked and every block is executed, so a file may
come from anybody. Blocks that are there already are only compared.

Format: `docs/spec/sync.md`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

from aitoken.codec.base import DecodeError
from aitoken.codec.containers import Option, Tuple, Vec
from aitoken.codec.primitives import Bytes
from aitoken.errors import Rejected, Unavailable
from aitoken.proto.digest import next_epoch_of
from aitoken.proto.extrinsic import Extrinsic
from aitoken.proto.finality import Anchor, final_headers, follow
from aitoken.proto.header import Header
from aitoken.proto.votes import Certificate
from aitoken.types import BlockNumber, Hash32
from node.chain.opening import OpenChain
from node.chain.tree import UNFINALIZED_MAX, terminal_key
from node.ports import Block
from node.store.database import Database

MAGIC: Final = b"AITOKEN-BLOCKS-1\n"
RECORD_SIZE_MAX: Final = 64 * 1024 * 1024
_HEAD: Final = Struct("<32sII")
_LENGTH: Final = Struct("<I")
_DIGEST_SIZE: Final = 32
_RECORD: Final = Tuple(Bytes, Vec(Bytes), Option(Bytes))


class BadFile(Rejected):
    """The file is none of blocks, or is damaged."""

    code = "exchange.bad_file"


class DoesNotFit(Rejected):
    """The blocks are of another chain, or do not continue what is here."""

    code = "exchange.does_not_fit"


class NothingToExport(Rejected):
    """The blocks that were asked for are not kept here."""

    code = "exchange.nothing"


class FileFailed(Unavailable):
    """The file cannot be read or written."""

    code = "exchange.failed"


@dataclass(frozen=True, slots=True)
class Record:
    """One block of a file."""

    header: Header
    body: tuple[bytes, ...]
    certificate: bytes | None


# Writing.


def export_blocks(database: Database, genesis_hash: Hash32, file: Path, first: int, last: int) -> Iterator[BlockNumber]:
    """Write blocks `first` to the last certified one up to `last`; yield their numbers as progress.

    Raises:
        NothingToExport: they are not kept, or none of them is certified.
        FileFailed: the disk refuses.
    """
    if not max(1, database.first) <= first <= last <= database.finalized()[0]:
        raise NothingToExport(
            f"blocks {max(1, database.first)} to {database.finalized()[0]} are here, not {first} to {last}"
        )
    while database.justification(BlockNumber(last)) is None:
        last -= 1
        if last < first:
            raise NothingToExport("none of these blocks has a certificate of its own: ask for more of them")
    unfinished = file.with_name(file.name + ".unfinished")
    try:
        with unfinished.open("wb") as out:
            yield from _write(database, genesis_hash, out, first, last)
        unfinished.replace(file)
    except OSError as error:
        raise FileFailed(f"cannot write {file}: {error.strerror or error}") from error


def _write(database: Database, genesis_hash: Hash32, out: BinaryIO, first: int, last: int) -> Iterator[BlockNumber]:
    digest = blake2b(digest_size=_DIGEST_SIZE)

    def put(data: bytes) -> None:
        digest.update(data)
        out.write(data)

    put(MAGIC + _HEAD.pack(genesis_hash, first, last - first + 1))
    for height in range(first, last + 1):
        number = BlockNumber(height)
        header, body = database.header(number), database.body(number)
        if header is None or body is None:
            raise NothingToExport(f"block {number} is not kept here")
        record = _RECORD.encode((header, body, database.justification(number)))
        put(_LENGTH.pack(len(record)) + record)
        yield number
    out.write(digest.digest())


# Reading.


def read_blocks(file: Path, genesis_hash: Hash32) -> Iterator[Record]:
    """Yield the blocks of a file; that it is whole is known only at its end.

    Raises:
        BadFile: it is none of blocks, or damaged.
        DoesNotFit: it is of another chain.
        FileFailed: it cannot be read.
    """
    try:
        with file.open("rb") as source:
            yield from _read(source, genesis_hash)
    except OSError as error:
        raise FileFailed(f"cannot read {file}: {error.strerror or error}") from error


def _read(source: BinaryIO, genesis_hash: Hash32) -> Iterator[Record]:
    digest = blake2b(digest_size=_DIGEST_SIZE)

    def take(size: int) -> bytes:
        data = source.read(size)
        if len(data) != size:
            raise BadFile("the file ends too early")
        digest.update(data)
        return data

    if take(len(MAGIC)) != MAGIC:
        raise BadFile("this is no file of blocks")
    own_genesis, first, count = _HEAD.unpack(take(_HEAD.size))
    if own_genesis != genesis_hash:
        raise DoesNotFit(f"the blocks are of the chain with genesis {own_genesis.hex()}, not {genesis_hash.hex()}")
    for number in range(first, first + count):
        (length,) = _LENGTH.unpack(take(_LENGTH.size))
        if length > RECORD_SIZE_MAX:
            raise BadFile(f"block {number} would have {length} bytes")
        try:
            header_bytes, body, certificate = _RECORD.decode(take(length))
            header = Header.decode(header_bytes)
        except DecodeError as error:
            raise BadFile(f"block {number} cannot be read: {error}") from error
        if header.number != number:
            raise BadFile(f"block {header.number} where {number} should be")
        yield Record(header, tuple(body), certificate)
    expected = digest.digest()
    if source.read(_DIGEST_SIZE + 1) != expected:
        raise BadFile("the file is damaged: its digest is another one")


# Importing.


class Importer:
    """Executes blocks on a chain that was just opened and makes them final."""

    def __init__(self, opened: OpenChain) -> None:
        self._opened = opened
        epoch = opened.epoch
        base = epoch.base
        authorities = tuple(zip(epoch.validators.keys, epoch.validators.weights, strict=True))
        self._anchor = Anchor(
            opened.genesis_hash, base.number, base.hash, base.timestamp_ms, epoch.index, authorities, epoch.length
        )
        self._waiting: list[Header] = []
        self.known = 0
        self.imported = 0

    def run(self, records: Iterator[Record]) -> Iterator[BlockNumber]:
        """Import blocks; yield the number of each that became final.

        Raises:
            DoesNotFit: they do not continue the chain, or are another one.
            Rejected: a block or certificate is invalid; what came before it stays.
        """
        chain = self._opened.chain
        for record in records:
            if record.header.number <= chain.finalized.number:
                self._compare(record)
                continue
            self._execute(record)
            if record.certificate is not None:
                yield self._finalize(record.certificate)

    @property
    def left_over(self) -> int:
        """Blocks at the end of the file that no certificate makes final."""
        return len(self._waiting)

    def _compare(self, record: Record) -> None:
        number = record.header.number
        here = self._opened.chain.hash_of(number)
        if here is not None and here != record.header.hash:
            raise DoesNotFit(f"block {number} is {here.hex()} here and {record.header.hash.hex()} in the file")
        self.known += 1

    def _execute(self, record: Record) -> None:
        chain = self._opened.chain
        parent = chain.get(record.header.parent_hash)
        if parent is None or record.header.number != parent.number + 1:
            raise DoesNotFit(
                f"block {record.header.number} does not continue block {chain.finalized.number}, the last one here"
            )
        if len(self._waiting) >= UNFINALIZED_MAX - 1:
            raise DoesNotFit(f"{UNFINALIZED_MAX} blocks without a certificate")
        try:
            body = [Extrinsic(raw) for raw in record.body]
        except DecodeError as error:
            raise BadFile(f"block {record.header.number}: {error}") from error
        executed = self._opened.runtime.execute_block(parent.state, parent.header, record.header, body)
        chain.insert(Block(executed.header.hash, executed.header, tuple(executed.body), executed.state))
        self._waiting.append(executed.header)

    def _finalize(self, encoded: bytes) -> BlockNumber:
        header = self._waiting[-1]
        certificate = Certificate.decode(encoded)
        meta: dict[bytes, bytes] = {}
        final_headers(self._anchor, self._waiting, certificate)
        if next_epoch_of(header.digest) is not None:
            meta[terminal_key(self._anchor.epoch)] = encoded
            self._anchor = follow(self._anchor, header, certificate)
        self._opened.chain.finalize(header.hash, encoded, meta)
        self.imported += len(self._waiting)
        self._waiting.clear()
        return header.number
