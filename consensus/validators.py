"""The validators of an epoch and what their weights decide.

Let W be the sum of weights, f < W/3 the weight of those who may do anything. A quorum is more than 2W/3, so two quorums
share more than W/3 and hence an honest validator; a third is more than W/3, so it contains an honest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aitoken.errors import Rejected
from aitoken.proto.votes import VALIDATORS_MAX, quorum, third

WEIGHT_MAX: Final = 2**63 - 1
"""Bound of the sum of weights."""


class UnusableValidators(Rejected):
    """The list cannot be a validator set: empty, too long, a key twice, or weights out of range."""

    code = "consensus.unusable_validators"


class Validators:
    """An ordered list of keys with weights; a validator's index is its place in it.

    Raises:
        UnusableValidators: the list cannot be a set.
    """

    __slots__ = ("_index", "keys", "quorum", "third", "total", "weights")

    def __init__(self, authorities: Sequence[tuple[bytes, int]]) -> None:
        self.keys: tuple[bytes, ...] = tuple(key for key, _ in authorities)
        self.weights: tuple[int, ...] = tuple(weight for _, weight in authorities)
        self._index = {key: index for index, key in enumerate(self.keys)}
        if not 0 < len(self.keys) <= VALIDATORS_MAX or len(self._index) != len(self.keys):
            raise UnusableValidators(f"{len(self.keys)} keys, {len(self._index)} different")
        if min(self.weights) <= 0 or sum(self.weights) > WEIGHT_MAX:
            raise UnusableValidators("a weight that is not positive, or a sum out of range")
        self.total: int = sum(self.weights)
        self.quorum: int = quorum(self.total)
        self.third: int = third(self.total)

    def __len__(self) -> int:
        return len(self.keys)

    def index_of(self, key: bytes) -> int | None:
        """Return the index of the validator with this key, or None."""
        return self._index.get(key)

    def lightest_quorum(self, signatures: dict[int, bytes]) -> list[int]:
        """Return the fewest signers that reach a quorum (heaviest first), ascending by index."""
        weights = self.weights
        chosen: list[int] = []
        weight = 0
        for signer in sorted(signatures, key=lambda index: (-weights[index], index)):
            chosen.append(signer)
            weight += weights[signer]
            if weight >= self.quorum:
                break
        return sorted(chosen)
