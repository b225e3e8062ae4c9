"""The fast trie: only branch nodes are kept, each under the path at which it hangs, and are patched in place.

A branch hangs at a *path*: the hex nibbles from the root down to and including the one by which its parent refers to
it. Its own partial key comes on top, so a branch moves to another path only when a parent is split or collapses, and
its children keep theirs. Since nodes are found by path and not by hash, an update overwrites: nothing is counted or
collected. A leaf is implied by the flat state; it is looked up there only when something new comes into its place, or
when it is all that is left of a branch.

An update is one recursive pass over the sorted changes: every node on the way to a changed key is hashed once. What
it writes goes into an *overlay*, a dict of path to node (None: no longer there), so that a block can be dropped.

The common case, other values under keys that stay, puts hashes and leaves in the places of others as long as they
(`_update`). Everything that changes the shape of a node collects what now hangs in its places and puts the node
together anew (`_restructure`, `_split`).

Recursion goes one level per branch on the way to a key: about 10 for hashed keys, at worst the number of keys that are
prefixes of one key.

Source: `chain.state.reference` for the format. Cost: see `bench/state.py`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from aitoken.errors import Bug
from aitoken.types import Hash32
from chain.state.base import KeyValue
from chain.state.build import Nodes, Subtree, build, pairs_below
from chain.state.nodes import (
    EMPTY_ROOT,
    PREFIX,
    PREFIX_SIZE,
    Leaf,
    branch,
    child_at,
    children_in,
    digest,
    leaf,
    merkle_value,
    partial_of,
    root_hash,
    value_in,
    value_of,
    with_partial,
)

Find: TypeAlias = Callable[[str], bytes | None]

_DIGITS: Final = "0123456789abcdef"
_NIBBLE: Final = {digit: nibble for nibble, digit in enumerate(_DIGITS)}
_AFTER_HEX: Final = "g"  # greater than every digit
_DIGIT_AFTER: Final = dict(zip(_DIGITS, _DIGITS[1:] + _AFTER_HEX, strict=True))
_DEEP_GROUP: Final = 24  # from this many keys on, bisecting beats looking at each


def find_leaf(view: KeyValue, path: str) -> Leaf:
    """Return the one key of `view` that starts with the nibbles of `path`."""
    for key, value in pairs_below(view, path):
        return Leaf(key, value)
    raise Bug(f"the trie has a key below {path} that the state does not have")


class Update:
    """One pass: the trie over `view` with changes applied."""

    def __init__(
        self,
        view: KeyValue,
        find: Find,
        keys: Sequence[bytes],
        values: Sequence[bytes | None],
        existed: Sequence[bool],
        hashed_from: int,
    ) -> None:
        """Prepare the pass.

        Args:
            view: the state before.
            find: path -> its branch node.
            keys: what changes, ascending.
            values: the new value of each, different from what it was; None removes.
            existed: which of the keys had a value before.
            hashed_from: the length from which on values are held by their hash.
        """
        self.overlay: Nodes = {}
        self._view = view
        self._find = find
        self._keys = keys
        self._paths = [key.hex() for key in keys]
        self._values = values
        self._existed = existed
        self._hashed_from = hashed_from

    def root(self) -> Hash32:
        """Do it: fill `overlay` and return the new root."""
        if self._find("") is None:
            subtree = self._grow("", 0, len(self._keys), occupied=next(self._view.iterate(b""), None) is not None)
        else:
            subtree = self._update("", 0, len(self._keys))
        if subtree is None:
            return EMPTY_ROOT
        if isinstance(subtree, Leaf):
            return root_hash(leaf(subtree.key, 0, subtree.value, self._hashed_from))
        node = self.overlay[""]
        if node is None:
            raise Bug("the trie lost its root node")
        return root_hash(node[PREFIX_SIZE:])

    def _current(self, path: str) -> bytes:
        node = self.overlay.get(path)
        if node is None:
            node = self._find(path)
            if node is None:
                raise Bug(f"the trie has no node at {path!r}")
        return node

    def _update(self, path: str, low: int, high: int) -> Subtree:
        """Apply the changes [low, high), all at or below `path`, to the branch there."""
        node = self._find(path)
        if node is None:
            raise Bug(f"the trie has no node at {path!r}")
        branches, bitmap, start, count, plain = PREFIX.unpack_from(node)
        paths, keys, values, existed = self._paths, self._keys, self._values, self._existed
        full = path
        if count:
            full = path + partial_of(node, count)
            if not (paths[low].startswith(full) and paths[high - 1].startswith(full)):
                return self._diverge(path, full, low, high)
        depth = len(full)
        own = low if len(paths[low]) == depth else None
        low += own is not None
        patched = bytearray(node)
        others: dict[int, Subtree] = {}
        while low < high:
            digit = paths[low][depth]
            end = low + 1
            if high - low > _DEEP_GROUP:
                end = bisect_left(paths, full + _DIGIT_AFTER[digit], end, high)
            while end < high and paths[end][depth] == digit:
                end += 1
            nibble = _NIBBLE[digit]
            bit = 1 << nibble
            below: Subtree = None
            if branches & bit:
                below = self._update(full + digit, low, end) if end - low > 1 else self._update_one(full + digit, low)
            elif bitmap & bit and end == low + 1 and existed[low] and (value := values[low]) is not None:
                below = leaf(keys[low], depth + 1, value, self._hashed_from)
                below = digest(below) if len(below) >= 32 else below
            if type(below) is bytes:
                before, size = bitmap & (bit - 1), len(below)
                at = start + 33 * before.bit_count() if plain else child_at(patched, start, before)
                if patched[at] == size << 2:  # what is there is as long
                    patched[at + 1 : at + 1 + size] = below
                    low = end
                    continue
            grown = not branches & bit
            others[nibble] = self._grow(full + digit, low, end, occupied=bitmap & bit != 0) if grown else below
            low = end
        if others or own is not None:
            return self._restructure(path, full, bytes(patched), others, own)
        self.overlay[path] = node = bytes(patched)
        return digest(node[PREFIX_SIZE:]) if plain else merkle_value(node[PREFIX_SIZE:])

    def _update_one(self, path: str, at: int) -> Subtree:
        """Do what `_update` does, for one change; most nodes lie on the way to one, so this is the hot loop."""
        goal = self._paths[at]
        node = self._find(path)
        if node is None:
            raise Bug(f"the trie has no node at {path!r}")
        branches, bitmap, start, count, plain = PREFIX.unpack_from(node)
        above = len(path)
        depth = above + count
        if len(goal) == depth or (count and goal[above:depth] != partial_of(node, count)):
            return self._update(path, at, at + 1)
        nibble = _NIBBLE[goal[depth]]
        bit = 1 << nibble
        below: Subtree = None
        if branches & bit:
            below = self._update_one(goal[: depth + 1], at)
        elif bitmap & bit and self._existed[at] and (value := self._values[at]) is not None:
            below = leaf(self._keys[at], depth + 1, value, self._hashed_from)
            below = digest(below) if len(below) >= 32 else below
        if type(below) is bytes:
            before, size = bitmap & (bit - 1), len(below)
            start = start + 33 * before.bit_count() if plain else child_at(node, start, before)
            if node[start] == size << 2:  # what is there is as long
                start += 1
                self.overlay[path] = node = node[:start] + below + node[start + size :]
                return digest(node[PREFIX_SIZE:]) if plain else merkle_value(node[PREFIX_SIZE:])
        if not branches & bit:
            below = self._grow(goal[: depth + 1], at, at + 1, occupied=bitmap & bit != 0)
        return self._restructure(path, goal[:depth], node, {nibble: below}, None)

    def _grow(self, path: str, low: int, high: int, *, occupied: bool) -> Subtree:
        """Return what hangs at `path` after the changes [low, high), where a leaf (if `occupied`) or nothing was."""
        pairs = self._added(low, high)
        if occupied and not any(self._existed[low:high]):
            insort(pairs, find_leaf(self._view, path))
        return build(pairs, len(path), self._hashed_from, self.overlay)

    def _diverge(self, path: str, full: str, low: int, high: int) -> Subtree:
        """Apply the changes [low, high) to the branch at `path`; some are outside of `full`, where it forks."""
        first = bisect_left(self._paths, full, low, high)
        last = bisect_left(self._paths, full + _AFTER_HEX, first, high)
        inserts = self._added(low, first) + self._added(last, high)
        if first == last:
            return self._split(path, inserts)
        subtree = self._update(path, first, last)
        if isinstance(subtree, bytes):
            return self._split(path, inserts)
        if subtree is not None:
            insort(inserts, subtree)
        return build(inserts, len(path), self._hashed_from, self.overlay)

    def _split(self, path: str, inserts: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Put `inserts`, all outside of where the branch at `path` forks, and that branch under a new one."""
        node = self._current(path)
        full = path + partial_of(node, PREFIX.unpack_from(node)[3])
        paths = [key.hex() for key, _ in inserts]
        fork = min(_common(full, paths[0]), _common(full, paths[-1]))
        moved = full[: fork + 1]
        self.overlay[moved] = below = with_partial(node, full[fork + 1 :])
        children: list[bytes | None] = [None] * 16
        children[_NIBBLE[full[fork]]] = merkle_value(below[PREFIX_SIZE:])
        branches = 1 << _NIBBLE[full[fork]]
        value = None
        low = 0
        if len(paths[0]) == fork:
            value = value_of(inserts[0][1], self._hashed_from)
            low = 1
        while low < len(inserts):
            digit = paths[low][fork]
            end = bisect_left(paths, full[:fork] + _DIGIT_AFTER[digit], low)
            nibble = _NIBBLE[digit]
            if digit == full[fork]:
                children[nibble] = self._split(moved, inserts[low:end])
            else:
                subtree = build(inserts[low:end], fork + 1, self._hashed_from, self.overlay)
                branches |= self._place(children, nibble, subtree, fork + 1)
            low = end
        return self._store(path, branch(full[len(path) : fork], value, children, branches))

    def _restructure(
        self, path: str, full: str, node: bytes, others: Mapping[int, Subtree], own: int | None
    ) -> Subtree:
        """Put the branch at `path` together anew.

        Args:
            path: where it hangs.
            full: where it forks.
            node: what it was, hashes already patched.
            others: by nibble what hangs there now.
            own: which change is that of its own value.
        """
        branches, bitmap, start, count, _ = PREFIX.unpack_from(node)
        children = children_in(node, bitmap, start)
        value = value_in(node, count, start)
        if own is not None:
            changed = self._values[own]
            value = None if changed is None else value_of(changed, self._hashed_from)
        for nibble, subtree in others.items():
            branches &= ~(1 << nibble)
            branches |= self._place(children, nibble, subtree, len(full) + 1)
        left = [nibble for nibble in range(16) if children[nibble] is not None]
        if not left:
            self.overlay[path] = None
            return None if value is None else self._own_leaf(full, own)
        if len(left) == 1 and value is None:
            return self._collapse(path, full, left[0], branches, others.get(left[0]))
        return self._store(path, branch(full[len(path) :], value, children, branches))

    def _collapse(self, path: str, full: str, nibble: int, branches: int, known: Subtree) -> Subtree:
        """Replace the branch at `path` by its only child, at `nibble`."""
        digit = _DIGITS[nibble]
        below = full + digit
        if branches:
            node = self._current(below)
            partial = partial_of(node, PREFIX.unpack_from(node)[3])
            self.overlay[below] = None
            return self._store(path, with_partial(node, full[len(path) :] + digit + partial))
        self.overlay[path] = None
        if isinstance(known, Leaf):
            return known
        at = bisect_left(self._paths, below)  # it may have got another value in this very pass
        while at < len(self._paths) and self._paths[at].startswith(below):
            value = self._values[at]
            if value is not None:
                return Leaf(self._keys[at], value)
            at += 1
        return find_leaf(self._view, below)

    def _own_leaf(self, full: str, own: int | None) -> Leaf:
        """Return the leaf that a branch at `full` without children is."""
        key = bytes.fromhex(full)
        value = self._view.get(key) if own is None else self._values[own]
        if value is None:
            raise Bug(f"the trie has a value at {full} that the state does not have")
        return Leaf(key, value)

    def _place(self, children: list[bytes | None], nibble: int, subtree: Subtree, depth: int) -> int:
        """Make `subtree` the child at `nibble`, at `depth`; return its bit if it is a branch."""
        if isinstance(subtree, Leaf):
            children[nibble] = merkle_value(leaf(subtree.key, depth, subtree.value, self._hashed_from))
            return 0
        children[nibble] = subtree
        return 0 if subtree is None else 1 << nibble

    def _store(self, path: str, node: bytes) -> bytes:
        self.overlay[path] = node
        return merkle_value(node[PREFIX_SIZE:])

    def _added(self, low: int, high: int) -> list[tuple[bytes, bytes]]:
        """Return the changes [low, high) that leave a value."""
        pairs = zip(self._keys[low:high], self._values[low:high], strict=True)
        return [Leaf(key, value) for key, value in pairs if value is not None]


def _common(one: str, other: str) -> int:
    """Return the length of the common prefix."""
    at = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        at += 1
    return at
