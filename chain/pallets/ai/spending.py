"""What calls a spend key may make, for what purpose, and whom they pay. Everything that is not here it may not.

Only calls that move the owner's money to a payee or promise it to one belong here, and an attester's verdicts: none
that changes who controls the account, that moves money already on hold elsewhere (so a session is closed with its
grace, not by agreement), that lets others take more of it later (a subscription that renews by itself), or that
carries other calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from aitoken.types import AccountId, Hash32
from chain.pallets.ai.allowances_types import Purpose
from chain.pallets.ai.pay_types import Payee, ToAccount, ToProvider

if TYPE_CHECKING:
    from aitoken.pay.layouts import OpenParams
    from chain.frame.calls import Call

Whom = Callable[[dict[str, Any], AccountId], Payee | None]

DELEGATES: Final = ("Allowances.grant", "Allowances.revoke")


class Invoices(Protocol):
    """Whom invoices pay; the Pay pallet."""

    def payee_of_invoice(self, invoice: int) -> Payee | None:
        """Return whom an invoice pays."""


class Subscriptions(Protocol):
    """With whom plans and subscriptions are; the Plans pallet."""

    def provider_of_plan(self, plan: int) -> int | None:
        """Return who sells a plan."""

    def provider_of_subscription(self, subscription: int) -> int | None:
        """Return with whom a subscription is."""


class OpenSessions(Protocol):
    """Who pays whom by sessions; the Sessions pallet."""

    def parties_of(self, session: Hash32) -> tuple[AccountId, int] | None:
        """Return payer and provider of a session, None where there is none."""

    def id_of(self, payer: AccountId, params: OpenParams) -> Hash32:
        """Return the id of the session a payer would open."""


def _provider(number: int | None) -> Payee | None:
    return None if number is None else ToProvider(number)


class Spendable:
    """The table of calls."""

    def __init__(self, invoices: Invoices, plans: Subscriptions, sessions: OpenSessions) -> None:
        def plan(args: dict[str, Any], _: AccountId) -> Payee | None:
            return _provider(plans.provider_of_plan(args["plan"]))

        def subscription(args: dict[str, Any], _: AccountId) -> Payee | None:
            return _provider(plans.provider_of_subscription(args["subscription"]))

        def session(args: dict[str, Any], owner: AccountId) -> Payee | None:
            payer, provider = sessions.parties_of(args["session"]) or (owner, None)
            return _provider(provider) if payer == owner else ToAccount(payer)  # who gets what is left

        def nobody(*_: object) -> None:
            """An attester's verdicts cost their fees; what they put at risk is the stake, and a stranger's money."""

        self._sessions = sessions
        self._calls: dict[str, tuple[Purpose, Whom]] = {
            "Balances.transfer_keep_alive": (Purpose.Transfer, lambda args, _: ToAccount(args["dest"])),
            "Pay.pay": (Purpose.Pay, lambda args, _: args["to"]),
            "Pay.pay_invoice": (Purpose.Pay, lambda args, _: invoices.payee_of_invoice(args["invoice"])),
            "Pay.lock": (Purpose.Pay, lambda args, _: ToAccount(args["payee"])),
            "Sessions.open": (Purpose.Sessions, lambda args, _: ToProvider(args["params"].provider)),
            "Sessions.top_up": (Purpose.Sessions, session),
            "Sessions.close": (Purpose.Sessions, session),
            "Plans.subscribe": (Purpose.Plans, plan),
            "Plans.renew": (Purpose.Plans, subscription),
            "Plans.cancel": (Purpose.Plans, subscription),
            "Rewards.vote": (Purpose.Attest, nobody),
            "Rewards.reveal": (Purpose.Attest, nobody),
        }

    def meaning_of(self, call: Call, owner: AccountId) -> tuple[Purpose | None, Payee | None]:
        """Return what a call of an owner is for and whom it pays; (None, None) for one no spend key may make."""
        name = repr(call.info)
        if name in DELEGATES:
            return Purpose.Delegate, None
        found, arguments = self._calls.get(name), call.arguments
        if found is None or _reaches_further(name, arguments):
            return None, None
        purpose, whom = found
        return purpose, whom(arguments, owner)

    def session_of(self, call: Call, owner: AccountId) -> tuple[Hash32, bool] | None:
        """Return the session a call of an owner puts money into and whether it opens it; None for other calls."""
        name, arguments = repr(call.info), call.arguments
        if name == "Sessions.open":
            return self._sessions.id_of(owner, arguments["params"]), True
        return (Hash32(arguments["session"]), False) if name == "Sessions.top_up" else None


def _reaches_further(name: str, arguments: dict[str, Any]) -> bool:
    """Whether a call would move more than what leaves the owner's free balance now."""
    if name == "Plans.subscribe":
        return bool(arguments["mandate"].auto_renew)
    return name == "Sessions.close" and arguments["agreement"] is not None
