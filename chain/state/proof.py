"""Showing to somebody who trusts a root what the state holds under some keys; `aitoken.proto.trie` checks it.

Source: `sp_state_machine::prove_read`.
"""

from __future__ import annotations

from collections.abc import Iterable

from chain.state.base import KeyValue
from chain.state.nodes import layout, leaf, partial_of
from chain.state.tree import Node, below_of, bytes_of
from chain.state.trie import find_leaf


def prove(view: KeyValue, top: Node | None, keys: Iterable[bytes], hashed_from: int) -> list[bytes]:
    """Return the proof of `keys` in the trie over `view` whose root is the branch `top`; the root node is first."""
    shown: dict[bytes, None] = {}
    keys = list(keys)
    if keys and top is None:
        pair = next(view.iterate(b""), None)
        shown[b"\x00" if pair is None else leaf(pair[0], 0, pair[1], hashed_from)] = None
        if pair is not None and pair[0] in keys and len(pair[1]) >= hashed_from:
            shown[pair[1]] = None
        return list(shown)
    for key in keys:
        if top is not None:
            _show(view, top, key, hashed_from, shown)
    return list(shown)


def _show(view: KeyValue, top: Node, key: bytes, hashed_from: int, shown: dict[bytes, None]) -> None:
    goal = key.hex()
    path = ""
    value = None
    node: Node | None = top
    while node is not None:
        encoding = bytes_of(node)
        where = layout(encoding)
        if len(encoding) >= 32 or node is top:
            shown[encoding] = None
        path += partial_of(encoding, where)
        if not goal.startswith(path):
            return
        if goal == path:
            value = view.get(key)
            break
        nibble = int(goal[len(path)], 16)
        path += goal[len(path)]
        if not where.bitmap >> nibble & 1:
            return
        node = below_of(node)[nibble]
        if node is None:
            value = view.get(key)
            found = find_leaf(view, path) if value is None else (key, value)
            encoding = leaf(found[0], len(path), found[1], hashed_from)
            if len(encoding) >= 32:
                shown[encoding] = None
    if value is not None and len(value) >= hashed_from:
        shown[value] = None
