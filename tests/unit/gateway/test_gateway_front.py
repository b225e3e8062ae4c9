"""What the gateway reads and writes itself is, byte for byte, what aiohttp's server and the rooms would make of it."""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.types import Moment
from gateway.front import HEAD_MAX, QUICK_BODY_MAX
from gateway.head import read_head
from gateway.reply import Reply
from tests.support.gateways import FakeClock, Gate, Shop, chat_answer, shop

CHAT = "/v1/chat/completions"
LINE = f"POST {CHAT} HTTP/1.1"
HELLO = {"model": "echo", "messages": [{"role": "user", "content": "hello paid world"}], "max_tokens": 7}
DATE = re.compile(rb"Date: [^\r]*")
END = b"GET /healthz HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"


def raw(body: bytes, *fields: str, path: str = CHAT, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: shop.example:81", *fields, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# ------------------------------------------------------------------------------------------------- the same answers

BODIES: tuple[Any, ...] = (
    HELLO, {**HELLO, "model": "nobody"}, {**HELLO, "stream": True}, {**HELLO, "messages": []}, {**HELLO, "n": 3},
    {**HELLO, "max_tokens": 900}, {"model": "echo"}, [],
    {**HELLO, "messages": [{"role": "user", "content": "ü" * 400}]},
)  # fmt: skip
FIELDS = (
    "Content-Type: application/json", "content-type:application/json; charset=utf-8", "Content-Type: text/plain",
    "Connection: keep-alive", "Accept: */*", "X-Note:", "X-Note:  spaces  ", "AI-Max-Cost: 9000", "AI-Max-Cost: much",
    "Idempotency-Key: once", "Content-Encoding: identity", "Expect: 100-continue", "X-Far: " + "a" * 9000,
    "X-Tab: a\tb", "AI-Voucher: AAAA", "Authorization: Payment e30", "Authorization: Bearer x", "Idempotency-Key: a b",
    "PAYMENT-SIGNATURE: e30=",
)  # fmt: skip
LAST = (
    b"", b"BREW /tea HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n",
    b"GET /v1/models HTTP/1.0\r\n\r\n",
    b"POST " + CHAT.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n{",
    b"POST " + CHAT.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + END,
)  # fmt: skip


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[str, bytes, list[str]]]:
    """Requests: what pays for them, their bodies, further headers."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        pays = draw(st.sampled_from(("voucher", "voucher", "voucher", "nothing", "stranger", "status", "models")))
        body = msgspec.json.encode(draw(st.sampled_from(BODIES)))
        if draw(st.integers(0, 9)) == 0:
            body = draw(st.binary(max_size=40))
        fields = draw(st.lists(st.sampled_from(FIELDS), max_size=3, unique_by=lambda field: field[:9].lower()))
        if not any(field.lower().startswith("content-type") for field in fields) and draw(st.integers(0, 5)):
            fields.append("Content-Type: application/json")
        found.append((pays, body, fields))
    return found


async def spoken(here: Shop, wanted: list[tuple[str, bytes, list[str]]]) -> list[bytes]:
    """The requests as bytes, each paid from a lane of its own."""
    buyer, requests = here.buyer(), []
    await here.gateway.sessions.find(buyer.id)
    for pays, body, fields in wanted:
        if pays == "status":
            requests.append(raw(b"", path="/.well-known/aitp/status", method="GET"))
        elif pays == "models":
            requests.append(raw(b"", path="/v1/models?of=all", method="GET"))
        elif pays == "nothing":
            requests.append(raw(body, *fields))
        else:
            voucher = buyer.headers(buyer.promise(10**9))["AI-Voucher"]
            if pays == "stranger":
                voucher = voucher[:-20] + ("A" if voucher[-20] != "A" else "B") + voucher[-19:]
            requests.append(raw(body, f"AI-Voucher: {voucher}", *fields))
    return requests


async def say(port: int, pieces: list[bytes]) -> bytes:
    """Send bytes, and return all that comes back until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        while piece := await reader.read(1 << 16):
            answer += piece
    except ConnectionError:
        pass  # it was closed with something unread
    finally:
        writer.close()
    return DATE.sub(b"", answer)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % len(data) for place in places}), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


class StoppedClock(FakeClock):
    """Both ways may look at it as often as they like."""

    def now(self) -> Moment:
        return self.moment


async def both(
    wanted: list[tuple[str, bytes, list[str]]], places: list[int], last: bytes
) -> tuple[bytes, bytes, int, int]:
    """What the gateway answers, and what it answers when aiohttp's server reads and writes all."""
    answers, quick = [], []
    for line in (LINE, ""):
        with TemporaryDirectory() as folder:
            async with shop(Path(folder), clock=StoppedClock()) as here:
                front = here.gateway.front
                assert front is not None
                front.line = line
                pieces = cut(b"".join([*await spoken(here, wanted), last or END]), places)
                answers.append(await asyncio.wait_for(say(here.gateway.port, pieces), 60))
                quick.append(here.gateway.straight.served)
    return answers[0], answers[1], quick[0], quick[1]


@settings(max_examples=15)
@given(conversations(), st.lists(st.integers(0, 1 << 16), max_size=5), st.sampled_from(LAST))
def test_both_ways_in_give_the_same_bytes(
    wanted: list[tuple[str, bytes, list[str]]], places: list[int], last: bytes
) -> None:
    ours, reference, _, none = asyncio.run(both(wanted, places, last))
    assert none == 0
    assert ours == reference


def test_what_is_plain_is_served_here_and_the_rest_is_not() -> None:
    json = ["Content-Type: application/json"]
    body = msgspec.json.encode(HELLO)
    wanted = [
        ("voucher", body, json), ("nothing", body, json),
        ("voucher", msgspec.json.encode({**HELLO, "stream": True}), json),
        ("status", b"", []), ("voucher", body, [*json, "Content-Encoding: identity"]), ("voucher", body, json),
    ]  # fmt: skip
    ours, reference, quick, _ = asyncio.run(both(wanted, [], b""))
    assert ours == reference
    assert quick == 2
    assert ours.count(b"HTTP/1.1 200 OK") == 6
    assert ours.count(b"AI-Receipt: ") == 3


# ------------------------------------------------------------------------------------------------- framing

GOOD = f"{LINE}\r\nHost: a\r\nContent-Type: application/json\r\nAI-Voucher: v\r\nContent-Length: 12"


def test_a_plain_request_is_read() -> None:
    head = read_head((GOOD + "\r\nX: y\r\nIdempotency-key:  a b \r\nAuthorization: Bearer x").encode(), LINE)
    assert head is not None
    assert (head.usual, head.length, head.voucher, head.key) == (True, 12, "v", "a b")


@pytest.mark.parametrize(
    "more",
    ["Transfer-Encoding: chunked", "Content-Length: 12", "Content-Length: 13", "Upgrade: h2c", " folded: a", "a b: c",
     ": c", "no colon", "a: b\x00", "a: b\nc: d", "a: b\rc", "a\t: b", "a: \xe4"],
)  # fmt: skip
def test_what_can_be_framed_in_two_ways_is_not_read(more: str) -> None:
    assert read_head(f"{GOOD}\r\n{more}".encode(), LINE) is None


@pytest.mark.parametrize("length", ["-1", "+1", "1_0", "0x1", "", "1 2", "01", "12345678901"])
def test_odd_lengths_are_not_read(length: str) -> None:
    assert read_head(GOOD.replace("12", length).encode(), LINE) is None


@pytest.mark.parametrize(
    "change",
    [("Host: a", "Host: a\r\nHost: b"), ("Host: a", "X: a"), ("Host: a", "Host:"), ("/json", "/xml"),
     ("POST", "PUT"), ("completions", "completions?a=1"), ("Host", "Expect: 100-continue\r\nHost"),
     ("Host", "Connection: close\r\nHost"), ("Host", "Content-Encoding: gzip\r\nHost"), ("AI-Voucher", "Voucher"),
     ("AI-Voucher: v", "AI-Voucher:"), ("AI-Voucher", "AI-Voucher: w\r\nAI-Voucher"),
     ("Host", "Idempotency-Key:\r\nHost"), ("Host", "AI-Max-Cost: 9\r\nHost"), ("Host", "AI-Quote: q\r\nHost"),
     ("Host", "AI-Window: 9\r\nHost"), ("Host", "payment-signature: e30\r\nHost"),
     ("Host", "Authorization: payment e30\r\nHost")],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_aiohttp(change: tuple[str, str]) -> None:
    head = read_head(GOOD.replace(*change).encode(), LINE)
    assert head is not None
    assert not head.usual


def test_what_is_longer_than_a_head_may_be_is_left_to_aiohttp() -> None:
    many = "".join(f"\r\nX-{number}: {'a' * 1000}" for number in range(90))
    assert len(many) > HEAD_MAX

    async def ask(head: str) -> bytes:
        with TemporaryDirectory() as folder:
            async with shop(Path(folder)) as here:
                return await say(here.gateway.port, [head.encode() + b"\r\n\r\n" + b"{}".rjust(12) + END])

    assert asyncio.run(ask(GOOD + many)).startswith(b"HTTP/1.1 ")


def test_a_long_body_is_served_all_the_same() -> None:
    body = msgspec.json.encode({**HELLO, "note": "x" * (QUICK_BODY_MAX + 1)})
    json = ["Content-Type: application/json"]
    wanted = [("voucher", body, json), ("voucher", msgspec.json.encode(HELLO), json)]
    ours, reference, quick, _ = asyncio.run(both(wanted, [70_000, 140_000, 200_000], b""))
    assert ours == reference
    assert quick == 1
    assert ours.count(b"AI-Receipt: ") == 2


def test_a_line_break_in_a_header_never_leaves() -> None:
    from aitoken.errors import Bug

    for value in ("a\r\nb: c", "a\nb", "a\rb"):
        with pytest.raises(Bug):
            Reply(200, b"", {"A": value}).render()


# ------------------------------------------------------------------------------------------------- ends


async def test_who_goes_away_meanwhile_is_hung_up_on(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        gate = Gate()
        here.script.play(gate, chat_answer("late"))
        buyer = here.buyer()
        voucher = buyer.headers(buyer.promise(10**9))["AI-Voucher"]
        body = msgspec.json.encode({**HELLO, "model": "script"})
        _, writer = await asyncio.open_connection("127.0.0.1", here.gateway.port)
        writer.write(raw(body, f"AI-Voucher: {voucher}", "Content-Type: application/json"))
        await gate.reached.wait()
        writer.close()
        await asyncio.wait_for(here.script.ended.wait(), 30)
        assert here.script.hung_up == 1
        assert (buyer.seller.lanes[0].busy, buyer.seller.lanes[0].seq) == (False, 1)


async def test_what_is_served_is_answered_before_the_gateway_stops(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        gate = Gate()
        here.script.play(gate, chat_answer("late"))
        buyer = here.buyer()
        voucher = buyer.headers(buyer.promise(10**9))["AI-Voucher"]
        body = msgspec.json.encode({**HELLO, "model": "script"})
        request = raw(body, f"AI-Voucher: {voucher}", "Content-Type: application/json")
        front = here.gateway.front
        assert front is not None

        async def answered() -> None:
            await gate.reached.wait()
            asyncio.get_running_loop().call_soon(gate.open)
            await front.stop(60)

        answer, _ = await asyncio.gather(say(here.gateway.port, [request + END]), answered())
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.count(b"HTTP/1.1") == 1
