"""JSON-RPC 2.0 itself: ids, batches, notifications, error codes; over a socket and over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from node.rpc.limits import Limits
from tests.support.rpc_fakes import RpcBench, RpcClient

JSON = {"content-type": "application/json"}


@pytest.fixture
async def http(bench: RpcBench) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def post(bench: RpcBench, http: aiohttp.ClientSession, body: bytes) -> Any:
    async with http.post(bench.http, data=body, headers=JSON) as response:
        assert response.status == 200
        data = await response.read()
        return msgspec.json.decode(data) if data else None


def request(method: str, params: Any = msgspec.UNSET, **more: Any) -> bytes:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, **more}
    if params is not msgspec.UNSET:
        body["params"] = params
    return msgspec.json.encode(body)


@pytest.mark.parametrize("number", [0, 7, "x1", "", 2**53 + 1, 1.5, None])
async def test_the_id_is_echoed_with_its_json_type(bench: RpcBench, http: aiohttp.ClientSession, number: Any) -> None:
    answer = await post(bench, http, request("system_name", [], id=number))

    assert answer == {"jsonrpc": "2.0", "id": number, "result": "AI Token Node"}
    assert type(answer["id"]) is type(number)


@pytest.mark.parametrize("params", [[], None, [None], [None, None], {}])
async def test_no_parameters_may_be_written_in_many_ways(
    bench: RpcBench, http: aiohttp.ClientSession, params: Any
) -> None:
    assert (await post(bench, http, request("system_name", params)))["result"] == "AI Token Node"


async def test_parameters_may_be_named(bench: RpcBench, http: aiohttp.ClientSession) -> None:
    good = await post(bench, http, request("chain_getBlockHash", {"number": 0}))
    bad = await post(bench, http, request("chain_getBlockHash", {"height": 0}))

    assert good["result"] == "0x" + bench.chain.genesis_hash.hex()
    assert bad["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("body", "code", "number"),
    [
        (b"", -32700, None),
        (b"{", -32700, None),
        (b"nonsense", -32700, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"system_name","params":[NaN]}', -32700, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"system_name","params":["\xff"]}', -32700, 1),
        (b'{"jsonrpc":"2.0","id":1,"method":"system_name","params":["\\ud800"]}', -32700, None),
        (b"\xef\xbb\xbf{}", -32700, None),
        (b"[]", -32600, None),
        (b"1", -32600, None),
        (b'"text"', -32600, None),
        (b"null", -32600, None),
        (b"{}", -32600, None),
        (b'{"jsonrpc":"2.0","id":5}', -32600, 5),
        (b'{"jsonrpc":"1.0","id":5,"method":"system_name"}', -32600, None),
        (b'{"id":5,"method":"system_name"}', -32600, 5),
        (b'{"jsonrpc":"2.0","id":{},"method":"system_name"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":true,"method":"system_name"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":5,"method":7}', -32600, 5),
        (b'{"jsonrpc":"2.0","id":5,"method":"nope"}', -32601, 5),
        (b'{"jsonrpc":"2.0","id":5,"method":"system_name","params":"x"}', -32602, 5),
        (b'{"jsonrpc":"2.0","id":5,"method":"system_name","params":["x"]}', -32602, 5),
        (b'{"jsonrpc":"2.0","id":5,"method":"state_getStorage"}', -32602, 5),
        (b'{"jsonrpc":"2.0","id":5,"method":"state_getStorage","params":["0x0"]}', -32602, 5),
        (b'{"jsonrpc":"2.0","id":5,"method":"state_getStorage","params":["0x 00"]}', -32602, 5),
        (b'{"jsonrpc":"2.0","id":5,"method":"chain_getBlockHash","params":[1e3]}', -32602, 5),
        (b'{"jsonrpc":"2.0","id":5,"method":"chain_getBlockHash","params":[' + b"9" * 5000 + b"]}", -32602, 5),
    ],
)
async def test_what_is_wrong_is_said_with_the_right_code(
    bench: RpcBench, http: aiohttp.ClientSession, body: bytes, code: int, number: Any
) -> None:
    answer = await post(bench, http, body)

    assert answer["error"]["code"] == code
    assert answer["id"] == number
    assert "result" not in answer


async def test_method_not_found_has_exactly_its_text(bench: RpcBench, http: aiohttp.ClientSession) -> None:
    answer = await post(bench, http, request("state_getNothing"))

    assert answer["error"] == {"code": -32601, "message": "Method not found"}


async def test_a_notification_gets_no_answer(bench: RpcBench, http: aiohttp.ClientSession) -> None:
    assert await post(bench, http, b'{"jsonrpc":"2.0","method":"system_name"}') is None
    assert await post(bench, http, b'{"jsonrpc":"2.0","method":"no_such"}') is None
    assert await post(bench, http, b'[{"jsonrpc":"2.0","method":"system_name"}]') is None


async def test_a_batch_is_answered_at_once_errors_included(bench: RpcBench, http: aiohttp.ClientSession) -> None:
    items = [request("system_name", id="a"), b"1", b'{"jsonrpc":"2.0","method":"system_name"}', request("nope", id=2)]

    answer = await post(bench, http, b" [" + b",".join(items) + b"]")

    assert [(each["id"], each.get("error", {}).get("code")) for each in answer] == [
        ("a", None),
        (None, -32600),
        (2, -32601),
    ]


async def test_a_batch_takes_as_many_as_the_limit(bench: RpcBench, http: aiohttp.ClientSession) -> None:
    one = request("system_name")

    full = await post(bench, http, b"[" + b",".join([one] * 100) + b"]")
    over = await post(bench, http, b"[" + b",".join([one] * 101) + b"]")

    assert len(full) == 100
    assert over["error"] == {
        "code": -32010,
        "message": "The batch request was too large",
        "data": "Exceeded max limit of 100",
    }


async def test_subscriptions_need_a_socket(bench: RpcBench, http: aiohttp.ClientSession) -> None:
    for method in ("chain_subscribeNewHeads", "chain_unsubscribeNewHeads", "chainHead_v1_follow"):
        answer = await post(bench, http, request(method, [True] if "follow" in method else []))
        assert answer["error"]["code"] == -32601


async def test_a_subscription_without_an_id_is_not_made(bench: RpcBench, client: RpcClient) -> None:
    await client.socket.send_str('{"jsonrpc":"2.0","method":"chain_subscribeNewHeads"}')

    assert await client.call("system_name") == "AI Token Node"
    assert bench.rpc.server.subscriptions == 0


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 65 + b"1" + b"}" * 65, b"[" * 65 + b"]" * 65])
async def test_deep_nesting_is_refused_before_it_is_decoded(
    bench: RpcBench, http: aiohttp.ClientSession, body: bytes
) -> None:
    assert (await post(bench, http, body))["error"]["code"] == -32700


async def test_too_many_subscriptions_are_refused_with_jsonrpsees_error() -> None:
    async with (
        RpcBench(Limits(subscriptions=2)) as bench,
        aiohttp.ClientSession() as http,
        http.ws_connect(bench.ws) as socket,
    ):
        client = RpcClient(socket)
        for _ in range(2):
            await client.call_until_response("chain_subscribeNewHeads")
        error = await client.call_until_response("chain_subscribeNewHeads")

    assert error["code"] == -32006
    assert error["data"] == "Exceeded max limit of 2"


async def test_an_answer_that_is_too_big_is_replaced_by_an_error() -> None:
    async with RpcBench(Limits(response_bytes=1000)) as bench, aiohttp.ClientSession() as http:
        one = await post(bench, http, request("state_getMetadata"))
        batch = await post(bench, http, b"[" + b",".join([request("system_name")] * 30) + b"]")

    assert (one["error"]["code"], one["id"]) == (-32008, 1)
    assert batch["error"]["code"] == -32011


async def test_expensive_calls_draw_on_a_bucket_and_cheap_ones_do_not() -> None:
    async with RpcBench(Limits(tokens_per_s=1, tokens_burst=20)) as bench, aiohttp.ClientSession() as http:
        codes = []
        for _ in range(4):
            answer = await post(bench, http, request("state_getKeysPaged", ["0x", 1]))
            codes.append(answer.get("error", {}).get("code"))
        cheap = await post(bench, http, request("system_name"))

    assert codes == [None, -32999, -32999, -32999]
    assert cheap["result"] == "AI Token Node"


async def test_a_fault_of_ours_is_an_internal_error_without_details(
    bench: RpcBench, http: aiohttp.ClientSession
) -> None:
    bench.network.peers = None  # type: ignore[method-assign, assignment]

    answer = await post(bench, http, request("system_peers"))

    assert answer["error"] == {"code": -32603, "message": "Internal error"}


async def test_pipelined_requests_are_answered_in_order(client: RpcClient) -> None:
    sent = [await client.send("system_name") for _ in range(50)]

    assert [(await client.next())["id"] for _ in sent] == sent


async def test_a_request_that_waits_for_the_pool_holds_up_nobody(bench: RpcBench, client: RpcClient) -> None:

    bench.pool.gate = asyncio.Event()
    slow = await client.send("author_submitExtrinsic", "0x0102")

    assert await client.call("system_name") == "AI Token Node"
    bench.pool.gate.set()

    assert (await client.next())["id"] == slow


async def test_a_batch_hands_all_its_transactions_to_the_pool_before_it_waits(
    bench: RpcBench, client: RpcClient
) -> None:
    bench.pool.gate = asyncio.Event()
    items = [request("author_submitExtrinsic", [f"0x{number:02x}"], id=number) for number in range(20)]
    await client.socket.send_str((b"[" + b",".join(items) + b"]").decode())

    async with asyncio.timeout(5):
        await bench.until(lambda: len(bench.pool.submitted) == 20)
    bench.pool.gate.set()

    assert bench.pool.submitted == [bytes([number]) for number in range(20)]
    assert [each["id"] for each in await client.next()] == list(range(20))
