"""Serves the states that `node.store.snapshot` holds still, from a thread of its own (`node.net.state_sync`)."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from aitoken.errors import AiTokenError
from aitoken.types import Hash32
from node.store.database import Database
from node.store.snapshot import Branch, Held, Leaves, Snapshots

log = logging.getLogger(__name__)


class States:
    """Pieces of states for peers."""

    def __init__(self, database: Database) -> None:
        self._snapshots = Snapshots(database)
        self._thread = ThreadPoolExecutor(1, "serve state")
        self._closed = False

    async def piece(
        self, block_hash: Hash32, path: str, budget: int
    ) -> tuple[tuple[bytes, bytes], ...] | Branch | None:
        """All pairs below `path`, or the trie node there; None where that state is not served just now."""
        loop = asyncio.get_running_loop()
        held = None if self._closed else self._snapshots.open(block_hash, loop.time())
        if held is None:
            return None
        found = await loop.run_in_executor(self._thread, _piece, held, path, budget)
        return found.pairs if isinstance(found, Leaves) else found

    def close(self) -> None:
        """Serve no more, and let go of the database."""
        self._closed = True
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._snapshots.close()


def _piece(held: Held, path: str, budget: int) -> Leaves | Branch | None:
    try:
        return held.piece(path, budget)
    except AiTokenError as error:
        log.warning("a piece of state cannot be served: %s", error)
        return None
