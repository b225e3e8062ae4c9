"""Disputes on the whole runtime: awards come out of a real bond, which stays while a case runs."""

from __future__ import annotations

from aitoken.types import AIT
from chain.pallets.ai.disputes_types import Ended, OfSession, OfSubscription
from chain.pallets.ai.plans_types import Entitlements, Mandate, Period, PeriodUnit, PlanTerms, Refund
from chain.pallets.ai.providers_types import ProvidersHoldReason
from tests.support.pay_chain import PayChain
from tests.support.pay_session import PaySession

DAY = 86_400_000
ROOT = b"e" * 32
BOND = ProvidersHoldReason.Bond


def test_an_award_comes_out_of_the_bond_and_nothing_of_it_leaves_meanwhile() -> None:
    chain = PayChain()
    chain.begin()
    provider = chain.sell()
    terms = PlanTerms(0, 3000 * AIT, Entitlements([], 0, 0, 0, 0), [], 0, Refund.Nothing, False)
    chain.call("owner", "Plans.publish", provider, None, Period(PeriodUnit.Month, 1), terms)
    plan = chain.told("PlanPublished")[0].plan
    mandate = Mandate(3000 * AIT, 3000 * AIT, chain.now + 300 * DAY, False)
    chain.call("payer", "Plans.subscribe", plan, 1, mandate, None, False)
    number = chain.told("Subscribed")[0].subscription
    chain.call("owner", "Providers.unbond", provider, 3500 * AIT)
    chain.call("payer", "Disputes.open", OfSubscription(number, 1), 3000 * AIT, ROOT, [])
    chain.pass_time(int(chain.providers.unbonding))
    chain.refused("Providers.NothingToWithdraw", "other", "Providers.withdraw", provider)
    before = chain.free("payer")
    assert chain.held(BOND, "owner") == 5000 * AIT

    chain.call("other", "Disputes.advance", 0)

    assert chain.disputes.cases.get(0).phase == Ended(3000 * AIT)
    assert chain.free("payer") == before + 3000 * AIT + 60 * AIT  # and the bond of the case
    assert chain.held(BOND, "owner") == 2000 * AIT
    row = chain.providers.providers.get(provider)
    assert (row.bond, [chunk.amount for chunk in row.unbonding]) == (0, [2000 * AIT])
    chain.check_providers()
    chain.call("other", "Providers.withdraw", provider)
    assert chain.held(BOND, "owner") == 0
    chain.check_providers()


def test_a_session_is_disputed_for_what_was_claimed_and_not_given_back() -> None:
    chain = PayChain()
    chain.begin()
    session = PaySession(chain, chain.sell())
    chain.refused("AmountTooHigh", "payer", "Disputes.open", OfSession(session.id), 1, ROOT, [])
    session.claim(session.item(session.voucher(0, 0, 40 * AIT)), who="operator")
    chain.call("owner", "Sessions.refund", session.id, 15 * AIT, ROOT)
    subject = OfSession(session.id)
    chain.refused("AmountTooHigh", "payer", "Disputes.open", subject, 25 * AIT + 1, ROOT, [])
    chain.refused("NotPayer", "other", "Disputes.open", subject, 25 * AIT, ROOT, [])
    chain.call("payer", "Disputes.open", subject, 25 * AIT, ROOT, [])
    chain.call("owner", "Sessions.refund", session.id, 5 * AIT, ROOT)
    chain.pass_time(2 * int(chain.disputes.step_ms))
    before = chain.free("payer")

    chain.call("other", "Disputes.advance", 0)

    assert chain.disputes.cases.get(0).phase == Ended(20 * AIT)
    assert chain.free("payer") == before + 20 * AIT + AIT
    chain.check_providers()
