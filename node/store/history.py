"""States of past blocks: what the keys hold now, and what they held before later blocks changed them.

The value of a key after block N is what the first block after N that changed it found there; if none did, what it
holds now. So a read looks for the first record that speaks of the key, and iterating merges the past values with the
present ones.

Trie roots and proofs need trie nodes, of which only the present ones exist. `PastState` gets them by taking back, in a
layer above the final state, everything that changed since; the root must then be that of the old header.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Final, Protocol

from aitoken.types import Hash32
from chain.state.base import Changes, KeyValue, StateDiscarded
from chain.state.layer import FinalState, Layer
from node.store.errors import Damaged
from node.store.leveldb import Cursor, Reader
from node.store.schema import (
    NAME_SIZE,
    after_prefix,
    number,
    past_key,
    past_pairs,
    past_parts,
    past_prefix,
)

UNDO_KEYS_MAX: Final = 200_000
"""So many changed keys a proof for an old block may take back: some seconds of work."""
_LAST: Final = b"\xff\xff\xff\xff"


class History(Protocol):
    """What a past state needs to know of the database."""

    @property
    def oldest(self) -> int:
        """The number of the first block whose state is kept."""

    @property
    def state(self) -> FinalState:
        """The present."""

    def undo(self, block: int, keys_max: int) -> Changes:
        """Return what takes the final state back to that after `block`."""


class PastView:
    """A `KeyValue`: what the keys held after an old block."""

    def __init__(self, reader: Reader, flat: KeyValue, history: History, block: int) -> None:
        self._reader = reader
        self._flat = flat
        self._history = history
        self._block = block

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of `key`, or None.

        Raises:
            StateDiscarded: the block is older than what is kept.
        """
        self._check()
        cursor = self._reader.cursor()
        try:
            found = [self._first(cursor, name, key) for name in dict.fromkeys((key[:NAME_SIZE], key))]
        finally:
            cursor.close()
        changed = min((each for each in found if each is not None), default=None, key=itemgetter(0))
        return self._flat.get(key) if changed is None else changed[1]

    def iterate(self, prefix: bytes, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs whose key starts with `prefix`, ascending, those greater than `after` only.

        Raises:
            StateDiscarded: the block is older than what is kept.
        """
        self._check()
        past = self._past(prefix, after)
        then = next(past, None)
        for pair in self._flat.iterate(prefix, after):
            while then is not None and then[0] < pair[0]:
                if then[1] is not None:
                    yield then[0], then[1]
                then = next(past, None)
            if then is None or then[0] != pair[0]:
                yield pair
                continue
            if then[1] is not None:
                yield pair[0], then[1]
            then = next(past, None)
        while then is not None:
            if then[1] is not None:
                yield then[0], then[1]
            then = next(past, None)

    def _check(self) -> None:
        if self._block < self._history.oldest:
            raise StateDiscarded(f"the state of block {self._block} is no longer kept")

    def _first(self, cursor: Cursor, name: bytes, key: bytes) -> tuple[int, bytes | None] | None:
        """Return the first block after this one that, as is stored under `name`, changed `key`, and what it found."""
        start, rest = past_key(name), key[len(name) :]
        pair = cursor.seek(start + number(self._block + 1))
        while pair is not None and pair[0].startswith(start):
            if rest in pair[1] and key in (held := past_pairs(name, pair[1])):
                return past_parts(pair[0])[1], held[key]
            pair = cursor.next()
        return None

    def _past(self, prefix: bytes, after: bytes | None) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield the keys under `prefix` that changed after the block, ascending, and what they held after it."""
        lowest = prefix if after is None else max(prefix, after + b"\x00")
        group, found = b"", dict[bytes, tuple[int, bytes | None]]()
        for name, block, held in self._records(prefix, lowest):
            if name[:NAME_SIZE] != group:
                yield from _sorted(found)
                group, found = name[:NAME_SIZE], {}
            for key, value in held.items():
                if key >= lowest and key.startswith(prefix) and (key not in found or block < found[key][0]):
                    found[key] = block, value
        yield from _sorted(found)

    def _records(self, prefix: bytes, lowest: bytes) -> Iterator[tuple[bytes, int, Changes]]:
        """Yield name, block and content of all records that may speak of keys under `prefix` from `lowest` on.

        They come in the order of names. Of a key that is a name by itself, only the first after the block comes.
        """
        end = after_prefix(past_prefix(prefix[:NAME_SIZE]))
        cursor = self._reader.cursor()
        try:
            pair = cursor.seek(past_prefix(lowest[:NAME_SIZE]))
            while pair is not None and pair[0] < end:
                name, block = past_parts(pair[0])
                if len(name) > NAME_SIZE and name < lowest:
                    pair = cursor.seek(past_prefix(lowest))
                elif len(name) > NAME_SIZE and not name.startswith(prefix):
                    break
                elif block <= self._block:
                    pair = cursor.seek(past_key(name) + number(self._block + 1))
                else:
                    yield name, block, past_pairs(name, pair[1])
                    pair = cursor.next() if len(name) == NAME_SIZE else cursor.seek(past_key(name) + _LAST + b"\x00")
        finally:
            cursor.close()


def _sorted(found: Mapping[bytes, tuple[int, bytes | None]]) -> Iterator[tuple[bytes, bytes | None]]:
    for key in sorted(found):
        yield key, found[key][1]


class PastState:
    """A `State`: that after an old block."""

    def __init__(self, view: PastView, history: History, block: int, root: Hash32) -> None:
        self.root: Final = root
        self._view = view
        self._history = history
        self._block = block

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of `key`, or None."""
        return self._view.get(key)

    def iterate(self, prefix: bytes, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs whose key starts with `prefix`, ascending, those greater than `after` only."""
        return self._view.iterate(prefix, after)

    def child(self, changes: Changes, /) -> Layer:
        """Return the state after `changes`."""
        return self._layer().child(changes)

    def prove(self, keys: Iterable[bytes], /) -> list[bytes]:
        """Return the trie nodes and hashed values that show the values of `keys`, or their absence."""
        return self._layer().prove(keys)

    def _layer(self) -> Layer:
        layer = self._history.state.child(self._history.undo(self._block, UNDO_KEYS_MAX))
        if layer.root != self.root:
            raise Damaged(f"the history of the state does not lead back to block {self._block}")
        return layer
