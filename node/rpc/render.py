"""JSON out: 0x-hex for bytes, exact integers, headers as Substrate shows them.

Results are JSON values in which `bytes` stand for lower-case 0x-hex. What many callers get (a new head) is encoded
once, as bytes, and handed on inside `msgspec.Raw`.
"""

from __future__ import annotations

from binascii import hexlify
from typing import Any

import msgspec

from aitoken.proto.header import Header
from node.rpc.errors import RpcError

NULL = b"null"
_encode = msgspec.json.Encoder().encode


def hex0x(data: bytes) -> str:
    """Return `data` as lower-case hex with 0x."""
    return "0x" + data.hex()


def json_hex(data: bytes) -> bytes:
    """Return the JSON string of `data` as 0x-hex."""
    return b'"0x%b"' % hexlify(data)


def to_json(value: Any) -> bytes:
    """Encode a result."""
    kind = type(value)
    if kind is bytes:
        return json_hex(value)
    if kind is msgspec.Raw:
        return bytes(value)
    if value is None:
        return NULL
    return _encode(_plain(value))


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is bytes:
        return "0x" + value.hex()
    if kind is dict:
        return {key: _plain(item) for key, item in value.items()}
    if kind in (list, tuple):
        return [_plain(item) for item in value]
    return value


def response(request_id: bytes, result: bytes) -> bytes:
    """Return the response object of a success."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (request_id, result)


def failure(request_id: bytes, error: RpcError) -> bytes:
    """Return the response object of a failure."""
    body: dict[str, Any] = {"code": error.number, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (request_id, _encode(body))


def header_value(header: Header) -> dict[str, Any]:
    """Return a header as JSON value; the number is a hex string, the digest a list of SCALE items."""
    return {
        "parentHash": header.parent_hash,
        "number": hex(header.number),
        "stateRoot": header.state_root,
        "extrinsicsRoot": header.extrinsics_root,
        "digest": {"logs": [item.encode() for item in header.digest.logs]},
    }


def header_json(header: Header) -> bytes:
    """Return a header as JSON text."""
    return to_json(header_value(header))
