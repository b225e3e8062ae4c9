"""The encoding of a trie node, as the fast trie keeps and patches it (`chain.state.reference` says what it is).

What is held of a branch is its exact encoding: what is hashed and what a proof shows are the same bytes. With hashes
only, child n begins 33 bytes after the children below it, each a compact length byte and 32 bytes.

Leaves are not held: key, depth and value give the encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

from aitoken.codec.base import compact_read
from aitoken.types import Hash32

HASHED_FROM: Final = (1 << 62, 33)
"""By state version: the length of a value from which on its hash stands in the node."""

_BLAKE2_256: Final = blake2b(digest_size=32)
BARE: Final = 0b10000000
"""The first byte of a branch without partial key and value: what most are."""
_LOW_NIBBLE: Final = tuple(bytes([byte & 15]) for byte in range(256))


class Leaf(NamedTuple):
    """A subtree of one key."""

    key: bytes
    value: bytes


class Layout(NamedTuple):
    """Where in the encoding of a branch things are."""

    nibbles: int
    """How many of them the partial key has."""
    at: int
    """Where the bitmap is, after the partial key."""
    bitmap: int
    """Which of the 16 children there are."""
    start: int
    """Where the children begin; a value is between bitmap and children."""


class Value(NamedTuple):
    """The value of a node as encoded: the bytes in place, or their hash."""

    encoded: bytes
    hashed: bool


class _Header(dict[int, bytes]):
    """Number of nibbles in the partial key -> node header, for one kind of node; the common ones ready made."""

    def __init__(self, kind: int, bits: int) -> None:
        self._kind = kind << bits
        self._limit = (1 << bits) - 1
        super().__init__((count, self[count]) for count in range(256))

    def __missing__(self, count: int) -> bytes:
        if count < self._limit:
            return bytes([self._kind | count])
        more, last = divmod(count - self._limit, 255)
        return bytes([self._kind | self._limit]) + b"\xff" * more + bytes([last])


class _Compact(dict[int, bytes]):
    """Length -> SCALE compact form, the short ones ready made."""

    def __init__(self) -> None:
        super().__init__((length, self[length]) for length in range(1024))

    def __missing__(self, length: int) -> bytes:
        if length < 1 << 6:
            return bytes([length << 2])
        if length < 1 << 14:
            return (length << 2 | 1).to_bytes(2, "little")
        return (length << 2 | 2).to_bytes(4, "little")


COMPACT: Final = _Compact()
LEAF: Final = _Header(0b01, 6)
LEAF_HASHED: Final = _Header(0b001, 5)
BRANCH: Final = _Header(0b10, 6)
BRANCH_VALUE: Final = _Header(0b11, 6)
BRANCH_HASHED: Final = _Header(0b0001, 4)


def digest(data: bytes | bytearray) -> bytes:
    """Return the blake2-256 of `data`."""
    state = _BLAKE2_256.copy()
    state.update(data)
    return state.digest()


def root_hash(encoding: bytes) -> Hash32:
    """Return the root of the trie whose root node is `encoding`."""
    return Hash32(digest(encoding))


EMPTY_ROOT: Final = root_hash(b"\x00")


def merkle_value(encoding: bytes) -> bytes:
    """Return what a parent holds of a node: the encoding itself below 32 bytes, else its hash."""
    return encoding if len(encoding) < 32 else digest(encoding)


def leaf(key: bytes, depth: int, value: bytes, hashed_from: int) -> bytes:
    """Return the encoding of the leaf of `key` that hangs at `depth` nibbles."""
    count = 2 * len(key) - depth
    at = depth >> 1
    partial = _LOW_NIBBLE[key[at]] + key[at + 1 :] if count & 1 else key[at:]
    if len(value) >= hashed_from:
        state = _BLAKE2_256.copy()
        state.update(value)
        return LEAF_HASHED[count] + partial + state.digest()
    return LEAF[count] + partial + COMPACT[len(value)] + value


def value_of(value: bytes, hashed_from: int) -> Value:
    """Return how a branch holds `value`."""
    if len(value) >= hashed_from:
        return Value(digest(value), hashed=True)
    return Value(COMPACT[len(value)] + value, hashed=False)


def branch(partial: str, value: Value | None, children: Sequence[bytes | None]) -> bytes:
    """Return the encoding of a branch with a hex `partial` key, a value and 16 Merkle values."""
    bitmap = 0
    parts: list[bytes] = []
    for nibble, child in enumerate(children):
        if child is not None:
            bitmap |= 1 << nibble
            parts += (COMPACT[len(child)], child)
    return joined(partial, value, bitmap, b"".join(parts))


def joined(partial: str, value: Value | None, bitmap: int, children: bytes) -> bytes:
    """Return the encoding of a branch whose `children` are encoded already."""
    count = len(partial)
    if value is None:
        head, stored = BRANCH[count], b""
    else:
        stored = value.encoded
        head = BRANCH_HASHED[count] if value.hashed else BRANCH_VALUE[count]
    packed = bytes.fromhex("0" + partial if count & 1 else partial)
    return b"".join((head, packed, bitmap.to_bytes(2, "little"), stored, children))


def layout(node: bytes) -> Layout:
    """Return where in the encoding of a branch things are."""
    first = node[0]
    if first == BARE:
        return Layout(0, 1, node[1] | node[2] << 8, 3)
    hashed = first < 0b01000000
    limit = 0b1111 if hashed else 0b111111
    count = first & limit
    at = 1
    if count == limit:
        while (more := node[at]) == 255:
            count += more
            at += 1
        count += more
        at += 1
    at += count + 1 >> 1
    start = at + 2
    if hashed:
        start += 32
    elif first >> 6 == 0b11:
        size, start = compact_read(node, start)
        start += size
    return Layout(count, at, node[at] | node[at + 1] << 8, start)


def partial_of(node: bytes, where: Layout) -> str:
    """Return the hex partial key of a branch."""
    count = where.nibbles
    text = node[where.at - (count + 1 >> 1) : where.at].hex()
    return text[1:] if count & 1 else text


def value_in(node: bytes, where: Layout) -> Value | None:
    """Return the value that a branch holds."""
    kind = node[0]
    if kind >> 6 == 0b10:
        return None
    return Value(node[where.at + 2 : where.start], hashed=kind < 0b01000000)


def children_in(node: bytes, where: Layout) -> list[bytes | None]:
    """Return the 16 Merkle values that a branch holds."""
    children: list[bytes | None] = [None] * 16
    start = where.start
    for nibble in range(16):
        if where.bitmap >> nibble & 1:
            size = node[start] >> 2  # below 64: one byte of compact length
            children[nibble] = node[start + 1 : start + 1 + size]
            start += 1 + size
    return children


def child_at(node: bytes | bytearray, start: int, before: int) -> int:
    """Return where the child begins, with the byte of its length, that comes after those in the bitmap `before`."""
    for _ in range(before.bit_count()):
        start += 1 + (node[start] >> 2)
    return start


def with_partial(node: bytes, partial: str) -> bytes:
    """Return the branch with another partial key."""
    where = layout(node)
    return joined(partial, value_in(node, where), where.bitmap, node[where.start :])
