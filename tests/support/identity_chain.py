"""Identity and its neighbours on a small runtime: calls by people, and what must always hold."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

from aitoken.types import AccountId, BlockNumber
from chain.frame.apis import CoreApis
from chain.frame.executive import Executive
from chain.frame.machine import Machine
from chain.frame.schema import Schema
from chain.frame.system import System
from chain.pallets.balances import Balances
from chain.pallets.identity import SUB_DEPOSIT, Identity
from chain.pallets.identity_types import FeePaid
from chain.pallets.timestamp import Timestamp
from chain.pallets.transaction_payment import CallPaymentApis, TransactionPayment
from chain.pallets.utility import Utility
from chain.params import PRESETS
from chain.state.memory import MemoryKeyValue
from chain.weights import WEIGHTS
from tests.support.earn_chain import EarnChain
from tests.support.small_runtime import Authors
from tests.support.spending_chain import GENESIS, PEOPLE, START_MS, account, ait, rows

PALLETS = (System, Timestamp, Balances, TransactionPayment, Utility, Identity)


@cache
def schema() -> Schema:
    return Schema(
        PALLETS, (CoreApis, CallPaymentApis), PRESETS["devnet"], WEIGHTS, spec_version=100, transaction_version=1
    )


class IdentityChain(EarnChain):
    """One machine, no blocks but those that are asked for."""

    def __init__(self, money: int = 1000) -> None:
        machine = self.machine = Machine(schema())
        self.system = System(machine)
        self.timestamp = Timestamp(machine)
        self.balances = Balances(machine, self.system)
        self.payment = TransactionPayment(machine, self.system, self.balances, Authors())
        self.identity = Identity(machine, self.balances)
        machine.install(
            self.system, self.timestamp, self.balances, self.payment, Utility(machine), self.identity,
        )  # fmt: skip
        self.executive = Executive(machine, self.system, self.payment)
        machine.store.load(MemoryKeyValue({}))
        self.system.block_hash.put(BlockNumber(0), GENESIS)
        self.balances.build_genesis((account(who), ait(money)) for who in PEOPLE)
        self.now = START_MS
        self.wait(0)

    def call(self, name: str, *args: Any) -> Any:
        return schema().make_call(name, *args)

    def events(self, since: int = 0) -> list[Any]:
        record, found = schema().event_record, []
        for row in self.machine.store.events[since:]:
            at = 0
            while at < len(row):
                what, at = record.read(row, at)
                found.append(what.event)
        return found

    # ---------------------------------------------------------------------------------------------- what must hold

    def expected_holds(self) -> Counter[tuple[AccountId, str]]:
        """What the pallets' storage says is held."""
        held: Counter[tuple[AccountId, str]] = Counter()
        for who, found in self.identity.identity_of.items():
            fees = sum(judgement.fee for _, judgement in found.judgements if isinstance(judgement, FeePaid))
            held[who, "IdentityHoldReason.Deposit"] += found.deposit + fees
        for who, (deposit, _) in self.identity.subs_of.items():
            held[who, "IdentityHoldReason.Deposit"] += deposit
        return held

    def check(self) -> None:
        """Whatever happened: money is conserved, every deposit is a hold, and everybody's subs know it."""
        accounts = rows(self.system.account)
        assert sum(row.free + row.reserved for row in accounts) == self.balances.total_issuance.get()
        held = Counter(
            {
                (who, f"{type(hold.id).__name__}.{hold.id.name}"): hold.amount
                for who, holds in self.balances.holds.items()
                for hold in holds
            }
        )
        assert held == +self.expected_holds()
        named = {sub: who for who, (_, subs) in self.identity.subs_of.items() for sub in subs}
        assert named == {sub: who for sub, (who, _) in self.identity.super_of.items()}
        for who, (deposit, subs) in self.identity.subs_of.items():
            assert deposit == SUB_DEPOSIT * len(subs) > 0
            assert self.identity.identity_of.contains(who)
        for found in rows(self.identity.identity_of):
            numbers = [index for index, _ in found.judgements]
            assert numbers == sorted(set(numbers))
