"""Transactions among nodes: everybody gets each once, by the cheapest way, and liars pay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aitoken.crypto.hashing import blake2_256
from node.net.known import RollingSet
from node.net.messages import Announce, GetTransactions, Transactions
from node.net.peer import Peer
from tests.support.network import make_node, mesh, running, until


@dataclass
class Xt:
    raw: bytes
    hash: bytes


@dataclass
class Ready:
    xt: Xt
    propagate: bool = True

    @property
    def hash(self) -> bytes:
        return self.xt.hash


class BadSignature(Exception):
    code = "transaction.bad_signature"


@dataclass
class FakePool:
    """Takes everything but what begins with `bad`."""

    held: dict[bytes, Xt] = field(default_factory=dict)
    submitted: list[bytes] = field(default_factory=list)
    broadcast: dict[bytes, Sequence[str]] = field(default_factory=dict)
    listeners: list[Callable[[Any], None]] = field(default_factory=list)

    def add(self, raw: bytes) -> bytes:
        xt = Xt(raw, blake2_256(raw))
        if xt.hash not in self.held:
            self.held[xt.hash] = xt
            for call in self.listeners:
                call([Ready(xt)])
        return xt.hash

    def lookup(self, tx_hash: bytes) -> Xt | None:
        return self.held.get(tx_hash)

    def ready(self) -> list[bytes]:
        return [xt.raw for xt in self.held.values()]

    def on_ready(self, call: Callable[[Any], None]) -> None:
        self.listeners.append(call)

    def note_broadcast(self, tx_hash: bytes, peers: Sequence[str]) -> None:
        self.broadcast[tx_hash] = peers

    async def submit_many(
        self, raws: Sequence[bytes], source: str, hashes: Sequence[bytes] | None = None
    ) -> list[object]:
        assert hashes is None or list(hashes) == [blake2_256(raw) for raw in raws]
        self.submitted += raws
        await asyncio.sleep(0)
        return [BadSignature() if raw.startswith(b"bad") else self.add(raw) for raw in raws]


def count_received(node: Any) -> dict[str, int]:
    """Count messages a node receives from now on, by type."""
    counts: dict[str, int] = {}
    inner = node.network.received

    def received(peer: Peer, message: Any) -> None:
        counts[type(message).__name__] = counts.get(type(message).__name__, 0) + 1
        inner(peer, message)

    node.network._server.received = received
    return counts


async def test_a_local_transaction_is_pushed_once_to_every_validator() -> None:
    async with mesh(4, FakePool) as nodes:
        counts = [count_received(node) for node in nodes]
        raws = [b"transaction %d" % number for number in range(500)]
        for raw in raws:
            nodes[0].pool.add(raw)

        await until(lambda: all(len(node.pool.held) == 500 for node in nodes))
        await asyncio.sleep(0.1)

        assert all(sorted(node.pool.submitted) == sorted(raws) for node in nodes[1:])
        assert sum(count.get("Announce", 0) for count in counts) == 0
        assert counts[1]["Transactions"] <= 4
        assert len(nodes[0].pool.broadcast[blake2_256(raws[0])]) == 3


async def test_full_nodes_pull_what_is_announced_and_pass_it_on() -> None:
    async with mesh(2, FakePool) as nodes:
        near = make_node(8, [nodes[0].address], validators=2, pool=FakePool())
        far = make_node(9, validators=2, pool=FakePool())
        async with running(near, far):
            far.network.add_reserved(near.address)
            await until(lambda: len(near.network.peers()) == 2)
            nodes[1].pool.add(b"from the mesh")
            far.pool.add(b"from afar")

            everybody = [*nodes, near, far]
            await until(lambda: all(len(node.pool.held) == 2 for node in everybody))

            assert all(len(set(node.pool.submitted)) == len(node.pool.submitted) for node in everybody)


async def test_a_new_peer_is_told_what_waits() -> None:
    node = make_node(0, pool=FakePool())
    node.pool.add(b"waiting")
    async with running(node):
        late = make_node(1, [node.address], pool=FakePool())
        async with running(late):
            await until(lambda: bool(late.pool.held))

            assert late.pool.submitted == [b"waiting"]


async def test_what_the_first_announcer_does_not_give_is_asked_of_the_next(monkeypatch: Any) -> None:
    monkeypatch.setattr("node.net.gossip.PULL_DEADLINE_S", 0.1)
    tx_hash = blake2_256(b"wanted")
    node = make_node(0, pool=FakePool())
    async with running(node):
        liar, holder = make_node(1, [node.address], pool=FakePool()), make_node(2, [node.address], pool=FakePool())
        async with running(liar, holder):
            await until(lambda: len(node.network.peers()) == 2)
            counts = count_received(liar)
            liar.network.open_peers()[0].send(Announce(tx_hash))
            await until(lambda: counts.get("GetTransactions") == 1)
            holder.pool.held[tx_hash] = Xt(b"wanted", tx_hash)
            holder.network.open_peers()[0].send(Announce(tx_hash))

            await until(lambda: tx_hash in node.pool.held)


async def test_ten_bad_signatures_end_the_connection_and_ban_the_peer() -> None:
    node = make_node(0, pool=FakePool())
    async with running(node):
        bad = make_node(1, [node.address], pool=FakePool())
        async with running(bad):
            await until(lambda: bool(node.network.peers()))
            bad.network.open_peers()[0].send(Transactions(tuple(b"bad %d" % number for number in range(10))))

            await until(lambda: not node.network.peers())
            await until(lambda: bool(bad.network.refusals()))
            assert node.pool.held == {}


async def test_duplicates_cost_nothing() -> None:
    node = make_node(0, pool=FakePool())
    async with running(node):
        other = make_node(1, [node.address], pool=FakePool())
        async with running(other):
            await until(lambda: bool(other.network.peers()))
            for _ in range(50):
                other.network.open_peers()[0].send(Transactions((b"same",)))
            other.network.open_peers()[0].send(Transactions((b"last",)))

            await until(lambda: len(node.pool.held) == 2)
            assert node.pool.submitted == [b"same", b"last"]
            assert len(node.network.peers()) == 1


async def test_an_answer_is_bounded_however_much_is_asked() -> None:
    node = make_node(0, pool=FakePool())
    hashes = [node.pool.add(bytes([number]) * 100_000) for number in range(40)]
    async with running(node):
        greedy = make_node(1, [node.address], pool=FakePool())
        async with running(greedy):
            await until(lambda: bool(greedy.network.peers()))
            await until(lambda: bool(greedy.pool.submitted))
            counts = count_received(greedy)
            greedy.network.open_peers()[0].send(GetTransactions(b"".join(hashes)))
            await until(lambda: bool(counts.get("Transactions")))
            await asyncio.sleep(0.05)

            assert counts["Transactions"] <= 11


def test_a_rolling_set_remembers_at_least_its_capacity_and_stays_bounded() -> None:
    known = RollingSet(100)
    for number in range(1000):
        known.add(number.to_bytes(4, "big"))
        recent = range(max(0, number - 99), number + 1)
        assert all(each.to_bytes(4, "big") in known for each in recent)
        assert len(known) <= 200
