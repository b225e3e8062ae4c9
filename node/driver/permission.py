"""Whether this node votes now, and every reason why it does not.

    the key is none of the epoch's validators'
    a former life of the key may have voted here: up to an epoch (`votes_from`), while holding (`node.driver.hold`),
        or up to a view of this epoch
    the silent watch of a start is not over (`node.driver.watch`)
    somebody else was heard voting with the key: never again, until a person has looked
    the signer does not answer

A vote by our key that is not among our votes has two meanings. Where memory was lost, it may be our own: this epoch is
given up, and the next one begins with a watch. Where nothing was lost, another process signs with the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aitoken.proto.votes import Vote
from consensus import inputs
from consensus.epochs import Epoch
from consensus.messages import Status
from consensus.types import Peer
from node.driver.hold import Hold
from node.driver.watch import Watch

if TYPE_CHECKING:
    from node.driver.driver import Driver

HOLD_DELTAS: Final = 4
"""A new key at genesis waits to hear a quorum, but where nothing is final not longer than this after the first."""


class Permission:
    """The reasons not to vote.

    Attributes:
        votes_from: the first epoch in which the key may vote.
        lost: the signer does not answer.
        made: own votes since the start.
        missed: views since the start that went by without a vote of this validator.
    """

    def __init__(self, driver: Driver, delta_ms: int, watch_ms: int) -> None:
        self._driver = driver
        self._delta_ms = delta_ms
        self._hold: Hold | None = None
        self._above: int | None = None
        self._forgotten_view = 0
        self._twin = False
        self._heard_own = False
        self._watch = Watch(driver.clock, watch_ms, driver.is_behind, self.allow)
        self._view = 0
        self._voted_view = 0
        self.votes_from = 0
        self.lost = False
        self.made = 0
        self.missed = 0

    # What the driver tells.

    def begin(self) -> None:
        """The process starts: watch, if it is to."""
        self._watch.begin()

    @property
    def watching(self) -> bool:
        """Whether the silent watch of a start goes on."""
        return self._watch.active

    def begin_epoch(self, epoch: Epoch) -> bool:
        """Return whether to vote in an epoch that begins."""
        self._above, self._forgotten_view = None, 0
        self._view = self._voted_view = 0
        if self._heard_own:
            self._heard_own = False
            self._watch.begin()
        return self._may_vote(epoch)

    def heard(self) -> None:
        """A peer said something."""
        self._watch.heard()

    def entered(self, view: int) -> None:
        """The core is in this view."""
        if view > self._view:
            if 0 < self._view != self._voted_view and self._driver.me(self._driver.core.epoch) is not None:
                self.missed += 1
            self._view = view
        if self._above is not None and view > self._above:
            self._begin_to_vote()

    def voted(self, view: int) -> None:
        """A vote was made."""
        self.made += 1
        self._voted_view = max(self._voted_view, view)

    def stop(self) -> None:
        """Forget the timers."""
        self._watch.stop()

    def signer_is_back(self) -> None:
        """The signer answers again."""
        self.lost = False
        self.allow()

    def is_twin(self, vote: Vote, *, present: bool) -> bool:
        """Whether a vote by our key that is not ours was made by another process, for certain."""
        if not present or self.votes_from > vote.epoch or vote.view <= self._forgotten_view:
            self._heard_own, self._above = True, None
            return False
        self._twin = True
        return True

    def allow(self) -> None:
        """Vote, if no reason against it is left."""
        driver = self._driver
        if not driver.core.voting and self._may_vote(driver.core.epoch):
            driver.record_epoch(driver.core.epoch.index)
            driver.step(inputs.VotingAllowed())

    def _may_vote(self, epoch: Epoch) -> bool:
        return (
            self._driver.me(epoch) is not None
            and epoch.index >= self.votes_from
            and self._hold is None
            and self._above is None
            and not self._watch.active
            and not self._twin
            and not self.lost
        )

    # A key without a record: see `node.driver.hold`.

    def begin_hold(self, key: bytes) -> None:
        """Wait to hear from peers whether a former life of the key voted."""
        self._hold = Hold(key)
        self._look(self._hold)

    def hear(self, peer: Peer, status: Status) -> None:
        """A peer says where it stands."""
        hold = self._hold
        if hold is not None:
            if hold.heard_nobody:
                self._driver.clock.call_later(HOLD_DELTAS * self._delta_ms, self._end_hold_at_genesis)
            hold.hear(peer, status)
            self._look(hold)

    def _look(self, hold: Hold) -> None:
        driver = self._driver
        validators, peer_of = driver.core.epoch.validators, driver.transport.validator
        if not hold.is_quorum(validators, peer_of):
            return
        index, reached = driver.core.epoch.index, hold.epoch(validators, peer_of)
        if reached > index:
            self._hold = None
            self._vote_from(reached + 1)
        elif self._is_at_genesis():
            self._begin_to_vote()
        else:
            self._hold, self._above = None, hold.view(index) + 1

    def _is_at_genesis(self) -> bool:
        """Whether nothing is final, as far as anybody proved; what peers merely say does not count."""
        return self._driver.committed.number == 0 and self._driver.core.final.view == 0

    def _end_hold_at_genesis(self) -> None:
        if self._hold is not None and self._is_at_genesis():
            self._begin_to_vote()

    def _begin_to_vote(self) -> None:
        self._forgotten_view = self._above or 0
        self._hold = self._above = None
        if self._driver.stopped:
            return
        self._vote_from(self._driver.core.epoch.index)
        self.allow()

    def _vote_from(self, epoch: int) -> None:
        self.votes_from = epoch
        self._driver.persist_opening(epoch)
