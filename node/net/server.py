"""Sockets: listening, dialling, and who may have a connection at all.

Admission in the order of its checks, each with a reason of its own told inside the encrypted channel: ourselves,
another genesis, no common version, banned, a second connection to the same node, no free slot.

Bounds: at most 64 connections that have not shaken hands (the oldest makes room, so a flood of silent ones cannot lock
honest ones out), few for each address and neighbourhood (this very machine exempt, for devnets), a number of inbound
slots. Validators and reserved peers have slots of their own: no number of strangers takes their place.

Source: sections 14.1 and 15.1 of the consensus paper; goals S3 and S7 of the reliability paper.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from aitoken.crypto.noise import public_of
from aitoken.errors import Unavailable
from node.net.addresses import Address, group, is_local
from node.net.channels import Bucket
from node.net.messages import Hello, Message, Reason, Role
from node.net.peer import Peer
from node.net.score import BAN_AT, UNWANTED, Deed, Scores

VERSION_MIN: Final = 1
VERSION_MAX: Final = 1
PENDING_MAX: Final = 64
DIAL_DEADLINE_S: Final = 5.0
PER_ADDRESS_MAX: Final = 2
PER_GROUP_MAX: Final = 4
HANDSHAKES_PER_S: Final = 4
GROUPS_MAX: Final = 1024
UNPROVEN_MAX: Final = 16
"""Connections beyond the slots that claim to be validators and have not proven it yet."""
PROOF_DEADLINE_S: Final = 5.0
SIMULTANEOUS_S: Final = 10.0
"""Two connections within this time crossed each other; a later one means that the peer lost the first."""
QUIET_REASONS: Final = frozenset({Reason.DUPLICATE, Reason.SHUTDOWN, Reason.SELF})

log = logging.getLogger(__name__)


class CannotDial(Unavailable):
    """Nobody answers at an address."""

    code = "net.cannot_dial"


class Owner(Protocol):
    """What the sockets tell the rest of the network room."""

    def opened(self, peer: Peer) -> None:
        """A peer was admitted and can be talked to."""

    def received(self, peer: Peer, message: Message, /) -> None:
        """A message arrived."""

    def closed(self, peer: Peer) -> None:
        """A peer that was open is gone."""

    def is_privileged(self, peer: Peer) -> bool:
        """Whether the peer is reserved or a validator proven for this connection: beyond slots and bans."""

    def is_reserved_host(self, host: str) -> bool:
        """Whether a reserved peer lives at this host, so that it is exempt from limits by address."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where to listen and how many to have."""

    host: str = "127.0.0.1"
    port: int = 0
    inbound_max: int = 40


class Server:
    """All connections of this node, by the identity of the peer's process."""

    def __init__(
        self,
        config: ServerConfig,
        static_key: bytes,
        owner: Owner,
        scores: Scores,
        hello: Callable[[], Hello],
    ) -> None:
        """Store what it is made of.

        Args:
            config: where to listen.
            static_key: our private X25519 key, made for this process; its public key is our name.
            owner: told of what happens.
            scores: bans and scores.
            hello: what we say about ourselves, made anew for every handshake.
        """
        self.static_key = static_key
        self.identity = public_of(static_key)
        self.peers: dict[bytes, Peer] = {}
        self._config = config
        self._owner = owner
        self.received = owner.received
        self._scores = scores
        self._hello = hello
        self._pending: OrderedDict[Peer, None] = OrderedDict()
        self._inbound: set[Peer] = set()
        self._inbound_hosts: Counter[str] = Counter()
        self._inbound_groups: Counter[str] = Counter()
        self._rates: OrderedDict[str, Bucket] = OrderedDict()
        self._listener: asyncio.Server | None = None
        self._stopping = False
        self.refusals: Counter[Reason] = Counter()

    # -- life

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: Peer(self, initiator=False), self._config.host, self._config.port, backlog=128
        )

    async def stop(self) -> None:
        """Say goodbye to everybody and stop listening."""
        self._stopping = True
        if self._listener is not None:
            self._listener.close()
        for peer in [*self.peers.values(), *self._pending]:
            peer.disconnect(Reason.SHUTDOWN)
        await asyncio.sleep(0)

    @property
    def port(self) -> int:
        """The port we listen on; 0 before `start`."""
        sockets = self._listener.sockets if self._listener is not None else ()
        return int(sockets[0].getsockname()[1]) if sockets else 0

    async def dial(self, address: Address) -> Peer:
        """Connect and shake hands; the returned peer may have been refused by either side.

        Raises:
            CannotDial: no connection within the deadline.
        """
        loop = asyncio.get_running_loop()
        connect = loop.create_connection(lambda: Peer(self, initiator=True), *address)
        try:
            async with asyncio.timeout(DIAL_DEADLINE_S):
                _, peer = await connect
        except (OSError, TimeoutError) as failure:
            raise CannotDial(f"{address[0]}:{address[1]}: {str(failure) or 'timed out'}") from failure
        await peer.settled
        return peer

    def outbound(self) -> Iterator[Peer]:
        """Iterate over the connections we dialled."""
        return (peer for peer in self.peers.values() if peer.initiator)

    def punish(self, peer: Peer, deed: Deed, why: str = "") -> None:
        """Count a deed; at the bottom the peer is disconnected, and banned unless privileged."""
        now = asyncio.get_running_loop().time()
        score = self._scores.add(peer.identity, deed, now)
        if score > BAN_AT:
            return
        if self._owner.is_privileged(peer):
            self._scores.put(peer.identity, UNWANTED, now)  # or the next trifle would end the next connection
        else:
            local = peer.initiator or is_local(peer.address[0])
            self._scores.ban(peer.identity, None if local else peer.address[0], now)
        peer.disconnect(Reason.SCORE, why)

    # -- Host

    def hello(self) -> Hello:
        """What we say about ourselves."""
        return self._hello()

    def began(self, peer: Peer) -> bool:
        """Admit a socket to the handshake."""
        if self._stopping:
            return False
        if not peer.initiator and not self._admit_address(peer.address[0]):
            return False
        if len(self._pending) >= PENDING_MAX:
            oldest = next((each for each in self._pending if not each.initiator), None)
            if oldest is not None:
                oldest.disconnect(Reason.FULL, "too many unfinished handshakes")
        self._pending[peer] = None
        if not peer.initiator:
            self._inbound.add(peer)
            self._inbound_hosts[peer.address[0]] += 1
            self._inbound_groups[group(peer.address[0])] += 1
        return True

    def judge(self, peer: Peer) -> Reason | None:
        """Decide about a peer that has just said who it is."""
        hello, own = peer.hello, self._hello()
        now = asyncio.get_running_loop().time()
        if hello is None:
            return Reason.PROTOCOL
        if peer.identity == self.identity:
            return Reason.SELF
        if hello.genesis != own.genesis:
            return Reason.OTHER_GENESIS
        if hello.version_min > own.version_max or hello.version_max < own.version_min:
            return Reason.OTHER_VERSION
        if self._scores.is_banned(peer.identity, now) and not self._owner.is_privileged(peer):
            return Reason.BANNED
        existing = self.peers.get(peer.identity)
        if existing is not None:
            if self._keeps(existing, peer, now):
                return Reason.DUPLICATE
            existing.disconnect(Reason.DUPLICATE)
        return None if self._has_slot(peer) else Reason.FULL

    def opened(self, peer: Peer) -> None:
        """Tell the owner of a new peer."""
        self._pending.pop(peer, None)
        self.peers[peer.identity] = peer
        log.info("peer connected", extra={"peer": repr(peer), "agent": peer.hello.agent if peer.hello else ""})
        if self._over_slots() and not self._owner.is_privileged(peer) and not peer.initiator:
            loop = asyncio.get_running_loop()
            loop.call_later(PROOF_DEADLINE_S, self._drop_unproven, peer)
        self._owner.opened(peer)

    def throttled(self, peer: Peer) -> None:
        """Count a second of excess."""
        self.punish(peer, Deed.TOO_FAST, "too many messages")

    def closed(self, peer: Peer) -> None:
        """Forget a connection."""
        self._pending.pop(peer, None)
        if peer in self._inbound:
            self._inbound.discard(peer)
            for counter, key in (
                (self._inbound_hosts, peer.address[0]),
                (self._inbound_groups, group(peer.address[0])),
            ):
                counter[key] -= 1
                if counter[key] <= 0:
                    del counter[key]
        if peer.reason is not None:
            self.refusals[peer.reason] += 1
        if peer.offence is not None and peer.identity:
            self.punish(peer, Deed.BROKE_PROTOCOL, str(peer.offence))
        was_open = self.peers.get(peer.identity) is peer
        if was_open:
            del self.peers[peer.identity]
        self._log_end(peer, was_open=was_open)
        if was_open:
            self._owner.closed(peer)

    # -- admission

    def _admit_address(self, host: str) -> bool:
        if is_local(host) or self._owner.is_reserved_host(host):
            return True
        now = asyncio.get_running_loop().time()
        neighbourhood = group(host)
        if self._scores.is_address_banned(host, now):
            return False
        if self._inbound_hosts[host] >= PER_ADDRESS_MAX or self._inbound_groups[neighbourhood] >= PER_GROUP_MAX:
            return False
        bucket = self._rates.get(neighbourhood)
        if bucket is None:
            bucket = self._rates[neighbourhood] = Bucket(HANDSHAKES_PER_S, now)
            if len(self._rates) > GROUPS_MAX:
                self._rates.popitem(last=False)
        return bucket.take(1) or bucket.wait(now) == 0

    def _keeps(self, existing: Peer, new: Peer, now: float) -> bool:
        """Decide between two connections to one process, such that both sides decide alike."""
        if now - existing.opened_at > SIMULTANEOUS_S:
            return False  # it dialled again: it knows that the old one is dead
        if existing.initiator == new.initiator:
            return True
        ours_wins = self.identity < new.identity
        return existing.initiator == ours_wins

    def _ordinary_inbound(self) -> list[Peer]:
        return [peer for peer in self.peers.values() if not peer.initiator and not self._owner.is_privileged(peer)]

    def _over_slots(self) -> bool:
        return len(self._ordinary_inbound()) > self._config.inbound_max

    def _has_slot(self, peer: Peer) -> bool:
        if peer.initiator or self._owner.is_privileged(peer):
            return True
        ordinary = self._ordinary_inbound()
        room = self._config.inbound_max
        if peer.hello is not None and peer.hello.roles & Role.VALIDATOR:
            room += UNPROVEN_MAX
        return len(ordinary) < room or self._evict(ordinary)

    def _evict(self, ordinary: list[Peer]) -> bool:
        """Make room by the worst-behaved inbound peer; long-lived and decent ones are never pushed out by new ones."""
        now = asyncio.get_running_loop().time()
        worst = min(ordinary, key=lambda peer: self._scores.of(peer.identity, now), default=None)
        if worst is None or self._scores.of(worst.identity, now) > UNWANTED:
            return False
        worst.disconnect(Reason.FULL, "made room")
        return True

    def _drop_unproven(self, peer: Peer) -> None:
        if peer.is_open and self._over_slots() and not self._owner.is_privileged(peer):
            peer.disconnect(Reason.FULL)

    def _log_end(self, peer: Peer, *, was_open: bool) -> None:
        reason = peer.reason.name.lower() if peer.reason is not None else "unknown"
        extra = {"peer": repr(peer), "reason": reason, "detail": peer.detail, "told_by_peer": peer.told}
        if was_open:
            log.info("peer disconnected", extra=extra)
        elif peer.reason not in QUIET_REASONS and peer.identity:
            log.warning("peer refused", extra=extra)
        else:
            log.debug("connection ended", extra=extra)
