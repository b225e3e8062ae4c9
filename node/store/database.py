"""Final blocks and the state after the last of them, on disk.

Everything that a final block changes is written in one synced batch: state, past values, block, final pointer, what
consensus wants to change with it. Between batches the database is consistent; a power cut loses whole batches only,
and none that `commit` returned from. What may not be lost is asked for before it is told to anybody.

The branches of the trie are stored beside it (`node.store.trunk`). `open` takes them and what changed since, or builds
the trie from the flat state; the root must be that of the last header. A lost or copied-back file shows there. Every
value is looked at by `node.store.check`.

A directory holds `leveldb/`, `lock`, `floor` and `trunk`. `create` makes it, and nothing else does.
"""

from __future__ import annotations

import gc
import logging
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import msgpack

from aitoken.errors import invariant
from aitoken.proto.header import Header
from aitoken.types import BlockNumber, Hash32
from chain.state.base import Changes, StateDamaged, StateDiscarded
from chain.state.layer import FinalState
from chain.state.tree import Node
from node.store import schema, trunk
from node.store.errors import Damaged, Exists, Missing, RolledBack, WrongGenesis, WrongSchema, write_failed
from node.store.files import sync_directory
from node.store.flat import CACHED_VALUES, FlatState
from node.store.floor import Floor
from node.store.history import PastState, PastView
from node.store.leveldb import Batch, LevelDb, Snapshot
from node.store.lock import DirectoryLock
from node.store.retention import prune_certificate

HISTORY_BLOCKS: Final = 256
"""By default the states of so many blocks before the last one can be read."""
_PRUNED_PER_BLOCK: Final = 4  # to catch up where fewer blocks are to be kept than before
_PAIRS_PER_BATCH: Final = 50_000
TRUNK: Final = "trunk"
_CHANGES_PER_TRUNK: Final = (1_000, 50_000)
"""After so many changed keys the trunk is written anew: between these bounds one for 40 of its bytes, and one for 1,000
where that is more."""
_RESUMED_MAX: Final = 200_000
"""So many changed keys are taken in at most, or one for 500 bytes; beyond that building is faster."""
_ADVICE: Final = "move the directory away, run `aitoken init`, synchronise"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CommittedBlock:
    """A final block and what it did."""

    number: BlockNumber
    hash: Hash32
    header: bytes
    body: Sequence[bytes]
    justification: bytes | None
    changes: Changes
    """New values; see `chain.state.layer.Layer.changes`."""
    before: Changes
    """What the same keys held before; see `Layer.before`."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A commit between `prepare` and `settle`."""

    batch: Batch
    changes: Changes
    final: tuple[BlockNumber, Hash32]


class Database:
    """The database of one node, open; see `open` and `create`."""

    def __init__(
        self, path: Path, db: LevelDb, lock: DirectoryLock, floor: Floor, keep: int | None, cached_values: int
    ) -> None:
        self._path = path
        self._db = db
        self._lock = lock
        self._floor = floor
        self._keep = keep
        self._flat = FlatState(db, cached_values)
        self._final = _final_of(db)
        self._oldest = int.from_bytes(_needed(db, schema.META_OLDEST), "big")
        self._writing = False
        self._changed_since_trunk = 0
        self._check_final()
        self.state: Final = _without_collections(lambda: self._resumed() or self._built())
        """The state after the last final block, with its trie. Whoever commits also makes it absorb the layers."""

    @staticmethod
    def create(
        path: Path,
        genesis_hash: Hash32,
        header: bytes,
        pairs: Iterable[tuple[bytes, bytes]],
        consensus_meta: Mapping[bytes, bytes] | None = None,
        top: Node | None = None,
    ) -> None:
        """Make a database that holds block 0; it appears at `path` whole or not at all.

        Args:
            path: the directory to make; its parent must exist.
            genesis_hash: the hash of `header`.
            header: of block 0, SCALE.
            pairs: the state after block 0, best ascending by key.
            consensus_meta: what consensus wants to find.
            top: the branch at the root of its trie, where it was built already: then `open` need not.

        Raises:
            Exists: `path` exists.
            WriteFailed: the disk refuses.
        """
        if path.exists():
            raise Exists(f"{path} exists already; remove it only if the chain in it is to be forgotten")
        unfinished = path.with_name(path.name + ".unfinished")
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            db = LevelDb.create(unfinished / "leveldb")
            _write_genesis(db, genesis_hash, header, pairs, consensus_meta or {})
            db.close()
            if top is not None:
                trunk.write(unfinished / TRUNK, trunk.Trunk(BlockNumber(0), genesis_hash, top))
            unfinished.rename(path)
            sync_directory(path.parent)
        except OSError as error:
            raise write_failed(path, error) from error

    @classmethod
    def open(
        cls,
        path: Path,
        genesis_hash: Hash32,
        *,
        history_blocks: int | None = HISTORY_BLOCKS,
        cached_values: int = CACHED_VALUES,
    ) -> Database:
        """Open the database at `path`.

        Args:
            path: the directory `create` made.
            genesis_hash: of the chain it must belong to.
            history_blocks: the states of so many blocks before the last one are kept; None: of all.
            cached_values: so many values of the state are held in memory.

        Raises:
            Missing: there is no database.
            InUse: another process works on it.
            WrongGenesis: it belongs to another chain.
            WrongSchema: another version of this program wrote it.
            Damaged: it contradicts itself, or (RolledBack) lost blocks.
        """
        if not path.is_dir():
            raise Missing(f"there is no database in {path}: make one with `aitoken init`")
        lock = DirectoryLock(path / "lock")
        db = floor = None
        try:
            db = LevelDb.open(path / "leveldb")
            _check_identity(db, path, genesis_hash)
            floor = Floor(path / "floor")
            database = cls(path, db, lock, floor, history_blocks, cached_values)
        except BaseException:
            if db is not None:
                db.close()
            if floor is not None:
                floor.close()
            lock.release()
            raise
        gc.collect()
        gc.freeze()  # the trunk stays; a full collection need not walk it
        return database

    def commit(self, blocks: Sequence[CommittedBlock], consensus_meta: Mapping[bytes, bytes | None]) -> None:
        """Write final blocks, in order and next to the last one, and return when they are on disk.

        Raises:
            WriteFailed: the disk refuses; the process must end.
            Bug: the blocks do not follow the last final one.
        """
        pending = self.prepare(blocks, consensus_meta)
        self.write(pending)
        self.settle(pending)

    def prepare(self, blocks: Sequence[CommittedBlock], consensus_meta: Mapping[bytes, bytes | None]) -> Pending:
        """Return what `write` shall write.

        Until `settle` everybody reads the state as it is now, but for the oldest ones, which are read no more.

        Raises:
            Bug: the blocks do not follow the last final one, or another write is under way.
        """
        self._db.ensure_writable()
        invariant(not self._writing, "one commit at a time")
        batch = self._db.batch()
        number, oldest = self._final[0], self._oldest
        changes: dict[bytes, bytes | None] = {}
        for block in blocks:
            invariant(block.number == number + 1, "committed blocks follow each other")
            number = block.number
            self._put_block(batch, block)
            changes.update(block.changes)
            oldest = self._prune(batch, number, oldest)
            prune_certificate(self._db, batch, number)
        put, state = batch.put, schema.STATE
        for key, value in changes.items():
            if value is None:
                batch.delete(state + key)
            else:
                put(state + key, value)
        for name, record in consensus_meta.items():
            if record is None:
                batch.delete(schema.META_CONSENSUS + name)
            else:
                batch.put(schema.META_CONSENSUS + name, record)
        final = (BlockNumber(number), blocks[-1].hash if blocks else self._final[1])
        batch.put(schema.META_FINAL, schema.number(final[0]) + final[1])
        batch.put(schema.META_OLDEST, schema.number(oldest))
        self._writing = True
        self._flat.hold()
        self._oldest = oldest  # at once: what the batch drops is gone before `settle`
        return Pending(batch, changes, final)

    def write(self, pending: Pending) -> None:
        """Put what was prepared on disk, synced, and return. Another thread may call it.

        Raises:
            WriteFailed: the disk refuses; the process must end.
        """
        self._db.write(pending.batch)
        self._floor.raise_to(pending.final[0])

    def settle(self, pending: Pending) -> None:
        """Let everybody read what was written."""
        self._flat.changed(pending.changes)
        self._changed_since_trunk += len(pending.changes)
        self._final = pending.final
        self._writing = False

    def trunk_to_write(self) -> Callable[[], None] | None:
        """Return what writes the trunk where it is time to; any thread may call it. The state has absorbed all layers.

        Calling it raises:
            WriteFailed: the disk refuses.
        """
        least, most = _CHANGES_PER_TRUNK
        if self._changed_since_trunk < least:
            return None
        size = trunk.size(self._path / TRUNK)
        if self._changed_since_trunk < max(min(size // 40, most), size // 1_000):
            return None
        return self._trunk_writer()

    def read_ahead(self, keys: Iterable[bytes]) -> Iterator[None]:
        """Read values of the final state before they are asked for, some in each step; see `FlatState.read_ahead`."""
        return self._flat.read_ahead(keys)

    def finalized(self) -> tuple[BlockNumber, Hash32]:
        """Return number and hash of the last final block."""
        return self._final

    def hash_of(self, number: int) -> Hash32 | None:
        """Return the hash of the final block at `number`."""
        found = self._db.get(schema.HASH + schema.number(number)) if 0 <= number < 1 << 32 else None
        return None if found is None else Hash32(found)

    def number_of(self, block_hash: Hash32) -> BlockNumber | None:
        """Return the number of a final block."""
        found = self._db.get(schema.NUMBER + block_hash)
        return None if found is None else BlockNumber(int.from_bytes(found, "big"))

    def header(self, number: BlockNumber) -> bytes | None:
        """Return the header of a final block, SCALE."""
        return self._db.get(schema.HEADER + schema.number(number))

    def body(self, number: BlockNumber) -> list[bytes] | None:
        """Return the extrinsics of a final block as submitted."""
        found = self._db.get(schema.BODY + schema.number(number))
        return None if found is None else msgpack.unpackb(found)

    def justification(self, number: BlockNumber) -> bytes | None:
        """Return the finality certificate made for this very block, SCALE."""
        return self._db.get(schema.JUSTIFICATION + schema.number(number))

    def certified_from(self, number: int, limit: int) -> BlockNumber | None:
        """Return the first block from `number` on, below `number + limit`, whose certificate is kept."""
        start = schema.JUSTIFICATION + schema.number(number)
        for key, _ in self._db.range(start, schema.JUSTIFICATION + schema.number(min(number + limit, 2**32 - 1))):
            return BlockNumber(int.from_bytes(key[1:], "big"))
        return None

    def consensus_meta(self, name: bytes) -> bytes | None:
        """Return what consensus committed last under `name`."""
        return self._db.get(schema.META_CONSENSUS + name)

    @property
    def oldest(self) -> int:
        """The number of the first block whose state can be read."""
        return self._oldest

    @property
    def first(self) -> BlockNumber:
        """The first block from which on all are kept: 0, or the one whose state the database was made from."""
        return BlockNumber(int.from_bytes(self._db.get(schema.META_FIRST) or b"", "big"))

    def snapshot(self) -> Snapshot:
        """Return all there is, unchanged by later blocks; to be closed."""
        return self._db.snapshot()

    def view_at(self, number: BlockNumber) -> PastView:
        """Return the state after the final block `number`, for reading; it raises `StateDiscarded` once too old."""
        return PastView(self._db, self._flat, self, number)

    def state_at(self, number: BlockNumber) -> FinalState | PastState:
        """Return the state after the final block `number`.

        Raises:
            StateDiscarded: it is no longer kept, or the block is not final yet.
        """
        if number == self._final[0]:
            return self.state
        header = self.header(number)
        if header is None or number < self._oldest:
            raise StateDiscarded(f"the state of block {number} is not kept here")
        return PastState(self.view_at(number), self, number, Header.decode(header).state_root)

    def undo(self, block: int, keys_max: int) -> Changes:
        """Return what takes the final state back to that after `block`.

        Raises:
            StateDiscarded: more than `keys_max` changes lie between, or they are no longer kept.
        """
        if block < self._oldest:
            raise StateDiscarded(f"the state of block {block} is no longer kept")
        undone: dict[bytes, bytes | None] = {}
        for number in range(self._final[0], block, -1):
            for name in self._changed_by(number):
                record = _needed(self._db, schema.past_key(name) + schema.number(number))
                held = schema.past_pairs(name, record)
                keys_max -= len(held)
                if keys_max < 0:
                    raise StateDiscarded(f"too much changed since block {block} to prove its state")
                undone.update(held)
        return undone

    def close(self) -> None:
        """Close everything; nothing may be read any more.

        Raises:
            WriteFailed: the disk refuses; everything is closed nevertheless.
        """
        try:
            if self._changed_since_trunk and not self._writing and self.state.root == self._final_root:
                self._trunk_writer()()
        finally:
            self._flat.let_go()
            self._db.close()
            self._floor.close()
            self._lock.release()

    def _put_block(self, batch: Batch, block: CommittedBlock) -> None:
        number = schema.number(block.number)
        batch.put(schema.HASH + number, block.hash)
        batch.put(schema.NUMBER + block.hash, number)
        batch.put(schema.HEADER + number, block.header)
        batch.put(schema.BODY + number, msgpack.packb(list(block.body)))
        if block.justification is not None:
            batch.put(schema.JUSTIFICATION + number, block.justification)
        names, put, past_key = [], batch.put, schema.past_key
        for name, record in schema.past_records(block.before, apart=self._keep is None):
            put(past_key(name) + number, record)
            names.append(name)
        batch.put(schema.CHANGED + number, msgpack.packb(names))

    def _prune(self, batch: Batch, number: int, oldest: int) -> int:
        """Drop the past values that only states too old for us need; return the oldest state that is left."""
        if self._keep is None:
            return oldest
        for _ in range(_PRUNED_PER_BLOCK):
            if oldest >= number - self._keep or oldest >= self._final[0]:
                break
            oldest += 1
            at = schema.number(oldest)
            for name in self._changed_by(oldest):
                batch.delete(schema.past_key(name) + at)
            batch.delete(schema.CHANGED + at)
        return oldest

    def _changed_by(self, number: int) -> list[bytes]:
        """Return the names under which past values of a block are stored."""
        names: list[bytes] = msgpack.unpackb(_needed(self._db, schema.CHANGED + schema.number(number)))
        return names

    def _check_final(self) -> None:
        number, block_hash = self._final
        if number < (floor := self._floor.read()):
            raise RolledBack(f"the database in {self._path} ends at block {number}, but {floor} was final: {_ADVICE}")
        data = self.header(number)
        if data is None or self.hash_of(number) != block_hash or Header.decode(data).hash != block_hash:
            raise Damaged(f"the last final block in {self._path} is damaged: {_ADVICE}")

    @property
    def _final_root(self) -> Hash32:
        return Header.decode(self.header(self._final[0]) or b"").state_root

    def _resumed(self) -> FinalState | None:
        """Return the state from the trunk that was written last and what changed since; None where that fails."""
        path = self._path / TRUNK
        try:
            saved = trunk.read(path)
            if saved is None or self.hash_of(saved.number) != saved.hash:
                return None
            before = self.undo(saved.number, max(_RESUMED_MAX, trunk.size(path) // 500))
            then = Header.decode(self.header(saved.number) or b"").state_root
            state = FinalState.resumed(self._flat, saved.top, before, then)
        except (StateDiscarded, StateDamaged) as error:
            log.info("the trie is built, its trunk is of no use: %s", error)
            return None
        if state.root != self._final_root:
            log.warning("the trie is built, the trunk of block %d does not lead to its root", saved.number)
            return None
        self._changed_since_trunk = len(before)
        return state

    def _built(self) -> FinalState:
        state = FinalState(self._flat)
        if state.root != (expected := self._final_root):
            number = self._final[0]
            raise Damaged(f"the state in {self._path} has not the root {expected.hex()} of block {number}: {_ADVICE}")
        self._changed_since_trunk = sys.maxsize  # it is time to write it
        return state

    def _trunk_writer(self) -> Callable[[], None]:
        self._changed_since_trunk = 0
        saved = trunk.Trunk(*self._final, self.state.top)
        return lambda: trunk.write(self._path / TRUNK, saved)


def _without_collections(make: Callable[[], FinalState]) -> FinalState:
    """Make a trie. Millions of objects are made and none is garbage, so looking for some takes half the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        return make()
    finally:
        if enabled:
            gc.enable()


def _write_genesis(
    db: LevelDb,
    genesis_hash: Hash32,
    header: bytes,
    pairs: Iterable[tuple[bytes, bytes]],
    consensus_meta: Mapping[bytes, bytes],
) -> None:
    coming = iter(pairs)
    while some := list(islice(coming, _PAIRS_PER_BATCH)):
        batch = db.batch()
        for key, value in some:
            batch.put(schema.STATE + key, value)
        db.write(batch)
    batch = db.batch()
    number = schema.number(0)
    batch.put(schema.HASH + number, genesis_hash)
    batch.put(schema.NUMBER + genesis_hash, number)
    batch.put(schema.HEADER + number, header)
    batch.put(schema.BODY + number, msgpack.packb([]))
    for name, record in consensus_meta.items():
        batch.put(schema.META_CONSENSUS + name, record)
    batch.put(schema.META_FINAL, number + genesis_hash)
    batch.put(schema.META_OLDEST, number)
    batch.put(schema.META_GENESIS, genesis_hash)
    batch.put(schema.META_SCHEMA, schema.number(schema.SCHEMA_VERSION))
    db.write(batch)


def _check_identity(db: LevelDb, path: Path, genesis_hash: Hash32) -> None:
    version = int.from_bytes(_needed(db, schema.META_SCHEMA), "big")
    if version != schema.SCHEMA_VERSION:
        raise WrongSchema(f"{path} has schema {version}, this program works with {schema.SCHEMA_VERSION}: {_ADVICE}")
    found = _needed(db, schema.META_GENESIS)
    if found != genesis_hash:
        raise WrongGenesis(
            f"{path} belongs to the chain with genesis {found.hex()}, not to {genesis_hash.hex()}: "
            "use another data directory, or the genesis file it was made with"
        )


def _final_of(db: LevelDb) -> tuple[BlockNumber, Hash32]:
    data = _needed(db, schema.META_FINAL)
    return BlockNumber(int.from_bytes(data[:4], "big")), Hash32(data[4:])


def _needed(db: LevelDb, key: bytes) -> bytes:
    value = db.get(key)
    if value is None:
        raise Damaged(f"the database lacks the record {key.hex()}: {_ADVICE}")
    return value
