"""How many requests are served at once, and who waits: a bounded queue in which better tiers come first.

Within a tier the payer with the fewest requests in service comes first, so one payer's flood does not starve another.
Who does not get a place, or a place in the queue, pays nothing.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.refusals import TooBusy

RETRY_AFTER_S: Final = 1


class Places:
    """Places for requests in service.

    Attributes:
        taken: how many are served now.
    """

    def __init__(self, places: int, queue: int) -> None:
        self._places = places
        self._queue = queue
        self._waiting: list[tuple[int, int, bytes, asyncio.Future[None]]] = []
        self._of: dict[bytes, int] = {}
        self._next = 0
        self.taken = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def enter_now(self, payer: bytes) -> bool:
        """Keep a place until `leave`, if one is free; tell whether it was."""
        if self.taken < self._places and not self._waiting:
            self._take(payer)
            return True
        return False

    async def enter(self, payer: bytes, tier: int) -> None:
        """Wait for a place and keep it until `leave`.

        Raises:
            TooBusy: the queue is full.
        """
        if self.enter_now(payer):
            return
        if len(self._waiting) >= self._queue:
            raise TooBusy("all places are taken and so is the queue", retry_after_s=RETRY_AFTER_S)
        await self._wait(payer, tier)

    async def _wait(self, payer: bytes, tier: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next += 1
        entry = (tier, self._next, payer, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            elif turn.done() and not turn.cancelled():
                self.leave(payer)
            raise

    def _take(self, payer: bytes) -> None:
        self.taken += 1
        self._of[payer] = self._of.get(payer, 0) + 1

    def leave(self, payer: bytes) -> None:
        """Give a place to whoever waits for one."""
        self.taken -= 1
        self._of[payer] -= 1
        if not self._of[payer]:
            del self._of[payer]
        if self._waiting:
            best = min(self._waiting, key=lambda entry: (-entry[0], self._of.get(entry[2], 0), entry[1]))
            self._waiting.remove(best)
            self._take(best[2])
            best[3].set_result(None)
