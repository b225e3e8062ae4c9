"""Asking one peer at a time for something, and the next one when it does not answer.

A request is never broadcast: with every node asking everybody, requests and answers multiply without end. One request
per key is in flight; after a timeout, or "not here", the next peer is asked: first those said to hold it, then the
others in turn, so that a silent one costs its timeout once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Final

from consensus.messages import Message
from consensus.types import Peer
from node.driver.ports import Transport
from node.ports import Cancellable, Clock

IN_FLIGHT_MAX: Final = 64
TRIES_MAX: Final = 12
TIMEOUT_MS: Final = 600
TIMEOUT_MAX_MS: Final = 2000


class _Request:
    __slots__ = ("asked", "holders", "message", "on_failure", "satisfied", "timer", "tries")

    def __init__(self, message: Message, holders: Sequence[Peer], satisfied: Callable[[], bool]) -> None:
        self.message = message
        self.holders = holders
        self.satisfied = satisfied
        self.on_failure: list[Callable[[], None]] = []
        self.tries = 0
        self.asked: Peer | None = None
        self.timer: Cancellable | None = None


class Requests:
    """The requests in flight."""

    def __init__(self, clock: Clock, transport: Transport) -> None:
        self._clock = clock
        self._transport = transport
        self._open: dict[Hashable, _Request] = {}
        self._turn = 0

    def ask(
        self,
        key: Hashable,
        message: Message,
        holders: Sequence[Peer],
        satisfied: Callable[[], bool],
        on_failure: Callable[[], None] | None = None,
    ) -> None:
        """Ask for something; where it is asked for already, only join those who are told of a failure.

        Args:
            key: names what is asked for.
            message: the question.
            holders: peers that should have it, best first; the others follow.
            satisfied: asked before every further try; True ends the request.
            on_failure: called when everybody was asked in vain.
        """
        request = self._open.get(key)
        if request is None and len(self._open) < IN_FLIGHT_MAX:
            self._open[key] = request = _Request(message, holders, satisfied)
            self._try(key)
        if request is not None and on_failure is not None and on_failure not in request.on_failure:
            request.on_failure.append(on_failure)

    def is_open(self, key: Hashable) -> bool:
        """Whether this is being asked for: an answer is not unsolicited."""
        return key in self._open

    def close(self, key: Hashable) -> None:
        """It is here."""
        request = self._open.pop(key, None)
        if request is not None and request.timer is not None:
            request.timer.cancel()

    def not_here(self, key: Hashable, peer: Peer) -> None:
        """The peer that was asked does not have it."""
        request = self._open.get(key)
        if request is not None and request.asked == peer:
            self._next(key)

    def _next(self, key: Hashable) -> None:
        request = self._open.get(key)
        if request is None:
            return
        if request.timer is not None:
            request.timer.cancel()
        if request.satisfied():
            del self._open[key]
        elif request.tries >= TRIES_MAX:
            del self._open[key]
            for tell in request.on_failure:
                tell()
        else:
            self._try(key)

    def _try(self, key: Hashable) -> None:
        request = self._open[key]
        peer = self._choose(request)
        timeout = min(TIMEOUT_MS * (1 + request.tries // 2), TIMEOUT_MAX_MS)
        request.tries += 1
        request.asked = peer
        request.timer = self._clock.call_later(timeout, lambda: self._next(key))
        if peer is not None:
            self._transport.send(peer, request.message)

    def _choose(self, request: _Request) -> Peer | None:
        if request.tries < len(request.holders):
            return request.holders[request.tries]
        peers = self._transport.peers()
        if not peers:
            return None
        self._turn += 1
        return peers[self._turn % len(peers)]
