"""A whole chain without consensus, with short sessions: blocks by the leaders of the schedule, calls by people."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from aitoken.crypto.derive import pair_from_uri
from aitoken.proto.digest import NextEpoch, SmpxDigest, leading_items_of
from aitoken.proto.extrinsic import Extrinsic, additional_signed, bare_extrinsic, sign_extrinsic
from aitoken.proto.leaders import leader as leader_of
from aitoken.proto.randomness import UNPROVEN
from aitoken.types import AIT, AccountId
from chain.frame.executive import ExecutedBlock
from chain.frame.machine import Machine
from chain.frame.origin import ROOT, Signed
from chain.frame.runtime import Runtime
from chain.genesis import Genesis, build_genesis
from chain.runtime import build_runtime
from chain.spec import parse_spec
from chain.state.layer import FinalState
from chain.state.memory import MemoryKeyValue
from tests.support import leading

TREASURY = AccountId(b"modlpy/trsry".ljust(32, b"\x00"))
REWARDS = AccountId(b"modlai/rwrds".ljust(32, b"\x00"))
START_MS = 1_767_225_600_000
PARAMS = {
    "sessionBlocks": 2, "sessionsPerEra": 2, "bondingEras": 3, "slashDeferEras": 1, "blockTimeMs": 250,
    "idleIntervalMs": 1000, "maxIssuance": "2_000_000 AIT",
}  # fmt: skip


@cache
def pair(name: str) -> Any:
    """The ed25519 keys of somebody."""
    return pair_from_uri(f"//{name}", "ed25519")


def account(name: str) -> AccountId:
    """The account of somebody."""
    return {"treasury": TREASURY, "rewards": REWARDS}.get(name) or AccountId(pair(name).public)


def hexed(name: str) -> str:
    return "0x" + account(name).hex()


def spec_of(
    validators: dict[str, int] | None = None,
    nominators: dict[str, tuple[int, list[str]]] | None = None,
    others: dict[str, int] | None = None,
    commission: str = "10%",
    staking: dict[str, Any] | None = None,
    oracle: dict[str, Any] | None = None,
    **params: Any,
) -> dict[str, Any]:
    """A chain spec: bonds in AIT; every staker owns 100 AIT more."""
    validators = {"A": 1000, "B": 2000, "C": 3000, "D": 4000} if validators is None else validators
    nominators = nominators or {}
    bonds = validators | {who: bond for who, (bond, _) in nominators.items()}
    balances = {hexed(who): f"{bond + 100} AIT" for who, bond in bonds.items()}
    balances |= {hexed(who): f"{amount} AIT" for who, amount in (others or {}).items()}
    balances |= {hexed("root"): "10_000 AIT", "pallet:py/trsry": "1 AIT", "pallet:ai/rwrds": "1 AIT"}
    return {
        "name": "t", "id": "t", "chainType": "Local", "protocolId": "t",
        "properties": {"tokenSymbol": "AIT", "tokenDecimals": 12, "ss58Format": 42},
        "runtime": {"preset": "devnet"}, "params": PARAMS | params,
        "genesis": {
            "timestampMs": START_MS, "balances": balances,
            "staking": (staking or {}) | {
                "validators": [
                    {"stash": hexed(who), "bond": f"{bond} AIT", "commission": commission, "keys": {"bft": f"//{who}"}}
                    for who, bond in validators.items()
                ],
                "nominators": [
                    {"stash": hexed(who), "bond": f"{bond} AIT", "targets": [hexed(target) for target in targets]}
                    for who, (bond, targets) in nominators.items()
                ],
            },
            "oracle": oracle or {},
            "sudo": {"key": hexed("root")},
        },
    }  # fmt: skip


@cache
def _built(text: bytes) -> tuple[Runtime, Genesis]:
    spec = parse_spec(msgspec.json.decode(text))
    runtime = build_runtime(spec)
    return runtime, build_genesis(spec, runtime)


class StakingChain:
    """Blocks one after the other; `staking`, `session`, ... show the state after the last one."""

    def __init__(self, *, proven: bool = False, **chain: Any) -> None:
        self.runtime, genesis = _built(msgspec.json.encode(spec_of(**chain)))
        self.schema = self.runtime.schema
        self.state: Any = FinalState(MemoryKeyValue(genesis.pairs))
        self.header = genesis.header
        self.genesis_hash = genesis.header.hash
        self.issuance = genesis.issuance
        self.time_ms = START_MS
        self.proven = proven
        self.view = 0
        self.blocks: list[ExecutedBlock] = []
        self._instance = self.runtime.new_instance()
        self.look()

    def look(self) -> None:
        """Show the present state."""
        self._instance.machine.store.load(self.state)

    def __getattr__(self, name: str) -> Any:
        found = {name.lower(): pallet for name, pallet in self._instance.machine.pallets.items()}
        if name not in found:
            raise AttributeError(name)
        self.__dict__[name] = found[name]
        return found[name]

    @property
    def machine(self) -> Machine:
        """A machine on the present state, for calls outside of blocks; `look` forgets what they did."""
        return self._instance.machine

    def call(self, who: str, name: str, *args: Any) -> Any:
        """Make a call outside of any block, as somebody or as `ROOT`."""
        origin = ROOT if who == "ROOT" else Signed(account(who))
        return self.machine.dispatch(self.schema.make_call(name, *args), origin)

    # ---------------------------------------------------------------------------------------------- blocks

    def epoch(self) -> NextEpoch:
        """The epoch the next block belongs to."""
        found: NextEpoch = self.consensus.current_epoch.get()
        return found

    @property
    def parent_view(self) -> int:
        """The view of the last block, 0 where an epoch begins."""
        return 0 if self.header.number == self.epoch().first_block else self.view

    def leader_of(self, view: int) -> int:
        epoch = self.epoch()
        return leader_of(epoch.seed, epoch.epoch, tuple(weight for _, weight in epoch.authorities), view)

    def gap_before(self, name: str) -> int:
        """How many views come before the next one that somebody leads."""
        members = [row.validator for row in self.historical.members_of(self.epoch().epoch)]
        index, gap = members.index(account(name)), 0
        while self.leader_of(self.parent_view + 1 + gap) != index:
            gap += 1
        return gap

    def items(self, gap: int = 0) -> Any:
        """The digest of the next block, after `gap` views without one."""
        epoch = self.epoch()
        parent_view = self.parent_view
        self.view = parent_view + 1 + gap
        leader = self.leader_of(self.view)
        if self.proven:
            return leading.items(
                self.runtime,
                self.state,
                self.genesis_hash,
                view=self.view,
                parent_view=parent_view,
                timestamp_ms=self.time_ms,
                leader=leader,
            )
        digest = SmpxDigest(1, epoch.epoch, self.view, parent_view, leader, self.time_ms, *UNPROVEN)
        return leading_items_of(digest)

    def block(self, *extrinsics: Extrinsic, gap: int = 0, step_ms: int = 500) -> ExecutedBlock:
        """Make a block."""
        self.time_ms += step_ms
        builder = self.runtime.open_block(self.state, self.header, self.items(gap))
        for extrinsic in extrinsics:
            builder.apply(extrinsic)
        block = builder.seal()
        self.state, self.header = block.state, block.header
        self.blocks.append(block)
        self.look()
        return block

    def without(self, *absent: str) -> ExecutedBlock:
        """Make a block led by the next leader that is none of these."""
        members = [row.validator for row in self.historical.members_of(self.epoch().epoch)]
        away = {members.index(account(who)) for who in absent if account(who) in members}
        parent_view = self.parent_view
        gap = 0
        while self.leader_of(parent_view + 1 + gap) in away:
            gap += 1
        return self.block(gap=gap)

    def until_session(self, session: int) -> None:
        """Make blocks until this session runs."""
        while self.session.current_index.get() < session:
            self.block()

    def until_era(self, era: int) -> None:
        """Make blocks until this era runs."""
        while self.era < era:
            self.block()

    @property
    def era(self) -> int:
        return int(self.staking.active_era.get().index)

    # ---------------------------------------------------------------------------------------------- transactions

    def signed(self, who: str, name: str, *args: Any) -> Extrinsic:
        """A signed transaction with the next nonce."""
        version = self.schema.version
        additional = additional_signed(
            version.spec_version, version.transaction_version, self.genesis_hash, self.genesis_hash
        )
        nonce = self.system.account.get(account(who)).nonce
        return sign_extrinsic(self.schema.make_call(name, *args).encode(), pair(who), additional, nonce=nonce)

    def unsigned(self, name: str, *args: Any) -> Extrinsic:
        """A transaction without a signature."""
        return bare_extrinsic(self.schema.make_call(name, *args).encode())

    def run(self, who: str, name: str, *args: Any) -> list[Any]:
        """Make a block with one transaction; return its events."""
        self.block(self.signed(who, name, *args))
        return self.events_of(1)

    def events(self) -> list[Any]:
        """The events of the last block."""
        return [row.event for row in self.schema.decode_events(self.state.get(self.system.events.raw_key(None)))]

    def events_of(self, index: int) -> list[Any]:
        rows = self.schema.decode_events(self.state.get(self.system.events.raw_key(None)))
        return [row.event for row in rows if getattr(row.phase, "index", None) == index]

    def named(self, name: str) -> list[Any]:
        """The events of the last block with this class name."""
        return [event for event in self.events() if type(event).__name__ == name]

    # ---------------------------------------------------------------------------------------------- money

    def free(self, who: str) -> int:
        return int(self.system.account.get(account(who)).free)

    def bonded(self, who: str) -> int:
        found = self.staking.ledger.get(account(who))
        return 0 if found is None else int(found.active)

    def check_money(self) -> None:
        """Whatever happened: accounts add up to the issuance, holds to the ledgers, nothing is negative."""
        accounts = [row for _, row in self.system.account.items()]
        assert sum(row.free + row.reserved for row in accounts) == self.balances.total_issuance.get()
        ledgers = dict(self.staking.ledger.items())
        for who, ledger in ledgers.items():
            held = self.balances.held(self.staking.HoldReason.Staking, who)
            assert held == ledger.total == ledger.active + sum(chunk.value for chunk in ledger.unlocking)
            assert all(chunk.value > 0 for chunk in ledger.unlocking)
        for who, _ in list(self.balances.holds.items()):
            if self.balances.held(self.staking.HoldReason.Staking, who):
                assert who in ledgers
        assert set(dict(self.staking.bonded.items())) == set(ledgers)
        assert self.staking.counter_for_validators.get() == len(list(self.staking.validators.items()))
        assert self.staking.counter_for_nominators.get() == len(list(self.staking.nominators.items()))


def ait(amount: int) -> int:
    return amount * AIT
