"""States in memory above the final one: a tree of layers, each its parent and what one block changed.

`FinalState` is the root of the tree: the flat state on disk. `child` makes a `Layer`; a layer never changes.
When its block becomes final, the caller writes the changes to disk and then calls `absorb`:

- the absorbed layer and everything above it read on as before: what it changed is now found on disk;
- states that are no longer on the final chain's tip (the former final state, layers beside the absorbed one) go on
  answering `get` and `iterate` from the history (`past`), while that reaches back far enough. They make no children
  and no proofs any more and raise `StateDiscarded`;
- dead forks cost nothing: a layer lives as long as somebody holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from aitoken.errors import Bug
from aitoken.types import Hash32
from chain.state import reference
from chain.state.base import Changes, KeyValue, StateDiscarded, StateVersion
from chain.state.memory import MemoryKeyValue


class _Missing:
    """The mark for "this layer says nothing about the key"; None says that the key was removed."""


_MISSING: Final = _Missing()


class _Discarded:
    """A past nobody kept."""

    def get(self, key: bytes, /) -> bytes | None:
        raise StateDiscarded("this state is no longer kept")

    def iterate(self, prefix: bytes, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        raise StateDiscarded("this state is no longer kept")


class Anchor:
    """One point of the final chain: the disk while that is its tip, the history afterwards."""

    __slots__ = ("live", "source")

    def __init__(self, source: KeyValue) -> None:
        self.source = source
        self.live = True

    def retire(self, past: KeyValue | None) -> None:
        """Read from `past` from now on."""
        self.live = False
        self.source = _Discarded() if past is None else past


class Layer:
    """The state after one unfinalised block."""

    __slots__ = ("_before", "_changes", "_final", "_parent", "_root")

    def __init__(self, final: FinalState, parent: Layer | Anchor, view: KeyValue, changes: Changes) -> None:
        self._final = final
        self._parent = parent
        self._changes: dict[bytes, bytes | None] = {}
        self._before: dict[bytes, bytes | None] = {}
        for key in sorted(changes):
            new, old = changes[key], view.get(key)
            if new != old:
                self._changes[key] = new
                self._before[key] = old
        flat = dict(view.iterate(b""))
        flat.update({key: value for key, value in self._changes.items() if value is not None})
        for key in [key for key, value in self._changes.items() if value is None]:
            flat.pop(key, None)
        self._root = reference.root(flat, final.version)

    @property
    def root(self) -> Hash32:
        """The trie root."""
        return self._root

    @property
    def changes(self) -> Mapping[bytes, bytes | None]:
        """What is different from the parent, ascending by key; None where a key was removed."""
        return self._changes

    @property
    def before(self) -> Mapping[bytes, bytes | None]:
        """The parent's values of the keys in `changes`; None where there was none."""
        return self._before

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of `key`, or None."""
        layer = self
        while True:
            value = layer._changes.get(key, _MISSING)
            if not isinstance(value, _Missing):
                return value
            parent = layer._parent
            if isinstance(parent, Anchor):
                return parent.source.get(key)
            layer = parent

    def iterate(self, prefix: bytes, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs whose key starts with `prefix`, ascending, those greater than `after` only."""
        layers = [self]
        while isinstance(parent := layers[-1]._parent, Layer):
            layers.append(parent)
        changed: dict[bytes, bytes | None] = {}
        for layer in reversed(layers):
            for key, value in layer._changes.items():
                if key.startswith(prefix) and (after is None or key > after):
                    changed[key] = value
        return merged(changed, layers[-1]._parent.source.iterate(prefix, after))

    def child(self, changes: Changes, /) -> Layer:
        """Return the state after `changes`."""
        return Layer(self._final, self, self, changes)

    def prove(self, keys: Iterable[bytes], /) -> list[bytes]:
        """Return the trie nodes that show the values of `keys`."""
        raise NotImplementedError


class FinalState:
    """The state after the last final block: the flat state on disk."""

    def __init__(self, flat: KeyValue, version: StateVersion = StateVersion.V1) -> None:
        self.version: Final = version
        self._flat = flat
        self._anchor = Anchor(flat)
        self._root = reference.root(dict(flat.iterate(b"")), version)

    @classmethod
    def in_memory(cls, pairs: Changes, version: StateVersion = StateVersion.V1) -> FinalState:
        """Return a state of `pairs` without a disk: a genesis or a test."""
        return cls(MemoryKeyValue(pairs), version)

    @property
    def root(self) -> Hash32:
        """The trie root."""
        return self._root

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of `key`, or None."""
        return self._flat.get(key)

    def iterate(self, prefix: bytes, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs whose key starts with `prefix`, ascending, those greater than `after` only."""
        return self._flat.iterate(prefix, after)

    def child(self, changes: Changes, /) -> Layer:
        """Return the state after `changes`."""
        return Layer(self, self._anchor, self._flat, changes)

    def prove(self, keys: Iterable[bytes], /) -> list[bytes]:
        """Return the trie nodes that show the values of `keys`."""
        raise NotImplementedError

    def absorb(self, layer: Layer, past: KeyValue | None = None) -> None:
        """Make `layer`, a child of the final state, the final state; its changes are already in the flat state.

        Args:
            layer: the state after the block that became final.
            past: where states that built on the former final state read from now on; None: nowhere.

        Raises:
            Bug: `layer` is not a child of the final state.
        """
        if layer._parent is not self._anchor:
            raise Bug("the absorbed state is not a child of the final state")
        self._anchor.retire(past)
        self._anchor = Anchor(self._flat)
        layer._parent = self._anchor
        self._root = layer.root


def merged(changed: Changes, below: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the pairs of `below` with `changed` applied, ascending."""
    keys = sorted(changed, reverse=True)
    for pair in below:
        while keys and keys[-1] < pair[0]:
            key = keys.pop()
            value = changed[key]
            if value is not None:
                yield key, value
        if keys and keys[-1] == pair[0]:
            value = changed[keys.pop()]
            if value is not None:
                yield pair[0], value
        else:
            yield pair
    while keys:
        key = keys.pop()
        value = changed[key]
        if value is not None:
            yield key, value
