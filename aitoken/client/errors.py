"""How talking to a node goes wrong."""

from typing import Any, ClassVar

from aitoken.errors import Rejected, Unavailable


class NodeUnavailable(Unavailable):
    """No node answers at the address, the connection broke, or what comes back is not JSON-RPC."""

    code = "client.unavailable"


class RequestTimedOut(NodeUnavailable):
    """The node did not answer a request in time."""

    code = "client.timeout"


class SubscriptionLagged(Unavailable):
    """Notifications came faster than they were read, and some had to be dropped."""

    code = "client.lagged"


class FateUnknown(Unavailable):
    """A transaction was sent, but what became of it was not seen. Look before sending again.

    Attributes:
        hash: the transaction, 0x-hex.
    """

    code = "client.fate_unknown"

    def __init__(self, transaction_hash: str, why: str) -> None:
        super().__init__(f"transaction {transaction_hash} was sent, its fate was not seen: {why}")
        self.hash = transaction_hash


class NodeRefused(Rejected):
    """The node answered with a JSON-RPC error.

    Attributes:
        rpc_code: JSON-RPC's or Substrate's number.
        rpc_message: the node's sentence.
        rpc_data: what the node added; any JSON.
    """

    code: ClassVar[str] = "client.refused"

    def __init__(self, rpc_code: int, rpc_message: str, rpc_data: Any = None) -> None:
        detail = f": {rpc_data}" if isinstance(rpc_data, str) and rpc_data else ""
        super().__init__(f"{rpc_message}{detail} ({rpc_code})")
        self.rpc_code = rpc_code
        self.rpc_message = rpc_message
        self.rpc_data = rpc_data


class TransactionRefused(NodeRefused):
    """The node does not take the transaction: it is malformed, badly signed, outdated, or cannot be paid for."""

    code = "client.transaction_refused"


class TransactionDropped(Rejected):
    """A transaction that was accepted will not be included: replaced, dropped from a full pool, or no longer valid."""

    code = "client.transaction_dropped"


class NeedsWebSocket(Rejected):
    """Subscriptions do not work over HTTP; connect to ws:// or wss://."""

    code = "client.needs_websocket"


class BadUrl(Rejected):
    """An address of a node does not start with ws://, wss://, http:// or https://."""

    code = "client.bad_url"


class BadMetadata(Rejected):
    """The node's description of its runtime cannot be read, or is of a version this library does not know."""

    code = "client.bad_metadata"


class UnknownName(Rejected):
    """The chain has no pallet, call, storage item, constant or runtime API of this name."""

    code = "client.unknown_name"


class BadValue(Rejected):
    """A value does not fit the type the chain expects."""

    code = "client.bad_value"


class UnsupportedChain(Rejected):
    """The chain asks for something in a transaction that this library cannot give."""

    code = "client.unsupported_chain"
