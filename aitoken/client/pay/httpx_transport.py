"""A transport for httpx2, or else httpx, whose requests are paid from a purse; nothing else here needs either.

    from openai import OpenAI
    import httpx2
    from aitoken.client.pay.httpx_transport import PayingTransport

    transport = PayingTransport("http://gateway.example:8402", node="ws://127.0.0.1:9944", pair=pair, purse=folder)
    client = OpenAI(base_url="http://gateway/v1", api_key="none", http_client=httpx2.Client(transport=transport))

Whatever host the client names, the gateways that were given are asked: the client's base URL is for its path alone.
The payer works in a thread of its own, so one transport serves any number of threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, TypeVar

try:
    import httpx2 as httpx  # what openai-python brings from version 3 on
except ImportError:
    try:
        import httpx  # type: ignore[no-redef]  # the same interface, of openai-python before
    except ImportError as missing:
        raise ImportError("this module is for programs that use httpx2 or httpx: install one of them") from missing

import aiohttp

from aitoken.client.client import Client as Node
from aitoken.client.pay.exchange import Exchange, send_to_first
from aitoken.client.pay.ledger import NodeLedger
from aitoken.client.pay.payer import Caps, Payer
from aitoken.client.pay.proxy import error_of
from aitoken.client.pay.purse import open_purse
from aitoken.client.pay.shop import Shop
from aitoken.crypto.signature import Signer
from aitoken.errors import AiTokenError, Bug

Client = httpx.Client
"""The client of the library whose transport this is."""

_Result = TypeVar("_Result")
_DROPPED: Final = frozenset({"content-length", "transfer-encoding", "content-encoding", "connection"})


class PayingTransport(httpx.BaseTransport):
    """Pays what a client of httpx2 or httpx sends."""

    def __init__(self, *gateways: str, node: str, pair: Signer, purse: Path, caps: Caps | None = None) -> None:
        """Open the purse and connect; `close` undoes both.

        Args:
            gateways: addresses; a model is asked of the first that sells it.
            node: a node's WebSocket address.
            pair: whose money it is.
            purse: folder of sessions and receipts.
            caps: what may be spent.

        Raises:
            AiTokenError: the purse is in use, or the node does not answer.
        """
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="aitoken-pay", daemon=True)
        self._thread.start()
        self._stack = AsyncExitStack()
        self._shops: Sequence[Shop] = ()
        try:
            self._payer = self.run(self._open(gateways, node, pair, purse, caps))
        except BaseException:
            self.close()
            raise

    @property
    def payer(self) -> Payer:
        """The purse at work."""
        return self._payer

    @property
    def shops(self) -> Sequence[Shop]:
        """The gateways that are asked."""
        return self._shops

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pay a request and give its answer, flowing if the gateway lets it flow."""
        if request.method != "POST":
            return httpx.Response(405, content=b"only what is paid for goes through this transport")
        body = request.read()
        try:
            exchange = self.run(send_to_first(self._payer, self._shops, request.url.path, body, dict(request.headers)))
        except Bug:
            raise
        except AiTokenError as error:
            status, told = error_of(error)
            return httpx.Response(status, content=told, headers={"Content-Type": "application/json"})
        headers = {name: value for name, value in exchange.headers.items() if name.lower() not in _DROPPED}
        return httpx.Response(exchange.status, headers=headers, stream=_Pieces(self, exchange))

    def close(self) -> None:
        """Close the purse and the connections."""
        if self._loop.is_closed():
            return
        self.run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self, gateways: Sequence[str], node: str, pair: Signer, purse: Path, caps: Caps | None) -> Payer:
        opened = self._stack.enter_context(open_purse(purse))
        client = await self._stack.enter_async_context(await Node.connect(node))
        http = await self._stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
        self._shops = [Shop(url, http) for url in gateways]
        payer = Payer(opened, NodeLedger(client, pair), http, caps)
        await payer.recover()
        return payer

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Have the payer's thread do something, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class _Pieces(httpx.SyncByteStream):
    """An answer's bytes, drawn from the payer's thread one piece at a time."""

    def __init__(self, transport: PayingTransport, exchange: Exchange) -> None:
        self._transport = transport
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        pieces = self._exchange.pieces()
        try:
            while (piece := self._transport.run(_next(pieces))) is not None:
                yield piece
        except (AiTokenError, CancelledError) as error:
            raise httpx.ReadError(str(error)) from error

    def close(self) -> None:
        self._transport.run(self._exchange.close())


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    return await anext(pieces, None)
