"""The tree of blocks: what is told when, and what survives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from aitoken.errors import Bug
from aitoken.types import Hash32
from chain.state.base import StateDiscarded
from node.chain.opening import OpenChain
from node.chain.tree import UnknownBlock
from node.ports import Block
from node.store.errors import InUse, WrongGenesis
from tests.support.real_chain import build, open_in, remark, write_genesis


class Ear:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def on_block(self, block: Block) -> None:
        self.told.append(("block", block.number))

    def on_best(self, block: Block) -> None:
        self.told.append(("best", block.number))

    def on_finalized(self, blocks: Sequence[Block], pruned: Sequence[Hash32]) -> None:
        self.told.append(("final", [block.number for block in blocks]))
        if pruned:
            self.told.append(("pruned", list(pruned)))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenChain]:
    chain = open_in(tmp_path)
    yield chain
    chain.database.close()


def test_blocks_are_told_before_heads_and_finality_last(opened: OpenChain) -> None:
    ear = Ear()
    opened.chain.subscribe(ear)

    first = build(opened, opened.chain.finalized)
    second = build(opened, first)
    opened.chain.set_best(second.hash)
    opened.chain.finalize(second.hash, b"certificate")

    assert ear.told == [("block", 1), ("block", 2), ("best", 2), ("final", [1, 2])]


def test_a_fork_that_lost_is_pruned_and_its_state_is_gone(opened: OpenChain) -> None:
    ear = Ear()
    base = opened.chain.finalized
    winner, loser = build(opened, base, view=1), build(opened, base, view=2)
    child_of_loser = build(opened, loser)
    opened.chain.set_best(child_of_loser.hash)
    opened.chain.subscribe(ear)

    opened.chain.finalize(winner.hash, None)

    assert ear.told == [("best", 1), ("final", [1]), ("pruned", [loser.hash, child_of_loser.hash])]
    assert opened.chain.best.hash == winner.hash
    assert opened.chain.header(loser.hash) is None
    with pytest.raises(UnknownBlock):
        opened.chain.state_at(loser.hash)
    with pytest.raises(StateDiscarded):
        child_of_loser.state.child({})


def test_children_of_the_final_block_go_on_after_finality(opened: OpenChain) -> None:
    first = build(opened, opened.chain.finalized, [remark(opened, 0)])
    second = build(opened, first, [remark(opened, 1)])
    opened.chain.finalize(first.hash, None)

    third = build(opened, second, [remark(opened, 2)])
    opened.chain.finalize(third.hash, b"c")

    assert [opened.chain.hash_of(number) for number in (1, 2, 3)] == [first.hash, second.hash, third.hash]
    assert opened.chain.justification(second.hash) is None
    assert opened.chain.justification(third.hash) == b"c"


def test_a_block_without_its_parent_is_our_bug(opened: OpenChain) -> None:
    first = build(opened, opened.chain.finalized)
    opened.chain.finalize(first.hash, None)
    stranger = Block(Hash32(b"x" * 32), first.header, (), first.state)

    with pytest.raises(Bug):
        opened.chain.insert(stranger)
    with pytest.raises(Bug):
        opened.chain.finalize(Hash32(b"y" * 32), None)


def test_what_is_final_is_there_after_reopening_and_what_is_not_is_gone(tmp_path: Path) -> None:
    opened = open_in(tmp_path)
    first = build(opened, opened.chain.finalized, [remark(opened, 0)])
    second = build(opened, first)
    opened.chain.finalize(first.hash, None)
    opened.database.close()

    again = open_in(tmp_path)

    assert again.chain.finalized.hash == first.hash
    assert again.chain.finalized.state.root == first.header.state_root
    assert again.chain.body(first.hash) == [xt.raw for xt in first.body]
    assert again.chain.header(second.hash) is None
    build(again, again.chain.finalized, [remark(again, 1)])
    again.database.close()


def test_old_states_are_read_from_history_until_they_are_pruned(tmp_path: Path) -> None:
    opened = open_in(tmp_path, history_blocks=8)
    key = opened.runtime.new_instance().system.number.raw_key(None)
    hashes = []
    for _ in range(60):
        block = build(opened, opened.chain.best)
        opened.chain.set_best(block.hash)
        opened.chain.finalize(block.hash, None)
        hashes.append(block.hash)

    assert opened.chain.state_at(hashes[-5]).get(key) == (56).to_bytes(4, "little")
    header = opened.chain.header(hashes[-5])
    assert header is not None
    assert opened.chain.state_at(hashes[-5]).root == header.state_root
    with pytest.raises(StateDiscarded):
        opened.chain.state_at(hashes[2])
    opened.database.close()


def test_epochs_follow_the_blocks(tmp_path: Path) -> None:
    opened = open_in(tmp_path)
    assert opened.epoch.index == 0
    for _ in range(31):
        block = build(opened, opened.chain.best)
        opened.chain.set_best(block.hash)
    opened.chain.finalize(block.hash, None)
    opened.database.close()

    again = open_in(tmp_path)

    assert (again.epoch.index, again.epoch.base.number, again.epoch.last_number) == (1, 30, 60)
    assert again.epoch.validators.keys == opened.epoch.validators.keys
    assert again.epoch.seed != opened.epoch.seed
    again.database.close()


def test_another_genesis_or_a_second_process_is_refused(tmp_path: Path) -> None:
    opened = open_in(tmp_path)
    with pytest.raises(InUse):
        open_in(tmp_path)
    opened.database.close()

    write_genesis(tmp_path, existentialDeposit=5_000_000_000)

    with pytest.raises(WrongGenesis, match="belongs to the chain with genesis"):
        open_in(tmp_path)


def test_the_block_a_node_starts_on_keeps_its_state_when_others_become_final(opened: OpenChain) -> None:
    start = opened.chain.finalized
    before = dict(start.state.iterate(b""))
    first = build(opened, start, [remark(opened, 0)])
    opened.chain.set_best(first.hash)

    opened.chain.finalize(first.hash, b"certificate")

    assert dict(opened.chain.state_at(start.hash).iterate(b"")) == before
    assert dict(start.state.iterate(b"")) == before
    assert dict(first.state.iterate(b"")) != before


def test_while_a_block_is_being_written_everybody_still_reads_the_state_before_it(opened: OpenChain) -> None:
    ear, behind = Ear(), []
    chain = opened.chain
    number = opened.runtime.new_instance().system.number.raw_key(None)
    first = build(opened, chain.finalized)
    chain.set_best(first.hash)
    chain.finalize(first.hash, None)
    second = build(opened, first)
    chain.set_best(second.hash)
    chain.subscribe(ear)
    chain.write_behind(lambda work, done, *, short: behind.append((work, done)))

    chain.finalize(second.hash, b"c")
    work, done = behind[0]
    work()

    assert ear.told == []
    assert chain.finalized.hash == first.hash
    assert opened.database.state.get(number) == (1).to_bytes(4, "little")
    assert chain.state_at(first.hash).get(number) == (1).to_bytes(4, "little")
    third = build(opened, second)
    assert third.state.get(number) == (3).to_bytes(4, "little")

    done()

    assert ear.told == [("block", 3), ("final", [2])]
    assert opened.database.state.get(number) == (2).to_bytes(4, "little")
    assert third.state.get(number) == (3).to_bytes(4, "little")


def test_few_extrinsics_are_a_short_write_and_the_trunk_is_a_long_one(
    opened: OpenChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, ways, written = opened.chain, [], []

    def run(work: Callable[[], None], done: Callable[[], None], *, short: bool) -> None:
        ways.append(short)
        work()
        done()

    chain.write_behind(run)
    monkeypatch.setattr(opened.database, "trunk_to_write", lambda: lambda: written.append("trunk"))
    chain.finalize(build(opened, chain.finalized).hash, None)

    assert ways == [True, False]
    assert written == ["trunk"]


def test_an_epoch_no_number_can_name_has_no_end(opened: OpenChain) -> None:
    assert [opened.chain.epoch_end(epoch) for epoch in (-1, 0, 1 << 64)] == [None, None, None]
