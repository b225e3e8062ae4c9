"""A whole answer, apart from who writes it: aiohttp's server or `gateway.front`."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.http import SERVER_SOFTWARE

from aitoken.errors import Bug


class Reply(msgspec.Struct):
    """A whole answer."""

    status: int
    body: bytes
    headers: dict[str, str]

    def response(self) -> web.Response:
        """Return it for aiohttp's server; each can be sent only once."""
        return web.Response(status=self.status, body=self.body, headers=self.headers)

    def render(self) -> bytes:
        """Return it as the bytes that aiohttp's server writes for `response` on a connection that stays.

        Raises:
            Bug: a header would break the lines.
        """
        lines = [_STATUS_LINES.get(self.status) or f"HTTP/1.1 {self.status} "]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines.append(f"Content-Length: {len(self.body)}")
        head = "\r\n".join(lines)
        if head.count("\n") >= len(lines) or head.count("\r") >= len(lines):
            raise Bug("a header of an answer has a line break in it")
        return b"".join((head.encode("utf-8"), _tail(), self.body))


_STATUS_LINES: Final = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}" for status in HTTPStatus}
_TAIL: Final = {"second": -1, "bytes": b""}


def _tail() -> bytes:
    """The lines every answer has, and the empty one; made once a second."""
    now = int(time.time())
    if _TAIL["second"] != now:
        _TAIL["second"] = now
        _TAIL["bytes"] = f"\r\nDate: {formatdate(now, usegmt=True)}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n".encode()
    return _TAIL["bytes"]  # type: ignore[return-value]  # set together with the second
