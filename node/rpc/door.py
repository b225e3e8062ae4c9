"""Who gets in: connections counted, all together and per address, and cut while they have not said anything.

aiohttp has no such limits of its own; its protocol factory is wrapped here. When an address (or the whole door) is
full, a connection of it that has never finished a request's headers makes room for the newcomer, the oldest first:
somebody who only opens connections pushes out nobody but themselves.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from typing import Any

from aiohttp import web

from node.rpc.limits import Bucket, Limits
from node.rpc.outgoing import Outgoing

BUCKETS_MAX = 10_000


class Guarded(web.RequestHandler):
    """One connection that the door counts; the `node.rpc.outgoing.Wire` of a WebSocket."""

    __slots__ = ("_door", "address", "deadline", "has_asked", "out")

    def __init__(self, door: Door, server: web.Server, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._door = door
        self.address = ""
        self.has_asked = False
        self.deadline: asyncio.TimerHandle | None = None
        self.out: Outgoing | None = None
        """What is on its way, once this is a WebSocket."""

    @property
    def is_full(self) -> bool:
        """Whether the caller does not keep up with what is written."""
        return self._paused

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self.transport is not None:
            self.transport.write(data)

    def resume_writing(self) -> None:
        """The caller has read."""
        super().resume_writing()
        if self.out is not None:
            self.out.resume()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let in or turn away."""
        peer = transport.get_extra_info("peername")
        self.address = group_of(str(peer[0])) if peer else "local"
        super().connection_made(transport)
        self._door.enter(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget."""
        self._door.leave(self)
        super().connection_lost(exc)

    def asked(self) -> None:
        """A request's headers are complete."""
        self.has_asked = True
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def bucket(self) -> Bucket:
        """What expensive calls of this caller draw on."""
        return self._door.bucket(self.address)

    def cut(self) -> None:
        """End at once, without flushing."""
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()


class Door:
    """A protocol factory for `loop.create_server`."""

    def __init__(
        self,
        server: web.Server,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        make: Callable[..., Guarded],
        **settings: Any,
    ) -> None:
        """Make the protocols of connections by `make(door, server, ...)`."""
        self._server = server
        self._make = make
        self._limits = limits
        self._loop = loop
        self._settings = settings
        self._inside: dict[Guarded, None] = {}
        self._by_address: dict[str, dict[Guarded, None]] = {}
        self._buckets: dict[str, Bucket] = {}
        self.turned_away = 0
        self.on_change: Callable[[int], None] = lambda _: None

    def __call__(self) -> Guarded:
        """Make the protocol of a new connection."""
        return self._make(self, self._server, loop=self._loop, **self._settings)

    def __len__(self) -> int:
        return len(self._inside)

    def enter(self, guest: Guarded) -> None:
        """Count a new connection; cut it, or one that has said nothing yet, when there are too many."""
        group = self._by_address.setdefault(guest.address, {})
        full = (
            group
            if len(group) >= self._limits.connections_per_address
            else self._inside
            if len(self._inside) >= self._limits.connections
            else None
        )
        if full is not None:
            silent = next((other for other in full if not other.has_asked), None)
            self.turned_away += 1
            if silent is None:
                guest.cut()
                if not group:
                    del self._by_address[guest.address]
                return
            self.leave(silent)
            silent.cut()
            group = self._by_address.setdefault(guest.address, {})
        group[guest] = None
        self._inside[guest] = None
        guest.deadline = self._loop.call_later(self._limits.header_s, guest.cut)
        self.on_change(len(self._inside))

    def leave(self, guest: Guarded) -> None:
        """Count a connection out; harmless for one that is not inside."""
        if guest.deadline is not None:
            guest.deadline.cancel()
            guest.deadline = None
        if guest not in self._inside:
            return
        del self._inside[guest]
        group = self._by_address[guest.address]
        del group[guest]
        if not group:
            del self._by_address[guest.address]
        self.on_change(len(self._inside))

    def bucket(self, address: str) -> Bucket:
        """The tokens of an address; kept while it matters."""
        found = self._buckets.get(address)
        if found is None:
            if len(self._buckets) >= BUCKETS_MAX:
                now = self._loop.time()
                self._buckets = {name: kept for name, kept in self._buckets.items() if not kept.is_full(now)}
            found = self._buckets[address] = Bucket(self._limits.tokens_per_s, self._limits.tokens_burst)
        return found


def group_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 an IPv6 host may choose from."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 4 or ip.is_loopback:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False))
