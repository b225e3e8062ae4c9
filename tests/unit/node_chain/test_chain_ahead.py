"""Signatures checked ahead of execution: the same verdicts, and nobody is believed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.crypto.checks import Check
from aitoken.crypto.hashing import blake2_256
from aitoken.proto.extrinsic import Extrinsic
from aitoken.proto.header import Header
from aitoken.types import Hash32
from chain.state.ordered import ordered_root
from consensus.types import Block
from node.chain import ahead as module
from node.chain.ahead import Ahead
from node.driver.headers import read_block
from tests.support.real_chain import remark
from tests.unit.node_chain.test_chain_executor import Rig

COUNT = 12
INHERENTS = 1


class Beside:
    """Checks as a worker does: later, and until it is told to be lost."""

    def __init__(self) -> None:
        self.inline = False
        self.checks: list[Check] = []
        self.closed = 0

    async def verify(self, checks: Sequence[Check]) -> list[bool]:
        await asyncio.sleep(0)
        self.checks += checks
        return [check.run() for check in checks]

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("ahead"))
    yield made
    made.opened.database.close()


@pytest.fixture(scope="module")
def good(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Block]:
    """A block that somebody else built on genesis."""
    other = Rig(tmp_path_factory.mktemp("other"))
    other.pool.offered = [remark(other.opened, nonce) for nonce in range(COUNT)]
    yield other.build(1, other.opened.genesis_hash)
    other.opened.database.close()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORTH_IT", 1)
    monkeypatch.setattr(module, "BATCH", 3)
    monkeypatch.setattr(module, "BATCHES_UNDER_WAY", 2)
    monkeypatch.setattr(module, "HELP", 2)


def with_body(block: Block, extrinsics: Sequence[bytes]) -> Block:
    """The block with another body, and a header that names it."""
    told = Header.decode(block.header)
    header = Header(told.parent_hash, told.number, told.state_root, ordered_root(tuple(extrinsics)), told.digest)
    return read_block(header.encode(), tuple(extrinsics))


def ahead_of(rig: Rig, verifier: Beside) -> Ahead:
    return Ahead(verifier, rig.opened.runtime.schema, rig.opened.chain.hash_of)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until it holds."""
    while not condition():  # noqa: ASYNC110 - any condition, not one of ours
        await asyncio.sleep(0)


async def verdict(rig: Rig, block: Block, ahead: Ahead | None) -> bool:
    """What the executor says of a block, with or without checks ahead; all of it on a loop that turns."""
    rig.executor._ahead = ahead
    answers: list[bool] = []
    if ahead is not None:
        ahead.expect([block])
    rig.executor.verify(block, answers.append)
    while not answers:
        rig.loop.run()
        await asyncio.sleep(0)
    if ahead is not None:
        await ahead.rest()
    return answers[0]


@given(place=st.integers(INHERENTS, INHERENTS + COUNT - 1), at=st.integers(2, 140), bit=st.integers(0, 7))
@settings(max_examples=40)
@pytest.mark.parametrize("lost", [False, True])
def test_a_bad_signature_anywhere_is_refused_in_the_same_words_with_and_without_a_worker(
    rig: Rig, good: Block, lost: bool, place: int, at: int, bit: int
) -> None:
    raw = bytearray(good.extrinsics[place])
    raw[min(at, len(raw) - 1)] ^= 1 << bit
    spoilt = with_body(good, [*good.extrinsics[:place], bytes(raw), *good.extrinsics[place + 1 :]])
    said: list[list[str]] = []
    for made in (None, partial(ahead_of, rig)):
        verifier = Beside()
        ahead = None if made is None else made(verifier)
        with pytest.MonkeyPatch.context() as patch:
            words: list[str] = []
            patch.setattr(
                "node.chain.executor.log.warning", lambda text, *values, words=words: words.append(text % values)
            )
            if lost:
                patch.setattr(Beside, "verify", _loses_its_worker)
            assert not asyncio.run(verdict(rig, spoilt, ahead))
        said.append(words)
    assert said[0] == said[1]
    assert len(said[0]) == 1


async def _loses_its_worker(self: Beside, checks: Sequence[Check]) -> list[bool]:
    """What a verifier does whose process has gone: it answers itself, and is an inline one from then on."""
    self.inline = True
    return [check.run() for check in checks]


async def test_every_signature_is_checked_once_and_before_execution(rig: Rig, good: Block) -> None:
    verifier = Beside()
    ahead = ahead_of(rig, verifier)
    ahead.expect([good])
    await until(lambda: len(verifier.checks) >= COUNT)
    parsed: list[Sequence[Extrinsic] | None] = []
    ahead.when_ready(good, parsed.append)

    assert parsed[0] is not None
    assert [xt.raw for xt in parsed[0]] == list(good.extrinsics)
    assert [xt.verified_for is not None for xt in parsed[0]] == [False] * INHERENTS + [True] * COUNT
    assert len(verifier.checks) == COUNT
    executive = rig.opened.runtime.new_instance().executive
    genesis = rig.opened.chain.finalized
    executive.load_for_next(genesis.state, 0, genesis.hash)
    for xt in parsed[0][INHERENTS:]:
        assert xt.verified_for == executive.additional(xt, 1)
    await ahead.rest()
    assert verifier.closed == 1


async def test_the_loop_helps_where_a_block_waits(rig: Rig, good: Block) -> None:
    verifier = Beside()
    ahead = ahead_of(rig, verifier)
    ahead.expect([good])
    parsed: list[Sequence[Extrinsic] | None] = []
    ahead.when_ready(good, parsed.append)
    await until(lambda: parsed)

    assert parsed[0] is not None
    assert all(xt.verified_for is not None for xt in parsed[0][INHERENTS:])
    assert len(verifier.checks) < COUNT
    await ahead.rest()


async def test_a_mark_under_another_hash_of_the_birth_block_is_not_believed(rig: Rig, good: Block) -> None:
    """Ahead is told a wrong genesis by its `hash_of`: every check fails, execution makes them again."""
    verifier = Beside()
    wrong = Hash32(bytes(32))
    ahead = Ahead(verifier, rig.opened.runtime.schema, lambda _: wrong)
    ahead.expect([good])
    await until(lambda: len(verifier.checks) >= COUNT)
    parsed: list[Sequence[Extrinsic] | None] = []
    ahead.when_ready(good, parsed.append)
    assert parsed[0] is not None
    assert all(xt.verified_for is None for xt in parsed[0])
    await ahead.rest()


async def test_what_is_forgotten_or_was_never_expected_is_left_to_execution(rig: Rig, good: Block) -> None:
    ahead = ahead_of(rig, Beside())
    told: list[Sequence[Extrinsic] | None] = []
    ahead.when_ready(good, told.append)
    assert told == [None]

    ahead.expect([good])
    ahead.when_ready(good, told.append)
    ahead.forget()
    assert told == [None, None]

    ahead.expect([good])
    other_body = replace(good, extrinsics=good.extrinsics[:-1])  # under the same hash
    ahead.when_ready(other_body, told.append)
    assert told == [None, None, None]
    await ahead.rest()
    assert ahead._held == 0


async def test_a_body_that_does_not_read_is_left_to_execution(rig: Rig, good: Block) -> None:
    junk = with_body(good, [*good.extrinsics[:-1], b"junk"])
    assert not await verdict(rig, junk, ahead_of(rig, Beside()))


async def test_blocks_that_are_passed_over_hold_nothing(rig: Rig, good: Block) -> None:
    verifier = Beside()
    ahead = ahead_of(rig, verifier)
    following = replace(good, number=2, hash=Hash32(blake2_256(b"another")))
    ahead.expect([good, following])
    await until(lambda: len(verifier.checks) >= 2 * COUNT)
    assert ahead._held == 2 * len(good.extrinsics)
    told: list[Sequence[Extrinsic] | None] = []
    ahead.when_ready(following, told.append)
    assert told[0] is not None
    assert ahead._held == 0
    await ahead.rest()


async def test_no_more_is_held_than_may_be_until_execution_asks(
    rig: Rig, good: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELD_MAX", 4)
    verifier = Beside()
    ahead = ahead_of(rig, verifier)
    ahead.expect([good])
    for _ in range(100):
        await asyncio.sleep(0)
    assert ahead._held <= 4 + module.BATCH
    told: list[Sequence[Extrinsic] | None] = []
    ahead.when_ready(good, told.append)
    await until(lambda: told)
    assert told[0] is not None
    assert all(xt.verified_for is not None for xt in told[0][INHERENTS:])
    await ahead.rest()


async def test_a_verifier_that_is_shared_stays_and_an_inline_one_is_not_asked(rig: Rig, good: Block) -> None:
    verifier = Beside()
    ahead = Ahead(verifier, rig.opened.runtime.schema, rig.opened.chain.hash_of, shared=True)
    await ahead.rest()
    assert verifier.closed == 0
    verifier.inline = True
    ahead.expect([good])
    told: list[Sequence[Extrinsic] | None] = []
    ahead.when_ready(good, told.append)
    assert told == [None]
