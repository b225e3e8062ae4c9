"""Block sync: a node that is behind catches up, by itself, from whoever has the blocks, and believes nobody blindly."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from consensus.messages import Status
from node.net.messages import Blocks, GetBlocks, Ping, Pong
from node.net.sync import Range
from node.net.wire import encode_hello
from tests.support.attacker import Attacker, hang_up, hello
from tests.support.network import FakeChain, Node, certify, make_block, make_node, running, until


def grown(count: int, **options: Any) -> FakeChain:
    chain = FakeChain(**{name: options.pop(name) for name in ("bare",) if name in options})
    chain.grow(count, [b"inherent", b"x" * 200], **options)
    return chain


def heights(node: Node) -> list[int]:
    return [block.number for block in node.chain.blocks]


async def test_a_new_node_catches_up() -> None:
    server = make_node(0, chain=grown(300))
    async with running(server):
        late = make_node(1, [server.address])
        async with running(late):
            await until(lambda: late.chain.finalized.number == 300)

            assert heights(late) == list(range(301))
            assert late.chain.finalized.hash == server.chain.finalized.hash
            assert not late.network.is_syncing()
            assert late.network.highest_seen() == 300


async def test_ranges_end_where_epochs_end_and_where_a_certificate_is_kept() -> None:
    server = make_node(0, chain=grown(58, epoch_length=20, bare={10, 57, 58}))
    async with running(server):
        late = make_node(1, [server.address])
        async with running(late):
            await until(lambda: late.chain.finalized.number >= 56)

            assert late.inbox.ranges == [(1, 19), (20, 39), (40, 56)]


async def test_where_certificates_were_pruned_ranges_are_put_together_up_to_the_next_one() -> None:
    server = make_node(0, chain=grown(400, epoch_length=1000, bare=set(range(1, 350))))
    async with running(server):
        late = make_node(1, [server.address])
        async with running(late):
            await until(lambda: late.chain.finalized.number == 400)

            assert late.inbox.ranges[0] == (1, 384)  # six answers of 64, the last of them certified
            assert late.chain.finalized.hash == server.chain.finalized.hash


async def test_headers_that_do_not_lead_to_the_certificate_are_an_offence() -> None:
    liar = make_node(0, chain=grown(200, bare=set(range(1, 150))))
    trail = liar.network.sync._trail
    liar.network.sync._trail = lambda start: (lambda t, c: (t[:-1], c))(*trail(start))
    async with running(liar):
        late = make_node(2, [liar.address])
        async with running(late):
            identity = bytes.fromhex(liar.network.peer_id)
            await until(lambda: late.network._scores.of(identity, asyncio.get_running_loop().time()) < -40)

            assert heights(late) == [0]


async def test_a_peer_that_cannot_complete_what_it_began_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.net.sync.IDLE_S", 0.01)
    broken = make_node(0, chain=grown(300, bare=set(range(1, 250))))
    collect = broken.network.sync._collect
    broken.network.sync._collect = lambda start, count: collect(start, count) if start < 65 else ((), b"")
    honest = make_node(1, chain=grown(290, bare=set(range(1, 250))))
    async with running(broken, honest):
        late = make_node(2, [broken.address, honest.address])
        async with running(late):
            await until(lambda: late.chain.finalized.number == 290)


async def test_a_node_in_step_asks_for_nothing() -> None:
    server = make_node(0, chain=grown(2))
    async with running(server):
        other = make_node(1, [server.address])
        async with running(other):
            await until(lambda: bool(other.network.peers()))
            await asyncio.sleep(0.05)

            assert other.inbox.ranges == []
            other.network.behind(certify(server.chain.finalized))
            await until(lambda: other.chain.finalized.number == 2)


async def test_a_peer_that_does_not_answer_costs_a_time_out_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.net.sync.REQUEST_DEADLINE_S", 0.1)
    silent, server = make_node(0, chain=grown(200)), make_node(1, chain=grown(150))
    silent.network.sync.on_get_blocks = lambda *_: None
    silent.network._handlers = {}
    async with running(silent, server):
        late = make_node(2, [silent.address, server.address])
        async with running(late):
            await until(lambda: late.chain.finalized.number == 150)


def with_a_hole(blocks: Any, start: int) -> Any:
    del start
    return blocks[:2] + blocks[3:]


def with_a_changeling(blocks: Any, start: int) -> Any:
    other = FakeChain()
    other.grow(start + 10, [b"another history"])
    changeling = other.blocks[start + 2]
    return (*blocks[:2], (changeling.header, changeling.extrinsics), *blocks[3:])


def with_another_body(blocks: Any, start: int) -> Any:
    del start
    return (*blocks[:2], (blocks[2][0], (b"other",)), *blocks[3:])


@pytest.mark.parametrize("spoil", [with_a_hole, with_a_changeling, with_another_body])
async def test_a_range_that_does_not_fit_is_an_offence_and_another_peer_is_asked(spoil: Any) -> None:
    liar, server = make_node(0, chain=grown(120)), make_node(1, chain=grown(100))
    collect = liar.network.sync._collect

    def lie(start: int, count: int) -> Any:
        blocks, certificate = collect(start, count)
        return spoil(blocks, start), certificate

    liar.network.sync._collect = lie
    async with running(liar, server):
        late = make_node(2, [liar.address, server.address])
        async with running(late):
            await until(lambda: late.chain.finalized.number == 100)

            assert heights(late) == list(range(101))
            assert late.chain.finalized.hash == server.chain.finalized.hash
            now = asyncio.get_running_loop().time()
            assert late.network._scores.of(bytes.fromhex(liar.network.peer_id), now) < -40


async def test_a_forged_certificate_is_found_by_consensus_and_blamed_on_the_sender() -> None:
    liar = make_node(0, chain=grown(120))
    collect = liar.network.sync._collect
    liar.network.sync._collect = lambda start, count: (lambda b, c: (b, c[:-1] + b"\x01"))(*collect(start, count))
    async with running(liar):
        late = make_node(2, [liar.address])
        async with running(late):
            identity = bytes.fromhex(liar.network.peer_id)
            await until(lambda: late.network._scores.of(identity, asyncio.get_running_loop().time()) < -40)

            assert heights(late) == [0]


async def test_blocks_nobody_asked_for_are_dropped() -> None:
    node = make_node(0)
    async with running(node):
        pusher = make_node(1, [node.address], chain=grown(30))
        async with running(pusher):
            await until(lambda: node.chain.finalized.number == 30)
            ranges = list(node.inbox.ranges)
            pusher.chain.grow(1)
            block = pusher.chain.finalized
            parts = ((block.header, block.extrinsics),)
            pusher.network.open_peers()[0].send(Blocks(999, parts, certify(block).encode()))
            identity = bytes.fromhex(pusher.network.peer_id)
            await until(lambda: node.network._scores.of(identity, asyncio.get_running_loop().time()) < 0)

            assert node.inbox.ranges == ranges


async def test_a_claimed_height_that_is_not_delivered_counts_for_nothing() -> None:
    node = make_node(0)
    async with running(node):
        boaster = await Attacker.connect(node.network.port, payload=encode_hello(hello(final_number=2**32 - 1)))
        while not isinstance(question := await boaster.hear(), GetBlocks):
            pass
        assert node.network.is_syncing()
        boaster.say(Blocks(question.request, (), b""))

        await until(lambda: not node.network.is_syncing())
        block = make_block(node.chain.finalized)
        boaster.say(Status(0, 1, 1, block.hash, 10**9, (), b"", 0))
        boaster.say(Ping(1))
        while await boaster.hear() != Pong(1):
            pass
        assert not node.network.is_syncing()
        await hang_up()


def test_of_a_range_only_what_consensus_has_not_committed_by_itself_is_offered() -> None:
    blocks = tuple(grown(6).blocks[3:])
    found = Range(None, blocks, certify(blocks[-1]))  # type: ignore[arg-type]  # nobody's

    for own, left in {0: [3, 4, 5, 6], 2: [3, 4, 5, 6], 4: [5, 6], 5: [6]}.items():
        rest = found.above(own)
        assert rest is not None
        assert [block.number for block in rest.blocks] == left
        assert rest.is_complete
    assert found.above(6) is None
    assert found.above(9) is None
