"""What all callers together may take of one turn of the event loop.

A connection that has sent many requests is answered one in each turn of the loop, and more only while the turn's share
is not used up. So who asks one thing waits for one request of each other connection, however many of theirs wait, and
votes wait no longer than that.
"""

from __future__ import annotations

import asyncio
from typing import Final

SHARE_S: Final = 0.003


class Turn:
    """The share of the present turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ends = 0.0
        self._has_begun = False

    def is_over(self) -> bool:
        """Whether whoever was just served has to wait for the next turn with the rest."""
        now = self._loop.time()
        if not self._has_begun:
            self._has_begun = True
            self._ends = now + SHARE_S
            self._loop.call_soon(self._end)
        return now >= self._ends

    def _end(self) -> None:
        self._has_begun = False
