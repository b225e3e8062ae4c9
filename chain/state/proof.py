"""Showing to somebody who trusts a root what the state holds under some keys; `aitoken.proto.trie` checks it.

Source: `sp_state_machine::prove_read`.
"""

from __future__ import annotations

from collections.abc import Iterable

from aitoken.errors import Bug
from chain.state.base import KeyValue
from chain.state.nodes import PREFIX, PREFIX_SIZE, leaf, partial_of
from chain.state.trie import Find, find_leaf


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
