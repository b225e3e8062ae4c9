"""Calls that come without an outer signature, and so without a fee: how much of a block they may use.

The count is not state: it begins anew with each block and only ever counts what is in the block, so who makes a block
and who checks it agree. A full lane is "not yet": the author goes on with other transactions, the pool keeps the call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from chain.frame.errors import BadOrigin, Future
from chain.frame.origin import NoOrigin, Signed
from chain.frame.weights import PS_PER_MS

if TYPE_CHECKING:
    from chain.frame.machine import Machine

FREE_PERCENT: Final = 5
"""How much of a block's weight the calls of one pallet may use without a fee."""
PRIORITY: Final = 1 << 20
"""Before transactions without a tip; there are never many of them in a block."""
LONGEVITY: Final = 64


class LaneFull(Future):
    """The block has as many calls without a fee as it may; it waits for the next, or pays."""

    code = "transaction.lane_full"
    text = "The block takes no more calls without a fee"


class FreeLane:
    """What the calls of one pallet have used of this block without a fee."""

    def __init__(self, machine: Machine) -> None:
        self._most = machine.schema.params.block_weight_ms * PS_PER_MS * FREE_PERCENT // 100
        self._used = 0

    def begin_block(self) -> None:
        """Count anew."""
        self._used = 0

    def check_room(self, weight: int) -> None:
        """Refuse what there is no more room for.

        Raises:
            LaneFull: there is none.
        """
        if self._used + weight > self._most:
            raise LaneFull

    def let_in(self, origin: Any, weight: int) -> None:
        """Count a call that nobody signed; whoever signs for it pays like for any other.

        Raises:
            BadOrigin: it comes from neither.
        """
        if isinstance(origin, NoOrigin):
            self._used += weight
        elif not isinstance(origin, Signed):
            raise BadOrigin
