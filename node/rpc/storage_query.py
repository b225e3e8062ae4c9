"""The storage questions of `chainHead_v1_storage` and `archive_v1_storage`.

An item names a key and what to tell about it: its value, the hash of the value, the Merkle value of the closest
descendant, or the values or hashes of everything below it. What does not exist yields nothing.

Source: the JSON-RPC interface specification, `chainHead_unstable_storage`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from aitoken.crypto.hashing import blake2_256
from aitoken.proto.trie import closest_descendant
from aitoken.types import Hash32
from chain.state.base import State
from node.rpc.params import ITEMS_MAX, BadParam, unhex

KINDS: Final = frozenset(
    {"value", "hash", "closestDescendantMerkleValue", "descendantsValues", "descendantsHashes"},
)
PAGE: Final = 64
"""Most items of one notification."""


@dataclass(frozen=True, slots=True)
class Item:
    """One question."""

    key: bytes
    kind: str
    after: bytes | None = None


def items_param(value: Any) -> list[Item]:
    """Convert the `items` parameter.

    Raises:
        BadParam: not a list of questions.
    """
    if type(value) is not list or len(value) > ITEMS_MAX:
        raise BadParam(f"expected an array of at most {ITEMS_MAX} items")
    return [_item(each) for each in value]


def _item(value: Any) -> Item:
    if type(value) is not dict:
        raise BadParam("an item must be an object")
    kind = value.get("type")
    if type(kind) is not str or kind not in KINDS:
        raise BadParam(f"an item's type must be one of {', '.join(sorted(KINDS))}")
    after = value.get("paginationStartKey")
    return Item(unhex(value.get("key")), kind, None if after is None else unhex(after))


Hit = dict[str, bytes]
"""One thing found: `key` and one of `value`, `hash`, `closestDescendantMerkleValue`."""


def search(state: State, items: list[Item]) -> Iterator[Hit | None]:
    """Yield what is found, in the order of the questions; None after each question, so that the caller may pause."""
    for item in items:
        if item.kind in ("descendantsValues", "descendantsHashes"):
            yield from _descendants(state, item)
        else:
            hit = _one(state, item)
            if hit is not None:
                yield hit
        yield None


def _one(state: State, item: Item) -> Hit | None:
    if item.kind == "closestDescendantMerkleValue":
        found = _merkle_value(state, item.key)
        return None if found is None else {"key": item.key, "closestDescendantMerkleValue": found}
    value = state.get(item.key)
    if value is None:
        return None
    return {"key": item.key, "value": value} if item.kind == "value" else {"key": item.key, "hash": blake2_256(value)}


def _descendants(state: State, item: Item) -> Iterator[Hit]:
    after = item.after
    while True:
        page = _page(state, item.key, after)
        for key, value in page:
            yield {"key": key, "value": value} if item.kind == "descendantsValues" else _hashed(key, value)
        if len(page) < PAGE:
            return
        after = page[-1][0]


def _page(state: State, prefix: bytes, after: bytes | None) -> list[tuple[bytes, bytes]]:
    """Some pairs, read to the end at once: an iterator may not outlive a change of the state."""
    pairs = []
    for pair in state.iterate(prefix, after):
        pairs.append(pair)
        if len(pairs) == PAGE:
            break
    return pairs


def _hashed(key: bytes, value: bytes) -> Hit:
    return {"key": key, "hash": blake2_256(value)}


def _merkle_value(state: State, prefix: bytes) -> bytes | None:
    first = next(iter(state.iterate(prefix)), None)
    if first is None:
        return None
    return closest_descendant(Hash32(state.root), state.prove([first[0]]), prefix)
