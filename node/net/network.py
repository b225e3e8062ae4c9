"""The network of one node: sockets, mesh, gossip and sync put together, with one table of who handles what.

Other rooms see three faces of it. The consensus driver sends and broadcasts (`broadcast`, `send`, `send_validator`),
JSON-RPC reads (`peers`, `peer_id`, ...), the composition root starts and stops.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from aitoken.errors import Rejected
from aitoken.proto.votes import Certificate, Vote
from consensus import messages as consensus
from node.net.addresses import multiaddress, parse
from node.net.book import Book
from node.net.channels import Channel
from node.net.mesh import Mesh, MeshConfig, SessionKey
from node.net.messages import GetPeers, Hello, Message, Peers, Reason, Role, ValidatorAddresses, ValidatorAuth
from node.net.peer import Peer
from node.net.ports import ConsensusInbox, PeerId
from node.net.score import Deed, Scores
from node.net.server import VERSION_MAX, VERSION_MIN, Server, ServerConfig
from node.net.wire import channel_of, encode
from node.ports import ChainView

AGENT: Final = "aitoken/0.1"
NONCE_SIZE: Final = 8

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Everything an operator may set about the network."""

    host: str = "127.0.0.1"
    port: int = 0
    chain_id: str = "devnet"
    agent: str = AGENT
    reserved: tuple[str, ...] = ()
    public_addresses: tuple[str, ...] = ()
    inbound_max: int = 40
    outbound_target: int = 8
    reserved_only: bool = False
    book_path: Path | None = None


class Network:
    """This node among its peers."""

    def __init__(
        self,
        config: NetworkConfig,
        static_key: bytes,
        chain: ChainView,
        session_key: SessionKey | None = None,
    ) -> None:
        """Store what it is made of; nothing is opened before `start`.

        Args:
            config: settings.
            static_key: the node's private X25519 key (`aitoken.keystore.node_keys.network_key`).
            chain: what the node knows of the chain.
            session_key: the validator's key, where this node has one.
        """
        self._config = config
        self._chain = chain
        self._nonce = secrets.token_bytes(NONCE_SIZE)
        self._session_key = session_key
        self._scores = Scores()
        self._server = Server(
            ServerConfig(config.host, config.port, config.inbound_max), static_key, self, self._scores, self._hello
        )
        self._book = Book(config.book_path)
        self.mesh = Mesh(
            MeshConfig(config.reserved, config.public_addresses, config.outbound_target, config.reserved_only),
            self._server,
            self._book,
            chain.genesis_hash,
            session_key,
        )
        self._consensus: ConsensusInbox | None = None
        self._handlers: dict[type[Any], Callable[[Peer, Any], None]] = {
            ValidatorAuth: self._on_auth,
            GetPeers: lambda peer, _: self.mesh.on_get_peers(peer),
            Peers: self.mesh.on_peers,
            ValidatorAddresses: self.mesh.on_records,
            **dict.fromkeys(
                (
                    Vote,
                    Certificate,
                    consensus.Proposal,
                    consensus.Status,
                    consensus.GetCertificates,
                    consensus.GetBlock,
                    consensus.BlockReply,
                    consensus.NotHave,
                    consensus.Evidence,
                ),
                self._on_consensus,
            ),
        }

    # -- life

    def attach_consensus(self, inbox: ConsensusInbox) -> None:
        """Set who gets the messages of consensus; before `start`."""
        self._consensus = inbox

    async def start(self) -> None:
        """Listen and dial."""
        self._book.load()
        await self._server.start()
        self.mesh.start()
        log.info("listening", extra={"address": f"{self._config.host}:{self.port}", "peer_id": self.peer_id})

    async def stop(self) -> None:
        """Close everything, telling the peers."""
        await self.mesh.stop()
        await self._server.stop()

    @property
    def port(self) -> int:
        """The port we listen on."""
        return self._server.port

    # -- the driver's face

    def set_validators(self, present: Sequence[bytes], following: Iterable[bytes] = ()) -> None:
        """Set the session keys of the present validators in order, and those of the next set once known."""
        self.mesh.set_validators(present, following)

    def broadcast(self, message: consensus.Message) -> None:
        """Send to every connected validator of the epoch."""
        self._send_all(self.mesh.validator_peers(), message)

    def announce(self, message: consensus.Message) -> None:
        """Send to every connected peer that is no validator of the epoch."""
        self._send_all((peer for peer in self._open() if not self.mesh.is_validator(peer)), message)

    def send(self, peer: Hashable, message: consensus.Message) -> None:
        """Send to one peer; nothing happens where the connection is gone."""
        found = self._server.peers.get(cast(PeerId, peer))
        if found is not None:
            if type(message) is consensus.GetBlock:
                found.allow_full(Channel.PROPOSALS)
            found.send(message)

    def peers(self) -> list[PeerId]:
        """Return the connected peers, validators first, in the order in which they came."""
        return [peer.identity for peer in sorted(self._open(), key=lambda peer: not self.mesh.is_validator(peer))]

    def validator(self, key: bytes) -> PeerId | None:
        """Return the peer that proved to hold this validator key, where it is directly connected."""
        found = self.mesh.peer_of(key)
        return found.identity if found is not None else None

    def misbehaved(self, peer: Hashable, code: str) -> None:
        """The peer sent something that no honest node sends."""
        found = self._server.peers.get(cast(PeerId, peer))
        if found is not None:
            self._server.punish(found, Deed.BROKE_PROTOCOL, code)

    # -- JSON-RPC's face

    @property
    def peer_id(self) -> str:
        """Our name in the network."""
        return self._server.identity.hex()

    def listen_addresses(self) -> list[str]:
        """Multiaddresses this node can be dialled at."""
        own = [parse(text) for text in self._config.public_addresses] or [(self._config.host, self.port)]
        return [multiaddress(address) for address in own]

    def refusals(self) -> dict[Reason, int]:
        """Return how many connections ended for which reason."""
        return dict(self._server.refusals)

    def add_reserved(self, address: str) -> None:
        """Always keep a connection to an address.

        Raises:
            BadAddress: it means nothing.
        """
        self.mesh.keep(parse(address))

    # -- the server's owner

    def opened(self, peer: Peer) -> None:
        """Greet a new peer."""
        self.mesh.greet(peer)
        self.mesh.on_opened(peer)
        claims_to_validate = peer.hello is not None and peer.hello.roles & Role.VALIDATOR
        if self._consensus is not None and not claims_to_validate:
            self._consensus.on_connected(peer.identity)

    def received(self, peer: Peer, message: Message) -> None:
        """Hand a message to whom it concerns."""
        handler = self._handlers.get(type(message))
        if handler is not None:
            handler(peer, message)

    def closed(self, peer: Peer) -> None:
        """Forget a peer."""
        self.mesh.on_closed(peer)

    def is_privileged(self, peer: Peer) -> bool:
        """Whether the peer is reserved or a proven validator."""
        return self.mesh.is_validator(peer) or self.mesh.is_reserved(peer)

    # -- handlers

    def _on_auth(self, peer: Peer, auth: ValidatorAuth) -> None:
        try:
            self.mesh.on_auth(peer, auth)
        except Rejected as bad:
            peer.disconnect(Reason.BAD_AUTH, str(bad))
            return
        if self._consensus is not None:
            self._consensus.on_connected(peer.identity)

    def _on_consensus(self, peer: Peer, message: Any) -> None:
        if self._consensus is not None:
            self._consensus.on_message(peer.identity, message)

    def _send_all(self, peers: Iterable[Peer], message: Message) -> None:
        channel, data = channel_of(message), encode(message)
        for peer in peers:
            peer.send_encoded(channel, data)

    def _open(self) -> list[Peer]:
        return list(self._server.peers.values())

    def _hello(self) -> Hello:
        final = self._chain.finalized
        roles = Role.FULL if self._session_key is None else Role.FULL | Role.VALIDATOR
        return Hello(
            self._chain.genesis_hash,
            VERSION_MIN,
            VERSION_MAX,
            roles,
            self._config.chain_id,
            self._config.agent,
            self.port,
            final.number,
            final.hash,
            self._nonce,
        )
