"""What has been computed of the bodies of the latest blocks, so that it is computed once.

The network must hash a body before it believes that it belongs to a header; execution needs the same hashes to find
the transactions, and the same root for the header it compares. A body is known by identity: it is a tuple of bytes,
which nothing changes, and it is handed on as it is. Of any other tuple, equal or not, everything is computed anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, TypeAlias

from aitoken.crypto.hashing import blake2_256
from aitoken.types import Hash32
from chain.state.ordered import ordered_root

Body: TypeAlias = tuple[bytes, ...]

REMEMBERED: Final = 16


class _Facts:
    __slots__ = ("body", "hashes", "root")

    def __init__(self, body: Body) -> None:
        self.body = body  # held, so that its identity stays its own
        self.root: Hash32 | None = None
        self.hashes: Sequence[Hash32] | None = None


class Bodies:
    """Roots and hashes of the bodies that came last."""

    def __init__(self) -> None:
        self._facts: OrderedDict[int, _Facts] = OrderedDict()

    def root(self, body: Body) -> Hash32:
        """Return the extrinsics root of a body."""
        facts = self._of(body)
        if facts.root is None:
            facts.root = ordered_root(body)
        return facts.root

    def hashes(self, body: Body) -> Sequence[Hash32]:
        """Return the hash of each extrinsic of a body."""
        facts = self._of(body)
        if facts.hashes is None:
            facts.hashes = [Hash32(blake2_256(raw)) for raw in body]
        return facts.hashes

    def note(self, body: Body, *, root: Hash32 | None = None, hashes: Sequence[Hash32] | None = None) -> None:
        """Remember what was computed of a body elsewhere."""
        facts = self._of(body)
        facts.root = root or facts.root
        facts.hashes = hashes or facts.hashes

    def _of(self, body: Body) -> _Facts:
        facts = self._facts.get(id(body))
        if facts is None:
            facts = self._facts[id(body)] = _Facts(body)
            if len(self._facts) > REMEMBERED:
                self._facts.popitem(last=False)
        return facts
