"""One run: everything of one seed, from the first start to the verdict."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, fields
from hashlib import blake2b
from random import Random
from typing import Final

from aitoken.proto.votes import Vote
from aitoken.types import Hash32
from consensus.journal import OWN_VOTE
from consensus.types import Block, Slot
from simulation.disk import Disk
from simulation.invariants import Invariants
from simulation.keys import PlayedKeys
from simulation.ledger import GENESIS, Blocks, Offence, is_valid, proof_in
from simulation.liars import LIARS
from simulation.loop import Loop
from simulation.network import Network, neighbours
from simulation.node import Node
from simulation.scenario import Scenario
from simulation.stakes import Elections, Life

BLOCKS_AFTER_HEALING: Final = 6


@dataclass(slots=True)
class Faults:
    """What was done to a run, counted where it happened."""

    lost: int = 0
    repeated: int = 0
    crashes: int = 0
    power_cuts: int = 0
    wipes: int = 0
    cuts: int = 0
    wrong_clocks: int = 0
    newcomers: int = 0
    liars: int = 0
    evidence: int = 0
    slashed: int = 0

    def add(self, other: Faults) -> None:
        """Add another run's."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run.

    Attributes:
        failure: None, or which invariant broke and how.
    """

    seed: int
    failure: str | None
    detail: str
    blocks: int
    events: int
    messages: int
    faults: Faults
    life: Life
    faulty_per_mille: int
    healed_ms: int
    trace: str


class Registry:
    """Plays signatures: a vote is valid once its owner has sent it. Liars can sign anything as themselves."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._made: set[tuple[bytes, bytes]] = set()
        self.votes: list[tuple[bytes, Vote]] = []

    def make(self, key: bytes, vote: Vote, *, honest: bool) -> None:
        """A vote leaves its owner."""
        statement = (key, vote.sign_bytes(GENESIS.hash))
        if statement not in self._made:
            self._made.add(statement)
            self.votes.append((key, vote))
            self._world.trace(key[4:9], vote.encode()[:51])
            self._world.invariants.made(key, vote, honest=honest)

    def restore(self, node: Node) -> None:
        """A node starts from its disk: its votes there count again, some of which may never have left before."""
        for record in node.disk.journal or ():
            if record[0] == OWN_VOTE:
                vote = Vote.decode(record[1:])
                self.make(self._world.elections.of(vote.epoch).authorities[vote.signer][0], vote, honest=node.honest)

    def is_made(self, key: bytes, vote: Vote) -> bool:
        """Whether the vote has left its owner before."""
        return (key, vote.sign_bytes(GENESIS.hash)) in self._made

    def verify(self, signature: bytes, message: bytes, public: bytes, /) -> bool:
        """Whether the owner of the key made this statement."""
        return (public, message) in self._made and signature[:32] == public


class World:
    """The network of one seed."""

    epoch_ms: Final = 1_000_000
    """What right clocks show when a run begins."""

    def __init__(
        self, scenario: Scenario, mutations: frozenset[str] = frozenset(), keys: PlayedKeys | None = None
    ) -> None:
        self.scenario = scenario
        self.mutations = mutations
        self.keys = keys or PlayedKeys()
        self.rng = Random(scenario.seed ^ 0x5EED)  # noqa: S311 - a simulation
        self.loop = Loop()
        self.blocks = Blocks()
        self.registry = Registry(self)
        self.verify = self.keys.verifier(self.registry.verify)
        self.offences: dict[Hash32, frozenset[Offence]] = {GENESIS.hash: frozenset()}
        """What the chain up to a block reports."""
        self.invariants = Invariants(self)
        self.network = Network(self)
        self.elections = Elections(self)
        self.crashed = 0
        self.wiped = 0
        self.power_cuts = 0
        self.allowed_alarms: frozenset[str] = frozenset()
        self.failure: str | None = None
        self.detail = ""
        self._trace = blake2b(digest_size=8)
        self._by_hash: dict[Hash32, Block] = {GENESIS.hash: GENESIS}
        self._goal: int | None = None
        self.healed_ms = 0
        self.nodes: list[Node] = []
        self.nodes_of: dict[int, list[int]] = {}
        self._make_nodes()
        self.honest = [node for node in self.nodes if node.honest]
        self.honest_accounts = {node.account for node in self.honest}

    def run(self, limit_ms: int | None = None) -> Outcome:
        """Run to the verdict: after the faults end, every honest node must commit so many new blocks in time."""
        self._schedule()
        scenario = self.scenario
        self.loop.run(scenario.gst_ms, self._has_failed)
        if not self._has_failed():
            self._heal()
            self._goal = self.invariants.height + BLOCKS_AFTER_HEALING
            limit = scenario.gst_ms + (self.allowance_ms() if limit_ms is None else limit_ms)
            self.loop.run(limit, self._is_over)
            self.healed_ms = self.loop.now - scenario.gst_ms
            if not self._is_over():
                self.fail("I8", self._stall_report())
        self.invariants.bounds()
        return Outcome(
            seed=scenario.seed,
            failure=self.failure,
            detail=self.detail,
            blocks=self.invariants.height,
            events=self.loop.events,
            messages=self.network.sent,
            faults=self._faults(),
            life=self.elections.life,
            faulty_per_mille=self.elections.faulty_per_mille,
            healed_ms=self.healed_ms,
            trace=self._trace.hexdigest(),
        )

    def allowance_ms(self) -> int:
        """Return the time in which a healed network must make its blocks."""
        pace = self.scenario.pace
        restart = 6500 if self.crashed else 0
        slow = 3 * (self.scenario.latency_ms + self.scenario.jitter_ms) + self.scenario.verify_ms
        skews = [0, *self.scenario.skews.values()]
        # Blocks of a clock that is ahead wait for the others'; a thin graph first finds out that it needs relays.
        wrong = 10 * (max(skews) - min(skews)) + (self.scenario.graph != "mesh") * 2 * pace.status_interval_ms
        return (
            wrong + 2 * pace.status_interval_ms + restart + 60 * pace.delta_ms + 10 * pace.idle_interval_ms + 20 * slow
        )

    @property
    def lowest(self) -> int:
        """The height that every honest node has committed."""
        return min(node.disk.committed.number for node in self.honest)

    def fail(self, code: str, what: str, error: BaseException | None = None) -> None:
        """Note the first thing that went wrong."""
        if self.failure is None:
            self.failure = f"{code}: {what}"
            if error is not None:
                self.detail = "".join(traceback.format_exception(error))

    def trace(self, *parts: bytes) -> None:
        """Add to the trace by which two runs of a seed are compared."""
        self._trace.update(b"%d|" % self.loop.now)
        for part in parts:
            self._trace.update(part)

    def fsync_ms(self) -> int:
        """Return how long this sync takes."""
        most = self.scenario.fsync_max_ms
        return self.rng.randint(0, most) if most else 0

    def make_block(
        self, parent_hash: Hash32, slot: Slot, proof: bytes, offence: Offence | None = None, *, valid: bool = True
    ) -> Block:
        """Return a new block."""
        block = self.blocks.make(parent_hash, slot, proof, offence, valid=valid)
        self._by_hash[block.hash] = block
        below = self.offences[parent_hash]
        self.offences[block.hash] = below if offence is None else below | {offence}
        return block

    def is_valid(self, block: Block) -> bool:
        """What execution says of a block, its leader's proof included."""
        epoch = self.elections.of(block.epoch).epoch
        keys = epoch.validators.keys
        if not is_valid(block) or block.leader >= len(keys):
            return False
        return self.keys.proves(keys[block.leader], proof_in(block), epoch.index, block.view, epoch.seed)

    def block(self, block_hash: Hash32) -> Block:
        """Return any block ever made."""
        return self._by_hash[block_hash]

    def _make_nodes(self) -> None:
        scenario = self.scenario
        names: list[tuple[int, str | None]] = [(node, scenario.liars.get(node)) for node in range(scenario.nodes)]
        twins = [(node, "twins") for node, strategy in scenario.liars.items() if strategy == "twins"]
        for node, strategy in names + twins:
            made = Node(self, len(self.nodes), node)
            if strategy is not None:
                made.liar = LIARS[strategy](made)
            self.nodes.append(made)
            self.nodes_of.setdefault(node, []).append(made.name)
        honest = [node.name for node in self.nodes if node.honest]
        liars = [node.name for node in self.nodes if not node.honest]
        for name, others in neighbours(scenario.graph, honest, liars).items():
            self.nodes[name].neighbours, self.nodes[name].near = others, frozenset(others)

    def _schedule(self) -> None:
        scenario = self.scenario
        for node in self.nodes:
            if node.liar is None or node.liar.runs:
                self.loop.at(scenario.births.get(node.account, 0) + self.rng.randint(0, 100), node.start)
            if node.liar is not None:
                node.liar.begin()
        for time, name, calls in scenario.crashes:
            self.loop.at(time, self._arm, name, calls)
        for time, name in scenario.wipes:
            self.loop.at(time, self._wipe, name)
        if scenario.power_cut_ms is not None:
            self.loop.at(scenario.power_cut_ms, self._cut_power)
        for _, end, group, _ in scenario.cuts:
            self.loop.at(end, self._reconnect, group)
        if scenario.work != "never":
            self.loop.at(150, self._work)

    def _arm(self, name: int, calls: int) -> None:
        self.nodes[name].fuse = calls

    def _wipe(self, name: int) -> None:
        node = self.nodes[name]
        if node.driver is not None:
            node.crash()
            node.disk = Disk(GENESIS)
            self.wiped += 1

    def _cut_power(self) -> None:
        self.power_cuts += 1
        for node in self.nodes:
            node.crash()

    def _reconnect(self, group: frozenset[int]) -> None:
        for node in self.nodes:
            for other in node.neighbours:
                if (node.name in group) != (other in group) and node.driver is not None:
                    node.guard(node.driver.connected, other)

    def _heal(self) -> None:
        for node in self.nodes:
            node.fuse = None

    def _work(self) -> None:
        available = self.scenario.work == "always" or self.rng.random() < 0.5
        for node in self.nodes:
            if node.driver is not None:
                self.loop.at(self.rng.randint(0, 100), self._set_work, node, available)
        self.loop.at(self.rng.randint(500, 2000), self._work)

    def _set_work(self, node: Node, available: bool) -> None:  # noqa: FBT001 - a scheduled call
        if node.driver is not None:
            driver = node.driver
            node.guard(lambda: driver.set_work(available=available))

    def _faults(self) -> Faults:
        network, scenario = self.network, self.scenario
        return Faults(
            lost=network.lost,
            repeated=network.repeated,
            crashes=self.crashed,
            power_cuts=self.power_cuts,
            wipes=self.wiped,
            cuts=sum(start < self.loop.now for start, *_ in scenario.cuts),
            wrong_clocks=sum(skew != 0 for skew in scenario.skews.values()),
            newcomers=sum(start < self.loop.now for start in scenario.births.values()),
            liars=len(scenario.liars),
            evidence=self.invariants.evidence_seen,
            slashed=len(self.offences[self.invariants.tip.hash]),
        )

    def _has_failed(self) -> bool:
        return self.failure is not None

    def _is_over(self) -> bool:
        return self.failure is not None or self._reached()

    def _reached(self) -> bool:
        goal = self._goal
        return (
            goal is not None
            and self.invariants.height >= goal
            and all(node.disk.committed.number >= goal for node in self.honest)
        )

    def _stall_report(self) -> str:
        lines = [f"goal {self._goal}"]
        for node in self.nodes:
            driver = node.driver
            if driver is None:
                lines.append(f"node {node.name}: down")
                continue
            state = driver.round_state()
            lines.append(
                f"node {node.name}{'' if node.honest else ' (liar)'}: committed {state.committed_number}, epoch "
                f"{state.epoch}, view {state.view}, final view {state.final_view}, voting {state.voting}, "
                f"{state.holds_back}"
            )
        return "\n    ".join(lines)
