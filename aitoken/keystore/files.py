"""Files that hold secrets: readable by their owner alone, or not used at all.

- The directory is ours with mode 0700, the file ours with mode 0600; anything wider is refused, not repaired: who could
  read it may have read it already, and only a person can decide what that means.
- Written whole or not at all: a temporary file beside it, synced, then linked or renamed into place, directory synced.
- Symbolic links are not followed, and permissions are read from the open descriptor, so nothing can be swapped between
  looking and reading.
"""

import errno
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from aitoken.errors import Rejected, Unavailable

FILE_SIZE_MAX: Final = 64 * 1024
"""No key file is larger; more is refused before it is read into memory."""


class KeyFileExposed(Rejected):
    """A key file or its directory belongs to another user, or others may read or write it."""

    code = "keystore.exposed"


class KeyFileExists(Rejected):
    """A key of this name is there already; keys are never overwritten by accident."""

    code = "keystore.exists"


class KeyFileMissing(Rejected):
    """There is no key of this name."""

    code = "keystore.missing"


class KeyFileUnreadable(Unavailable):
    """The disk does not give or take a key file."""

    code = "keystore.io"


def private_directory(path: Path) -> None:
    """Create `path` with mode 0700 if it is missing, and refuse it if anybody else could enter it.

    Raises:
        KeyFileExposed: it is there with a wider mode, another owner, or is not a directory.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except FileExistsError:
        raise KeyFileExposed(f"{path} is not a directory") from None
    except OSError as bad:
        raise KeyFileUnreadable(f"{path}: {bad.strerror}") from bad
    _check(found, path, 0o700)


def read_private(path: Path) -> bytes:
    """Return the content of a key file, at most 64 KiB.

    Raises:
        KeyFileMissing: it is not there.
        KeyFileExposed: it, or its directory, is not the owner's alone; or it is a link or no regular file.
    """
    private_directory(path.parent)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise KeyFileExposed(f"{path} is not a regular file")
            _check(found, path, 0o600)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(FILE_SIZE_MAX + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise KeyFileMissing(f"{path} is not there") from None
    except OSError as bad:
        if bad.errno == errno.ELOOP:
            raise KeyFileExposed(f"{path} is a symbolic link") from bad
        raise KeyFileUnreadable(f"{path}: {bad.strerror}") from bad
    if len(data) > FILE_SIZE_MAX:
        raise KeyFileExposed(f"{path} is larger than any key file")
    return data


def write_private(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write a key file with mode 0600, whole or not at all, durable when this returns.

    Args:
        path: its directory is made with mode 0700 where it is missing.
        data: at most 64 KiB.
        replace: take the place of a file of this name; otherwise `KeyFileExists` is raised.
    """
    private_directory(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            if replace:
                temporary.replace(path)
            else:
                os.link(temporary, path)  # unlike rename, never replaces what appeared meanwhile
        finally:
            temporary.unlink(missing_ok=True)
        _sync_directory(path.parent)
    except FileExistsError:
        raise KeyFileExists(f"{path} is there already") from None
    except OSError as bad:
        raise KeyFileUnreadable(f"{path}: {bad.strerror}") from bad


def _check(found: os.stat_result, path: Path, widest: int) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.geteuid():
        raise KeyFileExposed(f"{path} belongs to another user")
    if mode & ~widest:
        raise KeyFileExposed(f"{path} has mode {mode:04o}; allow its owner alone: chmod {widest:03o}")


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
