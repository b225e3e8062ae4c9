"""What can be wrong with the files of a node. Each names what a person should do.

All but `Exists` and `WrongGenesis` end the process: a node whose disk fails must not go on signing.
"""

from __future__ import annotations

import errno
from pathlib import Path

from aitoken.errors import Rejected, Unavailable


class StoreFailed(Unavailable):
    """A file of the node cannot be used; the process must end."""

    code = "store.failed"


class Missing(StoreFailed):
    """There is no database where one should be."""

    code = "store.missing"


class Exists(Rejected):
    """There is a database already where one should be made."""

    code = "store.exists"


class InUse(StoreFailed):
    """Another process works on the same files."""

    code = "store.in_use"


class WrongGenesis(Rejected):
    """The database belongs to another chain."""

    code = "store.wrong_genesis"


class WrongSchema(StoreFailed):
    """The database was written by another version of this program."""

    code = "store.wrong_schema"


class Damaged(StoreFailed):
    """Files are lost or changed: the content contradicts itself. Never repaired; synchronise anew."""

    code = "store.damaged"


class RolledBack(Damaged):
    """The database is older than it was when the node last ran: files are lost or were copied back."""

    code = "store.rolled_back"


class WriteFailed(StoreFailed):
    """Writing failed. What was to be written may be there or not; only a restart tells."""

    code = "store.write_failed"


class DiskFull(WriteFailed):
    """No space is left."""

    code = "store.disk_full"


def write_failed(what: Path | str, error: OSError) -> WriteFailed:
    """Return the error that says that writing `what` failed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no space left to write {what}: make room and start again")
    return WriteFailed(f"cannot write {what}: {error.strerror or error}")
