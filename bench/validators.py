"""Large validator sets: what one block costs each of them, with real signatures and the bytes of the real wire.

The simulator runs the real driver of every validator in this process, over virtual links of 50 ms, two seconds a block.
Messages are encoded, put into encrypted records and decoded as on a connection; votes are signed and checked with
ed25519, leaders prove with the VRF. The kernel is left out, so are transactions: blocks are empty, and what a full one
adds to the leader's bytes has a line of its own. The first blocks are not counted: connections come up in them.

Time is processor time of this thread, each kind without what it calls of another, the simulator's own left out, and so
is the meter's: what it charges for calls of nothing is taken off. What arrives at one validator in the same millisecond
it handles in a row, as a process of its own would; a hundred of them in turn would each find the caches cold. The
lines called "paper" are what the consensus paper expects of a hundred validators, at 24,000 signatures a second.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from aitoken.crypto import ed25519
from aitoken.crypto.noise import TAG_SIZE, CipherState
from aitoken.proto.digest import Digest, SmpxDigest, leading_items_of
from aitoken.proto.header import Header
from aitoken.proto.votes import FINALIZE, Certificate, Vote, bitmap_of, quorum, sign_bytes
from aitoken.types import BlockNumber, Hash32
from bench.row import Row
from consensus.messages import Full, Message, Proposal
from consensus.types import Pace
from node.net.messages import CompactProposal
from node.net.records import HEAD_SIZE, LENGTH_SIZE
from node.net.wire import channel_of, decode, encode
from simulation.keys import RealKeys
from simulation.ledger import GENESIS
from simulation.scenario import Scenario
from simulation.world import World

_BLOCK_TIME_MS: Final = 2000
_WARM_UP: Final = 2
_TRANSFERS: Final = 2000
_RECORD: Final = LENGTH_SIZE + HEAD_SIZE + TAG_SIZE
_SIMULATOR: Final = "simulator"
_PAPER: Final = (
    ("a vote on the wire", 120, "bytes"),
    ("a certificate", 4346, "bytes"),
    ("a certificate, checked", 3.5, "ms"),
    ("a block: all votes checked", 8.2, "ms"),
    ("a block: sent by each", 24_000, "bytes"),
    ("a block: messages sent by each", 198, ""),
)


def run(quick: bool) -> list[Row]:
    rows = [Row("paper, 100 validators", *line) for line in _PAPER]
    for count in (4, 50) if quick else (4, 50, 100, 200):
        print(f"validators: {count}", file=sys.stderr)
        rows += _messages(count) + _network(count, 2 if count > 100 else 4)
    return rows


def _messages(count: int) -> list[Row]:
    """Sizes, and a certificate's check by itself."""
    name = f"{count} validators"
    pairs = [ed25519.Pair(index.to_bytes(32, "little")) for index in range(quorum(count))]
    message = sign_bytes(GENESIS.hash, FINALIZE, 1, 9, bytes(32))
    signatures = tuple(pair.sign(message) for pair in pairs)
    bitmap = bitmap_of(range(len(pairs)), count)
    certificate = Certificate(FINALIZE, 1, 9, Hash32(bytes(32)), bitmap, signatures)
    start, rounds = time.thread_time_ns(), max(1, 500 // count)
    for _ in range(rounds):
        for pair, signature in zip(pairs, signatures, strict=True):
            ed25519.verify(signature, message, pair.public)
    spent = time.thread_time_ns() - start
    vote = Vote(FINALIZE, 1, 9, Hash32(bytes(32)), 0, signatures[0])
    full = CompactProposal(1, 9, 8, vote, _real_header(), bytes(32 * _TRANSFERS), (), (certificate,))
    return [
        Row(name, "a vote on the wire", _RECORD + len(encode(vote)), "bytes"),
        Row(name, "a certificate", len(certificate.encode()), "bytes"),
        Row(name, "a certificate, checked", spent / rounds / 1e6, "ms"),
        Row(name, f"a block of {_TRANSFERS:,} transfers: sent by its leader", len(encode(full)) * (count - 1), "bytes"),
    ]


def _network(count: int, blocks: int) -> list[Row]:
    """Run a network, and share what its blocks cost among its validators."""
    meter = _Meter()
    pace = Pace(_BLOCK_TIME_MS, _BLOCK_TIME_MS, 1000)
    scenario = Scenario(
        nodes=count, set_size=count, work="never", pace=pace, latency_ms=50, jitter_ms=0, fsync_max_ms=0
    )
    world = World(scenario, keys=_MeteredKeys(meter))
    links = _Links(world, meter)
    world._schedule()
    _until(world, _WARM_UP)
    meter.begin()
    links.begin()
    _until(world, _WARM_UP + blocks)
    meter.end()
    if world.failure is not None:
        raise RuntimeError(world.failure)

    name, shared = f"{count} validators", count * blocks
    kinds = {kind: spent / shared / 1e6 for kind, spent in meter.spent.items() if kind != _SIMULATOR}
    rows = [Row(name, f"a block: {kind}", spent, "ms") for kind, spent in sorted(kinds.items())]
    leaders = [world.elections.of(0).seats[block.leader] for block in world.invariants.chain_from(_WARM_UP + 1)]
    others = [links.sent[node] for node in range(count) if node not in leaders]
    sent = sum(others) / len(others) if others else min(links.sent.values())
    return [
        *rows,
        Row(name, "a block: all of that", sum(kinds.values()), "ms"),
        Row(name, "a block: share of a core at one in 2 s", sum(kinds.values()) / _BLOCK_TIME_MS * 100, "%"),
        Row(name, "a block: messages sent by each", links.messages / shared, ""),
        Row(name, "a block: sent by each", sent / blocks, "bytes"),
        Row(name, "a block: received by each", sum(links.received.values()) / shared, "bytes"),
    ]


def _until(world: World, height: int) -> None:
    world.loop.run(600_000, lambda: world.failure is not None or world.lowest >= height)


class _Meter:
    """Processor time by kind; a kind inside another stops the other's clock."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._running = [_SIMULATOR]
        self._within: Counter[str] = Counter()
        self._around: Counter[str] = Counter()
        self._since = time.thread_time_ns()

    def begin(self) -> None:
        """Forget what was."""
        self._switch()
        for counts in (self.spent, self._within, self._around):
            counts.clear()

    def end(self) -> None:
        """Count what runs, and take off what the meter charged for itself."""
        self._switch()
        within, around = _charged_for_nothing()
        for kind in self.spent:
            self.spent[kind] -= int(within * self._within[kind] + around * self._around[kind])

    def timed(self, kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose calls are of this kind."""

        def wrapped(*arguments: Any) -> Any:
            self._switch()
            self._around[self._running[-1]] += 1
            self._within[kind] += 1
            self._running.append(kind)
            try:
                return call(*arguments)
            finally:
                self._switch()
                self._running.pop()

        return wrapped

    def _switch(self) -> None:
        now = time.thread_time_ns()
        self.spent[self._running[-1]] += now - self._since
        self._since = now


def _charged_for_nothing() -> tuple[float, float]:
    """What a metered call of nothing charges to its own kind and to its caller's, in ns; the least of five."""
    readings = []
    for _ in range(5):
        meter, rounds = _Meter(), 5000
        metered = meter.timed("nothing", int)
        meter.begin()
        for _ in range(rounds):
            metered()
        meter._switch()
        readings.append((meter.spent["nothing"] / rounds, meter.spent[_SIMULATOR] / rounds))
    return min(readings)


class _MeteredKeys(RealKeys):
    """Real keys whose use is metered."""

    def __init__(self, meter: _Meter) -> None:
        super().__init__(meter.timed("signatures checked", ed25519.verify))
        self.sign = meter.timed("signatures made", self.sign)  # type: ignore[method-assign]  # a meter
        self.prove = meter.timed("VRF", self.prove)  # type: ignore[method-assign]  # a meter
        self.proves = meter.timed("VRF", self.proves)  # type: ignore[method-assign]  # a meter


class _Links:
    """Puts the coder and the records of the wire between the nodes of a world, and counts their bytes."""

    def __init__(self, world: World, meter: _Meter) -> None:
        self.sent: Counter[int] = Counter()
        self.received: Counter[int] = Counter()
        self.messages = 0
        self._known: dict[int, tuple[Message, bytes]] = {}
        self._world = world
        self._arriving: dict[int, list[tuple[int, Message, bytes]]] = {}
        self._encode = meter.timed("messages written and read", encode)
        self._decode = meter.timed("messages written and read", _decoded)
        self._encrypt = meter.timed("records", self._through_records)
        self._cipher = CipherState(bytes(32))
        self._guards: list[Callable[..., None]] = [node.guard for node in world.nodes]
        self._receive = meter.timed("driver and core", self._received)
        world.network.transmit = self._send  # type: ignore[method-assign]  # a meter
        for node in world.nodes:
            node.guard = meter.timed("driver and core", node.guard)  # type: ignore[method-assign]  # a meter
            for played in ("note_own_vote", "broadcast", "announce", "send"):
                setattr(node, played, meter.timed(_SIMULATOR, getattr(node, played)))

    def begin(self) -> None:
        """Count from here."""
        self.messages = 0
        self.sent.clear()
        self.received.clear()

    def _send(self, source: int, target: int, message: Message) -> None:
        data = self._encoded(message)
        size = _RECORD + len(data)
        if isinstance(message, Proposal) and isinstance(message.body, Full):
            size += len(_real_header()) - len(message.body.header)
        self.messages += 1
        self.sent[source] += size
        self.received[target] += size
        arriving = self._arriving.setdefault(target, [])
        if not arriving:
            self._world.loop.at(self._world.scenario.latency_ms, self._arrive, target)
        arriving.append((source, message, data))

    def _arrive(self, target: int) -> None:
        arrived = self._arriving.pop(target)
        self._encrypt(arrived)
        self._decode(arrived)
        self._receive(target, arrived)

    def _through_records(self, arrived: list[tuple[int, Message, bytes]]) -> None:
        encrypt = self._cipher.encrypt
        for _, _, data in arrived:
            encrypt(data)
            encrypt(data)  # decrypting costs the same

    def _received(self, target: int, arrived: list[tuple[int, Message, bytes]]) -> None:
        guard, driver = self._guards[target], self._world.nodes[target].driver
        if driver is not None:
            for source, message, _ in arrived:
                guard(driver.receive, source, message)

    def _encoded(self, message: Message) -> bytes:
        """Encode once for all it is sent to, as a node does."""
        known = self._known.get(id(message))
        if known is None:
            if len(self._known) > 50_000:
                self._known.clear()
            known = self._known[id(message)] = (message, self._encode(message))
        return known[1]


def _decoded(arrived: list[tuple[int, Message, bytes]]) -> None:
    for _, message, data in arrived:
        decode(channel_of(message), data)


def _real_header() -> bytes:
    smpx = SmpxDigest(
        version=1,
        epoch=1,
        view=9,
        parent_view=8,
        leader=0,
        timestamp_ms=10**12,
        vrf_output=bytes(32),
        vrf_proof=bytes(80),
    )
    some = Hash32(bytes(32))
    return Header(some, BlockNumber(10**6), some, some, Digest(leading_items_of(smpx))).encode()
