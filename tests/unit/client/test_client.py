"""The client against a scripted node that speaks with the metadata of the reference runtime."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aitoken.client.client import Client, Wait
from aitoken.client.connection import connect as open_connection
from aitoken.client.errors import (
    BadMetadata,
    BadValue,
    FateUnknown,
    NeedsWebSocket,
    NodeRefused,
    NodeUnavailable,
    TransactionDropped,
    TransactionRefused,
    UnknownName,
)
from aitoken.codec.base import compact_encode
from aitoken.crypto import ss58
from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.hashing import blake2_256
from aitoken.crypto.ss58 import BadAddress
from aitoken.proto.extrinsic import Extrinsic, additional_signed
from tests.support.fake_node import FakeNode, Refusal, Silence, Stream
from tests.support.scripted_chain import (
    ALICE,
    BOB,
    BOB_ADDRESS,
    FINAL_NUMBER,
    GENESIS,
    INFO,
    Scripted,
    final,
    header,
    included,
)  # fmt: skip
from tests.support.vectors import own_json, unhex


@pytest.fixture
def script() -> Scripted:
    return Scripted()


@pytest.fixture
async def node(script: Scripted) -> AsyncIterator[FakeNode]:
    async with FakeNode(script.methods) as node:
        yield node


@pytest.fixture
async def client(node: FakeNode) -> AsyncIterator[Client]:
    async with await Client.connect(node.url, timeout_seconds=5) as client:
        yield client


def account_info(free: int) -> dict[str, Any]:
    data = {"free": free, "reserved": 0, "frozen": 0, "flags": 1 << 127}
    return {"nonce": 3, "consumers": 0, "providers": 1, "sufficients": 0, "data": data}


# connecting


async def test_connecting_reads_the_chain(client: Client) -> None:
    assert client.chain.metadata.version == 15
    assert client.chain.genesis_hash == GENESIS
    assert (client.token.symbol, client.token.decimals) == ("AIT", 12)
    assert client.constant("System", "SS58Prefix") == client.chain.prefix == 42


async def test_metadata_14_is_enough(node: FakeNode, script: Scripted) -> None:
    script.calls.clear()

    async with await Client.connect(node.http_url) as client:
        assert client.chain.metadata.version == 14
        assert client.call("System", "remark", remark="hi").call_bytes == b"\x00\x00\x08hi"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(b"\x08\x0e", BadMetadata), (b"\x04\x0e\x00\x00\x00", None), (b"\x04\x10\x00\x00\x00", None)],
)
async def test_odd_lists_of_metadata_versions(
    node: FakeNode, script: Scripted, answer: bytes, kind: type[Exception] | None
) -> None:
    script.calls["Metadata_metadata_versions"] = lambda data: answer

    if kind is not None:
        with pytest.raises(kind):
            await Client.connect(node.url)
    else:
        async with await Client.connect(node.url) as client:
            assert client.chain.metadata.version == 14


async def test_15_offered_but_not_given(node: FakeNode, script: Scripted) -> None:
    script.calls["Metadata_metadata_at_version"] = lambda data: b"\x00"

    async with await Client.connect(node.url) as client:
        assert client.chain.metadata.version == 14


@pytest.mark.parametrize(
    ("method", "answer"),
    [("chain_getBlockHash", 5), ("chain_getBlockHash", "0xzz"), ("state_getRuntimeVersion", {"specVersion": "x"})],
)
async def test_what_is_no_substrate_node_is_unavailable(
    node: FakeNode, script: Scripted, method: str, answer: Any
) -> None:
    script.methods[method] = lambda params: answer

    with pytest.raises(NodeUnavailable):
        await Client.connect(node.url)


async def test_properties_may_be_lists_or_nothing(node: FakeNode, script: Scripted) -> None:
    for properties, expected in (
        ({"tokenSymbol": ["DOT", "X"], "tokenDecimals": [10, 2]}, ("DOT", 10)),
        ({}, ("UNIT", 0)),
        (None, ("UNIT", 0)),
        ({"tokenSymbol": [], "tokenDecimals": None}, ("UNIT", 0)),
    ):
        script.methods["system_properties"] = lambda params, properties=properties: properties
        async with await Client.connect(node.url) as client:
            assert (client.token.symbol, client.token.decimals) == expected


# reading


async def test_query_with_human_keys(client: Client, script: Scripted) -> None:
    script.put("System", "Account", (BOB_ADDRESS,), account_info(10**30))
    script.put("Balances", "TotalIssuance", (), 5)

    for key in (BOB_ADDRESS, BOB.public, "0x" + BOB.public.hex(), ss58.encode(BOB.public, 7)):
        assert (await client.query("System", "Account", key))["data"]["free"] == 10**30
    assert (await client.account(BOB))["nonce"] == 3
    assert await client.query("Balances", "TotalIssuance") == 5
    assert await client.query("Balances", "TotalIssuance", at="0xaa") == 5


async def test_absent_values_are_the_default_or_none(client: Client) -> None:
    assert (await client.account(ALICE.public))["data"]["free"] == 0
    assert await client.query("System", "ExtrinsicCount") is None


async def test_queries_that_make_no_sense_are_refused(client: Client, node: FakeNode) -> None:
    asked = len(node.calls)

    with pytest.raises(UnknownName, match="no pallet 'balances'; it is spelled 'Balances'"):
        await client.query("balances", "TotalIssuance")
    with pytest.raises(UnknownName, match="spelled 'TotalIssuance'"):
        await client.query("Balances", "total_issuance")
    with pytest.raises(BadValue, match="has 1 keys, 0 were given"):
        await client.query("System", "Account")
    with pytest.raises(BadValue):
        await client.query("Balances", "TotalIssuance", 1)
    with pytest.raises(BadAddress):
        await client.query("System", "Account", "5Grw")
    with pytest.raises(UnknownName, match="constant"):
        client.constant("System", "nothing")
    assert len(node.calls) == asked


async def test_all_entries_of_a_map_in_pages(client: Client, script: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aitoken.client.client.PAGE", 2)
    pairs = [pair_from_uri(f"//{i}") for i in range(5)]
    for i, pair in enumerate(pairs):
        script.put("System", "Account", (pair.public,), account_info(i))
    blocks: list[Any] = []

    def keys_paged(params: list[Any]) -> list[str]:
        prefix, count, after, block = params
        blocks.append(block)
        found = sorted(key for key in script.storage if key.startswith(prefix) and (after is None or key > after))
        return found[:count]

    script.methods["state_getKeysPaged"] = keys_paged
    script.methods["state_queryStorageAt"] = lambda p: [
        {"block": p[1], "changes": [[key, script.storage.get(key)] for key in p[0]]}
    ]

    found = {keys: value["data"]["free"] async for keys, value in client.query_map("System", "Account")}

    assert found == {(ss58.encode(pair.public),): i for i, pair in enumerate(pairs)}
    assert set(blocks) == {"0xbe57"}
    monkeypatch.setattr("aitoken.client.client.PAGE", 500)
    script.storage[max(script.storage)] = None  # gone between the two questions
    assert len([entry async for entry in client.query_map("System", "Account")]) == 4
    script.storage.clear()
    assert [entry async for entry in client.query_map("System", "Account", at="0xaa")] == []


async def test_runtime_apis_by_name(client: Client) -> None:
    assert await client.runtime_call("AccountNonceApi", "account_nonce", ALICE.public) == 9
    with pytest.raises(UnknownName):
        await client.runtime_call("AccountNonceApi", "nothing")
    with pytest.raises(BadValue, match="account"):
        await client.runtime_call("AccountNonceApi", "account_nonce")


async def test_nonce_and_fee(client: Client, node: FakeNode) -> None:
    call = client.call("Balances", "transfer_keep_alive", dest=BOB_ADDRESS, value=1)

    assert await client.nonce(ALICE) == 5
    assert node.called("system_accountNextIndex") == [[ss58.encode(ALICE.public)]]
    assert await client.fee(call, ALICE) == 777
    data = unhex(next(p[1] for p in node.called("state_call") if p[0] == "TransactionPaymentApi_query_info"))
    draft = Extrinsic(data[:-4])
    assert int.from_bytes(data[-4:], "little") == len(data) - 4
    assert (draft.signer, bytes(draft.call_bytes)) == (ALICE.public, call.call_bytes)


async def test_heads_have_the_hash_of_their_content(client: Client, script: Scripted) -> None:
    vector = own_json("rpc/scale.json")["header"]
    script.methods["chain_getHeader"] = lambda params: vector["json"]

    head = await client.head()

    assert (head.number, head.hash) == (1, vector["hash"])
    assert (await client.head(final=False)).parent_hash == vector["json"]["parentHash"]
    assert [h.number async for h in _take(client.subscribe_heads(), 2)] == [1, 2]
    assert [h.number async for h in _take(client.subscribe_heads(final=False), 1)] == [3]


async def _take(stream: Any, count: int) -> AsyncIterator[Any]:
    for _ in range(count):
        yield await anext(stream)
    await stream.aclose()


async def test_leaving_a_stream_tells_the_node(client: Client, node: FakeNode) -> None:
    heads: Any = client.subscribe_heads()
    await anext(heads)
    await heads.aclose()

    assert node.called("chain_unsubscribeFinalizedHeads") == [["h"]]


async def test_following_a_storage_item(client: Client, script: Scripted) -> None:
    key = "0x" + script.chain.storage_key("Balances", "TotalIssuance").hex()
    five = "0x" + (5).to_bytes(16, "little").hex()
    script.methods["state_subscribeStorage"] = lambda p: Stream(
        "s", [{"block": "0x1", "changes": [[key, None]]}, {"block": "0x2", "changes": [[key, five]]}]
    )
    script.methods["state_unsubscribeStorage"] = lambda p: True

    values = [v async for v in _take(client.subscribe_storage("Balances", "TotalIssuance"), 2)]

    assert values == [0, 5]


async def test_events_of_a_block(client: Client, script: Scripted) -> None:
    vector = own_json("rpc/scale.json")["events_value"]

    events = client.chain.events(unhex(vector["scale"]))

    assert [f"{event.pallet}.{event.name}" for event in events] == [text.split("(")[0] for text in vector["events"]]
    assert {event.extrinsic for event in events} == {1}
    assert events[0].fields["amount"] == 12345
    assert client.chain.problem(events[3].fields["dispatch_error"]).name == "Balances.InsufficientBalance"
    assert client.chain.events(None) == []
    script.record(0, "System", "ExtrinsicSuccess", {"dispatch_info": INFO})
    script.events.append({"phase": "Initialization", "event": {"System": "CodeUpdated"}, "topics": [b"\1" * 32]})
    assert [(e.name, e.fields != {}, e.extrinsic) for e in await client.events("0xaa")] == [
        ("ExtrinsicSuccess", True, 0),
        ("CodeUpdated", False, None),
    ]


# sending


async def test_a_transaction_is_what_the_node_expects(client: Client, script: Scripted) -> None:
    call = client.call("Balances", "transfer_keep_alive", dest=BOB.public, value=10**12)

    receipt = await client.submit(call, ALICE, tip=7)

    xt = Extrinsic(unhex(script.sent[0]))
    assert receipt.hash == "0x" + xt.hash.hex()
    assert (receipt.success, receipt.block_hash, receipt.events) == (None, None, ())
    assert (xt.signer, xt.signature_kind, xt.nonce, xt.tip) == (ALICE.public, 1, 5, 7)
    assert bytes(xt.call_bytes) == call.call_bytes == b"\x02\x03\x00" + BOB.public + compact_encode(10**12)
    # MinimumPeriod 500 ms: five minutes are 300 blocks, rounded up to a power of two
    assert (xt.era.period, xt.era.birth(FINAL_NUMBER + 1)) == (512, FINAL_NUMBER)
    birth_hash = unhex((await client.head()).hash)
    payload = xt.payload(additional_signed(100, 1, GENESIS, birth_hash))
    from aitoken.crypto import sr25519

    assert sr25519.verify(bytes(xt.signature), payload, ALICE.public)


async def test_ed25519_immortal_and_own_nonce(client: Client) -> None:
    call = client.call("System", "remark", remark=b"x" * 300)

    raw = await client.sign(call, BOB, nonce=11, mortal=False)

    xt = Extrinsic(raw)
    assert (xt.signature_kind, xt.nonce, xt.era.is_immortal) == (0, 11, True)
    payload = xt.payload(additional_signed(100, 1, GENESIS, GENESIS))
    assert BOB.sign(payload) == bytes(xt.signature)
    assert len(payload) == 32


@pytest.mark.parametrize(("wait", "block"), [("in_block", "0xb1"), ("final", "0xb2")])
async def test_waiting_gives_a_full_receipt(
    client: Client, node: FakeNode, script: Scripted, wait: Any, block: str
) -> None:
    transfer = {"from": ALICE.public, "to": BOB.public, "amount": 1}
    script.record(0, "System", "ExtrinsicSuccess", {"dispatch_info": INFO})
    script.record(1, "Balances", "Transfer", transfer)
    script.record(1, "TransactionPayment", "TransactionFeePaid", {"who": ALICE.public, "actual_fee": 99, "tip": 7})
    script.record(1, "System", "ExtrinsicSuccess", {"dispatch_info": INFO})
    script.record(None, "Balances", "Transfer", transfer)
    call = client.call("Balances", "transfer_keep_alive", dest=BOB_ADDRESS, value=1)

    receipt = await client.submit(call, ALICE, wait=wait)

    assert (receipt.block_number, receipt.index, receipt.success, receipt.error, receipt.fee) == (50, 1, True, None, 99)
    assert [event.name for event in receipt.events] == ["Transfer", "TransactionFeePaid", "ExtrinsicSuccess"]
    assert receipt.events[0].fields == {"from": ss58.encode(ALICE.public), "to": BOB_ADDRESS, "amount": 1}
    assert str(receipt.events[0]).startswith("Balances.Transfer({")
    assert node.called("chain_getBlock") == [[block]]


async def test_a_failed_call_is_named(client: Client, script: Scripted) -> None:
    for failed, name in (
        ({"Module": {"index": 2, "error": b"\x02\0\0\0"}}, "Balances.InsufficientBalance"),
        ({"Module": {"index": 77, "error": b"\x02\0\0\0"}}, "Module(77).2"),
        ({"Module": {"index": 2, "error": b"\xee\0\0\0"}}, "Module(2).238"),
        ({"Token": "FundsUnavailable"}, "Token.FundsUnavailable"),
        ("BadOrigin", "BadOrigin"),
    ):
        script.events.clear()
        script.sent.clear()
        script.record(1, "System", "ExtrinsicFailed", {"dispatch_error": failed, "dispatch_info": INFO})

        receipt = await client.submit(client.call("System", "remark", remark=b""), ALICE, wait="in_block")

        assert (receipt.success, receipt.error) == (False, name)
    assert client.chain.problem({"Module": {"index": 2, "error": 2}}).name == "Balances.InsufficientBalance"
    assert client.chain.problem({"Odd": 5}).name == "Odd"


@pytest.mark.parametrize(
    ("applied", "name"),
    [("0x0000", None), ("0x010004", None), ("0x000102", "BadOrigin"), ("0x00010702", "Token.BelowMinimum"), ("", None)],
)
async def test_a_call_is_rehearsed_where_the_node_does_that(
    client: Client, script: Scripted, applied: str, name: str | None
) -> None:
    def answer(params: list[Any]) -> str:
        if not applied:
            raise Refusal(-32601, "Method not found")
        assert Extrinsic(unhex(params[0])).signer == ALICE.public
        return applied

    script.methods["system_dryRun"] = answer
    problem = await client.rehearse(client.call("System", "remark", remark=b""), ALICE)
    assert (problem and problem.name, script.sent) == (name, [])


async def test_a_refused_transaction(client: Client, script: Scripted) -> None:
    def refuse(params: list[Any]) -> Any:
        raise Refusal(1010, "Invalid Transaction", "Inability to pay some fees (e.g. account balance too low)")

    script.methods["author_submitExtrinsic"] = refuse
    why = "Inability to pay some fees (e.g. account balance too low)"
    script.updates = [{"event": "invalid", "error": f"Invalid Transaction: {why}", "code": 1010,
                       "message": "Invalid Transaction", "data": why}]  # fmt: skip
    call = client.call("System", "remark", remark=b"")

    waits: tuple[Wait, ...] = ("none", "in_block", "final")
    for wait in waits:
        with pytest.raises(TransactionRefused, match="Inability to pay") as refused:
            await client.submit(call, ALICE, wait=wait)
        assert (refused.value.rpc_code, refused.value.rpc_data) == (1010, why)


@pytest.mark.parametrize("event", ["invalid", "dropped"])
async def test_a_dropped_transaction(client: Client, script: Scripted, event: str) -> None:
    script.updates = [{"event": "validated"}, {"event": event, "error": "why"}]

    with pytest.raises(TransactionDropped):
        await client.submit(client.call("System", "remark", remark=b""), ALICE, wait="final")


async def test_a_retracted_block_is_not_the_end(client: Client, script: Scripted) -> None:
    script.updates = [included("0xb1"), included(None), included("0xb3"), final("0xb3")]

    waits: tuple[Wait, ...] = ("in_block", "final")
    for wait in waits:
        receipt = await client.submit(client.call("System", "remark", remark=b""), ALICE, wait=wait)

        assert receipt.block_number == 50


@pytest.mark.parametrize(
    ("updates", "why"),
    [
        ([{"event": "error", "error": "?"}], "stopped watching"),
        ([{"event": "validated"}], "within 0.1 s"),
        ([{}, 5, None, {"event": "finalized", "block": None}], "within 0.1 s"),
    ],
)
async def test_an_unseen_fate_is_said_to_be_so(client: Client, script: Scripted, updates: list[Any], why: str) -> None:
    script.updates = updates
    call = client.call("System", "remark", remark=b"")

    with pytest.raises(FateUnknown, match=re.escape(why)) as caught:
        await client.submit(call, ALICE, wait="final", timeout_seconds=0.1)
    assert caught.value.hash == "0x" + blake2_256(unhex(script.sent[0])).hex()


async def test_a_connection_lost_while_waiting(client: Client, script: Scripted) -> None:
    script.updates, script.hang_up = [{"event": "validated"}], True

    with pytest.raises(FateUnknown, match="closed the connection"):
        await client.submit(client.call("System", "remark", remark=b""), ALICE, wait="final")


async def test_a_node_silent_on_submission(node: FakeNode, script: Scripted) -> None:
    async with await Client.connect(node.url) as client:
        raw = await client.sign(client.call("System", "remark", remark=b""), ALICE)
    script.methods["author_submitExtrinsic"] = lambda params: Silence()
    async with await Client.connect(node.url, timeout_seconds=0.2) as client:
        with pytest.raises(FateUnknown, match="no answer"):
            await client.send(raw)


async def test_a_block_that_does_not_hold_it(client: Client, script: Scripted) -> None:
    script.methods["chain_getBlock"] = lambda p: {"block": {"header": header(50), "extrinsics": []}}

    with pytest.raises(FateUnknown, match="does not"):
        await client.submit(client.call("System", "remark", remark=b""), ALICE, wait="final")


async def test_a_runtime_upgrade_is_noticed(client: Client, script: Scripted) -> None:
    call = client.call("System", "remark", remark=b"")
    script.spec_version = 101

    await client.submit(call, ALICE)

    xt = Extrinsic(unhex(script.sent[0]))
    birth_hash = unhex((await client.head()).hash)
    from aitoken.crypto import sr25519

    assert sr25519.verify(bytes(xt.signature), xt.payload(additional_signed(101, 1, GENESIS, birth_hash)), ALICE.public)
    assert client.chain.spec_version == 101


async def test_over_http_one_may_send_but_not_watch(node: FakeNode) -> None:
    async with await Client.connect(node.http_url) as client:
        call = client.call("System", "remark", remark=b"")

        assert (await client.submit(call, ALICE)).hash.startswith("0x")
        with pytest.raises(NeedsWebSocket):
            await client.submit(call, ALICE, wait="final")


async def test_two_at_once_with_own_nonces(client: Client, script: Scripted) -> None:
    call = client.call("System", "remark", remark=b"")

    await asyncio.gather(*(client.submit(call, ALICE, nonce=nonce) for nonce in (5, 6)))

    assert sorted(Extrinsic(unhex(raw)).nonce for raw in script.sent) == [5, 6]


async def test_lifetimes_follow_what_the_chain_says(client: Client) -> None:
    constants = client.chain.metadata.pallets["System"].constants
    client.chain.metadata.pallets["Timestamp"].constants.clear()
    assert client._period() == 64
    constants["BlockHashCount"].value = (20).to_bytes(4, "little")
    assert client._period() == 16
    del constants["BlockHashCount"]
    assert client._period() == 64
    del client.chain.metadata.pallets["Timestamp"]
    assert client._period() == 64


async def test_raw_requests(client: Client) -> None:
    assert await client.request("system_accountNextIndex", ["x"]) == 5
    with pytest.raises(NodeRefused, match="Method not found"):
        await client.request("unheard_of")


async def test_a_client_can_be_put_on_a_connection(node: FakeNode, script: Scripted) -> None:
    connection = await open_connection(node.url)
    client = Client(connection, script.chain, None)  # type: ignore[arg-type]  # no library

    assert await client.nonce(BOB) == 5
    await client.close()
