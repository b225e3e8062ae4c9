"""What a block builder is offered: the ready transactions, best first, each sender's in nonce order."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from aitoken.errors import Bug

if TYPE_CHECKING:
    from aitoken.proto.extrinsic import Extrinsic
    from node.pool.pooled import Lane, Pooled


class Walk:
    """Goes through the lanes: of the transactions that may come next, the best one first, of equals the oldest.

    The pool may change between two steps: what has left is not given out, what came in since may be missing.
    """

    __slots__ = ("_begun", "_heap", "_last")

    def __init__(self, lanes: Iterable[Lane]) -> None:
        """Walk over `lanes` as they are now."""
        heads = [lane.by_nonce[lane.base] for lane in lanes if lane.base in lane.by_nonce]
        self._heap = [(-tx.priority, tx.turn, tx) for tx in heads if tx.ready]
        heapq.heapify(self._heap)
        self._last: Pooled | None = None
        self._begun: set[bytes] = set()
        """Senders of which a first one was given out and another followed."""

    def __iter__(self) -> Iterator[Extrinsic]:
        return self

    def __next__(self) -> Extrinsic:
        heap, last, self._last = self._heap, self._last, None
        if last is not None:
            after = last.lane.by_nonce.get(last.nonce + 1)
            if after is not None and after.ready:
                self._begun.add(last.sender)
                heapq.heappush(heap, (-after.priority, after.turn, after))
        while heap:
            tx = heapq.heappop(heap)[2]
            if tx.ready and (tx.nonce == tx.lane.base or tx.sender in self._begun):
                self._last = tx
                return tx.xt
        raise StopIteration

    def skip(self) -> Extrinsic:
        """Give out no more of the sender whose transaction came last: it was not built; return it.

        Raises:
            Bug: none came since.
        """
        last, self._last = self._last, None
        if last is None:
            raise Bug("there is nothing to skip")
        return last.xt
