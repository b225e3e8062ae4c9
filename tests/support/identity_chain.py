"""Identity, Attest and what they need on a small runtime: calls by people and by nobody, and what must always hold."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import pairwise
from typing import Any

from aitoken.crypto.blind_rsa import IssuerKey
from aitoken.types import AccountId, BlockNumber
from chain.frame.apis import CoreApis
from chain.frame.executive import Executive
from chain.frame.machine import Machine
from chain.frame.schema import Schema
from chain.frame.system import System
from chain.pallets.ai.attest import ATTESTATION_DEPOSIT, FEE, Attest
from chain.pallets.ai.attest_types import Accept, Class
from chain.pallets.ai.reputation import FEEDBACK_DEPOSIT
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
from tests.support.small_runtime import Authors, events_of
from tests.support.spending_chain import DAY, GENESIS, PEOPLE, START_MS, account, ait, rows

PALLETS = (System, Timestamp, Balances, TransactionPayment, Utility, Identity, Attest)
SCOPE = b"a scope of persons".ljust(32)
METHOD = b"how we look at people".ljust(32)
WHY = b"because".ljust(32)
PRIMES = [
    int(each, 16)
    for each in (
        "e744084b05c8f24279c190ba7bde4593c5d3dcc25ccae26407bb25b2937ec2c935b45a7b304cf9416d2a9c626b9655983864"
        "9125848f3163b7a5421d6a5a60a36048f1c0cac5982348a2936a432d2dc3a85ec6de0a9a0e4d1bf6fd14b7523052f5378aee"
        "35b64e96e714d85e99410511944fd35e6ec3706aafd8c5b4ffbc807d",
        "cc1035af9b9333b47f7800b761e69cb5788fdd2af3fe92d1a479a4f58f3bc517c6a50787022a59128f595e59e6ea377744f2"
        "ff6691f9d340bbebd6828ee66b3c20f3cd9f0cc16fa5fa677026f0e7c4bcb0e49b4144c3013306155485d278ff6095167b22"
        "bfdc8b7ac02e2d8bced23e66e12c52b811de510ce86fa6c1d13be2e1",
        "dd92bc043889dfe989a0ff8a7747ca960a8fa3f722afa1ae621daae95d59689be17bd717b65b8f9c33a626fda0c5102b84c6"
        "fab4e451af4c83e25c0be9f7e4f33abd2e2a16fd74c8692f2e04e36b05d55cb23bf98bbd6869fbcd01f09349de3d59a63088"
        "39467ffb1902f226be081bf4f1d70289557a54a8793481e3b31dec13",
        "cd51f1f76b490a365ba6e7c4f18290825d5898cdfcd4bf32b23091b919e91bfcc889d96214c59c04ce0284f08f106890c092"
        "8bfedc527823a313a7821fd13d2b6188d5dc62fdb1e752fc6e37a1d5aeb5f78e908de589aec8bdb2aefc2a184809873f769d"
        "3f0059a9137dcf98e69e08ac696ac1e92ee77c6e6b171eca11394bfb",
    )
]
KEYS = (IssuerKey(*PRIMES[:2]), IssuerKey(*PRIMES[2:]))
"""Keys of issuers, for tests only."""


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
        self.attest = Attest(machine, self.balances, self.system, self.timestamp)
        machine.install(
            self.system, self.timestamp, self.balances, self.payment, Utility(machine), self.identity, self.attest,
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
        return events_of(self.machine, since)

    def send(self, name: str, *args: Any) -> list[Any]:
        """Put a call without a signature into a block of its own; return what it told."""
        self.open_block()
        self.attest.on_initialize(self.system.number.get())
        before = len(self.machine.store.events)
        self.executive.validate(self.bare(name, *args), self.system.number.get())
        self.executive.apply(self.bare(name, *args))
        assert not self.machine.faults, self.machine.faults
        told = self.events(before)
        assert type(told[-1]).__name__ == "ExtrinsicSuccess", told
        return told[:-1]

    # ---------------------------------------------------------------------------------------------- issuers

    def accept(self, issuer: str, class_: Class, *, cap: int = 10) -> None:
        """Let somebody's word count."""
        self.run(issuer, "Attest.register_issuer", class_, ait(100), METHOD)
        self.run("root", "Attest.judge_issuer", account(issuer), class_, Accept(cap), METHOD)

    def publish(self, issuer: str, number: int = 0, *, scope: bytes = SCOPE, days: int = 30, cap: int = 10) -> int:
        """Have an issuer publish a key from now on; return its number."""
        args = scope, KEYS[number].modulus, self.now, self.now + days * DAY, cap
        return int(self.run(issuer, "Attest.publish_key", *args)[-1].key)

    # ---------------------------------------------------------------------------------------------- what must hold

    def expected_holds(self) -> Counter[tuple[AccountId, str]]:
        """What the pallets' storage says is held."""
        held: Counter[tuple[AccountId, str]] = Counter()
        for who, found in self.identity.identity_of.items():
            fees = sum(judgement.fee for _, judgement in found.judgements if isinstance(judgement, FeePaid))
            held[who, "IdentityHoldReason.Deposit"] += found.deposit + fees
        for who, (deposit, _) in self.identity.subs_of.items():
            held[who, "IdentityHoldReason.Deposit"] += deposit
        for (who, _), issuer in self.attest.issuers.items():
            held[who, "AttestHoldReason.Stake"] += issuer.stake
        for schema in rows(self.attest.schemas):
            held[schema.owner, "AttestHoldReason.Deposit"] += schema.deposit
        for attestation in rows(self.attest.attestations):
            held[attestation.depositor, "AttestHoldReason.Deposit"] += ATTESTATION_DEPOSIT
        for key in rows(self.attest.keys):
            held[key.issuer, "AttestHoldReason.Deposit"] += key.deposit
            held[key.issuer, "AttestHoldReason.Funded"] += (key.cap - key.used) * FEE
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
        self.check_attest()

    def check_attest(self) -> None:
        """Counters count, caps are kept, and a person is one by nullifiers that are remembered."""
        attest = self.attest
        uses = Counter(row.schema for row in rows(attest.attestations))
        assert {number: row.uses for number, row in attest.schemas.items() if row.uses} == uses
        kept = Counter(number for (number, _), _ in attest.nullifiers.items())
        named = Counter((number, who) for (number, _), who in attest.nullifiers.items())
        for number, key in attest.keys.items():
            assert key.kept == kept[number]
            assert key.kept <= key.used <= key.cap
        assert kept.keys() <= dict(attest.keys.items()).keys()
        for (scope, who), keys in attest.persons.items():
            assert keys
            assert len(set(keys)) == len(keys)
            for number in keys:
                found = attest.keys.get(number)
                assert found is not None
                assert found.scope == scope
                assert named[number, who] == 1
        times: dict[Any, list[tuple[int, int]]] = {}
        for key in rows(attest.keys):
            times.setdefault((key.issuer, key.scope), []).append((key.since, key.until))
        for spans in times.values():
            spans.sort()
            assert all(before[1] <= after[0] for before, after in pairwise(spans))


def reputation_holds(chain: Any) -> Counter[tuple[AccountId, str]]:
    """What the storage of Reputation says is held, on a chain that has it."""
    held: Counter[tuple[AccountId, str]] = Counter()
    for feedback in rows(chain.reputation.feedbacks):
        held[feedback.author, "ReputationHoldReason.Deposit"] += FEEDBACK_DEPOSIT
    return held
