"""The state after the last final block: LevelDB behind a bounded cache of raw values.

Reading LevelDB takes 7 us, more than executing a transfer. The cache has two generations: when the young one is full it
becomes the old one, and what is still read moves over. That is nearly least-recently-used, and a hit costs one look-up.

What is not in the cache is read with one cursor, which stays open until something is written. LevelDB's `get` counts
every read that passes a newer table and soon rewrites that table together with all that overlaps it, which for keys
spread like ours is the whole state; cursors do not count. To find a few neighbours, it is also three times as fast as a
new iterator.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from chain.state.base import Changes
from node.store.leveldb import Cursor, LevelDb, Reader, Snapshot
from node.store.schema import STATE, after_prefix

CACHED_VALUES: Final = 400_000
"""By default so many values are held: some 100 MB at 80 bytes and their keys."""
_FEW: Final = 2
"""So many pairs are read with the cursor where some are asked for; the trie asks for the only one in a place."""
_SAMPLE: Final = 64
_READ_AT_ONCE: Final = 64
"""Reads in a step of `read_ahead`: a millisecond."""
_LOOKED_UP_AT_ONCE: Final = 512
"""Keys that a step of `read_ahead` looks for in the cache: a millisecond, where calls are decoded to name them."""
_CACHED_SIZE_MAX: Final = 4_096  # greater values are few and not worth the memory


class _Unknown:
    """The mark for "not in the cache"; None says that there is no value."""


_UNKNOWN: Final = _Unknown()


class FlatState:
    """A `KeyValue`: what the keys hold now."""

    def __init__(self, db: LevelDb, cached_values: int = CACHED_VALUES) -> None:
        self._db = db
        self._held: Snapshot | None = None
        self._reader: Reader = db
        self._cursor: Cursor | None = None
        self._limit = max(1, cached_values // 2)
        self._young: dict[bytes, bytes | None] = {}
        self._old: dict[bytes, bytes | None] = {}

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of `key`, or None."""
        value = self._young.get(key, _UNKNOWN)
        if value is _UNKNOWN:
            value = self._old.get(key, _UNKNOWN)
            if value is _UNKNOWN:
                found = self._seek(STATE + key)
                value = found[1] if found is not None and found[0] == STATE + key else None
            self._keep(key, value)  # type: ignore[arg-type]  # mypy does not narrow by the identity of an object
        return value  # type: ignore[return-value]  # as above

    def read_ahead(self, keys: Iterable[bytes]) -> Iterator[None]:
        """Put values into the cache before they are asked for, some in each step.

        In the order of the keys a read takes two thirds of the time: neighbours share what a cursor passes. Where most
        of the first few keys are in the cache, nothing is done: to look for the others would take longer.
        """
        coming, young, old = iter(keys), self._young, self._old
        missing = {key for key in islice(coming, _SAMPLE) if key not in young and key not in old}
        if len(missing) < _SAMPLE // 4:
            return
        while some := list(islice(coming, _LOOKED_UP_AT_ONCE)):
            yield
            missing.update([key for key in some if key not in young and key not in old])
        for count, key in enumerate(sorted(missing)):
            if count % _READ_AT_ONCE == 0:
                yield
            self.get(key)

    def iterate(self, prefix: bytes, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs whose key starts with `prefix`, ascending, those greater than `after` only."""
        start, stop = STATE + prefix, after_prefix(STATE + prefix)
        if after is not None:
            start = max(start, STATE + after + b"\x00")
        few = self._few(start, stop)
        for key, value in few:
            yield key[1:], value
        if len(few) == _FEW:
            for key, value in self._reader.range(few[-1][0] + b"\x00", stop):
                yield key[1:], value

    def hold(self) -> None:
        """Read what is there now until `changed` is called, whatever a write does meanwhile."""
        self._held = self._reader = self._db.snapshot()

    def let_go(self) -> None:
        """Keep nothing of the disk open."""
        self._reader = self._db
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None
        if self._held is not None:
            self._held.close()
            self._held = None

    def changed(self, changes: Changes) -> None:
        """Read on from the disk, to which `changes` have been written.

        Former values may stay in the old generation of the cache: the young one goes before it.
        """
        self.let_go()
        if len(self._young) >= self._limit:
            self._old = self._young
            self._young = {}
        self._young.update(changes)
        for key in [key for key, value in changes.items() if value is not None and len(value) > _CACHED_SIZE_MAX]:
            del self._young[key]
            self._old.pop(key, None)

    def _seek(self, start: bytes) -> tuple[bytes, bytes] | None:
        if self._cursor is None:
            self._cursor = self._reader.cursor()
        return self._cursor.seek(start)

    def _few(self, start: bytes, stop: bytes) -> list[tuple[bytes, bytes]]:
        """Return the first pairs with start <= key < stop."""
        few: list[tuple[bytes, bytes]] = []
        pair = self._seek(start)
        while pair is not None and pair[0] < stop:
            few.append(pair)
            if len(few) == _FEW:
                break
            pair = self._cursor.next() if self._cursor is not None else None
        return few

    def _keep(self, key: bytes, value: bytes | None) -> None:
        if value is not None and len(value) > _CACHED_SIZE_MAX:
            return
        if len(self._young) >= self._limit:
            self._old = self._young
            self._young = {}
        self._young[key] = value
