"""Wallets' libraries read calls and storage of payments, plans, spend keys and disputes from the metadata alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitoken.pay.seals import commitment
from aitoken.pay.units import INPUT_TOKEN
from aitoken.types import AIT, Hash32
from chain.frame.types import Ed25519Signature
from chain.pallets.ai.allowances_types import Limits, Purpose, Scope
from chain.pallets.ai.disputes_types import OfSession, OfSubscription
from chain.pallets.ai.pay_types import AuthorizationTerms, Share, ToAccount, ToProvider, ToSplit
from chain.pallets.ai.plans_types import Entitlements, Mandate, Period, PeriodUnit, PlanTerms, Refund
from tests.interop.test_wallet_libraries import CLIENT_SECONDS, javascript, run
from tests.support.pay_chain import PayChain, account

pytestmark = [pytest.mark.interop, pytest.mark.slow]

__all__ = ["javascript"]

ROOT = Hash32(b"e" * 32)
DAY = 86_400_000


def given(chain: PayChain) -> dict[str, Any]:
    """Every call that carries a type of its own, and what is stored in the middle of things."""
    payer, other = account("payer"), account("other")
    terms = AuthorizationTerms(payer, other, 0, 5, True, 1, 2, bytes(32), ROOT)
    plan = PlanTerms(0, AIT, Entitlements([ROOT], 1, 2, 3, 4), [(INPUT_TOKEN, 9)], 7, Refund.ProRata, transferable=True)
    month, mandate = Period(PeriodUnit.Month, 1), Mandate(AIT, AIT, chain.now + 90 * DAY, auto_renew=True)
    limits, scope = Limits(AIT, 2, 3, 60_000), Scope(list(Purpose), [ToAccount(other), ToSplit(1), ToProvider(1)])
    pay = chain.schema.make_call("Pay.pay", ToProvider(1), 5, ROOT, b"ref")
    calls: list[tuple[Any, ...]] = [
        *(("Pay.pay", to, 5, ROOT, b"ref") for to in (ToAccount(other), ToSplit(3), ToProvider(1))),
        ("Pay.execute_authorization", terms, Ed25519Signature(bytes(64)), 5),
        ("Pay.create_split", [Share(payer, 4000), Share(other, 6000)]),
        ("Pay.create_invoice", ToAccount(other), 840, 5, chain.now + DAY, ROOT),
        ("Pay.lock", other, 5, ROOT, chain.now + DAY, b"sealed"),
        ("Plans.publish", 1, None, month, plan),
        ("Plans.publish", 1, 4, month, plan),
        ("Plans.subscribe", 0, 1, mandate, None, True),
        ("Plans.subscribe", 0, 1, mandate, other, False),
        ("Plans.redeem", 0, 1, [(INPUT_TOKEN, 5)], ROOT),
        ("Allowances.grant", other, limits, scope, chain.now + DAY, None),
        ("Allowances.grant", other, limits, scope, 5, 7),
        ("Allowances.spend", payer, 0, pay),
        ("Disputes.open", OfSession(ROOT), 5, ROOT, [ROOT, ROOT]),
        ("Disputes.open", OfSubscription(1, 2), 5, ROOT, []),
        ("Disputes.commit", 0, bytes(32)),
        ("Disputes.reveal", 0, 5, bytes(32)),
    ]
    assert chain.sell() == 1
    made = [
        ("payer", *calls[4]), ("payer", *calls[5]), ("payer", *calls[6]), ("owner", *calls[7]),
        ("payer", *calls[9]), ("payer", *calls[12]),
        ("owner", "Plans.publish", 1, None, month, PlanTerms(
            0, AIT, Entitlements([], 0, 0, 0, 0), [], 0, Refund.Nothing, transferable=False)),
    ]  # fmt: skip
    for who, name, *args in made:
        chain.call(who, name, *args)
    plans = sorted(number for number, _ in chain.plans.plans.items())
    chain.call("payer", "Plans.subscribe", plans[1], 1, mandate, None, False)
    number = max(number for number, _ in chain.plans.subscriptions.items())
    chain.call("payer", "Disputes.open", OfSubscription(number, 1), AIT, ROOT, [ROOT])
    chain.call("operator", "Disputes.respond", 0, ROOT)
    chain.call("owner", "Disputes.offer", 0, 5)
    chain.call("other", "Disputes.register_arbiter", 200 * AIT)
    chain.disputes._arbiters.seat(0, 0, bytes(32), (), 3)
    chain.disputes.panels.put(
        0, [type(seat)(seat.arbiter, commitment(0, 0, seat.arbiter, 5, bytes(32)), 5)
            for seat in chain.disputes.panels.get(0)]
    )  # fmt: skip
    values = [
        *((chain.pay, item, key) for item, key in (("splits", 0), ("invoices", 1), ("hashlocks", 2))),
        (chain.plans, "plans", plans[0]), (chain.plans, "versions", (plans[0], 1)),
        (chain.plans, "subscriptions", number), (chain.allowances, "grants", (payer, 0)),
        (chain.disputes, "cases", 0), (chain.disputes, "panels", 0), (chain.disputes, "arbiters", other),
        (chain.balances, "holds", payer),
    ]  # fmt: skip
    return {
        "metadata": "0x" + chain.runtime.metadata(14).hex(),
        "calls": [(name, "0x" + chain.schema.make_call(name, *args).encode().hex()) for name, *args in calls],
        "values": [
            (pallet.name.lower(), item, "0x" + getattr(pallet, item).encode(getattr(pallet, item).get(key)).hex())
            for pallet, item, key in values
        ],
    }


def test_polkadot_js_reads_payments_from_the_metadata(tmp_path: Path, javascript: Path) -> None:
    chain = PayChain()
    chain.begin()
    everything = given(chain)
    file = tmp_path / "given.json"
    file.write_bytes(msgspec.json.encode(everything))

    run(["node", "polkadot_js_sessions.mjs", str(file)], CLIENT_SECONDS, javascript)
