"""What is known now that forbids a vote; where the key may have voted before is `consensus.permission`'s matter.

    the silent watch of a start is not over (`node.driver.watch`)
    somebody else was heard voting with the key: never again, until a person has looked
    the signer does not answer

A vote by our key that is not among our votes has two meanings. Where a former life of the key may have voted, it may be
our own: this epoch is given up, and the next one begins with a watch. Elsewhere another process signs with the key.
"""

from __future__ import annotations

from collections.abc import Callable

from node.driver.watch import Watch
from node.ports import Clock


class Guard:
    """The reasons of the present not to vote.

    Attributes:
        lost: the signer does not answer.
        made: own votes since the start.
        missed: views since the start that went by without a vote of this validator.
        watch: the silent watch of a start.

    Args:
        watch_ms: how long to listen at a start; 0 for not at all.
        is_behind: whether the node is known to be catching up.
        on_allowed: called when a reason is gone.
    """

    def __init__(
        self, clock: Clock, watch_ms: int, is_behind: Callable[[], bool], on_allowed: Callable[[], None]
    ) -> None:
        self.watch = Watch(clock, watch_ms, is_behind, on_allowed)
        self._on_allowed = on_allowed
        self._twin = False
        self._heard_own = False
        self._view = 0
        self._voted_view = 0
        self.lost = False
        self.made = 0
        self.missed = 0

    @property
    def allows(self) -> bool:
        """Whether nothing here forbids a vote."""
        return not (self.watch.active or self._twin or self.lost)

    def begin(self) -> None:
        """The process starts: watch, if it is to."""
        self.watch.begin()

    def begin_epoch(self) -> None:
        """An epoch begins."""
        self._view = self._voted_view = 0
        if self._heard_own:
            self._heard_own = False
            self.watch.begin()

    def entered(self, view: int, *, is_validator: bool) -> None:
        """The core is in this view."""
        if view > self._view:
            if is_validator and 0 < self._view != self._voted_view:
                self.missed += 1
            self._view = view

    def voted(self, view: int) -> None:
        """A vote was made."""
        self.made += 1
        self._voted_view = max(self._voted_view, view)

    def is_twin(self, *, certain: bool) -> bool:
        """Whether a vote by our key that is not ours is a twin's; `certain`: no former life can have made it."""
        if certain:
            self._twin = True
        else:
            self._heard_own = True
        return certain

    def signer_is_back(self) -> None:
        """The signer answers again."""
        self.lost = False
        self._on_allowed()

    def stop(self) -> None:
        """Forget the timers."""
        self.watch.stop()
