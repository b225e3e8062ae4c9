"""Nodes that serve the state of a `ProvenChain` from real databases over loopback sockets, and one that fetches it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aitoken.crypto.hashing import blake2_256
from aitoken.proto.digest import next_epoch_of
from aitoken.proto.finality import Anchor, genesis_anchor
from node.chain.states import States
from node.chain.tree import Chain, terminal_key
from node.net.network import Network, NetworkConfig
from node.net.warp import Warp
from node.ports import Block
from node.store.database import CommittedBlock, Database
from node.store.restore import Restoring
from node.warp import GenesisOnly
from tests.support.network import key_of
from tests.support.proven_chain import CURRENT_EPOCH_KEY, NOW_KEY, ProvenChain

ODD = {
    b"": b"at the root",
    b"a": b"v" * 40,
    b"ab": b"w" * 100,
    b"abc": b"",
    b"abd": b"1",
    b"b\x00": b"2",
    b"b\x01": b"3",
    b"long" * 60: b"x" * 33,
    b"long" * 60 + b"y": b"z" * 32,
    b"big": b"big" * 5_000,
}
"""Keys that begin others, values held by hash in branches, nodes that stand inside their parents."""


def many_accounts(count: int) -> dict[bytes, bytes]:
    """Entries of a map, spread as accounts are, and the odd ones."""
    return ODD | {b"\x26map" + blake2_256(b"%d" % n): b"%d" % n * (1 + n % 12) for n in range(count)}


def write(chain: ProvenChain, folder: Path, index: int, blocks: int | None) -> Chain:
    """Put the first `blocks` blocks (all of them) into a real database."""
    folder.mkdir(exist_ok=True)
    path = folder / f"server{index}"
    Database.create(path, chain.genesis_hash, chain.headers[0].encode(), chain.pairs[0].items())
    database = Database.open(path, chain.genesis_hash)
    header = chain.headers[0]
    final = Block(header.hash, header, (), database.state.child({}))
    database.state.absorb(final.state)  # type: ignore[arg-type]  # it is a layer
    view = Chain(database, database.state, chain.genesis_hash, final)
    grow(view, chain, (len(chain.headers) - 1) if blocks is None else blocks)
    return view


def grow(view: Chain, chain: ProvenChain, upto: int) -> None:
    """Commit blocks up to a height."""
    database = view._database
    for number in range(database.finalized()[0] + 1, upto + 1):
        header, certificate = chain.headers[number], chain.certificates[number]
        assert certificate is not None
        old, new = chain.pairs[number - 1], chain.pairs[number]
        changes = {key: new.get(key) for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
        layer = database.state.child(changes)
        assert layer.root == header.state_root
        ends = next_epoch_of(header.digest) is not None
        meta: dict[bytes, bytes | None] = {terminal_key(certificate.epoch): certificate.encode()} if ends else {}
        block = CommittedBlock(
            header.number, header.hash, header.encode(), (), certificate.encode(), layer.changes, layer.before
        )
        database.commit([block], meta)
        database.state.absorb(layer, database.view_at(number - 1))  # type: ignore[arg-type]
        view._final = view._best = Block(header.hash, header, (), layer)
        view._recent[header.hash] = view._final


class Server:
    """A node that serves."""

    def __init__(self, view: Chain, index: int) -> None:
        self.view = view
        self.states = States(view._database)
        self.network = Network(NetworkConfig(), key_of(index), view)
        self.network.states.attach(self.states)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.network.port}"

    @property
    def identity(self) -> bytes:
        """Its name."""
        return bytes.fromhex(self.network.peer_id)


@asynccontextmanager
async def serving(
    chain: ProvenChain, folder: Path, count: int, blocks: int | None = None
) -> AsyncIterator[list[Server]]:
    """Run servers with a database each."""
    servers = [Server(write(chain, folder, index, blocks), index) for index in range(count)]
    try:
        for server in servers:
            await server.network.start()
        yield servers
    finally:
        for server in servers:
            await server.network.stop()
            server.states.close()
            server.view._database.close()


def start_of(chain: ProvenChain) -> Anchor:
    """Genesis as a node knows it."""
    proof = chain.states[0].prove([CURRENT_EPOCH_KEY, NOW_KEY])
    return genesis_anchor(chain.genesis_hash, chain.headers[0], proof)


@asynccontextmanager
async def fetching(
    chain: ProvenChain, path: Path, servers: list[Server], **options: Any
) -> AsyncIterator[tuple[Warp, Network]]:
    """A new node, connected to all servers."""
    reserved = tuple(server.address for server in servers)
    network = Network(NetworkConfig(reserved=reserved), key_of(99), GenesisOnly(chain.headers[0]))  # type: ignore[arg-type]  # a part
    await network.start()
    try:
        yield (
            Warp(
                network,
                network.states,
                network.sync,
                start_of(chain),
                begin=lambda header: Restoring.begin(path, header),
                resumed=Restoring.resume(path),
                **options,
            ),
            network,
        )
    finally:
        await network.stop()
