"""The short way of plain POSTs and aiohttp's way say the same, whatever a conversation is made of and cut into."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.rpc.posts import Head, read_head
from tests.support.rpc_fakes import RpcBench

BODIES = [
    b'{"jsonrpc":"2.0","id":1,"method":"system_name"}',
    b'{"jsonrpc":"2.0","id":"a","method":"author_submitExtrinsic","params":["0x0c040102"]}',
    b'{"jsonrpc":"2.0","method":"system_name"}',
    b'[{"jsonrpc":"2.0","id":1,"method":"system_name"},{"jsonrpc":"2.0","id":2,"method":"nothing"}]',
    b'{"jsonrpc":"2.0","id":1,"method":"chain_subscribeNewHeads"}',
    b"{",
    b"",
]
ODD = [
    (),
    ("Accept: */*",),
    ("connection: keep-alive",),
    ("Origin: http://evil.example",),
    ("Origin: http://127.0.0.1:1",),
    ("Content-Encoding: gzip",),
    ("Content-Encoding: identity",),
    ("Expect: 100-continue",),
    ("X-Long: " + "x" * 3000,),
    ("User-Agent: \xe9",),
]
LAST = b"PUT / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def post(body: bytes, kind: str, host: str, more: tuple[str, ...], *, chunked: bool) -> bytes:
    framing = "Transfer-Encoding: chunked" if chunked else f"content-length: {len(body)}"
    head = "\r\n".join(["POST /any HTTP/1.1", f"Host: {host}", f"Content-Type: {kind}", framing, *more])
    if chunked:
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    return head.encode("latin-1") + b"\r\n\r\n" + body


posts = st.builds(
    post,
    st.sampled_from(BODIES),
    st.sampled_from(["application/json", "Application/JSON; charset=utf-8", "text/plain"]),
    st.sampled_from(["127.0.0.1:9944", "LOCALHOST", "evil.example"]),
    st.sampled_from(ODD),
    chunked=st.sampled_from([False, False, False, True]),
)
plain = st.builds(post, st.sampled_from(BODIES), st.just("application/json"), st.just("127.0.0.1"), st.just(()),
                  chunked=st.just(False))  # fmt: skip
others = st.sampled_from(
    [b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\n\r\n",
     b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"]
)  # fmt: skip
conversations = st.lists(plain | posts | others, min_size=1, max_size=6)

Served = tuple[asyncio.AbstractEventLoop, RpcBench]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    loop = asyncio.new_event_loop()
    bench = RpcBench()
    loop.run_until_complete(bench.__aenter__())
    yield loop, bench
    loop.run_until_complete(bench.__aexit__())
    loop.close()


def said(served: Served, data: bytes, cuts: list[int]) -> list[tuple[bytes, list[bytes], bytes]]:
    """All answers of a connection: status line, headers without the date, body."""
    loop, bench = served
    bench.pool.known.clear()

    async def talk() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        at = 0
        for cut in [*sorted({cut % len(data) for cut in cuts}), len(data)]:
            writer.write(data[at:cut])
            await writer.drain()
            await asyncio.sleep(0)
            at = cut
        async with asyncio.timeout(10):
            answers = await reader.read()
        writer.close()
        return answers

    rest, answers = loop.run_until_complete(talk()), []
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        status, *headers = head.split(b"\r\n")
        size = next((int(line.split(b":")[1]) for line in headers if line.lower().startswith(b"content-length:")), 0)
        answers.append((status, sorted(line for line in headers if not line.startswith(b"Date:")), rest[:size]))
        rest = rest[size:]
    return answers


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conversations, st.lists(st.integers(0, 10_000), max_size=6))
def test_both_ways_say_the_same(served: Served, conversation: list[bytes], cuts: list[int]) -> None:
    data = b"".join(conversation) + LAST

    short = said(served, data, cuts)
    with patch("node.rpc.posts.read_head", lambda head: None):
        plainly = said(served, data, cuts)

    assert short == plainly
    assert b"405" in short[-1][0]


def test_plain_posts_take_the_short_way_and_answers_keep_their_order(served: Served) -> None:
    before = served[1].rpc.server._posts.answered

    answers = said(served, plain_post(BODIES[1]) + plain_post(BODIES[0]) * 2 + LAST, [])

    assert served[1].rpc.server._posts.answered == before + 3
    assert [b'"id":"a"' in body for _, _, body in answers] == [True, False, False, False]


def plain_post(body: bytes) -> bytes:
    return post(body, "application/json", "localhost", (), chunked=False)


@pytest.mark.parametrize(
    "line",
    [
        "Origin: http://localhost",
        "Transfer-Encoding: chunked",
        "content-length: 1",
        "Content-Type: application/json",
        "Host: localhost",
        "Connection: close",
        "Expect: 100-continue",
        "Content-Encoding: gzip",
        "Upgrade: websocket",
        " folded: line",
        "no colon",
        "Na me: x",
        "x: \x7f",
        "x: \xe9",
    ],
)
def test_what_is_not_plain_is_left_to_aiohttp(line: str) -> None:
    good = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 7"
    assert read_head(good) == Head(7, "localhost")

    assert read_head(good + b"\r\n" + line.encode("latin-1")) is None


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.0\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 7",
        b"POST http://h/ HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 7"[4:],
        b"GET / HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 7",
        b"POST / HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: +7",
        b"POST / HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 07",
        b"POST / HTTP/1.1\r\nhost: h\r\ncontent-type: text/plain\r\ncontent-length: 7",
        b"POST / HTTP/1.1\r\nhost: h\r\ncontent-type: application/json",
        b"POST / HTTP/1.1\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 7",
        b"",
    ],
)
def test_heads_that_could_be_read_in_two_ways_are_left_to_aiohttp(head: bytes) -> None:
    assert read_head(head) is None
