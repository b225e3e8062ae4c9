"""An epoch: one validator set, one seed, a fixed number of blocks on top of a final base block.

Views start at 1 in every epoch; view 0 stands for the base block, which counts as final. The block at height
base + length is terminal: no block of the epoch may extend it, leaders propose it again until some view makes it final,
and that ends the epoch. So exactly one base block exists per epoch, and no height is used twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from aitoken.proto.leaders import leader
from consensus.types import Block
from consensus.validators import Validators


@dataclass(frozen=True, slots=True)
class Epoch:
    """The frozen setting of one run of the protocol."""

    index: int
    validators: Validators
    seed: bytes
    base: Block
    length: int

    @property
    def last_number(self) -> int:
        """Height of the terminal block."""
        return self.base.number + self.length

    def is_terminal(self, number: int) -> bool:
        """Whether a block of this height ends the epoch."""
        return number == self.base.number + self.length

    def leader(self, view: int) -> int:
        """Return the index of the validator that proposes in `view`."""
        return leader(self.seed, self.index, self.validators.weights, view)
