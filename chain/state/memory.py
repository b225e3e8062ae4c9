"""An ordered map of bytes in memory: a genesis, a test, a simulated disk."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

from chain.state.base import Changes


class MemoryKeyValue:
    """A `KeyValue` over a dict and the sorted list of its keys."""

    def __init__(self, pairs: Changes | None = None) -> None:
        self._values: dict[bytes, bytes] = {key: value for key, value in (pairs or {}).items() if value is not None}
        self._keys = sorted(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of `key`, or None."""
        return self._values.get(key)

    def iterate(self, prefix: bytes, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs whose key starts with `prefix`, ascending, those greater than `after` only."""
        keys = self._keys
        at = bisect_left(keys, prefix)
        if after is not None:
            at = max(at, bisect_right(keys, after))
        while at < len(keys) and keys[at].startswith(prefix):
            yield keys[at], self._values[keys[at]]
            at += 1

    def apply(self, changes: Changes) -> None:
        """Write `changes`; None removes."""
        for key, value in changes.items():
            if value is None:
                if self._values.pop(key, None) is not None:
                    del self._keys[bisect_left(self._keys, key)]
            else:
                if key not in self._values:
                    insort(self._keys, key)
                self._values[key] = value
