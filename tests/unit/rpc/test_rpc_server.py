"""The network face: what gets in, what is refused, what is cut; raw sockets where a client library is too polite."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
import pytest

from node.rpc.limits import MIB, Limits
from node.telemetry.metrics import Metrics
from tests.support.rpc_fakes import RpcBench, RpcClient

NAME = b'{"jsonrpc":"2.0","id":1,"method":"system_name"}'
JSON = {"content-type": "application/json"}


Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[RpcBench], Awaitable[Wire]]


@pytest.fixture
async def raw() -> AsyncIterator[Dial]:
    """Opens bare connections and closes them at the end."""
    wires: list[Wire] = []

    async def dial(bench: RpcBench) -> Wire:
        wires.append(await asyncio.open_connection("127.0.0.1", bench.port))
        return wires[-1]

    yield dial
    for _, writer in wires:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def head(length: int | None = len(NAME), **headers: str) -> bytes:
    lines = {"Host": "127.0.0.1", "Content-Type": "application/json", **headers}
    if length is not None:
        lines["Content-Length"] = str(length)
    return b"POST / HTTP/1.1\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in lines.items()) + b"\r\n"


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Read to the end; the server must end it."""
    async with asyncio.timeout(5):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def status(bench: RpcBench, **how: Any) -> int:
    async with aiohttp.ClientSession() as http:
        method = how.pop("method", "POST")
        async with http.request(method, bench.http + how.pop("path", ""), **{"data": NAME, **how}) as response:
            return response.status


# -- what is answered


async def test_posts_of_json_are_answered_whatever_the_path(bench: RpcBench) -> None:
    for content_type in ("application/json", "application/json; charset=utf-8", "Application/JSON"):
        assert await status(bench, path="/any/path", headers={"content-type": content_type}) == 200


async def test_other_methods_and_content_types_are_refused(bench: RpcBench) -> None:
    assert await status(bench, method="PUT", headers=JSON) == 405
    assert await status(bench, method="GET", data=None) == 405
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""):
        assert await status(bench, headers={"content-type": content_type}) == 415


async def test_encoded_bodies_are_refused_undecoded(bench: RpcBench) -> None:
    bomb = gzip.compress(bytes(20 * MIB))

    assert await status(bench, data=bomb, headers={**JSON, "content-encoding": "gzip"}) == 415


async def test_one_connection_serves_many_requests(raw: Dial, bench: RpcBench) -> None:
    reader, writer = await raw(bench)
    writer.write((head() + NAME) * 3)

    for _ in range(3):
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        assert b"AI Token Node" in await reader.readexactly(49)


async def test_health_and_metrics_are_pages(bench: RpcBench) -> None:
    async with RpcBench(metrics=Metrics()) as measured, aiohttp.ClientSession() as http:
        async with http.get(measured.http + "/health") as response:
            assert response.status == 200
            assert (await response.json())["isSyncing"] is False
        await http.post(measured.http, data=NAME, headers=JSON)
        async with http.get(measured.http + "/metrics") as response:
            text = await response.text()
        measured.network.syncing = True
        assert (await http.get(measured.http + "/health")).status == 503

    assert 'aitoken_rpc_calls_total{method="system_name",outcome="ok"} 1.0' in text
    assert "aitoken_rpc_connections 1.0" in text


async def test_the_claim_page_runs_its_own_files_and_asks_its_own_node_alone(bench: RpcBench) -> None:
    async with aiohttp.ClientSession() as http:
        found = {}
        for path in ("", "/page.css", "/page.js", "/codes.js", "/words.txt"):
            async with http.get(f"{bench.http}/claim{path}") as response:
                found[path] = await response.text()
                assert response.status == 200
                assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
                assert response.headers["Cache-Control"] == "no-store"
        async with http.get(f"{bench.http}/claim/../claim_page.py") as response:
            assert response.status == 405
        async with http.post(f"{bench.http}/claim", data=NAME, headers=JSON | {"Origin": bench.http}) as response:
            assert (await response.json())["result"] == "AI Token Node"

    assert found["/words.txt"].count("\n") == 2047
    named = re.findall(r'(?:src|href)="([^"]*)"', found[""])
    assert sorted(named) == ["claim/page.css", "claim/page.js"]
    assert not re.search(r"<script(?![^>]* src=)|<style| on[a-z]+=| style=", found[""]), "nothing inline"
    assert sum(map(len, found.values())) < 40_000, "loads over a slow line"


async def test_an_unknown_method_is_counted_under_one_label() -> None:
    metrics = Metrics()
    async with RpcBench(metrics=metrics) as measured:
        for number in range(3):
            body = b'{"jsonrpc":"2.0","id":1,"method":"made_up_%d"}' % number
            assert await status(measured, data=body, headers=JSON) == 200

    assert b'aitoken_rpc_calls_total{method="unknown",outcome="error"} 3.0' in metrics.render()


# -- who may ask


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:3000", True),
        ("HTTP://LOCALHOST:3000", True),
        ("https://wallet.example", True),
        ("https://wallet.example:443", True),
        ("https://wallet.example:444", False),
        ("https://wallet.example.evil.example", False),
        ("http://wallet.example", False),
        ("https://evil.example", False),
        ("http://localhost.evil.example:3000", False),
        ("null", False),
        ("file://", False),
        ("", False),
    ],
)
async def test_only_listed_pages_get_in_by_http_and_socket(origin: str, allowed: bool) -> None:
    settings = {"origins": ("http://localhost:*", "https://wallet.example")}
    async with RpcBench(**settings) as bench, aiohttp.ClientSession() as http:
        async with http.post(bench.http, data=NAME, headers={**JSON, "Origin": origin}) as response:
            assert response.status == (200 if allowed else 403)
            assert response.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
        refused = contextlib.nullcontext() if allowed else pytest.raises(aiohttp.WSServerHandshakeError, match="403")
        with refused:
            async with http.ws_connect(bench.ws, headers={"Origin": origin}) as socket:
                assert await RpcClient(socket).call("system_name") == "AI Token Node"


async def test_a_preflight_is_answered_for_listed_pages_only() -> None:
    async with RpcBench(origins=("https://wallet.example",)) as bench, aiohttp.ClientSession() as http:
        headers = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        async with http.options(bench.http, headers={**headers, "Origin": "https://wallet.example"}) as response:
            assert response.status == 200
            assert response.headers["Access-Control-Allow-Origin"] == "https://wallet.example"
            assert "POST" in response.headers["Access-Control-Allow-Methods"]
            assert "content-type" in response.headers["Access-Control-Allow-Headers"]
        async with http.options(bench.http, headers={**headers, "Origin": "https://evil.example"}) as response:
            assert response.status == 403


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:9944", True),
        ("LocalHost:1", True),
        ("[::1]:9944", True),
        ("node.example", True),
        ("evil.example", False),
        ("evil.example:9944", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("localhost/x", False),
        ("", False),
    ],
)
async def test_only_own_names_are_answered(raw: Dial, host: str, allowed: bool) -> None:
    async with RpcBench(hosts=("node.example",)) as bench:
        reader, writer = await raw(bench)
        writer.write(head(Host=host, Connection="close") + NAME)
        answer = await ended(reader)

    assert (b" 200 " in answer) == allowed
    if not allowed:
        assert b" 403 " in answer or b" 400 " in answer


async def test_a_client_that_names_the_nodes_own_address_as_origin_gets_in(bench: RpcBench) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.ws_connect(bench.ws, headers={"Origin": bench.http}) as socket:
            assert await RpcClient(socket).call("system_name") == "AI Token Node"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(bench.ws, headers={"Origin": "http://127.0.0.1:1"})


# -- too much


async def test_a_body_that_is_announced_too_large_is_not_read(raw: Dial) -> None:
    async with RpcBench(Limits(request_bytes=1000)) as bench:
        reader, writer = await raw(bench)
        writer.write(head(1001))
        answer = await ended(reader)

    assert b" 413 " in answer
    assert b"-32007" in answer


async def test_a_body_that_turns_out_too_large_is_given_up(raw: Dial) -> None:
    async with RpcBench(Limits(request_bytes=1000)) as bench:
        reader, writer = await raw(bench)
        writer.write(head(None, **{"Transfer-Encoding": "chunked"}))
        writer.write(b"1f4\r\n" + b" " * 500 + b"\r\n")
        writer.write(b"1f5\r\n" + b" " * 501 + b"\r\n")
        answer = await ended(reader)

    assert b" 413 " in answer


async def test_a_message_that_is_too_large_closes_the_socket() -> None:
    async with (
        RpcBench(Limits(request_bytes=1000)) as bench,
        aiohttp.ClientSession() as http,
        http.ws_connect(bench.ws) as socket,
    ):
        await socket.send_str(" " * 1001)
        message = await socket.receive()

    assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


async def test_a_text_frame_that_is_not_utf8_closes_the_socket(bench: RpcBench) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(bench.ws) as socket:
        await socket.send_frame(b"\xff\xfe", aiohttp.WSMsgType.TEXT)
        message = await socket.receive()

    assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


async def test_binary_frames_are_read_like_text(bench: RpcBench) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(bench.ws) as socket:
        await socket.send_bytes(NAME)

        assert msgspec.json.decode(await socket.receive_str())["result"] == "AI Token Node"


async def test_compression_is_not_negotiated(bench: RpcBench) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(bench.ws, compress=15) as socket:
        assert socket.compress == 0


@pytest.mark.parametrize("junk", [b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n", b"POST / HTTP/1.1\r\nA" + b"x" * 70_000])
async def test_what_is_no_http_is_refused_and_ended(raw: Dial, bench: RpcBench, junk: bytes) -> None:
    reader, writer = await raw(bench)
    writer.write(junk + b"\r\n\r\n")

    answer = await ended(reader)

    assert b" 200 " not in answer


async def test_what_comes_while_a_post_waits_for_the_pool_is_not_read_beyond_some_bytes(
    raw: Dial, bench: RpcBench
) -> None:
    bench.pool.gate = asyncio.Event()
    submit = b'{"jsonrpc":"2.0","id":1,"method":"author_submitExtrinsic","params":["0x0c040102"]}'
    reader, writer = await raw(bench)
    writer.write(head(len(submit)) + submit)
    async with asyncio.timeout(5):
        await bench.until(lambda: bench.pool.submitted)
    count = MIB // (len(head()) + len(NAME))
    writer.write((head() + NAME) * count)
    door = bench.rpc.server.door
    guest: Any = next(iter(door._inside)) if door is not None else None
    async with asyncio.timeout(5):
        await bench.until(lambda: guest._buffer_paused)
    assert len(guest._rest) < MIB
    bench.pool.gate.set()

    async with asyncio.timeout(20):
        for _ in range(count + 1):
            answer = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(answer.partition(b"Content-Length: ")[2].partition(b"\r")[0]))
    assert bench.rpc.server._posts.answered == count + 1


async def test_who_asks_one_thing_does_not_wait_for_all_that_others_have_asked(
    raw: Dial, bench: RpcBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.rpc.turn.SHARE_S", 0.0)
    served: list[int] = []
    dispatcher = bench.rpc.server._dispatcher
    process = dispatcher.process

    def note(data: bytes, caller: Any) -> Any:
        served.append(1 if b'"id":1,' in data else 2)
        return process(data, caller)

    monkeypatch.setattr(dispatcher, "process", note)
    crowd, single = await raw(bench), await raw(bench)
    other = NAME.replace(b'"id":1', b'"id":2')
    crowd[1].write((head() + NAME) * 200)
    single[1].write(head() + other)
    await crowd[1].drain()
    await single[1].drain()

    async with asyncio.timeout(5):
        await bench.until(lambda: len(served) == 201)

    assert served.index(2) < 100, "one of the many a turn"


# -- too slow


async def test_headers_that_do_not_come_are_not_waited_for(raw: Dial) -> None:
    async with RpcBench(Limits(header_s=0.05)) as bench:
        reader, writer = await raw(bench)
        writer.write(b"POST / HTTP/1.1\r\nHost: 127.0")

        assert await ended(reader) == b""


async def test_a_connection_that_says_nothing_is_cut(raw: Dial) -> None:
    async with RpcBench(Limits(header_s=0.05)) as bench:
        reader, _ = await raw(bench)

        assert await ended(reader) == b""
        assert len(bench.rpc.server.door or ()) == 0


async def test_a_body_that_does_not_come_is_not_waited_for(raw: Dial) -> None:
    async with RpcBench(Limits(body_s=0.05)) as bench:
        reader, writer = await raw(bench)
        writer.write(head(100) + b"{")
        answer = await ended(reader)

    assert b" 408 " in answer


async def test_an_idle_connection_is_closed(raw: Dial) -> None:
    async with RpcBench(Limits(idle_s=0.05)) as bench:
        reader, writer = await raw(bench)
        writer.write(head() + NAME)
        answer = await ended(reader)

    assert answer.count(b" 200 ") == 1


async def test_an_answer_nobody_reads_is_given_up(raw: Dial) -> None:
    async with RpcBench(Limits(write_s=0.1)) as bench:
        big = bench.chain.grow(changes={b"big": bytes(4 * MIB)})
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "state_getStorage", "params": ["0x626967"]})
        _, writer = await raw(bench)
        writer.write(head(len(body)) + body)
        door = bench.rpc.server.door
        async with asyncio.timeout(5):
            await bench.until(lambda: door is not None and len(door) == 0)

    assert big.number == 1


async def test_a_subscriber_that_does_not_read_is_cut_and_forgotten() -> None:
    async with RpcBench(Limits(notifications_pending=8)) as bench:
        patience = aiohttp.ClientWSTimeout(ws_close=0.05)
        async with aiohttp.ClientSession() as http, http.ws_connect(bench.ws, timeout=patience) as socket:
            client = RpcClient(socket)
            await client.call("state_subscribeStorage", ["0x626967"])
            transport = socket._response.connection.transport
            transport.pause_reading()
            for number in range(40):
                bench.chain.grow(changes={b"big": bytes([number]) * MIB})
                if bench.rpc.server.cut_count:
                    break
                await asyncio.sleep(0)
            async with asyncio.timeout(5):
                await bench.until(lambda: bench.rpc.server.sockets == 0)

        assert bench.rpc.server.cut_count == 1
        assert len(bench.rpc.feed.storage) == 0


async def test_a_caller_that_does_not_read_its_answers_is_not_read_from() -> None:
    async with RpcBench(Limits(outgoing_bytes=MIB)) as bench:
        bench.chain.grow(changes={b"big": bytes(MIB)})
        async with aiohttp.ClientSession() as http, http.ws_connect(bench.ws, max_msg_size=0) as socket:
            client = RpcClient(socket)
            transport = socket._response.connection.transport
            transport.pause_reading()
            sent = [await client.send("state_getStorage", "0x626967") for _ in range(20)]
            async with asyncio.timeout(5):
                session = next(iter(bench.rpc.server._sockets.values()))
                await bench.until(lambda: not session.out._room.is_set())
            held = session.out.unread
            transport.resume_reading()

            assert [(await client.next())["id"] for _ in sent] == sent

        assert held <= 5 * MIB


async def test_a_caller_that_hangs_up_before_the_answer_leaves_no_page_in_the_log(
    bench: RpcBench, raw: Dial, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def gone(*_: Any) -> None:
        raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")

    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    request = head(None, **headers, **{"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}).replace(b"POST", b"GET")
    reader, writer = await raw(bench)
    with monkeypatch.context() as patched:
        patched.setattr("aiohttp.web.StreamResponse._start", gone)
        writer.write(request)
        await ended(reader)

    assert [record.name for record in caplog.records if record.name == "node.rpc.http"] == []
    assert await status(bench, headers=JSON) == 200


# -- too many


async def test_an_address_gets_so_many_connections_and_the_silent_make_room(raw: Dial) -> None:
    async with RpcBench(Limits(connections_per_address=3)) as bench:
        speaking = await raw(bench)
        speaking[1].write(head() + NAME)
        await speaking[0].readuntil(b"\r\n\r\n")
        silent = [await raw(bench) for _ in range(2)]
        late = await raw(bench)
        late[1].write(head() + NAME)

        assert await ended(silent[0][0]) == b""
        assert b" 200 " in await late[0].readuntil(b"\r\n\r\n")
        speaking[1].write(head() + NAME)
        await speaking[0].readexactly(49)
        assert b" 200 " in await speaking[0].readuntil(b"\r\n\r\n")
        assert bench.rpc.server.door is not None
        assert bench.rpc.server.door.turned_away == 1


async def test_when_all_places_are_used_a_newcomer_is_turned_away() -> None:
    async with RpcBench(Limits(connections=2)) as bench, aiohttp.ClientSession() as http:
        sockets = [await http.ws_connect(bench.ws) for _ in range(2)]
        with pytest.raises(aiohttp.ClientError):
            await http.ws_connect(bench.ws)

        assert await RpcClient(sockets[0]).call("system_name") == "AI Token Node"
        await sockets[1].close()
        async with asyncio.timeout(5):
            await bench.until(lambda: bench.rpc.server.sockets == 1)
            door = bench.rpc.server.door
            await bench.until(lambda: door is not None and len(door) == 1)
        async with http.ws_connect(bench.ws) as again:
            assert await RpcClient(again).call("system_name") == "AI Token Node"
        await sockets[0].close()


# -- the end


async def test_closing_says_goodbye_to_sockets_and_frees_the_port() -> None:
    async with aiohttp.ClientSession() as http:
        async with RpcBench() as bench:
            socket = await http.ws_connect(bench.ws)
            await RpcClient(socket).call_until_response("chain_subscribeNewHeads")
            await bench.rpc.close()
            kinds = [(await socket.receive()).type for _ in range(2)]
            port = bench.port
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", port)

    assert aiohttp.WSMsgType.CLOSE in kinds or aiohttp.WSMsgType.CLOSED in kinds


async def test_a_socket_that_does_not_answer_pings_is_cut() -> None:
    async with (
        RpcBench(Limits(ping_s=0.1)) as bench,
        aiohttp.ClientSession() as http,
        http.ws_connect(bench.ws, autoping=False) as mute,
        http.ws_connect(bench.ws) as polite,
    ):
        assert (await mute.receive()).type is aiohttp.WSMsgType.PING
        listening = asyncio.ensure_future(polite.receive())
        async with asyncio.timeout(5):
            await bench.until(lambda: bench.rpc.server.sockets == 1)
        await polite.send_bytes(NAME)
        assert msgspec.json.decode((await listening).data)["result"] == "AI Token Node"
