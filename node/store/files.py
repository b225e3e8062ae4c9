"""The few things the journal does with files, so that tests and the simulator can stand in for a disk that fails.

What was written is durable after `sync` of the file; that a file of some name exists at all, only after
`sync_directory` (LWN 457667; cometbft issue 6031).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from node.store.errors import write_failed


class File(Protocol):
    """A file open for writing in place."""

    def write(self, data: bytes, at: int) -> None:
        """Write all of `data` from byte `at` on."""

    def sync(self) -> None:
        """Return when everything written is on disk."""

    def close(self) -> None:
        """Close it; once more does nothing."""


class Files(Protocol):
    """One directory."""

    def names(self) -> list[str]:
        """Return the names of the files in it, ascending."""

    def read(self, name: str) -> bytes:
        """Return the whole content of a file."""

    def create(self, name: str) -> File:
        """Open a file of that name, empty."""

    def open(self, name: str) -> File:
        """Open a file that is there."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in place of a file that has it."""

    def remove(self, name: str) -> None:
        """Remove a file."""

    def sync_directory(self) -> None:
        """Return when the names are on disk."""


class DiskFiles:
    """A real directory, made where missing.

    Every failing write raises `WriteFailed`. A failed sync must not be tried again: the kernel may have dropped the
    data and forgotten that it did (PostgreSQL's fsync surprise of 2018).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            if not path.is_dir():
                path.mkdir(mode=0o700)
                sync_directory(path.parent)
        except OSError as error:
            raise write_failed(path, error) from error

    def __str__(self) -> str:
        return str(self._path)

    def names(self) -> list[str]:
        """Return the names of the files in it, ascending."""
        return sorted(entry.name for entry in self._path.iterdir() if entry.is_file())

    def read(self, name: str) -> bytes:
        """Return the whole content of a file."""
        return (self._path / name).read_bytes()

    def create(self, name: str) -> File:
        """Open a file of that name, empty."""
        return _DiskFile(self._path / name, os.O_CREAT | os.O_TRUNC)

    def open(self, name: str) -> File:
        """Open a file that is there."""
        return _DiskFile(self._path / name, 0)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in place of a file that has it."""
        try:
            (self._path / old).replace(self._path / new)
        except OSError as error:
            raise write_failed(self._path / new, error) from error

    def remove(self, name: str) -> None:
        """Remove a file."""
        try:
            (self._path / name).unlink()
        except OSError as error:
            raise write_failed(self._path / name, error) from error

    def sync_directory(self) -> None:
        """Return when the names are on disk."""
        try:
            sync_directory(self._path)
        except OSError as error:
            raise write_failed(self._path, error) from error


class _DiskFile:
    def __init__(self, path: Path, flags: int) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o600)
        except OSError as error:
            raise write_failed(path, error) from error

    def write(self, data: bytes, at: int) -> None:
        try:
            written = os.pwrite(self._descriptor, data, at)
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], at + written)
        except OSError as error:
            raise write_failed(self._path, error) from error

    def sync(self) -> None:
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise write_failed(self._path, error) from error

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def sync_directory(path: Path) -> None:
    """Return when the names in the directory `path` are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes) -> None:
    """Make `data` the content of the file `path`: after a crash it holds all of the old or all of the new.

    Raises:
        WriteFailed: the disk refuses.
    """
    write_pieces(path, (data,))


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """Do what `write_whole` does with content that comes bit by bit.

    Raises:
        WriteFailed: the disk refuses.
    """
    unfinished = path.with_name(path.name + ".unfinished")
    file = _DiskFile(unfinished, os.O_CREAT | os.O_TRUNC)
    try:
        at = 0
        for piece in pieces:
            file.write(piece, at)
            at += len(piece)
        file.sync()
    finally:
        file.close()
    try:
        unfinished.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise write_failed(path, error) from error
