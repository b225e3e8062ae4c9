"""transaction_v1, transactionWatch_v1, archive_v1 and chainSpec_v1."""

from __future__ import annotations

from typing import Any

import pytest

from aitoken.crypto.hashing import blake2_256
from chain.frame.errors import Stale
from node.pool.errors import Invalid
from node.pool.status import Stage, Status
from node.rpc.methods.transaction import BROADCASTS_MAX
from tests.support.rpc_fakes import RpcBench, RpcClient

RAW = b"\x0c\x04\x01\x02"


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


async def settle(client: RpcClient) -> None:
    """Let what was started run: the answer comes after it."""
    await client.call("system_name")
    await client.call("system_name")


async def test_a_broadcast_is_offered_at_once_and_again_at_new_heads(bench: RpcBench, client: RpcClient) -> None:
    operation = await client.call("transaction_v1_broadcast", hexed(RAW))
    await settle(client)
    bench.pool.known.clear()
    bench.chain.grow()
    await settle(client)

    assert bench.pool.submitted == [RAW, RAW]
    assert await client.call("transaction_v1_stop", operation) is None
    bench.chain.grow()
    await settle(client)
    assert bench.pool.submitted == [RAW, RAW]


async def test_an_invalid_broadcast_never_fails_and_is_tried_less_and_less(bench: RpcBench, client: RpcClient) -> None:
    bench.pool.refusals[RAW] = Invalid(Stale())

    assert isinstance(await client.call("transaction_v1_broadcast", hexed(RAW)), str)
    tries = []
    for _ in range(32):
        await settle(client)
        tries.append(len(bench.pool.submitted))
        bench.chain.grow()

    assert tries[0] == 1
    assert tries[-1] == 5  # at heads 0, 2, 6, 14 and 30


async def test_broadcasts_are_counted_and_unknown_ids_refused(client: RpcClient) -> None:
    for number in range(BROADCASTS_MAX):
        assert await client.call("transaction_v1_broadcast", hexed(bytes([number]))) is not None

    assert await client.call("transaction_v1_broadcast", hexed(RAW)) is None
    assert (await client.call("transaction_v1_stop", "none"))["code"] == -32602


@pytest.mark.parametrize(
    ("status", "event"),
    [
        (Status(Stage.IN_BLOCK, blake2_256(b"b"), 1), {"event": "bestChainBlockIncluded"}),
        (Status(Stage.RETRACTED, blake2_256(b"b")), {"event": "bestChainBlockIncluded", "block": None}),
        (Status(Stage.FINALIZED, blake2_256(b"b"), 1), {"event": "finalized"}),
        (Status(Stage.INVALID, error=Invalid(Stale())), {"event": "invalid"}),
        (Status(Stage.DROPPED), {"event": "dropped", "error": "the pool is full"}),
    ],
)
async def test_a_watched_transaction_is_told_as_events(
    bench: RpcBench, client: RpcClient, status: Status, event: dict[str, Any]
) -> None:
    await client.call("transactionWatch_v1_submitAndWatch", hexed(RAW))
    assert await client.note("transactionWatch_v1_watchEvent") == {"event": "validated"}

    bench.pool.tell(RAW, status)

    told = await client.note()
    assert {**told, **event} == told
    if status.index is not None:
        assert told["block"] == {"hash": hexed(blake2_256(b"b")), "index": 1}
    assert bench.rpc.server.subscriptions == (0 if status.ends else 1)


async def test_a_refused_watched_transaction_is_told_as_an_event(bench: RpcBench, client: RpcClient) -> None:
    bench.pool.refusals[RAW] = Invalid(Stale())

    assert isinstance(await client.call("transactionWatch_v1_submitAndWatch", hexed(RAW)), str)

    told = await client.note()
    assert told == {
        "event": "invalid", "error": "Invalid Transaction: Transaction is outdated", "code": 1010,
        "message": "Invalid Transaction", "data": "Transaction is outdated",
    }  # fmt: skip


async def test_unwatch_stops_it(bench: RpcBench, client: RpcClient) -> None:
    subscription = await client.call("transactionWatch_v1_submitAndWatch", hexed(RAW))
    await client.note()

    assert await client.call("transactionWatch_v1_unwatch", subscription) is None

    assert bench.pool.watchers[blake2_256(RAW)] == []


async def test_archive_reads_blocks_of_any_age(bench: RpcBench, client: RpcClient) -> None:
    block = bench.chain.grow(body=[RAW])
    name = hexed(block.hash)

    assert await client.call("archive_v1_finalizedHeight") == 0
    assert await client.call("archive_v1_genesisHash") == hexed(bench.chain.genesis_hash)
    assert await client.call("archive_v1_hashByHeight", 0) == [hexed(bench.chain.genesis_hash)]
    assert await client.call("archive_v1_hashByHeight", 1) == [name]
    assert await client.call("archive_v1_hashByHeight", 2) == []
    assert await client.call("archive_v1_header", name) == hexed(block.header.encode())
    assert await client.call("archive_v1_body", name) == [hexed(RAW)]
    assert await client.call("archive_v1_header", "0x" + "ab" * 32) is None
    assert await client.call("archive_v1_body", "0x" + "ab" * 32) is None


async def test_archive_calls_say_whether_they_succeeded(bench: RpcBench, client: RpcClient) -> None:
    genesis = hexed(bench.chain.genesis_hash)

    assert await client.call("archive_v1_call", genesis, "read_now", "0x") == {"success": True, "value": "0x00"}
    failed = await client.call("archive_v1_call", genesis, "Nope", "0x")
    assert failed["success"] is False
    assert await client.call("archive_v1_call", "0x" + "ab" * 32, "read_now", "0x") is None


async def test_archive_storage_comes_as_events(bench: RpcBench, client: RpcClient) -> None:
    items = [{"key": hexed(b"acct/"), "type": "descendantsValues"}, {"key": hexed(b"none"), "type": "value"}]

    await client.call("archive_v1_storage", hexed(bench.chain.genesis_hash), items, None)
    events = [await client.note("archive_v1_storageEvent") for _ in range(4)]

    assert [event["event"] for event in events] == ["storage", "storage", "storage", "storageDone"]
    assert events[2] == {"event": "storage", "key": hexed(b"acct/carol"), "value": "0x030303"}
    assert bench.rpc.server.subscriptions == 0


async def test_archive_storage_of_an_unknown_block_is_told_as_an_event(client: RpcClient) -> None:
    await client.call("archive_v1_storage", "0x" + "ab" * 32, [], None)

    assert (await client.note())["event"] == "storageError"


async def test_archive_storage_goes_on_to_the_end_of_a_long_answer(bench: RpcBench, client: RpcClient) -> None:
    block = bench.chain.grow(changes={b"many/%05d" % i: b"v" for i in range(1000)})
    items = [{"key": hexed(b"many/"), "type": "descendantsHashes"}]

    await client.call("archive_v1_storage", hexed(block.hash), items)
    count = 0
    while (await client.note())["event"] == "storage":
        count += 1

    assert count == 1000


async def test_chain_spec(bench: RpcBench, client: RpcClient) -> None:
    assert await client.call("chainSpec_v1_chainName") == "AI Token Devnet"
    assert await client.call("chainSpec_v1_genesisHash") == hexed(bench.chain.genesis_hash)
    assert (await client.call("chainSpec_v1_properties"))["tokenSymbol"] == "AIT"


async def test_own_methods(bench: RpcBench, client: RpcClient) -> None:
    assert await client.call("smpx_roundState") == {"epoch": 1, "view": 2}
    assert await client.call("smpx_finalityProof") is None
    bench.chain.proofs[bench.chain.genesis_hash] = b"\x01"
    assert await client.call("smpx_finalityProof") == {
        "block": hexed(bench.chain.genesis_hash),
        "certificate": "0x01",
    }
