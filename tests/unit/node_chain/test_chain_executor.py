"""Blocks are built, executed and refused as consensus asks for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aitoken.proto.digest import Digest
from aitoken.proto.extrinsic import Extrinsic
from aitoken.proto.header import Header
from aitoken.proto.votes import FINALIZE, Certificate
from aitoken.types import Hash32
from chain.frame.errors import InvalidTransaction
from consensus.types import Block, Slot
from node.chain.executor import Executor
from node.chain.jobs import JOBS_MAX, JobRunner, TooManyJobs
from node.chain.opening import OpenChain
from node.driver.headers import read_block
from tests.support import leading
from tests.support.real_chain import open_in, remark

GENESIS_MS = 1_767_225_600_000


class Loop:
    """Runs what was scheduled when the test says so."""

    def __init__(self) -> None:
        self.calls: deque[Callable[[], None]] = deque()
        self.failures: list[BaseException] = []

    def soon(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def run(self) -> int:
        turns = 0
        while self.calls:
            self.calls.popleft()()
            turns += 1
        return turns


class Walk:
    """Gives out a list and remembers how often it was told to skip."""

    def __init__(self, offered: list[Extrinsic]) -> None:
        self._rest = iter(offered)
        self._last: Extrinsic | None = None
        self.skipped = 0

    def __iter__(self) -> Iterator[Extrinsic]:
        return self

    def __next__(self) -> Extrinsic:
        self._last = next(self._rest)
        return self._last

    def skip(self) -> Extrinsic:
        self.skipped += 1
        assert self._last is not None
        return self._last


class Waiting:
    """A pool that offers a fixed list."""

    def __init__(self) -> None:
        self.offered: list[Extrinsic] = []
        self.rejected: list[tuple[Hash32, InvalidTransaction]] = []

    def iter_ready(self) -> Walk:
        self.walk = Walk(self.offered)
        return self.walk

    def get(self, tx_hash: Hash32) -> Extrinsic | None:
        return next((xt for xt in self.offered if xt.hash == tx_hash), None)

    def reject(self, tx_hash: Hash32, cause: InvalidTransaction, parent: Hash32 | None = None) -> None:
        assert parent is not None
        self.rejected.append((tx_hash, cause))


class Rig:
    """An executor on a real chain with a loop and a pool of the test's."""

    def __init__(self, folder: Path) -> None:
        self.opened: OpenChain = open_in(folder)
        self.loop, self.pool = Loop(), Waiting()
        self.jobs = JobRunner(self.loop.soon, self.loop.failures.append)
        self.executor = Executor(
            self.opened.chain, self.opened.database, self.opened.runtime, self.pool, self.jobs, build_budget_ms=10_000
        )

    def build(self, number: int, parent: Hash32, view: int | None = None) -> Block:
        answers: list[Block | None] = []
        slot = Slot((number - 1) // 30, view or number, 0, 0, GENESIS_MS + 1000 * number, number, number % 30 == 0)
        self.executor.build(parent, slot, self.proof(parent, slot.view), answers.append)
        self.loop.run()
        assert answers[0] is not None
        return answers[0]

    def proof(self, parent: Hash32, view: int) -> bytes:
        """The proof of validator 0 for a view on this parent."""
        found = self.opened.chain.get(parent)
        assert found is not None
        epoch = leading.epoch_of(self.opened.runtime, found.state)
        return leading.proof_of(epoch, self.opened.genesis_hash, view)

    def verify(self, block: Block) -> bool:
        answers: list[bool] = []
        self.executor.verify(block, answers.append)
        self.loop.run()
        return answers[0]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "a")
    yield made
    made.opened.database.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "b")
    yield made
    made.opened.database.close()


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()


def test_what_one_node_builds_another_accepts_and_nobody_accepts_a_changed_one(rig: Rig, other: Rig) -> None:
    rig.pool.offered = [remark(rig.opened, 0), remark(rig.opened, 1)]
    block = rig.build(1, rig.opened.genesis_hash)

    assert len(block.extrinsics) == 3
    header = Header.decode(block.header)
    for changed in (
        Header(header.parent_hash, header.number, Hash32(b"x" * 32), header.extrinsics_root, header.digest),
        Header(header.parent_hash, header.number, header.state_root, Hash32(b"x" * 32), header.digest),
        Header(
            header.parent_hash,
            header.number,
            header.state_root,
            header.extrinsics_root,
            Digest(header.digest.logs[:1] * 2),
        ),
    ):
        wrong = replace(block, hash=changed.hash, header=changed.encode())
        assert not other.verify(wrong)
    assert not other.verify(replace(block, hash=Hash32(b"y" * 32), extrinsics=block.extrinsics[:2]))
    assert not other.verify(replace(block, hash=Hash32(b"z" * 32), extrinsics=(*block.extrinsics, b"\x04\x04\xff\xff")))
    assert other.verify(block)
    assert other.opened.chain.get(block.hash) is not None


def test_a_block_with_the_proof_of_another_view_is_not_valid(rig: Rig, other: Rig) -> None:
    genesis, slot = rig.opened.genesis_hash, Slot(0, 1, 0, 0, GENESIS_MS + 1000, 1, False)
    answers: list[Block | None] = []
    for view in (2, 1):
        rig.executor.build(genesis, slot, rig.proof(genesis, view), answers.append)
        rig.loop.run()
    wrong, right = answers
    assert wrong is not None
    assert right is not None

    assert not other.verify(wrong)
    assert other.verify(right)


def test_a_transaction_from_the_future_waits_and_a_stale_one_is_thrown_out(rig: Rig) -> None:
    rig.pool.offered = [remark(rig.opened, 5), remark(rig.opened, 0)]
    first = rig.build(1, rig.opened.genesis_hash)
    assert len(first.extrinsics) == 2
    assert rig.pool.rejected == []
    assert rig.pool.walk.skipped == 1

    rig.build(2, first.hash)

    assert [tx_hash for tx_hash, _ in rig.pool.rejected] == [rig.pool.offered[1].hash]


def test_execution_of_a_long_block_lets_the_loop_turn(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.pool.offered = [remark(rig.opened, nonce) for nonce in range(100)]
    monkeypatch.setattr("node.chain.jobs.time.perf_counter", iter(range(10**6)).__next__)
    answers: list[Block | None] = []

    slot = Slot(0, 1, 0, 0, GENESIS_MS + 1000, 1, False)
    rig.executor.build(rig.opened.genesis_hash, slot, rig.proof(rig.opened.genesis_hash, 1), answers.append)

    assert rig.loop.run() > 5
    assert answers[0] is not None


@pytest.mark.parametrize("job", ["build", "build on a fork", "verify"])
def test_what_finality_overtakes_halfway_ends_without_a_block_and_the_next_is_built(
    rig: Rig, other: Rig, job: str
) -> None:
    genesis = rig.opened.genesis_hash
    first, fork = rig.build(1, genesis), rig.build(1, genesis, view=3)
    answers: list[Block | bool | None] = []
    if job == "verify":
        rig.executor.verify(other.build(1, genesis, view=4), answers.append)
    else:
        slot, parent = Slot(0, 5, 0, 0, GENESIS_MS + 5000, 2, False), fork.hash if "fork" in job else genesis
        rig.executor.build(parent, slot, rig.proof(parent, 5), answers.append)

    next(rig.jobs._waiting[0])  # it has begun when the block becomes final
    certificate = Certificate(FINALIZE, 0, 1, first.hash, b"\x07", (b"s" * 64,) * 3)
    rig.executor.commit(certificate, first.hash, lambda: None)
    rig.loop.run()

    assert rig.loop.failures == []
    assert answers == [False if job == "verify" else None]
    assert rig.build(2, first.hash).parent_hash == first.hash


def test_a_certificate_that_ends_an_epoch_is_kept_for_ever(rig: Rig) -> None:
    parent = rig.opened.genesis_hash
    for number in range(1, 31):
        block = rig.build(number, parent)
        parent = block.hash
    certificate = Certificate(FINALIZE, 0, 30, block.hash, b"\x07", (b"s" * 64,) * 3)
    done: list[bool] = []

    rig.executor.commit(certificate, block.hash, lambda: done.append(True))

    assert done == [True]
    assert rig.executor.terminal_certificate(0) == certificate
    assert rig.executor.terminal_certificate(1) is None
    assert rig.executor.next_epoch(block).epoch == 1
    assert rig.executor.block(block.hash) == (block.header, block.extrinsics)


def test_an_unknown_parent_gives_no_block_and_no_verdict_of_validity(rig: Rig) -> None:
    block = rig.build(1, rig.opened.genesis_hash)
    answers: list[Block | None] = []

    slot = Slot(0, 2, 0, 0, GENESIS_MS + 5000, 2, False)
    rig.executor.build(Hash32(b"?" * 32), slot, bytes(80), answers.append)
    rig.loop.run()

    assert answers == [None]
    assert not rig.verify(replace(block, hash=Hash32(b"n" * 32), parent_hash=Hash32(b"?" * 32)))


def test_blocks_read_back_as_consensus_wrote_them(rig: Rig) -> None:
    block = rig.build(1, rig.opened.genesis_hash, view=7)

    assert read_block(block.header, block.extrinsics) == block
    assert (block.epoch, block.view, block.number) == (0, 7, 1)


def test_jobs_are_bounded_and_a_failing_one_stops_the_node() -> None:
    loop = Loop()
    runner = JobRunner(loop.soon, loop.failures.append)

    def fails() -> Generator[None, None, None]:
        yield
        raise ValueError("broken")

    for _ in range(JOBS_MAX):
        runner.add(fails())
    with pytest.raises(TooManyJobs):
        runner.add(fails())
    loop.run()

    assert [str(failure) for failure in loop.failures] == ["broken"]
