"""The small file that outlives a lost journal: the highest epoch in which the key of this node voted.

`{"version": 1, "epoch": 7}`, replaced as a whole and synced before the first vote of each epoch.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from node.store.errors import Damaged
from node.store.files import write_whole


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    epoch: int


class VotingRecordFile:
    """The record in the file `path`."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one.

        Raises:
            Damaged: it does not read. Removing it is safe once the epoch it was written in is over.
        """
        self._path = path
        self._epoch: int | None = None
        if path.exists():
            try:
                record = msgspec.json.decode(path.read_bytes(), type=_Record)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise Damaged(f"{path} does not read ({error}): remove it when the present epoch is over") from None
            if record.version != 1:
                raise Damaged(f"{path} was written by another version of this program")
            self._epoch = record.epoch

    @property
    def epoch(self) -> int | None:
        """The highest epoch in which the key voted; None without a record."""
        return self._epoch

    def raise_to(self, epoch: int) -> None:
        """Write a higher epoch; a lower one changes nothing. On disk on return.

        Raises:
            WriteFailed: the disk refuses; the process must end.
        """
        if self._epoch is not None and epoch <= self._epoch:
            return
        write_whole(self._path, msgspec.json.encode(_Record(version=1, epoch=epoch)) + b"\n")
        self._epoch = epoch
