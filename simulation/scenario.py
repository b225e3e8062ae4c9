"""What a seed stands for: the network, the validators, the faults and the liars of one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from consensus.types import Pace

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
        weights: of validators: "equal", "random" (1 to 10), "stakes" (a few have most of it), or "edge": stakes, where
            the faulty have all that is left below a third.
        set_size: most validators of an epoch; `sizes_vary` draws anything from one to all nodes instead.
        churn: how many validators give way to others from one epoch to the next: "none", "some" or "all".
        lengths_vary: epochs have from one block to twice `epoch_length`.
        rotations, restakes: the chance of a node in an epoch to change its key, its stake.
        births: (node: time): it starts late, without a past, and stands for election some time later.
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
    sizes_vary: bool = False
    churn: str = "all"
    epoch_length: int = 1000
    lengths_vary: bool = False
    rotations: float = 0.0
    restakes: float = 0.0
    births: dict[int, int] = field(default_factory=dict)
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


def draw(seed: int, cast: Sequence[str] = STRATEGIES) -> Scenario:
    """Return the scenario of a seed, with liars out of `cast`."""
    rng = Random(seed)  # noqa: S311 - a simulation
    nodes = rng.choice((4, 4, 4, 5, 5, 7, 7, 10)) if rng.random() < 0.9 else rng.choice((1, 2, 3, 3, 12))
    scenario = Scenario(seed=seed, nodes=nodes, set_size=nodes)
    scenario.prepared = rng.random() < 0.85
    if scenario.prepared:
        scenario.weights = rng.choice(("equal", "equal", "random", "stakes", "edge"))
    _draw_epochs(scenario, rng)
    _draw_times(scenario, rng)
    if scenario.prepared:
        _draw_liars(scenario, rng, cast)
    _draw_faults(scenario, rng)
    _let_others_keep_up(scenario)
    return scenario


def _draw_epochs(scenario: Scenario, rng: Random) -> None:
    scenario.epoch_length = rng.choice((1, 2, 3, 3, 5, 8, 1000))
    if scenario.epoch_length == 1000:
        return
    scenario.lengths_vary = rng.random() < 0.3
    scenario.churn = rng.choice(("none", "some", "all"))
    # Keys without a past wait for each other, so they must be as many in the next epochs as at genesis.
    scenario.sizes_vary = rng.random() < 0.3 and scenario.prepared
    scenario.rotations = rng.choice((0.0, 0.0, 0.2, 1.0))
    scenario.restakes = rng.choice((0.0, 0.3, 1.0)) if scenario.weights != "equal" else 0.0
    if scenario.nodes > 4 and scenario.prepared and rng.random() < 0.6:
        scenario.set_size = rng.randint(4, scenario.nodes)


def _let_others_keep_up(scenario: Scenario) -> None:
    """Where one validator may be a quorum by itself it needs no answers: others must be able to follow it.

    An epoch lasts some journeys of a message then, and a block lasts longer than it takes to ask for one, unless ranges
    of them are fetched at once.
    """
    alone = scenario.sizes_vary or scenario.nodes < 4 or scenario.weights != "equal"
    if alone or scenario.births or scenario.wipes:
        pace, journey_ms = scenario.pace, scenario.latency_ms + scenario.jitter_ms
        shortest = 1 if scenario.lengths_vary else scenario.epoch_length
        least = max(8 * journey_ms // shortest, 0 if scenario.syncer else 3 * journey_ms)
        scenario.pace = replace(
            pace,
            block_time_ms=max(pace.block_time_ms, least),
            idle_interval_ms=max(pace.idle_interval_ms, least),
        )


def _draw_times(scenario: Scenario, rng: Random) -> None:
    block_time = rng.choice((50, 100, 250, 500))
    idle, delta = block_time * rng.choice((1, 3, 8)), rng.choice((150, 300, 600))
    scenario.pace = Pace(block_time, idle, delta, busy_interval_ms=2 * block_time * (scenario.seed % 2))
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
    if rng.random() < 0.25 or scenario.nodes == 1:
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
    if scenario.nodes > 1 and scenario.prepared and rng.random() < 0.1:
        honest = [node for node in range(scenario.nodes) if node not in scenario.liars]
        if len(honest) > 1:
            scenario.wipes = [(rng.randrange(gst), rng.choice(honest))]
            scenario.graph = "mesh"  # at genesis, who hears nearly nobody can only believe that nothing happened
            return
    if scenario.epoch_length < 1000 and scenario.nodes > 3 and scenario.prepared and rng.random() < 0.25:
        honest = [node for node in range(scenario.nodes) if node not in scenario.liars]
        scenario.births = {node: rng.randrange(gst) for node in rng.sample(honest, min(2, len(honest) - 1))}
    for _ in range(rng.choice((0, 0, 0, 1, 2, 3))):
        start = rng.randrange(gst)
        group = frozenset(node for node in range(scenario.nodes) if rng.random() < 0.5)
        scenario.cuts.append((start, start + rng.randrange(500, 5000), group, rng.random() < 0.3))
