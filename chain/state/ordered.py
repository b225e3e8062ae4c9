"""The root over a list: the `extrinsics_root` of a header.

A version-0 trie whose keys are the SCALE compact forms of the positions. The compact form is little-endian, so its
order is not that of the positions; yet it is regular, and the pairs are produced in order without sorting:
a first byte `4i` is position i < 64 alone; `4r + 1` begins the two-byte form of the positions 64q + r below 2^14.

So the shape of the trie follows from the number of values. `ordered_root` writes it out: hardly more than the hash of
each value. `ordered_root_plainly` builds the same trie as any other is built; it takes the very long lists, and is the
reference for the rest.

Source: `sp_trie::LayoutV0::ordered_trie_root`; `frame_system` with `system_version` 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final

from aitoken.types import Hash32
from chain.state.build import build
from chain.state.nodes import BRANCH, COMPACT, HASHED_FROM, LEAF, leaf, root_hash
from chain.state.tree import encoding_of

_INLINE: Final = HASHED_FROM[0]
_ROWS: Final = 64
_TWO_BYTES: Final = 1 << 14
_BLAKE2_256: Final = blake2b(digest_size=32)
_EVERY_CHILD: Final = b"\xff\xff"
_ENDS: Final = (b"\x00\x00", b"\x01\x00", b"\x11\x00", b"\x11\x01", b"\x11\x11")
"""The bitmap of a branch at which the keys of so many positions end, the first of them a multiple of four."""


def ordered_root(values: Sequence[bytes]) -> Hash32:
    """Return the version-0 trie root of `values` by position."""
    count = len(values)
    if not 0 < count <= _TWO_BYTES:
        return ordered_root_plainly(values)
    if count == 1:
        return root_hash(leaf(b"\x00", 0, values[0], _INLINE))
    ends = _ends(values)
    if count <= 4:
        return root_hash(b"".join((BRANCH[1], b"\x00", _ENDS[count], *ends)))
    last = count - 1
    root = [BRANCH[0], _EVERY_CHILD if count > _ROWS - 4 else ((1 << (last // 4 + 1)) - 1).to_bytes(2, "little")]
    for first in range(0, min(count, _ROWS), 4):
        if first == last:
            root.append(_child(LEAF[1] + b"\x00" + COMPACT[len(values[last])] + values[last]))
            break
        node = [b"", b""]
        bitmap = 0
        for row in range(first, min(first + 4, count)):
            bit = 1 << (row - first) * 4
            bitmap |= bit
            node.append(ends[row])
            if row + _ROWS <= last:
                bitmap |= bit << 1
                node.append(_column(ends[row + _ROWS :: _ROWS], values[last - (last - row) % _ROWS]))
        node[0], node[1] = BRANCH[0], bitmap.to_bytes(2, "little")
        root.append(_child(b"".join(node)))
    return root_hash(b"".join(root))


def ordered_root_plainly(values: Sequence[bytes]) -> Hash32:
    """Return the same as `ordered_root`, as every trie is built."""
    return root_hash(encoding_of(build(_pairs(values), 0, _INLINE), 0, _INLINE))


def _pairs(values: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    if len(values) > _TWO_BYTES:
        yield from sorted((COMPACT[position], value) for position, value in enumerate(values))
        return
    for first in range(0, 256, 4):
        if first >> 2 < len(values):
            yield bytes([first]), values[first >> 2]
        for position in range((first >> 2) + _ROWS, len(values), _ROWS):
            yield bytes([first | 1, position >> 6]), values[position]


def _column(ends: list[bytes], last: bytes) -> bytes:
    """Return the child that holds the positions of one first byte, whose second bytes are 1, 2, and so on.

    Args:
        ends: the values as children at which their keys end.
        last: the last of the values.
    """
    count = len(ends)
    if count == 1:
        return _child(LEAF[2] + b"\x01" + COMPACT[len(last)] + last)
    if count < 16:
        return _branch(BRANCH[1] + b"\x00", (2 << count) - 2, ends)
    groups = [_branch(BRANCH[0], 0xFFFE, ends[:15])]
    for start in range(15, count, 16):
        group = ends[start : start + 16]
        if len(group) == 1:
            groups.append(_child(LEAF[1] + b"\x00" + COMPACT[len(last)] + last))
        else:
            groups.append(_branch(BRANCH[0], (1 << len(group)) - 1, group))
    return _branch(BRANCH[0], (1 << len(groups)) - 1, groups)


def _branch(head: bytes, bitmap: int, children: list[bytes]) -> bytes:
    return _child(b"".join((head, bitmap.to_bytes(2, "little"), *children)))


def _ends(values: Sequence[bytes]) -> list[bytes]:
    """Return each value as the child at which its key ends: `_child` without a call for each."""
    ends: list[bytes] = []
    for value in values:
        size = len(value)
        encoding = b"\x40" + COMPACT[size] + value
        if size < 31:
            ends.append(_child(encoding))
            continue
        state = _BLAKE2_256.copy()
        state.update(encoding)
        ends.append(b"\x80" + state.digest())
    return ends


def _child(encoding: bytes) -> bytes:
    """Return what stands in a branch for the node below it, with its length."""
    if len(encoding) < 32:
        return COMPACT[len(encoding)] + encoding
    state = _BLAKE2_256.copy()
    state.update(encoding)
    return b"\x80" + state.digest()
