"""The pallets of earning on a small runtime: calls by people, calls without a signature, and what must always hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from aitoken.names import skeleton_of
from aitoken.pay import codes
from aitoken.proto.extrinsic import Extrinsic, bare_extrinsic
from aitoken.types import AccountId, BlockNumber, Hash32
from chain.frame.apis import CoreApis
from chain.frame.executive import Executive
from chain.frame.machine import Machine
from chain.frame.schema import Schema
from chain.frame.system import System
from chain.frame.types import Ed25519Signature
from chain.pallets.ai.attest_types import Class
from chain.pallets.ai.codes import FEE, Codes
from chain.pallets.ai.codes_types import PAGE_CODES, Credit, ForPersons, Held, Terms, Tokens
from chain.pallets.ai.disputes import Disputes
from chain.pallets.ai.names import Names
from chain.pallets.ai.names_types import NameCase, WarningCase
from chain.pallets.ai.rewards import Rewards
from chain.pallets.ai.rewards_rules import left_of, stake_for
from chain.pallets.ai.rewards_types import Open as OpenWork
from chain.pallets.ai.rewards_types import Over, Vesting
from chain.pallets.balances import Balances
from chain.pallets.timestamp import Timestamp
from chain.pallets.transaction_payment import CallPaymentApis, TransactionPayment
from chain.pallets.utility import Utility
from chain.params import PRESETS
from chain.state.memory import MemoryKeyValue
from chain.weights import WEIGHTS
from tests.support.small_runtime import Authors, events_of
from tests.support.spending_chain import (
    DAY,
    GENESIS,
    PEOPLE,
    START_MS,
    Market,
    SpendingChain,
    account,
    ait,
    pair,
    rows,
)

PALLETS = (System, Timestamp, Balances, TransactionPayment, Utility, Disputes, Codes, Rewards, Names)


@cache
def schema() -> Schema:
    return Schema(
        PALLETS, (CoreApis, CallPaymentApis), PRESETS["devnet"], WEIGHTS, spec_version=100, transaction_version=1
    )


class Vouchers:
    """Attestations and persons as the tests want them: what is said of a subject, who counts by how many issuers."""

    def __init__(self) -> None:
        self.said: dict[tuple[Any, tuple[Hash32, ...]], bytes] = {}
        self.persons: dict[tuple[AccountId, bytes], int] = {}

    def agreed(self, subject: Any, uids: Sequence[Hash32], class_: Class, issuers: int = 2) -> bytes | None:
        assert (class_, issuers) == (Class.Domain, 2)
        return self.said.get((subject, tuple(uids)))

    def is_person(self, account: AccountId, scope: bytes, issuers: int = 1) -> bool:
        return self.persons.get((account, scope), 0) >= issuers


class EarnChain(SpendingChain):
    """One machine, no blocks but those that are asked for."""

    def __init__(self, money: int = 1000) -> None:
        machine = self.machine = Machine(schema())
        self.system = System(machine)
        self.timestamp = Timestamp(machine)
        self.balances = Balances(machine, self.system)
        self.payment = TransactionPayment(machine, self.system, self.balances, Authors())
        self.market = Market(self.timestamp, self.balances)
        self.vouchers = Vouchers()
        self.disputes = Disputes(
            machine, self.balances, self.timestamp, self.market, self.market, self.market, self.market
        )
        self.codes = Codes(machine, self.balances, self.system, self.timestamp, self.market, self.vouchers)
        self.era = 0
        self.rewards = Rewards(machine, self.balances, self.timestamp, lambda: self.era, self.vouchers)
        self.rewards.judged_by(self.disputes, self.market)
        self.names = Names(machine, self.balances, self.system, self.timestamp, self.market, self.vouchers)
        machine.install(
            self.system, self.timestamp, self.balances, self.payment, Utility(machine), self.codes, self.rewards,
            self.names, self.disputes,
        )  # fmt: skip
        self.executive = Executive(machine, self.system, self.payment)
        machine.store.load(MemoryKeyValue({}))
        self.system.block_hash.put(BlockNumber(0), GENESIS)
        self.balances.build_genesis((account(who), ait(money)) for who in PEOPLE)
        self.issuance = self.balances.total_issuance.get()
        self.now = START_MS
        self.wait(0)

    def call(self, name: str, *args: Any) -> Any:
        return schema().make_call(name, *args)

    def events(self, since: int = 0) -> list[Any]:
        return events_of(self.machine, since)

    def bare(self, name: str, *args: Any) -> Extrinsic:
        """A call without a signature."""
        return bare_extrinsic(self.call(name, *args).encode())

    def send(self, name: str, *args: Any) -> list[Any]:
        """Put a call without a signature into a block of its own; return what it told."""
        self.open_block()
        self.codes.on_initialize(self.system.number.get())
        before = len(self.machine.store.events)
        self.executive.validate(self.bare(name, *args), self.system.number.get())
        self.executive.apply(self.bare(name, *args))
        assert not self.machine.faults, self.machine.faults
        told = self.events(before)
        assert type(told[-1]).__name__ == "ExtrinsicSuccess", told
        return told[:-1]

    # ---------------------------------------------------------------------------------------------- what must hold

    def expected_holds(self) -> Counter[tuple[AccountId, str]]:
        """What the pallets' storage says is held."""
        held = EarnChain.earning_holds(self)
        SpendingChain.add_disputes(self, held)
        return held

    def earning_holds(self) -> Counter[tuple[AccountId, str]]:
        """What the pallets of earning say is held, without the arbiters they share with Disputes."""
        held: Counter[tuple[AccountId, str]] = Counter()
        for number, batch in self.codes.batches.items():
            held[batch.sponsor, "CodesHoldReason.Deposit"] += batch.deposit
            left = sum(credit.left for (of, _), credit in self.codes.credits.items() if of == number)
            held[batch.sponsor, "CodesHoldReason.Funded"] += (batch.count - batch.used) * (batch.value + FEE) + left
        EarnChain.add_rewards(self, held)
        EarnChain.add_names(self, held)
        return held

    def add_rewards(self, held: Counter[tuple[AccountId, str]]) -> None:
        """Add what the storage of Rewards says is held."""
        rewards = self.rewards
        for who, attester in rewards.attesters.items():
            held[who, "RewardsHoldReason.Stake"] += attester.stake
        for campaign in rows(rewards.campaigns):
            held[campaign.owner, "RewardsHoldReason.Deposit"] += campaign.deposit
            held[campaign.owner, "RewardsHoldReason.Budget"] += campaign.left
        for who, member in rewards.members.items():
            held[who, "RewardsHoldReason.Deposit"] += member.deposit
        for work in rows(rewards.submissions):
            held[work.who, "RewardsHoldReason.Deposit"] += work.deposit
            if isinstance(work.stage, OpenWork):
                held[work.who, "RewardsHoldReason.Stake"] += rewards.campaigns.get(work.campaign).terms.stake
            if work.challenge is not None:
                held[work.challenge.who, "RewardsHoldReason.Bond"] += work.challenge.bond

    def add_names(self, held: Counter[tuple[AccountId, str]]) -> None:
        """Add what the storage of Names says is held."""
        for name in rows(self.names.names):
            held[name.owner, "NamesHoldReason.Deposit"] += name.deposit
            if name.challenge is not None:
                held[name.challenge.who, "NamesHoldReason.Bond"] += name.challenge.bond
        for who, commitment in self.names.commitments.items():
            held[who, "NamesHoldReason.Deposit"] += commitment.deposit
        for warning in rows(self.names.warnings):
            if warning.appeal is not None:
                held[warning.appeal.who, "NamesHoldReason.Bond"] += warning.appeal.bond

    def check(self) -> None:
        """Whatever happened: money is conserved, every escrow is a hold, nothing is left behind."""
        accounts = rows(self.system.account)
        money = sum(row.free + row.reserved for row in accounts) + self.payment.pending
        assert money == self.balances.total_issuance.get()
        held = Counter(
            {
                (who, f"{type(hold.id).__name__}.{hold.id.name}"): hold.amount
                for who, holds in self.balances.holds.items()
                for hold in holds
            }
        )
        assert held == +self.expected_holds()
        self.check_codes()
        self.check_rewards()
        EarnChain.check_names(self)

    def check_names(self) -> None:
        """Every name has a skeleton of its own, names and warnings stand in the agenda once, and nothing else does."""
        names = self.names
        found = dict(names.names.items())
        assert dict(names.skeletons.items()) == {skeleton_of(name): name for name in found}
        entered = {NameCase(name): row.place for name, row in found.items()}
        entered |= {WarningCase(subject): row.place for subject, row in names.warnings.items()}
        assert {case: place for place, case in names.agenda.items()} == entered
        assert len(list(names.agenda.items())) == len(entered)
        for row in found.values():
            assert not row.frozen or (row.challenge, row.badge, row.deposit) == (None, None, 0)

    def check_rewards(self) -> None:
        """What is promised is unpaid and funded, what is bound is needed, nobody is over a cap."""
        rewards = self.rewards
        promised: Counter[int] = Counter()
        pending: Counter[int] = Counter()
        people: Counter[tuple[int, AccountId]] = Counter()
        for work in rows(rewards.submissions):
            people[work.campaign, work.who] += 1
            if not isinstance(work.stage, Over):
                pending[work.campaign] += 1
                paid = work.stage.paid if isinstance(work.stage, Vesting) else 0
                promised[work.campaign] += work.reward - paid
        bound: Counter[AccountId] = Counter()
        for number, campaign in rewards.campaigns.items():
            assert promised[number] == campaign.promised <= campaign.left
            assert pending[number] == campaign.pending
            parts = [rows for (of, _), rows in rewards.shares.items() if of == number]
            assert campaign.shares == sum(part.amount for rows in parts for part in rows)
            assert campaign.left == sum(left_of(rows, campaign.paid) for rows in parts)
            joined = [who for at, who in enumerate(campaign.attesters) if campaign.joined >> at & 1]
            bound.update(dict.fromkeys(joined, stake_for(campaign.terms)))
            self.check_ledger(number)
        assert set(promised) <= {number for number, _ in rewards.campaigns.items()} | {
            number for number, amount in promised.items() if not amount
        }
        assert dict(rewards.people.items()) == dict(people)
        for (number, who), count in people.items():
            campaign = rewards.campaigns.get(number)
            assert campaign is None or count <= campaign.terms.per_person, who
        seats = Counter(seat.arbiter for panel in rows(rewards.panels) for seat in panel)
        for number in dict(rewards.panels.items()):
            assert rewards.submissions.get(number).challenge.seated is not None
        for who, arbiter in self.disputes.arbiters.items():
            assert arbiter.seats == seats[who]
        for who, attester in rewards.attesters.items():
            assert attester.bound == bound[who]

    def check_ledger(self, number: int) -> None:
        """Pages of two rows come to the totals on each of them, and leave no money and no disclosed work out."""
        campaign, sponsors, works, place, more = self.rewards.campaigns.get(number), [], [], None, True
        while more:
            page = self.rewards.ledger(number, place, 2)
            assert len(page.sponsors) + len(page.works) <= 2
            assert (page.paid_in, page.earned, page.left) == (campaign.shares, campaign.paid, campaign.left)
            sponsors, works = sponsors + page.sponsors, works + page.works
            place, more = page.next, page.next is not None
        assert sum(row.paid_in for row in sponsors) == campaign.shares
        assert sum(row.left for row in sponsors) == campaign.left
        assert sum(getattr(row.stage, "paid", 0) for row in works) == campaign.paid
        found = {at: row for at, row in self.rewards.submissions.items() if row.campaign == number}
        assert {row.submission for row in works} == {at for at, row in found.items() if row.content is not None}
        for row in works:
            work = found[row.submission]
            assert (row.who, row.content, row.reward, row.stage) == (work.who, work.content, work.reward, work.stage)
            assert len(row.accepted) + len(row.rejected) == sum(vote.accepts is not None for vote in work.votes)
            assert row.challenged is (work.challenge is not None)

    def check_codes(self) -> None:
        """Used codes are counted, nothing belongs to a batch that is gone."""
        bits: Counter[int] = Counter()
        for (number, _), page in self.codes.pages.items():
            bits[number] += sum(byte.bit_count() for byte in page)
        batches = dict(self.codes.batches.items())
        assert bits == +Counter({number: batch.used for number, batch in batches.items()})
        for (number, index), credit in self.codes.credits.items():
            terms = batches[number].terms
            assert batches[number].swept <= index < batches[number].count
            if isinstance(terms, Credit):
                assert 0 < credit.left <= batches[number].value
            else:
                assert isinstance(terms, ForPersons)
                assert credit.left == 0
                assert self.codes.takers.get((number, credit.holder)) == index
            assert self.codes.pages.get((number, index // PAGE_CODES)) is not None
        for (number, who), index in self.codes.takers.items():
            assert self.codes.credits.get((number, index)) == Held(who, ait(0))


class Sheet:
    """A batch of codes with its keys, as its sponsor prints it."""

    def __init__(self, chain: EarnChain, count: int = 3, value: int = ait(2), sponsor: str = "alice", **how: Any):
        terms: Terms = how.pop("terms", Tokens())
        self.chain, self.count, self.value = chain, count, value
        self.keys = [pair(f"code {sponsor} {index}") for index in range(count)]
        public = [key.public for key in self.keys]
        self.proofs = codes.proofs_of(public)
        self.work = how.pop("work", 0)
        self.expires = how.pop("expires", chain.now + 30 * DAY)
        told = chain.run(sponsor, "Codes.create", codes.root_of(public), count, value, self.expires, self.work, terms)
        self.number = told[-1].batch

    def claim(self, index: int, claimant: str | AccountId, /, **changes: Any) -> tuple[Any, ...]:
        """The arguments of a good claim, but for the changes."""
        who = account(claimant) if isinstance(claimant, str) else claimant
        message = codes.claim_bytes(
            changes.pop("genesis", GENESIS), changes.pop("signed_batch", self.number), index, who
        )
        fields: dict[str, Any] = {
            "batch": self.number, "index": index, "key": self.keys[index].public, "proof": self.proofs[index],
            "claimant": who, "work": codes.work_for(message, self.work), "signature": self.keys[index].sign(message),
        }  # fmt: skip
        return tuple((fields | changes).values())

    def order(self, index: int, holder: str, provider: int, amount: int, /, **changes: Any) -> tuple[Any, ...]:
        """The arguments of a good order of a credit, but for the changes."""
        found = self.chain.codes.credits.get((self.number, index))
        left = changes.pop("left", found.left if found is not None else 0)
        message = codes.spend_bytes(Hash32(GENESIS), self.number, index, left, provider, amount, b"order 7")
        if changes.pop("wrapped", False):
            message = message.join((b"<Bytes>", b"</Bytes>"))
        fields: dict[str, Any] = {
            "batch": self.number, "index": index, "provider": provider, "amount": amount, "reference": b"order 7",
            "signature": Ed25519Signature(pair(holder).sign(message)),
        }  # fmt: skip
        return tuple((fields | changes).values())
