"""The branches of a trie as a tree that never changes: a new trie shares with the one before what is the same in both.

A branch with no branch below it is its encoding (`chain.state.nodes`). Any other, a *fork*, is a tuple of its encoding
and of the branch at each of the 16 nibbles, or None. Leaves are in no tree: what hangs where no branch does, the flat
state says.

A branch hangs at a *path*: the hex nibbles from the root down to and including the one by which its parent refers to
it; its own partial key comes on top.

Nothing here points upwards or in circles, so a trie that nobody holds any more frees what only it had.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from chain.state.base import StateDamaged
from chain.state.nodes import (
    Leaf,
    children_in,
    layout,
    leaf,
    merkle_value,
    partial_of,
    with_partial,
)

Fork: TypeAlias = "tuple[bytes, *tuple[Node | None, ...]]"
Node: TypeAlias = "bytes | Fork"
Subtree: TypeAlias = "Node | Leaf | None"
"""What hangs in a place of the trie: a branch, one key, or nothing."""

_NOTHING: Final = (None,) * 16
_NO_BRANCHES: Final = b"\x00\x00"


def bytes_of(node: Node) -> bytes:
    """Return the encoding of a branch."""
    return node if isinstance(node, bytes) else node[0]


def encoding_of(subtree: Subtree, depth: int, hashed_from: int) -> bytes:
    """Return the encoding of what hangs at `depth` nibbles; of nothing, that of the empty trie."""
    if subtree is None:
        return b"\x00"
    if isinstance(subtree, Leaf):
        return leaf(subtree.key, depth, subtree.value, hashed_from)
    return bytes_of(subtree)


def with_below(encoding: bytes, nodes: Sequence[Node | None]) -> Node:
    """Return the branch of this encoding, with the branches `nodes` at its 16 nibbles."""
    return (encoding, *nodes) if any(nodes) else encoding


def replaced(fork: Fork, encoding: bytes, nibble: int, node: Node | None) -> Fork:
    """Return the fork with another encoding, and `node`, if any, in place of the branch at `nibble`."""
    parts: list[Any] = list(fork)
    parts[0] = encoding
    if node is not None:
        parts[nibble + 1] = node
    return tuple(parts)


def moved(node: Node, partial: str) -> Node:
    """Return the branch with another partial key."""
    changed = with_partial(bytes_of(node), partial)
    return changed if isinstance(node, bytes) else (changed, *node[1:])


def below_of(node: Node) -> Sequence[Node | None]:
    """Return the branch that hangs at each of the 16 nibbles."""
    return _NOTHING if isinstance(node, bytes) else node[1:]


def find(top: Node | None, path: str) -> Node | None:
    """Return the branch that hangs at `path`, or None."""
    node, at = top, 0
    while node is not None and at < len(path):
        held = bytes_of(node)
        where = layout(held)
        end = at + where.nibbles
        if end >= len(path) or path[at:end] != partial_of(held, where):
            return None
        node, at = below_of(node)[int(path[end], 16)], end + 1
    return node


def walk(top: Node | None) -> Iterator[bytes]:
    """Yield all branches, each after those below it: the bitmap of those, u16, and its encoding."""
    if top is None:
        return
    if isinstance(top, bytes):
        yield _NO_BRANCHES + top
        return
    stack: list[tuple[Fork, Iterator[Node | None]]] = [(top, iter(top[1:]))]
    while stack:
        fork, coming = stack[-1]
        for node in coming:
            if isinstance(node, bytes):
                yield _NO_BRANCHES + node
            elif node is not None:
                stack.append((node, iter(node[1:])))
                break
        else:
            branches = sum(1 << nibble for nibble, node in enumerate(fork[1:]) if node is not None)
            yield branches.to_bytes(2, "little") + fork[0]
            stack.pop()


def regrown(walked: Iterable[bytes]) -> Node | None:
    """Return the tree of which `walk` yielded what is given.

    Every branch but the last is compared with what the one above it holds, so the root alone says whether it is right.

    Raises:
        StateDamaged: these are not the branches of one trie.
    """
    waiting: list[Node] = []
    for each in walked:
        held = each[2:]
        if each.startswith(_NO_BRANCHES):
            waiting.append(held)
            continue
        branches = int.from_bytes(each[:2], "little")
        first = len(waiting) - branches.bit_count()
        if first < 0:
            raise StateDamaged("some branches of the trie are missing")
        coming = iter(waiting[first:])
        del waiting[first:]
        nodes: list[Node | None] = [None] * 16
        children = children_in(held, layout(held))
        for nibble in range(16):
            if branches >> nibble & 1:
                nodes[nibble] = node = next(coming)
                if merkle_value(bytes_of(node)) != children[nibble]:
                    raise StateDamaged("a branch of the trie is not the one that the branch above it holds")
        waiting.append((held, *nodes))
    if len(waiting) > 1:
        raise StateDamaged("some branches of the trie hang on none of it")
    return waiting[0] if waiting else None
