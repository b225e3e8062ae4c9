"""Spend keys on the whole runtime: real providers, sessions, plans and blocks."""

from __future__ import annotations

from typing import Any

import pytest

from aitoken.pay.layouts import OpenParams
from aitoken.proto.extrinsic import Extrinsic
from aitoken.types import AIT
from chain.frame.executive import Executive
from chain.pallets.ai.allowances import SpendRefused
from chain.pallets.ai.allowances_types import Limits, Purpose, Scope
from chain.pallets.ai.pay_types import ToProvider
from chain.pallets.ai.sessions_types import Agreement
from chain.pallets.ai.spending import DELEGATES, Spendable
from tests.support.pay_chain import PayChain, account, pair, spending

DAY = 86_400_000


def session(chain: PayChain, provider: int, salt: int = 0) -> OpenParams:
    key = pair("agent").public
    grace = int(chain.sessions.min_grace)
    return OpenParams(provider, 1, key, 0, chain.number + 1000, grace, 4, bytes([salt]) * 16)


def granted(chain: PayChain, provider: int) -> int:
    limits = Limits(60 * AIT, 100 * AIT, 100 * AIT, 0)
    scope = Scope([Purpose.Sessions], [ToProvider(provider)])
    number = int(chain.allowances.next_grant.get())
    chain.call("payer", "Allowances.grant", account("agent"), limits, scope, chain.now + DAY, None)
    return number


@pytest.fixture
def chain() -> PayChain:
    made = PayChain()
    made.begin()
    return made


def test_every_call_of_the_table_exists(chain: PayChain) -> None:
    names = (*Spendable(chain.pay, chain.plans, chain.sessions)._calls, *DELEGATES)
    assert len([chain.schema.call_info(name) for name in names]) == 12


def test_a_key_without_money_opens_tops_up_and_closes_sessions_with_its_provider_only(chain: PayChain) -> None:
    provider = chain.sell()
    grant = granted(chain, provider)
    spend = ("agent", "Allowances.spend", account("payer"), grant)

    def make(name: str, *args: Any) -> Any:
        return chain.schema.make_call(name, *args)

    mine, other = session(chain, provider), session(chain, provider, salt=1)
    before = chain.free("payer")
    chain.call(*spend, make("Sessions.open", mine, 50 * AIT))
    opened = chain.told("Opened")[0]
    assert opened.payer == account("payer")
    spent = chain.allowances.grants.get((account("payer"), grant)).spent
    assert spent == before - chain.free("payer") > 50 * AIT

    chain.call("other", "Sessions.open", other, 5 * AIT)
    theirs = chain.told("Opened")[0].session
    chain.refused("Allowances.OutOfScope", *spend, make("Sessions.top_up", theirs, AIT))
    chain.refused("Allowances.OutOfScope", *spend, make("Sessions.open", session(chain, 99), AIT))
    agreement = Agreement(50 * AIT, chain.now + DAY, bytes(64))
    chain.refused("Allowances.OutOfScope", *spend, make("Sessions.close", opened.session, agreement))
    chain.refused("Allowances.OutOfScope", *spend, make("Sessions.refund", opened.session, 1, bytes(32)))
    chain.refused("Allowances.OverTotal", *spend, make("Sessions.top_up", opened.session, 50 * AIT))
    chain.call(*spend, make("Sessions.top_up", opened.session, 10 * AIT))
    chain.call(*spend, make("Sessions.close", opened.session, None))


def test_a_real_block_takes_the_fee_from_the_owner_and_refuses_what_is_revoked() -> None:
    chain = PayChain()
    limits, scope = Limits(60 * AIT, 100 * AIT, 100 * AIT, 0), Scope([Purpose.Pay, Purpose.Transfer], [])
    chain.run("payer", "Allowances.grant", account("agent"), limits, scope, chain.time_ms + DAY, None)
    assert chain.free("agent") == 0
    before = chain.free("payer")
    spend = spending(chain, 0, chain.schema.make_call("Balances.transfer_keep_alive", account("other"), 3 * AIT))

    chain.block(spend)

    fee = chain.named("TransactionFeePaid")[0]
    assert fee.who == account("payer")
    assert before - chain.free("payer") == 3 * AIT + fee.actual_fee
    assert chain.allowances.grants.get((account("payer"), 0)).spent == 3 * AIT + fee.actual_fee
    chain.check_money()
    late = spending(chain, 0, chain.schema.make_call("Balances.transfer_keep_alive", account("other"), AIT))
    assert valid(chain, late) is None
    chain.run("payer", "Allowances.revoke_all")
    assert valid(chain, late) is not None
    with pytest.raises(SpendRefused):
        chain.block(late)


def valid(chain: PayChain, extrinsic: Extrinsic) -> SpendRefused | None:
    """What the pool is told."""
    executive: Executive = chain.runtime.new_instance().executive
    executive.load_for_next(chain.state, chain.header.number, chain.header.hash)
    try:
        executive.validate(Extrinsic(extrinsic.raw), chain.header.number + 1)
    except SpendRefused as refused:
        return refused
    return None
