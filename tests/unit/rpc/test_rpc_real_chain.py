"""JSON-RPC over the real chain and runtime, blocks built by hand: what a scripted chain cannot show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from aitoken.crypto.hashing import twox_128
from aitoken.proto.extrinsic import sign_extrinsic
from aitoken.proto.trie import verify
from node.chain.opening import OpenChain
from node.rpc.assemble import Rpc, RpcSettings
from node.rpc.ports import ChainInfo
from tests.support.real_chain import ALICE, build, open_in, remark
from tests.support.rpc_fakes import FakeConsensus, FakeNetwork, FakePool, RpcClient

NUMBER = twox_128(b"System") + twox_128(b"Number")


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


class Served:
    """A node without consensus: its chain and a connection to it."""

    def __init__(self, opened: OpenChain, client: RpcClient) -> None:
        self.opened = opened
        self.call = client.call

    def grow(self, *extrinsics: object) -> str:
        """Build a block, make it best and final; its hash."""
        chain = self.opened.chain
        block = build(self.opened, chain.best, extrinsics)  # type: ignore[arg-type]
        chain.set_best(block.hash)
        chain.finalize(block.hash, b"certificate")
        return hexed(block.hash)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    opened = open_in(tmp_path)
    rpc = Rpc(
        RpcSettings(port=0),
        chain=opened.chain,
        pool=FakePool(),
        network=FakeNetwork(),
        consensus=FakeConsensus(),
        runtime=opened.runtime,
        info=ChainInfo(),
    )
    opened.chain.subscribe(rpc.feed)
    await rpc.start()
    url = f"ws://127.0.0.1:{rpc.server.port}"
    async with aiohttp.ClientSession() as http, http.ws_connect(url, max_msg_size=0) as socket:
        yield Served(opened, RpcClient(socket))
    await rpc.close()
    opened.database.close()


async def test_old_states_answer_reads_calls_and_proofs(served: Served) -> None:
    genesis = hexed(served.opened.genesis_hash)
    first = served.grow(remark(served.opened, 0))
    for _ in range(40):  # beyond the blocks kept in memory
        served.grow()

    for block, number, nonce in ((genesis, None, 0), (first, b"\x01\x00\x00\x00", 1)):
        value = await served.call("state_getStorage", hexed(NUMBER), block)
        assert value == (None if number is None else hexed(number))
        raw = await served.call("state_call", "AccountNonceApi_account_nonce", hexed(ALICE.public), block)
        assert raw == hexed(nonce.to_bytes(4, "little"))
        root = (await served.call("chain_getHeader", block))["stateRoot"]
        proof = await served.call("state_getReadProof", [hexed(NUMBER), hexed(b"none")], block)
        shown = verify(
            bytes.fromhex(root[2:]),  # type: ignore[arg-type]
            [bytes.fromhex(node[2:]) for node in proof["proof"]],
            [NUMBER, b"none"],
        )
        assert shown == {NUMBER: number, b"none": None}


async def test_a_dry_run_tells_how_it_would_end_and_keeps_nothing(served: Served) -> None:
    served.grow()
    opened = served.opened
    schema = opened.runtime.schema
    version = schema.version
    additional = (
        version.spec_version.to_bytes(4, "little")
        + version.transaction_version.to_bytes(4, "little")
        + opened.genesis_hash * 2
        + b"\x00"
    )
    root_only = sign_extrinsic(schema.make_call("System.set_heap_pages", 64).encode(), ALICE, additional, nonce=0)
    bad = bytearray(remark(opened, 0).raw)
    bad[60] ^= 1

    assert await served.call("system_dryRun", hexed(remark(opened, 0).raw)) == "0x0000"
    assert await served.call("system_dryRun", hexed(root_only.raw)) == "0x000102"
    assert await served.call("system_dryRun", hexed(bytes(bad))) == "0x010004"
    assert (await served.call("system_dryRun", "0x0102"))["code"] == 1001
    nonce = await served.call("state_call", "AccountNonceApi_account_nonce", hexed(ALICE.public))
    assert nonce == "0x00000000"


async def test_what_a_transaction_costs_is_known_before(served: Served) -> None:
    raw = hexed(remark(served.opened, 0).raw)

    info = await served.call("payment_queryInfo", raw)
    fee = (await served.call("payment_queryFeeDetails", raw))["inclusionFee"]

    assert info["class"] == "normal"
    assert sum(int(part, 16) for part in fee.values()) == int(info["partialFee"]) > 0


async def test_a_final_block_shows_its_certificate(served: Served) -> None:
    block = served.grow()

    assert (await served.call("chain_getBlock", block))["justifications"] == [["0x534d5058", hexed(b"certificate")]]


async def test_every_listed_method_refuses_junk_with_an_error_object(served: Served) -> None:
    names = (await served.call("rpc_methods"))["methods"]
    for name in names:
        for junk in ([["x"] * 3] * 6, [{}] * 6, [1.5] * 6):
            answer = await served.call(name, *junk)
            assert answer["code"] in (-32602, -32601), (name, answer)
