"""What the executive asks of those who charge for transactions, pay for others, or know a short way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from aitoken.proto.extrinsic import Extrinsic
from aitoken.types import AccountId
from chain.frame.calls import Call
from chain.frame.types import AccountInfo, DispatchClass


class Fees(Protocol):
    """What the executive needs of the pallet that charges fees."""

    pending: int
    """Fees and tips taken in this block and not yet given out."""

    def open_block(self) -> None:
        """Forget what the last block collected."""

    def note_usage(self, normal_weight: int) -> None:
        """Be told, before the block is closed, what its normal transactions weigh."""

    def fee(self, length: int, weight: int) -> int:
        """Return the fee, without tip, of a transaction of that length whose call has that weight."""

    def check_payable(self, account: AccountInfo, amount: int) -> None:
        """Raise `CannotPay` unless the account can pay `amount` and live on."""

    def spendable(self, account: AccountInfo) -> int:
        """Return how much an account can pay in fees and live on."""

    def charged(self, who: AccountId, amount: int) -> None:
        """Note that `amount` was taken from `who`."""

    def settle(self, who: AccountId, charged: int, actual: int, tip: int) -> int:
        """Give back what was charged too much and record what was paid; return that."""

    def priority(self, length: int, weight: int, dispatch_class: DispatchClass, tip: int) -> int:
        """Return the priority of a transaction."""


class Sponsor(Protocol):
    """Has the fee of a call paid by somebody else than its signer, as far as it allows that."""

    def payer(self, signer: AccountId, args: tuple[Any, ...], amount: int) -> tuple[AccountId, int]:
        """Return who pays fee and tip of the call with these arguments, and how much it would pay like that in all.

        Cheap: asked before the signature is checked.

        Raises:
            InvalidTransaction: nobody does; the transaction is invalid.
        """

    def charged(self, args: tuple[Any, ...], amount: int) -> None:
        """Note that the payer was charged; what is written here stays even if the call fails."""

    def settled(self, args: tuple[Any, ...], charged: int, actual: int) -> None:
        """Note what of it was kept in the end."""


class OpenBlock(Protocol):
    """What a shortcut asks of the block it adds transactions to."""

    @property
    def additional_known(self) -> Mapping[int, bytes]:
        """What signer and chain both know, by the `terms` of extrinsics, as far as it was asked for in this block."""

    @property
    def extrinsics(self) -> Sequence[Extrinsic]:
        """What the block contains so far."""

    def decode(self, extrinsic: Extrinsic) -> Call:
        """Return the call of an extrinsic, or raise `DecodeError`."""

    def check_signature(self, extrinsic: Extrinsic) -> AccountId:
        """Return the signer, or raise `InvalidTransaction`."""

    def room(self, class_index: int) -> tuple[int, int]:
        """Return the weight and the length that transactions of a class may still have together."""

    def include(self, extrinsics: Sequence[Extrinsic], class_index: int, weight: int, length: int) -> None:
        """Add what was applied: transactions of one class, their weight and length together."""


class Shortcut(Protocol):
    """A straight line for usual transactions, one after the other."""

    def __call__(self, extrinsics: Iterator[Extrinsic], block: OpenBlock) -> Extrinsic | None:
        """Apply what comes next as long as it is usual; return the first that is not, None at the end.

        With each transaction either everything is done that the general way would do for one that is valid and whose
        call succeeds, or nothing.

        Raises:
            DecodeError: the call of the extrinsic that came last is malformed; nothing of it was done.
            InvalidTransaction: it does not belong into this block; nothing of it was done.
        """

    def accounts(self, extrinsics: Iterable[Extrinsic], block: OpenBlock) -> Iterator[AccountId]:
        """Yield whose accounts are looked at when `extrinsics` are applied, as far as they are usual."""
