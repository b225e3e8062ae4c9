"""States of past blocks: what the keys hold now, and what they held before later blocks changed them.

The value of a key after block N is what the first block after N that changed it found there; if none did, what it
holds now. So a read is one seek, and iterating merges the past values with the present ones.

Trie roots and proofs need trie nodes, of which only the present ones exist. `PastState` gets them by taking back, in a
layer above the final state, everything that changed since; the root must then be that of the old header.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from aitoken.types import Hash32
from chain.state.base import Changes, KeyValue, StateDiscarded
from chain.state.layer import FinalState, Layer
from node.store.errors import Damaged
from node.store.leveldb import Reader
from node.store.schema import PAST, after_prefix, number, past_key, past_parts, past_prefix, past_value_of

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
        start = past_key(key)
        for _, stored in self._reader.range(start + number(self._block + 1), start + _LAST):
            return past_value_of(stored)
        return self._flat.get(key)

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

    def _past(self, prefix: bytes, after: bytes | None) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield the keys under `prefix` that changed after the block, and what they held after it."""
        end = after_prefix(past_prefix(prefix))
        at = past_prefix(prefix)
        if after is not None:
            at = max(at, past_key(after) + _LAST + b"\x00")
        cursor = self._reader.cursor()
        try:
            while (found := cursor.seek(at)) is not None and found[0] < end and found[0][:1] == PAST:
                key, block = past_parts(found[0])
                if block > self._block:
                    yield key, past_value_of(found[1])
                    at = past_key(key) + _LAST + b"\x00"
                else:
                    at = past_key(key) + number(self._block + 1)
        finally:
            cursor.close()


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
