"""Whatever stakers do, money is conserved, holds are ledgers, and a model of the rules agrees with the chain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aitoken.proto.votes import NOTARIZE, sign_bytes
from aitoken.types import AIT
from chain.frame import errors
from chain.pallets.consensus import EquivocationProof, SignedVote
from chain.pallets.session import SessionKeys
from chain.pallets.staking import types as t
from chain.pallets.staking.election import Candidate, Voter, elect
from tests.support.staking_chain import StakingChain, account, pair

VALIDATORS = {"A": 1000, "B": 1000, "C": 500}
OTHERS = {"X": 700, "Y": 60, "Z": 3}
PEOPLE = [*VALIDATORS, *OTHERS]
ED = AIT // 100
MIN_VALIDATOR, MIN_NOMINATOR = 100 * AIT, AIT
BONDING = 3
AMOUNTS = st.one_of(st.sampled_from([0, 1, ED - 1, ED, AIT, 100 * AIT, 10**30]), st.integers(1, 1200 * AIT))
WHO = st.sampled_from(PEOPLE)


@dataclass
class Stash:
    """What the model knows of a bond; rewards and slashes are read from the chain's events."""

    active: int
    chunks: list[list[int]] = field(default_factory=list)
    role: str = ""
    targets: tuple[str, ...] = ()


class Stakers(RuleBasedStateMachine):
    """Calls by anybody in any order, blocks in between, now and then an offence."""

    @initialize()
    def start(self) -> None:
        self.chain = StakingChain(
            validators=VALIDATORS, others=OTHERS, sessionBlocks=1, sessionsPerEra=2,
            staking={"minValidatorBond": "100 AIT", "minNominatorBond": "1 AIT"},
        )  # fmt: skip
        self.seen = True
        self.model = {name: Stash(bond * AIT, role="validator") for name, bond in VALIDATORS.items()}

    def send(self, who: str, name: str, *args: Any) -> bool | None:
        """Make a block with a call; whether it succeeded, None where the fee could not be paid."""
        self.seen = False
        try:
            self.chain.block(self.chain.signed(who, name, *args))
        except errors.CannotPay:
            self.chain.block()
            return None
        return not self.chain.named("ExtrinsicFailed")

    def follow(self) -> None:
        """Take over what the chain did by itself after the calls of the block: rewards that are staked, slashes."""
        if self.seen:
            return
        self.seen = True
        for event in self.chain.events():
            name = type(event).__name__
            if name == "Rewarded" and isinstance(event.dest, t.Staked):
                self.model[self.name_of(event.stash)].active += event.amount
            elif name == "Slashed" and hasattr(event, "staker"):
                self.slash(self.model[self.name_of(event.staker)], event.amount)

    def name_of(self, who: bytes) -> str:
        return next(name for name in PEOPLE if account(name) == who)

    def slash(self, stash: Stash, amount: int) -> None:
        taken = min(stash.active, amount)
        stash.active -= taken
        for chunk in reversed(stash.chunks):
            cut = min(amount - taken, chunk[0])
            chunk[0] -= cut
            taken += cut
        assert taken == amount
        stash.chunks = [chunk for chunk in stash.chunks if chunk[0]]

    # ---------------------------------------------------------------------------------------------- calls

    @rule(who=WHO, amount=AMOUNTS)
    def bond(self, who: str, amount: int) -> None:
        stash = self.model.get(who)
        if stash is not None:
            assert not self.send(who, "Staking.bond", amount, t.Staked())
        elif self.send(who, "Staking.bond", amount, t.Staked()):
            (bonded,) = self.chain.named("Bonded")
            assert ED <= bonded.amount <= amount
            self.model[who] = Stash(bonded.amount)

    @rule(who=WHO, amount=AMOUNTS)
    def bond_extra(self, who: str, amount: int) -> None:
        worked, stash = self.send(who, "Staking.bond_extra", amount), self.model.get(who)
        if worked:
            assert stash is not None
            (bonded,) = self.chain.named("Bonded")
            assert bonded.amount == amount or self.chain.free(who) - self.came(who) <= ED
            stash.active += bonded.amount

    def came(self, who: str) -> int:
        """What somebody was given in the last block: parts of fees, of slashes, of rewards."""
        gifts = {"Deposit": "who", "Minted": "who", "ReserveRepatriated": "to"}
        events = [(event, gifts.get(type(event).__name__, "")) for event in self.chain.events()]
        return sum(int(event.amount) for event, name in events if getattr(event, name, None) == account(who))

    @rule(who=WHO, amount=AMOUNTS)
    def unbond(self, who: str, amount: int) -> None:
        planned = self.chain.staking.now_planned()
        worked = self.send(who, "Staking.unbond", amount)
        stash = self.model.get(who)
        if stash is None or worked is None:
            assert not worked
            return
        taken = min(amount, stash.active)
        if taken and stash.active - taken < ED:
            taken = stash.active
        least = {"validator": MIN_VALIDATOR, "nominator": MIN_NOMINATOR}.get(stash.role, 0)
        assert worked == (taken == 0 or stash.active - taken >= least)
        if worked and taken:
            stash.active -= taken
            if stash.chunks and stash.chunks[-1][1] == planned + BONDING:
                stash.chunks[-1][0] += taken
            else:
                stash.chunks.append([taken, planned + BONDING])

    @rule(who=WHO, amount=AMOUNTS)
    def rebond(self, who: str, amount: int) -> None:
        worked = self.send(who, "Staking.rebond", amount)
        stash = self.model.get(who)
        if worked is None:
            return
        back = 0 if stash is None else min(amount, sum(value for value, _ in stash.chunks))
        if stash is None or not stash.chunks or stash.active + back < ED:
            assert not worked
            return
        assert worked
        stash.active += back
        while back:
            cut = min(back, stash.chunks[-1][0])
            stash.chunks[-1][0] -= cut
            back -= cut
            if not stash.chunks[-1][0]:
                stash.chunks.pop()

    @rule(who=WHO)
    def withdraw(self, who: str) -> None:
        era = self.chain.era
        worked = self.send(who, "Staking.withdraw_unbonded", 0)
        stash = self.model.get(who)
        if stash is None or not worked:
            assert not worked
            assert stash is None or worked is None
            return
        stash.chunks = [chunk for chunk in stash.chunks if chunk[1] > era]
        if not stash.chunks and stash.active < ED:
            del self.model[who]

    @rule(who=WHO, named=st.lists(WHO, min_size=1, max_size=4))
    def nominate(self, who: str, named: list[str]) -> None:
        worked = self.send(who, "Staking.nominate", [account(target) for target in named])
        stash = self.model.get(who)
        assert worked in (None, stash is not None and stash.active >= MIN_NOMINATOR)
        if worked and stash is not None:
            stash.role, stash.targets = "nominator", tuple(dict.fromkeys(named))

    @rule(who=WHO)
    def validate(self, who: str) -> None:
        worked = self.send(who, "Staking.validate", t.ValidatorPrefs(10**8, blocked=False))
        stash = self.model.get(who)
        assert worked in (None, stash is not None and stash.active >= MIN_VALIDATOR)
        if worked and stash is not None:
            stash.role = "validator"

    @rule(who=WHO)
    def set_keys(self, who: str) -> None:
        key = pair(who)
        keys = SessionKeys(key.public, key.public)
        proof = key.sign(b"POP_" + account(who)) * 2
        self.send(who, "Session.set_keys", keys, proof)

    @rule(who=WHO)
    def chill(self, who: str) -> None:
        worked = self.send(who, "Staking.chill")
        assert worked in (None, who in self.model)
        if worked:
            self.model[who].role = ""

    @rule(count=st.integers(1, 4))
    def wait(self, count: int) -> None:
        for _ in range(count):
            self.follow()
            self.chain.block()
            self.seen = False

    @precondition(lambda self: self.chain.header.number > 0)
    @rule(place=st.integers(0, 5))
    def offend(self, place: int) -> None:
        chain = self.chain
        epoch = chain.epoch().epoch
        members = [row.validator for row in chain.historical.members_of(epoch)]
        signer = place % len(members)
        name = self.name_of(members[signer])
        votes = [
            SignedVote(NOTARIZE, block, pair(name).sign(sign_bytes(chain.genesis_hash, NOTARIZE, epoch, 1, block)))
            for block in (b"\x01" * 32, b"\x02" * 32)
        ]
        chain.block(
            chain.unsigned("Consensus.report_equivocation_unsigned", EquivocationProof(epoch, 1, signer, *votes))
        )
        assert chain.named("Equivocated")
        for event in chain.named("Chilled"):
            self.model[self.name_of(event.stash)].role = ""
        self.seen = False

    # ---------------------------------------------------------------------------------------------- what always holds

    @invariant()
    def the_laws_hold(self) -> None:
        self.follow()
        self.chain.check_money()
        self.ledgers_are_those_of_the_model()
        self.somebody_validates_and_weighs_something()
        self.elections_are_those_of_the_pure_function()

    def ledgers_are_those_of_the_model(self) -> None:
        staking = self.chain.staking
        for name in PEOPLE:
            ledger, stash = staking.ledger.get(account(name)), self.model.get(name)
            if stash is None:
                assert ledger is None
                continue
            assert (ledger.active, [[chunk.value, chunk.era] for chunk in ledger.unlocking]) == (
                stash.active, stash.chunks,
            )  # fmt: skip
            assert staking.validators.contains(account(name)) == (stash.role == "validator")
            assert staking.nominators.contains(account(name)) == (stash.role == "nominator")

    def somebody_validates_and_weighs_something(self) -> None:
        epoch = self.chain.epoch()
        assert epoch.authorities
        assert all(weight > 0 for _, weight in epoch.authorities)
        assert len(self.chain.session.validators.get()) == len(epoch.authorities)

    def elections_are_those_of_the_pure_function(self) -> None:
        if not self.chain.blocks or not self.chain.named("StakersElected"):
            return
        staking, era = self.chain.staking, self.chain.staking.now_planned()
        candidates = [
            Candidate(account(name), stash.active)
            for name, stash in self.model.items()
            if stash.role == "validator" and stash.active >= MIN_VALIDATOR
            and self.chain.session.next_keys.contains(account(name))
        ]  # fmt: skip
        voters = [
            Voter(account(name), stash.active, [account(target) for target in stash.targets])
            for name, stash in self.model.items()
            if stash.role == "nominator" and stash.active >= MIN_NOMINATOR
        ]
        won = elect(candidates, voters, staking.validator_count.get())
        rows = {who: row for (_, who), row in staking.eras_stakers_overview.items(era)}
        assert {who: (each.own, each.total) for who, each in won.items()} == {
            who: (row.own, row.total) for who, row in rows.items()
        }

    def teardown(self) -> None:
        if not hasattr(self, "chain"):
            return
        for era, pot in self.chain.staking.eras_validator_reward.items():
            paid = self.paid_for(era)
            assert sum(paid) <= pot

    def paid_for(self, era: int) -> list[int]:
        """Return what the payouts of an era gave."""
        amounts = []
        for block in self.chain.blocks:
            raw = block.state.get(self.chain.system.events.raw_key(None))
            current = None
            for row in self.chain.schema.decode_events(raw):
                if type(row.event).__name__ == "PayoutStarted":
                    current = row.event.era_index
                elif type(row.event).__name__ == "Rewarded" and current == era:
                    amounts.append(row.event.amount)
        return amounts


Stakers.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=30,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking a chain of blocks takes minutes
)
test_stakers = Stakers.TestCase
