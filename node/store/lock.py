"""One process per data directory.

The lock is a `flock` on a file that nothing else opens. It ends with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from node.store.errors import InUse, write_failed


class DirectoryLock:
    """Held from construction to `release`."""

    def __init__(self, path: Path) -> None:
        """Take the lock on the file `path`, which is made where missing.

        Raises:
            InUse: another process, or this one, has it.
            WriteFailed: the file cannot be written.
        """
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise write_failed(path, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise InUse(
                f"process {holder or '?'} works in {path.parent}: stop it first, or use another directory"
            ) from None
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:  # the number is for people only, but a disk that cannot take it can take nothing
            self.release()
            raise write_failed(path, error) from error

    def release(self) -> None:
        """Let go of it; once more does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
