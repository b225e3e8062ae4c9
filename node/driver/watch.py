"""Silence before the first vote of a process, to hear whether somebody else votes with our key.

A copy of a whole machine, or of a folder in a container with a network of its own, leaves no other trace than its
votes. So a node that is in step listens for a while before it votes; a vote by its key that it did not make stops it
for good (`consensus.doppelganger`). The time runs from the first message of anyone, for who hears nobody proves
nothing, and again while the node is still catching up, since it hears no present votes then.

Source: section 7.3 of the consensus paper; reliability goal K2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.ports import Cancellable, Clock

TURNS_MAX: Final = 20
"""A peer that pretends to be ahead of us delays our votes by no more than so many windows."""


class Watch:
    """The silent window at a start.

    Args:
        window_ms: its length; 0 for none.
        is_behind: whether the node is known to be catching up.
        on_end: called when the window is over.
    """

    def __init__(self, clock: Clock, window_ms: int, is_behind: Callable[[], bool], on_end: Callable[[], None]) -> None:
        self._clock = clock
        self._window_ms = window_ms
        self._is_behind = is_behind
        self._on_end = on_end
        self._timer: Cancellable | None = None
        self._turns = 0
        self.active = False

    def begin(self) -> None:
        """Be silent from now on."""
        self.stop()
        self.active = self._window_ms > 0
        self._turns = 0

    def heard(self) -> None:
        """Somebody said something: the time runs."""
        if self.active and self._timer is None:
            self._timer = self._clock.call_later(self._window_ms, self._turn)

    def stop(self) -> None:
        """Forget the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        self._turns += 1
        if self._is_behind() and self._turns < TURNS_MAX:
            self._timer = self._clock.call_later(self._window_ms, self._turn)
            return
        self._timer = None
        self.active = False
        self._on_end()
