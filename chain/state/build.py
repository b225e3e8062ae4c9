"""A whole trie, or a subtree, from sorted pairs in one go.

The pairs come in order, so only the branches on the way to the latest key are open; each is closed and hashed once.
Cost: 3 us per key. Memory: the branches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from chain.state.base import KeyValue
from chain.state.nodes import COMPACT, Leaf, Value, digest, joined, leaf, value_of
from chain.state.tree import Node, Subtree, with_below


class _Open:
    """A branch whose children are still coming."""

    __slots__ = ("bitmap", "depth", "nodes", "parts", "value")

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.value: Value | None = None
        self.bitmap = 0
        self.parts: list[bytes] = []
        self.nodes: list[Node | None] = [None] * 16

    def add(self, nibble: int, encoding: bytes) -> None:
        """Append a child."""
        self.bitmap |= 1 << nibble
        if len(encoding) >= 32:
            self.parts += (b"\x80", digest(encoding))
        else:
            self.parts += (COMPACT[len(encoding)], encoding)


def build(pairs: Iterable[tuple[bytes, bytes]], attach: int, hashed_from: int) -> Subtree:
    """Build the trie over `pairs`.

    Args:
        pairs: ascending by key, each key once, alike in their first `attach` nibbles.
        attach: the depth in nibbles at which the subtree hangs; 0 for a whole trie.
        hashed_from: the length from which on values are held by their hash.
    """
    coming = iter(pairs)
    pair = next(coming, None)
    if pair is None:
        return None
    key, value = pair
    stack: list[_Open] = []
    left = -1  # nibbles shared with the key before
    node: Node = b""
    while True:
        pair = next(coming, None)
        right = -1 if pair is None else shared(key, pair[0])  # nibbles shared with the key after
        if right > left:
            stack.append(_Open(right))
        elif pair is None and not stack:
            return Leaf(key, value)
        top = stack[-1]
        depth = top.depth
        if depth == 2 * len(key):
            top.value = value_of(value, hashed_from)
        else:
            byte = key[depth >> 1]
            top.add(byte & 15 if depth & 1 else byte >> 4, leaf(key, depth + 1, value, hashed_from))
        if depth > right:
            node = _close(key.hex(), stack, right, attach)
        if pair is None:
            return node
        key, value = pair
        left = right


def _close(path: str, stack: list[_Open], right: int, attach: int) -> Node:
    """Close the branches deeper than `right` on the way to the key with the nibbles `path`; return the last of them."""
    node: Node = b""
    while stack and stack[-1].depth > right:
        done = stack.pop()
        if right >= 0 and (not stack or stack[-1].depth < right):
            stack.append(_Open(right))
        at = stack[-1].depth + 1 if stack else attach
        encoding = joined(path[at : done.depth], done.value, done.bitmap, b"".join(done.parts))
        node = with_below(encoding, done.nodes)
        if stack:
            nibble = int(path[at - 1], 16)
            stack[-1].nodes[nibble] = node
            stack[-1].add(nibble, encoding)
    return node


def pairs_below(view: KeyValue, path: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield the pairs of `view` whose key starts with the nibbles of `path`, ascending."""
    prefix = bytes.fromhex(path[: len(path) & ~1])
    if not len(path) & 1:
        yield from view.iterate(prefix)
        return
    at, nibble = len(prefix), int(path[-1], 16)
    after = prefix + bytes([16 * nibble - 1]) + b"\xff" * 64 if nibble else prefix
    for pair in view.iterate(prefix, after):
        found = pair[0][at] >> 4
        if found == nibble:
            yield pair
        elif found > nibble:
            return


def shared(one: bytes, other: bytes) -> int:
    """Return how many nibbles two different keys have in common."""
    size = len(one)
    if size != len(other):
        size = min(size, len(other))
        one, other = one[:size], other[:size]
    differing = int.from_bytes(one) ^ int.from_bytes(other)
    return 2 * size - (differing.bit_length() + 3 >> 2)
