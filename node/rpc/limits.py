"""How much one caller may ask for, in one place.

Every figure is a default of `Limits`; tests and configuration pass their own. Over a limit a caller gets the error
jsonrpsee would give, or, where no answer is possible, is cut off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from node.rpc import errors

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the server.

    Attributes:
        request_bytes: one HTTP body or WebSocket message; no client sends more than a transaction of 256 KiB.
        response_bytes: one answer, a batch counted as one.
        depth: nesting of arrays and objects.
        batch: requests in a batch.
        connections: all of them together.
        connections_per_address: from one IP address.
        subscriptions: per connection.
        watched_keys: storage keys of subscriptions, per connection.
        watched_keys_together: of all connections; each is read once per head.
        follows: `chainHead_v1_follow` per connection.
        requests_in_flight: waiting for the pool, per connection; then the connection is not read from.
        notifications_pending: per subscription, not yet taken by the caller's socket; then the connection is cut.
        outgoing_bytes: per connection, not yet taken by the caller's socket; answers wait, notifications cut.
        outgoing_total: of all connections together; beyond it, who has more than `outgoing_share` unread is cut.
        outgoing_share: what a connection may leave unread at any time.
        header_s: from connecting to the end of the first request's headers.
        body_s: from the end of the headers to the end of the body.
        write_s: until an answer has been taken by the caller; over WebSocket, until anything has.
        idle_s: between two requests over HTTP.
        ping_s: between two WebSocket pings; no answer for half of it and the connection is cut.
        tokens_per_s: refill of the bucket expensive calls draw on, per address; 0 means no such bucket.
        tokens_burst: its size.
    """

    request_bytes: int = 5 * MIB
    response_bytes: int = 15 * MIB
    depth: int = 64
    batch: int = 100
    connections: int = 400
    connections_per_address: int = 128
    subscriptions: int = 1024
    watched_keys: int = 4_096
    watched_keys_together: int = 50_000
    follows: int = 4
    requests_in_flight: int = 256
    notifications_pending: int = 256
    outgoing_bytes: int = 16 * MIB
    outgoing_total: int = 64 * MIB
    outgoing_share: int = 256 * KIB
    header_s: float = 10.0
    body_s: float = 10.0
    write_s: float = 30.0
    idle_s: float = 60.0
    ping_s: float = 20.0
    tokens_per_s: int = 0
    tokens_burst: int = 2_000


class Backlog:
    """Bytes that callers have not read yet, on all connections together: many slow readers must not fill the memory."""

    __slots__ = ("_limit", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.size = 0

    def has_room(self, size: int = 0) -> bool:
        """Whether so much more may wait."""
        return self.size + size <= self._limit


class Bucket:
    """Tokens that come back with time; expensive calls take some.

    Source: token bucket; the error is that of Substrate's `--rpc-rate-limit`.
    """

    __slots__ = ("_at", "_burst", "_per_s", "_tokens")

    def __init__(self, per_s: int, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = float(burst)
        self._at = 0.0

    def take(self, cost: int, now: float) -> None:
        """Take `cost` tokens at loop time `now`.

        Raises:
            RpcError: too few are left.
        """
        if not self._per_s:
            return
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        if self._tokens < cost:
            raise errors.rate_limited()
        self._tokens -= cost

    def is_full(self, now: float) -> bool:
        """Whether nothing would be lost by forgetting it."""
        return self._tokens + (now - self._at) * self._per_s >= self._burst


_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
BRACKETS_MAX: Final = 200_000


def check_depth(data: bytes, limit: int) -> None:
    """Refuse JSON nested deeper than `limit` before anything is decoded.

    Cost: two counts for all ordinary requests; a batch loses its strings by one regular expression first. Innermost
    pairs are then removed level by level, each level at the speed of `bytes.replace`.

    Raises:
        RpcError: too deep, or brackets that do not match (the decoder would refuse those as well).
    """
    if data.count(b"[") + data.count(b"{") <= limit:
        return
    brackets = _STRING.sub(b"", data).translate(_ONE_KIND, _NOT_BRACKETS)
    if len(brackets) > BRACKETS_MAX:
        raise errors.exceeds(errors.REQUEST_TOO_BIG, BRACKETS_MAX)
    for _ in range(limit):
        shorter = brackets.replace(b"[]", b"")
        if not shorter:
            return
        if len(shorter) == len(brackets):
            break
        brackets = shorter
    raise errors.parse_error()
