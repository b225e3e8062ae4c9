r"""Blocks in a file: written from a database, executed and verified into another one.

    file    "AITOKEN-BLOCKS-1\n" | genesis hash [32] | first number u32 | count u32 | record ... | digest [32]
    record  length u32 | SCALE (header, Vec<Vec<u8>> extrinsics, Option<Vec<u8>> certificate), the header being Vec<u8>

Integers are little-endian; the digest is blake2-256 of all before it. The last block has a certificate, others may.
Importing believes nothing of it: links, bodies, certificates are checked and every block is executed, so a file may
come from anybody. Blocks that are there already are only compared. Where a core may be free a process checks
signatures ahead of execution (`node.chain.ahead`).

Format: `docs/spec/sync.md`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain as one_after_the_other
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

from aitoken.codec.base import DecodeError
from aitoken.codec.containers import Option, Tuple, Vec
from aitoken.codec.primitives import Bytes
from aitoken.errors import AiTokenError, Rejected, Unavailable
from aitoken.proto.digest import next_epoch_of
from aitoken.proto.extrinsic import Extrinsic
from aitoken.proto.finality import Anchor, final_headers, follow
from aitoken.proto.header import Header
from aitoken.proto.votes import Certificate
from aitoken.types import BlockNumber, Hash32
from node.chain.ahead import Ahead
from node.chain.opening import OpenChain
from node.chain.tree import UNFINALIZED_MAX, terminal_key
from node.pool.verify import InlineVerifier, Verifier, WorkerVerifier, usable_cores
from node.ports import Block
from node.store.database import Database

MAGIC: Final = b"AITOKEN-BLOCKS-1\n"
RECORD_SIZE_MAX: Final = 64 * 1024 * 1024
GROUP: Final = 2_048
"""Extrinsics in blocks that are read together; two such groups are in memory."""
GROUP_SIZE: Final = 16 * 1024 * 1024
"""Their bytes, but for the last block."""
GROUP_BLOCKS: Final = 128
TURNS: Final = 4
"""Of the loop after each block: verdicts come from the pipe, and the next checks go in."""
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

    @property
    def hash(self) -> Hash32:
        """Its name."""
        return self.header.hash

    @property
    def number(self) -> BlockNumber:
        """Its height."""
        return self.header.number

    @property
    def extrinsics(self) -> tuple[bytes, ...]:
        """Its body."""
        return self.body


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


@dataclass(frozen=True, slots=True)
class _Group:
    """Blocks that were read together, and why there are no more."""

    records: list[Record]
    failure: AiTokenError | None = None


def _groups(records: Iterator[Record]) -> Iterator[_Group]:
    some: list[Record] = []
    count = size = 0
    try:
        for record in records:
            some.append(record)
            count += len(record.body)
            size += sum(map(len, record.body))
            if count >= GROUP or size >= GROUP_SIZE or len(some) >= GROUP_BLOCKS:
                yield _Group(some)
                some, count, size = [], 0, 0
    except AiTokenError as failure:
        yield _Group(some, failure)  # what was read before is imported first
    else:
        yield _Group(some)


class Importer:
    """Executes blocks on a chain that was just opened and makes them final."""

    def __init__(self, opened: OpenChain, verifier: Verifier | None = None) -> None:
        """Import into `opened`; `verifier` checks signatures ahead, by default a process if there is a second core."""
        self._opened = opened
        verifier = verifier or (WorkerVerifier() if usable_cores() > 1 else InlineVerifier())
        self._ahead = Ahead(verifier, opened.runtime.schema, opened.chain.hash_of)
        epoch = opened.epoch
        base = epoch.base
        authorities = tuple(zip(epoch.validators.keys, epoch.validators.weights, strict=True))
        self._anchor = Anchor(
            opened.genesis_hash, base.number, base.hash, base.timestamp_ms, epoch.index, authorities, epoch.length
        )
        self._waiting: list[Header] = []
        self.known = 0
        self.imported = 0

    async def run(self, records: Iterator[Record]) -> AsyncIterator[BlockNumber]:
        """Import blocks; yield the number of each that became final.

        Raises:
            DoesNotFit: they do not continue the chain, or are another one.
            Rejected: a block or certificate is invalid; what came before it stays.
        """
        chain = self._opened.chain
        group: _Group | None = None
        try:
            for following in one_after_the_other(_groups(records), (None,)):
                if following is not None:
                    self._ahead.expect([each for each in following.records if each.number > chain.finalized.number])
                for record in () if group is None else group.records:
                    if record.number <= chain.finalized.number:
                        self._compare(record)
                        continue
                    self._execute(record, await self._parsed(record))
                    if record.certificate is not None:
                        yield self._finalize(record.certificate)
                if group is not None and group.failure is not None:
                    raise group.failure
                group = following
        finally:
            await self._ahead.rest()

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

    async def _parsed(self, record: Record) -> Sequence[Extrinsic]:
        """The block's extrinsics, their signatures checked where they could be."""
        for _ in range(TURNS):
            await asyncio.sleep(0)
        ready: asyncio.Future[Sequence[Extrinsic] | None] = asyncio.get_running_loop().create_future()
        self._ahead.when_ready(record, lambda parsed: None if ready.done() else ready.set_result(parsed))
        parsed = await ready
        if parsed is not None:
            return parsed
        try:
            return [Extrinsic(raw) for raw in record.body]
        except DecodeError as error:
            raise BadFile(f"block {record.number}: {error}") from error

    def _execute(self, record: Record, body: Sequence[Extrinsic]) -> None:
        chain = self._opened.chain
        parent = chain.get(record.header.parent_hash)
        if parent is None or record.header.number != parent.number + 1:
            raise DoesNotFit(
                f"block {record.header.number} does not continue block {chain.finalized.number}, the last one here"
            )
        if len(self._waiting) >= UNFINALIZED_MAX - 1:
            raise DoesNotFit(f"{UNFINALIZED_MAX} blocks without a certificate")
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
