"""Payments in one go: authorisations are used once, splits lose nothing, invoices and locks pay once or not at all."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.layouts import Authorization
from aitoken.types import AIT, AccountId
from chain.frame.errors import FundsUnavailable
from chain.frame.types import EcdsaSignature, Ed25519Signature, Sr25519Signature
from chain.pallets.ai.pay import AUTHORIZATION_LIFETIME_MS, CLEARED_MAX, Pay
from chain.pallets.ai.pay_types import BPS, RECIPIENTS_MAX, AuthorizationTerms, Share, ToAccount, ToProvider, ToSplit
from tests.support.spending_chain import DAY, ED, GENESIS, HOUR, NONCE_DEPOSIT, SpendingChain, account, ait, pair

Error = Pay.Error
MEMO = b"M" * 32
SECRET = b"s" * 32


def authorization(chain: SpendingChain, **changes: Any) -> AuthorizationTerms:
    fields: dict[str, Any] = {
        "payer": account("alice"), "payee": account("bob"), "asset": 0, "maximum": ait(5), "exact": False,
        "valid_after": chain.now - HOUR, "valid_before": chain.now + HOUR, "nonce": b"n" * 32, "memo_hash": MEMO,
    }  # fmt: skip
    return AuthorizationTerms(**(fields | changes))


def signature(chain: SpendingChain, what: AuthorizationTerms, signer: Any = None) -> Ed25519Signature:
    return Ed25519Signature((signer or pair("alice")).sign(chain.pay.signed_bytes(what)))


def execute(chain: SpendingChain, what: AuthorizationTerms, amount: int, relayer: str = "eve") -> list[Any]:
    return chain.run(relayer, "Pay.execute_authorization", what, signature(chain, what), amount)


# ------------------------------------------------------------------------------------------------- pay


def test_a_payment_reaches_account_and_provider_with_memo_and_reference() -> None:
    chain = SpendingChain()

    paid = chain.run("alice", "Pay.pay", ToAccount(account("bob")), ait(3), MEMO, b"order 7")[-1]
    chain.run("alice", "Pay.pay", ToProvider(7), ait(2), MEMO, b"")

    assert (paid.amount, paid.memo_hash, paid.reference) == (ait(3), MEMO, b"order 7")
    assert (chain.free("alice"), chain.free("bob"), chain.free("payout")) == (ait(995), ait(1003), ait(1002))
    with pytest.raises(Error.NoProvider):
        chain.run("alice", "Pay.pay", ToProvider(8), ait(2), MEMO, b"")
    with pytest.raises(Error.NothingToPay):
        chain.run("alice", "Pay.pay", ToAccount(account("bob")), 0, MEMO, b"")
    chain.check()


# ------------------------------------------------------------------------------------------------- authorisations


def test_what_a_payer_signs_are_the_bytes_of_the_protocol() -> None:
    chain = SpendingChain()
    what = authorization(chain)

    assert Authorization.decode(chain.pay.signed_bytes(what)) == Authorization(
        GENESIS, what.payer, what.payee, 0, what.maximum, False, what.valid_after, what.valid_before, what.nonce, MEMO
    )


@pytest.mark.parametrize("scheme", ["ed25519", "sr25519"])
def test_an_authorisation_is_carried_out_once_by_anybody_and_the_relayer_gets_its_deposit_back(scheme: str) -> None:
    chain = SpendingChain()
    signer = pair_from_uri("//signer", scheme)
    payer = AccountId(signer.public)
    chain.run("carol", "Balances.transfer_keep_alive", payer, ait(10))
    what = authorization(chain, payer=payer)
    signed = (Ed25519Signature if scheme == "ed25519" else Sr25519Signature)(signer.sign(chain.pay.signed_bytes(what)))

    used = chain.run("eve", "Pay.execute_authorization", what, signed, ait(2))[-1]

    assert (used.amount, used.relayer) == (ait(2), account("eve"))
    assert (chain.free(payer), chain.free("bob"), chain.free("eve")) == (ait(8), ait(1002), ait(1000) - NONCE_DEPOSIT)
    chain.check()
    for amount in (1, ait(2), ait(5)):
        with pytest.raises(Error.NonceUsed):
            chain.run("dave", "Pay.execute_authorization", what, signed, amount)
    chain.wait(HOUR)
    with pytest.raises(Error.Expired):
        chain.run("dave", "Pay.execute_authorization", what, signed, ait(2))
    chain.run("dave", "Pay.clear_nonces", 5)
    assert chain.free("eve") == ait(1000)
    with pytest.raises(Error.Expired):  # forgotten, and still good for nothing
        chain.run("dave", "Pay.execute_authorization", what, signed, ait(2))
    chain.check()


def test_one_nonce_is_good_for_one_of_several_authorisations() -> None:
    chain = SpendingChain()
    execute(chain, authorization(chain), ait(1))

    with pytest.raises(Error.NonceUsed):
        execute(chain, authorization(chain, payee=account("carol"), valid_before=chain.now + DAY), ait(1))
    chain.check()


def test_an_exact_authorisation_is_for_its_whole_sum_and_none_for_more() -> None:
    chain = SpendingChain()
    exact = authorization(chain, exact=True)
    for amount in (0, ait(5) - 1, ait(5) + 1):
        with pytest.raises(Error.OverMaximum):
            execute(chain, exact, amount)
    with pytest.raises(Error.OverMaximum):
        execute(chain, authorization(chain), ait(5) + 1)

    execute(chain, exact, ait(5))

    assert chain.free("bob") == ait(1005)


def test_an_authorisation_counts_only_in_its_time() -> None:
    chain = SpendingChain()
    for error, changes in (
        (Error.NotYetValid, {"valid_after": chain.now + 1}),
        (Error.Expired, {"valid_before": chain.now}),
        (Error.LivesTooLong, {"valid_before": chain.now + AUTHORIZATION_LIFETIME_MS + 1}),
        (Error.UnknownAsset, {"asset": 1}),
    ):
        with pytest.raises(error):
            execute(chain, authorization(chain, **changes), ait(1))
    execute(
        chain, authorization(chain, valid_after=chain.now, valid_before=chain.now + AUTHORIZATION_LIFETIME_MS), ait(1)
    )


@pytest.mark.parametrize(
    "field", ["payer", "payee", "maximum", "exact", "valid_after", "valid_before", "nonce", "memo_hash"]
)
def test_a_relayer_can_change_nothing_of_an_authorisation(field: str) -> None:
    chain = SpendingChain()
    what = authorization(chain)
    others = {
        "payer": account("carol"), "payee": account("eve"), "maximum": ait(6), "exact": True,
        "valid_after": what.valid_after - 1, "valid_before": what.valid_before + 1, "nonce": b"m" * 32,
        "memo_hash": b"N" * 32,
    }  # fmt: skip
    signed = signature(chain, what)
    changed = what.copy()
    setattr(changed, field, others[field])

    with pytest.raises(Error.BadSignature):
        chain.run("eve", "Pay.execute_authorization", changed, signed, changed.maximum)
    chain.check()


def test_an_authorisation_of_another_chain_or_with_another_kind_of_signature_is_refused() -> None:
    chain = SpendingChain()
    what = authorization(chain)
    elsewhere = chain.pay.signed_bytes(what).replace(GENESIS, b"H" * 32)
    raw = pair("alice").sign(chain.pay.signed_bytes(what))

    for signed in (
        Ed25519Signature(pair("alice").sign(elsewhere)), Sr25519Signature(raw), EcdsaSignature(raw + b"\x00"),
        Ed25519Signature(pair("eve").sign(chain.pay.signed_bytes(what))),
    ):  # fmt: skip
        with pytest.raises(Error.BadSignature):
            chain.run("eve", "Pay.execute_authorization", what, signed, ait(1))


def test_a_cancelled_nonce_is_good_for_no_authorisation() -> None:
    chain = SpendingChain()
    what = authorization(chain, valid_before=chain.now + AUTHORIZATION_LIFETIME_MS)

    chain.run("alice", "Pay.cancel_authorization", what.nonce)

    with pytest.raises(Error.NonceUsed):
        execute(chain, what, ait(1))
    with pytest.raises(Error.NonceUsed):
        chain.run("alice", "Pay.cancel_authorization", what.nonce)
    chain.wait(AUTHORIZATION_LIFETIME_MS - 1)
    chain.run("eve", "Pay.clear_nonces", 9)
    with pytest.raises(Error.NonceUsed):  # as long as the authorisation could be valid, its nonce is known
        execute(chain, what, ait(1))
    chain.check()


def test_every_use_removes_two_dead_nonces_so_they_cannot_pile_up() -> None:
    chain = SpendingChain()
    for number in range(20):
        execute(chain, authorization(chain, nonce=bytes([number]) * 32), 1)
    chain.wait(2 * HOUR)
    for number in range(20, 30):
        execute(chain, authorization(chain, nonce=bytes([number]) * 32), 1)

    assert len(list(chain.pay.used_nonces.items())) == 10
    chain.check()
    chain.run("dave", "Pay.clear_nonces", CLEARED_MAX + 1)
    assert len(list(chain.pay.used_nonces.items())) == 10
    chain.wait(2 * HOUR)
    chain.run("dave", "Pay.clear_nonces", CLEARED_MAX + 1)
    assert not list(chain.pay.nonce_queue.items())
    chain.check()


def test_a_payer_without_money_costs_nobody_a_nonce() -> None:
    chain = SpendingChain()
    what = authorization(chain, maximum=ait(5000))
    with pytest.raises(FundsUnavailable):
        execute(chain, what, ait(2000))
    execute(chain, what, ait(500))
    chain.check()


# ------------------------------------------------------------------------------------------------- splits


@given(
    cuts=st.lists(st.integers(1, BPS - 1), max_size=RECIPIENTS_MAX - 1, unique=True),
    amount=st.integers(1, 10**20),
)
def test_a_split_pays_cumulative_floors_and_loses_no_unit(cuts: list[int], amount: int) -> None:
    chain = SpendingChain(money=10**9)
    edges = [0, *sorted(cuts), BPS]
    people = [AccountId(bytes([index + 1]) * 32) for index in range(len(edges) - 1)]
    for who in people:
        chain.run("carol", "Balances.transfer_keep_alive", who, ait(1))
    shares = [Share(who, high - low) for who, (low, high) in zip(people, pairwise(edges), strict=True)]
    split = chain.run("bob", "Pay.create_split", shares)[-1].split
    before = chain.free("alice")

    chain.run("alice", "Pay.pay", ToSplit(split), amount, MEMO, b"")

    gains = [chain.free(who) - ait(1) for who in people]
    assert before - chain.free("alice") == sum(gains) == amount
    assert [sum(gains[: index + 1]) for index in range(len(gains))] == [amount * edge // BPS for edge in edges[1:]]
    chain.check()


def test_shares_that_are_none_make_no_split() -> None:
    chain = SpendingChain()
    alice, bob = account("alice"), account("bob")
    for shares in (
        [], [Share(alice, BPS - 1)], [Share(alice, BPS + 1)], [Share(alice, BPS), Share(bob, 0)],
        [Share(alice, 5000), Share(alice, 5000)],
    ):  # fmt: skip
        with pytest.raises(Error.BadShares):
            chain.run("carol", "Pay.create_split", shares)
    with pytest.raises(Error.NoRecipient):
        chain.run("carol", "Pay.create_split", [Share(alice, 5000), Share(AccountId(b"x" * 32), 5000)])
    assert chain.run("carol", "Pay.create_split", [Share(alice, BPS)])
    chain.check()


def test_the_share_of_a_recipient_that_is_gone_goes_to_who_made_the_split() -> None:
    chain = SpendingChain()
    gone = AccountId(b"g" * 32)
    chain.run("carol", "Balances.transfer_keep_alive", gone, ait(1))
    split = chain.run("carol", "Pay.create_split", [Share(gone, 1), Share(account("bob"), BPS - 1)])[-1].split
    chain.run(gone, "Balances.transfer_all", account("carol"), False)
    before = chain.free("carol")

    chain.run("alice", "Pay.pay", ToSplit(split), ait(1), MEMO, b"")

    assert chain.free("carol") - before == AIT // BPS < ED
    chain.check()


def test_a_removed_split_gives_its_deposit_back_and_takes_no_payment() -> None:
    chain = SpendingChain()
    split = chain.run("carol", "Pay.create_split", [Share(account("bob"), BPS)])[-1].split
    with pytest.raises(Error.NotOwner):
        chain.run("eve", "Pay.remove_split", split)

    chain.run("carol", "Pay.remove_split", split)

    assert chain.free("carol") == ait(1000)
    with pytest.raises(Error.NoSplit):
        chain.run("alice", "Pay.pay", ToSplit(split), ait(1), MEMO, b"")
    with pytest.raises(Error.NoSplit):
        chain.run("carol", "Pay.remove_split", split)


# ------------------------------------------------------------------------------------------------- invoices


def invoice(chain: SpendingChain, amount: int = ait(4), currency: int = 0, issuer: str = "bob") -> int:
    args = (ToAccount(account(issuer)), currency, amount, chain.now + DAY, MEMO)
    return int(chain.run(issuer, "Pay.create_invoice", *args)[-1].invoice)


def test_an_invoice_is_paid_once() -> None:
    chain = SpendingChain()
    number = invoice(chain)
    with pytest.raises(Error.OwnInvoice):
        chain.run("bob", "Pay.pay_invoice", number, ait(4))

    chain.run("alice", "Pay.pay_invoice", number, ait(4))

    assert (chain.free("alice"), chain.free("bob")) == (ait(996), ait(1004))
    for who in ("alice", "carol"):
        with pytest.raises(Error.NoInvoice):
            chain.run(who, "Pay.pay_invoice", number, ait(4))
    chain.check()


def test_an_invoice_in_money_is_paid_at_the_price_of_the_block_rounded_up_and_never_above_the_maximum() -> None:
    chain = SpendingChain()
    dollars = invoice(chain, amount=3 * 10**12, currency=840)
    with pytest.raises(Error.NoRate):
        chain.run("alice", "Pay.pay_invoice", dollars, ait(100))
    chain.market.rates[840] = 2 * AIT // 3  # 1.5 dollars for 1 AIT
    cost = -(-3 * 10**12 * (2 * AIT // 3) // 10**12)
    with pytest.raises(Error.Slippage):
        chain.run("alice", "Pay.pay_invoice", dollars, cost - 1)

    paid = chain.run("alice", "Pay.pay_invoice", dollars, cost)[-1]

    assert (paid.amount, paid.rate) == (cost, 2 * AIT // 3)
    small = invoice(chain, amount=1, currency=840)
    assert chain.run("alice", "Pay.pay_invoice", small, 1)[-1].amount == 1
    chain.check()


def test_an_invoice_past_due_is_not_paid_and_anybody_clears_it() -> None:
    chain = SpendingChain()
    number = invoice(chain)
    with pytest.raises(Error.NotOwner):
        chain.run("eve", "Pay.void_invoice", number)
    chain.wait(DAY)
    with pytest.raises(Error.Expired):
        chain.run("alice", "Pay.pay_invoice", number, ait(4))

    chain.run("eve", "Pay.void_invoice", number)

    assert chain.free("bob") == ait(1000)
    chain.run("bob", "Pay.void_invoice", invoice(chain))
    assert chain.free("bob") == ait(1000)
    for due in (chain.now, chain.now + 366 * DAY):
        with pytest.raises(Error.BadDeadline):
            chain.run("bob", "Pay.create_invoice", ToAccount(account("bob")), 0, 1, due, MEMO)
    chain.check()


# ------------------------------------------------------------------------------------------------- locks


def lock(chain: SpendingChain, amount: int = ait(9)) -> int:
    args = (account("bob"), amount, blake2_256(SECRET), chain.now + DAY, b"sealed")
    return int(chain.run("alice", "Pay.lock", *args)[-1].lock)


def test_the_right_preimage_pays_the_payee_once_whoever_shows_it() -> None:
    chain = SpendingChain()
    number = lock(chain)
    assert chain.free("bob") == ait(1000)
    with pytest.raises(Error.WrongPreimage):
        chain.run("eve", "Pay.reveal", number, b"t" * 32)

    told = chain.run("eve", "Pay.reveal", number, SECRET)[-1]

    assert told.preimage == SECRET
    assert (chain.free("alice"), chain.free("bob")) == (ait(991), ait(1009))
    for name, args in (("reveal", (SECRET,)), ("reclaim", ())):
        with pytest.raises(Error.NoLock):
            chain.run("bob", f"Pay.{name}", number, *args)
    chain.check()


def test_after_the_deadline_the_money_of_a_lock_is_its_payers_and_before_only_the_payee_may_give_it_back() -> None:
    chain = SpendingChain()
    number = lock(chain)
    for who in ("alice", "eve"):
        with pytest.raises(Error.TooEarly):
            chain.run(who, "Pay.reclaim", number)
    chain.run("bob", "Pay.reclaim", lock(chain))
    chain.check()
    chain.wait(DAY)
    with pytest.raises(Error.Expired):
        chain.run("bob", "Pay.reveal", number, SECRET)

    chain.run("eve", "Pay.reclaim", number)

    assert (chain.free("alice"), chain.free("bob")) == (ait(1000), ait(1000))
    chain.check()
