"""chainHead_v1: events in order, pins, operations, limits."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from aitoken.crypto.hashing import blake2_256
from aitoken.proto.digest import RUNTIME_ENVIRONMENT_UPDATED, Digest, DigestItem
from chain.state.layer import FinalState
from node.rpc import follow
from tests.support.rpc_fakes import RpcBench, RpcClient


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


async def start(client: RpcClient, *, with_runtime: bool = True) -> tuple[str, list[Any]]:
    """Follow, and return the subscription and the events up to the first head."""
    subscription = await client.call("chainHead_v1_follow", with_runtime)
    events = [await client.note("chainHead_v1_followEvent")]
    while events[-1]["event"] != "bestBlockChanged":
        events.append(await client.note())
    return subscription, events


async def operation(client: RpcClient, method: str, *params: Any) -> list[Any]:
    """Run an operation and return its events; the response must come first."""
    started = await client.call(method, *params)
    assert started["result"] == "started", started
    events = [await client.note("chainHead_v1_followEvent")]
    while events[-1]["event"] == "operationStorageItems":
        events.append(await client.note())
    assert {event.pop("operationId") for event in events} == {started["operationId"]}
    return events


async def test_following_starts_with_final_blocks_then_new_ones_then_the_head(
    bench: RpcBench, client: RpcClient
) -> None:
    final = bench.chain.grow(10)
    bench.chain.finalize(final)
    above = [bench.chain.grow() for _ in range(2)]

    _, events = await start(client)

    assert [event["event"] for event in events] == ["initialized", "newBlock", "newBlock", "bestBlockChanged"]
    numbers = [bench.chain.number_of(bytes.fromhex(h[2:])) for h in events[0]["finalizedBlockHashes"]]  # type: ignore[arg-type]
    assert numbers == list(range(11 - follow.FINAL_AT_START, 11))
    runtime = events[0]["finalizedBlockRuntime"]
    assert runtime["type"] == "valid"
    assert runtime["spec"]["specVersion"] == 100
    assert runtime["spec"]["apis"][hexed(blake2_256(b"Core")[:8])] == 5
    assert [event["parentBlockHash"] for event in events[1:3]] == [hexed(final.hash), hexed(above[0].hash)]
    assert events[1]["newRuntime"] is None
    assert events[3]["bestBlockHash"] == hexed(above[1].hash)


async def test_without_runtime_nothing_is_said_about_it(bench: RpcBench, client: RpcClient) -> None:
    bench.chain.grow()

    _, events = await start(client, with_runtime=False)

    assert "finalizedBlockRuntime" not in events[0]
    assert "newRuntime" not in events[1]


async def test_a_block_is_announced_becomes_best_and_final(bench: RpcBench, client: RpcClient) -> None:
    await start(client)
    block = bench.chain.grow()
    bench.chain.finalize(block)

    events = [await client.note() for _ in range(3)]

    assert [event["event"] for event in events] == ["newBlock", "bestBlockChanged", "finalized"]
    assert events[2] == {
        "event": "finalized",
        "finalizedBlockHashes": [hexed(block.hash)],
        "prunedBlockHashes": [],
    }


async def test_the_head_moves_on_before_a_block_beyond_it_is_final(bench: RpcBench, client: RpcClient) -> None:
    await start(client)
    left = bench.chain.grow()
    right = bench.chain.add(bench.chain.genesis)

    bench.chain.finalize(right, pruned=[left.hash])

    events = [await client.note() for _ in range(5)]
    assert [event["event"] for event in events][2:] == ["newBlock", "bestBlockChanged", "finalized"]
    assert events[3]["bestBlockHash"] == hexed(right.hash)
    assert events[4]["prunedBlockHashes"] == [hexed(left.hash)]


async def test_a_head_above_the_final_block_stays(bench: RpcBench, client: RpcClient) -> None:
    await start(client)
    low = bench.chain.grow()
    bench.chain.grow()

    bench.chain.finalize(low)

    events = [await client.note() for _ in range(5)]
    assert [event["event"] for event in events][-2:] == ["bestBlockChanged", "finalized"]
    assert events[-2]["bestBlockHash"] == hexed(bench.chain.best.hash)


async def test_a_new_runtime_is_told_with_the_block_that_enacts_it(bench: RpcBench, client: RpcClient) -> None:
    await start(client)
    bench.runtime.spec_version = 101

    bench.chain.add(digest=Digest((DigestItem(RUNTIME_ENVIRONMENT_UPDATED),)))

    assert (await client.note())["newRuntime"]["spec"]["specVersion"] == 101


async def test_a_gap_stops_the_subscription(bench: RpcBench, client: RpcClient) -> None:
    subscription, _ = await start(client)
    bench.chain.listeners.clear()
    block = bench.chain.grow()
    bench.chain.subscribe(bench.rpc.feed)

    bench.chain.add(block)

    assert await client.note() == {"event": "stop"}
    assert await client.call("chainHead_v1_header", subscription, hexed(block.hash)) is None
    assert bench.rpc.server.subscriptions == 0


async def test_too_many_pins_stop_the_subscription(
    bench: RpcBench, client: RpcClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "PINS_MAX", 3)
    await start(client)

    bench.chain.grow(3)

    events = [await client.note() for _ in range(6)]
    assert events[-1] == {"event": "stop"}


async def test_a_pinned_block_is_readable_until_it_is_unpinned(bench: RpcBench, client: RpcClient) -> None:
    subscription, _ = await start(client)
    block = bench.chain.grow(body=[b"\x0c\x04\x01\x02"], changes={b"x": b"y"})
    for _ in range(2):
        await client.note()
    name = hexed(block.hash)

    assert await client.call("chainHead_v1_header", subscription, name) == hexed(block.header.encode())
    assert await operation(client, "chainHead_v1_body", subscription, name) == [
        {"event": "operationBodyDone", "value": ["0x0c040102"]}
    ]
    assert await client.call("chainHead_v1_unpin", subscription, name) is None

    for method, more in (("header", []), ("body", []), ("call", ["Core_version", "0x"]), ("storage", [[], None])):
        error = await client.call(f"chainHead_v1_{method}", subscription, name, *more)
        assert error == {"code": -32801, "message": "Invalid block hash"}


async def test_a_pinned_block_off_the_chain_stays_readable(bench: RpcBench, client: RpcClient) -> None:
    subscription, _ = await start(client)
    block = bench.chain.add(body=[b"\x0c\x04\x01\x02"], changes={b"x": b"y"})
    await client.note()
    del bench.chain.blocks[block.hash]
    name = hexed(block.hash)
    item = {"key": hexed(b"x"), "type": "value"}

    assert await client.call("chainHead_v1_header", subscription, name) == hexed(block.header.encode())
    assert (await operation(client, "chainHead_v1_body", subscription, name))[0]["value"] == ["0x0c040102"]
    events = await operation(client, "chainHead_v1_storage", subscription, name, [item], None)
    assert events[0]["items"] == [{"key": hexed(b"x"), "value": hexed(b"y")}]


async def test_unpinning_is_all_or_nothing(bench: RpcBench, client: RpcClient) -> None:
    subscription, events = await start(client)
    genesis = events[0]["finalizedBlockHashes"][0]
    block = bench.chain.grow()
    for _ in range(2):
        await client.note()
    name = hexed(block.hash)

    unknown = await client.call("chainHead_v1_unpin", subscription, [name, "0x" + "ab" * 32])
    twice = await client.call("chainHead_v1_unpin", subscription, [name, name])
    assert (unknown["code"], twice["code"]) == (-32801, -32804)
    assert await client.call("chainHead_v1_unpin", subscription, [name, genesis]) is None
    assert (await client.call("chainHead_v1_unpin", subscription, [name]))["code"] == -32801


async def test_calls_run_on_the_pinned_state(bench: RpcBench, client: RpcClient) -> None:
    subscription, events = await start(client)
    genesis = events[0]["finalizedBlockHashes"][0]
    bench.chain.grow()
    for _ in range(2):
        await client.note()

    done = await operation(client, "chainHead_v1_call", subscription, genesis, "read_now", "0x")
    failed = await operation(client, "chainHead_v1_call", subscription, genesis, "Nope", "0x")

    assert done == [{"event": "operationCallDone", "output": "0x00"}]
    assert failed[0]["event"] == "operationError"
    assert "Exported method Nope is not found" in failed[0]["error"]


async def test_calls_need_a_follow_with_runtime(client: RpcClient) -> None:
    subscription, events = await start(client, with_runtime=False)
    genesis = events[0]["finalizedBlockHashes"][0]

    assert (await client.call("chainHead_v1_call", subscription, genesis, "Core_version", "0x"))["code"] == -32802


async def test_storage_answers_every_kind_of_question(bench: RpcBench, client: RpcClient) -> None:
    subscription, events = await start(client)
    genesis = events[0]["finalizedBlockHashes"][0]
    carol, prefix = hexed(b"acct/carol"), hexed(b"acct/")
    items = [
        {"key": carol, "type": "value"},
        {"key": hexed(b"none"), "type": "value"},
        {"key": carol, "type": "hash"},
        {"key": prefix, "type": "descendantsValues", "paginationStartKey": hexed(b"acct/alice")},
        {"key": prefix, "type": "descendantsHashes"},
        {"key": "0x", "type": "closestDescendantMerkleValue"},
        {"key": hexed(b"zzz"), "type": "closestDescendantMerkleValue"},
    ]

    events = await operation(client, "chainHead_v1_storage", subscription, genesis, items, None)

    found = [item for event in events[:-1] for item in event["items"]]
    assert events[-1] == {"event": "operationStorageDone"}
    assert found[0] == {"key": carol, "value": "0x030303"}
    assert found[1] == {"key": carol, "hash": hexed(blake2_256(b"\x03\x03\x03"))}
    assert [item["key"] for item in found[2:4]] == [hexed(b"acct/bob"), carol]
    assert [sorted(item) for item in found[4:7]] == [["hash", "key"]] * 3
    assert found[7:] == [{"key": "0x", "closestDescendantMerkleValue": hexed(bench.chain.genesis.state.root)}]


async def test_the_merkle_value_of_a_prefix_is_that_of_the_trie_below_it(bench: RpcBench, client: RpcClient) -> None:
    """A node below a prefix hashes like the root of a trie of the same pairs, but for its partial key."""
    subscription, events = await start(client)
    genesis = events[0]["finalizedBlockHashes"][0]
    values = []
    for key in (b"acct/", b"acct/a", b"acct/alice", b"acct/alicex"):
        item = {"key": hexed(key), "type": "closestDescendantMerkleValue"}
        events = await operation(client, "chainHead_v1_storage", subscription, genesis, [item], None)
        values.append(events[0]["items"][0]["closestDescendantMerkleValue"] if len(events) > 1 else None)
    assert values[0] not in (None, values[1])
    assert values[1] == values[2]
    assert values[3] is None
    assert isinstance(bench.chain.genesis.state, FinalState)


async def test_a_long_answer_waits_for_continue(bench: RpcBench, client: RpcClient) -> None:
    many = {b"many/%05d" % i: b"v" for i in range(3000)}
    block = bench.chain.grow(changes=many)  # type: ignore[arg-type]
    subscription, _ = await start(client)
    item = {"key": hexed(b"many/"), "type": "descendantsValues"}
    started = await client.call("chainHead_v1_storage", subscription, hexed(block.hash), [item], None)
    name = started["operationId"]

    keys = []
    waits = 0
    while True:
        event = await client.note()
        if event["event"] == "operationStorageItems":
            keys += [each["key"] for each in event["items"]]
        elif event["event"] == "operationWaitingForContinue":
            waits += 1
            assert await client.call("chainHead_v1_continue", subscription, name) is None
        else:
            break

    assert event == {"event": "operationStorageDone", "operationId": name}
    assert waits == 2
    assert len(keys) == 3000
    assert keys == sorted(keys)


async def test_only_an_operation_that_waits_may_be_continued(bench: RpcBench, client: RpcClient) -> None:
    subscription, events = await start(client)
    genesis = events[0]["finalizedBlockHashes"][0]
    calls = [("chainHead_v1_body", [subscription, genesis]), ("chainHead_v1_continue", [subscription, "1"])]
    batch = [{"jsonrpc": "2.0", "id": name, "method": name, "params": params} for name, params in calls]

    await client.socket.send_str(msgspec.json.encode(batch).decode())

    answer = await client.next()
    assert answer[1]["error"]["code"] == -32803
    assert (await client.note())["event"] == "operationBodyDone"


async def test_a_stopped_operation_says_nothing_more(bench: RpcBench, client: RpcClient) -> None:
    many = {b"many/%05d" % i: b"v" for i in range(3000)}
    block = bench.chain.grow(changes=many)  # type: ignore[arg-type]
    subscription, _ = await start(client)
    item = {"key": hexed(b"many/"), "type": "descendantsValues"}
    started = await client.call("chainHead_v1_storage", subscription, hexed(block.hash), [item], None)
    while (await client.note())["event"] != "operationWaitingForContinue":
        pass

    assert await client.call("chainHead_v1_stopOperation", subscription, started["operationId"]) is None
    assert await client.call("chainHead_v1_continue", subscription, started["operationId"]) is None
    assert await client.call("chainHead_v1_stopOperation", subscription, "none") is None
    assert await client.call("system_name") == "AI Token Node"


async def test_too_many_operations_are_refused(
    bench: RpcBench, client: RpcClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "OPERATIONS_MAX", 0)
    subscription, events = await start(client)

    answer = await client.call("chainHead_v1_body", subscription, events[0]["finalizedBlockHashes"][0])

    assert answer == {"result": "limitReached"}


async def test_a_dead_subscription_is_no_error(client: RpcClient) -> None:
    block = "0x" + "00" * 32

    assert await client.call("chainHead_v1_header", "none", block) is None
    assert await client.call("chainHead_v1_unpin", "none", block) is None
    assert await client.call("chainHead_v1_unfollow", "none") is None
    assert await client.call("chainHead_v1_body", "none", block) == {"result": "limitReached"}
    assert await client.call("chainHead_v1_storage", "none", block, [], None) == {"result": "limitReached"}
    assert await client.call("chainHead_v1_call", "none", block, "Core_version", "0x") == {"result": "limitReached"}


async def test_unfollowing_ends_it_and_frees_the_place(bench: RpcBench, client: RpcClient) -> None:
    for _ in range(4):
        subscription, _ = await start(client)
    assert (await client.call("chainHead_v1_follow", True))["code"] == -32800

    assert await client.call("chainHead_v1_unfollow", subscription) is None

    await start(client)
    bench.chain.grow()
    assert [(await client.note())["event"] for _ in range(4)].count("newBlock") == 4
