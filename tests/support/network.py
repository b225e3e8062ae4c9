"""Several networks in one process, on real loopback sockets, with fakes for chain and consensus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256
from node.net.network import Network, NetworkConfig
from node.ports import ChainView

GENESIS = blake2_256(b"genesis of the network tests")


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Let the loop run until `condition` holds.

    Raises:
        TimeoutError: it does not hold in time.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - any condition, not one of ours
            await asyncio.sleep(0.002)


@dataclass
class Tip:
    """As much of a block as the network looks at."""

    number: int
    hash: bytes


@dataclass
class FakeChain:
    """A chain of a given genesis with nothing on it."""

    genesis_hash: bytes = GENESIS

    @property
    def finalized(self) -> Tip:
        """Genesis."""
        return Tip(0, self.genesis_hash)

    @property
    def best(self) -> Tip:
        """Genesis."""
        return self.finalized


@dataclass
class Inbox:
    """Notes what consensus would be told."""

    messages: list[tuple[bytes, Any]] = field(default_factory=list)
    connected: list[bytes] = field(default_factory=list)
    on_arrival: Callable[[bytes, Any], None] | None = None

    def on_message(self, peer: bytes, message: Any) -> None:
        """Note it."""
        self.messages.append((peer, message))
        if self.on_arrival is not None:
            self.on_arrival(peer, message)

    def on_connected(self, peer: bytes) -> None:
        """Note it."""
        self.connected.append(peer)


def key_of(index: int) -> bytes:
    """Return a private network key."""
    return blake2_256(b"network key %d" % index)


def session_of(index: int) -> Pair:
    """Return a validator's key."""
    return Pair(blake2_256(b"session key %d" % index))


@dataclass
class Node:
    """A network and what it told consensus."""

    network: Network
    inbox: Inbox
    session: Pair | None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.network.port}"

    @property
    def validators(self) -> int:
        """How many other validators it is connected to."""
        return len(self.network.mesh.validator_peers())


def make_node(
    index: int,
    reserved: Sequence[str] = (),
    *,
    validator: bool = False,
    validators: int = 0,
    chain: Any = None,
    **config: Any,
) -> Node:
    """Build a node that is not started; `validators` is how many the epoch has."""
    session = session_of(index) if validator else None
    view = cast(ChainView, chain or FakeChain())
    network = Network(NetworkConfig(reserved=tuple(reserved), **config), key_of(index), view, session)
    inbox = Inbox()
    network.attach_consensus(inbox)
    network.set_validators([session_of(each).public for each in range(validators)])
    return Node(network, inbox, session)


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
async def mesh(count: int, **config: Any) -> AsyncIterator[list[Node]]:
    """Run `count` validators, each knowing the addresses of those before it, until they are all connected."""
    nodes: list[Node] = []
    try:
        for index in range(count):
            addresses = [node.address for node in nodes]
            node = make_node(index, addresses, validator=True, validators=count, **config)
            nodes.append(node)
            await node.network.start()
        await until(lambda: all(node.validators == count - 1 for node in nodes))
        yield nodes
    finally:
        for node in nodes:
            await node.network.stop()
        await asyncio.sleep(0.01)
