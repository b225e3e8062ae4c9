"""Subscriptions: the response first, then the current state, then changes, in the order clients rely on."""

from __future__ import annotations

import asyncio

import aiohttp
import msgspec
import pytest

from aitoken.crypto.hashing import blake2_256
from node.pool.status import Stage, Status
from node.rpc.limits import Limits
from node.rpc.methods.author import FINALIZED_AFTER_S
from tests.support.rpc_fakes import RpcBench, RpcClient

RAW = b"\x0c\x04\x01\x02"


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


@pytest.mark.parametrize("method", ["chain_subscribeNewHeads", "chain_subscribeNewHead", "subscribe_newHead"])
async def test_new_heads_start_with_the_head_and_go_on(bench: RpcBench, client: RpcClient, method: str) -> None:
    bench.chain.grow()

    assert isinstance(await client.call(method), str)

    assert (await client.note("chain_newHead"))["number"] == "0x1"
    bench.chain.grow()
    assert (await client.note("chain_newHead"))["number"] == "0x2"


async def test_a_notification_names_its_subscription_and_has_no_id(bench: RpcBench, client: RpcClient) -> None:
    subscription = await client.call("chain_subscribeNewHeads")

    message = await client.next()

    assert message.keys() == {"jsonrpc", "method", "params"}
    assert message["params"]["subscription"] == subscription


async def test_no_height_is_left_out_when_the_head_jumps(bench: RpcBench, client: RpcClient) -> None:
    await client.call("chain_subscribeNewHeads")
    await client.note()
    one = bench.chain.add()
    two = bench.chain.add(one)
    three = bench.chain.add(two)

    bench.chain.set_best(three)

    assert [(await client.note())["number"] for _ in range(3)] == ["0x1", "0x2", "0x3"]


async def test_a_head_on_another_branch_is_told_alone(bench: RpcBench, client: RpcClient) -> None:
    left = bench.chain.add()
    right = bench.chain.add(bench.chain.genesis)
    bench.chain.set_best(left)
    await client.call("chain_subscribeNewHeads")
    await client.note()
    above = bench.chain.add(right)

    bench.chain.set_best(above)
    bench.chain.set_best(bench.chain.add(above))

    assert (await client.note())["parentHash"] == hexed(right.hash)
    assert (await client.note())["number"] == "0x3"


async def test_all_heads_tell_every_block_also_those_off_the_best_chain(bench: RpcBench, client: RpcClient) -> None:
    await client.call("chain_subscribeAllHeads")
    await client.note("chain_allHead")

    bench.chain.add(bench.chain.genesis)
    bench.chain.add(bench.chain.genesis)

    assert [(await client.note("chain_allHead"))["number"] for _ in range(2)] == ["0x1", "0x1"]


async def test_finalized_heads_tell_every_number_in_order(bench: RpcBench, client: RpcClient) -> None:
    await client.call("chain_subscribeFinalizedHeads")
    head = bench.chain.grow(3)

    bench.chain.finalize(head)

    assert [(await client.note("chain_finalizedHead"))["number"] for _ in range(4)] == ["0x0", "0x1", "0x2", "0x3"]


async def test_storage_starts_with_every_key_and_goes_on_with_changes(bench: RpcBench, client: RpcClient) -> None:
    keys = [hexed(b"acct/carol"), hexed(b"none"), hexed(b"acct/bob")]
    await client.call("state_subscribeStorage", keys)
    first = await client.note("state_storage")

    bench.chain.grow(changes={b"acct/carol": b"\x09"})
    bench.chain.grow()
    bench.chain.grow(changes={b"acct/carol": None, b"none": b""})

    assert first["changes"] == [[keys[0], "0x030303"], [keys[1], None], [keys[2], "0x" + "02" * 40]]
    assert (await client.note())["changes"] == [[keys[0], "0x09"]]
    last = await client.note()
    assert last["block"] == hexed(bench.chain.best.hash)
    assert last["changes"] == [[keys[0], None], [keys[1], "0x"]]


async def test_two_subscribers_of_a_key_are_told_apart_and_forgotten(bench: RpcBench, client: RpcClient) -> None:
    key = hexed(b"acct/carol")
    first = await client.call("state_subscribeStorage", [key])
    await client.note()
    await client.call("state_subscribeStorage", [key, hexed(b"acct/bob")])
    await client.note()

    assert await client.call("state_unsubscribeStorage", first) is True
    bench.chain.grow(changes={b"acct/carol": b"\x09"})

    assert (await client.note())["changes"] == [[key, "0x09"]]
    assert len(bench.rpc.feed.storage) == 2
    assert await client.call("state_unsubscribeStorage", first) is False


async def test_the_runtime_version_is_told_again_only_when_it_changes(bench: RpcBench, client: RpcClient) -> None:
    await client.call("state_subscribeRuntimeVersion")
    assert (await client.note("state_runtimeVersion"))["specVersion"] == 100
    bench.chain.grow()
    bench.runtime.spec_version = 101

    bench.chain.grow()

    assert (await client.note("state_runtimeVersion"))["specVersion"] == 101


async def test_unsubscribing_another_kind_or_twice_is_false(client: RpcClient) -> None:
    subscription = await client.call("chain_subscribeNewHeads")
    await client.note()

    assert await client.call("state_unsubscribeStorage", subscription) is False
    assert await client.call("chain_unsubscribeNewHead", subscription) is True
    assert await client.call("chain_unsubscribeNewHeads", subscription) is False
    assert await client.call("chain_unsubscribeNewHeads", "junk") is False


async def test_after_unsubscribing_nothing_more_is_told(bench: RpcBench, client: RpcClient) -> None:
    subscription = await client.call("chain_subscribeNewHeads")
    await client.note()
    await client.call("chain_unsubscribeNewHeads", subscription)

    bench.chain.grow()

    assert await client.call("system_name") == "AI Token Node"
    assert not bench.rpc.feed.heads


async def test_a_closed_connection_leaves_nothing_behind(bench: RpcBench) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.ws_connect(bench.ws) as socket:
            client = RpcClient(socket)
            await client.call("chain_subscribeNewHeads")
            await client.call_until_response("state_subscribeStorage", [hexed(b"now")])
            assert bench.rpc.server.subscriptions == 2
        async with asyncio.timeout(5):
            await bench.until(lambda: not bench.rpc.server.sockets)

    assert not bench.rpc.feed.heads
    assert len(bench.rpc.feed.storage) == 0


async def test_in_a_batch_notifications_come_after_the_whole_answer(bench: RpcBench, client: RpcClient) -> None:
    calls = ["chain_subscribeNewHeads", "system_name"]
    batch = [{"jsonrpc": "2.0", "id": f"s{i}", "method": name} for i, name in enumerate(calls)]
    await client.socket.send_str(msgspec.json.encode(batch).decode())

    answer = await client.next()

    assert [each["id"] for each in answer] == ["s0", "s1"]
    assert (await client.note("chain_newHead"))["number"] == "0x0"


async def test_a_watched_transaction_goes_from_ready_to_finalized(bench: RpcBench, client: RpcClient) -> None:
    await client.call("author_submitAndWatchExtrinsic", hexed(RAW))
    block = bench.chain.grow(body=[RAW])
    bench.pool.tell(RAW, Status(Stage.BROADCAST, peers=("12D3KooWother",)))
    bench.pool.tell(RAW, Status(Stage.IN_BLOCK, block.hash, 0))
    bench.pool.tell(RAW, Status(Stage.FINALIZED, block.hash, 0))

    loop = asyncio.get_running_loop()
    assert await client.note("author_extrinsicUpdate") == "ready"
    assert await client.note() == {"broadcast": ["12D3KooWother"]}
    assert await client.note() == {"inBlock": hexed(block.hash)}
    told = loop.time()
    assert await client.note() == {"finalized": hexed(block.hash)}

    assert loop.time() - told >= FINALIZED_AFTER_S - 0.02
    assert bench.rpc.server.subscriptions == 0
    assert bench.pool.watchers[blake2_256(RAW)] == []


async def test_finality_that_comes_without_inclusion_is_told_with_it(bench: RpcBench, client: RpcClient) -> None:
    await client.call("author_submitAndWatchExtrinsic", hexed(RAW))
    block = bench.chain.grow(body=[RAW])

    bench.pool.tell(RAW, Status(Stage.FINALIZED, block.hash, 0))

    assert await client.note() == "ready"
    assert await client.note() == {"inBlock": hexed(block.hash)}
    assert await client.note() == {"finalized": hexed(block.hash)}


async def test_inclusion_is_told_after_the_head_and_storage_of_that_block(bench: RpcBench, client: RpcClient) -> None:
    await client.call("author_submitAndWatchExtrinsic", hexed(RAW))
    assert await client.note() == "ready"
    await client.call("chain_subscribeNewHeads")
    await client.note()
    await client.call("state_subscribeStorage", [hexed(b"now")])
    await client.note()

    block = bench.chain.add(body=[RAW])
    bench.pool.tell(RAW, Status(Stage.IN_BLOCK, block.hash, 0))  # a pool that hears of the head before we do
    bench.chain.set_best(block)

    methods = [(await client.next())["method"] for _ in range(3)]
    assert methods == ["chain_newHead", "state_storage", "author_extrinsicUpdate"]


async def test_unwatching_keeps_the_transaction(bench: RpcBench, client: RpcClient) -> None:
    subscription = await client.call("author_submitAndWatchExtrinsic", hexed(RAW))
    await client.note()

    assert await client.call("author_unwatchExtrinsic", subscription) is True

    assert await client.call("author_pendingExtrinsics") == [hexed(RAW)]
    assert bench.pool.watchers[blake2_256(RAW)] == []


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (Status(Stage.USURPED, blake2_256(b"other")), {"usurped": hexed(blake2_256(b"other"))}),
        (Status(Stage.DROPPED), "dropped"),
        (Status(Stage.INVALID), "invalid"),
    ],
)
async def test_bad_ends_end_the_subscription(bench: RpcBench, client: RpcClient, status: Status, told: object) -> None:
    await client.call("author_submitAndWatchExtrinsic", hexed(RAW))
    await client.note()

    bench.pool.tell(RAW, status)

    assert await client.note() == told
    assert bench.rpc.server.subscriptions == 0


async def test_a_nonce_gap_starts_with_future_and_a_retraction_is_told(bench: RpcBench, client: RpcClient) -> None:
    bench.pool.first = Stage.FUTURE
    await client.call("author_submitAndWatchExtrinsic", hexed(RAW))
    bench.pool.tell(RAW, Status(Stage.READY))
    bench.pool.tell(RAW, Status(Stage.RETRACTED, bench.chain.genesis_hash))

    assert [await client.note() for _ in range(3)] == [
        "future",
        "ready",
        {"retracted": hexed(bench.chain.genesis_hash)},
    ]


async def test_watched_keys_are_counted_per_connection_and_together() -> None:
    limits = Limits(watched_keys=3, watched_keys_together=4)
    keys = [hexed(bytes([number])) for number in range(5)]
    async with (
        RpcBench(limits) as bench,
        aiohttp.ClientSession() as http,
        http.ws_connect(bench.ws) as one,
        http.ws_connect(bench.ws) as two,
    ):
        first, second = RpcClient(one), RpcClient(two)
        mine = await first.call("state_subscribeStorage", keys[:2])
        await first.note()
        assert (await first.call("state_subscribeStorage", keys[2:4]))["code"] == -32602
        await second.call("state_subscribeStorage", keys[2:4])
        await second.note()
        assert (await second.call("state_subscribeStorage", keys[4:]))["code"] == -32009

        await first.call("state_unsubscribeStorage", mine)

        assert isinstance(await first.call("state_subscribeStorage", [keys[4], keys[4]]), str)


async def test_a_connection_that_ends_while_the_pool_looks_leaves_no_watcher(bench: RpcBench) -> None:
    bench.pool.gate = asyncio.Event()
    async with aiohttp.ClientSession() as http, http.ws_connect(bench.ws) as socket:
        client = RpcClient(socket)
        await client.send("transactionWatch_v1_submitAndWatch", hexed(RAW))
        assert "result" in await client.next()
    async with asyncio.timeout(5):
        await bench.until(lambda: bench.rpc.server.sockets == 0)
        bench.pool.gate.set()
        await bench.until(lambda: bench.pool.known)
        await bench.until(lambda: not bench.pool.watchers.get(blake2_256(RAW)))
