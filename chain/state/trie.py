"""The fast trie: a tree of branches of which an update makes the next, new where something changed.

A leaf is implied by the flat state; it is looked up there only when something new comes into its place, or when it is
all that is left of a branch.

An update is one recursive pass over the sorted changes: every node on the way to a changed key is made and hashed once.
The tree before stays as it was, so a block is dropped by not holding its tree.

The common case, other values under keys that stay, puts hashes and leaves in the places of others as long as they
(`_update`). Everything that changes the shape of a node collects what now hangs in its places and puts the node
together anew (`_restructure`, `_split`).

Recursion goes one level per branch on the way to a key: about 10 for hashed keys, at worst the number of keys that are
prefixes of one key.

Source: `chain.state.reference` for the format. Cost: see `bench/state.py`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aitoken.errors import Bug
from chain.state.base import KeyValue
from chain.state.build import build, pairs_below
from chain.state.nodes import (
    BARE,
    Leaf,
    branch,
    child_at,
    children_in,
    digest,
    layout,
    leaf,
    merkle_value,
    partial_of,
    value_in,
    value_of,
)
from chain.state.tree import Node, Subtree, below_of, bytes_of, encoding_of, moved, replaced, with_below

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
        keys: Sequence[bytes],
        values: Sequence[bytes | None],
        existed: Sequence[bool],
        hashed_from: int,
    ) -> None:
        """Prepare the pass.

        Args:
            view: the state before.
            keys: what changes, ascending.
            values: the new value of each, different from what it was; None removes.
            existed: which of the keys had a value before.
            hashed_from: the length from which on values are held by their hash.
        """
        self._view = view
        self._keys = keys
        self._paths = [key.hex() for key in keys]
        self._values = values
        self._existed = existed
        self._hashed_from = hashed_from

    def applied(self, top: Node | None) -> Subtree:
        """Return the trie after the changes; `top` is the branch at the root before, if there is one."""
        if top is None:
            return self._grow("", 0, len(self._keys), occupied=next(self._view.iterate(b""), None) is not None)
        return self._update(top, "", 0, len(self._keys))

    def _update(self, node: Node, path: str, low: int, high: int) -> Subtree:
        """Apply the changes [low, high), all at or below `path`, to the branch there."""
        held = bytes_of(node)
        where = layout(held)
        nibbles, _, bitmap, start = where
        paths = self._paths
        full = path
        if nibbles:
            full = path + partial_of(held, where)
            if not (paths[low].startswith(full) and paths[high - 1].startswith(full)):
                return self._diverge(node, path, full, low, high)
        depth = len(full)
        own = low if len(paths[low]) == depth else None
        low += own is not None
        plain = len(held) == start + 33 * bitmap.bit_count()
        patched = bytearray(held)
        nodes = [*below_of(node)]
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
            below, encoding = self._below(nodes[nibble], depth + 1, low, end, bitmap & bit)
            if encoding is not None and bitmap & bit:
                merkle = digest(encoding) if len(encoding) >= 32 else encoding
                before, size = bitmap & (bit - 1), len(merkle)
                at = start + 33 * before.bit_count() if plain else child_at(patched, start, before)
                if patched[at] == size << 2:  # what is there is as long
                    patched[at + 1 : at + 1 + size] = merkle
                    if below is not None:
                        nodes[nibble] = below
                    low = end
                    continue
            others[nibble] = self._grow(full + digit, low, end, occupied=True) if below is None and encoding else below
            low = end
        held = bytes(patched)
        if others or own is not None:
            return self._restructure(held, nodes, path, full, others, own)
        return with_below(held, nodes)

    def _below(self, node: Node | None, depth: int, low: int, high: int, occupied: int) -> tuple[Subtree, bytes | None]:
        """Return what hangs in a place after the changes [low, high), and its encoding, which may be put in its place.

        Of a leaf that stays there is only that, of one that was not there before only itself.

        Args:
            node: what branch hung there.
            depth: how deep that is, in nibbles.
            low: the first change.
            high: the one after the last.
            occupied: not 0 if anything hung there.
        """
        if node is not None:
            if high - low == 1:
                below = self._update_one(node, depth, low)
            else:
                below = self._update(node, self._paths[low][:depth], low, high)
        elif occupied and high - low == 1 and self._existed[low] and (value := self._values[low]) is not None:
            return None, leaf(self._keys[low], depth, value, self._hashed_from)
        else:
            below = self._grow(self._paths[low][:depth], low, high, occupied=occupied != 0)
        if isinstance(below, bytes):
            return below, below
        return below, below[0] if type(below) is tuple else None

    def _update_one(self, node: Node, above: int, at: int) -> Subtree:
        """Do what `_update` does, `above` nibbles deep, for one change: most nodes lie on the way to one."""
        fork: Any = None
        if isinstance(node, bytes):
            held = node
        else:
            held, fork = node[0], node
        nibbles, bitmap, start = 0, held[1] | held[2] << 8, 3
        if held[0] != BARE:
            nibbles, _, bitmap, start = layout(held)
        goal = self._paths[at]
        depth = above + nibbles
        if len(goal) == depth or (nibbles and goal[above:depth] != partial_of(held, layout(held))):
            return self._update(node, goal[:above], at, at + 1)
        nibble = _NIBBLE[goal[depth]]
        bit = 1 << nibble
        below: Subtree = None
        encoding: bytes | None = None
        if fork is not None and (there := fork[nibble + 1]) is not None:
            below = self._update_one(there, depth + 1, at)
            if isinstance(below, bytes):
                encoding = below
            elif type(below) is tuple:
                encoding = below[0]
        elif bitmap & bit and self._existed[at] and (value := self._values[at]) is not None:
            encoding = leaf(self._keys[at], depth + 1, value, self._hashed_from)
        if encoding is not None:
            merkle = digest(encoding) if len(encoding) >= 32 else encoding
            before, size = bitmap & (bit - 1), len(merkle)
            plain = len(held) == start + 33 * bitmap.bit_count()
            start = start + 33 * before.bit_count() if plain else child_at(held, start, before)
            if held[start] == size << 2:  # what is there is as long
                start += 1
                held = held[:start] + merkle + held[start + size :]
                return held if fork is None else replaced(fork, held, nibble, below)
        if below is None and (fork is None or fork[nibble + 1] is None):
            below = self._grow(goal[: depth + 1], at, at + 1, occupied=bitmap & bit != 0)
        return self._restructure(held, below_of(node), goal[:above], goal[:depth], {nibble: below}, None)

    def _grow(self, path: str, low: int, high: int, *, occupied: bool) -> Subtree:
        """Return what hangs at `path` after the changes [low, high), where a leaf (if `occupied`) or nothing was."""
        if high - low == 1 and self._existed[low] and (value := self._values[low]) is not None:
            return Leaf(self._keys[low], value)
        pairs = self._added(low, high)
        if occupied and not any(self._existed[low:high]):
            insort(pairs, find_leaf(self._view, path))
        return build(pairs, len(path), self._hashed_from)

    def _diverge(self, node: Node, path: str, full: str, low: int, high: int) -> Subtree:
        """Apply the changes [low, high) to the branch at `path`; some are outside of `full`, where it forks."""
        first = bisect_left(self._paths, full, low, high)
        last = bisect_left(self._paths, full + _AFTER_HEX, first, high)
        inserts = self._added(low, first) + self._added(last, high)
        subtree: Subtree = node if first == last else self._update(node, path, first, last)
        if subtree is None or isinstance(subtree, Leaf):
            if subtree is not None:
                insort(inserts, subtree)
            return build(inserts, len(path), self._hashed_from)
        return self._split(subtree, path, inserts) if inserts else subtree

    def _split(self, node: Node, path: str, inserts: Sequence[Leaf]) -> Node:
        """Put `inserts`, all outside of where the branch at `path` forks, and that branch under a new one."""
        held = bytes_of(node)
        full = path + partial_of(held, layout(held))
        paths = [key.hex() for key, _ in inserts]
        fork = min(_common(full, paths[0]), _common(full, paths[-1]))
        places: list[Subtree] = [None] * 16
        value = None
        low = 0
        if len(paths[0]) == fork:
            value = value_of(inserts[0].value, self._hashed_from)
            low = 1
        ours = moved(node, full[fork + 1 :])
        places[_NIBBLE[full[fork]]] = ours
        while low < len(inserts):
            digit = paths[low][fork]
            end = bisect_left(paths, full[:fork] + _DIGIT_AFTER[digit], low)
            if digit == full[fork]:
                places[_NIBBLE[digit]] = self._split(ours, full[: fork + 1], inserts[low:end])
            else:
                places[_NIBBLE[digit]] = build(inserts[low:end], fork + 1, self._hashed_from)
            low = end
        children: list[bytes | None] = [None] * 16
        nodes: list[Node | None] = [None] * 16
        for nibble, subtree in enumerate(places):
            self._place(children, nodes, nibble, subtree, fork + 1)
        return with_below(branch(full[len(path) : fork], value, children), nodes)

    def _restructure(
        self,
        held: bytes,
        below: Sequence[Node | None],
        path: str,
        full: str,
        others: Mapping[int, Subtree],
        own: int | None,
    ) -> Subtree:
        """Put a branch together anew.

        Args:
            held: what it was, hashes already patched.
            below: the branches below it, those that were only patched already in place.
            path: where it hangs.
            full: where it forks.
            others: by nibble what hangs there now.
            own: which change is that of its own value.
        """
        where = layout(held)
        children, nodes = children_in(held, where), list(below)
        value = value_in(held, where)
        if own is not None:
            changed = self._values[own]
            value = None if changed is None else value_of(changed, self._hashed_from)
        for nibble, subtree in others.items():
            self._place(children, nodes, nibble, subtree, len(full) + 1)
        left = [nibble for nibble in range(16) if children[nibble] is not None]
        if not left:
            return None if value is None else self._own_leaf(full, own)
        if len(left) == 1 and value is None:
            return self._collapsed(path, full, left[0], nodes[left[0]], others.get(left[0]))
        return with_below(branch(full[len(path) :], value, children), nodes)

    def _collapsed(self, path: str, full: str, nibble: int, node: Node | None, known: Subtree) -> Subtree:
        """Return what comes in place of the branch at `path` whose only child is at `nibble`."""
        digit = _DIGITS[nibble]
        if node is not None:
            held = bytes_of(node)
            return moved(node, full[len(path) :] + digit + partial_of(held, layout(held)))
        if isinstance(known, Leaf):
            return known
        below = full + digit
        at = bisect_left(self._paths, below)  # it may have got another value in this very pass
        while at < len(self._paths) and self._paths[at].startswith(below):
            if (value := self._values[at]) is not None:
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

    def _place(
        self, children: list[bytes | None], nodes: list[Node | None], nibble: int, subtree: Subtree, depth: int
    ) -> None:
        """Make `subtree` what hangs at `nibble`, at `depth`."""
        children[nibble] = None if subtree is None else merkle_value(encoding_of(subtree, depth, self._hashed_from))
        nodes[nibble] = None if isinstance(subtree, Leaf) else subtree

    def _added(self, low: int, high: int) -> list[Leaf]:
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
