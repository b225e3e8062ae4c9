"""Every endpoint is paid, with the built-in models, whole and flowing; and an upstream over HTTP."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from aitoken.pay.layouts import Status
from aitoken.pay.units import EMBEDDING_VECTOR, GUARD_UNIT, IMAGE
from aitoken.types import Hash32
from gateway.catalogue import BadPrices, catalogue_of, read_catalogue
from gateway.store import StoreUnusable, open_store
from gateway.upstreams.builtin import noise, walk
from gateway.upstreams.http import HttpUpstream
from tests.support.gateways import PRICES, shop

IN, OUT = 1000, 2000
TEXT = [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "abcd efgh"}]}),
    ("/v1/completions", {"prompt": "abcd efgh", "max_tokens": 9}),
    ("/v1/responses", {"input": "abcd efgh"}),
    ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_text", "text": "abcd efgh"}]}]}),
    ("/v1/messages", {"messages": [{"role": "user", "content": "abcd efgh"}], "max_tokens": 9}),
]


@pytest.mark.parametrize("flows", [False, True])
@pytest.mark.parametrize(("path", "body"), TEXT)
async def test_text_is_paid_alike_through_every_api(
    tmp_path: Path, path: str, body: dict[str, Any], flows: bool
) -> None:
    async with shop(tmp_path) as here:
        reply = await here.buyer().ask({"model": "echo", "stream": flows, **body}, path=path)

        assert reply.status == 200, reply.body
        assert reply.receipt is not None
        assert (reply.receipt.status, reply.receipt.usage) == (Status.OK, ((1, 2), (2, 2)))
        assert reply.receipt.charge == 2 * IN + 2 * OUT
        if flows:
            assert reply.events[-1].data == "[DONE]" or reply.events[-1].name == "aitp.receipt"
        else:
            assert reply.json["usage"]["cost"] == "0.000000006000"


async def test_what_is_not_text_is_paid_by_what_came(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        cases = [
            ("/v1/embeddings", {"input": ["a", "b"]}, EMBEDDING_VECTOR, 2),
            ("/v1/images/generations", {"prompt": "a", "n": 2, "size": "16x16"}, IMAGE, 2),
            ("/v1/moderations", {"input": ["fine", "hate"]}, GUARD_UNIT, 2),
        ]
        for path, body, unit, count in cases:
            reply = await here.buyer(book=4).ask({"model": "echo", **body}, 10**12, path=path)
            assert reply.status == 200, reply.body
            assert reply.receipt is not None
            assert dict(reply.receipt.usage)[unit] == count
            assert reply.json["usage"]["cost_currency"] == "AIT"
        assert [result["flagged"] for result in reply.json["results"]] == [False, True]


async def test_a_paused_conversation_is_cut_at_its_limit(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        body = {"model": "echo", "messages": [{"role": "user", "content": "one two three four"}], "max_tokens": 2}
        reply = await here.buyer().ask(body)
        assert reply.json["choices"][0]["finish_reason"] == "length"
        assert dict(reply.receipt.usage)[2] == 2  # type: ignore[union-attr]


def test_the_built_in_models_say_the_same_each_time() -> None:
    assert walk("why") == walk("why") != walk("how")
    assert len(walk("why").split()) == 48
    assert noise("cat", 8, 8) == noise("cat", 8, 8) != noise("dog", 8, 8)
    assert noise("cat", 8, 8).startswith(b"\x89PNG")


# ------------------------------------------------------------------------------------------------- over HTTP


@asynccontextmanager
async def server(handler: Any) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def test_an_upstream_over_http_is_passed_on_and_hung_up(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    gone = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        seen.append({**body, "key": request.headers.get("Authorization")})
        content = body["messages"][0]["content"]
        if content == "refuse":
            return web.json_response({"error": {"message": "no"}}, status=400)
        if not body.get("stream"):
            choice = {"index": 0, "message": {"content": content}, "finish_reason": "stop"}
            return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for text in ("on", "e"):
            piece = msgspec.json.encode({"choices": [{"index": 0, "delta": {"content": text}}]})
            await response.write(b"data: " + piece[:9])
            await response.write(piece[9:] + b"\n\n")
        if content == "break":
            return response
        if content == "wait":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                gone.set()
                raise
        end = msgspec.json.encode({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        await response.write(b": a comment\r\ndata: " + end + b"\r\n\r\ndata: [DONE]\n\n")
        return response

    async with server(answer) as url:
        upstream = HttpUpstream(url, "secret")
        async with shop(tmp_path, upstreams=lambda *_: {"script": upstream}) as here:

            def ask(text: str, **more: Any) -> dict[str, Any]:
                return {"model": "script", "messages": [{"role": "user", "content": text}], **more}

            whole = await here.buyer().ask(ask("one"))
            assert (whole.text, whole.receipt.charge) == ("one", IN + OUT)  # type: ignore[union-attr]
            assert seen[0]["key"] == "Bearer secret"
            flowing = await here.buyer().ask(ask("one", stream=True))
            assert (flowing.text, flowing.receipt.charge) == ("one", IN + OUT)  # type: ignore[union-attr]
            assert seen[1]["stream_options"] == {"include_usage": True}
            refused = await here.buyer().ask(ask("refuse"))
            assert (refused.status, refused.receipt.status) == (400, Status.REFUSED)  # type: ignore[union-attr]
            broken = await here.buyer().ask(ask("break", stream=True))
            assert (broken.receipt.status, broken.receipt.charge) == (  # type: ignore[union-attr]
                Status.PROVIDER_ERROR, 0,
            )  # fmt: skip
            buyer = here.buyer()
            promise = buyer.promise(10**9)
            response = await here.http.post(
                here.url + "/v1/chat/completions", json=ask("wait", stream=True), headers=buyer.headers(promise)
            )
            await response.content.readany()
            response.close()
            await asyncio.wait_for(gone.wait(), 20)
        await upstream.close()


async def test_an_upstream_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    upstream = HttpUpstream("http://127.0.0.1:9")
    async with shop(tmp_path, upstreams=lambda *_: {"script": upstream}) as here:
        for flows in (False, True):
            body = {"model": "script", "messages": [{"role": "user", "content": "x"}], "stream": flows}
            reply = await here.buyer().ask(body)
            assert reply.status == 502
            assert reply.receipt is not None
            assert reply.receipt.charge == 0
    await upstream.close()


async def test_prices_are_told_and_bad_price_files_are_refused(tmp_path: Path) -> None:
    assert catalogue_of(PRICES).models["echo"].books == (3, 4)
    wrong: list[dict[str, Any]] = [
        {},
        {**PRICES, "more": 1},
        {**PRICES, "book": [{"version": 3, "prices": {"token": "1"}}]},
        {**PRICES, "book": [{"version": 3, "prices": {"image": "-1"}}]},
        {**PRICES, "book": [{"version": 3, "prices": {"image": "1 / x"}}]},
        {**PRICES, "book": [{"version": 3, "currency": "XXX"}]},
        {**PRICES, "book": [{"version": 3}, {"version": 3}]},
        {**PRICES, "book": [{"version": 3, "policy": ["free"]}]},
        {**PRICES, "book": [{"version": 3, "when": [{"unit": "image", "price": "1", "tier": 1}]}]},
    ]
    model = {"name": "m", "service": 1, "books": [3]}
    wrong += [
        {**PRICES, "model": [{**model, **change}]}
        for change in (
            {"books": []}, {"books": [9]}, {"kinds": ["telepathy"]}, {"tokenizer": "none"}, {"max_output": 0},
            {"tolerance_percent": 1}, {"tolerance_percent": -1, "tokenizer": "pieces@1"},
        )
    ]  # fmt: skip
    wrong.append({**PRICES, "model": [model, model]})
    for data in wrong:
        with pytest.raises(BadPrices):
            catalogue_of(data)
    with pytest.raises(BadPrices):
        read_catalogue(tmp_path / "none.toml")


def test_a_store_is_one_gateways_of_one_chain_and_no_old_copy(tmp_path: Path) -> None:
    genesis, operator = Hash32(b"g" * 32), b"o" * 32

    async def once(folder: Path, chain: Hash32 = genesis, key: bytes = operator) -> bool:
        async with open_store(folder, chain, key) as store:
            return store.clean

    assert asyncio.run(once(tmp_path / "a")) is True
    shutil.copy(tmp_path / "a/gateway.sqlite", tmp_path / "old.sqlite")
    assert asyncio.run(once(tmp_path / "a")) is True
    for chain, key in ((Hash32(b"x" * 32), operator), (genesis, b"x" * 32)):
        with pytest.raises(StoreUnusable):
            asyncio.run(once(tmp_path / "a", chain, key))

    async def twice() -> None:
        async with open_store(tmp_path / "a", genesis, operator):
            with pytest.raises(StoreUnusable):
                open_store(tmp_path / "a", genesis, operator)

    asyncio.run(twice())
    shutil.copy(tmp_path / "old.sqlite", tmp_path / "a/gateway.sqlite")
    with pytest.raises(StoreUnusable, match="old copy"):
        asyncio.run(once(tmp_path / "a"))
