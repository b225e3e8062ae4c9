"""What a node answers, in types: heads, receipts, the versions of a runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from aitoken.client.chain import Chain, Event
from aitoken.client.errors import NodeUnavailable
from aitoken.codec.base import compact_encode
from aitoken.crypto.hashing import blake2_256

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Head:
    """The header of a block. Hashes are 0x-hex of 32 bytes.

    Attributes:
        number: height; genesis is 0.
        hash: blake2b-256 of the SCALE header, computed here and not taken from the node.
        digest: SCALE digest items, 0x-hex each.
    """

    number: int
    hash: str
    parent_hash: str
    state_root: str
    extrinsics_root: str
    digest: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction. What was not waited for is None or empty.

    Attributes:
        hash: blake2b-256 of the transaction, 0x-hex.
        block_hash: the block that holds it, 0x-hex.
        block_number: its height.
        index: position in the block.
        events: what the chain reported while executing it, in order.
        success: whether the call did what it should; fee and nonce are spent either way.
        error: name of the problem, such as `Balances.InsufficientBalance`.
        reason: the runtime's sentence about it, where it has one.
        fee: paid, tip included, in the smallest unit.
    """

    hash: str
    block_hash: str | None = None
    block_number: int | None = None
    index: int | None = None
    events: tuple[Event, ...] = ()
    success: bool | None = None
    error: str | None = None
    reason: str = ""
    fee: int | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """How a chain shows money: one `symbol` is 10^`decimals` of the smallest unit."""

    symbol: str
    decimals: int


class _Digest(msgspec.Struct):
    logs: list[str]


class _Header(msgspec.Struct, rename="camel"):
    parent_hash: str
    number: str
    state_root: str
    extrinsics_root: str
    digest: _Digest


class _Block(msgspec.Struct):
    header: _Header
    extrinsics: list[str]


class SignedBlock(msgspec.Struct):
    """An answer to `chain_getBlock`."""

    block: _Block


class RuntimeVersion(msgspec.Struct, rename="camel"):
    """An answer to `state_getRuntimeVersion`, of it what is signed."""

    spec_name: str
    spec_version: int
    transaction_version: int


def convert(answer: Any, kind: type[T], what: str) -> T:
    """Check an answer against its type.

    Raises:
        NodeUnavailable: it has another shape, so this is no Substrate node.
    """
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as bad:
        raise NodeUnavailable(f"the node's answer to {what} has an unknown shape: {bad}") from None


def unhex(text: Any, what: str) -> bytes:
    """Return the bytes of 0x-hex in an answer."""
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except (ValueError, AttributeError):
        raise NodeUnavailable(f"the node's answer to {what} is no hex") from None


def head_of(answer: Any) -> Head:
    """Read a header and compute its hash."""
    return _head(convert(answer, _Header, "chain_getHeader"))


def head_of_block(block: SignedBlock) -> Head:
    """Return the head of a block."""
    return _head(block.block.header)


def _head(header: _Header) -> Head:
    what = "chain_getHeader"
    number = int.from_bytes(unhex(header.number.removeprefix("0x").rjust(16, "0"), what), "big")
    logs = [unhex(item, what) for item in header.digest.logs]
    encoded = (
        unhex(header.parent_hash, what)
        + compact_encode(number)
        + unhex(header.state_root, what)
        + unhex(header.extrinsics_root, what)
        + compact_encode(len(logs))
        + b"".join(logs)
    )
    return Head(
        number=number,
        hash="0x" + blake2_256(encoded).hex(),
        parent_hash=header.parent_hash,
        state_root=header.state_root,
        extrinsics_root=header.extrinsics_root,
        digest=tuple(header.digest.logs),
    )


def token_of(properties: Any) -> Token:
    """Read `system_properties`; chains with several tokens list them, the first is the native one."""
    properties = properties if isinstance(properties, dict) else {}
    symbol, decimals = (_first(properties.get(name)) for name in ("tokenSymbol", "tokenDecimals"))
    return Token(symbol if isinstance(symbol, str) else "UNIT", decimals if isinstance(decimals, int) else 0)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def receipt_of(chain: Chain, transaction_hash: str, head: Head, index: int, events: list[Event]) -> Receipt:
    """Put together what the events of a block say about the transaction at `index`."""
    own = tuple(event for event in events if event.extrinsic == index)
    success: bool | None = None
    fee: int | None = None
    error: str | None = None
    reason = ""
    for event in own:
        match (event.pallet, event.name):
            case ("System", "ExtrinsicSuccess"):
                success = True
            case ("System", "ExtrinsicFailed"):
                failed = event.fields["dispatch_error"] if isinstance(event.fields, dict) else event.fields[0]
                problem = chain.problem(failed)
                success, error, reason = False, problem.name, problem.docs
            case ("TransactionPayment", "TransactionFeePaid"):
                fee = event.fields["actual_fee"] if isinstance(event.fields, dict) else event.fields[1]
    return Receipt(transaction_hash, head.hash, head.number, index, own, success, error, reason, fee)
