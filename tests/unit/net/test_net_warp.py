"""Snapshot sync over real sockets: the right state from whoever has it, liars found out, interruptions survived."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aitoken.proto.finality import TrustTooOld
from aitoken.proto.votes import Certificate
from node.net.messages import GetState, StateLeaves, StateNode
from node.net.warp import ASKED_AT_ONCE, CannotWarp, ConflictingEpochs, Warp, WrongStart
from node.store.check import check
from node.store.database import Database
from node.store.restore import Restoring
from tests.support.network import until
from tests.support.proven_chain import ProvenChain, keys_of
from tests.support.warp_nodes import Server, fetching, grow, many_accounts, serving

BUDGET = 2048


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.net.state_sync.BUDGET_MAX", BUDGET)  # many pieces from a small state
    monkeypatch.setattr("node.net.warp.PEERS_WAIT_S", 0.3)
    monkeypatch.setattr("node.net.warp.POLL_S", 0.01)


@pytest.fixture(scope="module")
def chain() -> ProvenChain:
    return ProvenChain(14, 4, extra=many_accounts(500))


async def finish(chain: ProvenChain, warp: Warp) -> None:
    restoring, blocks = await warp.run()
    restoring.finish(chain.headers[0], blocks, {})


def opened(chain: ProvenChain, path: Path) -> Database:
    database = Database.open(path, chain.genesis_hash)
    number, block_hash = database.finalized()
    assert block_hash == chain.headers[number].hash
    assert dict(database.state.iterate(b"")) == chain.pairs[number]
    return database


async def test_a_new_node_has_the_state_at_the_end_of_the_newest_epoch(chain: ProvenChain, tmp_path: Path) -> None:
    path = tmp_path / "new"
    async with serving(chain, tmp_path, 3) as servers, fetching(chain, path, servers) as (warp, _):
        await finish(chain, warp)
        assert warp.pieces > 20

    database = opened(chain, path)
    assert database.finalized()[0] == database.oldest == database.first == 12
    assert [n for n in range(15) if database.hash_of(n) is not None] == [0, 4, 8, 12]
    assert all(database.justification(n) is not None for n in (4, 8, 12))  # type: ignore[arg-type]
    assert database.body(12) == []  # type: ignore[arg-type]
    assert list(check(database)) == []
    database.close()


def lying(server: Server, lie: Any) -> None:
    """Let every answer with state in it go through `lie`."""
    serve = server.states.piece

    async def piece(*question: Any) -> Any:
        return lie(await serve(*question))

    server.states.piece = piece  # type: ignore[method-assign]


class Forged:
    def __init__(self, node: bytes, value: bytes) -> None:
        self.node, self.value = node, value


def richer(found: Any) -> Any:
    return tuple((key, value + b"0") for key, value in found) if isinstance(found, tuple) else found


def shorter(found: Any) -> Any:
    return found[:-1] if isinstance(found, tuple) else found


def other_node(found: Any) -> Any:
    return found if isinstance(found, tuple) else Forged(found.node[:-1] + b"\x00", found.value)


def other_value(found: Any) -> Any:
    return found if isinstance(found, tuple) else Forged(found.node, found.value + b"1")


def nonsense(found: Any) -> Any:
    return Forged(b"\xff" * 40, b"") if isinstance(found, tuple) else ((b"\x00", b"\x00"),)


@pytest.mark.parametrize("lie", [richer, shorter, other_node, other_value, nonsense])
async def test_a_liar_is_dropped_at_once_and_the_state_is_right(
    chain: ProvenChain, tmp_path: Path, lie: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "new"
    async with serving(chain, tmp_path, 3) as servers, fetching(chain, path, servers) as (warp, network):
        lying(servers[0], lie)
        await until(lambda: len(network.open_peers()) == 3)
        await finish(chain, warp)
        if lie is not other_value:  # only a branch with a long value has one to forge; it may be asked of others
            assert network._scores.of(servers[0].identity, asyncio.get_running_loop().time()) < -49
            assert 1 <= caplog.text.count("wrong piece") <= ASKED_AT_ONCE  # those that were asked for already

    opened(chain, path).close()


async def test_silence_costs_time_and_nothing_else(
    chain: ProvenChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.net.state_sync.REQUEST_DEADLINE_S", 0.1)
    path = tmp_path / "new"
    async with serving(chain, tmp_path, 2) as servers, fetching(chain, path, servers) as (warp, network):
        del servers[0].network._handlers[GetState]
        await until(lambda: len(network.open_peers()) == 2)
        await finish(chain, warp)
        assert network._scores.of(servers[0].identity, asyncio.get_running_loop().time()) > -20

    opened(chain, path).close()


async def test_what_was_fetched_is_not_fetched_again_although_the_chain_went_on(
    chain: ProvenChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new"
    async with serving(chain, tmp_path, 2, blocks=9) as servers:
        async with fetching(chain, path, servers) as (warp, _):
            work = asyncio.ensure_future(warp.run())
            await until(lambda: warp.pieces >= 10)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            before = warp.pieces
        assert not path.exists()
        for server in servers:
            grow(server.view, chain, 14)
        async with fetching(chain, path, servers) as (warp, _):
            await finish(chain, warp)
            again = warp.pieces

    database = opened(chain, path)
    assert database.finalized()[0] == 8
    database.close()
    other = tmp_path / "other"
    async with serving(chain, tmp_path / "whole", 1, blocks=9) as servers, fetching(chain, other, servers) as (warp, _):
        await finish(chain, warp)
        assert before + again == warp.pieces


async def test_a_state_nobody_serves_any_more_gives_way_to_the_newest(chain: ProvenChain, tmp_path: Path) -> None:
    path = tmp_path / "new"
    Restoring.begin(path, chain.headers[4]).close()
    async with serving(chain, tmp_path, 1) as servers, fetching(chain, path, servers) as (warp, _):
        servers[0].view._database._oldest = 9
        await finish(chain, warp)

    database = opened(chain, path)
    assert database.finalized()[0] == 12
    database.close()


# what cannot be


async def test_without_peers_or_ended_epochs_it_says_so(chain: ProvenChain, tmp_path: Path) -> None:
    async with fetching(chain, tmp_path / "one", []) as (warp, _):
        with pytest.raises(CannotWarp, match="no peer is connected"):
            await warp.run()
    two = tmp_path / "two"
    async with serving(chain, tmp_path, 1, blocks=3) as servers, fetching(chain, two, servers) as (warp, network):
        await until(lambda: bool(network.open_peers()))
        with pytest.raises(CannotWarp, match="no peer proves"):
            await warp.run()


def forge_epochs(chain: ProvenChain, server: Server) -> None:
    """Let a server show certificates by keys of its own."""
    honest = server.view.epoch_end

    def epoch_end(epoch: int) -> Any:
        found = honest(epoch)
        if found is None:
            return None
        view = Certificate.decode(found[1]).view
        return found[0], chain.certify(found[0], epoch, view, pairs=keys_of(70)).encode()

    server.view.epoch_end = epoch_end  # type: ignore[method-assign]


async def test_epochs_that_do_not_follow_are_passed_over_and_nobody_is_blamed(
    chain: ProvenChain, tmp_path: Path
) -> None:
    path = tmp_path / "new"
    async with serving(chain, tmp_path, 3) as servers, fetching(chain, path, servers) as (warp, network):
        forge_epochs(chain, servers[0])
        forge_epochs(chain, servers[1])
        await until(lambda: len(network.open_peers()) == 3)
        await finish(chain, warp)
        assert network._scores.of(servers[0].identity, asyncio.get_running_loop().time()) == 0

    opened(chain, path).close()


async def test_when_three_peers_fail_alike_the_start_is_suspected(chain: ProvenChain, tmp_path: Path) -> None:
    async with serving(chain, tmp_path, 3) as servers, fetching(chain, tmp_path / "new", servers) as (warp, network):
        for server in servers:
            forge_epochs(chain, server)
        await until(lambda: len(network.open_peers()) == 3)
        with pytest.raises(WrongStart, match="genesis file or the checkpoint"):
            await warp.run()
        assert len(network.open_peers()) == 3


async def test_two_certified_ends_of_one_epoch_stop_everything(chain: ProvenChain, tmp_path: Path) -> None:
    fork = ProvenChain(14, 4, extra=many_accounts(500))
    end = fork.headers[12]
    fork.headers[12] = type(end)(
        end.parent_hash, end.number, fork.headers[0].state_root, end.extrinsics_root, end.digest
    )
    forged = chain.certify(fork.headers[12], 2, 4)
    async with serving(chain, tmp_path, 2) as servers, fetching(chain, tmp_path / "new", servers) as (warp, network):
        honest = servers[1].view.epoch_end
        servers[1].view.epoch_end = lambda epoch: (  # type: ignore[method-assign]
            (fork.headers[12], forged.encode()) if epoch == 2 else honest(epoch)
        )
        await until(lambda: len(network.open_peers()) == 2)
        with pytest.raises(ConflictingEpochs):
            await warp.run()


async def test_a_checkpoint_must_be_in_the_chain_and_young(chain: ProvenChain, tmp_path: Path) -> None:
    def too_old(_: Any) -> None:
        raise TrustTooOld("old")

    async with serving(chain, tmp_path, 1) as servers:
        missing = {"required": chain.headers[5].hash}
        async with fetching(chain, tmp_path / "one", servers, **missing) as (warp, _):
            with pytest.raises(WrongStart, match="does not contain the checkpoint"):
                await warp.run()
        for required in (None, chain.headers[8].hash):
            async with fetching(chain, tmp_path / "two", servers, required=required, check_trust=too_old) as (warp, _):
                with pytest.raises(TrustTooOld):
                    await warp.run()
        async with fetching(chain, tmp_path / "new", servers, required=chain.headers[8].hash) as (warp, _):
            await finish(chain, warp)
    opened(chain, tmp_path / "new").close()


async def test_only_ends_of_epochs_are_served_and_two_of_them_at_a_time(chain: ProvenChain, tmp_path: Path) -> None:
    async with serving(chain, tmp_path, 1) as servers:
        states = servers[0].states
        assert await states.piece(chain.headers[5].hash, "", BUDGET) is None
        assert await states.piece(chain.headers[4].hash, "", BUDGET) is not None
        assert await states.piece(chain.headers[8].hash, "", BUDGET) is not None
        assert await states.piece(chain.headers[12].hash, "", BUDGET) is None
        assert await states.piece(chain.headers[4].hash, "1" * 9, BUDGET) == ()
        for held in states._snapshots._held.values():
            held.used_at -= 61
        assert await states.piece(chain.headers[12].hash, "", BUDGET) is not None


async def test_a_state_whose_history_is_not_whole_is_not_served(chain: ProvenChain, tmp_path: Path) -> None:
    async with serving(chain, tmp_path, 1) as servers:
        leveldb = servers[0].view._database._db
        batch = leveldb.batch()
        for key, _ in leveldb.range(b"t", b"u"):
            batch.delete(key)  # as pruning between two looks would
        leveldb.write(batch)

        assert await servers[0].states.piece(chain.headers[8].hash, "", BUDGET) is None
        assert await servers[0].states.piece(chain.headers[8].hash, "00", BUDGET) is None


async def test_a_server_is_not_asked_for_more_than_it_can_chew(chain: ProvenChain, tmp_path: Path) -> None:
    async with serving(chain, tmp_path, 1) as servers, fetching(chain, tmp_path / "new", servers) as (_, network):
        await until(lambda: bool(network.open_peers()))
        peer = network.open_peers()[0]
        answers = await asyncio.gather(
            *(network.states.ask_state(peer, chain.headers[12].hash, "", BUDGET) for _ in range(40))
        )
        assert any(isinstance(answer, StateNode) and not answer.node for answer in answers)
        assert any(isinstance(answer, StateNode) and answer.node for answer in answers)
        assert not any(isinstance(answer, StateLeaves) for answer in answers)
