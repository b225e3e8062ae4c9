"""Passing on for peers that do not hear a quorum themselves, and asking them for the same.

Upon a status with the wish: the peer is passed every vote, proposal and certificate that is new and right, until a
status of its comes without it, or its connection ends. A node wishes it when for one delta the validators it hears
directly, itself included, weigh less than a quorum; and where it is no validator, while one relies on it. Liars are
heard too: so it also wishes it where nothing became final for a while and some validator is not connected, and keeps
the wish for longer, since what becomes final then may do so because of it. Whoever was asked is told when it is enough
again: a wish that is only forgotten costs n validators n times their traffic, for ever.
Source: section 15.2 of the consensus paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from consensus.messages import WANTS_RELAY, Message, Status
from consensus.types import Pace, Peer
from consensus.validators import Validators

if TYPE_CHECKING:
    from node.driver.driver import Driver

KEPT: Final = 30
"""A wish out of a standstill is kept so many times as long as the standstill that shows it."""


class Relays:
    """Who wants to be passed what is new, and whom this node asked for it."""

    def __init__(self, driver: Driver, pace: Pace) -> None:
        self._driver = driver
        self._pace = pace
        self._wanting: dict[Peer, None] = {}
        self._asked: dict[Peer, None] = {}
        self._heard: dict[Peer, int] = {}
        self._looking = False
        self._lacks_since: int | None = None
        self._verdict: tuple[Validators | None, int, bool] = (None, 0, True)
        self._standstill_ms = max(2 * pace.status_interval_ms, 4 * pace.idle_interval_ms)
        self._moved_ms = driver.clock.now_ms()
        self._kept_until_ms = 0

    def moved(self) -> None:
        """A block became final."""
        self._moved_ms = self._driver.clock.now_ms()

    def heard(self, peer: Peer) -> None:
        """A peer sent a vote or proposal."""
        self._heard[peer] = self._driver.clock.now_ms()

    def connected(self, peer: Peer) -> None:
        """A connection came up: it counts as hearing the peer."""
        self.heard(peer)
        if self._verdict[2]:
            self._verdict = (None, 0, True)
        self._tell_if_enough()

    def forget(self, peer: Peer) -> None:
        """A connection is gone."""
        for known in (self._wanting, self._asked, self._heard):
            known.pop(peer, None)
        self._verdict = (None, 0, True)

    def note(self, peer: Peer, status: Status) -> None:
        """A peer says whether it wants everything."""
        if status.flags & WANTS_RELAY:
            self._wanting[peer] = None
        else:
            self._wanting.pop(peer, None)

    def pass_on(self, source: Peer, message: Message) -> None:
        """Send something new and right to who wants it."""
        for peer in self._wanting:
            if peer != source:
                self._driver.transport.send(peer, message)

    def send_to_others(self, message: Message) -> None:
        """Send something of our own to those that are no validators and want it."""
        for peer in self._wanting:
            if not self._is_validator(peer):
                self._driver.transport.send(peer, message)

    def wish(self, peers: Sequence[Peer]) -> int:
        """Return the flag for a status to these peers, and remember whom we asked."""
        if not self._needed():
            self._lacks_since = None
            for peer in peers:
                self._asked.pop(peer, None)
            return 0
        now = self._driver.clock.now_ms()
        if self._lacks_since is None:
            self._lacks_since = now
        self._look_again()
        if now < self._lacks_since + self._pace.delta_ms:
            return 0
        self._asked.update(dict.fromkeys(peers))
        return WANTS_RELAY

    def _look(self) -> None:
        self._looking = False
        if self._driver.stopped:
            return
        self._tell_if_enough()
        if self._lacks_since is not None and not self._asked:
            for peer in self._driver.transport.peers():  # also those that are no validators: they may be the only way
                self._driver.send(peer, self._driver.core.status())
        self._look_again()

    def _look_again(self) -> None:
        if not self._looking and (self._asked or self._lacks_since is not None):
            self._looking = True
            self._driver.clock.call_later(self._pace.delta_ms, self._look)

    def _tell_if_enough(self) -> None:
        if (self._asked or self._lacks_since is not None) and not self._needed():
            self._lacks_since = None
            for peer in list(self._asked):
                self._driver.send(peer, replace(self._driver.core.status(), flags=0))

    def _needed(self) -> bool:
        return self._hears_too_little() or self._is_bridge()

    def _is_validator(self, peer: Peer) -> bool:
        driver = self._driver
        return any(driver.transport.validator(key) == peer for key in driver.core.epoch.validators.keys)

    def _is_bridge(self) -> bool:
        """Whether a validator relies on this node, which is none: then it must hear everything to pass it on."""
        return self._driver.core.state.me is None and any(map(self._is_validator, self._wanting))

    def _hears_too_little(self) -> bool:
        """Whether what this node hears directly is not enough: others must pass on to it."""
        driver, now = self._driver, self._driver.clock.now_ms()
        validators = driver.core.epoch.validators
        if self._verdict[0] is validators and now < self._verdict[1]:
            return self._verdict[2]
        too_little = self._hears_no_quorum(validators, now) or self._stands_still(validators, now)
        self._verdict = (validators, now + self._pace.delta_ms, too_little)
        return too_little

    def _hears_no_quorum(self, validators: Validators, now: int) -> bool:
        """Whether the validators heard of late, and this one, weigh less than a quorum."""
        me, peer_of = self._driver.core.state.me, self._driver.transport.validator
        lacking = validators.quorum - (0 if me is None else validators.weights[me])
        for key, weight in zip(validators.keys, validators.weights, strict=True):
            if lacking <= 0:
                break
            peer = peer_of(key)
            if peer is not None and self._heard.get(peer, 0) > now - self._standstill_ms:
                lacking -= weight
        return lacking > 0

    def _stands_still(self, validators: Validators, now: int) -> bool:
        """Whether nothing became final for a while, now or not long ago, and some validator is not connected."""
        if now >= self._moved_ms + self._standstill_ms:
            self._kept_until_ms = now + KEPT * self._standstill_ms
        if now >= self._kept_until_ms:
            return False
        me, peer_of = self._driver.core.state.me, self._driver.transport.validator
        return any(seat != me and peer_of(key) is None for seat, key in enumerate(validators.keys))
