"""Plans and subscriptions with the usual terms; on `tests.support.spending_chain`."""

from __future__ import annotations

from typing import Any

from aitoken.pay.units import INPUT_TOKEN, OUTPUT_TOKEN
from chain.pallets.ai.plans_types import Entitlements, Mandate, Period, PeriodUnit, PlanTerms, Refund
from tests.support.spending_chain import DAY, SpendingChain, account, ait

MONTH = Period(PeriodUnit.Month, 1)
PROFESSIONAL = Entitlements([b"m" * 32], 2, 600, 16, 9)
INCLUDED = [(INPUT_TOKEN, 1000), (OUTPUT_TOKEN, 500)]


def terms(**changes: Any) -> PlanTerms:
    fields: dict[str, Any] = {
        "currency": 0, "price": ait(100), "entitlements": PROFESSIONAL, "included": INCLUDED, "trial_days": 7,
        "refund": Refund.ProRata, "transferable": True,
    }  # fmt: skip
    return PlanTerms(**(fields | changes))


def published(chain: SpendingChain, plan: int | None = None, period: Period = MONTH, **changes: Any) -> int:
    told = chain.run("owner", "Plans.publish", 7, plan, period, terms(**changes))[-1]
    return int(told.plan)


def mandate(chain: SpendingChain, **changes: Any) -> Mandate:
    fields: dict[str, Any] = {
        "max_price": ait(100), "max_amount": ait(100), "until": chain.now + 360 * DAY, "auto_renew": True
    }  # fmt: skip
    return Mandate(**(fields | changes))


def subscribed(
    chain: SpendingChain, plan: int, who: str = "alice", to: str | None = None, trial: bool = False, **changes: Any
) -> int:
    version = chain.plans.plans.get(plan).version
    args = (plan, version, mandate(chain, **changes), None if to is None else account(to), trial)
    return int(chain.run(who, "Plans.subscribe", *args)[-1].subscription)
