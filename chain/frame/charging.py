"""What the executive asks of those who charge for transactions, pay for others, or know a short way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from aitoken.types import AccountId
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


Shortcut = Callable[[AccountId, int, tuple[Any, ...], int, int, bytes, bytes], bool]
"""(signer, nonce, arguments, fee and tip together, tip, phase, end of the success event) to whether it did it.

It is asked when the signature is checked and there is room in the block. Either it does everything the general way
would do for a transaction that is valid and a call that succeeds, or nothing.
"""
