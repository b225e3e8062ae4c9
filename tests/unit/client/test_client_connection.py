"""JSON-RPC over both transports against a node that behaves, and one that does not."""

import asyncio
import socket

import pytest

from aitoken.client import connection
from aitoken.client.connection import connect
from aitoken.client.errors import (
    BadUrl,
    NeedsWebSocket,
    NodeRefused,
    NodeUnavailable,
    RequestTimedOut,
    SubscriptionLagged,
    TransactionRefused,
)
from tests.support.fake_node import FakeNode, Raw, Refusal, Silence, Stream

METHODS = {
    "echo": lambda params: params,
    "big": lambda params: 2**128 - 1,
    "refuse": lambda params: (_ for _ in ()).throw(Refusal(-32602, "Invalid params", "no hex")),
    "author_submitExtrinsic": lambda params: (_ for _ in ()).throw(Refusal(1010, "Invalid Transaction", {"a": 1})),
    "silent": lambda params: Silence(),
    "garbage": lambda params: Raw("}{"),
    "number": lambda params: Raw("5"),
    "shapeless": lambda params: Raw('{"jsonrpc":"2.0","id":1}'),
    "parse_error": lambda params: Raw('{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}'),
    "stranger": lambda params: Raw('{"jsonrpc":"2.0","id":77,"result":0}'),
    "subscribe": lambda params: Stream("a", [1, 2, 3]),
    "subscribe_number": lambda params: Stream(7, ["x"]),
    "subscribe_null": lambda params: Stream(None),
    "subscribe_hang_up": lambda params: Stream("b", [1], hang_up=True),
    "subscribe_many": lambda params: Stream("c", list(range(9))),
    "unsubscribe": lambda params: True,
    "fail_500": lambda params: Raw("500"),
}


@pytest.fixture(params=["ws", "http"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def url_of(node: FakeNode, scheme: str) -> str:
    return node.url if scheme == "ws" else node.http_url


async def test_requests_are_answered_with_exact_integers(scheme: str) -> None:
    async with FakeNode(METHODS) as node:
        link = await connect(url_of(node, scheme))

        assert await link.request("echo", ["a", 1, None]) == ["a", 1, None]
        assert await link.request("big") == 2**128 - 1
        assert node.called("big") == [[]]
        await link.close()


async def test_requests_at_the_same_time_get_their_own_answers(scheme: str) -> None:
    async with FakeNode(METHODS) as node:
        link = await connect(url_of(node, scheme))

        answers = await asyncio.gather(*(link.request("echo", [i]) for i in range(20)))

        assert answers == [[i] for i in range(20)]
        await link.close()


async def test_a_batch_is_one_message_with_results_in_order(scheme: str) -> None:
    async with FakeNode(METHODS) as node:
        link = await connect(url_of(node, scheme))

        assert await link.batch([("echo", [1]), ("big", []), ("echo", [2])]) == [[1], 2**128 - 1, [2]]
        assert node.batches == 1
        with pytest.raises(NodeRefused, match="no hex"):
            await link.batch([("echo", [1]), ("refuse", [])])
        await link.close()


async def test_errors_keep_what_the_node_said(scheme: str) -> None:
    async with FakeNode(METHODS) as node:
        link = await connect(url_of(node, scheme))

        with pytest.raises(NodeRefused) as refused:
            await link.request("refuse")
        assert not isinstance(refused.value, TransactionRefused)
        assert (refused.value.rpc_code, refused.value.rpc_message, refused.value.rpc_data) == (
            -32602,
            "Invalid params",
            "no hex",
        )
        with pytest.raises(TransactionRefused, match="Invalid Transaction") as transaction:
            await link.request("author_submitExtrinsic", ["0x"])
        assert transaction.value.rpc_data == {"a": 1}
        with pytest.raises(NodeRefused, match="Method not found"):
            await link.request("unheard_of")
        await link.close()


async def test_silence_ends_with_a_timeout(scheme: str) -> None:
    async with FakeNode(METHODS) as node:
        link = await connect(url_of(node, scheme), timeout_seconds=0.05)

        with pytest.raises(RequestTimedOut, match=r"silent: no answer within 0\.05 s"):
            await link.request("silent")
        await link.close()


@pytest.mark.parametrize("method", ["garbage", "number", "shapeless"])
async def test_what_is_no_json_rpc_is_unavailable(scheme: str, method: str) -> None:
    async with FakeNode(METHODS) as node:
        link = await connect(url_of(node, scheme), timeout_seconds=2)

        with pytest.raises(NodeUnavailable):
            await link.request(method)
        await link.close()


async def test_http_errors_and_odd_batches_are_unavailable() -> None:
    async with FakeNode(METHODS) as node:
        link = await connect(node.http_url)

        with pytest.raises(NodeUnavailable, match="500"):
            await link.request("fail_500")
        with pytest.raises(NodeRefused, match="Parse error"):
            await link.batch([("parse_error", []), ("echo", [])])
        with pytest.raises(NodeUnavailable, match="one result"):
            await link.batch([("stranger", []), ("echo", [])])
        with pytest.raises(NeedsWebSocket):
            await link.subscribe("subscribe", [], "unsubscribe")
        await link.close()


async def test_huge_answers_are_refused(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MESSAGE_SIZE_MAX", 1000)
    async with FakeNode(METHODS) as node:
        link = await connect(url_of(node, scheme), timeout_seconds=2)

        with pytest.raises(NodeUnavailable):
            await link.request("echo", ["x" * 2000])
        await link.close()


async def test_an_error_without_id_reaches_who_waits() -> None:
    async with FakeNode(METHODS) as node:
        link = await connect(node.url, timeout_seconds=2)

        with pytest.raises(NodeRefused, match="Parse error"):
            await link.request("parse_error")
        await link.close()


async def test_an_answer_nobody_waits_for_is_ignored() -> None:
    async with FakeNode(METHODS) as node:
        link = await connect(node.url, timeout_seconds=0.05)

        with pytest.raises(RequestTimedOut):
            await link.request("stranger")
        assert await link.request("echo", [1]) == [1]
        await link.close()


async def test_a_subscription_misses_nothing_and_is_cancelled() -> None:
    async with FakeNode(METHODS) as node:
        link = await connect(node.url)

        async with await link.subscribe("subscribe", [], "unsubscribe") as news:
            seen = [await anext(news) for _ in range(3)]

        assert seen == [1, 2, 3]
        assert node.called("unsubscribe") == [["a"]]
        with pytest.raises(StopAsyncIteration):
            await anext(news)
        await news.cancel()
        assert len(node.called("unsubscribe")) == 1
        await link.close()


async def test_subscription_ids_may_be_numbers_but_must_be_there() -> None:
    async with FakeNode(METHODS) as node:
        link = await connect(node.url)

        news = await link.subscribe("subscribe_number", [], "unheard_of")
        assert await anext(news) == "x"
        await news.cancel()  # the node's refusal does not matter any more
        with pytest.raises(NodeUnavailable, match="no subscription id"):
            await link.subscribe("subscribe_null", [], "unsubscribe")
        await link.close()


async def test_a_slow_reader_gets_what_was_queued_and_then_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "NOTIFICATIONS_MAX", 4)
    async with FakeNode(METHODS) as node:
        link = await connect(node.url)
        news = await link.subscribe("subscribe_many", [], "unsubscribe")
        await link.request("echo")  # everything sent before has been read now

        assert [await anext(news) for _ in range(4)] == [0, 1, 2, 3]
        with pytest.raises(SubscriptionLagged):
            await anext(news)
        with pytest.raises(SubscriptionLagged):
            await anext(news)
        await link.close()


async def test_a_broken_connection_reaches_everybody() -> None:
    async with FakeNode(METHODS) as node:
        link = await connect(node.url)
        waiting = asyncio.ensure_future(link.request("silent"))
        news = await link.subscribe("subscribe_hang_up", [], "unsubscribe")

        assert await anext(news) == 1
        with pytest.raises(NodeUnavailable, match="closed"):
            await anext(news)
        with pytest.raises(NodeUnavailable, match="closed"):
            await waiting
        with pytest.raises(NodeUnavailable, match="closed"):
            await link.request("echo")
        await news.cancel()
        await link.close()


async def test_closing_reaches_everybody_and_may_be_repeated() -> None:
    async with FakeNode(METHODS) as node:
        link = await connect(node.url)
        waiting = asyncio.ensure_future(link.request("silent"))
        news = await link.subscribe("subscribe", [], "unsubscribe")
        await link.request("echo")
        await link.close()

        with pytest.raises(NodeUnavailable):
            await waiting
        assert [await anext(news) for _ in range(3)] == [1, 2, 3]
        with pytest.raises(NodeUnavailable):
            await anext(news)
        await link.close()


async def test_nobody_there() -> None:
    async with FakeNode(METHODS) as node:
        url, http_url = node.url, node.http_url

    with pytest.raises(NodeUnavailable, match="no node at"):
        await connect(url)
    link = await connect(http_url)
    with pytest.raises(NodeUnavailable, match="no node at"):
        await link.request("echo")
    await link.close()


@pytest.mark.parametrize("url", ["", "127.0.0.1:9944", "ftp://node", "file:///etc/passwd"])
async def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(BadUrl):
        await connect(url)


async def test_a_server_without_websocket_is_no_node() -> None:
    async with FakeNode(METHODS) as node:
        with pytest.raises(NodeUnavailable):
            await connect(node.url + "/elsewhere")
        with pytest.raises(NodeUnavailable):
            await connect("ws://")


async def test_a_connection_that_breaks_below_us(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeNode(METHODS) as node:
        link = await connect(node.url)

        async def broken(text: str) -> None:
            raise ConnectionResetError("Cannot write to closing transport")

        monkeypatch.setattr(link._socket, "send_str", broken)  # type: ignore[attr-defined]
        with pytest.raises(NodeUnavailable, match="closing transport"):
            await link.request("echo")
        await link.close()


async def test_reading_fails_below_us(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeNode(METHODS) as node:
        link = await connect(node.url)
        waiting = asyncio.ensure_future(link.request("silent"))
        await asyncio.sleep(0)

        link._reader.cancel()  # type: ignore[attr-defined]

        with pytest.raises(NodeUnavailable):
            await waiting
        await link.close()


async def test_a_frame_that_is_no_json_rpc_object_ends_the_connection() -> None:
    async with FakeNode({**METHODS, "list": lambda params: Raw("[1]")}) as node:
        link = await connect(node.url, timeout_seconds=2)

        with pytest.raises(NodeUnavailable, match="does not speak"):
            await link.request("list")
        await link.close()


async def test_giving_up_while_connecting_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections, never reads
        url = f"ws://127.0.0.1:{deaf.getsockname()[1]}"

        with pytest.raises(NodeUnavailable, match="in time"):
            await connect(url, timeout_seconds=0.05)
        attempt = asyncio.ensure_future(connect(url))
        await asyncio.sleep(0)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
