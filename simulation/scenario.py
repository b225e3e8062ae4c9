"""What a seed stands for: the network, the validators, the faults and the liars of one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Final

from aitoken.proto.digest import NextEpoch
from consensus.epochs import Epoch
from consensus.types import Block, Pace
from consensus.validators import Validators

STRATEGIES: Final = (
    "silent",
    "equivocator",
    "double-voter",
    "withholder",
    "late",
    "garbage",
    "forker",
    "usurper",
    "twins",
)


@dataclass(slots=True)
class Scenario:
    """One run, fully drawn. Directed tests change fields of a drawn or default one.

    Attributes:
        liars: strategy by node index; together less than a third of the weight in every epoch.
        gst_ms: faults end here; the network is perfect afterwards.
        crashes: (time, node, calls): the node dies at its so-many-th call of a port after the time.
        wipes: (time, node): the node loses its disk and starts from genesis.
        syncer: ranges of blocks are fetched at once where a node is behind, not only one by one.
        prepared: keys come with a journal that says they never voted; otherwise they first ask around at genesis.
        cuts: (from, to, group, one_way): links between the group and the rest lose everything.
    """

    seed: int = 0
    nodes: int = 4
    liars: dict[int, str] = field(default_factory=dict)
    weights: str = "equal"
    set_size: int = 4
    epoch_length: int = 1000
    pace: Pace = field(default_factory=lambda: Pace(250, 1000, 300))
    latency_ms: int = 20
    jitter_ms: int = 10
    build_ms: int = 5
    verify_ms: int = 5
    fsync_max_ms: int = 5
    drop: float = 0.0
    duplicate: float = 0.0
    graph: str = "mesh"
    gst_ms: int = 0
    crashes: list[tuple[int, int, int]] = field(default_factory=list)
    power_cut_ms: int | None = None
    wipes: list[tuple[int, int]] = field(default_factory=list)
    cuts: list[tuple[int, int, frozenset[int], bool]] = field(default_factory=list)
    skews: dict[int, int] = field(default_factory=dict)
    work: str = "always"
    prepared: bool = True
    syncer: bool = True
    too_many_liars: bool = False
    _sets: dict[int, list[tuple[bytes, int]]] = field(default_factory=dict)

    def key(self, node: int) -> bytes:
        """Return the validator key of a node; twins share one."""
        return b"key-%027d!" % node

    def authorities(self, epoch: int) -> list[tuple[bytes, int]]:
        """Return the validators of an epoch, liars always below a third of the weight."""
        found = self._sets.get(epoch)
        if found is None:
            rng = Random(f"{self.seed}/{epoch}")  # noqa: S311 - a simulation
            for _ in range(50):
                found = self._draw_set(rng)
                lying = sum(weight for key, weight in found if self._node_of(key) in self.liars)
                if self.too_many_liars or 3 * lying < sum(weight for _, weight in found):
                    break
            else:
                honest = [node for node in range(self.nodes) if node not in self.liars]
                found = [(self.key(node), 1) for node in honest]
            self._sets[epoch] = found
        return found

    def epoch(self, index: int, base: Block) -> Epoch:
        """Return an epoch on its base block."""
        seed = blake2b(b"%d/%d" % (self.seed, index), digest_size=32).digest()
        return Epoch(index, Validators(self.authorities(index)), seed, base, self.epoch_length)

    def next_epoch(self, terminal: Block) -> NextEpoch:
        """Return what a terminal block announces."""
        following = self.epoch(terminal.epoch + 1, terminal)
        return NextEpoch(
            epoch=following.index,
            authorities=list(zip(following.validators.keys, following.validators.weights, strict=True)),
            seed=following.seed,
            first_block=terminal.number,
            length=self.epoch_length,
        )

    def _node_of(self, key: bytes) -> int:
        return int(key[4:-1])

    def _draw_set(self, rng: Random) -> list[tuple[bytes, int]]:
        members = list(range(self.nodes))
        rng.shuffle(members)
        members = members[: self.set_size]
        if self.weights == "equal":
            return [(self.key(node), 1) for node in members]
        return [(self.key(node), rng.randint(1, 10)) for node in members]


def draw(seed: int, cast: Sequence[str] = STRATEGIES) -> Scenario:
    """Return the scenario of a seed, with liars out of `cast`."""
    rng = Random(seed)  # noqa: S311 - a simulation
    nodes = rng.choice((4, 4, 4, 5, 5, 7, 7, 10))
    scenario = Scenario(seed=seed, nodes=nodes, set_size=nodes)
    scenario.weights = rng.choice(("equal", "random"))
    scenario.epoch_length = rng.choice((3, 5, 8, 1000, 1000))
    if nodes > 4 and scenario.epoch_length < 1000 and rng.random() < 0.6:
        scenario.set_size = rng.randint(4, nodes)
    scenario.prepared = rng.random() < 0.85
    _draw_times(scenario, rng)
    if not scenario.prepared:
        scenario.weights, scenario.set_size = "equal", nodes
    if scenario.prepared:
        _draw_liars(scenario, rng, cast)
    _draw_faults(scenario, rng)
    return scenario


def _draw_times(scenario: Scenario, rng: Random) -> None:
    block_time = rng.choice((50, 100, 250, 500))
    scenario.pace = Pace(block_time, block_time * rng.choice((1, 3, 8)), rng.choice((150, 300, 600)))
    scenario.latency_ms = rng.choice((1, 10, 40, 100))
    scenario.jitter_ms = rng.choice((0, 5, 50, 100))
    scenario.build_ms = rng.choice((0, 5, 30))
    scenario.verify_ms = rng.choice((0, 5, 30))
    scenario.fsync_max_ms = rng.choice((0, 2, 20))
    scenario.work = rng.choice(("always", "always", "sometimes", "never"))
    scenario.syncer = rng.random() < 0.5
    scenario.graph = "mesh" if not scenario.prepared else rng.choice(("mesh",) * 9 + ("ring", "star", "cliques"))
    if rng.random() < 0.2:
        scenario.skews = {node: rng.randint(-2000, 2000) for node in range(scenario.nodes) if rng.random() < 0.3}


def _draw_liars(scenario: Scenario, rng: Random, cast: Sequence[str]) -> None:
    if rng.random() < 0.25:
        return
    # By weight they stay below a third; by number they may be more where weights differ.
    most = (scenario.set_size - 1) // (3 if scenario.weights == "equal" else 2)
    for node in rng.sample(range(scenario.nodes), rng.randint(1, max(most, 1))):
        scenario.liars[node] = rng.choice(cast)


def _draw_faults(scenario: Scenario, rng: Random) -> None:
    scenario.gst_ms = rng.choice((0, 2000, 5000, 9000))
    if scenario.gst_ms == 0:
        return
    gst = scenario.gst_ms
    scenario.drop = rng.choice((0.0, 0.0, 0.05, 0.15, 0.3))
    scenario.duplicate = rng.choice((0.0, 0.0, 0.1, 0.5))
    for _ in range(rng.choice((0, 0, 1, 2, 4, 8)) if scenario.prepared else 0):
        scenario.crashes.append((rng.randrange(gst), rng.randrange(scenario.nodes), rng.randrange(60)))
    if rng.random() < 0.2 and scenario.prepared:
        scenario.power_cut_ms = rng.randrange(gst)
    # A node that forgot what it said is as good as a liar: one at a time, and no new keys besides.
    if not scenario.liars and scenario.weights == "equal" and scenario.prepared and rng.random() < 0.5:
        scenario.wipes = [(rng.randrange(gst), rng.randrange(scenario.nodes))]
        scenario.graph = "mesh"  # at genesis, who hears nearly nobody can only believe that nothing happened
        return
    for _ in range(rng.choice((0, 0, 0, 1, 2, 3))):
        start = rng.randrange(gst)
        group = frozenset(node for node in range(scenario.nodes) if rng.random() < 0.5)
        scenario.cuts.append((start, start + rng.randrange(500, 5000), group, rng.random() < 0.3))
