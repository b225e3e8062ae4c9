"""The legacy methods, over a real socket, against a scripted chain."""

from __future__ import annotations

from aitoken.crypto.hashing import blake2_256
from chain.frame.errors import Stale
from node.pool.errors import Invalid
from tests.support.rpc_fakes import VECTORS, RpcBench, RpcClient

ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
UNKNOWN = "0x" + "ab" * 32


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


async def test_a_header_is_shown_as_substrate_shows_it(bench: RpcBench, client: RpcClient) -> None:
    block = bench.chain.grow()

    header = await client.call("chain_getHeader")

    assert header == {
        "parentHash": hexed(bench.chain.genesis_hash),
        "number": "0x1",
        "stateRoot": hexed(block.state.root),
        "extrinsicsRoot": hexed(block.header.extrinsics_root),
        "digest": {"logs": []},
    }


async def test_block_hashes_by_number_hex_number_list_and_none(bench: RpcBench, client: RpcClient) -> None:
    first = bench.chain.grow()
    genesis = hexed(bench.chain.genesis_hash)

    assert await client.call("chain_getBlockHash", 0) == genesis
    assert await client.call("chain_getBlockHash", "0x1") == hexed(first.hash)
    assert await client.call("chain_getBlockHash", [0, 1, 9]) == [genesis, hexed(first.hash), None]
    assert await client.call("chain_getBlockHash", 9) is None
    assert await client.call("chain_getBlockHash") == hexed(first.hash)
    assert await client.call("chain_getBlockHash", None) == hexed(first.hash)
    assert await client.call("chain_getHead") == hexed(first.hash)


async def test_something_unknown_is_null_in_chain_and_an_error_in_state(bench: RpcBench, client: RpcClient) -> None:
    assert await client.call("chain_getHeader", UNKNOWN) is None
    assert await client.call("chain_getBlock", UNKNOWN) is None

    error = await client.call("state_getStorage", "0x00", UNKNOWN)

    assert error["code"] == 4003
    assert error["message"] == f"Client error: UnknownBlock: Header was not found in the database: {UNKNOWN}"


async def test_a_discarded_state_is_told_in_the_words_a_client_reads(bench: RpcBench, client: RpcClient) -> None:
    genesis = bench.chain.genesis_hash
    bench.chain.grow()
    bench.chain.discarded.add(genesis)

    error = await client.call("state_call", "Core_version", "0x", hexed(genesis))

    assert error["code"] == 4003
    assert (
        error["message"]
        == f"Client error: Api called for an unknown Block: State already discarded for {hexed(genesis)}"
    )


async def test_a_block_carries_extrinsics_and_its_certificate_once_final(bench: RpcBench, client: RpcClient) -> None:
    block = bench.chain.grow(body=[b"\x0c\x04\x01\x02"])

    got = await client.call("chain_getBlock", hexed(block.hash))
    bench.chain.proofs[block.hash] = b"\x01\x02"
    final = await client.call("chain_getBlock", hexed(block.hash))

    assert got["block"]["extrinsics"] == ["0x0c040102"]
    assert got["block"]["header"]["number"] == "0x1"
    assert got["justifications"] is None
    assert final["justifications"] == [["0x534d5058", "0x0102"]]


async def test_storage_by_key_hash_size_and_history(bench: RpcBench, client: RpcClient) -> None:
    key = hexed(b"acct/alice")
    bench.chain.grow(changes={b"acct/alice": b"\x09"})
    genesis = hexed(bench.chain.genesis_hash)

    assert await client.call("state_getStorage", key) == "0x09"
    assert await client.call("state_getStorageAt", key, genesis) == "0x" + "01" * 40
    assert await client.call("state_getStorage", key[2:].upper(), None) == "0x09"
    assert await client.call("state_getStorage", hexed(b"none")) is None
    assert await client.call("state_getStorageHash", key) == hexed(blake2_256(b"\x09"))
    assert await client.call("state_getStorageSize", key) == 1
    assert await client.call("state_getStorageSize", hexed(b"none")) is None


async def test_keys_are_paged_in_order_after_the_start_key(bench: RpcBench, client: RpcClient) -> None:
    prefix = hexed(b"acct/")
    keys = [hexed(b"acct/" + name) for name in (b"alice", b"bob", b"carol")]

    assert await client.call("state_getKeysPaged", prefix, 2) == keys[:2]
    assert await client.call("state_getKeysPaged", prefix, 2, keys[1], None) == keys[2:]
    assert await client.call("state_getKeysPaged", prefix, 0) == []
    assert await client.call("state_getKeysPaged", prefix, 9, hexed(b"acct/az")) == keys[1:]
    error = await client.call("state_getKeysPaged", prefix, 1001)
    assert (error["code"], error["message"]) == (4002, "count exceeds maximum value. value: 1001, max: 1000")


async def test_several_keys_are_answered_in_the_asked_order(bench: RpcBench, client: RpcClient) -> None:
    keys = [hexed(b"none"), hexed(b"acct/carol"), hexed(b"none")]

    got = await client.call("state_queryStorageAt", keys)

    changes = [[keys[0], None], [keys[1], "0x030303"], [keys[2], None]]
    assert got == [{"block": hexed(bench.chain.genesis_hash), "changes": changes}]


async def test_a_read_proof_names_its_block_and_shows_the_value(bench: RpcBench, client: RpcClient) -> None:
    proof = await client.call("state_getReadProof", [hexed(b"acct/alice")])

    assert proof["at"] == hexed(bench.chain.genesis_hash)
    assert hexed(b"\x01" * 40) in proof["proof"]


async def test_metadata_and_runtime_calls(bench: RpcBench, client: RpcClient) -> None:
    raw = (VECTORS / "refnode_metadata_v14.hex").read_text(encoding="ascii").strip()

    assert await client.call("state_getMetadata") == raw
    assert await client.call("state_call", "Metadata_metadata_versions", "") == "0x080e0000000f000000"
    error = await client.call("state_call", "Nope_nope", "0x")
    assert error["code"] == 4003
    assert error["message"] == "Client error: Execution failed: Other: Exported method Nope_nope is not found"
    error = await client.call("state_call", "AccountNonceApi_account_nonce", "0x00")
    assert error["code"] == 4003
    assert error["message"].startswith("Client error: Execution failed: Execution aborted due to trap: ")


async def test_the_runtime_version_lists_apis_as_pairs(bench: RpcBench, client: RpcClient) -> None:
    version = await client.call("state_getRuntimeVersion")

    assert version["specName"] == "aitoken"
    assert version["apis"] == [[hexed(blake2_256(b"Core")[:8]), 5], [hexed(blake2_256(b"Metadata")[:8]), 2]]
    assert (version["specVersion"], version["systemVersion"], version["stateVersion"]) == (100, 1, 1)
    assert await client.call("chain_getRuntimeVersion", None) == version


async def test_payment_methods_read_the_runtime_answer(bench: RpcBench, client: RpcClient) -> None:
    info = await client.call("payment_queryInfo", "0x0c040102", None)
    details = await client.call("payment_queryFeeDetails", "0x0c040102")

    assert info == {"weight": 5, "class": "normal", "partialFee": "2620000"}
    assert details == {"inclusionFee": {"baseFee": "0xf4240", "lenFee": "0x166e30", "adjustedWeightFee": "0x249f0"}}


async def test_system_methods(bench: RpcBench, client: RpcClient) -> None:
    assert await client.call("system_chain") == "AI Token Devnet"
    assert await client.call("system_name") == "AI Token Node"
    assert await client.call("system_chainType") == "Development"
    assert (await client.call("system_properties"))["ss58Format"] == 42
    assert await client.call("system_health") == {"peers": 1, "isSyncing": False, "shouldHavePeers": True}
    assert (await client.call("system_peers"))[0]["peerId"] == "12D3KooWother"
    assert await client.call("system_localPeerId") == "12D3KooWfake"
    assert await client.call("system_nodeRoles") == ["Authority"]
    assert await client.call("system_syncState") == {"startingBlock": 0, "currentBlock": 0, "highestBlock": 5}
    assert await client.call("system_accountNextIndex", ALICE) == 9
    assert await client.call("account_nextIndex", hexed(bytes(32))) == 9


async def test_a_transaction_is_taken_and_its_hash_returned(bench: RpcBench, client: RpcClient) -> None:
    raw = b"\x0c\x04\x01\x02"

    assert await client.call("author_submitExtrinsic", hexed(raw)) == hexed(blake2_256(raw))
    again = await client.call("author_submitExtrinsic", hexed(raw))
    pending = await client.call("author_pendingExtrinsics")

    assert again["code"] == 1013
    assert again["message"] == "Transaction Already Imported"
    assert again["data"] == hexed(blake2_256(raw))
    assert pending == [hexed(raw)]


async def test_a_refused_transaction_gives_the_error_object_of_the_pool(bench: RpcBench, client: RpcClient) -> None:
    bench.pool.refusals[b"\x01"] = Invalid(Stale())
    expected = {"code": 1010, "message": "Invalid Transaction", "data": "Transaction is outdated"}

    assert await client.call("author_submitExtrinsic", "0x01") == expected
    assert await client.call("author_submitAndWatchExtrinsic", "0x01") == expected
    assert bench.rpc.server.subscriptions == 0


async def test_required_methods_are_listed_and_unsafe_ones_are_not(client: RpcClient) -> None:
    methods = (await client.call("rpc_methods"))["methods"]

    assert methods == sorted(methods)
    for name in ("chain_subscribeNewHead", "account_nextIndex", "state_getStorageAt", "author_unwatchExtrinsic"):
        assert name in methods
    assert "system_addReservedPeer" not in methods
    assert "author_rotateKeys" not in methods


async def test_unsafe_methods_are_refused_in_substrates_words(bench: RpcBench, client: RpcClient) -> None:
    for name in ("system_addReservedPeer", "author_removeExtrinsic", "author_rotateKeys", "author_insertKey"):
        error = await client.call(name, "x")
        assert error == {"code": -32601, "message": "RPC call is unsafe to be called externally"}
    assert bench.network.reserved == []
