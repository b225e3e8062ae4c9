"""Why a transaction was not taken, each with the number and text wallets know from Substrate's `author_*` methods.

Source: `sc_rpc_api::author::error` and `sc_transaction_pool_api::error` of polkadot-sdk (codes 1001-1021, texts);
`sp_runtime::transaction_validity` (the sentences of code 1010, by SCALE index).
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar, Final

from aitoken.errors import Rejected


class Validity(IntEnum):
    """Kinds of an invalid transaction; the number is the SCALE index in `InvalidTransaction`."""

    CALL = 0
    PAYMENT = 1
    FUTURE = 2
    STALE = 3
    BAD_PROOF = 4
    ANCIENT_BIRTH_BLOCK = 5
    EXHAUSTS_RESOURCES = 6
    CUSTOM = 7
    BAD_MANDATORY = 8
    MANDATORY_VALIDATION = 9
    BAD_SIGNER = 10
    INDETERMINATE_IMPLICIT = 11
    UNKNOWN_ORIGIN = 12


SENTENCES: Final = (
    "Transaction call is not expected",
    "Inability to pay some fees (e.g. account balance too low)",
    "Transaction will be valid in the future",
    "Transaction is outdated",
    "Transaction has a bad signature",
    "Transaction has an ancient birth block",
    "Transaction would exhaust the block limits",
    "Custom error",
    "A call was labelled as mandatory, but resulted in an Error.",
    "Transaction dispatch is mandatory; transactions must not be validated.",
    "Invalid signing address",
    "The implicit data was unable to be calculated",
    "The transaction extension did not authorize any origin",
)
"""What wallets show for each `Validity`."""

PASSING: Final = frozenset({Validity.FUTURE, Validity.STALE, Validity.EXHAUSTS_RESOURCES})
"""Kinds that say more about the block at hand than about the transaction."""


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
    """The chain's rules refuse the transaction as things stand."""

    code = "pool.invalid"
    number = 1010

    def __init__(self, kind: Validity, custom: int | None = None) -> None:
        self.kind = kind
        self.message = "Invalid Transaction"
        self.data = SENTENCES[kind] if kind is not Validity.CUSTOM else f"Custom error: {custom or 0}"


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
