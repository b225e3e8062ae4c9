"""Random transactions on the whole runtime, with eras, evidence and absence; after each block everything must add up.

    python -m tests.fuzz.state --extrinsics 100000 --seed 1        or: make fuzz-state EXTRINSICS=100000 SEED=1

A run follows from its seed. Each block is executed a second time the general way, without shortcuts and from cold
caches, and has to come out the same. Laws: money (`docs/INVARIANTS.md`, M0, S8, S9), holds are what the pallets' books
say, references are counted, no call raises what is no dispatch error, no call changes balances behind the supply.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from random import Random
from typing import Any

import click

from aitoken.codec.base import DecodeError
from aitoken.proto.digest import Digest
from aitoken.proto.extrinsic import Extrinsic, additional_signed, bare_extrinsic, sign_extrinsic
from aitoken.types import AccountId
from chain.frame.errors import InvalidTransaction
from chain.frame.machine import Corrupted
from chain.frame.pallet import Err, members_of
from chain.frame.system import NORMAL_PERCENT
from chain.frame.weights import PS_PER_MS
from chain.state.layer import FinalState
from chain.state.memory import MemoryKeyValue
from tests.fuzz.traffic import PEOPLE, SIGNERS, VALIDATORS, Traffic
from tests.support.earn_chain import EarnChain
from tests.support.identity_chain import IdentityChain, reputation_holds
from tests.support.pay_chain import PayChain
from tests.support.pay_session import check_sessions
from tests.support.spending_chain import SpendingChain
from tests.support.staking_chain import account, pair

COUNTS = (0, 1, 5, 12, 25)
"""Transactions of a block."""
ABSORB_EVERY = 5
"""So many blocks stay layers in memory before they become the final state."""
SPENDING = {
    "PayHoldReason", "AllowancesHoldReason", "PlansHoldReason", "DisputesHoldReason", "CodesHoldReason",
    "RewardsHoldReason", "IdentityHoldReason", "NamesHoldReason", "AttestHoldReason",
    "ReputationHoldReason",
}  # fmt: skip
STEPS_MS = (*[250, 500, 1_000, 1_000, 4_000] * 8, *[30_000] * 3, 3_600_000)
GAPS = (0, 0, 0, 0, 0, 1, 2, 9)


class StateFuzzer:
    """One chain and what is sent to it."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(f"state {seed}")
        self.chain = PayChain(
            validators=dict.fromkeys(VALIDATORS[:4], 1_000),
            nominators={name: (300, ["A", "B", "C"]) for name in PEOPLE[:4]},
            others=dict.fromkeys((*SIGNERS[4:6], *PEOPLE[4:], "operator", "payout"), 20_000),
            staking={"minValidatorBond": "10 AIT", "minNominatorBond": "1 AIT", "validatorCount": 5},
            sessionBlocks=4,
        )  # fmt: skip
        chain = self.chain
        self.flat = MemoryKeyValue(dict(chain.state.iterate(b"")))
        self.final = chain.state = FinalState(self.flat)
        self.layers: list[Any] = []
        self.replay = chain.runtime.new_instance()
        self.replay.executive.use_shortcut(None)
        self.traffic = Traffic(self.rng, chain)
        version = chain.schema.version
        self._known = additional_signed(
            version.spec_version, version.transaction_version, chain.genesis_hash, chain.genesis_hash
        )
        self._named = {
            error.scale: error.code for pallet in chain.schema.pallets for error in members_of(pallet, "Error", Err)
        }
        self.extrinsics = self.punished = 0
        self.good: Counter[str] = Counter()
        self.bad: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    # ---------------------------------------------------------------------------------------------- blocks

    def block(self) -> None:
        """Make a block of some transactions, execute it again, check the laws."""
        rng, chain = self.rng, self.chain
        chain.time_ms += rng.choice(STEPS_MS)
        builder = chain.runtime.open_block(chain.state, chain.header, chain.items(rng.choice(GAPS)))
        executive = builder._executive
        assert executive is not None
        sent: list[tuple[str | None, bytes]] = [self.traffic.next() for _ in range(rng.choice(COUNTS))]
        if rng.random() < 0.04:
            sent.append(self.traffic.evidence())
        applied = []
        for who, raw in sent:
            try:
                extrinsic = self._extrinsic(executive, who, raw)
                builder.apply(extrinsic)
                applied.append(repr(extrinsic.call.info))
            except (InvalidTransaction, DecodeError) as error:
                self.refused[type(error).__name__] += 1
        self.extrinsics += len(applied)
        machine = executive._machine
        block = builder.seal()
        assert not machine.faults, machine.faults
        self._execute_again(block)
        self._count(block, applied)
        self._move_on(block)
        self.check()

    def _extrinsic(self, executive: Any, who: str | None, call: bytes) -> Extrinsic:
        if who is None:
            return bare_extrinsic(call)
        found = executive._accounts.find(account(who))
        nonce = 0 if found is None else found.nonce
        tip = self.rng.choice((0, 0, 0, 5, 10**9))
        return sign_extrinsic(call, pair(who), self._known, nonce=nonce, tip=tip)

    def _execute_again(self, block: Any) -> None:
        executive = self.replay.executive
        executive.open_block(self.chain.state, self.chain.header, Digest(block.header.digest.logs[:2]))
        inherents = len(executive.extrinsics)
        for extrinsic in block.body[inherents:]:
            again = Extrinsic(extrinsic.raw)
            again.verified_for = extrinsic.verified_for
            executive.apply(again)
        assert executive.seal().header == block.header
        assert not self.replay.machine.faults, self.replay.machine.faults

    def _move_on(self, block: Any) -> None:
        chain = self.chain
        chain.header = block.header
        chain.state = block.state
        self.layers.append(block.state)
        if len(self.layers) == ABSORB_EVERY:
            for layer in self.layers:
                self.flat.apply(layer.changes)
                self.final.absorb(layer)
            self.layers.clear()
            assert self.final.root == block.header.state_root
            chain.state = self.final
        chain.look()

    def _count(self, block: Any, applied: list[str]) -> None:
        raw = block.state.get(self.chain.system.events.raw_key(None))
        inherents = len(block.body) - len(applied)
        for row in self.chain.schema.decode_events(raw):
            index = getattr(row.phase, "index", None)
            name = type(row.event).__name__
            self.punished += name == "Equivocated"
            if index is None or index < inherents or name not in ("ExtrinsicSuccess", "ExtrinsicFailed"):
                continue
            call = applied[index - inherents]
            (self.good if name == "ExtrinsicSuccess" else self.bad)[call] += 1
            if name == "ExtrinsicFailed":
                scale = row.event.dispatch_error.scale
                self.errors[f"{call}: {self._named.get(scale, scale.hex())}"] += 1
                assert scale != Corrupted.scale, call

    # ---------------------------------------------------------------------------------------------- laws

    def check(self) -> None:
        """Everything adds up in the present state."""
        chain = self.chain
        chain.check_money()
        check_sessions(chain)
        accounts = dict(chain.system.account.items())
        holds = dict(chain.balances.holds.items())
        for who, row in accounts.items():
            assert row.free >= 0, who
            assert row.reserved == sum(hold.amount for hold in holds.get(who, ())), who
            assert row.providers or row.sufficients, who
            assert row.consumers == (who in holds) + chain.session.next_keys.contains(who), who
        assert all(hold.amount > 0 for rows in holds.values() for hold in rows)
        assert holds.keys() <= accounts.keys()
        self._check_pay(accounts, holds)
        self._check_validators()
        used = chain.system.block_weight.get()
        total = chain.schema.params.block_weight_ms * PS_PER_MS
        assert used.normal.ref_time <= total * NORMAL_PERCENT // 100
        assert used.normal.ref_time + used.operational.ref_time <= total

    def _check_pay(self, accounts: dict[AccountId, Any], holds: dict[AccountId, Any]) -> None:
        chain: Any = self.chain
        expected = +(
            SpendingChain.expected_holds(chain)
            + EarnChain.earning_holds(chain)
            + IdentityChain.expected_holds(chain)
            + reputation_holds(chain)
        )
        kinds = {reason.partition(".")[0] for _, reason in expected} | SPENDING
        found = Counter(
            {
                (who, f"{type(hold.id).__name__}.{hold.id.name}"): hold.amount
                for who, rows in holds.items()
                for hold in rows
                if type(hold.id).__name__ in kinds
            }
        )
        assert found == expected
        assert len(list(chain.pay.used_nonces.items())) == len(list(chain.pay.nonce_queue.items()))
        SpendingChain.check_plans(chain)
        IdentityChain.check_attest(chain)
        EarnChain.check_names(chain)
        EarnChain.check_codes(chain)
        keys = Counter(grant.key for _, grant in chain.allowances.grants.items())
        for who, row in accounts.items():
            assert row.sufficients == keys[who], who

    def _check_validators(self) -> None:
        chain = self.chain
        authorities = chain.epoch().authorities
        assert 0 < len(authorities) == len(chain.session.validators.get())
        assert len({key for key, _ in authorities}) == len(authorities)
        assert all(weight > 0 for _, weight in authorities)
        owners = {(kind, key): who for (kind, key), who in chain.session.key_owner.items()}
        for who, keys in chain.session.next_keys.items():
            assert owners.pop((b"bft_", keys.bft)) == who
            assert owners.pop((b"net_", keys.net)) == who
        assert not owners


def run(seed: int, extrinsics: int, tell_every: float = 0) -> StateFuzzer:
    """Send so many transactions; an assertion that fails names the block."""
    fuzzer = StateFuzzer(seed)
    said = time.monotonic()
    while fuzzer.extrinsics < extrinsics:
        try:
            fuzzer.block()
        except Exception as error:
            error.add_note(f"seed {seed}, block {fuzzer.chain.header.number + 1}")
            raise
        if tell_every and time.monotonic() - said > tell_every:
            said = time.monotonic()
            print(f"{fuzzer.extrinsics:,} extrinsics, block {fuzzer.chain.header.number:,}, era {fuzzer.chain.era}")
    return fuzzer


@click.command()
@click.option("--extrinsics", default=10_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--calls", is_flag=True, help="Show how often each call succeeded, and its errors.")
def main(extrinsics: int, seed: int, calls: bool) -> None:
    """Send random transactions to the runtime."""
    fuzzer = run(seed, extrinsics, tell_every=30)
    for name in sorted(fuzzer.good.keys() | fuzzer.bad.keys()) if calls else ():
        print(f"{name:<44} {fuzzer.good[name]:>6} succeeded {fuzzer.bad[name]:>6} failed")
    if calls:
        print(*(f"{count:>6} {what}" for what, count in fuzzer.errors.most_common()), sep="\n")
    good = sum(fuzzer.good.values())
    chain = fuzzer.chain
    print(
        f"seed {seed}: {fuzzer.extrinsics:,} extrinsics in {chain.header.number:,} blocks, {chain.era} eras, "
        f"{fuzzer.punished} offences; {good:,} succeeded, refused {dict(fuzzer.refused)}; everything added up"
    )


if __name__ == "__main__":
    sys.exit(main())
