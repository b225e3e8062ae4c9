"""A spend key cannot overspend: limits, scopes, trees, fees, and the one call that stops everything."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from aitoken.crypto.hashing import blake2_256
from aitoken.proto.extrinsic import Extrinsic
from aitoken.types import AccountId
from chain.frame.errors import BadOrigin, CannotPay
from chain.pallets.ai.allowances import PERIOD_MIN_MS, Allowances, SpendRefused
from chain.pallets.ai.allowances_types import DEPTH_MAX, GRANTS_MAX, Limits, Purpose, Scope
from chain.pallets.ai.pay_types import Payee, ToAccount, ToProvider
from tests.support.spending_chain import DAY, SpendingChain, account, ait, pair, schema, transaction

Error = Allowances.Error
EVERYTHING = list(Purpose)
MEMO = bytes(32)


def limits(per_transaction: int = 10, per_period: int = 15, total: int = 40, period: int = DAY) -> Limits:
    return Limits(ait(per_transaction), ait(per_period), ait(total), period)


def grant(
    chain: SpendingChain,
    key: str = "bob",
    owner: str = "alice",
    *,
    of: Limits | None = None,
    purposes: list[Purpose] | None = None,
    payees: list[Payee] | None = None,
    days: int = 30,
    parent: int | None = None,
) -> int:
    scope = Scope(EVERYTHING if purposes is None else purposes, payees or [])
    told = chain.run(owner, "Allowances.grant", account(key), of or limits(), scope, chain.now + days * DAY, parent)
    return int(told[-1].grant)


def payment(chain: SpendingChain, amount: int, to: Payee | None = None) -> Any:
    return chain.call("Pay.pay", to or ToAccount(account("dave")), amount, MEMO, b"")


def spend(chain: SpendingChain, number: int, call: Any, key: str = "bob", owner: str = "alice") -> list[Any]:
    return chain.run(key, "Allowances.spend", account(owner), number, call)


# ------------------------------------------------------------------------------------------------- limits


def test_a_key_spends_its_owners_money_up_to_each_limit_and_not_one_unit_more() -> None:
    chain = SpendingChain()
    number = grant(chain)
    spent = spend(chain, number, payment(chain, ait(10)))[-1]

    assert (spent.amount, spent.fee) == (ait(10), 0)
    assert chain.free("dave") == ait(1010)
    with pytest.raises(Error.OverTransaction):
        spend(chain, number, payment(chain, ait(10) + 1))
    with pytest.raises(Error.OverPeriod):
        spend(chain, number, payment(chain, ait(5) + 1))
    spend(chain, number, payment(chain, ait(5)))
    chain.wait(DAY)
    spend(chain, number, payment(chain, ait(10)))
    spend(chain, number, payment(chain, ait(5)))
    chain.wait(DAY)
    with pytest.raises(Error.OverPeriod):
        spend(chain, number, payment(chain, ait(10))), spend(chain, number, payment(chain, ait(6)))
    with pytest.raises(Error.OverTotal):
        spend(chain, number, payment(chain, 1))
    assert chain.free("dave") == ait(1040)
    chain.check()


def test_money_put_on_hold_and_deposits_count_as_spent_and_do_not_count_back() -> None:
    chain = SpendingChain()
    number = grant(chain)
    lock = chain.call("Pay.lock", account("dave"), ait(9), blake2_256(b"s" * 32), chain.now + DAY, b"")
    before = chain.free("alice")

    told = spend(chain, number, lock)

    assert told[-1].amount == before - chain.free("alice") > ait(9)
    held = next(event.lock for event in told if type(event).__name__ == "Locked")
    chain.run("dave", "Pay.reclaim", held)
    assert chain.allowances.grants.get((account("alice"), number)).spent == told[-1].amount
    chain.check()


def test_a_grant_ends_and_only_its_key_uses_it() -> None:
    chain = SpendingChain()
    number = grant(chain, days=1)
    with pytest.raises(Error.NotTheKey):
        spend(chain, number, payment(chain, 1), key="carol")
    with pytest.raises(Error.NoGrant):
        spend(chain, number + 1, payment(chain, 1))
    with pytest.raises(Error.NoGrant):
        spend(chain, number, payment(chain, 1), owner="carol")
    chain.wait(DAY)
    with pytest.raises(Error.Expired):
        spend(chain, number, payment(chain, 1))


def test_limits_and_keys_that_make_no_sense_are_refused() -> None:
    chain = SpendingChain()
    scope = Scope([Purpose.Pay], [])
    for bad in (limits(period=PERIOD_MIN_MS - 1),):
        with pytest.raises(Error.BadLimits):
            chain.run("alice", "Allowances.grant", account("bob"), bad, scope, chain.now + DAY, None)
    with pytest.raises(Error.BadLimits):
        chain.run("alice", "Allowances.grant", account("bob"), limits(), scope, chain.now, None)
    with pytest.raises(Error.OwnKey):
        chain.run("alice", "Allowances.grant", account("alice"), limits(), scope, chain.now + DAY, None)


def test_an_owner_changes_limits_and_what_was_spent_stays_counted() -> None:
    chain = SpendingChain()
    number = grant(chain)
    spend(chain, number, payment(chain, ait(10)))
    args = (limits(per_transaction=30, per_period=30, total=35), Scope([Purpose.Pay], [ToAccount(account("dave"))]))
    with pytest.raises(Error.NoGrant):
        chain.run("bob", "Allowances.update", number, *args, chain.now + DAY)

    chain.run("alice", "Allowances.update", number, *args, chain.now + DAY)

    with pytest.raises(Error.OverPeriod):
        spend(chain, number, payment(chain, ait(20) + 1))
    spend(chain, number, payment(chain, ait(20)))
    chain.wait(DAY - 1)
    chain.check()


def test_the_number_of_grants_of_an_owner_is_bounded() -> None:
    chain = SpendingChain()
    for _ in range(GRANTS_MAX):
        grant(chain)
    with pytest.raises(Error.TooMany):
        grant(chain)
    chain.check()


# ------------------------------------------------------------------------------------------------- scope


def test_a_key_pays_only_whom_and_for_what_it_may() -> None:
    chain = SpendingChain()
    number = grant(chain, purposes=[Purpose.Pay], payees=[ToProvider(7)])
    spend(chain, number, payment(chain, ait(1), ToProvider(7)))
    invoice = chain.run("dave", "Pay.create_invoice", ToAccount(account("dave")), 0, 5, chain.now + DAY, MEMO)[-1]
    for call in (
        payment(chain, 1),
        payment(chain, 1, ToAccount(account("payout"))),
        chain.call("Balances.transfer_keep_alive", account("dave"), 1),
        chain.call("Pay.pay_invoice", invoice.invoice, 5),
        chain.call("Pay.pay_invoice", 99, 5),
    ):
        with pytest.raises(Error.OutOfScope):
            spend(chain, number, call)


def test_a_key_can_neither_batch_nor_touch_what_controls_the_account() -> None:
    chain = SpendingChain()
    number = grant(chain)
    pay = payment(chain, 1)
    forbidden = [
        chain.call("Utility.batch_all", [pay]), chain.call("Utility.as_derivative", 0, pay),
        chain.call("Balances.transfer_allow_death", account("bob"), 1),
        chain.call("Balances.transfer_all", account("bob"), False), chain.call("Balances.burn", 1, True),
        chain.call("System.remark", b""), chain.call("Allowances.revoke_all"),
        chain.call("Allowances.spend", account("alice"), number, pay),
        chain.call("Allowances.update", number, limits(total=900), Scope(EVERYTHING, []), chain.now + DAY),
        chain.call("Allowances.grant", account("bob"), limits(total=900), Scope(EVERYTHING, []), chain.now + DAY, None),
        chain.call("Allowances.revoke", account("alice"), number),
        chain.call("Pay.cancel_authorization", MEMO), chain.call("Pay.create_split", []),
        chain.call("Pay.void_invoice", 0), chain.call("Pay.reclaim", 0),
    ]  # fmt: skip
    for call in forbidden:
        with pytest.raises(Error.OutOfScope):
            spend(chain, number, call)


def test_spending_as_nobody_is_refused() -> None:
    chain = SpendingChain()
    number = grant(chain)
    with pytest.raises(BadOrigin):
        chain.run("root", "Allowances.spend", account("alice"), number, payment(chain, 1))


# ------------------------------------------------------------------------------------------------- trees


def granted_on(chain: SpendingChain, parent: int, by: str, key: str, of: Limits | None = None, **scope: Any) -> int:
    call = chain.call(
        "Allowances.grant", account(key), of or limits(),
        Scope(scope.get("purposes", EVERYTHING), scope.get("payees", [])), chain.now + 60 * DAY, parent,
    )  # fmt: skip
    return int(next(event for event in spend(chain, parent, call, key=by) if hasattr(event, "parent")).grant)


def test_every_grant_up_to_the_root_limits_and_counts_what_the_last_one_spends() -> None:
    chain = SpendingChain()
    company = grant(chain, key="bob", of=limits(total=20))
    team = granted_on(chain, company, "bob", "carol", of=limits(per_transaction=8, total=900, per_period=900))
    agent = granted_on(chain, team, "carol", "eve", of=limits(per_transaction=900, total=900, per_period=900))

    spend(chain, agent, payment(chain, ait(7)), key="eve")

    spent = [chain.allowances.grants.get((account("alice"), number)).spent for number in (company, team, agent)]
    assert spent[2] == ait(7) < spent[1] < spent[0] < ait(8)  # with the deposits of what each granted on
    with pytest.raises(Error.OverTransaction):
        spend(chain, agent, payment(chain, ait(9)), key="eve")
    with pytest.raises(Error.OverPeriod):
        spend(chain, agent, payment(chain, ait(8)), key="eve")
    chain.wait(DAY)
    with pytest.raises(Error.OverTotal):
        spend(chain, agent, payment(chain, ait(8)), key="eve"), spend(chain, agent, payment(chain, ait(6)), key="eve")
    chain.check()


def test_a_scope_is_kept_by_all_that_is_granted_from_it() -> None:
    chain = SpendingChain()
    narrow = grant(chain, key="bob", purposes=[Purpose.Pay, Purpose.Delegate], payees=[ToProvider(7)])
    wide = granted_on(chain, narrow, "bob", "carol")
    spend(chain, wide, payment(chain, 1, ToProvider(7)), key="carol")
    for call in (payment(chain, 1), chain.call("Balances.transfer_keep_alive", account("dave"), 1)):
        with pytest.raises(Error.OutOfScope):
            spend(chain, wide, call, key="carol")
    plain = grant(chain, key="dave", purposes=[Purpose.Pay])
    with pytest.raises(Error.OutOfScope):
        granted_on(chain, plain, "dave", "eve")
    with pytest.raises(Error.OutOfScope):  # from another's grant
        spend(chain, narrow, chain.call(
            "Allowances.grant", account("eve"), limits(), Scope([], []), chain.now + DAY, plain))  # fmt: skip


def test_a_tree_is_bounded_in_depth() -> None:
    chain = SpendingChain()
    keys = ["bob", "carol", "dave", "eve", "operator"]
    number = grant(chain, key=keys[0])
    for by, key in pairwise(keys[:DEPTH_MAX]):
        number = granted_on(chain, number, by, key)
    with pytest.raises(Error.TooDeep):
        granted_on(chain, number, keys[DEPTH_MAX - 1], keys[DEPTH_MAX])


def test_a_lead_ends_what_it_granted_and_nothing_else() -> None:
    chain = SpendingChain()
    lead = grant(chain, key="bob")
    member = granted_on(chain, lead, "bob", "carol")
    agent = granted_on(chain, member, "carol", "eve")
    other = grant(chain, key="dave")

    spend(chain, lead, chain.call("Allowances.revoke", account("alice"), member))

    with pytest.raises(Error.Void):
        spend(chain, agent, payment(chain, 1), key="eve")
    for number in (lead, other):
        with pytest.raises(Error.OutOfScope):
            spend(chain, lead, chain.call("Allowances.revoke", account("alice"), number))
    chain.run("dave", "Allowances.revoke", account("alice"), agent)  # void, so anybody may clear it
    with pytest.raises(Error.NotAllowed):
        chain.run("dave", "Allowances.revoke", account("alice"), lead)
    chain.run("dave", "Allowances.revoke", account("alice"), other)  # its own
    chain.run("alice", "Allowances.revoke", account("alice"), lead)
    assert chain.free("alice") == ait(1000)
    chain.check()


def test_one_call_stops_every_key_at_once_and_new_grants_work() -> None:
    chain = SpendingChain()
    old = [grant(chain), grant(chain)]
    below = granted_on(chain, old[0], "bob", "carol")

    chain.run("alice", "Allowances.revoke_all")

    for number, key in ((old[0], "bob"), (old[1], "bob"), (below, "carol")):
        with pytest.raises(Error.Void):
            spend(chain, number, payment(chain, 1), key=key)
    with pytest.raises(Error.Void):
        grant(chain, key="eve", parent=old[0])
    chain.run("alice", "Allowances.update", old[0], limits(), Scope(EVERYTHING, []), chain.now + DAY)
    with pytest.raises(Error.Void):
        spend(chain, old[0], payment(chain, 1))
    spend(chain, grant(chain), payment(chain, 1))
    for number in (*old, below):
        chain.run("eve", "Allowances.revoke", account("alice"), number)
    chain.check()


# ------------------------------------------------------------------------------------------------- fees


def test_a_key_without_money_spends_and_the_fee_is_the_owners_and_counts() -> None:
    chain = SpendingChain()
    agent = pair("agent")
    number = grant(chain, key="agent")
    before, author = chain.free("alice"), chain.system.account.get(AccountId(agent.public))
    assert (author.free, author.providers, author.sufficients) == (0, 0, 1)

    chain.open_block()
    chain.executive.apply(transaction(chain, agent, number, payment(chain, ait(3)), tip=7))

    paid = next(event for event in chain.events() if type(event).__name__ == "TransactionFeePaid")
    found = chain.allowances.grants.get((account("alice"), number))
    assert paid.who == account("alice")
    assert before - chain.free("alice") == ait(3) + paid.actual_fee == found.spent
    assert chain.free("agent") == 0


def test_fees_of_failing_transactions_count_so_a_stolen_key_cannot_drain_the_owner_by_fees() -> None:
    chain = SpendingChain()
    agent = pair("agent")
    number = grant(chain, key="agent", of=Limits(ait(10), ait(10), ait(10), 0))
    before = chain.free("alice")
    chain.open_block()
    for _ in range(9):
        chain.executive.apply(transaction(chain, agent, number, payment(chain, ait(50)), tip=ait(1)))
    with pytest.raises(SpendRefused):
        chain.executive.apply(transaction(chain, agent, number, payment(chain, ait(50)), tip=ait(1)))

    assert ait(9) < before - chain.free("alice") <= ait(10)
    with pytest.raises(SpendRefused):
        chain.executive.apply(transaction(chain, agent, number, payment(chain, 1), tip=ait(1)))
    with pytest.raises(SpendRefused):  # one tip above what is left of a transaction
        chain.executive.apply(transaction(chain, agent, grant(chain, key="agent"), payment(chain, 1), tip=ait(11)))


def test_fee_and_spending_together_keep_the_limit_of_a_transaction() -> None:
    chain = SpendingChain()
    agent = pair("agent")
    number = grant(chain, key="agent")
    chain.open_block()

    chain.executive.apply(transaction(chain, agent, number, payment(chain, ait(10))))

    failed = [event for event in chain.events() if type(event).__name__ == "ExtrinsicFailed"]
    assert failed[0].dispatch_error == Error.OverTransaction
    assert chain.free("dave") == ait(1000)


@pytest.mark.parametrize("why", ["revoked", "killed", "expired", "exhausted", "parent revoked", "scope", "key", "none"])
def test_transactions_of_a_grant_that_is_not_good_are_invalid_before_their_signature_is_checked(why: str) -> None:
    chain = SpendingChain()
    agent = pair("agent")
    parent = grant(chain, key="carol")
    number = granted_on(chain, parent, "carol", "agent", of=Limits(ait(10), ait(10), ait(10), 0))
    what, key = payment(chain, ait(1)), agent
    chain.open_block()
    xt = transaction(chain, key, number, what)
    chain.executive.validate(xt, chain.system.number.get())
    if why == "revoked":
        chain.run("alice", "Allowances.revoke", account("alice"), number)
    elif why == "killed":
        chain.run("alice", "Allowances.revoke_all")
    elif why == "expired":
        chain.wait(61 * DAY)
    elif why == "exhausted":
        spend(chain, number, payment(chain, ait(10)), key="agent")
    elif why == "parent revoked":
        chain.run("alice", "Allowances.revoke", account("alice"), parent)
    elif why == "scope":
        what = chain.call("System.remark", b"")
    elif why == "key":
        key = pair("eve")
    elif why == "none":
        number = 99
    forged = transaction(chain, key, number, what)
    good = Extrinsic(forged.raw)
    events, alice = len(chain.machine.store.events), chain.free("alice")

    for each in (forged, good):
        with pytest.raises(SpendRefused) as refused:
            chain.executive.validate(each, chain.system.number.get())
        with pytest.raises(SpendRefused):
            chain.executive.apply(each)
    assert refused.value.scale == CannotPay.scale
    assert len(chain.machine.store.events) == events
    assert chain.free("alice") == alice


def test_an_owner_that_cannot_pay_the_fee_makes_the_transaction_invalid() -> None:
    chain = SpendingChain()
    number = grant(chain, key="agent")
    chain.run("alice", "Balances.transfer_all", account("dave"), True)
    chain.open_block()
    with pytest.raises(CannotPay) as refused:
        chain.executive.apply(transaction(chain, pair("agent"), number, payment(chain, 1)))
    assert not isinstance(refused.value, SpendRefused)


def test_a_batch_of_spendings_is_paid_by_the_key_and_counts_each() -> None:
    chain = SpendingChain()
    number = grant(chain)
    calls = [chain.call("Allowances.spend", account("alice"), number, payment(chain, ait(4))) for _ in range(3)]

    chain.run("bob", "Utility.batch_all", calls)

    assert chain.allowances.grants.get((account("alice"), number)).spent == ait(12)
    with pytest.raises(Error.OverPeriod):
        chain.run("bob", "Utility.batch_all", calls)


def test_a_key_is_an_account_as_long_as_a_grant_names_it() -> None:
    chain = SpendingChain()
    first, second = grant(chain, key="agent"), grant(chain, key="agent", owner="carol")
    chain.run("alice", "Allowances.revoke", account("alice"), first)
    assert chain.system.account.contains(account("agent"))
    chain.run("dave", "Balances.transfer_keep_alive", account("agent"), ait(1))
    chain.run("agent", "Balances.transfer_all", account("dave"), False)
    row = chain.system.account.get(account("agent"))
    assert (row.free, row.providers, row.sufficients) == (0, 0, 1)
    chain.run("carol", "Allowances.revoke", account("carol"), second)
    assert not chain.system.account.contains(account("agent"))
    chain.check()


def test_the_pool_never_takes_the_price_of_a_spending_for_the_signers() -> None:
    assert schema().call_info("Allowances.spend").fixed_weight is None
