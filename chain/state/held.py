"""The branch nodes of the final trie, all of them in memory: those in use one by one, others packed.

A *bough* is a branch that has no branch below it: two or three keys. Most branches are; all others are the *trunk*.
Boughs that have not been used for long are packed: those that hang on one branch lie in one `bytes` object, found by
where that branch forks, in half of the memory. Whoever asks for one takes it out, and what was taken out or made
longest ago is packed again, one for one, so that no block waits for many.

Every branch is in exactly one place: in the dict by its path, or packed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from struct import Struct
from typing import Final, NamedTuple

from chain.state.base import StateDamaged
from chain.state.build import Nodes, build
from chain.state.nodes import PREFIX, PREFIX_SIZE, children_in, merkle_value, partial_of

LOOSE_MAX: Final = 200_000
"""So many boughs at most are not packed: 60 MB."""

_DIGITS: Final = "0123456789abcdef"
_PACKED: Final = Struct("<BI")  # last digit of the path, size of the node, which follows
_NO_BRANCHES: Final = b"\x00\x00"


class Branches(NamedTuple):
    """All branch nodes of a trie."""

    nodes: Mapping[str, bytes]
    """By path: the trunk and some boughs."""
    packed: Mapping[str, bytes]
    """All other boughs, by where the branch above them forks."""


class HeldNodes(dict[str, bytes]):
    """Branch nodes by path.

    `nodes[path]` finds every branch there is, and None where none hangs.
    """

    def __init__(self, branches: Branches) -> None:
        super().__init__(branches.nodes)
        self._packed = dict(branches.packed)
        self._loose = deque[str]()

    def __missing__(self, path: str) -> bytes | None:
        node = self._take(path)
        if node is not None:
            self[path] = node
            self._keep(path)
        return node

    def branches(self) -> Branches:
        """Return what is there now, and stays as it is."""
        return Branches(dict(self), dict(self._packed))

    def absorb(self, changed: Nodes) -> None:
        """Take over the nodes of a layer."""
        for path, node in changed.items():
            if node is None:
                if self.pop(path, None) is None:
                    self._take(path)
            elif path in self:
                self[path] = node
            else:
                self._take(path)
                self[path] = node
                if _is_bough(path, node):
                    self._keep(path)

    def check(self) -> None:
        """Compare every node but the root with what the node above it holds; call it first.

        Raises:
            StateDamaged: these are not all branches of one trie.
        """
        found = packed_boughs = 0
        packed_at: dict[str, bytes] = {}
        for path, node in self.items():
            branches, bitmap, start, count, plain = PREFIX.unpack_from(node)
            if not branches:
                if path:
                    self._loose.append(path)
                continue
            full = path + partial_of(node, count) if count else path
            packed = self._packed.get(full)
            boughs = {} if packed is None else dict(unpacked(packed))
            if packed is not None:
                packed_at[full] = packed  # mostly the same `str` as in `self`
                packed_boughs += len(boughs)
            values = None if plain else children_in(node, bitmap, start)
            at = start + 1
            for nibble, digit in enumerate(_DIGITS):
                bit = 1 << nibble
                if branches & bit:
                    below = boughs.get(digit) or self.get(full + digit, b"")
                    if merkle_value(below[PREFIX_SIZE:]) != (node[at : at + 32] if values is None else values[nibble]):
                        raise StateDamaged(f"the node at {full + digit} is not the one the node above it holds")
                    found += 1
                if bitmap & bit:
                    at += 33
        if found != len(self) - ("" in self) + packed_boughs or len(packed_at) != len(self._packed):
            raise StateDamaged("some branches of the trie hang on none of it")
        self._packed = packed_at

    def _take(self, path: str) -> bytes | None:
        """Remove a packed bough and return it."""
        above = path[:-1]
        packed = self._packed.get(above)
        if packed is None or not path:
            return None
        wanted, at = ord(path[-1]), 0
        while at < len(packed):
            digit, size = _PACKED.unpack_from(packed, at)
            start = at + _PACKED.size
            end = start + size
            if digit == wanted:
                if end - at == len(packed):
                    del self._packed[above]
                else:
                    self._packed[above] = packed[:at] + packed[end:]
                return packed[start:end]
            at = end
        return None

    def _keep(self, path: str) -> None:
        """Let the bough at `path` be found without unpacking it, and the one longest so no more."""
        self._loose.append(path)
        if len(self._loose) > LOOSE_MAX:
            path = self._loose.popleft()
            node = self.get(path)
            if node is not None and _is_bough(path, node):
                above = path[:-1]
                self._packed[above] = self._packed.get(above, b"") + _pack(path, node)
                del self[path]


class _Packing:
    """Where `build` puts branches: boughs are packed as soon as they come, which is before the one they hang on."""

    def __init__(self) -> None:
        self._nodes: dict[str, bytes] = {}
        self._packed: dict[str, bytes] = {}
        self.done = Branches(self._nodes, self._packed)
        self._coming: dict[str, bytes] = {}

    def __setitem__(self, path: str, node: bytes) -> None:
        if _is_bough(path, node):
            above = path[:-1]
            self._coming[above] = self._coming.get(above, b"") + _pack(path, node)
            return
        self._nodes[path] = node
        count = PREFIX.unpack_from(node)[3]
        full = path + partial_of(node, count) if count else path
        boughs = self._coming.pop(full, None)
        if boughs is not None:
            self._packed[full] = boughs


def built(pairs: Iterable[tuple[bytes, bytes]], hashed_from: int) -> Branches:
    """Return the branches of the trie over `pairs`, which are ascending by key: 3 us per key."""
    packing = _Packing()
    build(pairs, 0, hashed_from, packing)
    return packing.done


def _is_bough(path: str, node: bytes) -> bool:
    return node.startswith(_NO_BRANCHES) and path != ""


def _pack(path: str, node: bytes) -> bytes:
    return _PACKED.pack(ord(path[-1]), len(node)) + node


def unpacked(packed: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield last digit and node of each bough."""
    at = 0
    while at < len(packed):
        digit, size = _PACKED.unpack_from(packed, at)
        at += _PACKED.size + size
        yield chr(digit), packed[at - size : at]
