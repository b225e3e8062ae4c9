"""The pallets of payments on a small runtime: calls by people, time in big steps, and what must always hold."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.hashing import blake2_256
from aitoken.proto.digest import Digest, NextEpoch, SmpxDigest, leading_items_of
from aitoken.proto.extrinsic import Extrinsic, additional_signed, sign_extrinsic
from aitoken.proto.randomness import UNPROVEN
from aitoken.types import AIT, AccountId, Balance, BlockNumber, Hash32
from chain.frame.apis import CoreApis
from chain.frame.executive import Executive
from chain.frame.machine import Machine
from chain.frame.origin import ROOT, Signed
from chain.frame.schema import Schema
from chain.frame.system import System
from chain.pallets.ai.agenda import SLOT_MS
from chain.pallets.ai.allowances import Allowances
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.disputes import Disputes
from chain.pallets.ai.disputes_types import Ended
from chain.pallets.ai.pay import AUTHORIZATION_BYTES, Pay
from chain.pallets.ai.plans import Plans
from chain.pallets.ai.spending import Spendable
from chain.pallets.balances import Balances
from chain.pallets.timestamp import Timestamp
from chain.pallets.transaction_payment import CallPaymentApis, TransactionPayment
from chain.pallets.utility import Utility
from chain.params import PRESETS
from chain.state.memory import MemoryKeyValue
from chain.weights import WEIGHTS
from tests.support.small_runtime import Authors, events_of

PEOPLE = ("alice", "bob", "carol", "dave", "eve", "owner", "operator", "payout")
START_MS = 1_767_225_600_000
HOUR = 3_600_000
DAY = 24 * HOUR
STEP = 2 * HOUR
GENESIS = Hash32(b"G" * 32)
PALLETS = (System, Timestamp, Balances, TransactionPayment, Utility, Pay, Plans, Allowances, Disputes)
NONCE_DEPOSIT = deposit(AUTHORIZATION_BYTES)
ED = PRESETS["devnet"].existential_deposit


@cache
def pair(name: str) -> Any:
    """The ed25519 keys of somebody."""
    return pair_from_uri(f"//{name}", "ed25519")


def account(name: str) -> AccountId:
    """The account of somebody."""
    return AccountId(pair(name).public)


def ait(amount: int) -> Balance:
    return Balance(amount * AIT)


@cache
def schema() -> Schema:
    return Schema(
        PALLETS, (CoreApis, CallPaymentApis), PRESETS["devnet"], WEIGHTS, spec_version=100, transaction_version=1
    )


class Market:
    """Prices, providers, sessions and epochs as the tests want them."""

    def __init__(self, clock: Timestamp, balances: Balances) -> None:
        self._clock = clock
        self._balances = balances
        self.rates: dict[int, int] = {}
        self.sessions: dict[bytes, tuple[AccountId, int, int]] = {}
        self.running_cases = 0
        self.bond = ait(500)
        self.payouts: dict[int, AccountId] = {7: account("payout")}

    def rate(self, currency: int) -> int | None:
        return self.rates.get(currency)

    def get(self) -> NextEpoch:
        """The epoch that runs; one lasts as long as a slot of the agenda."""
        epoch = self._clock.current_time() // SLOT_MS
        return NextEpoch(epoch, [], blake2_256(epoch.to_bytes(8, "little")), 0, 1)

    def parties_of(self, session: Hash32) -> tuple[AccountId, int] | None:
        found = self.sessions.get(session)
        return None if found is None else found[:2]

    def id_of(self, payer: AccountId, params: Any) -> Hash32:
        raise NotImplementedError

    def freeze(self, session: Hash32) -> None:
        raise NotImplementedError

    def paid_by(self, session: Hash32) -> Balance:
        return Balance(self.sessions[session][2])

    def people_of(self, provider: int) -> tuple[AccountId, ...]:
        return account("owner"), account("operator"), self.payouts[provider]

    def case_begins(self, provider: int) -> None:
        self.running_cases += 1

    def case_ends(self, provider: int) -> None:
        self.running_cases -= 1

    def award(self, provider: int, amount: Balance, to: AccountId) -> Balance:
        """Out of a bond that is the owner's free money here."""
        paid = Balance(min(amount, self.bond))
        self.bond = Balance(self.bond - paid)
        if paid:
            self._balances.transfer(account("owner"), to, paid, keep_alive=True)
        return paid

    def is_run_by(self, provider: int, who: AccountId) -> bool:
        return provider in self.payouts and who in (account("owner"), account("operator"))

    def payout_of(self, provider: int) -> AccountId | None:
        return self.payouts.get(provider)


class SpendingChain:
    """One machine, no blocks: `run` makes a call at once, `wait` lets time pass and the hooks of a block run."""

    def __init__(self, money: int = 1000) -> None:
        machine = self.machine = Machine(schema())
        self.system = System(machine)
        self.timestamp = Timestamp(machine)
        self.balances = Balances(machine, self.system)
        self.payment = TransactionPayment(machine, self.system, self.balances, Authors())
        self.market = Market(self.timestamp, self.balances)
        self.pay = Pay(machine, self.balances, self.system, self.timestamp, self.market, self.market)
        self.plans = Plans(machine, self.balances, self.timestamp, self.market, self.market)
        spendable = Spendable(self.pay, self.plans, self.market)
        self.allowances = Allowances(machine, self.system, self.balances, self.timestamp, spendable, self.market)
        self.disputes = Disputes(
            machine, self.balances, self.timestamp, self.market, self.market, self.plans, self.market
        )
        machine.install(
            self.system, self.timestamp, self.balances, self.payment, Utility(machine), self.pay, self.plans,
            self.allowances, self.disputes,
        )  # fmt: skip
        self.executive = Executive(machine, self.system, self.payment)
        self.executive.use_sponsor(schema().call_info("Allowances.spend"), self.allowances)
        machine.store.load(MemoryKeyValue({}))
        self.system.block_hash.put(BlockNumber(0), GENESIS)
        self.balances.build_genesis((account(who), ait(money)) for who in PEOPLE)
        self.issuance = self.balances.total_issuance.get()
        self.burned = 0
        self.now = START_MS
        self.wait(0)

    def call(self, name: str, *args: Any) -> Any:
        return schema().make_call(name, *args)

    def run(self, who: str | bytes, name: str, *args: Any) -> list[Any]:
        """Make a call; return what it told."""
        origin = ROOT if who == "root" else Signed(account(who) if isinstance(who, str) else AccountId(who))
        before = len(self.machine.store.events)
        self.machine.dispatch(self.call(name, *args), origin)
        assert not self.machine.faults, self.machine.faults
        return self.events(before)

    def events(self, since: int = 0) -> list[Any]:
        return events_of(self.machine, since)

    def wait(self, ms: int) -> list[Any]:
        """Let time pass, with the start of a block every two hours and at the end."""
        before, end = len(self.machine.store.events), self.now + ms
        while True:
            self.set_time(min(end, self.now + STEP))
            number = BlockNumber(self.system.number.get() + 1)
            self.system.number.put(number)
            for hook in self.machine.hooks("on_initialize"):
                hook(number)
            if self.now == end:
                return self.events(before)

    def set_time(self, now: int) -> None:
        """Let time pass without a block."""
        self.now = now
        self.timestamp.now.put(now)

    def open_block(self) -> None:
        """Open a real block, for transactions."""
        view = self.system.number.get() + 1
        digest = Digest(leading_items_of(SmpxDigest(1, 0, view, view - 1, 0, self.now, *UNPROVEN)))
        self.system.initialize(BlockNumber(view), GENESIS, digest)

    # ---------------------------------------------------------------------------------------------- money

    def free(self, who: str | bytes) -> int:
        return int(self.system.account.get(account(who) if isinstance(who, str) else AccountId(who)).free)

    def expected_holds(self) -> Counter[tuple[AccountId, str]]:
        """What the pallets' storage says is held."""
        held: Counter[tuple[AccountId, str]] = Counter()
        for nonce in rows(self.pay.used_nonces):
            held[nonce.depositor, "PayHoldReason.Deposit"] += NONCE_DEPOSIT
        for split in rows(self.pay.splits):
            held[split.owner, "PayHoldReason.Deposit"] += split.deposit
        for invoice in rows(self.pay.invoices):
            held[invoice.issuer, "PayHoldReason.Deposit"] += invoice.deposit
        for lock in rows(self.pay.hashlocks):
            held[lock.payer, "PayHoldReason.Deposit"] += lock.deposit
            held[lock.payer, "PayHoldReason.Locked"] += lock.amount
        for (_, who), amount in self.plans.trials.items():
            held[who, "PlansHoldReason.Deposit"] += amount
        for version in rows(self.plans.versions):
            held[version.depositor, "PlansHoldReason.Deposit"] += version.deposit
        for subscription in rows(self.plans.subscriptions):
            held[subscription.payer, "PlansHoldReason.Deposit"] += subscription.deposit
            held[subscription.payer, "PlansHoldReason.Period"] += subscription.price - subscription.paid
        for (owner, _), grant in self.allowances.grants.items():
            held[owner, "AllowancesHoldReason.Deposit"] += grant.deposit
        SpendingChain.add_disputes(self, held)
        return held

    def add_disputes(self, held: Counter[tuple[AccountId, str]]) -> None:
        """Add what the storage of Disputes says is held."""
        for who, arbiter in self.disputes.arbiters.items():
            held[who, "DisputesHoldReason.Stake"] += arbiter.stake
        for case in rows(self.disputes.cases):
            held[case.claimant, "DisputesHoldReason.Deposit"] += case.deposit
            held[case.claimant, "DisputesHoldReason.Bond"] += case.bond
            for stake, reason in ((case.answer_bond, "Bond"), (case.appeal, "Bond"), (case.offer, "Offer")):
                if stake is not None:
                    held[stake.who, f"DisputesHoldReason.{reason}"] += stake.amount

    def check(self) -> None:
        """Whatever happened: money is conserved, every escrow is a hold, nothing is left behind."""
        accounts = rows(self.system.account)
        money = sum(row.free + row.reserved for row in accounts) + self.payment.pending
        assert money == self.balances.total_issuance.get() == self.issuance - self.burned
        assert all(row.free >= 0 and row.reserved >= 0 for row in accounts)
        held = Counter(
            {(who, _name(hold.id)): hold.amount for who, holds in self.balances.holds.items() for hold in holds}
        )
        assert held == +self.expected_holds()
        self.check_plans()
        self.check_disputes()
        assert len(list(self.pay.used_nonces.items())) == self.pay.nonce_end.get() - self.pay.nonce_front.get()
        assert len(list(self.pay.nonce_queue.items())) == len(list(self.pay.used_nonces.items()))

        grants = [key for key, _ in self.allowances.grants.items()]
        for owner, mine in self.allowances.owners.items():
            assert mine.count == sum(of == owner for of, _ in grants) > 0
        keys = Counter(grant.key for _, grant in self.allowances.grants.items())
        for who, row in self.system.account.items():
            assert row.sufficients == keys[who]

    def check_disputes(self) -> None:
        """Running cases stand in the agenda, panels are seats, every subject has its case."""
        disputes = self.disputes
        running = {number: row for number, row in disputes.cases.items() if not isinstance(row.phase, Ended)}
        assert self.market.running_cases == len(running)
        assert sorted(rows(disputes.agenda)) == sorted(running)
        assert all(disputes.agenda.get(row.place) == number for number, row in running.items())
        assert sorted(rows(disputes.case_of)) == sorted(number for number, _ in disputes.cases.items())
        seats = Counter(seat.arbiter for panel in rows(disputes.panels) for seat in panel)
        assert {number for number, _ in disputes.panels.items()} <= set(running)
        assert disputes.arbiter_count.get() == len(rows(disputes.arbiters))
        for who, arbiter in disputes.arbiters.items():
            assert arbiter.seats == seats[who]

    def check_plans(self) -> None:
        """Counters count, every subscription can be found by its holder and by its time."""
        plans = self.plans
        for number, plan in plans.plans.items():
            mine = {version: row for (of, version), row in plans.versions.items() if of == number}
            assert len(mine) == plan.versions
            assert sum(row.subscriptions for row in mine.values()) == plan.subscriptions
            assert plan.version in mine or plan.retired
        for (number, version), row in plans.versions.items():
            assert row.subscriptions == sum(
                (each.plan, each.version) == (number, version) for each in rows(plans.subscriptions)
            )
        for number, row in plans.subscriptions.items():
            assert plans.passes.get((row.beneficiary, number)) == row.plan
            assert plans.agenda.get(row.place) == number
            assert 0 <= row.paid <= row.price
        count = len(rows(plans.subscriptions))
        assert len(rows(plans.passes)) == len(rows(plans.agenda)) == count


def transaction(chain: SpendingChain, key: Any, grant: int, call: Any, tip: int = 0) -> Extrinsic:
    """A transaction in which a spend key makes a call for Alice."""
    wrapped = chain.call("Allowances.spend", account("alice"), grant, call)
    additional = additional_signed(100, 1, GENESIS, GENESIS)
    nonce = chain.system.account.get(AccountId(key.public)).nonce
    return sign_extrinsic(wrapped.encode(), key, additional, nonce=nonce, tip=tip)


def rows(items: Any) -> list[Any]:
    """The values of a storage map."""
    return [row for _, row in items.items()]


def _name(reason: Any) -> str:
    return f"{type(reason).__name__}.{reason.name}"
