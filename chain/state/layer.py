"""States in memory above the final one: a tree of layers, each its parent and what one block changed.

`FinalState` is the root of the tree: the flat state on disk and the branches of its trie (`chain.state.tree`).
`child` makes a `Layer`; a layer never changes. When its block becomes final, the caller writes the changes to disk and
then calls `absorb`:

- the absorbed layer and everything above it read on as before: what it changed is now found on disk;
- states that are not the tip of the final chain (any more) go on answering `get` and `iterate` from the history
  (`past`), as far as that reaches back. They make no children and no proofs and raise `StateDiscarded`;
- dead forks cost nothing: a layer lives as long as somebody holds it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from operator import eq
from typing import Final

from aitoken.errors import Bug
from aitoken.types import Hash32
from chain.state.base import Changes, KeyValue, StateDamaged, StateDiscarded, StateVersion
from chain.state.build import build
from chain.state.memory import MemoryKeyValue
from chain.state.nodes import HASHED_FROM, Leaf, root_hash
from chain.state.proof import prove
from chain.state.tree import Node, Subtree, encoding_of
from chain.state.trie import Update

LINE_MAX: Final = 20_000
"""Changes that a line holds at most, final ones included, before it is begun anew with those that are not final."""


class _Unsaid:
    """The mark for "this layer says nothing about the key"; None says that the key was removed."""


_UNSAID: Final = _Unsaid()


class Anchor:
    """One point of the final chain, on which layers rest: the disk while that is its tip, the history afterwards."""

    __slots__ = ("final", "live", "source")

    def __init__(self, final: FinalState, source: KeyValue) -> None:
        self.final = final
        self.source: KeyValue | None = source
        self.live = True

    def retire(self, past: KeyValue | None) -> None:
        """Read from `past` from now on."""
        self.live = False
        self.source = past

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of `key`, or None."""
        if self.source is None:
            raise StateDiscarded("this state is no longer kept")
        return self.source.get(key)

    def iterate(self, prefix: bytes, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs whose key starts with `prefix`."""
        if self.source is None:
            raise StateDiscarded("this state is no longer kept")
        return self.source.iterate(prefix, after)


class _Line:
    """What layers on top of each other say together, as the last of them sees it; the last counts them all."""

    __slots__ = ("changes", "count")

    def __init__(self) -> None:
        self.changes: dict[bytes, bytes | None] = {}
        self.count = 0

    def join(self, layer: Layer) -> None:
        """Take a layer in as the last one."""
        self.changes.update(layer.changes)
        self.count += 1
        layer.line, layer.place = self, self.count


class Layer:
    """The state after one unfinalised block."""

    __slots__ = ("__weakref__", "before", "changes", "final", "keys", "line", "parent", "place", "root", "top")

    def __init__(self, parent: Layer | Anchor, changes: Changes) -> None:
        """Compute the state after `changes`; those that change nothing are dropped."""
        self.parent = parent
        anchor, top = _trie_of(parent)
        keys = sorted(changes)
        values = [changes[key] for key in keys]
        olds = _values_of(parent, keys)
        if any(map(eq, values, olds)):
            different = [new != old for new, old in zip(values, olds, strict=True)]
            keys, values = list(compress(keys, different)), list(compress(values, different))
            olds = list(compress(olds, different))
        self.keys: Final = keys
        self.changes: Final = dict(zip(keys, values, strict=True))
        """What is different from the parent, ascending by key; None where a key was removed."""
        self.before: Final = dict(zip(keys, olds, strict=True))
        """The parent's values of the keys in `changes`; None where there was none."""
        self.line: _Line | None = None
        self.place = 0
        self.final = False
        if keys:
            existed = [old is not None for old in olds]
            trie = Update(parent, keys, values, existed, anchor.final.hashed_from).applied(top)
            self.top, self.root = _top_of(trie), _root_of(trie, anchor.final.hashed_from)
            _line_up(self)
        else:
            self.top = top
            self.root = parent.root if isinstance(parent, Layer) else anchor.final.root

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of `key`, or None."""
        layer = self
        while True:
            value = layer.changes.get(key, _UNSAID)
            if value is not _UNSAID:
                return value  # type: ignore[return-value]  # mypy does not narrow by the identity of an object
            parent = layer.parent
            if type(parent) is not Layer:
                return parent.get(key)
            layer = parent

    def iterate(self, prefix: bytes, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs whose key starts with `prefix`, ascending, those greater than `after` only."""
        layers, anchor = _layers_of(self)
        changed: dict[bytes, bytes | None] = {}
        for layer in reversed(layers):
            changed.update(_within(layer.keys, layer.changes, prefix, after))
        below = anchor.iterate(prefix, after)
        return _merged(changed, below) if changed else below

    def child(self, changes: Changes, /) -> Layer:
        """Return the state after `changes`."""
        return Layer(self, changes)

    def prove(self, keys: Iterable[bytes], /) -> list[bytes]:
        """Return the trie nodes and hashed values that show the values of `keys`, or their absence."""
        anchor, top = _trie_of(self)
        return prove(self, top, keys, anchor.final.hashed_from)


class FinalState:
    """The state after the last final block."""

    def __init__(self, flat: KeyValue, version: StateVersion = StateVersion.V1, top: Node | None = None) -> None:
        """Take the trie over `flat`, or build it: 3 us per key.

        Args:
            flat: the state.
            version: how its trie holds values.
            top: the branch at the root of its trie. That it is, `root` shows.
        """
        self.version: Final = version
        self.hashed_from: Final = HASHED_FROM[version]
        self._flat = flat
        self.anchor = Anchor(self, flat)
        self._tip: Layer | None = None  # the layer absorbed last; what is built on it rests on the anchor through it
        trie: Subtree = top if top is not None else build(flat.iterate(b""), 0, self.hashed_from)
        self._top = _top_of(trie)
        self._root = _root_of(trie, self.hashed_from)

    @classmethod
    def resumed(
        cls,
        flat: KeyValue,
        top: Node | None,
        before: Changes,
        root: Hash32,
        version: StateVersion = StateVersion.V1,
    ) -> FinalState:
        """Return the state in `flat`, given the trie of an earlier one and what the keys that changed since held.

        Raises:
            StateDamaged: the root of the earlier one is not `root`.
        """
        final = cls(_Earlier(flat, before), version, top)
        if final.root != root:
            raise StateDamaged("the trie that was kept is that of another state")
        layer = final.child({key: flat.get(key) for key in before})
        final._flat = flat
        final.absorb(layer)
        return final

    @classmethod
    def in_memory(cls, pairs: Changes, version: StateVersion = StateVersion.V1) -> FinalState:
        """Return a state of `pairs` that is on no disk: a genesis or a test."""
        return cls(MemoryKeyValue(pairs), version)

    @property
    def root(self) -> Hash32:
        """The trie root."""
        return self._root

    @property
    def top(self) -> Node | None:
        """The branch at the root of the trie, with all below it; None where there are less than two keys."""
        return self._top

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of `key`, or None."""
        return self._flat.get(key)

    def iterate(self, prefix: bytes, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs whose key starts with `prefix`, ascending, those greater than `after` only."""
        return self._flat.iterate(prefix, after)

    def child(self, changes: Changes, /) -> Layer:
        """Return the state after `changes`."""
        return Layer(self.anchor, changes)

    def prove(self, keys: Iterable[bytes], /) -> list[bytes]:
        """Return the trie nodes and hashed values that show the values of `keys`, or their absence."""
        return prove(self._flat, self._top, keys, self.hashed_from)

    def absorb(self, layer: Layer, past: KeyValue | None = None) -> None:
        """Make `layer`, a child of the final state, the final state; its changes are already in the flat state.

        Args:
            layer: the state after the block that became final.
            past: where states that rested on the former final state read from now on; None: nowhere.

        Raises:
            Bug: `layer` is not a child of the final state.
        """
        if layer.parent is not self.anchor and layer.parent is not self._tip:
            raise Bug("the absorbed state is not a child of the final state")
        if self._tip is not None:
            self._tip.top = None  # whoever still reads that state needs no trie
        self._tip = layer
        self.anchor.retire(past)
        self.anchor = layer.parent = Anchor(self, self._flat)
        layer.final, layer.line = True, None
        self._top, self._root = layer.top, layer.root


class _Earlier:
    """An earlier state: a present one, and what the keys that changed since held."""

    def __init__(self, present: KeyValue, before: Changes) -> None:
        self._present = present
        self._before = before
        self._keys = sorted(before)

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of `key`, or None."""
        return self._before[key] if key in self._before else self._present.get(key)

    def iterate(self, prefix: bytes, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs whose key starts with `prefix`, ascending, those greater than `after` only."""
        return _merged(_within(self._keys, self._before, prefix, after), self._present.iterate(prefix, after))


def _top_of(trie: Subtree) -> Node | None:
    return None if isinstance(trie, Leaf) else trie


def _root_of(trie: Subtree, hashed_from: int) -> Hash32:
    return root_hash(encoding_of(trie, 0, hashed_from))


def _within(keys: Sequence[bytes], changes: Changes, prefix: bytes, after: bytes | None) -> Changes:
    """Return the `changes`, whose sorted keys are given, of keys that start with `prefix` and come after `after`."""
    at = bisect_left(keys, prefix) if after is None or after < prefix else bisect_right(keys, after)
    found: dict[bytes, bytes | None] = {}
    while at < len(keys) and keys[at].startswith(prefix):
        found[keys[at]] = changes[keys[at]]
        at += 1
    return found


def _layers_of(layer: Layer) -> tuple[list[Layer], Anchor]:
    """Return `layer`, its parents, and what they rest on."""
    layers = [layer]
    while isinstance(parent := layers[-1].parent, Layer):
        layers.append(parent)
    return layers, parent


def _ends_with(layer: Layer) -> _Line | None:
    """Return the line of which `layer` is the last; None where a fork goes on from it, or it is in none."""
    line = layer.line
    return line if line is not None and line.count == layer.place else None


def _line_up(layer: Layer) -> None:
    """Put a new layer in line with its parents, if it has any that are not final."""
    parent = layer.parent
    if not isinstance(parent, Layer) or parent.final:
        return
    line = _ends_with(parent)
    if line is None or len(line.changes) > LINE_MAX:
        line = _Line()
        for below in reversed(_layers_of(parent)[0]):
            line.join(below)
    line.join(layer)


def _values_of(state: Layer | Anchor, keys: Sequence[bytes]) -> list[bytes | None]:
    """Return what `state.get` says of each of `keys`, with fewer calls."""
    layers, anchor = _layers_of(state) if isinstance(state, Layer) else ([], state)
    line = _ends_with(layers[0]) if layers else None
    if anchor.source is None or (line is None and len(layers) > 1):
        return list(map(state.get, keys))
    below = anchor.source.get
    if not layers:
        return list(map(below, keys))
    said = (line or layers[0]).changes.get
    return [below(key) if (value := said(key, _UNSAID)) is _UNSAID else value for key in keys]  # type: ignore[misc]  # as `get`


def _trie_of(state: Layer | Anchor) -> tuple[Anchor, Node | None]:
    """Return what `state` rests on, and the branch at the root of its trie.

    Raises:
        StateDiscarded: it rests on what is no longer the final state.
    """
    anchor = _layers_of(state)[1] if isinstance(state, Layer) else state
    if not anchor.live:
        raise StateDiscarded("the final state has moved on; nothing can be built or proven here")
    return anchor, state.top if isinstance(state, Layer) else anchor.final.top


def _merged(changed: Changes, below: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the pairs of `below` with `changed` applied, ascending."""
    keys = sorted(changed, reverse=True)
    for pair in below:
        while keys and keys[-1] < pair[0]:
            key = keys.pop()
            if (value := changed[key]) is not None:
                yield key, value
        if keys and keys[-1] == pair[0]:
            if (value := changed[keys.pop()]) is not None:
                yield pair[0], value
        else:
            yield pair
    for key in reversed(keys):
        if (value := changed[key]) is not None:
            yield key, value
