"""What can be wrong with a call, a transaction or a block; each with the SCALE form clients know.

Errors of calls are classes and are raised as classes (`raise self.Error.NotFound`): a shared instance would collect
tracebacks for ever. Numbers and names are Substrate's.

Source: `sp_runtime::DispatchError`, `sp_runtime::transaction_validity`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, ClassVar, Final

from aitoken.codec.base import Codec, DecodeError, Field, Shape, Variant, Variants, path_of, truncated
from aitoken.codec.hints import Bytes4, codec_of, u8
from aitoken.codec.records import Record, plain_enum, record
from aitoken.errors import Rejected

# ------------------------------------------------------------------------------------------------- dispatch errors


class DispatchError(Rejected):
    """A call failed; its writes and events are gone. `scale` is the encoded `sp_runtime::DispatchError`."""

    code = "dispatch.other"
    scale: ClassVar[bytes] = b"\x00"


class Other(DispatchError):
    """Something without a name of its own, also an unexpected exception inside a call."""


class CannotLookup(DispatchError):
    """An address is of a kind that names no account here."""

    code = "dispatch.cannot_lookup"
    scale = b"\x01"


class BadOrigin(DispatchError):
    """The caller may not make this call."""

    code = "dispatch.bad_origin"
    scale = b"\x02"


class ModuleError(DispatchError):
    """An error of a pallet; its classes are declared in the pallet."""

    code = "dispatch.module"


class ConsumerRemaining(DispatchError):
    """The account is still needed, so it cannot go."""

    code = "dispatch.consumer_remaining"
    scale = b"\x04"


class NoProviders(DispatchError):
    """The account does not exist."""

    code = "dispatch.no_providers"
    scale = b"\x05"


class TooManyConsumers(DispatchError):
    """Too many parties need the account."""

    code = "dispatch.too_many_consumers"
    scale = b"\x06"


class TokenError(DispatchError):
    """A transfer, hold or mint is not possible."""

    code = "dispatch.token"


class FundsUnavailable(TokenError):
    """The account cannot spend that much."""

    code = "dispatch.token.funds_unavailable"
    scale = b"\x07\x00"


class OnlyProvider(TokenError):
    """The balance is what keeps an account alive that others need."""

    code = "dispatch.token.only_provider"
    scale = b"\x07\x01"


class BelowMinimum(TokenError):
    """The receiving account would hold less than the existential deposit."""

    code = "dispatch.token.below_minimum"
    scale = b"\x07\x02"


class CannotCreate(TokenError):
    """The account cannot be created."""

    code = "dispatch.token.cannot_create"
    scale = b"\x07\x03"


class Frozen(TokenError):
    """The balance is frozen."""

    code = "dispatch.token.frozen"
    scale = b"\x07\x05"


class CannotCreateHold(TokenError):
    """The amount cannot be put on hold."""

    code = "dispatch.token.cannot_create_hold"
    scale = b"\x07\x07"


class NotExpendable(TokenError):
    """The account would drop below the existential deposit, which the call forbids."""

    code = "dispatch.token.not_expendable"
    scale = b"\x07\x08"


class Underflow(DispatchError):
    """A number would become negative."""

    code = "dispatch.arithmetic.underflow"
    scale = b"\x08\x00"


class Overflow(DispatchError):
    """A number would not fit its type."""

    code = "dispatch.arithmetic.overflow"
    scale = b"\x08\x01"


class LimitReached(DispatchError):
    """Calls are nested too deeply."""

    code = "dispatch.transactional.limit_reached"
    scale = b"\x09\x00"


class Exhausted(DispatchError):
    """A resource ran out."""

    code = "dispatch.exhausted"
    scale = b"\x0a"


class Unavailable(DispatchError):
    """What is asked for is not there."""

    code = "dispatch.unavailable"
    scale = b"\x0c"


class RootNotAllowed(DispatchError):
    """Root may not make this call."""

    code = "dispatch.root_not_allowed"
    scale = b"\x0d"


class DecodedError(DispatchError):
    """A dispatch error read back from bytes; equal to any error with the same bytes."""

    def __init__(self, scale: bytes) -> None:
        super().__init__(scale.hex())
        self.scale = scale  # type: ignore[misc]  # of the class everywhere else

    def __eq__(self, other: object) -> bool:
        return getattr(other, "scale", None) == self.scale

    def __hash__(self) -> int:
        return hash(self.scale)


@record("sp_runtime::ModuleError")
class ModuleErrorValue(Record):
    """Pallet index and error index (in the first of four bytes)."""

    index: u8
    error: Bytes4


@plain_enum("sp_runtime::TokenError")
class _Token(IntEnum):
    FundsUnavailable = 0
    OnlyProvider = 1
    BelowMinimum = 2
    CannotCreate = 3
    UnknownAsset = 4
    Frozen = 5
    Unsupported = 6
    CannotCreateHold = 7
    NotExpendable = 8
    Blocked = 9


@plain_enum("sp_arithmetic::ArithmeticError")
class _Arithmetic(IntEnum):
    Underflow = 0
    Overflow = 1
    DivisionByZero = 2


@plain_enum("sp_runtime::TransactionalError")
class _Transactional(IntEnum):
    LimitReached = 0
    NoLayer = 1


@plain_enum("sp_runtime::proving_trie::TrieError")
class _Trie(IntEnum):
    InvalidStateRoot = 0
    IncompleteDatabase = 1
    ValueAtIncompleteKey = 2
    DecoderError = 3
    InvalidHash = 4
    DuplicateKey = 5
    ExtraneousNode = 6
    ExtraneousValue = 7
    ExtraneousHashReference = 8
    InvalidChildReference = 9
    ValueMismatch = 10
    IncompleteProof = 11
    RootMismatch = 12
    DecodeError = 13


_INNER: Final[dict[int, tuple[str, Codec[Any] | None]]] = {
    0: ("Other", None),
    1: ("CannotLookup", None),
    2: ("BadOrigin", None),
    3: ("Module", codec_of(ModuleErrorValue)),
    4: ("ConsumerRemaining", None),
    5: ("NoProviders", None),
    6: ("TooManyConsumers", None),
    7: ("Token", codec_of(_Token)),
    8: ("Arithmetic", codec_of(_Arithmetic)),
    9: ("Transactional", codec_of(_Transactional)),
    10: ("Exhausted", None),
    11: ("Corruption", None),
    12: ("Unavailable", None),
    13: ("RootNotAllowed", None),
    14: ("Trie", codec_of(_Trie)),
}
_INNER_TYPE_NAMES: Final = {
    "Module": "ModuleError", "Token": "TokenError", "Arithmetic": "ArithmeticError",
    "Transactional": "TransactionalError", "Trie": "TrieError",
}  # fmt: skip


def _read(data: bytes, offset: int) -> tuple[DispatchError, int]:
    if offset >= len(data):
        raise truncated(1, data, offset)
    if data[offset] not in _INNER:
        raise DecodeError(f"no dispatch error {data[offset]}")
    inner = _INNER[data[offset]][1]
    end = offset + 1 if inner is None else inner.read(data, offset + 1)[1]
    return DecodedError(data[offset:end]), end


def _shape() -> Shape:
    variants = tuple(
        Variant(name, index, () if codec is None else (Field(codec, type_name=_INNER_TYPE_NAMES[name]),))
        for index, (name, codec) in _INNER.items()
    )
    return Shape(Variants(variants), path=path_of("sp_runtime::DispatchError"))


DISPATCH_ERROR: Final[Codec[Any]] = Codec(
    lambda error: error.scale, _read, default=lambda: Other, size_min=1, shape=_shape
)
"""Encodes an error class or instance."""


# ------------------------------------------------------------------------------------------------- transactions


class InvalidTransaction(Rejected):
    """A transaction may not enter a block; nothing has changed.

    Attributes:
        scale: the encoded `TransactionValidityError`.
        text: the sentence Substrate nodes answer with.
    """

    code = "transaction.invalid"
    scale: ClassVar[bytes] = b"\x00\x00"
    text: str = "Transaction call is not expected"

    def __str__(self) -> str:
        return super().__str__() or self.text

    @property
    def is_unknown(self) -> bool:
        """Whether the answer is "cannot tell" (JSON-RPC code 1011) instead of "invalid" (1010)."""
        return self.scale[0] == 1


class UnexpectedCall(InvalidTransaction):
    """The call may not be sent."""

    code = "transaction.call"


class WouldFail(InvalidTransaction):
    """The call comes without a fee and would fail, so it may not enter a block; `name` says with which error."""

    code = "transaction.would_fail"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.text = f"{InvalidTransaction.text}: {name}"


class CannotPay(InvalidTransaction):
    """Fee and tip cannot be paid."""

    code = "transaction.payment"
    scale = b"\x00\x01"
    text = "Inability to pay some fees (e.g. account balance too low)"


class Future(InvalidTransaction):
    """The nonce is above the account's."""

    code = "transaction.future"
    scale = b"\x00\x02"
    text = "Transaction will be valid in the future"


class Stale(InvalidTransaction):
    """The nonce is below the account's."""

    code = "transaction.stale"
    scale = b"\x00\x03"
    text = "Transaction is outdated"


class BadProof(InvalidTransaction):
    """The signature does not fit; also when another chain, version or birth block was signed."""

    code = "transaction.bad_signature"
    scale = b"\x00\x04"
    text = "Transaction has a bad signature"


class AncientBirthBlock(InvalidTransaction):
    """The block the era starts at is no longer known."""

    code = "transaction.ancient_birth_block"
    scale = b"\x00\x05"
    text = "Transaction has an ancient birth block"


class ExhaustsResources(InvalidTransaction):
    """The block has no room left for it."""

    code = "transaction.exhausts_resources"
    scale = b"\x00\x06"
    text = "Transaction would exhaust the block limits"


class BadMandatory(InvalidTransaction):
    """An inherent failed."""

    code = "transaction.bad_mandatory"
    scale = b"\x00\x08"
    text = "A call was labelled as mandatory, but resulted in an Error."


class MandatoryValidation(InvalidTransaction):
    """Inherents are made by block authors, not sent."""

    code = "transaction.mandatory"
    scale = b"\x00\x09"
    text = "Transaction dispatch is mandatory; transactions must not be validated."


class BadSigner(InvalidTransaction):
    """The all-zero account signs nothing."""

    code = "transaction.bad_signer"
    scale = b"\x00\x0a"
    text = "Invalid signing address"


class UnknownLookup(InvalidTransaction):
    """An address kind other than `Id`, or a request to check the metadata hash."""

    code = "transaction.cannot_lookup"
    scale = b"\x01\x00"
    text = "CannotLookup"


class NoUnsignedValidator(InvalidTransaction):
    """The call cannot be sent without a signature."""

    code = "transaction.no_unsigned_validator"
    scale = b"\x01\x01"
    text = "NoUnsignedValidator"


class InvalidBlock(Rejected):
    """A block breaks a rule; the message says which."""

    code = "block.invalid"


class UnknownApi(Rejected):
    """There is no runtime API of that name."""

    code = "runtime.unknown_api"
