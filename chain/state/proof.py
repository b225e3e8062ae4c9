"""Showing to somebody who trusts a root what the state holds under some keys.

A proof is the set of encoded nodes on the ways from the root to the keys (nodes shorter than 32 bytes stand inside
their parents) and the values that nodes hold by hash. For a key that is absent it shows where its way ends.

Source: `sp_state_machine::prove_read`, `sp_trie::verify_trie_proof`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from aitoken.errors import Bug, Rejected
from aitoken.types import Hash32
from chain.state.base import KeyValue
from chain.state.nodes import PREFIX, PREFIX_SIZE, digest, leaf, partial_of
from chain.state.trie import Find, find_leaf


class BadProof(Rejected):
    """The proof does not fit the root, or is not well formed."""

    code = "proof.bad"


class IncompleteProof(Rejected):
    """The proof does not reach to the key."""

    code = "proof.incomplete"


def prove(view: KeyValue, find: Find, keys: Iterable[bytes], hashed_from: int) -> list[bytes]:
    """Return the proof of `keys` in the trie over `view`, its branch nodes given by `find`; the root node is first."""
    shown: dict[bytes, None] = {}
    keys = list(keys)
    if keys and find("") is None:
        pair = next(view.iterate(b""), None)
        shown[b"\x00" if pair is None else leaf(pair[0], 0, pair[1], hashed_from)] = None
        if pair is not None and pair[0] in keys and len(pair[1]) >= hashed_from:
            shown[pair[1]] = None
        return list(shown)
    for key in keys:
        _show(view, find, key, hashed_from, shown)
    return list(shown)


def _show(view: KeyValue, find: Find, key: bytes, hashed_from: int, shown: dict[bytes, None]) -> None:
    goal = key.hex()
    path = ""
    value = None
    while True:
        node = find(path)
        if node is None:
            raise Bug(f"the trie has no node at {path!r}")
        branches, bitmap, _, count, _ = PREFIX.unpack_from(node)
        encoding = node[PREFIX_SIZE:]
        if len(encoding) >= 32 or path == "":
            shown[encoding] = None
        path += partial_of(node, count)
        if not goal.startswith(path):
            return
        if goal == path:
            value = view.get(key)
            break
        bit = 1 << int(goal[len(path)], 16)
        path += goal[len(path)]
        if not bitmap & bit:
            return
        if not branches & bit:
            value = view.get(key)
            found = find_leaf(view, path) if value is None else (key, value)
            encoding = leaf(found[0], len(path), found[1], hashed_from)
            if len(encoding) >= 32:
                shown[encoding] = None
            break
    if value is not None and len(value) >= hashed_from:
        shown[value] = None


def verify(root: Hash32, proof: Sequence[bytes], keys: Iterable[bytes]) -> dict[bytes, bytes | None]:
    """Return the values of `keys` that `proof` shows under `root`; None where it shows that there is none.

    Raises:
        BadProof: a node is not well formed.
        IncompleteProof: a node or value on the way is missing, be it that `proof` is for another root.
    """
    items = {digest(item): item for item in proof}
    return {key: _look_up(root, items, key.hex()) for key in keys}


def _look_up(root: bytes, items: dict[bytes, bytes], goal: str) -> bytes | None:
    child = root
    depth = 0
    while True:
        node = _decode(_item(items, child) if len(child) == 32 else child)
        rest = goal[depth:]
        if not rest.startswith(node.partial):
            return None
        depth += len(node.partial)
        if depth == len(goal):
            if node.value is None:
                return None
            return _item(items, node.value) if node.hashed else node.value
        below = node.children[int(goal[depth], 16)] if node.children else None
        if below is None:
            return None
        child = below
        depth += 1


def _item(items: dict[bytes, bytes], wanted: bytes) -> bytes:
    item = items.get(wanted)
    if item is None:
        raise IncompleteProof(f"the proof does not hold {wanted.hex()}")
    return item


class _Node(NamedTuple):
    partial: str
    value: bytes | None
    hashed: bool
    children: list[bytes | None]


_EMPTY = _Node("", None, hashed=False, children=[])


class _Reader:
    """Takes a node apart; running over its end is an error."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise BadProof("a node ends too early")
        self._at += size
        return taken

    def count(self, first: int, bits: int) -> int:
        """Read the number of nibbles that begins in `bits` bits of the header byte."""
        limit = (1 << bits) - 1
        total = first & limit
        more = 255 if total == limit else 0
        while more == 255:
            more = self.take(1)[0]
            total += more
        return total

    def partial(self, count: int) -> str:
        text = self.take((count + 1) // 2).hex()
        if not count & 1:
            return text
        if text[0] != "0":
            raise BadProof("an odd partial key does not begin with 0")
        return text[1:]

    def sized(self) -> bytes:
        """Read bytes after their compact length."""
        first = self.take(1)[0]
        mode = first & 3
        if mode == 3:
            raise BadProof("a length is too great")
        size = int.from_bytes(bytes([first]) + self.take((0, 1, 3)[mode]), "little") >> 2
        if mode and size < (0, 1 << 6, 1 << 14)[mode]:
            raise BadProof("a length is not in its shortest form")
        return self.take(size)

    def end(self) -> None:
        if self._at != len(self._data):
            raise BadProof("a node goes on after its end")


def _decode(data: bytes) -> _Node:
    reader = _Reader(data)
    first = reader.take(1)[0]
    if first == 0:
        reader.end()
        return _EMPTY
    kind = first >> 6
    bits = 6 if kind else 5 if first >> 5 else 4
    if not kind and first < 0b00010000:
        raise BadProof("a node is of no known kind")
    is_leaf = kind == 0b01 or bits == 5
    hashed = not kind
    partial = reader.partial(reader.count(first, bits))
    bitmap = 0 if is_leaf else int.from_bytes(reader.take(2), "little")
    if not is_leaf and not bitmap:
        raise BadProof("a branch has no children")
    value = None if kind == 0b10 else reader.take(32) if hashed else reader.sized()
    children = [_child(reader) if bitmap >> nibble & 1 else None for nibble in range(16)] if bitmap else []
    reader.end()
    return _Node(partial, value, hashed, children)


def _child(reader: _Reader) -> bytes:
    child = reader.sized()
    if not 0 < len(child) <= 32:
        raise BadProof("a child is neither a node nor a hash")
    return child


def closest_descendant(root: Hash32, proof: Sequence[bytes], prefix: bytes) -> bytes | None:
    """Return the Merkle value of the topmost node at or below `prefix`; None where nothing begins with `prefix`.

    `proof` must show a key that begins with `prefix`.

    Raises:
        BadProof: a node is not well formed.
        IncompleteProof: a node on the way is missing.
    """
    items = {digest(item): item for item in proof}
    goal = prefix.hex()
    child: bytes = root
    depth = 0
    while True:
        node = _decode(_item(items, child) if len(child) == 32 else child)
        rest = goal[depth:]
        if node.partial.startswith(rest):
            return child
        if not rest.startswith(node.partial):
            return None
        depth += len(node.partial)
        below = node.children[int(goal[depth], 16)] if node.children else None
        if below is None:
            return None
        child = below
        depth += 1
