"""The small file of evidence that is not punished yet, so that a restart of every node that holds it loses nothing.

`{"version": 1, "pairs": [[vote, vote], ...]}`, votes as base64 of their 115 bytes, replaced as a whole and synced.
It is a help and no condition of safety: one that does not read is left behind, and what it held is formed again if the
offender goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from aitoken.proto.votes import MalformedVote, Vote
from consensus.messages import Evidence
from node.store.errors import WriteFailed
from node.store.files import write_whole

VERSION: Final = 1

log = logging.getLogger(__name__)


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    pairs: list[tuple[bytes, bytes]]


class EvidenceFile:
    """Evidence in the file `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[Evidence]:
        """Return what is stored; nothing where the file is missing or does not read."""
        try:
            content = msgspec.json.decode(self._path.read_bytes(), type=_Content)
            if content.version != VERSION:
                raise msgspec.ValidationError(f"version {content.version}")
            return [Evidence(Vote.decode(first), Vote.decode(second)) for first, second in content.pairs]
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError, MalformedVote) as error:
            log.error("%s does not read and is left behind: %s", self._path, error)
            return []

    def save(self, evidence: Sequence[Evidence]) -> None:
        """Store exactly this, on disk on return where the disk takes it; the rest of the node finds out if not."""
        content = _Content(VERSION, [(each.first.encode(), each.second.encode()) for each in evidence])
        try:
            write_whole(self._path, msgspec.json.encode(content) + b"\n")
        except WriteFailed as error:
            log.error("evidence is kept in memory only: %s", error)
