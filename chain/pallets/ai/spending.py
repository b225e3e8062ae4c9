"""What calls a spend key may make, for what purpose, and whom they pay. Everything that is not here it may not.

Only calls that move the owner's money to a payee or promise it to one belong here: none that changes who controls the
account, that moves money already on hold elsewhere, or that carries other calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from chain.pallets.ai.allowances_types import Purpose
from chain.pallets.ai.pay_types import Payee, ToAccount

if TYPE_CHECKING:
    from chain.frame.calls import Call

Whom = Callable[[dict[str, Any]], Payee | None]

DELEGATES: Final = ("Allowances.grant", "Allowances.revoke")


class Invoices(Protocol):
    """Whom invoices pay; the Pay pallet."""

    def payee_of_invoice(self, invoice: int) -> Payee | None:
        """Return whom an invoice pays."""


class Spendable:
    """The table of calls."""

    def __init__(self, invoices: Invoices) -> None:
        self._calls: dict[str, tuple[Purpose, Whom]] = {
            "Balances.transfer_keep_alive": (Purpose.Transfer, lambda args: ToAccount(args["dest"])),
            "Pay.pay": (Purpose.Pay, lambda args: args["to"]),
            "Pay.pay_invoice": (Purpose.Pay, lambda args: invoices.payee_of_invoice(args["invoice"])),
            "Pay.lock": (Purpose.Pay, lambda args: ToAccount(args["payee"])),
        }

    def meaning_of(self, call: Call) -> tuple[Purpose | None, Payee | None]:
        """Return what a call is for and whom it pays; (None, None) for a call no spend key may make."""
        name = repr(call.info)
        if name in DELEGATES:
            return Purpose.Delegate, None
        found = self._calls.get(name)
        if found is None:
            return None, None
        purpose, whom = found
        return purpose, whom(call.arguments)
