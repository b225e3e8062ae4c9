"""What the node serves a light client, from a real database, fits what the light client checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from aitoken.client.checkpoint import Checkpoint
from aitoken.client.light import LightClient
from aitoken.crypto.derive import pair_from_uri
from aitoken.proto.digest import next_epoch_of
from aitoken.proto.header import Header
from aitoken.proto.votes import FINALIZE, Certificate, bitmap_of
from aitoken.types import Hash32
from node.chain.opening import OpenChain
from node.chain.tree import terminal_key
from node.ports import Block
from node.rpc.assemble import Rpc, RpcSettings
from node.rpc.methods import smpx, state
from node.rpc.ports import ChainInfo
from node.rpc.proofs import Prover
from node.rpc.query import Query
from tests.support import leading
from tests.support.real_chain import open_in
from tests.support.rpc_fakes import FakeConsensus, FakeNetwork, FakePool, RpcClient

LENGTH = 6
STEP_MS = 1000
KEYS = [pair_from_uri(f"//{name}", "ed25519") for name in ("Alice", "Bob", "Charlie", "Dave")]


def grow(opened: OpenChain, count: int, *, bare: frozenset[int] = frozenset()) -> None:
    """Build final blocks, certified by the devnet's validators but for `bare` ones."""
    chain = opened.chain
    for _ in range(count):
        parent = chain.best
        number = parent.number + 1
        epoch, view = (number - 1) // LENGTH, (number - 1) % LENGTH + 1
        moment = opened.spec.timestamp_ms + STEP_MS * number
        items = leading.items(
            opened.runtime, parent.state, opened.genesis_hash, view=view, parent_view=view - 1, timestamp_ms=moment
        )
        executed = opened.runtime.open_block(parent.state, parent.header, items).seal()
        block = Block(Hash32(executed.header.hash), executed.header, tuple(executed.body), executed.state)
        chain.insert(block)
        chain.set_best(block.hash)
        if number in bare:
            continue
        draft = Certificate(FINALIZE, epoch, view, block.hash, bitmap_of(range(4), 4), ())
        message = draft.sign_bytes(opened.genesis_hash)
        keys = [next(pair for pair in KEYS if pair.public == key) for key in opened.epoch.validators.keys]
        encoded = Certificate(
            FINALIZE, epoch, view, block.hash, draft.bitmap, tuple(pair.sign(message) for pair in keys)
        ).encode()
        ends = next_epoch_of(block.header.digest) is not None
        chain.finalize(block.hash, encoded, {terminal_key(epoch): encoded} if ends else {})


@pytest.fixture
def opened(tmp_path: Path) -> OpenChain:
    return open_in(tmp_path, sessionBlocks=LENGTH)


class Node:
    """The methods of JSON-RPC without its server."""

    def __init__(self, opened: OpenChain) -> None:
        self.opened = opened
        self.query = Query(opened.chain, opened.runtime)

    async def ask(self, method: str, params: Any = ()) -> Any:
        """Call a method; bytes become hex."""
        chain = self.opened.chain
        calls: dict[str, Any] = {
            "chain_getBlockHash": lambda number: chain.hash_of(number),
            "archive_v1_header": lambda block: chain.header(unhex(block)).encode(),  # type: ignore[union-attr]
            "smpx_genesisProof": lambda: smpx.genesis_proof(chain),
            "smpx_epochProof": lambda epoch: smpx.epoch_proof(chain, epoch),
            "smpx_proveFinality": lambda: smpx.prove_finality(chain),
            "state_getReadProof": lambda keys, block: state.read_proof(
                self.query, Prover(), [unhex(key) for key in keys], unhex(block)
            ),
        }
        return hexed(calls[method](*params))


def unhex(text: str) -> Any:
    return bytes.fromhex(text[2:])


def hexed(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, dict):
        return {key: hexed(each) for key, each in value.items()}
    return [hexed(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("start", [0, 6, 12])
async def test_a_light_client_follows_a_real_chain(opened: OpenChain, start: int) -> None:
    grow(opened, 15)
    checkpoint = Checkpoint(Hash32(opened.chain.hash_of(start) or b""), opened.genesis_hash)
    now = opened.spec.timestamp_ms + 20 * STEP_MS

    light = await LightClient.start(Node(opened).ask, checkpoint, now_ms=now)

    assert (light.head.number, light.anchor.number) == (15, 12)
    richest = max(opened.spec.balances, key=lambda entry: entry[1])[0]
    account = await light.account(richest)
    assert account.free + account.reserved == dict(opened.spec.balances)[richest]
    opened.database.close()


def test_a_block_without_a_certificate_is_proven_by_the_next_one_that_has_one(opened: OpenChain) -> None:
    grow(opened, 5, bare=frozenset({2, 3}))
    chain = opened.chain

    proof = smpx.prove_finality(chain, 2)  # type: ignore[arg-type]

    assert proof is not None
    assert proof["headers"] == [chain.header(chain.hash_of(n)).encode() for n in (2, 3, 4)]  # type: ignore[union-attr,arg-type]
    assert Certificate.decode(proof["certificate"]).hash == chain.hash_of(4)
    assert smpx.prove_finality(chain, 6) is None  # type: ignore[arg-type]
    opened.database.close()


def test_epochs_that_are_not_over_have_no_proof(opened: OpenChain) -> None:
    grow(opened, 13)
    chain = opened.chain

    assert len(smpx.epoch_proof(chain, 0)) == 2
    assert len(smpx.epoch_proof(chain, 1)) == 1
    assert smpx.epoch_proof(chain, 2) == []
    assert smpx.epoch_proof(chain, 2**64 - 1) == []
    opened.database.close()


async def test_certificates_are_told_as_they_are_made(opened: OpenChain) -> None:
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
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"ws://127.0.0.1:{rpc.server.port}", max_msg_size=0) as socket,
    ):
        client = RpcClient(socket)
        subscription = await client.call("smpx_subscribeJustifications")
        grow(opened, 4, bare=frozenset({2}))
        told = [await client.note("smpx_justifications") for _ in range(3)]
        assert await client.call("smpx_unsubscribeJustifications", subscription) is True
        grow(opened, 1)
        assert await client.call("smpx_proveFinality", 2) == hexed(smpx.prove_finality(opened.chain, 2))  # type: ignore[arg-type]

    numbers = [Header.decode(unhex(each["header"])).number for each in told]
    assert numbers == [1, 3, 4]
    assert [Certificate.decode(unhex(each["certificate"])).hash for each in told] == [
        opened.chain.hash_of(number) for number in numbers
    ]
    await rpc.close()
    opened.database.close()
