"""Random histories of payments and spend keys against small models of what they may do.

`AITOKEN_PAY_HISTORIES` says how many histories; the default keeps the gate short.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from aitoken.crypto.hashing import blake2_256
from aitoken.types import AIT
from chain.frame.errors import DispatchError, InvalidTransaction
from chain.frame.types import Ed25519Signature
from chain.pallets.ai.allowances_types import Limits, Purpose, Scope
from chain.pallets.ai.pay import AUTHORIZATION_LIFETIME_MS
from chain.pallets.ai.pay_types import BPS, AuthorizationTerms, Share, ToAccount, ToSplit
from tests.support.spending_chain import DAY, ED, HOUR, NONCE_DEPOSIT, SpendingChain, account, ait, pair, transaction

HISTORIES = int(os.environ.get("AITOKEN_PAY_HISTORIES", "60"))
STEPS = 60
WHO = ("alice", "bob", "carol", "dave", "eve")
MEMO = bytes(32)


# ------------------------------------------------------------------------------------------------- Pay


@dataclass
class Payments:
    """What Pay may do, in as few words as possible: balances, what is put down, and what may still happen once."""

    spendable: dict[str, int]
    nonces: dict[tuple[str, bytes], tuple[int, str]] = field(default_factory=dict)
    """Payer and nonce -> until when it is known, and who has the deposit in it; in the order of use."""
    splits: dict[int, tuple[str, list[tuple[str, int]], int]] = field(default_factory=dict)
    invoices: dict[int, tuple[str, int, int, int]] = field(default_factory=dict)
    """Number -> issuer, amount, due, deposit."""
    locks: dict[int, tuple[str, str, int, int, bytes, int]] = field(default_factory=dict)
    """Number -> payer, payee, amount, deadline, preimage, deposit."""

    def can(self, who: str, amount: int) -> bool:
        return self.spendable[who] - amount >= ED

    def move(self, source: str, to: str, amount: int) -> None:
        self.spendable[source] -= amount
        self.spendable[to] += amount

    def forget(self, most: int, now: int) -> None:
        for key in list(self.nonces)[:most]:
            until, depositor = self.nonces[key]
            if until > now:
                return
            del self.nonces[key]
            self.spendable[depositor] += NONCE_DEPOSIT


class PayHistory:
    """One random history on the chain and on the model."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.chain = SpendingChain(money=50)
        self.model = Payments({who: ait(50) for who in WHO})
        self.signed: list[AuthorizationTerms] = []

    def attempt(self, allowed: bool, who: str, name: str, *args: Any) -> list[Any] | None:
        """Make a call and compare whether it may succeed."""
        try:
            told = self.chain.run(who, name, *args)
        except DispatchError:
            assert not allowed, f"{who} {name} {args}"
            return None
        assert allowed, f"{who} {name} {args}"
        return told

    def step(self) -> None:
        random = self.random
        action = random.choice((
            self.pay, self.sign, self.execute, self.execute, self.cancel, self.clear, self.split, self.unsplit,
            self.invoice, self.settle, self.settle, self.void, self.lock, self.reveal, self.reclaim, self.time,
        ))  # fmt: skip
        action(random.choice(WHO))
        self.chain.check()
        for who in WHO:
            assert self.chain.free(who) == self.model.spendable[who], (action, who)
        used = {(account(who), nonce) for who, nonce in self.model.nonces}
        assert {key for key, _ in self.chain.pay.used_nonces.items()} == used

    def amount(self) -> int:
        return self.random.choice((1, 7, AIT // 3, ait(2), ait(30), ait(49)))

    def time(self, _: str) -> None:
        self.chain.wait(self.random.choice((1, HOUR, DAY, 8 * DAY)))

    def pay(self, who: str) -> None:
        amount, to = self.amount(), self.random.choice(WHO)
        if self.model.splits and self.random.random() < 0.6:
            number = self.random.choice(list(self.model.splits))
            if self.attempt(self.model.can(who, self.outgo(who, number, amount)), who, "Pay.pay", ToSplit(number),
                            amount, MEMO, b"") is not None:  # fmt: skip
                for recipient, piece in self.pieces(number, amount):
                    self.model.move(who, recipient, piece)
            return
        if self.attempt(self.model.can(who, amount), who, "Pay.pay", ToAccount(account(to)), amount, MEMO, b""):
            self.model.move(who, to, amount)

    def pieces(self, number: int, amount: int) -> list[tuple[str, int]]:
        rows, part, given = [], 0, 0
        for recipient, share in self.model.splits[number][1]:
            part += share
            rows.append((recipient, amount * part // BPS - given))
            given = amount * part // BPS
        return rows

    def outgo(self, who: str, number: int, amount: int) -> int:
        """The most that is gone from `who` at any moment: pieces leave one after the other, its own come back."""
        left, most = 0, 0
        for recipient, piece in self.pieces(number, amount):
            most = max(most, left + piece)
            left += 0 if recipient == who else piece
        return most

    def sign(self, who: str) -> None:
        now, random = self.chain.now, self.random
        self.signed.append(AuthorizationTerms(
            account(who), account(random.choice(WHO)), 0, self.amount(), random.random() < 0.5,
            now + random.choice((0, -DAY, HOUR)), now + random.choice((1, DAY, AUTHORIZATION_LIFETIME_MS, 9 * DAY)),
            bytes([random.randrange(6)]) * 32, MEMO,
        ))  # fmt: skip

    def execute(self, who: str) -> None:
        if not self.signed:
            return
        terms, now, model = self.random.choice(self.signed), self.chain.now, self.model
        payer, payee = (name_of(terms.payer), name_of(terms.payee))
        amount = self.random.choice((terms.maximum, 1, terms.maximum + 1))
        key = (payer, terms.nonce)
        fits = amount == terms.maximum or (not terms.exact and amount < terms.maximum)
        timely = terms.valid_after <= now < terms.valid_before <= now + AUTHORIZATION_LIFETIME_MS
        after = Payments(dict(model.spendable), dict(model.nonces))
        after.forget(2, now)
        possible = after.can(who, NONCE_DEPOSIT)
        after.spendable[who] -= NONCE_DEPOSIT
        possible = possible and after.can(payer, amount)
        signature = Ed25519Signature(pair(payer).sign(self.chain.pay.signed_bytes(terms)))
        allowed = fits and timely and key not in model.nonces and possible
        if self.attempt(allowed, who, "Pay.execute_authorization", terms, signature, amount):
            after.move(payer, payee, amount)
            after.nonces[key] = (terms.valid_before, who)
            model.spendable, model.nonces = after.spendable, after.nonces

    def cancel(self, who: str) -> None:
        key, now, model = (who, bytes([self.random.randrange(6)]) * 32), self.chain.now, self.model
        after = Payments(dict(model.spendable), dict(model.nonces))
        after.forget(2, now)
        allowed = key not in model.nonces and after.can(who, NONCE_DEPOSIT)
        if self.attempt(allowed, who, "Pay.cancel_authorization", key[1]):
            after.spendable[who] -= NONCE_DEPOSIT
            after.nonces[key] = (now + AUTHORIZATION_LIFETIME_MS, who)
            model.spendable, model.nonces = after.spendable, after.nonces

    def clear(self, who: str) -> None:
        self.attempt(True, who, "Pay.clear_nonces", 3)
        self.model.forget(3, self.chain.now)

    def split(self, who: str) -> None:
        people = self.random.sample(WHO, self.random.randint(1, 4))
        cuts = sorted(self.random.sample(range(1, BPS), len(people) - 1))
        shares = [high - low for low, high in zip([0, *cuts], [*cuts, BPS], strict=True)]
        deposit = AIT // 100 + (80 + 34 * len(people)) * AIT // 10_000
        rows = list(zip(people, shares, strict=True))
        told = self.attempt(self.model.can(who, deposit), who, "Pay.create_split",
                            [Share(account(name), bps) for name, bps in rows])  # fmt: skip
        if told:
            self.model.spendable[who] -= deposit
            self.model.splits[told[-1].split] = (who, rows, deposit)

    def unsplit(self, who: str) -> None:
        if self.model.splits:
            number = self.random.choice(list(self.model.splits))
            owner, _, deposit = self.model.splits[number]
            if self.attempt(who == owner, who, "Pay.remove_split", number):
                del self.model.splits[number]
                self.model.spendable[who] += deposit

    def invoice(self, who: str) -> None:
        amount, due, deposit = self.amount(), self.chain.now + self.random.choice((HOUR, DAY)), AIT * 26 // 1000
        told = self.attempt(self.model.can(who, deposit), who, "Pay.create_invoice", ToAccount(account(who)), 0,
                            amount, due, MEMO)  # fmt: skip
        if told:
            self.model.spendable[who] -= deposit
            self.model.invoices[told[-1].invoice] = (who, amount, due, deposit)

    def settle(self, who: str) -> None:
        if self.model.invoices:
            number = self.random.choice(list(self.model.invoices))
            issuer, amount, due, deposit = self.model.invoices[number]
            most = amount - self.random.choice((0, 0, 1))
            allowed = who != issuer and self.chain.now < due and most >= amount and self.model.can(who, amount)
            if self.attempt(allowed, who, "Pay.pay_invoice", number, most):
                del self.model.invoices[number]
                self.model.spendable[issuer] += deposit
                self.model.move(who, issuer, amount)

    def void(self, who: str) -> None:
        if self.model.invoices:
            number = self.random.choice(list(self.model.invoices))
            issuer, _, due, deposit = self.model.invoices[number]
            if self.attempt(who == issuer or self.chain.now >= due, who, "Pay.void_invoice", number):
                del self.model.invoices[number]
                self.model.spendable[issuer] += deposit

    def lock(self, who: str) -> None:
        amount, to, preimage = self.amount(), self.random.choice(WHO), self.random.randbytes(32)
        deadline, deposit = self.chain.now + self.random.choice((HOUR, DAY)), AIT * 3 // 100
        told = self.attempt(self.model.can(who, amount + deposit), who, "Pay.lock", account(to), amount,
                            blake2_256(preimage), deadline, b"")  # fmt: skip
        if told:
            self.model.spendable[who] -= amount + deposit
            self.model.locks[told[-1].lock] = (who, to, amount, deadline, preimage, deposit)

    def reveal(self, who: str) -> None:
        if self.model.locks:
            number = self.random.choice(list(self.model.locks))
            payer, payee, amount, deadline, preimage, deposit = self.model.locks[number]
            shown = self.random.choice((preimage, preimage, MEMO))
            if self.attempt(shown == preimage and self.chain.now < deadline, who, "Pay.reveal", number, shown):
                del self.model.locks[number]
                self.model.spendable[payee] += amount
                self.model.spendable[payer] += deposit

    def reclaim(self, who: str) -> None:
        if self.model.locks:
            number = self.random.choice(list(self.model.locks))
            payer, payee, amount, deadline, _, deposit = self.model.locks[number]
            if self.attempt(who == payee or self.chain.now >= deadline, who, "Pay.reclaim", number):
                del self.model.locks[number]
                self.model.spendable[payer] += amount + deposit


def name_of(who: bytes) -> str:
    return next(name for name in WHO if account(name) == who)


@pytest.mark.parametrize("part", range(4))
def test_any_history_of_payments_agrees_with_the_model(part: int) -> None:
    for seed in range(part, HISTORIES, 4):
        history = PayHistory(seed)
        for _ in range(STEPS):
            history.step()


# ------------------------------------------------------------------------------------------------- Allowances


@dataclass
class Granted:
    """What the model knows of a grant: its limits, and what its owner lost through it, fees included."""

    key: str
    parent: int | None
    limits: Limits
    since: int
    expires: int
    purposes: list[Purpose]
    spent: int = 0
    windows: dict[int, int] = field(default_factory=dict)


class KeyHistory:
    """Hostile keys against an owner: whatever they sign, each grant costs at most its limits, as the balance tells."""

    KEYS = ("bob", "carol", "agent", "robot")

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.chain = SpendingChain(money=500)
        self.grants: dict[int, Granted] = {}
        self.gone: set[int] = set()

    def limits(self) -> Limits:
        random = self.random
        return Limits(
            random.choice((AIT, ait(5), ait(40))), random.choice((ait(2), ait(20))), random.choice((ait(3), ait(30))),
            random.choice((0, HOUR, DAY)),
        )  # fmt: skip

    def grant(self) -> None:
        limits, purposes = self.limits(), self.random.choice(([Purpose.Pay], list(Purpose), [Purpose.Delegate]))
        key, days = self.random.choice(self.KEYS), self.random.choice((1, 20))
        args = (account(key), limits, Scope(purposes, []), self.chain.now + days * DAY)
        number = self.chain.run("alice", "Allowances.grant", *args, None)[-1].grant
        self.grants[number] = Granted(key, None, limits, self.chain.now, args[3], purposes)

    def path(self, number: int) -> list[int]:
        found = [number]
        while (parent := self.grants[found[-1]].parent) is not None:
            found.append(parent)
        return found

    def good(self, number: int) -> bool:
        return all(each not in self.gone and self.chain.now < self.grants[each].expires for each in self.path(number))

    def fee_call(self) -> Any:
        """What a hostile key might sign."""
        chain, random = self.chain, self.random
        amount = random.choice((1, AIT, ait(4), ait(39), ait(600)))
        return random.choice((
            chain.call("Pay.pay", ToAccount(account("eve")), amount, MEMO, b""),
            chain.call("Pay.lock", account("eve"), amount, blake2_256(MEMO), chain.now + DAY, b""),
            chain.call("Balances.transfer_keep_alive", account("eve"), amount),
            chain.call("Balances.transfer_all", account("eve"), False),
            chain.call("Pay.reclaim", 0),
            chain.call("Utility.batch_all", [chain.call("Balances.transfer_keep_alive", account("eve"), amount)]),
            chain.call("Allowances.revoke_all"),
            chain.call("Allowances.grant", account(random.choice(self.KEYS)), self.limits(), Scope(list(Purpose), []),
                       chain.now + 9 * DAY, random.choice((None, *self.grants))),
        ))  # fmt: skip

    def send(self) -> None:
        """A transaction of a key: what it costs the owner counts on the whole path, or it is invalid and free."""
        if not self.grants:
            return
        chain, number = self.chain, self.random.choice(list(self.grants))
        signer = self.grants[number].key if self.random.random() < 0.9 else "agent"
        if not chain.system.account.contains(account(signer)):
            return
        call, before = self.fee_call(), chain.free("alice")
        tip = self.random.choice((0, 0, AIT // 10, ait(3)))
        xt = transaction(chain, pair(signer), number, call, tip)
        events = len(chain.machine.store.events)
        try:
            chain.executive.apply(xt)
        except InvalidTransaction:
            assert chain.free("alice") == before
            return
        assert self.good(number)
        assert self.grants[number].key == signer
        lost = before - chain.free("alice")
        for each in self.path(number):
            row = self.grants[each]
            window = (chain.now - row.since) // row.limits.period if row.limits.period else 0
            row.spent += lost
            row.windows[window] = row.windows.get(window, 0) + lost
            assert lost <= row.limits.per_transaction
            assert row.spent <= row.limits.total
            assert not row.limits.period or row.windows[window] <= row.limits.per_period
            assert row.spent == chain.allowances.grants.get((account("alice"), each)).spent
        for event in chain.events(events):
            if type(event).__name__ == "Granted":
                made = chain.allowances.grants.get((account("alice"), event.grant))
                key = next(name for name in self.KEYS if account(name) == made.key)
                assert event.parent == number
                self.grants[event.grant] = Granted(
                    key, number, made.limits, chain.now, made.expires, made.scope.purposes
                )

    def revoke(self) -> None:
        alive = [number for number in self.grants if number not in self.gone]
        if alive:
            number = self.random.choice(alive)
            self.chain.run("alice", "Allowances.revoke", account("alice"), number)
            self.gone.add(number)

    def kill(self) -> None:
        self.chain.run("alice", "Allowances.revoke_all")
        for number in set(self.grants) - self.gone:
            self.chain.run("eve", "Allowances.revoke", account("alice"), number)
        self.gone.update(self.grants)

    def step(self) -> None:
        choice = self.random.random()
        if choice < 0.15:
            self.grant()
        elif choice < 0.25:
            self.chain.set_time(self.chain.now + self.random.choice((1, HOUR, DAY)))
        elif choice < 0.29:
            self.revoke()
        elif choice < 0.3:
            self.kill()
        else:
            self.send()
        self.chain.check()


@pytest.mark.parametrize("part", range(4))
def test_no_history_of_keys_costs_an_owner_more_than_its_grants(part: int) -> None:
    sent = 0
    for seed in range(part, HISTORIES, 4):
        history = KeyHistory(seed)
        history.chain.open_block()
        for _ in range(STEPS):
            history.step()
        sent += sum(row.spent > 0 for row in history.grants.values())
    assert sent
