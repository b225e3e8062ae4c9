"""The head of a request, in the one spelling nobody can read in two ways."""

from __future__ import annotations

from functools import lru_cache
from re import compile as regex
from typing import Final

import msgspec

from aitoken.pay.headers import IDEMPOTENCY, MAX_COST, QUOTE, VOUCHER, WINDOW
from gateway.x402 import SIGNATURE as X402

FIELD_MAX: Final = 16_384
FIELDS_MAX: Final = 100
SHORT_LINE: Final = 128

_TOKEN: Final = regex(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LINE: Final = regex(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /[^ ]* HTTP/1\.1")
_LENGTH: Final = regex(r"0|[1-9][0-9]{0,9}")
_JSON: Final = frozenset({"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"})
_UNFRAMED: Final = frozenset({"transfer-encoding", "upgrade", "sec-websocket-key", "http2-settings"})
_ODD: Final = frozenset(
    {"content-encoding", "expect", "te", "trailer", "x-forwarded-proto", "forwarded"}
    | {name.lower() for name in (X402, MAX_COST, WINDOW, QUOTE)}
)  # fmt: skip
"""What changes how a body is read, or what a request pays."""


class Head(msgspec.Struct):
    """What is known of a request by its head.

    Attributes:
        length: of its body.
        usual: it may be served here.
        voucher: that it has, if it is usual.
        key: its `Idempotency-Key`, "" where it has none.
    """

    length: int
    usual: bool
    voucher: str = ""
    key: str = ""


_PLAIN, _LEFT, _BAD = "", "left", "bad"
"""What a line can mean but to be one of those below: nothing, aiohttp serves the request, it cannot be framed."""

_LENGTH_IS, _TYPE_IS, _HOST_IS, _VOUCHER_IS, _KEY_IS = _READ = (
    "content-length", "content-type", "host", VOUCHER.lower(), IDEMPOTENCY.lower(),
)  # fmt: skip
_WANTED: Final = frozenset(_READ) - {_KEY_IS}


def _read_line(text: str) -> tuple[str, str]:
    """Return what one line of a head means, and its value."""
    name, colon, value = text.partition(":")
    small, value = name.lower(), value.strip(" ")
    if not colon or not _TOKEN.fullmatch(name) or small in _UNFRAMED:
        return _BAD, ""
    if small == _LENGTH_IS:
        return (small if _LENGTH.fullmatch(value) else _BAD), value
    odd = (
        small in _ODD or len(value) > FIELD_MAX - 1024 or (small in _READ and not value)
        or (small == _TYPE_IS and value.lower() not in _JSON)
        or (small == "connection" and value.lower() != "keep-alive")
        or (small == "authorization" and value.partition(" ")[0].lower() == "payment")
    )  # fmt: skip
    return _LEFT if odd else small if small in _READ else _PLAIN, value


_line = lru_cache(1024)(_read_line)
"""The same for short lines, which nearly all requests of a client have in common."""


def read_head(head: bytes, usual: str) -> Head | None:
    """Read a head without its empty line; None where the request cannot be framed with certainty.

    Args:
        head: the head.
        usual: first line of the requests that may be served here.
    """
    if not head.isascii():
        return None
    lines = head.decode("ascii").split("\r\n")
    first = lines[0]
    if len(lines) > FIELDS_MAX or not "".join(lines).isprintable() or not (first == usual or _LINE.fullmatch(first)):
        return None
    told: dict[str, str] = {}
    plain = first == usual
    for text in lines[1:]:
        meaning, value = _line(text) if len(text) < SHORT_LINE else _read_line(text)
        if meaning == _PLAIN:
            continue
        if meaning == _BAD or (meaning == _LENGTH_IS and _LENGTH_IS in told):
            return None
        plain = plain and meaning != _LEFT and meaning not in told
        told[meaning] = value
    length = int(told.get(_LENGTH_IS, "0"))
    if not plain or not told.keys() >= _WANTED:
        return Head(length, usual=False)
    return Head(length, usual=True, voucher=told[_VOUCHER_IS], key=told.get(_KEY_IS, ""))
