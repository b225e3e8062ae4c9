"""Situations that random seeds meet too rarely, arranged on purpose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest

from aitoken.proto.votes import FINALIZE, NOTARIZE, NULLIFY, Certificate, Vote
from aitoken.types import Hash32
from consensus import core, inputs, repair
from consensus.messages import Message, Proposal
from consensus.state import State
from consensus.types import Pace
from node.driver.driver import Driver
from simulation.node import Node, PowerLost
from simulation.scenario import Scenario
from simulation.stakes import Elections
from simulation.world import World

PACE = Pace(block_time_ms=100, idle_interval_ms=300, delta_ms=200)


def scenario(**changes: Any) -> Scenario:
    made = Scenario(pace=PACE, **changes)
    made.set_size = changes.get("set_size", made.nodes)
    return made


def driver_of(world: World, name: int) -> Driver:
    driver = world.nodes[name].driver
    assert driver is not None
    return driver


def run_until(world: World, condition: Any, limit_ms: int = 60_000) -> None:
    """Run from the start until something holds."""
    world._schedule()
    world.loop.run(limit_ms, lambda: world.failure is not None or condition())
    assert world.failure is None
    assert condition()


def go_on(world: World, blocks: int = 6, limit_ms: int = 30_000) -> bool:
    """Run on until every honest node has so many more blocks; False when that does not happen in time."""
    goal = world.invariants.height + blocks
    world.loop.run(
        world.loop.now + limit_ms,
        lambda: world.failure is not None or all(node.disk.committed.number >= goal for node in world.honest),
    )
    assert world.failure is None
    return all(node.disk.committed.number >= goal for node in world.honest)


class TestExactlyAQuorumLosesPowerAfterGivingUpAView:
    """Three of four, the fourth silent: each NULLIFY counts, also the own one after the restart."""

    def arrange(self) -> World:
        world = World(scenario(liars={3: "silent"}))

        gave_up: dict[int, set[int]] = {}

        def lose_nullify(source: int, target: int, message: Message) -> bool:
            lost = isinstance(message, Vote) and message.kind == NULLIFY
            if isinstance(message, Vote) and lost and message.view > world.invariants.height:
                gave_up.setdefault(message.view, set()).add(source)
            return lost

        def all_gave_up() -> bool:
            return any(len(sources) == 3 for sources in gave_up.values())

        world.network.loses = lose_nullify
        run_until(world, all_gave_up)
        world.network.loses = None
        world._cut_power()
        return world

    @contextmanager
    def nobody_returns_votes(self) -> Iterator[None]:
        with (
            mock.patch.object(repair, "_send_missing_votes", return_value=None),
            mock.patch.object(Driver, "relay", return_value=None),
        ):
            yield

    def test_it_recovers_even_without_the_repair_of_votes(self) -> None:
        with self.nobody_returns_votes():
            assert go_on(self.arrange())

    def test_it_would_not_if_own_votes_were_not_counted_again(self) -> None:
        def not_counted(state: State, event: inputs.Start) -> None:
            with mock.patch.object(core.tally, "add_vote", return_value=None):
                real(state, event)

        real = core._on_start
        with self.nobody_returns_votes(), mock.patch.dict(core._HANDLERS, {inputs.Start: not_counted}):
            assert not go_on(self.arrange())


def test_honest_nodes_with_different_certificates_for_the_same_views_come_together() -> None:
    world = World(scenario(nodes=10))
    first = {0, 1, 2}  # the other seven are just a quorum

    def split(source: int, target: int, message: Message) -> bool:
        if (source in first) != (target in first) and not isinstance(message, Vote | Proposal):
            return True
        return isinstance(message, Vote) and message.kind == (NULLIFY if target in first else NOTARIZE)

    world.network.loses = split
    world._schedule()
    world.loop.run(6000, lambda: world.failure is not None)
    kinds = [
        {type_of(found) for found in driver_of(world, name).core.state.rounds.values() if type_of(found)}
        for name in range(10)
    ]
    assert any(NOTARIZE in kind for kind in kinds[:3])
    assert any(NULLIFY in kind for kind in kinds[3:])
    world.network.loses = None

    assert go_on(world)


def type_of(found: Any) -> int:
    if found.notarized is not None and found.nullified is None:
        return NOTARIZE
    return NULLIFY if found.nullified is not None and found.notarized is None else 0


def test_a_terminal_block_that_is_not_final_in_its_view_is_proposed_again_until_it_is() -> None:
    world = World(scenario(epoch_length=3))
    first_view: list[int] = []

    def lose_first(source: int, target: int, message: Message) -> bool:
        if isinstance(message, Vote) and message.kind == FINALIZE and message.epoch == 0:
            block = world._by_hash[message.hash]
            if block.number == 3:
                first_view.append(block.view)
                return message.view == block.view
        return isinstance(message, Certificate) and message.kind == FINALIZE and message.view in first_view

    world.network.loses = lose_first
    run_until(world, lambda: all(node.disk.committed.number >= 5 for node in world.honest))

    terminal = world.nodes[0].disk.terminal[0]
    assert first_view
    assert terminal.view > first_view[0]
    assert world._by_hash[terminal.hash].number == 3


def test_a_node_cut_off_for_several_epochs_comes_back_in_step() -> None:
    world = World(scenario(epoch_length=3, gst_ms=8000, cuts=[(500, 8000, frozenset({3}), False)]))

    outcome = world.run()

    assert outcome.failure is None
    assert driver_of(world, 3).core.epoch.index >= 4
    assert outcome.faults.lost > 0


@pytest.mark.parametrize(("group", "most_ms"), [({0, 1}, 6000), ({3}, 6000)], ids=["two-and-two", "three-and-one"])
def test_a_minute_of_partition_heals_in_seconds(group: set[int], most_ms: int) -> None:
    world = World(scenario(gst_ms=60_000, cuts=[(1000, 60_000, frozenset(group), False)]))

    outcome = world.run()

    assert outcome.failure is None
    assert outcome.healed_ms < most_ms


@pytest.mark.parametrize("name", ["equivocator", "double-voter"])
def test_cheating_is_found_out_and_the_chain_goes_on(name: str) -> None:
    world = World(scenario(nodes=4, liars={1: name}))

    run_until(world, lambda: world.invariants.evidence_seen > 0)
    assert go_on(world)
    assert world.invariants.guilty() == {world.nodes[1].key}


def test_two_processes_with_one_key_stop_themselves() -> None:
    world = World(scenario(nodes=4, liars={1: "twins"}))

    twins = [node for node in world.nodes if not node.honest]
    run_until(world, lambda: any("consensus.doppelganger" in node.alarms for node in twins))
    assert go_on(world)


@contextmanager
def dying_at_first_proposal(victims: list[Node]) -> Iterator[list[Proposal]]:
    """Power is lost after the leader's barrier and before its proposal leaves."""
    unsent: list[Proposal] = []
    real = Node.broadcast

    def broadcast(node: Node, message: Message) -> None:
        if isinstance(message, Proposal) and not unsent and node in victims:
            unsent.append(message)
            raise PowerLost
        real(node, message)

    with mock.patch.object(Node, "broadcast", broadcast):
        yield unsent


def test_a_leader_that_dies_between_barrier_and_broadcast_proposes_the_same_again() -> None:
    world = World(scenario(nodes=4))
    sent: list[Proposal] = []

    def note(source: int, target: int, message: Message) -> bool:
        if isinstance(message, Proposal):
            sent.append(message)
        return False

    world.network.loses = note
    with dying_at_first_proposal(world.nodes) as unsent:
        run_until(world, lambda: all(node.disk.committed.number >= 4 for node in world.honest))

    (first,) = unsent
    again = [p for p in sent if (p.epoch, p.view, p.vote.signer) == (first.epoch, first.view, first.vote.signer)]
    assert {p.vote.hash for p in again} == {first.vote.hash}


def test_blackouts_of_everybody_with_torn_journals_lose_nothing() -> None:
    made = scenario(nodes=4, gst_ms=20_000, epoch_length=5)
    made.fsync_max_ms = 60
    world = World(made)
    for time in (900, 8500, 16_100):
        world.loop.at(time, world._cut_power)

    outcome = world.run()

    assert outcome.failure is None
    assert outcome.faults.crashes >= 8


@pytest.mark.parametrize("nodes", [7, 10])
def test_on_a_ring_nobody_hears_a_quorum_and_relays_carry_the_chain(nodes: int) -> None:
    world = World(scenario(nodes=nodes, graph="ring"))

    world._schedule()
    world.loop.run(20_000, lambda: world.failure is not None)

    assert world.failure is None
    assert world.invariants.height >= 60


@pytest.mark.parametrize(("skew_ms", "least"), [(2000, 25), (-2000, 70), (600_000, 25), (-600_000, 70)])
def test_one_wrong_clock_slows_and_stops_nothing(skew_ms: int, least: int) -> None:
    world = World(scenario(nodes=4, skews={0: skew_ms}))

    world._schedule()
    world.loop.run(20_000, lambda: world.failure is not None)

    assert world.failure is None
    assert world.invariants.height >= least


def test_one_silent_leader_of_four_costs_little() -> None:
    world = World(scenario(nodes=4, liars={2: "silent"}))

    world._schedule()
    world.loop.run(30_000, lambda: world.failure is not None)

    assert world.invariants.height >= 70


def test_good_case_finality_takes_three_delays_and_a_block_two() -> None:
    made = scenario(nodes=4)
    made.pace = Pace(block_time_ms=1, idle_interval_ms=1, delta_ms=1000)
    made.latency_ms, made.jitter_ms, made.build_ms, made.verify_ms, made.fsync_max_ms = 100, 0, 0, 0, 0
    world = World(made)
    proposed: dict[int, int] = {}
    final: dict[int, int] = {}

    def watch(source: int, target: int, message: Message) -> bool:
        if isinstance(message, Proposal):
            proposed.setdefault(message.view, world.loop.now)
        return False

    world.network.loses = watch
    real = world.invariants.committed

    def committed(node: Any, path: Any) -> None:
        final.setdefault(path[-1].view, world.loop.now)
        real(node, path)

    with mock.patch.object(world.invariants, "committed", committed):
        run_until(world, lambda: world.invariants.height >= 20)

    views = sorted(final)[3:]
    assert {final[view] - proposed[view] for view in views} == {300}
    assert {proposed[view + 1] - proposed[view] for view in views[:-1]} == {200}


def test_beyond_a_third_of_liars_a_fork_convicts_at_least_a_third() -> None:
    forks = 0
    for seed in range(40):
        world = World(scenario(seed=seed, nodes=4, liars={0: "equivocator", 1: "double-voter"}, too_many_liars=True))
        outcome = world.run(limit_ms=4000)
        guilty = world.invariants.guilty()
        assert guilty <= {world.nodes[0].key, world.nodes[1].key}
        if outcome.failure is not None and outcome.failure.startswith(("I1", "I3", "alarm: ")):
            forks += 1
            assert len(guilty) >= 2
    assert forks > 0


@pytest.mark.parametrize(("nodes", "blocks"), [(1, 9), (2, 9), (4, 9), (7, 9), (50, 5), (100, 3), (200, 2)])
def test_sets_of_any_size_agree_and_turn_their_epochs_with_a_third_of_them_silent(nodes: int, blocks: int) -> None:
    liars = dict.fromkeys(range((nodes - 1) // 3), "silent")
    made = scenario(nodes=nodes, liars=liars, epoch_length=2, jitter_ms=0)
    made.pace = Pace(block_time_ms=500, idle_interval_ms=1000, delta_ms=600)
    world = World(made)

    run_until(world, lambda: world.invariants.height >= blocks)

    assert world.elections.life.epochs >= blocks // 2
    assert len(world.elections.of(0).seats) == nodes
    # In the good case 4 n^2 a block; more while connections come up and leaders are silent, but never n^3.
    assert world.network.sent <= 20 * nodes**2 * world.invariants.height


def views_of_epoch(world: World, name: int, epoch: int) -> int:
    """How far a node that may not have started yet is in an epoch."""
    driver = world.nodes[name].driver
    return driver.core.view if driver is not None and driver.core.epoch.index == epoch else 0


def test_when_all_goes_well_a_block_costs_a_proposal_and_two_votes_of_each() -> None:
    world = World(scenario(nodes=10, jitter_ms=0, work="never"))
    run_until(world, lambda: world.lowest >= 3)
    sent: Counter[type] = Counter()

    def watch(source: int, target: int, message: Message) -> bool:
        sent[type(message)] += 1
        return False

    world.network.loses = watch
    assert go_on(world, 5)
    assert sent.keys() == {Proposal, Vote}  # whose vote came too late to count has shown that it needs no certificate
    assert sent[Vote] <= 2 * 10 * 9 * 6


def seated(*sets: list[int]) -> Any:
    """Elections with these outcomes, the last for ever."""

    def choose(self: Elections, *_: Any) -> list[int]:
        return list(sets[min(len(self._begun), len(sets) - 1)])

    return mock.patch.object(Elections, "_choose", choose)


@pytest.mark.parametrize("seed", [0, 2, 6, 8])
def test_a_newcomer_that_has_half_of_the_next_epoch_does_not_stop_it(seed: int) -> None:
    """Whichever comes first in a view, the certificate of the one before or its block: seeds have both."""
    with seated([0, 1], [0, 2]):
        world = World(scenario(nodes=3, births={2: 500}, epoch_length=100, too_many_liars=True, seed=seed))
        run_until(world, lambda: all(node.disk.committed.number >= 110 for node in world.nodes))

    assert world.elections.of(1).seats == (0, 2)


def test_a_lost_disk_does_not_take_the_word_of_those_who_missed_the_end_of_their_epoch() -> None:
    """Node 4 votes in epoch 1, loses its disk, and then hears only validators of epoch 0 that know of no end."""
    late, alone = {1, 2, 3}, False

    def lose(source: int, target: int, message: Message) -> bool:
        last = isinstance(message, Vote | Certificate) and message.kind == FINALIZE and is_last(message.hash)
        if alone and 4 in (source, target):
            return last or not late & {source, target}
        return target in late and (last or (source not in late and world.invariants.height >= 3))

    def is_last(block_hash: Hash32) -> bool:
        return world._by_hash[block_hash].number == 3

    with seated([0, 1, 2, 3], [4, 5, 6, 7]):
        world = World(scenario(nodes=8, set_size=4, epoch_length=3))
        world.network.loses = lose
        run_until(world, lambda: views_of_epoch(world, 4, 1) > 2)
        assert [driver_of(world, name).core.epoch.index for name in range(8)] == [1, 0, 0, 0, 1, 1, 1, 1]

        alone = True
        world._wipe(4)
        world.loop.run(world.loop.now + 30_000, lambda: world.failure is not None)
        assert world.failure is None
        assert driver_of(world, 4).core.view > 1
        assert driver_of(world, 4)._voting.permission.holds

        world.network.loses = None
        assert go_on(world)


def test_the_only_way_between_two_groups_of_validators_may_be_a_node_that_is_none() -> None:
    made = scenario(nodes=5, graph="cliques", jitter_ms=0)  # 0, 1, 2 and 2, 3, 4 hear each other
    with seated([0, 1, 3, 4]):
        world = World(made)
        run_until(world, lambda: world.lowest >= 6, 20_000)
