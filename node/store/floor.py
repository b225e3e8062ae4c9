"""How far the chain was final when this node last ran, in a file of its own.

LevelDB opens without complaint when its newest log file is gone, with an older state. The floor tells: a database
below it has lost blocks. The number is written after each batch and not synced: it may lag behind, never lead.

Two slots, used in turn, each `u32 number | u32 crc32`, so that a torn write leaves the other one.
"""

from __future__ import annotations

import os
from pathlib import Path
from struct import Struct
from typing import Final
from zlib import crc32

from node.store.errors import write_failed

_SLOT: Final = Struct("<II")


class Floor:
    """The file, open for writing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise write_failed(path, error) from error

    def read(self) -> int:
        """Return the highest number that was written, 0 if none."""
        data = os.pread(self._descriptor, 2 * _SLOT.size, 0)
        slots = [_SLOT.unpack_from(data, at) for at in (0, _SLOT.size) if len(data) >= at + _SLOT.size]
        return max((number for number, check in slots if check == _check(number)), default=0)

    def raise_to(self, number: int) -> None:
        """Write a number."""
        try:
            os.pwrite(self._descriptor, _SLOT.pack(number, _check(number)), number % 2 * _SLOT.size)
        except OSError as error:
            raise write_failed(self._path, error) from error

    def close(self) -> None:
        """Close the file; once more does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _check(number: int) -> int:
    return crc32(number.to_bytes(4, "little"))
