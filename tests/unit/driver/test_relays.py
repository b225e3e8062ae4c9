"""Passing on: asked for only where a quorum is not heard, and taken back."""

from __future__ import annotations

from typing import Any

from aitoken.proto.votes import Vote
from consensus.messages import WANTS_RELAY, Message, Status
from consensus.types import Pace
from node.driver.driver import Driver
from simulation.scenario import Scenario
from simulation.world import World


class Watched(World):
    """A network that notes relayed votes and wishes."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(Scenario(pace=Pace(100, 300, 200), jitter_ms=0, **changes))
        self.passed_on = 0
        self.wishes: list[int] = []
        self.network.loses = self._watch
        self._schedule()

    def _watch(self, source: int, target: int, message: Message) -> bool:
        self.passed_on += isinstance(message, Vote) and message.signer != self.nodes[source].index
        if isinstance(message, Status) and message.flags & WANTS_RELAY:
            self.wishes.append(source)
        return False

    def go_on(self, ms: int) -> None:
        self.loop.run(self.loop.now + ms, lambda: False)
        assert self.failure is None

    def driver(self, name: int) -> Driver:
        driver = self.nodes[name].driver
        assert driver is not None
        return driver

    def wanting(self) -> set[object]:
        return {peer for node in self.nodes for peer in self.driver(node.name)._relays._wanting}


def test_who_hears_a_quorum_is_passed_nothing_also_when_it_starts_and_when_epochs_turn() -> None:
    world = Watched(nodes=7, set_size=7, epoch_length=4, rotations=1.0)

    world.go_on(5_000)

    assert world.driver(0).core.epoch.index > 3
    assert (world.wishes, world.wanting()) == ([], set())


def test_who_hears_too_little_asks_and_takes_it_back_when_it_hears_enough() -> None:
    world = Watched(nodes=5, set_size=5, graph="ring")
    world.go_on(5_000)
    assert set(world.wishes) == world.wanting() == set(range(5))
    assert world.invariants.height > 20

    for node in world.nodes:
        node.neighbours = tuple(other for other in range(5) if other != node.name)
        node.near = frozenset(node.neighbours)
    for node in world.nodes:
        for other in node.neighbours:
            world.driver(node.name).connected(other)
    world.go_on(100)
    assert world.wanting() == set()

    before = world.passed_on
    world.go_on(5_000)
    assert world.passed_on == before


def test_a_liar_that_is_heard_but_no_help_does_not_keep_a_ring_from_passing_on() -> None:
    """Each honest node hears two others and the liar: a quorum with itself, of which one is of no use."""
    world = Watched(nodes=5, set_size=5, graph="ring", prepared=True, liars={1: "equivocator"}, epoch_length=1000)

    world.go_on(30_000)
    reached = world.invariants.height
    world.go_on(15_000)

    assert set(world.wishes) == {0, 2, 3, 4}
    assert world.invariants.height > reached + 30


def test_a_wish_ends_with_the_connection() -> None:
    world = Watched()
    world.go_on(1_000)
    status = world.driver(0).core.status()
    world.driver(0).receive(2, Status(*[getattr(status, name) for name in status.__slots__][:-1], flags=WANTS_RELAY))
    assert world.wanting() == {2}

    world.driver(0).disconnected(2)

    assert world.wanting() == set()
