"""Why a transaction was not taken, each with the number and text wallets know from Substrate's `author_*` methods.

Source: `sc_rpc_api::author::error` and `sc_transaction_pool_api::error` of polkadot-sdk (codes 1001-1021, texts).
The sentences of code 1010 come with the runtime's errors (`chain.frame.errors`).
"""

from __future__ import annotations

from typing import ClassVar, Final

from aitoken.errors import Rejected
from chain.frame.errors import ExhaustsResources, Future, InvalidTransaction, Stale

PASSING: Final = (Future, Stale, ExhaustsResources)
"""Refusals that say more about the block at hand than about the transaction."""


class PoolRejected(Rejected):
    """The pool did not take a transaction.

    `number`, `message` and `data` are the JSON-RPC error object.
    """

    code = "pool.rejected"
    number: ClassVar[int] = 1002
    message: str = "Verification Error"
    data: str | None = None

    def __str__(self) -> str:
        return self.message if self.data is None else f"{self.message}: {self.data}"


class Undecodable(PoolRejected):
    """The bytes are no extrinsic."""

    code = "pool.undecodable"
    number = 1001

    def __init__(self, why: str) -> None:
        self.message = f"Extrinsic has invalid format: {why}"


class TooLarge(Undecodable):
    """More bytes than one transaction may have."""

    code = "pool.too_large"

    def __init__(self, size: int, size_max: int) -> None:
        super().__init__(f"{size} bytes where {size_max} are allowed")


class CannotValidate(PoolRejected):
    """The runtime itself failed while it looked at the transaction."""

    code = "pool.cannot_validate"

    def __init__(self, why: str) -> None:
        self.message = "Verification Error"
        self.data = why


class Invalid(PoolRejected):
    """The chain's rules refuse the transaction as things stand; `cause` says which one."""

    code = "pool.invalid"
    number = 1010

    def __init__(self, cause: InvalidTransaction) -> None:
        self.cause = cause
        self.code = cause.code  # type: ignore[misc]  # the class has one for all
        self.message = "Invalid Transaction"
        self.data = cause.text


class UnknownValidity(PoolRejected):
    """Nobody can say whether the transaction is valid."""

    code = "pool.unknown_validity"
    number = 1011

    def __init__(self, why: str) -> None:
        self.message = "Unknown Transaction Validity"
        self.data = why


class TemporarilyBanned(PoolRejected):
    """It was pooled and turned out invalid a short while ago."""

    code = "pool.banned"
    number = 1012
    message = "Transaction is temporarily banned"


class AlreadyImported(PoolRejected):
    """The same bytes are in the pool."""

    code = "pool.already_imported"
    number = 1013

    def __init__(self, transaction: bytes) -> None:
        self.message = "Transaction Already Imported"
        self.data = f"0x{transaction.hex()}"


class PriorityTooLow(PoolRejected):
    """Another transaction of the sender waits at this nonce and pays as much."""

    code = "pool.priority_too_low"
    number = 1014

    def __init__(self, old: int, new: int) -> None:
        self.message = f"Priority is too low: ({old} vs {new})"
        self.data = "The transaction has too low priority to replace another transaction already in the pool."


class ImmediatelyDropped(PoolRejected):
    """The pool is full of better ones, or the sender or its connection has too many waiting."""

    code = "pool.dropped"
    number = 1016

    def __init__(self) -> None:
        self.message = "Immediately Dropped"
        self.data = "The transaction couldn't enter the pool because of the limit"


class Shed(ImmediatelyDropped):
    """More waits at the door than can be checked, and others promise more."""

    code = "pool.shed"

    def __init__(self, tip: int | None) -> None:
        """`tip` is the least that would have been enough; None where a tip does not help just now."""
        super().__init__()
        self.tip = tip
        would_do = "send it again later" if tip is None else f"a tip of {tip} would do now, or send it again later"
        self.data = f"{self.data}: more is waiting than can be checked; {would_do}"


def refusal(error: InvalidTransaction) -> PoolRejected:
    """What a wallet is told when the runtime refuses its transaction."""
    return UnknownValidity(error.text) if error.is_unknown else Invalid(error)
