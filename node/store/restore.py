"""A database made from the state after one block instead of by executing all blocks before it.

While pieces arrive, the directory has another name, and each batch holds the pairs of a piece together with what is
still to be fetched. So it can be interrupted at any time and goes on where it was; `finish` writes the blocks and gives
the directory its name. Opening it builds the trie, of which no trunk is stored yet, and compares the root.

| key | value |
| --- | --- |
| `w` path | the Merkle value of a subtree that is still to be fetched; the path in hex digits |
| `mwarp` | the header of the block whose state this is |
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgpack

from aitoken.proto.header import Header
from node.store import schema
from node.store.errors import Exists, write_failed
from node.store.files import sync_directory
from node.store.leveldb import LevelDb
from node.store.lock import DirectoryLock

PENDING: Final = b"w"
PENDING_END: Final = b"x"
META_WARP: Final = b"mwarp"


@dataclass(frozen=True, slots=True)
class FinalBlock:
    """A final block as it is kept; the body is None where it is not known."""

    header: Header
    certificate: bytes | None
    body: Sequence[bytes] | None


class Restoring:
    """A database that is being put together."""

    def __init__(self, path: Path, lock: DirectoryLock, db: LevelDb, header: Header) -> None:
        self._path = path
        self._lock = lock
        self._db = db
        self.header: Final = header

    @classmethod
    def begin(cls, path: Path, header: Header) -> Restoring:
        """Start anew with the state `header` names; what was begun before is dropped.

        Raises:
            Exists: there is a database at `path`.
            WriteFailed: the disk refuses.
        """
        if path.exists():
            raise Exists(f"{path} exists already; remove it only if the chain in it is to be forgotten")
        unfinished = _unfinished(path)
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
        except OSError as error:
            raise write_failed(path, error) from error
        lock = DirectoryLock(unfinished / "lock")
        db = LevelDb.create(unfinished / "leveldb")
        batch = db.batch()
        batch.put(META_WARP, header.encode())
        batch.put(PENDING, header.state_root)
        db.write(batch)
        return cls(path, lock, db, header)

    @classmethod
    def resume(cls, path: Path) -> Restoring | None:
        """Go on with what was begun; None when there is nothing."""
        unfinished = _unfinished(path)
        if path.exists() or not (unfinished / "leveldb" / "CURRENT").exists():
            return None
        lock = DirectoryLock(unfinished / "lock")
        db = LevelDb.open(unfinished / "leveldb")
        header = db.get(META_WARP)
        if header is None:
            db.close()
            lock.release()
            return None
        return cls(path, lock, db, Header.decode(header))

    def pending(self) -> dict[str, bytes]:
        """Return what is still to be fetched: path and Merkle value."""
        return {key[1:].decode("ascii"): value for key, value in self._db.range(PENDING, PENDING_END)}

    def store(self, path: str, pairs: Iterable[tuple[bytes, bytes]], children: Mapping[str, bytes]) -> None:
        """Write a checked piece: it is done, its pairs are state, its `children` are to be fetched.

        Not synced: a power cut loses the newest pieces, and they are then still to be fetched.
        """
        batch = self._db.batch(sync=False)
        batch.delete(PENDING + path.encode("ascii"))
        for key, value in pairs:
            batch.put(schema.STATE + key, value)
        for child, merkle_value in children.items():
            batch.put(PENDING + child.encode("ascii"), merkle_value)
        self._db.write(batch)

    def finish(self, genesis: Header, blocks: Sequence[FinalBlock], meta: Mapping[bytes, bytes]) -> None:
        """Write the blocks that are known, the last one being that of the state, and make it the database.

        Args:
            genesis: the header of block 0.
            blocks: final blocks, ascending: ends of epochs.
            meta: what consensus wants to find.
        """
        batch = self._db.batch()
        last = blocks[-1].header
        for block in (FinalBlock(genesis, None, ()), *blocks):
            number = schema.number(block.header.number)
            batch.put(schema.HASH + number, block.header.hash)
            batch.put(schema.NUMBER + block.header.hash, number)
            batch.put(schema.HEADER + number, block.header.encode())
            if block.body is not None:
                batch.put(schema.BODY + number, msgpack.packb(list(block.body)))
            if block.certificate is not None:
                batch.put(schema.JUSTIFICATION + number, block.certificate)
        for name, record in meta.items():
            batch.put(schema.META_CONSENSUS + name, record)
        number = schema.number(last.number)
        batch.put(schema.META_FINAL, number + last.hash)
        batch.put(schema.META_OLDEST, number)
        batch.put(schema.META_FIRST, number)
        batch.put(schema.META_GENESIS, genesis.hash)
        batch.put(schema.META_SCHEMA, schema.number(schema.SCHEMA_VERSION))
        batch.delete(META_WARP)
        self._db.write(batch)
        self.close()
        try:
            _unfinished(self._path).rename(self._path)
            sync_directory(self._path.parent)
        except OSError as error:
            raise write_failed(self._path, error) from error

    def close(self) -> None:
        """Stop for now."""
        self._db.close()
        self._lock.release()


def _unfinished(path: Path) -> Path:
    return path.with_name(path.name + ".fetching")
