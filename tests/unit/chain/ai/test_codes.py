"""Codes: they pay once, the account their key names, without a fee, and nobody gains from seeing a claim."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.pay import codes as bytes_of
from aitoken.types import AIT, AccountId
from chain.frame.errors import BadOrigin, BadProof, DispatchError, FundsUnavailable, InvalidTransaction, Stale
from chain.pallets.ai.codes import (
    CREDITS_MAX,
    FEE,
    LIFETIME_MS,
    SWEPT_A_CALL,
    CodeRefused,
    Codes,
    batch_deposit,
)
from chain.pallets.ai.codes_types import WORK_MAX, Credit, ForPersons, Tokens
from chain.pallets.ai.free_lane import LaneFull
from tests.support.earn_chain import EarnChain, Sheet
from tests.support.spending_chain import DAY, ED, account, ait, pair

Error = Codes.Error
NOBODY = AccountId(b"nobody".ljust(32, b"\x07"))
ROOT = bytes(32)


def credit(chain: EarnChain, *providers: int, days: int = 60) -> Credit:
    return Credit(list(providers or (7,)), chain.now + days * DAY)


# ------------------------------------------------------------------------------------------------- the tree


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 1000])
def test_every_key_of_a_batch_is_proven_at_its_own_place_and_at_no_other(count: int) -> None:
    keys = [index.to_bytes(32, "big") for index in range(count)]
    root, proofs = bytes_of.root_of(keys), bytes_of.proofs_of(keys)

    for index in Random(count).sample(range(count), min(count, 20)):
        assert len(proofs[index]) == bytes_of.depth_of(count)
        assert bytes_of.root_from(index, keys[index], proofs[index]) == root
        assert bytes_of.root_from(index ^ 1, keys[index], proofs[index]) != root
        assert bytes_of.root_from(index, bytes(31) + b"\xff", proofs[index]) != root


# ------------------------------------------------------------------------------------------------- claims


def test_an_account_that_does_not_exist_claims_a_code_without_a_fee_once() -> None:
    chain = EarnChain()
    sheet = Sheet(chain, count=3)
    assert chain.free("alice") == ait(1000) - batch_deposit(3, Tokens()) - 3 * (ait(2) + FEE)
    before = chain.balances.total_issuance.get()

    claimed = chain.send("Codes.claim", *sheet.claim(1, NOBODY))[-1]

    assert (claimed.batch, claimed.index, claimed.claimant, claimed.value) == (sheet.number, 1, NOBODY, ait(2))
    assert chain.free(NOBODY) == ait(2)
    assert chain.balances.total_issuance.get() == before - FEE, "the sponsor's fee is burned"
    chain.check()
    for other in (NOBODY, account("eve")):
        with pytest.raises(Stale):
            chain.send("Codes.claim", *sheet.claim(1, other))
        with pytest.raises(Error.AlreadyUsed):
            chain.run("eve", "Codes.claim", *sheet.claim(1, other))
    chain.check()


def test_a_gift_link_is_a_batch_of_one() -> None:
    chain = EarnChain()
    gift = Sheet(chain, count=1, value=ED)

    chain.send("Codes.claim", *gift.claim(0, NOBODY))
    chain.run("eve", "Codes.close", gift.number)

    assert (chain.free(NOBODY), chain.free("alice")) == (ED, ait(1000) - ED - FEE)
    assert not list(chain.codes.batches.items())
    assert not list(chain.codes.pages.items())
    chain.check()


def test_who_copies_a_claim_can_only_make_it() -> None:
    """Every field changed, with whatever the copier can sign itself: refused, and nothing of it enters a block."""
    chain = EarnChain()
    sheet, other = Sheet(chain, count=4), Sheet(chain, count=4, sponsor="bob")
    good = sheet.claim(2, NOBODY)
    thief = account("eve")
    forged = pair("eve").sign(bytes_of.claim_bytes(ROOT, sheet.number, 2, thief))  # type: ignore[arg-type]  # plain bytes
    cases: list[tuple[type[DispatchError], dict[str, Any]]] = [
        (Error.BadSignature, {"claimant": thief}),
        (Error.BadSignature, {"claimant": thief, "signature": forged}),
        (Error.BadCode, {"claimant": thief, "key": pair("eve").public, "signature": forged}),
        (Error.BadCode, {"index": 3}),
        (Error.BadCode, {"index": 4}),
        (Error.BadCode, {"batch": other.number}),
        (Error.NoBatch, {"batch": 99}),
        (Error.BadCode, {"proof": sheet.proofs[1]}),
        (Error.BadCode, {"proof": sheet.proofs[2][:-1]}),
        (Error.BadCode, {"proof": [*sheet.proofs[2], ROOT]}),
        (Error.BadSignature, {"signature": bytes(64)}),
        (Error.BadSignature, {"genesis": b"X" * 32}),
        (Error.BadSignature, {"signed_batch": other.number}),
    ]
    for error, changes in cases:
        args = sheet.claim(2, NOBODY, **changes)
        with pytest.raises(error):
            chain.run("eve", "Codes.claim", *args)
        with pytest.raises(InvalidTransaction) as refused:
            chain.send("Codes.claim", *args)
        expected = BadProof if error is Error.BadSignature else CodeRefused
        assert type(refused.value) is expected
        if expected is CodeRefused:
            assert str(refused.value) == error.code
            assert refused.value.text == f"Transaction call is not expected: {error.code}", "what who sent it is told"
    chain.run("eve", "Codes.claim", *good)  # all that is left to do with it: paying the fee for the claimant
    assert chain.free(NOBODY) == ait(2)
    chain.check()


def test_a_claim_waits_for_its_work_and_not_beyond_its_time() -> None:
    chain = EarnChain()
    sheet = Sheet(chain, work=8)
    args = sheet.claim(0, NOBODY)
    message = bytes_of.claim_bytes(b"G" * 32, sheet.number, 0, NOBODY)  # type: ignore[arg-type]  # plain bytes
    weak = next(nonce for nonce in range(10_000) if not bytes_of.has_work(message, nonce, 8))

    with pytest.raises(Error.WorkTooWeak):
        chain.run("eve", "Codes.claim", *sheet.claim(0, NOBODY, work=weak))
    with pytest.raises(CodeRefused, match=r"Codes\.WorkTooWeak"):
        chain.send("Codes.claim", *sheet.claim(0, NOBODY, work=weak))
    chain.set_time(sheet.expires)
    with pytest.raises(CodeRefused, match=r"Codes\.Expired"):
        chain.send("Codes.claim", *args)
    chain.set_time(sheet.expires - 1)
    chain.send("Codes.claim", *args)
    chain.check()


def test_a_block_takes_a_share_of_claims_without_a_fee_and_more_for_a_fee() -> None:
    chain = EarnChain()
    sheet = Sheet(chain, count=400, value=ED)
    most = chain.codes._lane._most // chain.codes.cost_of("claim").base
    assert 3 < most < 390

    chain.open_block()
    for index in range(most):
        chain.executive.apply(chain.bare("Codes.claim", *sheet.claim(index, "bob")))
    with pytest.raises(LaneFull):
        chain.executive.apply(chain.bare("Codes.claim", *sheet.claim(most, "bob")))
    chain.run("eve", "Codes.claim", *sheet.claim(most, "bob"))
    chain.send("Codes.claim", *sheet.claim(most + 1, "bob"))
    chain.check()


def test_only_claims_and_orders_come_without_a_signature_and_root_is_nobody() -> None:
    chain = EarnChain()
    sheet = Sheet(chain)

    for name, *args in (("Codes.close", sheet.number), ("Codes.void", sheet.number, [0])):
        with pytest.raises(InvalidTransaction):
            chain.send(name, *args)
    with pytest.raises(BadOrigin):
        chain.run("root", "Codes.claim", *sheet.claim(0, NOBODY))
    chain.check()


# ------------------------------------------------------------------------------------------------- the sponsor


def test_a_batch_is_funded_whole_or_not_made() -> None:
    chain = EarnChain()
    soon = chain.now + DAY
    for error, count, value, expires, work, terms in (
        (Error.BadTerms, 0, ait(1), soon, 0, Tokens()),
        (Error.BadTerms, bytes_of.COUNT_MAX + 1, ait(1), soon, 0, Tokens()),
        (Error.BadTerms, 1, ED - 1, soon, 0, Tokens()),
        (Error.BadTerms, 1, FEE, soon, 0, credit(chain)),
        (Error.BadTerms, CREDITS_MAX + 1, ait(1), soon, 0, credit(chain)),
        (Error.BadTerms, 1, ait(1), chain.now, 0, Tokens()),
        (Error.BadTerms, 1, ait(1), chain.now + LIFETIME_MS + 1, 0, Tokens()),
        (Error.BadTerms, 1, ait(1), soon, WORK_MAX + 1, Tokens()),
        (Error.BadTerms, 1, ait(1), soon, 0, Credit([], soon)),
        (Error.BadTerms, 1, ait(1), soon, 0, Credit([7, 7], soon)),
        (Error.BadTerms, 1, ait(1), soon, 0, Credit([7], chain.now)),
        (FundsUnavailable, 1000, ait(1), soon, 0, Tokens()),
        (FundsUnavailable, bytes_of.COUNT_MAX, 2**128 // bytes_of.COUNT_MAX, soon, 0, Tokens()),
    ):
        with pytest.raises(error):
            chain.run("alice", "Codes.create", ROOT, count, value, expires, work, terms)
    assert chain.free("alice") == ait(1000)
    chain.check()


def test_lost_codes_are_made_void_by_their_sponsor_alone() -> None:
    chain = EarnChain()
    sheet = Sheet(chain, count=4)
    chain.send("Codes.claim", *sheet.claim(0, NOBODY))

    for error, who, indices in (
        (Error.NotSponsor, "eve", [1]),
        (Error.AlreadyUsed, "alice", [1, 0]),
        (Error.AlreadyUsed, "alice", [1, 1]),
        (Error.BadCode, "alice", [4]),
    ):
        with pytest.raises(error):
            chain.run(who, "Codes.void", sheet.number, indices)
    before = chain.free("alice")
    chain.run("alice", "Codes.void", sheet.number, [1, 3])

    assert chain.free("alice") == before + 2 * (ait(2) + FEE)
    with pytest.raises(Stale):
        chain.send("Codes.claim", *sheet.claim(1, NOBODY))
    chain.send("Codes.claim", *sheet.claim(2, NOBODY))
    chain.check()


def test_what_nobody_claimed_goes_back_when_the_time_is_over() -> None:
    chain = EarnChain()
    sheet = Sheet(chain, count=4)
    chain.send("Codes.claim", *sheet.claim(0, NOBODY))
    with pytest.raises(Error.NotOver):
        chain.run("alice", "Codes.close", sheet.number)

    chain.set_time(sheet.expires)
    chain.run("eve", "Codes.close", sheet.number)

    assert chain.free("alice") == ait(998) - FEE
    with pytest.raises(Error.NoBatch):
        chain.run("eve", "Codes.close", sheet.number)
    assert Sheet(chain).number == sheet.number + 1, "numbers are never used twice"
    chain.check()


# ------------------------------------------------------------------------------------------------- credit


def test_credit_reaches_its_providers_and_nobody_else() -> None:
    chain = EarnChain()
    chain.market.payouts[8] = account("carol")
    sheet = Sheet(chain, value=ait(5), terms=credit(chain))
    chain.send("Codes.claim", *sheet.claim(0, "nobody"))
    assert chain.free("nobody") == 0, "credit is not the holder's money"

    spent = chain.send("Codes.spend", *sheet.order(0, "nobody", 7, ait(2)))[-1]

    assert (spent.holder, spent.provider, spent.amount) == (account("nobody"), 7, ait(2))
    assert spent.left == ait(3) - FEE
    assert (chain.free("payout"), chain.free("nobody")) == (ait(1002), 0)
    for error, args in (
        (Error.NotForProvider, sheet.order(0, "nobody", 8, ait(1))),
        (Error.OverCredit, sheet.order(0, "nobody", 7, ait(3) - 2 * FEE + 1)),
        (Error.OverCredit, sheet.order(0, "nobody", 7, 0)),
        (Error.NoCredit, sheet.order(1, "nobody", 7, ait(1))),
        (Error.BadSignature, sheet.order(0, "alice", 7, ait(1))),
        (Error.BadSignature, sheet.order(0, "nobody", 7, ait(1), amount=ait(2))),
        (Error.BadSignature, sheet.order(0, "nobody", 7, ait(1), reference=b"mine")),
    ):
        with pytest.raises(error):
            chain.run("eve", "Codes.spend", *args)
        with pytest.raises(BadProof if error is Error.BadSignature else CodeRefused):
            chain.send("Codes.spend", *args)
    chain.send("Codes.spend", *sheet.order(0, "nobody", 7, ait(3) - 2 * FEE, wrapped=True))
    assert chain.codes.credits.get((sheet.number, 0)) is None
    chain.check()


def test_an_order_is_carried_out_once() -> None:
    chain = EarnChain()
    sheet = Sheet(chain, value=ait(5), terms=credit(chain))
    chain.send("Codes.claim", *sheet.claim(0, "nobody"))
    order = sheet.order(0, "nobody", 7, ait(1))
    chain.send("Codes.spend", *order)

    with pytest.raises(BadProof):
        chain.send("Codes.spend", *order)
    with pytest.raises(Error.BadSignature):
        chain.run("eve", "Codes.spend", *order)
    chain.check()


def test_unspent_credit_is_the_sponsors_again_in_bounded_steps() -> None:
    chain = EarnChain()
    count = 2 * SWEPT_A_CALL + 5
    sheet = Sheet(chain, count=count, value=ait(1), terms=credit(chain, days=60))
    for index in (0, 70, count - 1):
        chain.send("Codes.claim", *sheet.claim(index, "nobody"))
    chain.send("Codes.spend", *sheet.order(70, "nobody", 7, AIT // 2))
    chain.set_time(sheet.expires)
    with pytest.raises(Error.NotOver):
        chain.run("alice", "Codes.close", sheet.number)
    chain.set_time(chain.now + 30 * DAY)
    with pytest.raises(CodeRefused, match=r"Codes\.Expired"):
        chain.send("Codes.spend", *sheet.order(0, "nobody", 7, ait(1) - FEE))

    for _ in range(3):
        chain.run("eve", "Codes.close", sheet.number)
        chain.check()

    assert not list(chain.codes.batches.items())
    assert not list(chain.codes.credits.items())
    assert chain.free("alice") == ait(1000) - AIT // 2 - 4 * FEE


# ------------------------------------------------------------------------------------------------- whatever happens

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["claim", "claim", "steal", "replay", "spend", "void", "close", "wait"]),
        st.integers(0, 2),
        st.integers(0, 5),
        st.sampled_from(["bob", "eve", "nobody", "somebody"]),
    ),
    max_size=30,
)


class History:
    """A history on the chain and on the model: what each code did, who has got what, what the sponsors have left."""

    def __init__(self) -> None:
        chain = self.chain = EarnChain()
        self.until = chain.now + 4 * DAY
        self.sheets = [
            Sheet(chain, 4, ED),
            Sheet(chain, 3, ait(2), "carol", expires=chain.now + 2 * DAY),
            Sheet(chain, 6, ait(3), "dave", expires=chain.now + 3 * DAY, terms=credit(chain, days=4)),
        ]
        self.paid = dict.fromkeys(("bob", "eve", "nobody", "somebody"), 0)
        self.gone = dict.fromkeys(("alice", "carol", "dave"), 0)
        self.used: set[tuple[int, int]] = set()
        self.left: dict[int, tuple[str, int]] = {}
        self.closed: set[int] = set()
        self.seen: list[tuple[int, int, tuple[Any, ...]]] = []

    def attempt(self, allowed: bool, name: str, *args: Any, who: str | None = None) -> bool:
        """Make a call, without a signature or as somebody, and compare whether it may succeed."""
        try:
            if who is None:
                self.chain.send(name, *args)
            else:
                self.chain.run(who, name, *args)
        except (InvalidTransaction, DispatchError):
            assert not allowed, (name, args)
            return False
        assert allowed, (name, args)
        return True

    def sponsor(self, of: int) -> str:
        return tuple(self.gone)[of]

    def is_live(self, of: int, index: int) -> bool:
        return of not in self.closed and (of, index) not in self.used and self.chain.now < self.sheets[of].expires

    def claim(self, of: int, index: int, who: str) -> None:
        sheet = self.sheets[of]
        self.seen.append((of, index, sheet.claim(index, who)))
        if self.attempt(self.is_live(of, index), "Codes.claim", *self.seen[-1][2]):
            self.used.add((of, index))
            self.gone[self.sponsor(of)] += FEE
            if of == 2:
                self.left[index] = who, sheet.value
            else:
                self.paid[who] += sheet.value
                self.gone[self.sponsor(of)] += sheet.value

    def steal(self, of: int, index: int, who: str) -> None:
        self.attempt(False, "Codes.claim", *self.sheets[of].claim(index, who, claimant=account("thief")))

    def replay(self, _: int, index: int, __: str) -> None:
        for batch, code, args in self.seen[index:][:1]:
            if not self.is_live(batch, code):
                self.attempt(False, "Codes.claim", *args)

    def spend(self, _: int, index: int, who: str) -> None:
        holder, left = self.left.get(index, (None, 0))
        cost = ait(1) + FEE
        good = holder == who and cost <= left and self.chain.now < self.until and 2 not in self.closed
        if self.attempt(good, "Codes.spend", *self.sheets[2].order(index, who, 7, ait(1))):
            self.left[index] = who, left - cost
            self.gone["dave"] += cost

    def void(self, of: int, index: int, _: str) -> None:
        good = of not in self.closed and (of, index) not in self.used
        if self.attempt(good, "Codes.void", self.sheets[of].number, [index], who=self.sponsor(of)):
            self.used.add((of, index))

    def close(self, of: int, _: int, who: str) -> None:
        sheet, now = self.sheets[of], self.chain.now
        over = now >= sheet.expires or all((of, each) in self.used for each in range(sheet.count))
        good = of not in self.closed and over and (of != 2 or now >= self.until)
        if self.attempt(good, "Codes.close", sheet.number, who=who):
            self.closed.add(of)

    def wait(self, *_: Any) -> None:
        self.chain.set_time(self.chain.now + DAY)

    def check(self) -> None:
        chain = self.chain
        chain.check()
        assert chain.free("thief") == 0
        for name, amount in self.paid.items():
            assert chain.free(name) == amount + (ait(1000) if name in ("bob", "eve") else 0)
        for name, amount in self.gone.items():
            held = sum(hold.amount for hold in chain.balances.holds.get(account(name)))
            assert chain.free(name) + held == ait(1000) - amount


@settings(max_examples=40)
@given(ACTIONS)
def test_any_history_pays_each_code_once_and_agrees_with_the_model(actions: list[tuple[str, int, int, str]]) -> None:
    history = History()
    for action, of, index, who in actions:
        getattr(history, action)(of, index % history.sheets[of].count, who)
        history.check()


# ------------------------------------------------------------------------------------------------- persons

SCOPE = b"a fair".ljust(32)


def test_codes_for_persons_are_claimed_by_persons_once_each() -> None:
    chain = EarnChain()
    sheet = Sheet(chain, count=4, terms=ForPersons(SCOPE, 2))
    persons, plain = chain.vouchers.persons, Sheet(chain, count=1, sponsor="dave")
    chain.send("Codes.claim_as_person", *plain.claim(0, "eve"))
    assert chain.free("eve") == ait(1002), "who need not be a person may still say so"
    persons[NOBODY, SCOPE] = 1
    persons[NOBODY, b"another".ljust(32)] = 9
    for error in (Error.NotPerson, Error.HadOne):
        args = sheet.claim(int(error is Error.HadOne), NOBODY)
        with pytest.raises(error):
            chain.run("eve", "Codes.claim_as_person", *args)
        with pytest.raises(CodeRefused, match=error.code):
            chain.send("Codes.claim_as_person", *args)
        if error is Error.NotPerson:
            persons[NOBODY, SCOPE] = 2
            chain.send("Codes.claim_as_person", *args)
            assert chain.free(NOBODY) == ait(2)
        chain.check()
    persons[account("bob"), SCOPE] = 3
    with pytest.raises(CodeRefused, match=r"Codes\.NotPerson"):
        chain.send("Codes.claim", *sheet.claim(1, "bob"))
    chain.send("Codes.claim_as_person", *sheet.claim(1, "bob"))
    with pytest.raises(Error.NoCredit):
        chain.run("eve", "Codes.spend", *sheet.order(1, "bob", 7, ait(1)))
    other = Sheet(chain, count=1, sponsor="carol", terms=ForPersons(SCOPE, 1))
    chain.send("Codes.claim_as_person", *other.claim(0, "bob"))
    chain.check()
    chain.set_time(sheet.expires)
    for batch in (sheet, other):
        chain.run("eve", "Codes.close", batch.number)
    assert not list(chain.codes.takers.items())
    assert not list(chain.codes.credits.items())
    assert chain.free("alice") == ait(1000) - 2 * (ait(2) + FEE)
    chain.check()


def test_codes_for_persons_need_issuers_and_cost_an_entry_each() -> None:
    chain = EarnChain()
    for issuers in (0, 9):
        with pytest.raises(Error.BadTerms):
            Sheet(chain, terms=ForPersons(SCOPE, issuers))
    with pytest.raises(Error.BadTerms):
        chain.run("alice", "Codes.create", ROOT, CREDITS_MAX + 1, ED, chain.now + DAY, 0, ForPersons(SCOPE, 1))
    assert batch_deposit(9, ForPersons(SCOPE, 1)) > batch_deposit(9, credit(chain)) > batch_deposit(9, Tokens())
