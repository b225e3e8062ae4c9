"""The branch nodes of the final trie that are in memory: its trunk, and the boughs that are in use.

A *bough* is a subtree of at most `BOUGH_NODES` branches: two or three keys. The *trunk* are all other branches; it is
always held, one node for twelve keys or so. A bough is grown from the flat state when one of its
nodes is first asked for, and must then have the Merkle value its parent holds: nothing is built on what does not fit
the root. Of what has not been used for long the memory is given back; it can be grown again at any time.

So a state is there as soon as its trunk is (`node.store.trunk` keeps it), and what a node holds does not grow with what
nobody uses.

Growing serves every state above the final one as well: a branch that no layer has in its overlay is the same in all.

What goes and what stays: nodes of boughs that are new or used are young. When there are more than `YOUNG_MAX`, all of
them become old, and what was old is dropped; an old one that is used is young again. The trunk only grows: a bough with
too many branches is made part of it, with all above it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aitoken.errors import Bug
from aitoken.types import Hash32
from chain.state.base import KeyValue, StateDamaged
from chain.state.build import Nodes, build, pairs_below
from chain.state.nodes import (
    EMPTY_ROOT,
    PREFIX,
    PREFIX_SIZE,
    children_in,
    leaf,
    merkle_value,
    partial_of,
    root_hash,
)

BOUGH_NODES: Final = 1
"""Larger boughs make a smaller trunk, and the first change of a key dearer: see ADR 41 for the figures."""
YOUNG_MAX: Final = 200_000
"""Twice as many nodes besides the trunk are held at most."""

_DIGITS: Final = "0123456789abcdef"


class NoBranch(Bug):
    """No branch of the trie hangs there."""

    code = "state.no_branch"


class HeldNodes(dict[str, bytes]):
    """Branch nodes by path: the trunk in this dict, boughs beside it.

    `nodes[path]` finds every branch there is, and None for the root of a trie without one.
    """

    def __init__(self, view: KeyValue, hashed_from: int, trunk: Mapping[str, bytes] | None = None) -> None:
        """Take the trunk, or find it by building everything: 3 us per key.

        Raises:
            StateDamaged: what was given is no trunk.
        """
        super().__init__(trunk or {})
        self.view = view
        self._hashed_from = hashed_from
        self._young: dict[str, bytes] = {}
        self._old: dict[str, bytes] = {}
        if trunk is None:
            build(view.iterate(b""), 0, hashed_from, self, least=BOUGH_NODES + 1)
        else:
            self._check()

    def __missing__(self, path: str) -> bytes | None:
        node = self._young.get(path)
        if node is not None:
            return node
        node = self._old.pop(path, None)
        if node is not None:
            self._young[path] = node
            return node
        if not path:
            return None
        above = path[:-1]
        while above and self._held(above) is None:
            above = above[:-1]
        place, expected = self._next(above, path)
        grown: dict[str, bytes] = {}
        subtree = build(pairs_below(self.view, place), len(place), self._hashed_from, grown)
        if subtree != expected:
            raise StateDamaged(f"the state below {place} is not the one that became final")
        self._young.update(grown)
        if len(grown) > BOUGH_NODES:
            self._sort(place)
        return grown.get(path) or self[path]

    def root(self) -> Hash32:
        """Return the root of the trie."""
        node = self.get("")
        if node is not None:
            return root_hash(node[PREFIX_SIZE:])
        pair = next(self.view.iterate(b""), None)
        return EMPTY_ROOT if pair is None else root_hash(leaf(pair[0], 0, pair[1], self._hashed_from))

    def boughs(self) -> dict[str, bytes]:
        """Return the nodes of the boughs that are in memory."""
        return self._old | self._young

    def absorb(self, changed: Nodes, *, grew: bool) -> None:
        """Take over the nodes of a layer; `grew` unless it added no key."""
        if len(self._young) > YOUNG_MAX:
            self._old, self._young = self._young, {}
        young, old, fresh = self._young, self._old, list[str]()
        for path, node in changed.items():
            if node is None:
                self.pop(path, None)
                young.pop(path, None)
                old.pop(path, None)
            elif path in self or not path:
                self[path] = node
            else:
                if grew and path not in young and path not in old:
                    fresh.append(path)
                young[path] = node
        fresh.sort()
        for path in fresh:
            self._sort(self._bough_of(path))

    def _held(self, path: str) -> bytes | None:
        """Return the branch that hangs at `path` where it is in memory."""
        return self.get(path) or self._young.get(path) or self._old.get(path)

    def _bough_of(self, path: str) -> str:
        """Return where the bough hangs that the branch at `path` belongs to."""
        above = place = path
        while above not in self:
            if above in self._young or above in self._old:
                place = above
            above = above[:-1]
        return place

    def _sort(self, place: str) -> None:
        """Make what hangs at `place` part of the trunk as far as it is too large for a bough."""
        places = [place]
        while places:
            place = places.pop()
            if place not in self and self._is_large(place):
                path = ""
                while path != place:
                    path = self._next(path, place)[0]
                    self._to_trunk(path)
                places += self._branches_of(place)

    def _to_trunk(self, path: str) -> None:
        self[path] = self[path]
        self._young.pop(path, None)
        self._old.pop(path, None)

    def _is_large(self, place: str) -> bool:
        """Whether more branches hang there than in a bough; one that is not held counts as one."""
        found = [place]
        for each in found:
            found += self._branches_of(each)
            if len(found) > BOUGH_NODES:
                return True
        return False

    def _branches_of(self, path: str) -> list[str]:
        """Return where the branches below a branch hang; of one that is not held that is not known."""
        node = self._held(path)
        if node is None:
            return []
        branches, _, _, count, _ = PREFIX.unpack_from(node)
        full = path + partial_of(node, count) if branches else ""
        return [full + digit for nibble, digit in enumerate(_DIGITS) if branches >> nibble & 1]

    def _next(self, path: str, goal: str) -> tuple[str, bytes]:
        """Return where the branch below that at `path` hangs on the way to `goal`, and its Merkle value."""
        node = self[path]
        if node is not None:
            branches, bitmap, start, count, plain = PREFIX.unpack_from(node)
            full = path + partial_of(node, count)
            nibble = int(goal[len(full)], 16) if goal.startswith(full) and goal != full else 0
            if branches >> nibble & 1 and goal.startswith(full + _DIGITS[nibble]):
                if not plain:
                    return full + _DIGITS[nibble], children_in(node, bitmap, start)[nibble] or b""
                at = start + 1 + 33 * (bitmap & ((1 << nibble) - 1)).bit_count()
                return full + _DIGITS[nibble], node[at : at + 32]
        raise NoBranch(f"no branch of the trie hangs at {goal}")

    def _check(self) -> None:
        """Compare every node but the root with what the node above it holds."""
        checked = 0
        for path, node in self.items():
            branches, bitmap, start, count, plain = PREFIX.unpack_from(node)
            if not branches:
                continue
            full = path + partial_of(node, count)
            values = None if plain else children_in(node, bitmap, start)
            at = start + 1
            for nibble, digit in enumerate(_DIGITS):
                bit = 1 << nibble
                if branches & bit and (below := self.get(full + digit)) is not None:
                    if merkle_value(below[PREFIX_SIZE:]) != (node[at : at + 32] if values is None else values[nibble]):
                        raise StateDamaged(f"the node at {full + digit} is not the one the node above it holds")
                    checked += 1
                if bitmap & bit:
                    at += 33
        if checked != len(self) - ("" in self):
            raise StateDamaged("some nodes of the trunk hang on none of it")
