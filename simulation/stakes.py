"""Who validates in each epoch of a run: elections that are read from the chain, as those of a real one are.

What the last block of an epoch announces depends on its hash and on the offences that the blocks below it report. Two
last blocks of one epoch would therefore begin two different epochs, and a node that counts with another set than the
chain's is found out. From one epoch to the next validators come, leave, are slashed and chilled, move stake and rotate
their keys, and the seats are dealt anew; between none and all of it, as the scenario says.

Whoever may do or forget anything (liars, nodes that lose their disk, newcomers without a past) stays strictly below a
third of the weight of every epoch; with weights "edge" they have all that is left below it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING, Final

from aitoken.proto.digest import NextEpoch
from aitoken.types import Hash32
from consensus.epochs import Epoch
from consensus.types import Block
from consensus.validators import Validators
from simulation.ledger import GENESIS

if TYPE_CHECKING:
    from simulation.world import World

STAKE_MAX: Final = 2**54
"""Of one validator: two hundred of them stay below the bound of a set's weight."""
NEWCOMER_WAIT_MS: Final = 8000
"""A newcomer stands for election only so long after its start."""


@dataclass(slots=True)
class Life:
    """What happened to the sets of a run, in seats.

    Attributes:
        epochs: that began after the first.
        changed: of those, with other validators than the one before.
        near_a_third: epochs in which the faulty had three tenths of the weight or more.
    """

    epochs: int = 0
    changed: int = 0
    joined: int = 0
    left: int = 0
    chilled: int = 0
    rotated: int = 0
    restaked: int = 0
    near_a_third: int = 0

    def add(self, other: Life) -> None:
        """Add another run's."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(frozen=True, slots=True)
class Election:
    """The validators of one epoch and what the next election goes on from.

    Attributes:
        seats: the node of each seat.
        stakes: of every node, elected or not.
        generations: which of its keys a node votes with.
        chilled: the first epoch for which an offender may stand again.
    """

    epoch: Epoch
    seats: tuple[int, ...]
    stakes: dict[int, int] = field(repr=False)
    generations: dict[int, int] = field(repr=False)
    chilled: dict[int, int] = field(repr=False)

    @property
    def authorities(self) -> list[tuple[bytes, int]]:
        """Keys and weights by seat."""
        return list(zip(self.epoch.validators.keys, self.epoch.validators.weights, strict=True))

    def announcement(self) -> NextEpoch:
        """Return what the terminal block before this epoch says."""
        epoch = self.epoch
        return NextEpoch(
            epoch=epoch.index,
            authorities=self.authorities,
            seed=epoch.seed,
            first_block=epoch.base.number,
            length=epoch.length,
        )


class Elections:
    """All elections of a run, by the block they stand on, and the epochs that began."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._scenario = scenario = world.scenario
        self._faulty = {*scenario.liars, *scenario.births, *(node for _, node in scenario.wipes)}
        self._on: dict[Hash32, Election] = {}
        self._begun: dict[int, Election] = {}
        self.life = Life()
        self.faulty_per_mille = 0
        """The largest share of weight that whoever may do or forget anything had in an epoch."""
        self._begin(self._first())

    def of(self, index: int) -> Election:
        """Return the election of an epoch that somebody has begun."""
        return self._begun[index]

    def begin(self, index: int, base: Block) -> Election:
        """Return the election of the epoch on a final base block: from now on it is the epoch of that number."""
        election = self._begun[0] if index == 0 else self._after(base)
        begun = self._begun.get(index)
        if begun is None:
            self._begin(election)
        elif begun.epoch.base.hash != base.hash:
            self._world.fail("I6", f"epoch {index} begins on two blocks")
        return election

    def _begin(self, election: Election) -> None:
        self._begun[election.epoch.index] = election
        life, weights = self.life, election.epoch.validators.weights
        faulty = sum(weight for node, weight in zip(election.seats, weights, strict=True) if node in self._faulty)
        self.faulty_per_mille = max(self.faulty_per_mille, 1000 * faulty // sum(weights))
        life.near_a_third += 10 * faulty >= 3 * sum(weights)
        before = self._begun.get(election.epoch.index - 1)
        if before is None:
            return
        old, new = set(before.seats), set(election.seats)
        stayed = old & new
        life.epochs += 1
        life.changed += set(before.authorities) != set(election.authorities)
        life.joined += len(new - old)
        life.left += len(old - new)
        life.chilled += sum(election.chilled[node] > election.epoch.index for node in election.chilled)
        life.rotated += sum(before.generations[node] != election.generations[node] for node in stayed)
        life.restaked += sum(before.stakes[node] != election.stakes[node] for node in stayed)

    def _first(self) -> Election:
        scenario = self._scenario
        rng = Random(f"{scenario.seed}/0")  # noqa: S311 - a simulation
        stakes = {node: _stake(rng, scenario.weights) for node in range(scenario.nodes)}
        candidates = [node for node in range(scenario.nodes) if node not in scenario.births]
        seed = blake2b(b"%d" % scenario.seed, digest_size=32).digest()
        return self._elect(
            Epoch(0, Validators([(b"nobody", 1)]), seed, GENESIS, scenario.epoch_length),
            self._choose(rng, candidates, ()),
            stakes,
            dict.fromkeys(range(scenario.nodes), 0),
            {},
        )

    def _after(self, terminal: Block) -> Election:
        found = self._on.get(terminal.hash)
        if found is None:
            found = self._on[terminal.hash] = self._draw(terminal)
        return found

    def _draw(self, terminal: Block) -> Election:
        scenario, before = self._scenario, self._begun[terminal.epoch]
        index = before.epoch.index + 1
        seed = blake2b(before.epoch.seed + terminal.hash, digest_size=32).digest()
        rng = Random(seed)  # noqa: S311 - a simulation
        stakes, generations, chilled = dict(before.stakes), dict(before.generations), dict(before.chilled)
        for node in range(scenario.nodes):
            if rng.random() < scenario.restakes:
                stakes[node] = _stake(rng, scenario.weights)
            if rng.random() < scenario.rotations:
                generations[node] += 1
        for node in self._offenders(before.epoch.base, terminal):
            stakes[node] = max(1, stakes[node] // 2)
            chilled[node] = index + rng.randint(1, 2)
        length = rng.randint(1, 2 * scenario.epoch_length) if scenario.lengths_vary else scenario.epoch_length
        epoch = Epoch(index, before.epoch.validators, seed, terminal, length)
        now_ms = terminal.timestamp_ms - self._world.epoch_ms
        candidates = [
            node
            for node in range(scenario.nodes)
            if chilled.get(node, 0) <= index
            and now_ms > scenario.births.get(node, -NEWCOMER_WAIT_MS) + NEWCOMER_WAIT_MS
        ]
        return self._elect(epoch, self._choose(rng, candidates, before.seats), stakes, generations, chilled)

    def _offenders(self, base: Block, terminal: Block) -> list[int]:
        offences = self._world.offences
        return sorted({node for node, _ in offences[terminal.hash] - offences[base.hash]})

    def _choose(self, rng: Random, candidates: list[int], seated: tuple[int, ...]) -> list[int]:
        """Return the members in the order of their seats."""
        scenario = self._scenario
        size = rng.randint(1, scenario.nodes) if scenario.sizes_vary else scenario.set_size
        rng.shuffle(candidates)
        stays = {"none": 1.0, "some": 0.7, "all": 0.0}[scenario.churn]
        kept = [node for node in candidates if node in seated and rng.random() < stays]
        members = (kept + [node for node in candidates if node not in kept])[:size]
        rng.shuffle(members)
        return members

    def _elect(
        self,
        epoch: Epoch,
        members: list[int],
        stakes: dict[int, int],
        generations: dict[int, int],
        chilled: dict[int, int],
    ) -> Election:
        scenario = self._scenario
        weights = {node: stakes[node] for node in members}
        if not scenario.too_many_liars:
            weights = self._bounded(weights)
        keys = self._world.keys
        validators = Validators([(keys.of(node, generations[node]), weight) for node, weight in weights.items()])
        epoch = Epoch(epoch.index, validators, epoch.seed, epoch.base, epoch.length)
        return Election(epoch, tuple(weights), stakes, generations, chilled)

    def _bounded(self, weights: dict[int, int]) -> dict[int, int]:
        """Return the weights with those of the faulty cut down to less than a third of the sum."""
        honest = {node: weight for node, weight in weights.items() if node not in self._faulty}
        if not honest:
            node = next(node for node in range(self._scenario.nodes) if node not in self._faulty)
            return {node: 1}
        most = (sum(honest.values()) - 1) // 2
        faulty = {node: weight for node, weight in weights.items() if node in self._faulty}
        lying = sum(faulty.values())
        if faulty and (lying > most or self._scenario.weights == "edge"):
            if self._scenario.weights != "equal":
                faulty = {node: weight * most // lying for node, weight in faulty.items()}
                first = min(faulty)
                faulty[first] += most - sum(faulty.values())
            while sum(faulty.values()) > most:
                faulty.popitem()
        return {node: weight for node in weights if (weight := honest.get(node) or faulty.get(node, 0)) > 0}


def _stake(rng: Random, weights: str) -> int:
    if weights == "equal":
        return 1
    if weights == "random":
        return rng.randint(1, 10)
    return int(min(STAKE_MAX, 10**12 * rng.paretovariate(0.8)))
