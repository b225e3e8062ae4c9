"""The file of what this node voted and saw, written before it acts on it.

Bytes in, bytes out; what the records mean belongs to `consensus.journal`. One file of whole pages, written in place:

    page 0    magic 8 | salt 8 | crc32 of both                              integers little-endian; written once
    entry     salt 8 | number u64 | opening u64 | synced u64 | length u32 | crc32 | (length u32 | record)*

An entry is what one call wrote. It begins on a page and has it for itself, so a page that was synced is not written
again while it counts. Entries are numbered without gaps. The file grows by zeros, a step at a time, and is never cut:
a sync writes no metadata then, and need not wait for what others do with the same disk.

`restart` writes an entry that is an *opening*: its `opening` is its own number. It holds everything that still counts,
so the entries before it are given up once it is synced; until then none of their pages is touched. An opening goes
to the start of the file where it fits before them, else behind them.

`synced` is the highest number that was on disk for certain when the entry was written. The pages of an unsynced write
reach the disk in any order or not at all, so what is found after a power cut is read by these rules:

- The latest opening that is whole counts, with the whole entries that follow it without a gap.
- Nothing that a whole entry of the file calls synced is missing -> what lies behind the gap was written, never flushed,
  and nobody acted on it. It is wiped out, since its numbers will be given again.
- Something is missing -> damaged: records that were acted on are lost. Nothing is changed and the caller is told, for
  the node must not sign then. A damaged file is kept, under another name.

The checksum covers salt and place of the entry: bytes that a block carries never look like one, nor do those of a file
that lay in the same pages of the disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final
from zlib import crc32

from aitoken.errors import Bug
from node.store.errors import WriteFailed, WrongSchema
from node.store.files import File, Files

PAGE: Final = 4096
STEP: Final = 64
"""Pages the file grows by; zeros over so many are written in a fraction of a millisecond."""
RECORD_SIZE_MAX: Final = 64 << 20
NAME: Final = "votes.log"
DAMAGED: Final = ".damaged"
_UNFINISHED: Final = "unfinished.tmp"
_MAGIC: Final = b"AITLOG\x01\n"
_HEAD: Final = Struct("<8s8s")
_ENTRY: Final = Struct("<8sQQQI")
_CHECK: Final = Struct("<I")
_PLACE: Final = Struct("<Q")
_LENGTH: Final = Struct("<I")
_BODY: Final = _ENTRY.size + _CHECK.size


@dataclass(frozen=True, slots=True)
class _Entry:
    """A whole entry that was found."""

    page: int
    pages: int
    number: int
    opening: int
    synced: int
    body: bytes


def _random_salt() -> bytes:
    return os.urandom(8)


class Journal:
    """The journal of one node, open."""

    def __init__(self, files: Files, new_salt: Callable[[], bytes] = _random_salt) -> None:
        """Open the journal in `files`, an empty one if there is none.

        Raises:
            WriteFailed: what nobody acted on cannot be wiped out.
            WrongSchema: there is one that another version of this program wrote.
        """
        self._files = files
        self._new_salt = new_salt
        self._file: File | None = None
        self._failed = False
        self._salt = b""
        self._number = self._synced = self._opening = 0
        self._first = self._end = self._room = 1  # pages: where the segment begins, where it ends, how many there are
        self.found: list[bytes] | None = None
        """The records that were there, in order; None where there was no journal, or a damaged one."""
        self.damage: str | None = None
        """What is wrong with the journal that was there."""
        names = files.names()
        if NAME in names:
            self._load(files.read(NAME))
        elif any(name.startswith("wal-") and name.endswith(".log") for name in names):
            raise WrongSchema(
                f"the journal in {files} was written by an older version of this program. Go on with that version; or, "
                "once the epoch in which it stopped is over, remove the folder"
            )
        elif _UNFINISHED in names and any(name.startswith(NAME + DAMAGED) for name in names):
            self.damage = f"{NAME} was damaged, and none has taken its place"

    @property
    def size(self) -> int:
        """Bytes on disk since the last opening, with it."""
        return (self._end - self._first) * PAGE

    def append(self, record: bytes) -> None:
        """Write a record; it is on disk only after `flush`.

        Raises:
            WriteFailed: the disk refuses, now or before; the process must end.
        """
        self.append_all((record,))

    def append_all(self, records: Iterable[bytes]) -> None:
        """Write records, in order and as one entry; they are there only after `flush`.

        Raises:
            WriteFailed: the disk refuses, now or before; the process must end.
        """
        self._check()
        if self._file is None:
            raise Bug("the journal has no opening to write behind")
        body = _body_of(records)
        if body:
            self._write(self._file, body, self._end, self._opening)

    def flush(self) -> None:
        """Return when everything appended is on disk. Another thread may call it, one at a time.

        Raises:
            WriteFailed: the disk refuses, now or before; the process must end.
        """
        self._check()
        if self._file is None:
            raise Bug("the journal has no opening to write behind")
        self._sync(self._file)

    def restart(self, records: Sequence[bytes]) -> None:
        """Begin anew with exactly `records`, and return when they are on disk; what was before counts no more.

        Raises:
            WriteFailed: the disk refuses, now or before; the process must end.
        """
        self._check()
        body = _body_of(records)
        if self._file is None:
            self._create(body)
            return
        page = 1 if 1 + _pages_of(body) <= self._first else self._end
        self._write(self._file, body, page, self._number + 1)
        self._sync(self._file)
        self._first = page

    def close(self) -> None:
        """Close the file; what was not flushed may be lost."""
        if self._file is not None:
            self._file.close()
            self._file = None

    # Writing.

    def _check(self) -> None:
        if self._failed:
            raise WriteFailed(f"writing to {self._files} failed before: restart")

    def _write(self, file: File, body: bytes, page: int, opening: int) -> None:
        number = self._number + 1
        data = _entry(self._salt, number, opening, self._synced, page, body)
        end = page + len(data) // PAGE
        try:
            if end > self._room:
                room = end + STEP
                file.write(bytes((room - self._room) * PAGE), self._room * PAGE)
                self._room = room
            file.write(data, page * PAGE)
        except WriteFailed:
            self._failed = True
            raise
        self._number, self._opening, self._end = number, opening, end

    def _sync(self, file: File) -> None:
        number = self._number
        try:
            file.sync()
        except WriteFailed:
            self._failed = True
            raise
        self._synced = number

    def _create(self, body: bytes) -> None:
        """Begin with a file, in place of a damaged one; under another name until it is whole."""
        self._salt = self._new_salt()
        head = _HEAD.pack(_MAGIC, self._salt)
        try:
            file = self._files.create(_UNFINISHED)
            file.write(_padded(head + _CHECK.pack(crc32(head))), 0)
            self._write(file, body, 1, 1)
            self._sync(file)
            if self.damage is not None and NAME in (names := self._files.names()):
                self._files.rename(NAME, _free_name(names))
            self._files.rename(_UNFINISHED, NAME)
            self._files.sync_directory()
        except WriteFailed:
            self._failed = True
            raise
        self._file, self.damage = file, None

    # Reading.

    def _load(self, data: bytes) -> None:
        """Take over a file, or say what is wrong with it."""
        magic, salt = _HEAD.unpack_from(data.ljust(_HEAD.size, b"\0"))
        head = data[: _HEAD.size]
        if data[_HEAD.size : _HEAD.size + _CHECK.size] != _CHECK.pack(crc32(head)):
            self.damage = f"the head of {NAME} is damaged"
            return
        if magic != _MAGIC:
            raise WrongSchema(f"{NAME} in {self._files} was written by another version of this program")
        whole = {entry.number: entry for entry in _entries(data, salt)}
        opening = max((number for number, entry in whole.items() if entry.opening == number), default=0)
        if not opening:
            self.damage = f"no opening of {NAME} is whole"
            return
        last = opening
        while (following := whole.get(last + 1)) is not None and following.opening == opening:
            last += 1
        synced = max(entry.synced for entry in whole.values())
        if last < synced:
            self.damage = f"{NAME} lacks entry {last + 1}, and entry {synced} was acted on"
            return
        self._salt, self._number, self._opening = salt, last, opening
        self._first, self._end = whole[opening].page, whole[last].page + whole[last].pages
        self._room = max(len(data) // PAGE, self._end)
        self._file = self._files.open(NAME)
        for number, entry in whole.items():
            if number > last:
                self._file.write(bytes(PAGE), entry.page * PAGE)
        self._sync(self._file)  # what is found may be told again, and a process that ended need not have synced it
        self.found = [record for number in range(opening, last + 1) for record in _records(whole[number].body)]


def _body_of(records: Iterable[bytes]) -> bytes:
    parts: list[bytes] = []
    for record in records:
        size = len(record)
        if not 0 < size <= RECORD_SIZE_MAX:
            raise Bug(f"a journal record of {size} bytes")
        parts += (_LENGTH.pack(size), record)
    return b"".join(parts)


def _records(body: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        (length,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size + length
        yield body[at - length : at]


def _entry(salt: bytes, number: int, opening: int, synced: int, page: int, body: bytes) -> bytes:
    head = _ENTRY.pack(salt, number, opening, synced, len(body))
    return _padded(head + _CHECK.pack(_checksum(head, page, body)) + body)


def _checksum(head: bytes, page: int, body: bytes) -> int:
    return crc32(body, crc32(_PLACE.pack(page), crc32(head)))


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % PAGE)


def _pages_of(body: bytes) -> int:
    return -(-(_BODY + len(body)) // PAGE)


def _entries(data: bytes, salt: bytes) -> Iterator[_Entry]:
    """Yield the whole entries of a file, by place."""
    page = 1
    while (at := page * PAGE) + _BODY <= len(data):
        pages = 1
        if data.startswith(salt, at):
            head = data[at : at + _ENTRY.size]
            _, number, opening, synced, length = _ENTRY.unpack(head)
            start = at + _BODY
            body = data[start : start + length]
            if len(body) == length and _CHECK.unpack_from(data, at + _ENTRY.size)[0] == _checksum(head, page, body):
                pages = _pages_of(body)
                yield _Entry(page, pages, number, opening, synced, body)
        page += pages


def _free_name(names: Sequence[str]) -> str:
    """Return a name for a damaged file that none has."""
    number = 1
    while (name := f"{NAME}{DAMAGED}-{number}") in names:
        number += 1
    return name
