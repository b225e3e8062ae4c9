"""A base URL on this machine whose requests are paid from a purse: any OpenAI tool pays without knowing.

Flowing answers are passed on event by event. What goes wrong has the shape OpenAI's clients read. How many requests
are in work at once and how long a body may be are bounded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final, Self

import msgspec
from aiohttp import web

from aitoken.client.pay.errors import CapReached, GatewayDown, GatewayRefused, NotSold
from aitoken.client.pay.exchange import Exchange, send_to_first
from aitoken.client.pay.payer import Payer
from aitoken.client.pay.shop import Shop
from aitoken.errors import AiTokenError, Bug
from aitoken.pay.errors import PayRejected
from aitoken.pay.headers import COST, LEFT, RECEIPT, REPEATED

log = logging.getLogger(__name__)

BODY_BYTES_MAX: Final = 8 << 20
AT_ONCE: Final = 256
SHUTDOWN_S: Final = 5.0
PATHS: Final = (
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings",
    "/v1/images/generations", "/v1/audio/speech", "/v1/moderations",
)  # fmt: skip
_TOLD: Final = ("Content-Type", COST, LEFT, RECEIPT, REPEATED, "Retry-After")
_STATUS: Final = ((GatewayDown, 502), (CapReached, 402), (NotSold, 404), (PayRejected, 502))


class Proxy:
    """The server; `async with` serves.

    Attributes:
        port: where it listens, once it does.
    """

    def __init__(self, payer: Payer, shops: Sequence[Shop], host: str = "127.0.0.1", port: int = 0) -> None:
        self._payer = payer
        self._shops = shops
        self._host = host
        self.port = port
        self._at_work = 0
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Listen."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.add_routes([web.post(path, self._handle) for path in PATHS])
        app.add_routes([web.get("/v1/models", self._models), web.get("/healthz", self._health)])
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let requests end, and stop."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self._at_work >= AT_ONCE:
            return error_response(429, "proxy.too_busy", f"{AT_ONCE} requests are in work already")
        self._at_work += 1
        try:
            body = await request.read()
            exchange = await send_to_first(self._payer, self._shops, request.path, body, request.headers)
            try:
                return await _passed_on(request, exchange)
            finally:
                await exchange.close()
        except web.HTTPRequestEntityTooLarge:
            return error_response(413, "proxy.too_large", f"a body has at most {BODY_BYTES_MAX} bytes")
        except Bug:
            raise
        except AiTokenError as error:
            log.warning("a request was not answered", extra={"code": error.code, "reason": str(error)})
            return refused(error)
        finally:
            self._at_work -= 1

    async def _models(self, request: web.Request) -> web.Response:  # noqa: ARG002 - the same for all
        try:
            abouts = await asyncio.gather(*(shop.about() for shop in self._shops))
        except AiTokenError as error:
            return refused(error)
        names = {model.name: about.provider for about in reversed(abouts) for model in about.models}
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": f"provider-{provider}"}
            for name, provider in sorted(names.items())
        ]
        return _json(200, {"object": "list", "data": data})

    async def _health(self, request: web.Request) -> web.Response:  # noqa: ARG002 - the same for all
        return web.Response(text="ok")


async def _passed_on(request: web.Request, exchange: Exchange) -> web.StreamResponse:
    headers = {name: exchange.headers[name] for name in _TOLD if name in exchange.headers}
    if not exchange.flows:
        return web.Response(status=exchange.status, body=await exchange.read(), headers=headers)
    headers["Cache-Control"] = "no-store"
    response = web.StreamResponse(status=exchange.status, headers=headers)
    await response.prepare(request)
    try:
        async for piece in exchange.pieces():
            await response.write(piece)
    except ConnectionError:
        log.info("a client went away")
        return response
    except AiTokenError as error:
        log.warning("an answer broke off", extra={"code": error.code, "reason": str(error)})
        await response.write(b"data: " + error_body(error.code, str(error), "server_error") + b"\n\n")
    await response.write_eof()
    return response


def refused(error: AiTokenError) -> web.Response:
    """Return an error as OpenAI's clients read it."""
    status, body = error_of(error)
    return web.Response(status=status, body=body, content_type="application/json")


def error_of(error: AiTokenError) -> tuple[int, bytes]:
    """Return status and body of an error as OpenAI's clients read it."""
    if isinstance(error, GatewayRefused):
        status, code = error.status, error.reason
    else:
        status, code = next((status for kind, status in _STATUS if isinstance(error, kind)), 502), error.code
    return status, error_body(code, str(error), _kind(status))


def error_response(status: int, code: str, message: str) -> web.Response:
    """Return an error as OpenAI's clients read it."""
    body = error_body(code, message, _kind(status))
    return web.Response(status=status, body=body, content_type="application/json")


def _kind(status: int) -> str:
    return "invalid_request_error" if status < 500 else "server_error"


def error_body(code: str, message: str, kind: str) -> bytes:
    """Return the body of an error as OpenAI's clients read it."""
    return msgspec.json.encode({"error": {"message": message, "type": kind, "code": code, "param": None}})


def _json(status: int, told: Any) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(told), content_type="application/json")
