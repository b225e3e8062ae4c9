"""Reading trie nodes, and checking what somebody shows of a state to one who trusts only its root.

A proof is the set of encoded nodes on the ways from the root to the keys (nodes shorter than 32 bytes stand inside
their parents) and the values that nodes hold by hash. For a key that is absent it shows where its way ends. Making one
needs the state (`chain.state.proof`); checking one needs nothing but this module.

Source: `sp_trie::verify_trie_proof`, `sp_trie::node_codec`; the format of nodes is in `chain.state.reference`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from aitoken.crypto.hashing import blake2_256
from aitoken.errors import Rejected
from aitoken.types import Hash32


class BadProof(Rejected):
    """The proof does not fit the root, or is not well formed."""

    code = "proof.bad"


class IncompleteProof(Rejected):
    """The proof does not reach to the key."""

    code = "proof.incomplete"


def verify(root: Hash32, proof: Sequence[bytes], keys: Iterable[bytes]) -> dict[bytes, bytes | None]:
    """Return the values of `keys` that `proof` shows under `root`; None where it shows that there is none.

    Raises:
        BadProof: a node is not well formed.
        IncompleteProof: a node or value on the way is missing, be it that `proof` is for another root.
    """
    items: dict[bytes, bytes] = {blake2_256(item): item for item in proof}
    return {key: _look_up(root, items, key.hex()) for key in keys}


def _look_up(root: bytes, items: dict[bytes, bytes], goal: str) -> bytes | None:
    child = root
    depth = 0
    while True:
        node = decode_node(_item(items, child) if len(child) == 32 else child)
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


class TrieNode(NamedTuple):
    """A node taken apart.

    Attributes:
        partial: its part of the key, in hex digits.
        value: what it holds: the value, or its hash where `hashed`.
        hashed: whether the value stands elsewhere.
        children: sixteen Merkle values, a node of less than 32 bytes or a hash; empty for a leaf.
    """

    partial: str
    value: bytes | None
    hashed: bool
    children: list[bytes | None]


_EMPTY: Final = TrieNode("", None, hashed=False, children=[])


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


def decode_node(data: bytes) -> TrieNode:
    """Read a node from exactly its bytes.

    Raises:
        BadProof: it is not well formed.
    """
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
    return TrieNode(partial, value, hashed, children)


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
    items: dict[bytes, bytes] = {blake2_256(item): item for item in proof}
    goal = prefix.hex()
    child: bytes = root
    depth = 0
    while True:
        node = decode_node(_item(items, child) if len(child) == 32 else child)
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
