"""Whom to stay connected to: reserved peers for ever, validators all, and a few others.

* Reserved addresses and bootnodes are dialled for ever, with growing pauses and jitter.
* Validators prove their session key for each connection (`ValidatorAuth` signs the handshake hash, so it cannot be
  replayed) and publish signed address records; every validator dials every other one of the present and next set.
* Everybody else keeps `outbound_target` connections to addresses from the book, no two in one neighbourhood.

No timer runs while everybody wanted is connected.

Source: sections 14.1, 15.1 and 15.2 of the consensus paper.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final, Protocol

from aitoken.crypto import ed25519
from aitoken.errors import Unavailable
from node.net.address_record import ADDRESSES_MAX, AddressRecord, BadAuth
from node.net.addresses import Address, is_local, is_public, parse, wide_group
from node.net.book import Book
from node.net.messages import GetPeers, Peers, Reason, ValidatorAddresses, ValidatorAuth
from node.net.peer import Peer
from node.net.peer_auth import peer_statement
from node.net.server import CannotDial, Server
from node.net.wire import PEERS_MAX
from node.tasks import cancel, spawn

PAUSE_MIN_S: Final = 0.2
PAUSE_MAX_S: Final = 6.0
"""A healed network is whole again within this time; finality then resumes in the ten seconds that are our goal."""
PAUSE_HOPELESS_S: Final = 60.0
"""Before dialling again a node that is of another chain or turns us away."""
HOPELESS: Final = frozenset({Reason.OTHER_GENESIS, Reason.OTHER_VERSION, Reason.BANNED, Reason.FULL})
STEADY_S: Final = 5.0
"""A connection that lived so long was a good one: the next pause starts small."""
SEARCH_PAUSE_S: Final = 5.0
SEARCH_AGAIN_S: Final = 20.0
"""After this time somebody is asked again, and addresses that failed may be tried again."""
ADDRESSES_TOLD: Final = 16
PEERS_OF_A_KEY_MAX: Final = 2
"""A validator's restarted process and its dead connection, or a key in use twice: neither pushes the other out."""
RECORDS_MAX: Final = 2048

log = logging.getLogger(__name__)


class SessionKey(Protocol):
    """The validator's ed25519 session key, or whoever holds it."""

    @property
    def public(self) -> bytes:
        """The present 32-byte public key; it may change with an epoch."""

    def sign_peer(self, handshake_hash: bytes, *, initiator: bool) -> bytes:
        """Return the 64-byte signature of `node.net.peer_auth.peer_statement`.

        Raises:
            Unavailable: the holder of the key does not answer.
        """

    def sign_address(self, record: AddressRecord) -> bytes:
        """Return the 64-byte signature of an address record.

        Raises:
            Unavailable: the holder of the key does not answer.
        """


@dataclass(slots=True)
class Target:
    """An address that is dialled until it is connected, for ever."""

    address: Address
    identity: bytes = b""
    pause: float = PAUSE_MIN_S
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """Whom to look for."""

    reserved: tuple[str, ...] = ()
    """Addresses dialled for ever: bootnodes and the operator's own peers."""
    public_addresses: tuple[str, ...] = ()
    """Where others can dial us; a validator publishes them signed."""
    outbound_target: int = 8
    reserved_only: bool = False
    """Dial nobody else, and tell nobody about others: a validator behind sentries."""


class Mesh:
    """Keeps the connections this node wants."""

    def __init__(
        self,
        config: MeshConfig,
        server: Server,
        book: Book,
        genesis: bytes,
        session_key: SessionKey | None = None,
        random: Random | None = None,
    ) -> None:
        self._config = config
        self._server = server
        self._book = book
        self._genesis = genesis
        self._key = session_key
        self._random = random or Random()  # noqa: S311 - jitter
        self._targets: dict[Address, Target] = {}
        self._proven = b""
        self._validators: tuple[bytes, ...] = ()
        self._wanted: frozenset[bytes] = frozenset()
        self._by_session: dict[bytes, list[Peer]] = {}
        self._records: OrderedDict[bytes, AddressRecord] = OrderedDict()
        self._search: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    # -- life

    def start(self) -> None:
        """Begin to dial."""
        for text in self._config.reserved:
            self.keep(parse(text))
        if not self._config.reserved_only:
            self._search = spawn(self._find_peers(), "net: find peers")
        if self._key is not None:
            self._proven = self._key.public
            self._publish(self._key)

    async def stop(self) -> None:
        """Stop dialling."""
        tasks = [target.task for target in self._targets.values() if target.task is not None]
        await cancel([*tasks, *([self._search] if self._search is not None else [])])
        self._book.save(self._anchors())

    def keep(self, address: Address) -> None:
        """Stay connected to an address, for ever."""
        if address not in self._targets:
            target = self._targets[address] = Target(address)
            target.task = spawn(self._keep(target), f"net: keep {address[0]}:{address[1]}")

    # -- validators

    def set_validators(self, present: Sequence[bytes], following: Iterable[bytes] = ()) -> None:
        """Set the session keys of the present set in their order, and those of the next set once known."""
        self._validators = tuple(present)
        self._wanted = frozenset((*present, *following))
        if self._key is not None and self._key.public != self._proven:
            self.prove_anew()
        for peer in self.validator_peers():
            peer.allow_full()
        if self._key is not None and self._key.public in self._wanted:
            for record in self._records.values():
                self._dial_validator(record)

    @property
    def present(self) -> tuple[bytes, ...]:
        """The session keys of the present set, in order."""
        return self._validators

    def validator_peers(self) -> list[Peer]:
        """Return the connected peers that proved a key of the present or next set."""
        return [peer for session, peers in self._by_session.items() if session in self._wanted for peer in peers]

    def peer_of(self, session: bytes) -> Peer | None:
        """Return the connected peer that proved a session key; the newest, where a key is in use twice."""
        peers = self._by_session.get(session)
        return peers[-1] if peers else None

    def twins_of(self, peer: Peer) -> list[Peer]:
        """Return the other connections that proved the key which this one proved."""
        peers = self._by_session.get(peer.session, ())
        return [other for other in peers if other is not peer] if len(peers) > 1 else []

    def index_of(self, peer: Peer) -> int | None:
        """Return the index in the present set that the peer has proven, if any."""
        if not peer.session or peer.session not in self._validators:
            return None
        return self._validators.index(peer.session)

    def is_validator(self, peer: Peer) -> bool:
        """Whether the peer proved a key of the present or next set."""
        return peer.session in self._wanted

    def is_reserved(self, peer: Peer) -> bool:
        """Whether the peer is at an address we always keep."""
        return any(target.identity == peer.identity for target in self._targets.values())

    def is_reserved_host(self, host: str) -> bool:
        """Whether a peer we always keep lives at this host."""
        return any(address[0] == host for address in self._targets)

    def greet(self, peer: Peer) -> None:
        """Say to a new peer what it should know of us: who signs here, and where validators are."""
        if self._key is not None:
            self._prove(self._key, peer)
        wanted = [record.encode() for session, record in self._records.items() if session in self._wanted]
        for start in range(0, len(wanted), PEERS_MAX):
            peer.send(ValidatorAddresses(tuple(wanted[start : start + PEERS_MAX])))

    def prove_anew(self) -> None:
        """Prove the session key on every connection: it changed, or its holder answers again."""
        if self._key is not None:
            self._proven = self._key.public
            for peer in self._server.peers.values():
                self._prove(self._key, peer)
            self._publish(self._key)
            record = self._records.get(self._proven)
            if record is not None:
                for peer in self._server.peers.values():
                    peer.send(ValidatorAddresses((record.encode(),)))

    def _prove(self, key: SessionKey, peer: Peer) -> None:
        try:
            signature = key.sign_peer(peer.handshake_hash, initiator=peer.initiator)
        except Unavailable:
            return  # `prove_anew` follows when the holder of the key is back
        peer.send(ValidatorAuth(key.public, signature))

    def on_auth(self, peer: Peer, auth: ValidatorAuth) -> None:
        """Bind a session key to a connection.

        Raises:
            BadAuth: not signed by that key for this very connection.
        """
        message = peer_statement(self._genesis, peer.handshake_hash, initiator=not peer.initiator)
        own = self._key is not None and auth.session == self._key.public
        if own or not ed25519.verify(auth.signature, message, auth.session):
            raise BadAuth("our own session key" if own else "the signature is not of this connection")
        self._unbind(peer)  # one key for each connection: what is kept stays bounded
        peer.session = auth.session
        peers = self._by_session.setdefault(auth.session, [])
        peers.append(peer)
        if auth.session in self._wanted:
            peer.allow_full()
        if len(peers) > PEERS_OF_A_KEY_MAX:
            peers[0].disconnect(Reason.DUPLICATE, "its session key is proven elsewhere")

    def on_closed(self, peer: Peer) -> None:
        """A peer is gone."""
        self._unbind(peer)
        self._wake.set()

    def _unbind(self, peer: Peer) -> None:
        peers = self._by_session.get(peer.session, [])
        if peer in peers:
            peers.remove(peer)
        if not peers:
            self._by_session.pop(peer.session, None)

    # -- addresses

    def on_opened(self, peer: Peer) -> None:
        """Learn the addresses a new peer can give."""
        if peer.initiator:
            self._book.reached(peer.address)
            if not self._config.reserved_only:
                peer.send(GetPeers())
        elif peer.hello is not None and peer.hello.listen_port:
            self._book.add((peer.address[0], peer.hello.listen_port), peer.address[0])
        self._wake.set()

    def on_get_peers(self, peer: Peer) -> None:
        """Tell addresses we reached ourselves and of who reached us; those of this machine only to peers on it."""
        if self._config.reserved_only:
            return
        local = is_local(peer.address[0])

        def may_tell(host: str) -> bool:
            return is_public(host) or (local and is_local(host))

        present = [
            (other.address[0], other.hello.listen_port)
            for other in self._server.peers.values()
            if other is not peer and not other.initiator and other.hello is not None and other.hello.listen_port
        ]
        told = [address for address in present if may_tell(address[0])]
        reached = self._book.sample(ADDRESSES_TOLD, may_tell)
        told = self._random.sample(told, min(len(told), max(ADDRESSES_TOLD // 2, ADDRESSES_TOLD - len(reached))))
        peer.send(Peers(tuple(dict.fromkeys(told + reached))[:ADDRESSES_TOLD]))

    def on_peers(self, peer: Peer, message: Peers) -> None:
        """Note hearsay."""
        local = is_local(peer.address[0])
        for host, port in message.addresses:
            if port and (is_public(host) or (local and is_local(host))):
                self._book.add((host, port), peer.address[0])
        self._wake.set()

    def on_records(self, peer: Peer, message: ValidatorAddresses) -> None:
        """Take newer address records of validators and pass them on.

        Raises:
            BadAuth: a record is damaged or its signature is wrong.
        """
        fresh = []
        for data in message.records:
            record = AddressRecord.decode(data)
            known = self._records.get(record.session)
            if record.session not in self._wanted or (known is not None and known.sequence >= record.sequence):
                continue
            record.check_signature(self._genesis)
            self._store(record)
            fresh.append(data)
        if fresh:
            for other in self._server.peers.values():
                if other is not peer:
                    other.send(ValidatorAddresses(tuple(fresh)))

    def _publish(self, key: SessionKey) -> None:
        addresses = tuple(parse(text) for text in self._config.public_addresses[:ADDRESSES_MAX])
        if not addresses:
            return
        sequence = time.time_ns() // 10**6  # grows over restarts without being stored
        record = AddressRecord(key.public, self._server.identity, sequence, addresses)
        try:
            signature = key.sign_address(record)
        except Unavailable:
            return
        self._records[key.public] = replace(record, signature=signature)

    def _store(self, record: AddressRecord) -> None:
        self._records[record.session] = record
        self._records.move_to_end(record.session)
        if len(self._records) > RECORDS_MAX:
            self._records.popitem(last=False)
        self._dial_validator(record)

    def _dial_validator(self, record: AddressRecord) -> None:
        validating = self._key is not None and self._key.public in self._wanted
        if validating and record.session in self._wanted and record.session not in self._by_session:
            for address in record.addresses:
                self.keep(address)

    # -- dialling

    async def _keep(self, target: Target) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connected = self._server.peers.get(target.identity)
            if connected is not None:
                await connected.over
            started = loop.time()
            try:
                peer = await self._server.dial(target.address)
            except CannotDial as failure:
                log.debug("cannot dial", extra={"address": target.address, "failure": str(failure)})
            else:
                target.identity = peer.identity or target.identity
                if peer.reason is Reason.SELF:
                    self._book.forget(target.address, own=True)
                    return
                await peer.over
                if loop.time() - started > STEADY_S or peer.reason is Reason.DUPLICATE:
                    target.pause = PAUSE_MIN_S
                elif peer.reason in HOPELESS:
                    target.pause = PAUSE_HOPELESS_S
            await asyncio.sleep(target.pause * self._random.uniform(0.5, 1.0))
            target.pause = min(max(PAUSE_MAX_S, target.pause), target.pause * 1.6)

    async def _find_peers(self) -> None:
        """Fill the outbound slots from the book; waits for news when nothing can be done."""
        loop = asyncio.get_running_loop()
        for anchor in self._book.anchors:
            await self._try(anchor)
        while True:
            outbound = list(self._server.outbound())
            address = None
            if len(outbound) < self._config.outbound_target:
                address = self._book.pick(loop.time(), self._may_dial)
            if address is not None:
                await self._try(address)
                await asyncio.sleep(SEARCH_PAUSE_S * self._random.uniform(0.1, 0.3))
                continue
            self._wake.clear()
            try:
                async with asyncio.timeout(SEARCH_AGAIN_S):
                    await self._wake.wait()
            except TimeoutError:
                self._ask_again()
            await asyncio.sleep(SEARCH_PAUSE_S * self._random.uniform(0.1, 0.3))

    def _ask_again(self) -> None:
        peers = list(self._server.peers.values())
        if peers and sum(1 for _ in self._server.outbound()) < self._config.outbound_target:
            self._random.choice(peers).send(GetPeers())

    async def _try(self, address: Address) -> None:
        try:
            peer = await self._server.dial(address)
        except CannotDial:
            self._book.failed(address, asyncio.get_running_loop().time())
            return
        if peer.is_open or peer.reason is Reason.DUPLICATE:
            self._book.reached(address)
        elif peer.reason in (Reason.SELF, Reason.OTHER_GENESIS):
            self._book.forget(address, own=peer.reason is Reason.SELF)
        else:
            self._book.failed(address, asyncio.get_running_loop().time())

    def _may_dial(self, address: Address) -> bool:
        if address in self._targets:
            return False
        for peer in self._server.peers.values():
            if peer.address == address:
                return False
            listening = peer.hello.listen_port if peer.hello is not None else 0
            if not peer.initiator and (peer.address[0], listening) == address:
                return False
            if peer.initiator and not is_local(address[0]) and wide_group(peer.address[0]) == wide_group(address[0]):
                return False
        return True

    def _anchors(self) -> list[Address]:
        return [peer.address for peer in sorted(self._server.outbound(), key=lambda peer: peer.opened_at)]
