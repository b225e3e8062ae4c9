"""Parts of the node as other parts want to see them: small adapters that the composition root puts between rooms."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from aitoken.crypto import ed25519
from aitoken.proto.votes import Certificate
from aitoken.types import Hash32
from consensus.messages import Evidence
from node.ports import Block
from node.reports import described
from node.rpc.ports import Peer
from node.signer.errors import KeyInUse
from node.signer.remote import RemoteSigner
from node.signer.rotation import Rotation

if TYPE_CHECKING:
    from node.chain.tree import Chain
    from node.driver.driver import Driver
    from node.net.network import Network
    from node.pool.pool import Pool

log = logging.getLogger(__name__)


class ConsensusFace:
    """What agreement tells (`node.driver.ports.Observer`) and what JSON-RPC asks of it (`ConsensusView`)."""

    def __init__(
        self,
        chain: Chain,
        network: Network,
        rotation: Rotation,
        fail: Callable[[BaseException], None],
        report: Callable[[Evidence], None],
    ) -> None:
        self._chain = chain
        self._network = network
        self._rotation = rotation
        self._signer = rotation.signer
        self._fail = fail
        self._report = report
        self.driver: Driver | None = None
        self.alarms: list[str] = []

    def head(self, block_hash: Hash32) -> None:
        """The block is the best one now."""
        self._chain.set_best(block_hash)

    def evidence(self, evidence: Evidence) -> None:
        """Somebody provably cheated: say so, and report it to the chain."""
        extra = described(evidence) | {"evidence": repr(evidence)}
        log.warning("a validator signed two votes that exclude each other", extra=extra)
        self._report(evidence)

    def behind(self, certificate: Certificate) -> None:
        """A final block is not here: block sync may help."""
        self._network.behind(certificate)

    def alarm(self, code: str, reason: str) -> None:
        """This node stopped signing."""
        self.alarms.append(code)
        log.critical("%s", reason, extra={"code": code})
        if code == KeyInUse.code:
            self._fail(KeyInUse(reason))

    @property
    def is_validator(self) -> bool:
        """Whether this node votes."""
        return self._signer is not None

    def round_state(self) -> dict[str, Any]:
        """Epoch, view and votes so far, as JSON values."""
        if self.driver is None:
            return {}
        signer = self._signer
        lost = isinstance(signer, RemoteSigner) and not signer.is_there
        key = None if signer is None else "0x" + signer.public.hex()
        return asdict(self.driver.round_state()) | {"key": key, "signer_lost": lost, "alarms": list(self.alarms)}

    def rotate_keys(self, owner: bytes | None = None) -> tuple[bytes, bytes]:
        """Make session keys beside those in use."""
        return self._rotation.rotate(owner)

    def insert_key(self, kind: str, pair: ed25519.Pair) -> None:
        """Keep a key that the chain does not know."""
        self._rotation.insert(kind, pair, self._chain.best.state)

    def has_key(self, kind: str, public: bytes) -> bool:
        """Whether a key of a kind is kept here."""
        return self._rotation.holds(kind, public)

    def has_keys(self, publics: bytes) -> bool:
        """Whether this node signs with these session keys."""
        return self._rotation.has(publics)


class NetworkFace:
    """The network as JSON-RPC sees it (`NetworkView`)."""

    def __init__(self, network: Network, chain: Chain) -> None:
        self._network = network
        self._chain = chain

    @property
    def peer_id(self) -> str:
        """Our own name in the network."""
        return self._network.peer_id

    def peers(self) -> list[Peer]:
        """Connected peers, with the final block each told of when it connected."""
        return [
            Peer(
                peer.identity.hex(),
                Hash32(peer.hello.final_hash if peer.hello is not None else bytes(32)),
                peer.hello.final_number if peer.hello is not None else 0,
                "AUTHORITY" if self._network.mesh.is_validator(peer) else "FULL",
            )
            for peer in self._network.open_peers()
        ]

    def listen_addresses(self) -> Sequence[str]:
        """Multiaddresses this node can be dialled at."""
        return self._network.listen_addresses()

    def is_syncing(self) -> bool:
        """Whether peers are known to be well ahead of us."""
        return self._network.is_syncing()

    def highest_seen(self) -> int:
        """The greatest height a peer told of; our own where nobody is ahead."""
        return max(self._network.highest_seen(), self._chain.finalized.number)

    def add_reserved(self, address: str) -> None:
        """Always keep a connection to this peer."""
        self._network.add_reserved(address)


class Narrator:
    """Logs the life of the chain (`node.ports.ChainListener`)."""

    def on_block(self, block: Block) -> None:
        """Say that a block was executed."""
        log.debug("executed", extra={"number": block.number, "hash": block.hash.hex()})

    def on_best(self, block: Block) -> None:
        """Say nothing: finality follows at once."""

    def on_finalized(self, blocks: Sequence[Block], pruned: Sequence[Hash32]) -> None:
        """Say which blocks became final."""
        for block in blocks:
            extra: dict[str, object] = {
                "number": block.number,
                "hash": block.hash.hex(),
                "extrinsics": len(block.body),
            }
            if pruned and block is blocks[-1]:
                extra["pruned"] = len(pruned)
            log.info("final", extra=extra)


class Work:
    """Tells consensus whether there is anything to put into a block (`node.ports.ChainListener`)."""

    def __init__(self, pool: Pool, driver: Driver) -> None:
        self._pool = pool
        self._driver = driver

    def on_block(self, block: Block) -> None:
        """Nothing changes."""

    def on_best(self, block: Block) -> None:  # noqa: ARG002 - only that the head moved matters
        """What the head contains no longer waits."""
        self._driver.set_work(available=self._pool.ready_count > 0)

    def on_finalized(self, blocks: Sequence[Block], pruned: Sequence[Hash32]) -> None:
        """Nothing changes."""
