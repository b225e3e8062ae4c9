"""The network of one node: sockets, mesh, gossip and sync put together, with one table of who handles what.

Other rooms see three faces of it. The consensus driver sends and broadcasts (`broadcast`, `send`, `send_validator`),
JSON-RPC reads (`peers`, `peer_id`, ...), the composition root starts and stops.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from aitoken.errors import Rejected
from aitoken.proto.header import Header
from aitoken.proto.votes import Certificate, Vote
from consensus import messages as consensus
from node.bodies import Bodies
from node.net.addresses import multiaddress, parse
from node.net.book import Book
from node.net.channels import Channel
from node.net.compact import NothingKnown, Proposals
from node.net.gossip import Gossip
from node.net.mesh import Mesh, MeshConfig, SessionKey
from node.net.messages import (
    Announce,
    Blocks,
    CompactProposal,
    Epochs,
    GetBlocks,
    GetEpochs,
    GetPeers,
    GetState,
    GetTransactions,
    Hello,
    Message,
    Peers,
    Reason,
    Role,
    StateLeaves,
    StateNode,
    Transactions,
    ValidatorAddresses,
    ValidatorAuth,
)
from node.net.peer import Peer
from node.net.ports import Consensus, ConsensusMessage, PeerId, TransactionPool
from node.net.score import UNWANTED, Deed, Scores
from node.net.server import VERSION_MAX, VERSION_MIN, Server, ServerConfig
from node.net.state_sync import StateSync
from node.net.sync import GAP, BlockSync
from node.net.wire import channel_of, encode
from node.ports import ChainView
from node.tasks import cancel, spawn

AGENT: Final = "aitoken/0.1"
BEHIND: Final = 16
"""A node so many blocks behind neither announces transactions nor asks for them."""

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
        bodies: Bodies | None = None,
    ) -> None:
        """Store what it is made of; nothing is opened before `start`.

        Args:
            config: settings.
            static_key: a private X25519 key made for this process: two processes are two peers, copied or not.
            chain: what the node knows of the chain.
            session_key: the validator's key, where this node has one.
            bodies: shared with whoever builds and executes blocks.
        """
        self._config = config
        self._bodies = bodies
        self._chain = chain
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
        self.sync = BlockSync(chain, self, bodies)
        self.states = StateSync(chain, self)
        self._gossip: Gossip | None = None
        self.counts: Counter[str] = Counter()
        """What happened so far, by name; for metrics."""
        self._proposals = Proposals(NothingKnown(), self._deliver, self.counts, bodies)
        self._consensus: Consensus | None = None
        self._validators: tuple[bytes, ...] = ()
        self._sync_task: asyncio.Task[None] | None = None
        self._handlers: dict[type[Any], Callable[[Peer, Any], None]] = {
            ValidatorAuth: self._on_auth,
            GetPeers: lambda peer, _: self.mesh.on_get_peers(peer),
            Peers: self.mesh.on_peers,
            ValidatorAddresses: self.mesh.on_records,
            Vote: self._on_vote,
            Certificate: self._deliver,
            consensus.GetCertificates: self._deliver,
            consensus.GetBlock: self._deliver,
            consensus.Evidence: self._deliver,
            consensus.Status: self._on_status,
            consensus.FinalityNote: self._on_finality_note,
            consensus.Proposal: lambda peer, message: self._proposals.on_full(peer, message),
            consensus.BlockReply: self._on_block_reply,
            consensus.NotHave: self._on_not_have,
            consensus.GetExtrinsics: lambda peer, message: self._proposals.on_get(peer, message),
            consensus.Extrinsics: lambda peer, message: self._proposals.on_extrinsics(peer, message),
            CompactProposal: lambda peer, message: self._proposals.on_compact(peer, message),
            GetBlocks: self.sync.on_get_blocks,
            Blocks: self.sync.on_blocks,
            GetEpochs: self.states.on_get_epochs,
            GetState: self.states.on_get_state,
            Epochs: self.states.on_answer,
            StateLeaves: self.states.on_answer,
            StateNode: self.states.on_answer,
        }

    # -- life

    def attach_consensus(self, driver: Consensus) -> None:
        """Set who gets the messages of consensus and the blocks of sync; before `start`."""
        self._consensus = driver
        self.sync.attach(driver)

    def attach_pool(self, pool: TransactionPool, next_leaders: Callable[[], Sequence[bytes]] | None = None) -> None:
        """Set where transactions wait; before `start`.

        Args:
            pool: the pool.
            next_leaders: session keys of the validators that lead soon; used in meshes of more than 16.
        """

        def leaders() -> list[Peer]:
            keys = next_leaders() if next_leaders is not None else self.mesh.present[:4]
            return [peer for peer in map(self.mesh.peer_of, keys) if peer is not None]

        gossip = self._gossip = Gossip(pool, self, lambda: self.sync.gap > BEHIND, leaders, self.counts)
        self._proposals = Proposals(gossip, self._deliver, self.counts, self._bodies)
        self._handlers |= {
            Announce: gossip.on_announce,
            GetTransactions: gossip.on_get,
            Transactions: gossip.on_transactions,
        }

    async def start(self) -> None:
        """Listen and dial."""
        self._book.load()
        await self._server.start()
        if self._gossip is not None:
            self._gossip.start()
        self._sync_task = spawn(self.sync.run(), "net: block sync")
        self.mesh.start()
        log.info("listening", extra={"address": f"{self._config.host}:{self.port}", "peer_id": self.peer_id})

    async def stop(self) -> None:
        """Close everything, telling the peers."""
        log.info("network so far", extra=dict(self.counts))
        await self.mesh.stop()
        if self._sync_task is not None:
            await cancel([self._sync_task])
        self._proposals.stop()
        if self._gossip is not None:
            await self._gossip.stop()
        await self._server.stop()

    @property
    def port(self) -> int:
        """The port we listen on."""
        return self._server.port

    # -- the driver's face

    def begin_epoch(self, keys: Sequence[bytes]) -> None:
        """Learn the validator keys of the epoch that runs from now on."""
        self.mesh.set_validators(keys)

    def broadcast(self, message: consensus.Message) -> None:
        """Send to every connected validator of the epoch."""
        compact = self._proposals.shrink(message) if isinstance(message, consensus.Proposal) else message
        self._send_all(self.validator_peers(), compact)

    def announce(self, message: consensus.Message) -> None:
        """Send to every connected peer that is no validator of the epoch."""
        self._follow_epoch()
        self._send_all([peer for peer in self.open_peers() if not self.mesh.is_validator(peer)], message)

    def send(self, peer: Hashable, message: consensus.Message) -> None:
        """Send to one peer; nothing happens where the connection is gone."""
        found = self._server.peers.get(cast(PeerId, peer))
        if found is not None:
            if type(message) is consensus.GetBlock:
                found.allow_full(Channel.PROPOSALS)
            found.send(message)

    def peers(self) -> list[PeerId]:
        """Return the connected peers, validators first, in the order in which they came."""
        return [peer.identity for peer in sorted(self.open_peers(), key=lambda peer: not self.mesh.is_validator(peer))]

    def validator(self, key: bytes) -> PeerId | None:
        """Return the peer that proved to hold this validator key, where it is directly connected."""
        found = self.mesh.peer_of(key)
        return found.identity if found is not None else None

    def misbehaved(self, peer: Hashable, code: str) -> None:
        """The peer sent something that no honest node sends."""
        found = self._server.peers.get(cast(PeerId, peer))
        if found is not None:
            self._server.punish(found, Deed.BROKE_PROTOCOL, code)

    def behind(self, certificate: Certificate) -> None:
        """Consensus knows a finalization it cannot follow: block sync may help."""
        self.sync.behind(certificate)

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

    def is_syncing(self) -> bool:
        """Whether peers are known to be well ahead of us."""
        return self.sync.gap > GAP

    def highest_seen(self) -> int:
        """The greatest final height a peer told of; 0 when none did."""
        return self.sync.highest_seen

    # -- what gossip and sync see

    def open_peers(self) -> list[Peer]:
        """Return the connections that are open."""
        return list(self._server.peers.values())

    def validator_peers(self) -> list[Peer]:
        """Return the peers that proved to be validators of the running epoch."""
        self._follow_epoch()
        return self.mesh.validator_peers()

    def is_validator(self, peer: Peer) -> bool:
        """Whether a peer is one of those."""
        return self.mesh.is_validator(peer)

    def is_wanted(self, peer: Peer) -> bool:
        """Whether a peer behaves well enough to be asked for something."""
        return self._scores.of(peer.identity, asyncio.get_running_loop().time()) > UNWANTED

    def punish(self, peer: Peer, deed: Deed, why: str = "") -> None:
        """Count what a peer did."""
        self._server.punish(peer, deed, why)

    # -- the server's owner

    def opened(self, peer: Peer) -> None:
        """Greet a new peer."""
        self._follow_epoch()
        self.mesh.greet(peer)
        self.mesh.on_opened(peer)
        if self._gossip is not None:
            self._gossip.opened(peer)
        if peer.hello is not None:
            self.sync.note_height(peer, peer.hello.final_number)
        claims_to_validate = peer.hello is not None and peer.hello.roles & Role.VALIDATOR
        if self._consensus is not None and not claims_to_validate:
            self._consensus.connected(peer.identity)

    def received(self, peer: Peer, message: Message, /) -> None:
        """Hand a message to whom it concerns."""
        handler = self._handlers.get(type(message))
        if handler is not None:
            handler(peer, message)

    def closed(self, peer: Peer) -> None:
        """Forget a peer."""
        self.mesh.on_closed(peer)
        self.sync.closed(peer)
        self.states.closed(peer)
        if self._gossip is not None:
            self._gossip.closed(peer)
        if self._consensus is not None and peer.identity not in self._server.peers:
            self._consensus.disconnected(peer.identity)

    def is_privileged(self, peer: Peer) -> bool:
        """Whether the peer is reserved or a proven validator."""
        return self.mesh.is_validator(peer) or self.mesh.is_reserved(peer)

    def is_reserved_host(self, host: str) -> bool:
        """Whether a reserved peer lives at this host."""
        return self.mesh.is_reserved_host(host)

    # -- handlers

    def _follow_epoch(self) -> None:
        """Aim the mesh at the validators of the running epoch; cheap when it is the same one."""
        if self._consensus is not None:
            keys = self._consensus.core.epoch.validators.keys
            if keys is not self._validators:
                self._validators = keys
                self.mesh.set_validators(keys)

    def _on_auth(self, peer: Peer, auth: ValidatorAuth) -> None:
        self._follow_epoch()
        try:
            self.mesh.on_auth(peer, auth)
        except Rejected as bad:
            peer.disconnect(Reason.BAD_AUTH, str(bad))
            return
        if self._consensus is not None:
            self._consensus.connected(peer.identity)

    def _on_vote(self, peer: Peer, vote: Vote) -> None:
        for twin in self.mesh.twins_of(peer):
            if vote.signer == self.mesh.index_of(peer):
                twin.send(vote)  # it hears its own key at once, and stops
        self._deliver(peer, vote)

    def _on_status(self, peer: Peer, message: consensus.Status) -> None:
        self.sync.note_height(peer, message.final_number)
        self._deliver(peer, message)

    def _on_finality_note(self, peer: Peer, message: consensus.FinalityNote) -> None:
        header = Header.decode(message.header)
        if header.hash == message.certificate.hash:
            self.sync.note_height(peer, header.number)
            self._deliver(peer, message)

    def _on_block_reply(self, peer: Peer, message: consensus.BlockReply) -> None:
        if not self._proposals.on_block(peer, message):
            self._deliver(peer, message)

    def _on_not_have(self, peer: Peer, message: consensus.NotHave) -> None:
        if not self._proposals.on_not_have(peer, message.hash):
            self._deliver(peer, message)

    def _deliver(self, peer: Peer, message: ConsensusMessage) -> None:
        if self._consensus is not None:
            self._consensus.receive(peer.identity, message)

    def _send_all(self, peers: Sequence[Peer], message: Message) -> None:
        if peers:
            channel, data = channel_of(message), encode(message)
            for peer in peers:
                peer.send_encoded(channel, data)

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
            0 if self._config.reserved_only else self.port,
            final.number,
            final.hash,
        )
