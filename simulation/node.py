"""One node: a disk that outlives crashes, and incarnations of the real driver over simulated ports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from aitoken.proto.votes import Certificate, Vote
from aitoken.types import Hash32
from consensus.journal import Opening, encode_record
from consensus.messages import Evidence, Message, Proposal
from consensus.types import Peer
from node.driver.driver import Driver, Ports, StartPoint
from simulation.disk import Disk, Journal
from simulation.ledger import GENESIS, Execution
from simulation.loop import Timer

if TYPE_CHECKING:
    from simulation.liars import Liar
    from simulation.world import World


class PowerLost(BaseException):
    """The node died between two calls of its ports; nothing in it may catch this."""


class Node:
    """A validator or follower of the simulated network."""

    def __init__(self, world: World, name: int, key: bytes) -> None:
        self.world = world
        self.name = name
        self.key = key
        self.disk = Disk(GENESIS)
        if world.scenario.prepared:
            self.disk.journal = [encode_record(Opening(GENESIS.hash, key, 0, 0))]
            self.disk.synced = 1
        self.driver: Driver | None = None
        self.liar: Liar | None = None
        self.incarnation = 0
        self.fuse: int | None = None
        self.skew_ms = world.scenario.skews.get(name, 0)
        self.keys: tuple[bytes, ...] = ()
        self.index: int | None = None
        self.neighbours: tuple[int, ...] = ()
        self.alarms: list[str] = []

    @property
    def honest(self) -> bool:
        """Whether this node follows the rules."""
        return self.liar is None

    def start(self) -> None:
        """Begin an incarnation from what is on disk."""
        disk = self.disk
        self.incarnation += 1
        self.fuse = None
        committed = disk.committed
        scenario = self.world.scenario
        index = committed.epoch
        epoch = scenario.epoch(index, self._base_of(index))
        if epoch.is_terminal(committed.number):
            epoch = scenario.epoch(index + 1, committed)
        ports = Ports(
            clock=self,
            journal=Journal(disk, self.tick, self.later, self.world.fsync_ms, lie="no-barrier" in self.world.mutations),
            record=self,
            transport=self,
            executor=(execution := Execution(self)),
            archive=execution,
            signer=self,
            verify=self.world.registry.verify,
            observer=self,
        )
        point = StartPoint(GENESIS.hash, committed, disk.certificate, epoch, disk.journal)
        driver = self.driver = Driver(ports, scenario.pace, point)
        self.guard(driver.start)
        for neighbour in self.neighbours:
            self.later(1, self._connect, neighbour)

    def crash(self) -> None:
        """Lose power, and come back after a while."""
        if self.driver is None:
            return
        self.driver = None
        self.incarnation += 1
        landed = self.disk.lose_power(self.world.rng)
        if landed is not None:
            self.world.invariants.committed(self, landed)
        self.world.crashed += 1
        self.world.loop.at(self.world.rng.randint(500, 6000), self._restart, self.incarnation)

    def guard(self, call: Callable[..., None], *arguments: Any) -> None:
        """Run something of the driver; power may be lost in it, anything else is a failure."""
        try:
            call(*arguments)
        except PowerLost:
            self.crash()
        except Exception as error:  # noqa: BLE001 - reported as the run's failure
            if self.honest:
                self.world.fail("crash", f"node {self.name}: {type(error).__name__}: {error}", error)

    def receive(self, source: int, message: Message) -> None:
        """A message arrives."""
        if self.driver is not None:
            self.guard(self.driver.receive, source, message)

    def tick(self) -> None:
        """Count down to the armed crash, at every call of a port."""
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise PowerLost

    def later(self, delay_ms: int, call: Callable[..., None], *arguments: Any) -> None:
        """Run something of this incarnation after a while."""
        self.world.loop.at(delay_ms, self._later, self.incarnation, call, arguments)

    # Clock.

    def now_ms(self) -> int:
        """Return this node's time."""
        return self.world.loop.now + 1_000_000 + self.skew_ms

    def call_later(self, delay_ms: int, call: Callable[[], None]) -> Timer:
        """Set a timer of this incarnation."""
        timer = Timer(call)
        self.world.loop.at(delay_ms, self._fire, self.incarnation, timer)
        return timer

    # Voting record and signer.

    @property
    def epoch(self) -> int | None:
        """The voting record."""
        return self.disk.record

    def raise_to(self, epoch: int) -> None:
        """Write the voting record."""
        self.tick()
        self.disk.record = epoch

    @property
    def public(self) -> bytes:
        """The validator key."""
        return self.key

    def choose(self, validators: Sequence[bytes]) -> None:
        """There is one key."""

    def sign_vote(self, kind: int, epoch: int, view: int, block_hash: bytes, final_view: int) -> bytes:
        """A signature; the registry knows which ones were given out."""
        del kind, epoch, view, block_hash, final_view
        return self.key * 2

    def knows(self, kind: int, epoch: int, view: int, block_hash: bytes) -> bool:
        """This signer keeps no memory of its own, so that the driver's is tested alone."""
        del kind, epoch, view, block_hash
        return True

    # Transport.

    def begin_epoch(self, keys: Sequence[bytes]) -> None:
        """Learn the validators."""
        self.keys = tuple(keys)
        self.index = self.keys.index(self.key) if self.key in self.keys else None

    def broadcast(self, message: Message) -> None:
        """Send to every validator that is connected."""
        if type(message) is Vote or type(message) is Proposal:
            self.note_own_vote(message if isinstance(message, Vote) else message.vote)
        if self.liar is not None and self.liar.broadcast(message):
            return
        for neighbour in self.neighbours:
            if self.world.nodes[neighbour].key in self.keys:
                self.transmit(neighbour, message)

    def announce(self, message: Message) -> None:
        """Send to those connected that are no validators."""
        for neighbour in self.neighbours:
            if self.world.nodes[neighbour].key not in self.keys:
                self.transmit(neighbour, message)

    def send(self, peer: Peer, message: Message) -> None:
        """Send to one node."""
        if type(message) is Vote or type(message) is Proposal:
            self.note_own_vote(message if isinstance(message, Vote) else message.vote)
        if isinstance(peer, int):
            self.transmit(peer, message)

    def transmit(self, neighbour: int, message: Message) -> None:
        """Put a message on a link."""
        self.tick()
        self.world.network.transmit(self.name, neighbour, message)

    def peers(self) -> Sequence[Peer]:
        """Return the nodes this one is connected to."""
        return self.neighbours

    def validator(self, key: bytes) -> Peer | None:
        """Return the connected node with this key."""
        for name in self.world.nodes_of.get(key, ()):
            if name in self.neighbours:
                return name
        return None

    def misbehaved(self, peer: Peer, code: str) -> None:
        """An honest node must never be blamed."""
        if self.honest and isinstance(peer, int) and self.world.nodes[peer].honest:
            self.world.fail("I5", f"node {self.name} blames honest node {peer}: {code}")

    # Observer.

    def head(self, block_hash: Hash32) -> None:
        """The best block moved."""

    def evidence(self, evidence: Evidence) -> None:
        """Somebody cheated."""
        if self.honest:
            self.world.invariants.evidence(self, evidence)

    def behind(self, certificate: Certificate) -> None:
        """Play the syncer: fetch what leads up to the certificate from a neighbour that has it all."""
        world = self.world
        if world.scenario.syncer:
            source = world.rng.choice(self.neighbours)
            self.later(2 * world.scenario.latency_ms, self._sync, source, certificate)

    def alarm(self, code: str, reason: str) -> None:
        """An honest node stopped; with less than a third of liars it must not."""
        self.alarms.append(code)
        if self.honest and code not in self.world.allowed_alarms:
            self.world.fail("alarm", f"node {self.name}: {code}: {reason}")

    # Inside.

    def note_own_vote(self, vote: Vote) -> None:
        """An own vote leaves: from now on others may have it."""
        if vote.signer == self.index and self.driver is not None and vote.epoch == self.driver.core.epoch.index:
            if not self.world.registry.is_made(self.key, vote):
                self.world.invariants.leaving(self, vote)
            self.world.registry.make(self.key, vote, honest=self.honest)

    def _base_of(self, index: int) -> Any:
        if index == 0:
            return GENESIS
        last = self.world.scenario.epoch_length * index
        return next(block for block in self.disk.blocks.values() if block.number == last)

    def _connect(self, neighbour: int) -> None:
        """A connection comes up: both ends notice."""
        if self.driver is not None:
            self.driver.connected(neighbour)
        other = self.world.nodes[neighbour]
        if other.driver is not None:
            other.guard(other.driver.connected, self.name)

    def _sync(self, source: int, certificate: Certificate) -> None:
        """A range arrives, unless the other does not have it or the link is bad."""
        blocks = self.world.nodes[source].disk.blocks
        path = []
        at = certificate.hash
        while at != self.disk.committed.hash and at in blocks:
            path.append(blocks[at])
            at = blocks[at].parent_hash
        usable = at == self.disk.committed.hash and self.world.network.works(source, self.name)
        if usable and self.driver is not None:
            self.driver.synced(path[::-1], certificate)

    def _later(self, incarnation: int, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if incarnation == self.incarnation and self.driver is not None:
            self.guard(call, *arguments)

    def _fire(self, incarnation: int, timer: Timer) -> None:
        call = timer.call
        if call is not None and incarnation == self.incarnation and self.driver is not None:
            self.guard(call)

    def _restart(self, incarnation: int) -> None:
        if incarnation == self.incarnation and self.driver is None:
            self.start()
