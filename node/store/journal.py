"""The file of what this node voted and saw, written before it acts on it.

Bytes in, bytes out; what the records mean belongs to `consensus.journal`. One segment is in use at a time:

    segment   magic 8 | salt 8 | size of the opening u64 | crc32 of these u32 | records      integers little-endian
    record    length u32 | crc32 u32 | the record

The *opening* are the records that the segment was started with: they were on disk before it got its name, so they are
whole. What follows was appended, and is on disk where a `flush` returned after it.

Upon opening a segment
- whose last record is incomplete or wrong and nothing right comes behind -> a torn tail: written but never flushed,
  so nobody acted on it; it is cut off;
- with a wrong record and a right one behind, or a wrong one in the opening -> damaged: records that were acted on are
  lost. Nothing is cut off and the caller is told, for the node must not sign then.

A checksum covers salt and position of the record: bytes that a block carries never look like a record.

Upon `restart` -> the new segment is written under another name, synced, renamed, the directory synced, and only then
the old segment removed. A damaged one is kept, under another name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Final
from zlib import crc32

from aitoken.errors import Bug
from node.store.errors import WriteFailed
from node.store.files import File, Files

RECORD_SIZE_MAX: Final = 64 << 20
_MAGIC: Final = b"AITWAL\x01\n"
_HEAD: Final = Struct("<8s8sQ")
_CHECK: Final = Struct("<I")
_RECORD: Final = Struct("<II")
_PLACE: Final = Struct("<QI")
_START: Final = _HEAD.size + _CHECK.size
_SEARCH_BYTES: Final = 1 << 30  # checksums over so much before a tail that is hard to judge counts as damage
_NAME: Final = "wal-%010d.log"
_UNFINISHED: Final = "unfinished.tmp"


def _random_salt() -> bytes:
    return os.urandom(8)


class Journal:
    """The journal of one node, open."""

    def __init__(self, files: Files, new_salt: Callable[[], bytes] = _random_salt) -> None:
        """Open the journal in `files`, an empty one if there is none.

        Raises:
            WriteFailed: a torn tail cannot be cut off.
        """
        self._files = files
        self._new_salt = new_salt
        self._file: File | None = None
        self._failed = False
        self._seed = 0
        self._size = 0
        self.found: list[bytes] | None = None
        """The records that were there, in order; None where there was no journal, or a damaged one."""
        self.damage: str | None = None
        """What is wrong with the journal that was there."""
        segments = [name for name in files.names() if name.startswith("wal-") and name.endswith(".log")]
        self._name = segments[-1] if segments else ""
        if segments:
            self._load(files.read(self._name))
            for name in segments[:-1]:
                files.remove(name)

    @property
    def size(self) -> int:
        """Bytes in the segment."""
        return self._size

    def append(self, record: bytes) -> None:
        """Write a record; it is on disk only after `flush`.

        Raises:
            WriteFailed: the disk refuses, now or before; the process must end.
        """
        self.append_all((record,))

    def append_all(self, records: Iterable[bytes]) -> None:
        """Write records, in order and with one call of the disk; they are there only after `flush`.

        Raises:
            WriteFailed: the disk refuses, now or before; the process must end.
        """
        file = self._ready()
        parts = []
        size = self._size
        for record in records:
            if not 0 < len(record) <= RECORD_SIZE_MAX:
                raise Bug(f"a journal record of {len(record)} bytes")
            parts.append(_framed(record, size, self._seed))
            size += len(parts[-1])
        self._write(file, b"".join(parts))
        self._size = size

    def flush(self) -> None:
        """Return when everything appended is on disk. Another thread may call it, one at a time.

        Raises:
            WriteFailed: the disk refuses, now or before; the process must end.
        """
        file = self._ready()
        try:
            file.sync()
        except WriteFailed:
            self._failed = True
            raise

    def restart(self, records: Sequence[bytes]) -> None:
        """Begin a new segment that holds exactly `records`, and return when it is on disk; the old one is gone.

        Raises:
            WriteFailed: the disk refuses, now or before; the process must end.
        """
        if self._failed:
            raise WriteFailed(f"writing to {self._files} failed before: restart")
        salt = self._new_salt()
        seed = crc32(salt)
        parts = []
        size = _START
        for record in records:
            parts.append(_framed(record, size, seed))
            size += len(parts[-1])
        head = _HEAD.pack(_MAGIC, salt, size - _START)
        number = int(self._name[4:14]) + 1 if self._name else 1
        name = _NAME % number
        try:
            file = self._files.create(_UNFINISHED)
            file.write(b"".join((head, _CHECK.pack(crc32(head)), *parts)))
            file.sync()
            self._files.rename(_UNFINISHED, name)
            self._files.sync_directory()
            self._leave(self._name)
        except WriteFailed:
            self._failed = True
            raise
        self._file, self._name, self._size, self._seed = file, name, size, seed

    def close(self) -> None:
        """Close the file; what was not flushed may be lost."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _leave(self, name: str) -> None:
        """Do away with the segment in use so far."""
        if self._file is not None:
            self._file.close()
        if not name:
            return
        if self.damage is None:
            self._files.remove(name)
        else:
            self._files.rename(name, name + ".damaged")
            self.damage = None

    def _ready(self) -> File:
        if self._failed:
            raise WriteFailed(f"writing to {self._files} failed before: restart")
        if self._file is None:
            raise Bug("the journal has no segment to write to")
        return self._file

    def _write(self, file: File, data: bytes) -> None:
        try:
            file.write(data)
        except WriteFailed:
            self._failed = True
            raise

    def _load(self, data: bytes) -> None:
        """Take over a segment, or say what is wrong with it."""
        if len(data) < _START or _CHECK.unpack_from(data, _HEAD.size)[0] != crc32(data[: _HEAD.size]):
            self.damage = f"the head of {self._name} is damaged"
            return
        magic, salt, opening = _HEAD.unpack_from(data)
        if magic != _MAGIC:
            self.damage = f"{self._name} was written by another version of this program"
            return
        seed = crc32(salt)
        records = []
        at = _START
        while (record := _record_at(data, at, seed)) is not None:
            records.append(record)
            at += _RECORD.size + len(record)
        if at < _START + opening:
            self.damage = f"{self._name} is damaged at byte {at}, within what it was started with"
            return
        if at < len(data) and _has_record_after(data, at, seed):
            self.damage = f"{self._name} is damaged at byte {at}; records follow that were acted on"
            return
        self._file = self._files.append(self._name, at)
        if at < len(data):
            self._file.sync()
        self.found, self._size, self._seed = records, at, seed


def _framed(record: bytes, at: int, seed: int) -> bytes:
    return _RECORD.pack(len(record), _checksum(record, at, seed)) + record


def _checksum(record: bytes, at: int, seed: int) -> int:
    return crc32(record, crc32(_PLACE.pack(at, len(record)), seed))


def _record_at(data: bytes, at: int, seed: int) -> bytes | None:
    """Return the record at byte `at`, None where there is no right one."""
    start = at + _RECORD.size
    if start > len(data):
        return None
    length, check = _RECORD.unpack_from(data, at)
    if not 0 < length <= len(data) - start:
        return None
    record = data[start : start + length]
    return record if _checksum(record, at, seed) == check else None


def _has_record_after(data: bytes, at: int, seed: int) -> bool:
    """Return whether a right record begins behind the wrong one at `at`."""
    if len(data) >= at + _RECORD.size:
        length, _ = _RECORD.unpack_from(data, at)
        if _record_at(data, at + _RECORD.size + length, seed) is not None:
            return True
    budget = _SEARCH_BYTES
    for later in range(at + 1, len(data) - _RECORD.size):
        length, check = _RECORD.unpack_from(data, later)
        if 0 < length <= len(data) - later - _RECORD.size:
            budget -= length
            record = data[later + _RECORD.size : later + _RECORD.size + length]
            if budget < 0 or _checksum(record, later, seed) == check:
                return True
    return False
