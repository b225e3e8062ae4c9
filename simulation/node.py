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
from simulation.ledger import GENESIS, Execution, Offence
from simulation.loop import Alarm, Timer

if TYPE_CHECKING:
    from simulation.liars import Liar
    from simulation.world import World


class PowerLost(BaseException):
    """The node died between two calls of its ports; nothing in it may catch this."""


class Node:
    """A validator or follower of the simulated network."""

    def __init__(self, world: World, name: int, account: int) -> None:
        self.world = world
        self.name = name
        self.account = account
        self.key = world.keys.of(account, 0)
        self.disk = Disk(GENESIS)
        if world.scenario.prepared and account not in world.scenario.births:
            self.disk.journal = [encode_record(Opening(GENESIS.hash, self.key, 0, 0))]
            self.disk.synced = 1
        self.driver: Driver | None = None
        self.liar: Liar | None = None
        self.incarnation = 0
        self.fuse: int | None = None
        self.skew_ms = world.scenario.skews.get(name, 0)
        self.keys: tuple[bytes, ...] = ()
        self.index: int | None = None
        self.neighbours: tuple[int, ...] = ()
        self.near: frozenset[int] = frozenset()
        self.alarms: list[str] = []
        self.offences: dict[Offence, None] = {}

    @property
    def honest(self) -> bool:
        """Whether this node follows the rules."""
        return self.liar is None

    def start(self) -> None:
        """Begin an incarnation from what is on disk."""
        disk = self.disk
        self.incarnation += 1
        self.fuse = None
        self.key = self.world.keys.of(self.account, 0)
        self.offences.clear()
        self.world.registry.restore(self)
        committed = disk.committed
        elections, index = self.world.elections, committed.epoch
        epoch = elections.begin(index, disk.base_of(index)).epoch
        if epoch.is_terminal(committed.number):
            epoch = elections.begin(index + 1, committed).epoch
        ports = Ports(
            clock=self,
            journal=Journal(disk, self.tick, self.later, self.world.fsync_ms, lie="no-barrier" in self.world.mutations),
            record=self,
            transport=self,
            executor=(execution := Execution(self)),
            archive=execution,
            signer=self,
            verify=self.world.verify,
            observer=self,
        )
        point = StartPoint(GENESIS.hash, committed, disk.certificate, epoch, disk.journal)
        driver = self.driver = Driver(ports, self.world.scenario.pace, point)
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
            if self.honest and self.world.scenario.liars:
                self.world.invariants.delivered(self, message)

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
        return self.world.loop.now + self.world.epoch_ms + self.skew_ms

    def call_later(self, delay_ms: int, call: Callable[[], None]) -> Timer:
        """Set a timer of this incarnation."""
        timer = Timer(call)
        self.world.loop.at(delay_ms, self._fire, self.incarnation, timer)
        return timer

    def timer(self, call: Callable[[], None]) -> Alarm:
        """Return a timer of this incarnation."""
        return Alarm(self.call_later, call)

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

    @property
    def remembers(self) -> bool:
        """It does not, so that what the driver does without a journal is tested."""
        return False

    def choose(self, validators: Sequence[bytes]) -> None:
        """Vote with the key that is listed; neighbours are shown a new one."""
        node_of = self.world.keys.node_of
        listed = next((key for key in validators if node_of(key) == self.account), self.key)
        if listed != self.key:
            self.key = listed
            self.later(self.world.scenario.latency_ms, self._show_key)

    def sign_vote(self, kind: int, epoch: int, view: int, block_hash: bytes, final_view: int) -> bytes:
        """A signature; the registry knows which ones were given out."""
        del final_view
        self.world.invariants.signing(self, epoch)
        return self.world.keys.sign(self.key, kind, epoch, view, block_hash)

    def prove_view(self, epoch: int, view: int, seed: bytes) -> bytes:
        """The VRF proof for a view."""
        return self.world.keys.prove(self.key, epoch, view, seed)

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
        for name in self.world.nodes_of[self.world.keys.node_of(key)]:
            if self.world.nodes[name].key == key and name in self.near:
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
        first = evidence.first
        self.offences[self.world.elections.of(first.epoch).seats[first.signer], first.epoch] = None

    def offence_to_report(self, parent_hash: Hash32) -> Offence | None:
        """Return what this node knows of cheating that is not on the chain yet."""
        known = self.world.offences[parent_hash]
        return next((offence for offence in self.offences if offence not in known), None)

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

    def _connect(self, neighbour: int) -> None:
        """A connection comes up: both ends notice."""
        if self.driver is not None:
            self.driver.connected(neighbour)
        other = self.world.nodes[neighbour]
        if other.driver is not None:
            other.guard(other.driver.connected, self.name)

    def _show_key(self) -> None:
        """Neighbours learn that this node has another key."""
        for neighbour in self.neighbours:
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
