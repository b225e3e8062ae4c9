"""The state after the end of an epoch, held still and cut into pieces for nodes that fetch it.

A snapshot of LevelDB and the past values in it give the state after any block whose history is kept, however far the
chain goes on meanwhile; its trie is built anew (3 us a key) when somebody first asks. Two are held, so that a node
which began with one can finish; one that nobody has asked for in a while makes room.

All of it runs in a thread of its own; the caller sees to it that nothing runs at the same time.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from aitoken.errors import Bug
from aitoken.proto.digest import next_epoch_of
from aitoken.proto.header import Header
from aitoken.types import BlockNumber, Hash32
from chain.state.base import StateDiscarded
from chain.state.build import pairs_below
from chain.state.layer import FinalState
from chain.state.nodes import layout, partial_of
from chain.state.tree import bytes_of, find
from node.store.database import Database
from node.store.history import PastView
from node.store.leveldb import Snapshot
from node.store.schema import STATE, after_prefix

HELD_MAX: Final = 2
IDLE_S: Final = 60.0
"""A snapshot nobody asked for so long gives way to another one."""
LEAF_OVERHEAD: Final = 8

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Leaves:
    """Every pair below a path."""

    pairs: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """The trie node at a path, and the value it holds by hash, if any."""

    node: bytes
    value: bytes


class _Flat:
    """The pairs of a snapshot."""

    def __init__(self, reader: Snapshot) -> None:
        self._reader = reader

    def get(self, key: bytes, /) -> bytes | None:
        return self._reader.get(STATE + key)

    def iterate(self, prefix: bytes, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        start = STATE + prefix if after is None else max(STATE + prefix, STATE + after + b"\x00")
        for key, value in self._reader.range(start, after_prefix(STATE + prefix)):
            yield key[1:], value


@dataclass(frozen=True, slots=True)
class _Frozen:
    """What a past state asks of the database, as it was."""

    oldest: int
    state: FinalState

    def undo(self, block: int, keys_max: int) -> dict[bytes, bytes | None]:
        del block, keys_max
        raise Bug("a state that is held still is only read: no proofs and no children of it")


class Held:
    """One state held still."""

    def __init__(self, reader: Snapshot, database: Database, number: BlockNumber, root: Hash32) -> None:
        self._reader = reader
        self._root = root
        self._view = PastView(reader, _Flat(reader), _Frozen(database.oldest, database.state), number)
        self._trie: FinalState | None = None
        self.used_at = 0.0

    def piece(self, path: str, budget: int) -> Leaves | Branch:
        """Return all pairs below `path` where they fit into `budget` bytes, else the trie node there.

        Raises:
            StateDiscarded: history was pruned just when the state was taken; better nothing than something wrong.
        """
        if self._trie is None:
            self._trie = FinalState(self._view)
        if self._trie.root != self._root:
            raise StateDiscarded("the history of this state is no longer whole")
        pairs: list[tuple[bytes, bytes]] = []
        size = 0
        for key, value in pairs_below(self._view, path):
            size += len(key) + len(value) + LEAF_OVERHEAD
            if pairs and size > budget:
                return self._branch(path)
            pairs.append((key, value))
        return Leaves(tuple(pairs))

    def close(self) -> None:
        """Let go of it."""
        self._reader.close()

    def _branch(self, path: str) -> Leaves | Branch:
        node = find(self._trie.top, path) if self._trie is not None else None
        if node is None:  # whoever asks made the path up
            return Leaves(())
        encoding = bytes_of(node)
        key = path + partial_of(encoding, layout(encoding))
        holds_hash = encoding[0] < 0b01000000
        value = self._view.get(bytes.fromhex(key)) if holds_hash else None
        return Branch(encoding, value or b"")


class Snapshots:
    """The states that are served; use it from one thread at a time, but `open` on the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: OrderedDict[Hash32, Held] = OrderedDict()

    def open(self, block_hash: Hash32, now: float) -> Held | None:
        """Return the state after a final block that ended an epoch; None where it cannot be served (just now)."""
        held = self._held.get(block_hash)
        if held is None:
            held = self._take(block_hash, now)
        if held is not None:
            held.used_at = now
        return held

    def close(self) -> None:
        """Let go of everything."""
        for held in self._held.values():
            held.close()
        self._held.clear()

    def _take(self, block_hash: Hash32, now: float) -> Held | None:
        database = self._database
        number = database.number_of(block_hash)
        header = database.header(number) if number is not None else None
        if number is None or header is None or number < database.oldest:
            return None
        parsed = Header.decode(header)
        if next_epoch_of(parsed.digest) is None:
            return None
        while len(self._held) >= HELD_MAX:
            oldest = min(self._held, key=lambda each: self._held[each].used_at)
            if now - self._held[oldest].used_at < IDLE_S:
                return None
            self._held.pop(oldest).close()
        held = self._held[block_hash] = Held(database.snapshot(), database, number, parsed.state_root)
        log.info("state is served", extra={"number": number})
        return held
