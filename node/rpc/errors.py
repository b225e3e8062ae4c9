"""Error objects of JSON-RPC, with the codes and texts of Substrate and jsonrpsee.

Clients match some of these texts, so they are exact (`docs/spec/rpc.md`).
Source: JSON-RPC 2.0; `jsonrpsee_types::error`; `sc_rpc_api::{author, state}::error`;
the JSON-RPC interface specification of Polkadot for the -328xx family.
"""

from __future__ import annotations

from typing import Final

from aitoken.errors import Rejected
from aitoken.pay.campaign_ledger import NO_CAMPAIGN

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL: Final = -32603
TOO_MANY_SUBSCRIPTIONS: Final = -32006
REQUEST_TOO_BIG: Final = -32007
RESPONSE_TOO_BIG: Final = -32008
SERVER_BUSY: Final = -32009
BATCH_TOO_BIG: Final = -32010
BATCH_RESPONSE_TOO_BIG: Final = -32011
RATE_LIMITED: Final = -32999
CHAIN_HEAD_FOLLOWS: Final = -32800
CHAIN_HEAD_BLOCK: Final = -32801
CHAIN_HEAD_RUNTIME: Final = -32802
CHAIN_HEAD_CONTINUE: Final = -32803
CHAIN_HEAD_DUPLICATE: Final = -32804
BAD_FORMAT: Final = 1001
PAGE_TOO_LARGE: Final = 4002
CLIENT: Final = 4003


class RpcError(Rejected):
    """An error object for the caller.

    Args:
        number: the JSON-RPC code.
        message: its text, exact where clients match it.
        data: more about it; left out of the answer when None.
    """

    code = "rpc.error"

    def __init__(self, number: int, message: str, data: str | None = None) -> None:
        super().__init__(f"{number} {message}" + (f": {data}" if data else ""))
        self.number = number
        self.message = message
        self.data = data


def parse_error() -> RpcError:
    """Not JSON."""
    return RpcError(PARSE_ERROR, "Parse error")


def invalid_request(why: str | None = None) -> RpcError:
    """JSON, but no request."""
    return RpcError(INVALID_REQUEST, "Invalid request", why)


def method_not_found(why: str | None = None) -> RpcError:
    """No such method, or not this way."""
    return RpcError(METHOD_NOT_FOUND, "Method not found", why)


def unsafe_method() -> RpcError:
    """The method acts on the node and is switched off."""
    return RpcError(METHOD_NOT_FOUND, "RPC call is unsafe to be called externally")


def invalid_params(why: str) -> RpcError:
    """A parameter is missing or wrong."""
    return RpcError(INVALID_PARAMS, "Invalid params", why)


def internal() -> RpcError:
    """We broke; details are in the log only."""
    return RpcError(INTERNAL, "Internal error")


def exceeds(number: int, limit: int) -> RpcError:
    """One of jsonrpsee's limits is exceeded."""
    return RpcError(number, _LIMIT_TEXTS[number], f"Exceeded max limit of {limit}")


_LIMIT_TEXTS: Final = {
    TOO_MANY_SUBSCRIPTIONS: "Too many subscriptions on the connection",
    REQUEST_TOO_BIG: "Request is too big",
    RESPONSE_TOO_BIG: "Response is too big",
    BATCH_TOO_BIG: "The batch request was too large",
    BATCH_RESPONSE_TOO_BIG: "The batch response was too large",
}


def server_busy() -> RpcError:
    """Too much is going on already."""
    return RpcError(SERVER_BUSY, "Server is busy, try again later")


def rate_limited() -> RpcError:
    """The caller used up its share of expensive calls."""
    return RpcError(RATE_LIMITED, "RPC rate limit exceeded")


def unknown_block(block_hash: bytes) -> RpcError:
    """`state_*` at a block nobody knows."""
    return RpcError(CLIENT, f"Client error: UnknownBlock: Header was not found in the database: 0x{block_hash.hex()}")


def state_discarded(block_hash: bytes) -> RpcError:
    """`state_*` at a block whose state is not kept any more; one Python client reads this text."""
    return RpcError(
        CLIENT, f"Client error: Api called for an unknown Block: State already discarded for 0x{block_hash.hex()}"
    )


def unknown_api(name: str) -> RpcError:
    """A runtime call of an unknown name; one Python client reads this text."""
    return RpcError(CLIENT, f"Client error: Execution failed: Other: Exported method {name} is not found")


def execution_failed(why: str) -> RpcError:
    """A runtime call that was refused."""
    return RpcError(CLIENT, f"Client error: Execution failed: Execution aborted due to trap: {why}")


def page_too_large(count: int, limit: int) -> RpcError:
    """More keys asked than one page holds."""
    return RpcError(PAGE_TOO_LARGE, f"count exceeds maximum value. value: {count}, max: {limit}")


def no_campaign(number: int, block_hash: bytes) -> RpcError:
    """A campaign that was not made by then, or of which everything was given back."""
    return RpcError(NO_CAMPAIGN, f"No campaign {number} in block 0x{block_hash.hex()}")
