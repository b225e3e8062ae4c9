"""LevelDB behind a small class, set up so that it does not lie.

- Blocks are checked on every read and the log when opened (`paranoid_checks`, `verify_checksums`): without them a
  flipped bit gives wrong values in silence.
- A database is made by `create` only. LevelDB would otherwise start an empty one where its files are lost.
- LevelDB's own lock dies with any other descriptor of its file in this process, hence a `flock` of our own (`lock.py`).
- After one failed write nothing more is written. What failed may be there or not.

No compression: most values are hashes, keys and balances, and unpacking takes 3 us a read. A read takes 7 us.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import plyvel

from node.store.errors import Damaged, DiskFull, Exists, Missing, WriteFailed

_BLOOM_BITS: Final = 10
_WRITE_BUFFER: Final = 16 << 20
_FULL: Final = (os.strerror(errno.ENOSPC).encode(), os.strerror(errno.EDQUOT).encode())


class Batch(Protocol):
    """Changes that are written together."""

    def put(self, key: bytes, value: bytes) -> None:
        """Add a new value."""

    def delete(self, key: bytes) -> None:
        """Add a removal."""

    def write(self) -> None:
        """Write it; only `LevelDb.write` calls this."""


class Reader(Protocol):
    """Reading, at one point in time or always the latest."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""

    def range(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs with start <= key < stop, ascending."""

    def cursor(self) -> Cursor:
        """Return a cursor, to be closed."""


class LevelDb:
    """A database that one process has open."""

    def __init__(self, path: Path, db: plyvel.DB) -> None:
        self._path = path
        self._db = db
        self._failed = False

    @classmethod
    def create(cls, path: Path, *, cache_bytes: int = 8 << 20) -> LevelDb:
        """Make a new database in the directory `path`.

        Raises:
            Exists: there is something already.
            WriteFailed: the disk refuses.
        """
        if path.exists():
            raise Exists(f"there is a database in {path} already")
        return cls(path, _open(path, cache_bytes, new=True))

    @classmethod
    def open(cls, path: Path, *, cache_bytes: int = 64 << 20) -> LevelDb:
        """Open the database in the directory `path`.

        Raises:
            Missing: there is none.
            Damaged: its files contradict themselves.
            WriteFailed: the disk refuses.
        """
        if not path.is_dir():
            raise Missing(f"there is no database in {path}: make one with `aitoken init`")
        if not (path / "CURRENT").exists():
            raise Damaged(f"files are missing from {path}: move the directory away, run `aitoken init`, synchronise")
        return cls(path, _open(path, cache_bytes, new=False))

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""
        try:
            return self._db.get(key, verify_checksums=True)
        except (plyvel.CorruptionError, plyvel.IOError) as error:
            raise _damaged(self._path, error) from error

    def range(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs with start <= key < stop, ascending, as of now."""
        return _range(self._path, self._db, start, stop)

    def cursor(self) -> Cursor:
        """Return a cursor over what is there now."""
        return Cursor(self._path, self._db)

    def snapshot(self) -> Snapshot:
        """Return what is there now, unchanged by later writes; to be closed."""
        return Snapshot(self._path, self._db.snapshot())

    def batch(self, *, sync: bool = True) -> Batch:
        """Return a batch for `write`.

        Args:
            sync: writing waits for the disk. Otherwise a power cut may lose the batch, and then all after it as well.
        """
        return self._db.write_batch(sync=sync)

    def ensure_writable(self) -> None:
        """Refuse to go on after a write has failed.

        Raises:
            WriteFailed: one has.
        """
        if self._failed:
            raise WriteFailed(f"writing to {self._path} failed before: restart")

    def write(self, batch: Batch) -> None:
        """Write `batch` as one, and return when it is on disk. Any thread may call it.

        Raises:
            WriteFailed: the disk refuses, now or before.
        """
        self.ensure_writable()
        try:
            batch.write()
        except plyvel.Error as error:
            self._failed = True
            raise _write_failed(self._path, error) from error

    def close(self) -> None:
        """Close it; closing again does nothing."""
        self._db.close()


class Snapshot:
    """A database as it was at one time."""

    def __init__(self, path: Path, snapshot: plyvel.Snapshot) -> None:
        self._path = path
        self._snapshot = snapshot

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""
        try:
            return self._snapshot.get(key, verify_checksums=True)
        except (plyvel.CorruptionError, plyvel.IOError) as error:
            raise _damaged(self._path, error) from error

    def range(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs with start <= key < stop, ascending."""
        return _range(self._path, self._snapshot, start, stop)

    def cursor(self) -> Cursor:
        """Return a cursor, to be closed."""
        return Cursor(self._path, self._snapshot)

    def close(self) -> None:
        """Let LevelDB forget what is only kept for it."""
        self._snapshot.close()


class Cursor:
    """A place among the pairs, to move about."""

    def __init__(self, path: Path, reader: plyvel.DB | plyvel.Snapshot) -> None:
        self._path = path
        self._raw = reader.raw_iterator(verify_checksums=True, fill_cache=True)

    def seek(self, key: bytes) -> tuple[bytes, bytes] | None:
        """Go to the first pair at or after `key` and return it."""
        try:
            self._raw.seek(key)
            return self._raw.item() if self._raw.valid() else None
        except (plyvel.CorruptionError, plyvel.IOError) as error:
            raise _damaged(self._path, error) from error

    def next(self) -> tuple[bytes, bytes] | None:
        """Go to the pair after this one and return it."""
        try:
            self._raw.next()
            return self._raw.item() if self._raw.valid() else None
        except (plyvel.CorruptionError, plyvel.IOError) as error:
            raise _damaged(self._path, error) from error

    def close(self) -> None:
        """Let go of it."""
        self._raw.close()


def _range(path: Path, reader: plyvel.DB | plyvel.Snapshot, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
    try:
        yield from reader.iterator(start=start, stop=stop, verify_checksums=True, fill_cache=False)
    except (plyvel.CorruptionError, plyvel.IOError) as error:
        raise _damaged(path, error) from error


def _open(path: Path, cache_bytes: int, *, new: bool) -> plyvel.DB:
    try:
        return plyvel.DB(
            str(path),
            create_if_missing=new,
            error_if_exists=new,
            paranoid_checks=True,
            write_buffer_size=_WRITE_BUFFER,
            lru_cache_size=cache_bytes,
            compression=None,
            bloom_filter_bits=_BLOOM_BITS,
        )
    except plyvel.Error as error:
        if new or _is_full(error):
            raise _write_failed(path, error) from error
        raise _damaged(path, error) from error


def _is_full(error: plyvel.Error) -> bool:
    text = error.args[0] if error.args and isinstance(error.args[0], bytes) else b""
    return any(full in text for full in _FULL)


def _write_failed(path: Path, error: plyvel.Error) -> WriteFailed:
    if _is_full(error):
        return DiskFull(f"no space left to write {path}: make room and start again")
    return WriteFailed(f"cannot write {path}: {_text(error)}")


def _damaged(path: Path, error: plyvel.Error) -> Damaged:
    return Damaged(
        f"the database in {path} is damaged ({_text(error)}): move the directory away, run `aitoken init`, synchronise"
    )


def _text(error: plyvel.Error) -> str:
    return " ".join(arg.decode(errors="replace") if isinstance(arg, bytes) else str(arg) for arg in error.args)
