"""Whether a piece of state is what a trie holds at a place, knowing only the Merkle value of that place.

All pairs below a path give the subtree, and so its Merkle value. A node is its own proof; it hands down the Merkle
values of its children, which are asked for next. Children shorter than 32 bytes stand inside it and are taken at once.

Source: section 11 of the consensus paper; the format of nodes is in `chain.state.reference`.
"""

from __future__ import annotations

from collections.abc import Sequence

from aitoken.crypto.hashing import blake2_256
from aitoken.errors import Rejected
from aitoken.proto.trie import TrieNode, decode_node
from chain.state.base import StateVersion
from chain.state.build import build
from chain.state.nodes import HASHED_FROM, merkle_value
from chain.state.tree import encoding_of

_HASHED_FROM = HASHED_FROM[StateVersion.V1]
Pairs = list[tuple[bytes, bytes]]


class WrongPiece(Rejected):
    """A piece of state that is not what the trie holds there."""

    code = "net.wrong_piece"


def check_leaves(path: str, expected: bytes, pairs: Sequence[tuple[bytes, bytes]]) -> None:
    """Check that `pairs` are all that lies below `path`.

    Raises:
        WrongPiece: they are not.
    """
    before: bytes | None = None
    for key, _ in pairs:
        if not key.hex().startswith(path) or (before is not None and key <= before):
            raise WrongPiece("keys out of order, or from elsewhere")
        before = key
    encoding = encoding_of(build(pairs, len(path), _HASHED_FROM), len(path), _HASHED_FROM)
    if (blake2_256(encoding) if path == "" else merkle_value(encoding)) != expected:
        raise WrongPiece(f"the pairs below {path or 'the root'} do not have its hash")


def check_node(path: str, expected: bytes, encoding: bytes, value: bytes) -> tuple[Pairs, dict[str, bytes]]:
    """Return the pairs that a node has in it, and the places below it with their Merkle values.

    Raises:
        WrongPiece: it is not the node at `path`, or `value` not the value it holds.
    """
    if blake2_256(encoding) != expected:
        raise WrongPiece(f"the node at {path or 'the root'} does not have its hash")
    node = decode_node(encoding)
    pairs: Pairs = []
    places: dict[str, bytes] = {}
    here = path + node.partial
    if node.value is not None:
        if node.hashed and blake2_256(value) != node.value:
            raise WrongPiece(f"the value at {here} does not have its hash")
        pairs.append((_key(here), value if node.hashed else node.value))
    _descend(here, node, pairs, places)
    return pairs, places


def _descend(here: str, node: TrieNode, pairs: Pairs, places: dict[str, bytes]) -> None:
    for nibble, child in enumerate(node.children):
        if child is None:
            continue
        place = f"{here}{nibble:x}"
        if len(child) == 32:
            places[place] = child
            continue
        inner = decode_node(child)
        if inner.value is not None:
            if inner.hashed:
                raise WrongPiece(f"a node at {place} that is too short for what it holds")
            pairs.append((_key(place + inner.partial), inner.value))
        _descend(place + inner.partial, inner, pairs, places)


def _key(path: str) -> bytes:
    if len(path) & 1:
        raise WrongPiece(f"a value at half a byte: {path}")
    return bytes.fromhex(path)
