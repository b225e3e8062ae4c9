"""Own votes: only where the key's past and the present both allow them, with the key that the epoch lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import pytest

from aitoken.errors import Unavailable
from aitoken.proto.votes import NO_BLOCK, NOTARIZE, NULLIFY, Vote
from aitoken.types import Hash32
from consensus.journal import DamagedJournal, Opening, decode_record, encode_record
from consensus.permission import UNKNOWN
from consensus.signed import SignedVotes, VoteRefused
from node.driver.driver import Driver, StartPoint
from node.driver.voting import SignerForgot, Voting
from simulation.ledger import GENESIS
from simulation.node import Node
from simulation.scenario import Scenario
from simulation.world import World

ODD = Hash32(b"?" * 32)
WATCH_MS = 5_000


class Gone(Unavailable):
    """The signer does not answer."""

    code = "test.gone"


def world_of(**scenario: Any) -> World:
    world = World(Scenario(**scenario))
    world._schedule()
    return world


def run(world: World, ms: int) -> None:
    world.loop.run(world.loop.now + ms, lambda: False)


def driver_of(node: Node) -> Driver:
    assert node.driver is not None
    return node.driver


def made(node: Node) -> int:
    return driver_of(node).round_state().votes_made


@contextmanager
def watching() -> Iterator[None]:
    with mock.patch("simulation.node.StartPoint", partial(StartPoint, watch_ms=WATCH_MS)):
        yield


def test_a_node_without_its_signer_follows_and_votes_again_when_it_is_back() -> None:
    world = world_of()
    run(world, 3_000)
    node = world.nodes[0]
    height, votes = node.disk.committed.number, made(node)
    assert votes

    with mock.patch.object(node, "sign_vote", side_effect=Gone("gone")):
        run(world, 10_000)

    assert not driver_of(node).core.voting
    assert made(node) == votes
    assert node.disk.committed.number > height

    driver_of(node).signer_is_back()
    run(world, 3_000)

    assert driver_of(node).core.voting
    assert made(node) > votes
    assert world.failure is None


def test_a_leader_whose_signer_does_not_prove_its_view_builds_nothing_and_follows() -> None:
    world = world_of()
    run(world, 3_000)
    node = world.nodes[0]
    height = node.disk.committed.number

    with mock.patch.object(node, "prove_view", side_effect=Gone("gone")):
        run(world, 10_000)

    assert not driver_of(node).core.voting
    made_by_it = [block for block in node.disk.blocks.values() if block.number > height and block.leader == node.index]
    assert made_by_it == []
    assert node.disk.committed.number > height + 4

    driver_of(node).signer_is_back()
    run(world, 3_000)

    assert driver_of(node).core.voting
    assert world.failure is None


def test_a_vote_that_is_refused_is_asked_for_once_and_the_chain_goes_on() -> None:
    world = world_of()
    run(world, 3_000)
    node, asked = world.nodes[0], []
    height = node.disk.committed.number

    def refuse(kind: int, epoch: int, view: int, block_hash: bytes, final_view: int) -> bytes:
        del epoch, block_hash, final_view
        asked.append((view, kind))
        raise VoteRefused("no")

    with mock.patch.object(node, "sign_vote", refuse):
        run(world, 5_000)

    assert asked
    assert len(set(asked)) == len(asked)
    assert node.disk.committed.number > height
    assert driver_of(node).core.voting
    assert world.failure is None


def remembering(world: World, node: Node) -> Callable[[int, int, int, bytes, int], bytes]:
    """How a signer signs whose memory is on another disk: whatever it signed counts as given out."""
    memory, plain = SignedVotes(), node.sign_vote

    def sign(kind: int, epoch: int, view: int, block_hash: bytes, final_view: int) -> bytes:
        memory.settle(epoch, final_view)
        memory.enter(kind, epoch, view, block_hash)
        signature = plain(kind, epoch, view, block_hash, final_view)
        world.registry.make(node.key, Vote(kind, epoch, view, Hash32(block_hash), 0, signature), honest=True)
        return signature

    return sign


@pytest.mark.parametrize("calls", range(0, 40, 2))
def test_a_lone_validator_goes_on_wherever_its_power_went_though_its_signer_forgets_nothing(calls: int) -> None:
    world = world_of(nodes=1, set_size=1, crashes=[(1_000, 0, calls)])
    node = world.nodes[0]
    with mock.patch.object(node, "sign_vote", remembering(world, node)):
        run(world, 900)
        height = node.disk.committed.number
        run(world, 15_000)

    assert world.failure is None
    assert world.crashed == 1
    assert node.disk.committed.number > height + 5


@pytest.mark.parametrize("prepared", [True, False])
def test_nothing_is_signed_before_the_watch_is_over_whatever_the_past_allows(prepared: bool) -> None:
    with watching():
        world = world_of(prepared=prepared)
        run(world, WATCH_MS - 500)
        assert [made(node) for node in world.nodes] == [0] * 4
        run(world, 20_000)

    assert all(made(node) for node in world.nodes)
    assert world.failure is None


def test_a_key_that_holds_signs_nothing_when_only_its_watch_is_over() -> None:
    with watching():
        world = world_of(prepared=False, gst_ms=100_000, cuts=[(0, 100_000, frozenset({0}), False)])
        run(world, 3 * WATCH_MS)
    node = world.nodes[0]
    driver_of(node).receive(1, Vote(NULLIFY, 0, 1, NO_BLOCK, 1, bytes(64)))  # somebody speaks: its time runs
    run(world, 2 * WATCH_MS)

    assert not driver_of(node)._voting.guard.watch.active
    assert driver_of(node)._voting.permission.holds
    assert made(node) == 0


def hear_own_vote(world: World, node: Node) -> None:
    driver = driver_of(node)
    assert node.index is not None
    epoch, view = driver.core.epoch.index, driver.core.view + 1
    vote = Vote(NOTARIZE, epoch, view, ODD, node.index, node.key * 2)
    world.registry.make(node.key, vote, honest=False)
    driver.receive(1, vote)


def test_a_key_heard_during_the_watch_is_in_use_elsewhere() -> None:
    with watching():
        world = world_of()
        run(world, WATCH_MS // 2)
    world.allowed_alarms = frozenset({"signer.key_in_use"})
    node = world.nodes[0]

    hear_own_vote(world, node)
    run(world, 3 * WATCH_MS)

    assert node.alarms == ["signer.key_in_use"]
    assert made(node) == 0


def test_a_twin_that_was_heard_ends_the_votes_in_later_epochs_as_well() -> None:
    world = world_of(epoch_length=6)
    run(world, 1_000)
    world.allowed_alarms = frozenset({"consensus.doppelganger"})
    node = world.nodes[0]
    epoch = driver_of(node).core.epoch.index

    hear_own_vote(world, node)
    votes = made(node)
    world.loop.run(world.loop.now + 120_000, lambda: driver_of(node).core.epoch.index > epoch + 1)

    assert driver_of(node).core.epoch.index > epoch + 1
    assert node.alarms == ["consensus.doppelganger"]
    assert made(node) == votes


def test_an_own_vote_of_a_life_that_is_forgotten_is_no_twin() -> None:
    world = world_of(prepared=False, gst_ms=100_000, cuts=[(0, 100_000, frozenset({0}), False)])
    run(world, 1_000)
    node = world.nodes[0]
    assert driver_of(node)._voting.permission.holds

    hear_own_vote(world, node)

    assert node.alarms == []
    assert driver_of(node)._voting.guard.allows


def test_a_key_whose_signer_remembers_all_votes_at_once_without_a_journal() -> None:
    world = world_of(prepared=False, gst_ms=100_000, cuts=[(0, 100_000, frozenset({0}), False)])
    with mock.patch.object(Node, "remembers", True):
        run(world, 1_000)

    assert not driver_of(world.nodes[0])._voting.permission.holds
    assert driver_of(world.nodes[0]).core.voting


def test_a_signer_whose_memory_is_older_than_the_journal_is_not_used() -> None:
    world = world_of()
    run(world, 1_000)
    node = world.nodes[0]
    world.allowed_alarms = frozenset()

    with mock.patch.object(node, "knows", return_value=False):
        node.start()

    assert world.failure is not None
    assert SignerForgot.__name__ in str(world.failure)


@pytest.mark.parametrize("lacking", [1, 2])
def test_a_signer_may_lack_the_last_vote_of_the_journal_and_notes_it_then(lacking: int) -> None:
    """The power went while both were writing it. One vote more, and its memory is an older copy."""
    world = world_of()
    run(world, 1_000)
    node = world.nodes[0]
    voting = driver_of(node)._voting
    records = [decode_record(record) for record in node.disk.journal or ()]
    votes = [record for record in records if isinstance(record, Vote)]
    memory = SignedVotes()
    for vote in votes[:-lacking]:
        memory.enter(vote.kind, vote.epoch, vote.view, vote.hash)

    def sign(kind: int, epoch: int, view: int, block_hash: bytes, final_view: int) -> bytes:
        memory.enter(kind, epoch, view, block_hash)
        return world.keys.sign(node.key, kind, epoch, view, Hash32(block_hash))

    with mock.patch.object(node, "knows", memory.knows), mock.patch.object(node, "sign_vote", sign):
        if lacking == 1:
            voting._check_memory(votes)
        else:
            with pytest.raises(SignerForgot):
                voting._check_memory(votes)

    last = votes[-1]
    assert memory.knows(last.kind, last.epoch, last.view, last.hash) == (lacking == 1)


def test_a_signer_that_made_another_vote_than_the_last_of_the_journal_is_not_used() -> None:
    world = world_of()
    run(world, 1_000)
    node = world.nodes[0]

    def refuse(*_: object) -> bytes:
        raise VoteRefused("another one")

    vote = Vote(NOTARIZE, 0, 7, ODD, 0, bytes(64))
    with (
        mock.patch.object(node, "knows", return_value=False),
        mock.patch.object(node, "sign_vote", refuse),
        pytest.raises(SignerForgot),
    ):
        driver_of(node)._voting._check_memory([vote])


class Keys:
    """A signer with several keys and no memory."""

    def __init__(self, *keys: bytes) -> None:
        self.keys, self.public = keys, keys[0]
        self.remembers = False

    def choose(self, validators: Iterable[bytes]) -> None:
        self.public = next((key for key in validators if key in self.keys), self.public)

    def knows(self, *_: object) -> bool:
        return True


OTHER = b"other-key" + bytes(23)
STRANGER = b"strangers-key" + bytes(19)


class TestKeys:
    """The first node's key is listed in epoch 0; `OTHER` is held as well and is not."""

    @pytest.fixture
    def driver(self) -> Driver:
        world = world_of()
        run(world, 500)
        return driver_of(world.nodes[0])

    def voting(self, driver: Driver, *keys: bytes) -> Voting:
        record, pace = driver._ports.record, driver._pace
        signer: Any = Keys(*keys)
        return Voting(driver, signer, record, pace, driver.core.epoch, 0)

    def journal(self, key: bytes, epoch: int, votes_from: int = 0, floor: int = 0) -> list[bytes]:
        return [encode_record(Opening(GENESIS.hash, key, epoch, votes_from, floor))]

    @pytest.mark.parametrize(("votes_from", "floor"), [(0, 0), (0, 9), (3, 0), (UNKNOWN, 0)])
    def test_a_new_key_may_vote_where_the_one_before_it_might_have(
        self, driver: Driver, votes_from: int, floor: int
    ) -> None:
        epoch, listed = driver.core.epoch, driver._voting.key
        voting = self.voting(driver, OTHER)
        voting.begin(epoch, voting.read(self.journal(OTHER, 0, votes_from, floor), epoch)[0], force=False)
        signer: Any = Keys(OTHER, listed)
        voting._signer = signer

        voting.choose_key(epoch)

        assert voting.opening(0) == Opening(GENESIS.hash, listed, 0, votes_from, floor)
        assert voting.permission.holds == (votes_from == UNKNOWN)

    def test_where_no_key_is_listed_the_one_of_the_journal_stays(self, driver: Driver) -> None:
        voting = self.voting(driver, STRANGER, OTHER)

        found, goes_on = voting.read(self.journal(OTHER, 0), driver.core.epoch)

        assert goes_on
        assert found is not None
        assert voting.key == OTHER == found.opening.key

    @pytest.mark.parametrize(("votes_from", "floor"), [(0, 0), (2, 0), (1, 9)])
    def test_a_process_that_ended_between_two_keys_goes_on_with_the_second(
        self, driver: Driver, votes_from: int, floor: int
    ) -> None:
        epoch, listed = replace(driver.core.epoch, index=1), driver._voting.key
        voting = self.voting(driver, OTHER, listed)

        found, goes_on = voting.read(self.journal(OTHER, 0, votes_from, floor), epoch)
        voting.begin(epoch, found, force=False)

        assert not goes_on
        assert voting.opening(1) == Opening(GENESIS.hash, listed, 1, votes_from)

    @pytest.mark.parametrize(("key", "epoch"), [(STRANGER, 1), (OTHER, 0), (OTHER, 2)])
    def test_any_other_key_in_the_journal_is_refused(self, driver: Driver, key: bytes, epoch: int) -> None:
        voting = self.voting(driver, OTHER, driver._voting.key)

        with pytest.raises(DamagedJournal):
            voting.read(self.journal(key, 0), replace(driver.core.epoch, index=epoch))
