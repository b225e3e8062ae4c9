"""Spend keys on the whole runtime: real providers, sessions, plans and blocks."""

from __future__ import annotations

from typing import Any

import pytest

from aitoken.pay.layouts import CUMULATIVE, OpenParams, Voucher
from aitoken.proto.extrinsic import Extrinsic
from aitoken.types import AIT, Hash32, Moment
from chain.frame.executive import Executive
from chain.pallets.ai.allowances import SpendRefused
from chain.pallets.ai.allowances_types import SESSIONS_MAX, Limits, Purpose, Scope
from chain.pallets.ai.pay_types import ToProvider
from chain.pallets.ai.sessions_types import Acked, Agreement, ClaimItem, SessionClaims, ToKey
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
    assert len([chain.schema.call_info(name) for name in names]) == 14


def test_a_key_that_attests_makes_verdicts_and_nothing_else_of_rewards(chain: PayChain) -> None:
    spendable, owner, seal = Spendable(chain.pay, chain.plans, chain.sessions), account("payer"), bytes(32)

    def meaning(name: str, *args: Any) -> Any:
        return spendable.meaning_of(chain.schema.make_call(f"Rewards.{name}", *args), owner)

    assert meaning("vote", 1, seal) == meaning("reveal", 1, True, seal) == (Purpose.Attest, None)
    for call in (("stake", 1), ("retire",), ("join", 1), ("submit", 1, seal), ("fund", 1, AIT), ("challenge", 1, seal)):
        assert meaning(*call) == (None, None)


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


class Spending:
    """A payer whose agent opens sessions with a provider, and what the chain knows of them."""

    def __init__(self, chain: PayChain) -> None:
        self.chain = chain
        self.provider = chain.sell()
        self.grant = granted(chain, self.provider)

    def spend(self, name: str, *args: Any, grant: int | None = None, key: str = "agent") -> None:
        number = self.grant if grant is None else grant
        call = self.chain.schema.make_call(name, *args)
        self.chain.call(key, "Allowances.spend", account("payer"), number, call)

    def open(self, amount: int, salt: int = 0, *, grant: int | None = None, key: str = "agent") -> Hash32:
        params = session(self.chain, self.provider, salt)
        self.spend("Sessions.open", params, amount, grant=grant, key=key)
        return self.chain.sessions.id_of(account("payer"), params)

    def spent(self, grant: int | None = None) -> int:
        number = self.grant if grant is None else grant
        return int(self.chain.allowances.grants.get((account("payer"), number)).spent)

    def counted(self) -> int:
        """How many sessions Allowances knows of; both its accounts of it agree."""
        rows = list(self.chain.allowances.sessions.items(account("payer")))
        assert self.chain.allowances.session_count.get(account("payer")) == len(rows)
        return len(rows)

    def claim(self, number: Hash32, total: int, *, who: str = "operator") -> list[Any]:
        """Claim what the agent's key has promised of a session, countersigned."""
        voucher = Voucher(number, 0, CUMULATIVE, 0, 2, total, total, Moment(2**63), Hash32(b"r" * 32))
        item = ClaimItem(
            0, 0, 2, total, total, 2**63, b"r" * 32, pair("agent").sign(voucher.encode()), Acked()
        )  # fmt: skip
        self.chain.call(who, "Sessions.claim", [SessionClaims(number, [item])])
        return self.chain.emitted()

    def take(self, number: Hash32, total: int) -> int:
        """Claim so much; what the session has paid in all then."""
        self.claim(number, total)
        return int(self.chain.sessions.sessions.get(number).claimed)


@pytest.fixture
def spending_by_key(chain: PayChain) -> Spending:
    return Spending(chain)


def test_revoking_a_grant_freezes_its_sessions_and_what_was_promised_has_the_grace(spending_by_key: Spending) -> None:
    it, chain = spending_by_key, spending_by_key.chain
    other = granted(chain, it.provider)
    mine, theirs = it.open(20 * AIT), it.open(20 * AIT, 1, grant=other)
    assert it.counted() == 2
    assert it.take(mine, AIT) == AIT

    chain.call("payer", "Allowances.revoke", account("payer"), it.grant)

    assert [event.session for event in chain.told("KeyChanged")] == [mine]
    assert it.counted() == 1
    assert chain.sessions.sessions.get(theirs).key is not None
    assert it.take(mine, 2 * AIT) == 2 * AIT
    chain.pass_time(1000, int(chain.sessions.min_grace))
    assert it.take(mine, 3 * AIT) == 2 * AIT
    assert it.take(theirs, AIT) == AIT


def test_the_kill_switch_freezes_all_that_keys_have_opened_and_nothing_else(spending_by_key: Spending) -> None:
    it, chain = spending_by_key, spending_by_key.chain
    opened = {it.open(20 * AIT), it.open(20 * AIT, 1, grant=granted(chain, it.provider))}
    params = session(chain, it.provider, 2)
    chain.call("payer", "Sessions.open", params, 5 * AIT)
    own = chain.sessions.id_of(account("payer"), params)
    chain.emitted()

    chain.call("payer", "Allowances.revoke_all")

    assert {event.session for event in chain.told("KeyChanged")} == opened
    assert it.counted() == 0
    chain.pass_time(1000, int(chain.sessions.min_grace))
    assert [it.take(number, AIT) for number in opened] == [0, 0]
    assert it.take(own, AIT) == AIT


def test_a_grant_takes_the_sessions_of_all_below_it_with_it(spending_by_key: Spending) -> None:
    it, chain = spending_by_key, spending_by_key.chain
    limits, scope = Limits(60 * AIT, 100 * AIT, 100 * AIT, 0), Scope([Purpose.Sessions, Purpose.Delegate], [])
    top = int(chain.allowances.next_grant.get())
    chain.call("payer", "Allowances.grant", account("other"), limits, scope, chain.now + DAY, None)
    below = Scope([Purpose.Sessions], [])
    it.spend("Allowances.grant", account("agent"), limits, below, chain.now + DAY, top, grant=top, key="other")
    mine = it.open(20 * AIT, grant=top + 1)
    chain.emitted()

    chain.call("other", "Allowances.revoke", account("payer"), top)

    assert [event.session for event in chain.told("KeyChanged")] == [mine]


def test_whoever_tidies_up_a_grant_that_is_over_freezes_nothing(spending_by_key: Spending) -> None:
    it, chain = spending_by_key, spending_by_key.chain
    mine = it.open(20 * AIT)
    chain.pass_time(DAY)
    chain.call("stranger", "Allowances.revoke", account("payer"), it.grant)
    assert chain.sessions.sessions.get(mine).key is not None
    assert it.counted() == 1
    chain.call("payer", "Allowances.revoke_all")
    assert chain.sessions.sessions.get(mine).key is None


def test_what_comes_back_at_the_end_of_a_session_counts_back_and_no_more(spending_by_key: Spending) -> None:
    it, chain = spending_by_key, spending_by_key.chain
    mine = it.open(20 * AIT)
    put_in = it.spent()
    it.spend("Sessions.top_up", mine, 10 * AIT)
    chain.call("other", "Sessions.top_up", mine, 50 * AIT)
    assert it.take(mine, 5 * AIT) == 5 * AIT
    before = it.spent()
    assert before == put_in + 10 * AIT
    chain.emitted()

    chain.call("operator", "Sessions.close", mine, None)

    told = chain.told("CountedBack")[0]
    assert (told.owner, told.grant, told.session) == (account("payer"), it.grant, mine)
    assert told.amount == before, "somebody else's 50 AIT are not the key's to spend"
    assert it.spent() == 0
    assert it.counted() == 0
    again = it.open(20 * AIT, 3)
    before = it.spent()
    assert it.take(again, 8 * AIT) == 8 * AIT
    chain.call("operator", "Sessions.close", again, None)
    assert before - it.spent() == 12 * AIT


def test_a_session_whose_key_the_payer_changes_is_no_longer_the_spend_keys(spending_by_key: Spending) -> None:
    it, chain = spending_by_key, spending_by_key.chain
    mine = it.open(20 * AIT)
    chain.call("payer", "Sessions.change", mine, ToKey(pair("other").public))
    assert it.counted() == 0
    chain.call("payer", "Allowances.revoke_all")
    found = chain.sessions.sessions.get(mine)
    assert (found.key, found.former_key.key) == (pair("other").public, pair("agent").public)


def test_keys_open_so_many_sessions_and_no_more_until_one_has_ended(spending_by_key: Spending) -> None:
    it, chain = spending_by_key, spending_by_key.chain
    limits, scope = Limits(60 * AIT, 100 * AIT, 900 * AIT, 0), Scope([Purpose.Sessions], [])
    chain.call("payer", "Allowances.update", it.grant, limits, scope, chain.now + DAY)
    opened = [it.open(AIT, salt) for salt in range(SESSIONS_MAX)]
    more = chain.schema.make_call("Sessions.open", session(chain, it.provider, SESSIONS_MAX), AIT)
    chain.refused("Allowances.TooManySessions", "agent", "Allowances.spend", account("payer"), it.grant, more)
    chain.call("operator", "Sessions.close", opened[5], None)
    it.open(AIT, SESSIONS_MAX)
    assert it.counted() == SESSIONS_MAX


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
