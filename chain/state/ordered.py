"""The root over a list: the `extrinsics_root` of a header.

A version-0 trie whose keys are the SCALE compact forms of the positions. The compact form is little-endian, so its
order is not that of the positions; yet it is regular, and the pairs are produced in order without sorting:
a first byte `4i` is position i < 64 alone; `4r + 1` begins the two-byte form of the positions 64q + r below 2^14.

Source: `sp_trie::LayoutV0::ordered_trie_root`; `frame_system` with `system_version` 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aitoken.types import Hash32
from chain.state.build import build
from chain.state.nodes import COMPACT, EMPTY_ROOT, HASHED_FROM, PREFIX_SIZE, Leaf, leaf, root_hash

_INLINE = HASHED_FROM[0]


def ordered_root(values: Sequence[bytes]) -> Hash32:
    """Return the version-0 trie root of `values` by position."""
    nodes: dict[str, bytes | None] = {}
    subtree = build(_pairs(values), 0, _INLINE, nodes)
    if subtree is None:
        return EMPTY_ROOT
    if isinstance(subtree, Leaf):
        return root_hash(leaf(subtree.key, 0, subtree.value, _INLINE))
    return root_hash((nodes[""] or b"")[PREFIX_SIZE:])


def _pairs(values: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    if len(values) > 1 << 14:
        yield from sorted((COMPACT[position], value) for position, value in enumerate(values))
        return
    for first in range(0, 256, 4):
        if first >> 2 < len(values):
            yield bytes([first]), values[first >> 2]
        for position in range((first >> 2) + 64, len(values), 64):
            yield bytes([first | 1, position >> 6]), values[position]
