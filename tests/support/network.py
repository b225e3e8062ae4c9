"""Several networks in one process, on real loopback sockets, with fakes for chain and consensus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256
from aitoken.proto.digest import Digest, SmpxDigest, leading_items_of
from aitoken.proto.header import Header
from aitoken.proto.randomness import UNPROVEN
from aitoken.proto.votes import FINALIZE, NOTARIZE, BadSignature, Certificate, Vote
from aitoken.types import BlockNumber, Hash32
from chain.state.ordered import ordered_root
from consensus.messages import Full, Proposal
from consensus.types import Block
from node.driver.headers import genesis_block, read_block
from node.net.network import Network, NetworkConfig
from node.ports import ChainView
from node.signer.local import Key, LocalSigner

GENESIS = blake2_256(b"genesis of the network tests")


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Let the loop run until `condition` holds.

    Raises:
        TimeoutError: it does not hold in time.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - any condition, not one of ours
            await asyncio.sleep(0.002)


def make_block(parent: Block, extrinsics: Sequence[bytes] = (), *, epoch: int = 0, view: int = 0) -> Block:
    """Return a block on `parent` whose header names exactly these extrinsics."""
    number = parent.number + 1
    smpx = SmpxDigest(1, epoch, view or number, max(0, (view or number) - 1), 0, 1000 * number, *UNPROVEN)
    digest = Digest(leading_items_of(smpx))
    header = Header(parent.hash, BlockNumber(number), Hash32(bytes(32)), ordered_root(extrinsics), digest)
    return read_block(header.encode(), tuple(extrinsics))


def certify(block: Block) -> Certificate:
    """Return a finalization of a block; its signatures are zeros."""
    return Certificate(FINALIZE, block.epoch, block.view, block.hash, b"\x07", (bytes(64),) * 3)


def propose(block: Block) -> Proposal:
    """Return a full proposal of a block."""
    vote = Vote(NOTARIZE, block.epoch, block.view, block.hash, 0, bytes(64))
    return Proposal(block.epoch, block.view, block.parent_view, vote, Full(block.header, block.extrinsics), ())


@dataclass
class FakeChain:
    """Final blocks of a given genesis, every one certified unless listed in `bare`; read as a `ChainView`."""

    genesis_hash: bytes = GENESIS
    blocks: list[Block] = field(default_factory=list)
    bare: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.blocks.insert(0, genesis_block(self.genesis_hash, 0))

    @property
    def finalized(self) -> Block:
        """The last block."""
        return self.blocks[-1]

    best = finalized

    def grow(self, count: int, extrinsics: Sequence[bytes] = (), *, epoch_length: int = 1000) -> None:
        """Add blocks."""
        for _ in range(count):
            epoch = len(self.blocks) // epoch_length
            self.blocks.append(make_block(self.blocks[-1], extrinsics, epoch=epoch))

    def _by_hash(self, block_hash: bytes) -> Block | None:
        return next((block for block in self.blocks[1:] if block.hash == block_hash), None)

    def hash_of(self, number: int) -> Hash32 | None:
        """By height."""
        return self.blocks[number].hash if number < len(self.blocks) else None

    def header(self, block_hash: Hash32) -> Header | None:
        """By hash."""
        block = self._by_hash(block_hash)
        return Header.decode(block.header) if block is not None else None

    def body(self, block_hash: Hash32) -> Sequence[bytes] | None:
        """By hash."""
        block = self._by_hash(block_hash)
        return block.extrinsics if block is not None else None

    def justification(self, block_hash: Hash32) -> bytes | None:
        """By hash."""
        block = self._by_hash(block_hash)
        return certify(block).encode() if block is not None and block.number not in self.bare else None

    def certified_from(self, number: int, limit: int) -> int | None:
        """The next block that is not bare."""
        return next((n for n in range(number, min(number + limit, len(self.blocks))) if n not in self.bare), None)


@dataclass
class Inbox:
    """In place of the consensus driver: notes what it is told, and commits what sync brings."""

    chain: FakeChain
    keys: tuple[bytes, ...] = ()
    messages: list[tuple[bytes, Any]] = field(default_factory=list)
    connections: list[bytes] = field(default_factory=list)
    disconnections: list[bytes] = field(default_factory=list)
    on_arrival: Callable[[bytes, Any], None] | None = None
    ranges: list[tuple[int, int]] = field(default_factory=list)

    def receive(self, peer: bytes, message: Any) -> None:
        """Note it."""
        self.messages.append((peer, message))
        if self.on_arrival is not None:
            self.on_arrival(peer, message)

    def connected(self, peer: bytes) -> None:
        """Note it."""
        self.connections.append(peer)

    def disconnected(self, peer: bytes) -> None:
        """Note it."""
        self.disconnections.append(peer)

    @property
    def core(self) -> Any:
        """As much of the core as says who the validators are."""
        return SimpleNamespace(epoch=SimpleNamespace(index=self.epoch, validators=SimpleNamespace(keys=self.keys)))

    @property
    def epoch(self) -> int:
        """That of the block after the last one; the chains here announce none, so as many begin as are asked for."""
        return 2**32

    @property
    def committed(self) -> Block:
        """The end of the chain."""
        return self.chain.finalized

    def synced(self, blocks: Sequence[Block], certificate: Certificate) -> None:
        """Commit a range; a forged certificate has other signatures than zeros."""
        if any(signature != bytes(64) for signature in certificate.signatures):
            raise BadSignature("forged")
        self.ranges.append((blocks[0].number, blocks[-1].number))
        for block in blocks:
            if block.number == self.committed.number + 1:
                self.chain.blocks.append(block)


def key_of(index: int) -> bytes:
    """Return a private network key."""
    return blake2_256(b"network key %d" % index)


def session_of(index: int) -> Pair:
    """Return a validator's key."""
    return Pair(blake2_256(b"session key %d" % index))


def signer_of(session: Pair | None) -> LocalSigner | None:
    """Return a signer that names a peer and signs no votes."""
    return None if session is None else LocalSigner(GENESIS, [Key(session, None)])


@dataclass
class Node:
    """A network and what it told consensus."""

    network: Network
    inbox: Inbox
    chain: FakeChain
    session: Pair | None
    pool: Any = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.network.port}"

    @property
    def validators(self) -> int:
        """How many other validators it is connected to."""
        return len(self.network.validator_peers())


def make_node(
    index: int,
    reserved: Sequence[str] = (),
    *,
    validator: bool = False,
    validators: int = 0,
    key: int | None = None,
    chain: FakeChain | None = None,
    pool: Any = None,
    **config: Any,
) -> Node:
    """Build a node that is not started; `validators` is how many the epoch has, `key` whose session key it has."""
    session = session_of(index if key is None else key) if validator else None
    chain = chain or FakeChain()
    view = cast(ChainView, chain)
    network = Network(NetworkConfig(reserved=tuple(reserved), **config), key_of(index), view, signer_of(session))
    inbox = Inbox(chain, tuple(session_of(each).public for each in range(validators)))
    network.attach_consensus(inbox)
    if pool is not None:
        network.attach_pool(pool)
    return Node(network, inbox, chain, session, pool)


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    """Start nodes, and stop them whatever happens."""
    try:
        for node in nodes:
            await node.network.start()
        yield
    finally:
        for node in nodes:
            await node.network.stop()
        await asyncio.sleep(0.01)


@asynccontextmanager
async def mesh(count: int, make_pool: Callable[[], Any] | None = None, **config: Any) -> AsyncIterator[list[Node]]:
    """Run `count` validators, each knowing the addresses of those before it, until they are all connected."""
    nodes: list[Node] = []
    try:
        for index in range(count):
            addresses = [node.address for node in nodes]
            pool = make_pool() if make_pool is not None else None
            node = make_node(index, addresses, validator=True, validators=count, pool=pool, **config)
            nodes.append(node)
            await node.network.start()
        await until(lambda: all(node.validators == count - 1 for node in nodes))
        yield nodes
    finally:
        for node in nodes:
            await node.network.stop()
        await asyncio.sleep(0.01)
