"""A server with an OpenAI-compatible API, asked over HTTP; what it sends is bounded in size and time."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from gateway.ports import Answer, Event, Flow, UpstreamFailed
from gateway.sse import CONTENT_TYPE, EventReader

ANSWER_BYTES_MAX: Final = 64 << 20
REFUSAL_BYTES_MAX: Final = 64 << 10
CONNECT_S: Final = 10
SILENCE_S: Final = 120
"""How long an upstream may say nothing."""

_KEPT: Final = ("retry-after", "content-type")


class HttpUpstream:
    """One server, by its base URL: what comes before `/v1`."""

    def __init__(self, url: str, key: str = "", *, silence_s: float = SILENCE_S) -> None:
        """Remember where it is; `start` opens the connections.

        Args:
            url: such as `http://127.0.0.1:8080`; a path `/v1` at its end is understood.
            key: sent as a bearer token where there is one.
            silence_s: how long it may say nothing.
        """
        self._url = url.rstrip("/").removesuffix("/v1")
        self._headers = {"Content-Type": "application/json"}
        if key:
            self._headers |= {"Authorization": f"Bearer {key}", "x-api-key": key}
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=silence_s)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, headers=self._headers)
        return self._session

    async def ask(self, path: str, body: bytes) -> Answer:
        """Post a body and return the whole answer."""
        try:
            async with self._open().post(self._url + path, data=io.BytesIO(body)) as response:
                return await _whole(response, ANSWER_BYTES_MAX)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamFailed(f"the upstream does not answer: {type(error).__name__}") from error

    @asynccontextmanager
    async def stream(self, path: str, body: bytes) -> AsyncIterator[Flow]:
        """Post a body and let the answer flow."""
        try:
            response = await self._open().post(self._url + path, data=io.BytesIO(body))
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamFailed(f"the upstream does not answer: {type(error).__name__}") from error
        try:
            if response.status == 200 and response.content_type == CONTENT_TYPE:
                yield _HttpFlow(response)
            else:
                yield _HttpFlow(response, await _whole(response, REFUSAL_BYTES_MAX))
        finally:
            response.close()


class _HttpFlow:
    def __init__(self, response: aiohttp.ClientResponse, refused: Answer | None = None) -> None:
        self._response = response
        self.refused = refused

    async def __aiter__(self) -> AsyncIterator[Event]:
        reader = EventReader()
        try:
            async for piece in self._response.content.iter_any():
                for event in reader.feed(piece):
                    yield event
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamFailed(f"the upstream broke off: {type(error).__name__}") from error


async def _whole(response: aiohttp.ClientResponse, most: int) -> Answer:
    try:
        body = b""
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > most:
                raise UpstreamFailed(f"the upstream's answer is longer than {most} bytes")
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise UpstreamFailed(f"the upstream broke off: {type(error).__name__}") from error
    return Answer(response.status, response.content_type, body, _kept(response.headers))


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if name.lower() in _KEPT}
