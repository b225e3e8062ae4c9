"""A bounded memory of hashes, for "this peer has it already"."""

from __future__ import annotations

from collections.abc import Iterable


class RollingSet:
    """Remembers at least the last `capacity` items and at most twice as many; nothing is done per eviction."""

    __slots__ = ("_capacity", "_fresh", "_stale")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._fresh: set[bytes] = set()
        self._stale: set[bytes] = set()

    def __contains__(self, item: bytes) -> bool:
        return item in self._fresh or item in self._stale

    def __len__(self) -> int:
        return len(self._fresh) + len(self._stale - self._fresh)

    def add(self, item: bytes) -> None:
        """Remember one item."""
        self._fresh.add(item)
        if len(self._fresh) >= self._capacity:
            self._turn()

    def update(self, items: Iterable[bytes]) -> None:
        """Remember many items; no more than `capacity` of them."""
        self._fresh.update(items)
        if len(self._fresh) >= self._capacity:
            self._turn()

    def _turn(self) -> None:
        self._stale, self._fresh = self._fresh, set()
