"""The state calls are measured on, and what scenarios use to set it up.

A scenario makes the dearest case a call can meet and returns what is to be timed:

    @scenario("Balances.burn")
    def burn(world: World) -> Run:
        return world.call(world.person(0), "Balances.burn", AIT, True)

    @scenario("Staking.kick", units=(1, 128, 1024))
    def kick(world: World, nominators: int) -> Run: ...

What it writes before returning is part of the state; the returned function starts with cold caches each time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aitoken.crypto import ed25519
from aitoken.proto.digest import Digest, SmpxDigest, leading_items_of
from aitoken.proto.randomness import UNPROVEN
from aitoken.types import AIT, AccountId, Balance, Hash32
from bench import accounts
from bench.states import roomy_spec
from chain.frame.calls import Call
from chain.frame.origin import NONE, ROOT, Signed
from chain.frame.runtime import Instance
from chain.genesis import build_genesis
from chain.runtime import build_runtime
from chain.state.layer import FinalState

Run = Callable[[], object]

FUNDED = 20_000
ACCOUNTS_QUICK = 200
SUDO = "Sudo.key"


@dataclass(frozen=True, slots=True)
class Scenario:
    """The dearest case of one call or hook; with `units` a case for each of these counts."""

    name: str
    units: tuple[int, ...]
    prepare: Callable[..., Run]


SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str, units: Sequence[int] = ()) -> Callable[[Callable[..., Run]], Callable[..., Run]]:
    """Make a function the scenario of a call ("Pallet.call") or hook ("Pallet.hook")."""

    def register(prepare: Callable[..., Run]) -> Callable[..., Run]:
        if name in SCENARIOS:
            raise ValueError(f"two scenarios for {name}")
        SCENARIOS[name] = Scenario(name, tuple(units), prepare)
        return prepare

    return register


class World:
    """A chain after its first block, with money in many accounts."""

    def __init__(self, people: int = FUNDED) -> None:
        spec = roomy_spec(people)
        self.runtime = build_runtime(replace(spec, params=replace(spec.params, session_blocks=1_000)))
        genesis = build_genesis(spec, self.runtime)
        self.genesis_hash: Hash32 = genesis.header.hash
        self.people = people
        self.time_ms = spec.timestamp_ms
        self.instance: Instance = self.runtime.new_instance()
        self.machine = self.instance.machine
        self.schema = self.runtime.schema
        state = FinalState.in_memory(genesis.pairs)
        builder = self.runtime.open_block(state, genesis.header, self.items(1, 0))
        block = builder.seal()
        self.header = block.header
        self.base = FinalState.in_memory(dict(block.state.iterate(b"")))
        self.state: Any = self.base
        self.reset()

    def reset(self) -> None:
        """Forget what scenarios did."""
        self.state = self.base
        self.machine.store.load(self.base)
        self.system.initialize(self.header.number + 1, self.header.hash, Digest(self.items(2, 1)))

    def settle(self) -> None:
        """Make what a scenario wrote part of the state."""
        changes = self.machine.store.changes()
        self.state = self.base.child(changes) if changes else self.base

    def items(self, view: int, parent_view: int) -> Any:
        """The digest of a block of that view."""
        leader = 0
        return leading_items_of(SmpxDigest(1, 0, view, parent_view, leader, self.time_ms + 250 * view, *UNPROVEN))

    # --------------------------------------------------------------------------------------------- people

    def person(self, index: int) -> AccountId:
        """One of the accounts with money."""
        return AccountId(accounts.public(index))

    def pair(self, index: int) -> ed25519.Pair:
        """Its key."""
        return accounts.pair(index)

    def stranger(self, index: int = 0) -> AccountId:
        """An account that does not exist."""
        return AccountId(random.Random(index).randbytes(32))

    def give(self, who: AccountId, amount: int) -> None:
        """Let somebody own this much."""
        self.do("ROOT", "Balances.force_set_balance", who, Balance(amount))

    # --------------------------------------------------------------------------------------------- calls

    def make(self, name: str, *args: Any) -> Call:
        """A call."""
        return self.schema.make_call(name, *args)

    def do(self, who: AccountId | str, name: str, *args: Any) -> None:
        """Make a call now, as part of the setting; `who` may be "ROOT"."""
        origin = ROOT if isinstance(who, str) else Signed(who)
        self.machine.dispatch(self.make(name, *args), origin)

    def call(self, who: AccountId | str, name: str, *args: Any) -> Run:
        """What reading and making a call takes; `who` may be "ROOT" or "NOBODY"."""
        encoded = self.make(name, *args).encode()
        origin = {"ROOT": ROOT, "NOBODY": NONE}.get(who) if isinstance(who, str) else Signed(who)
        decode, dispatch = self.schema.decode_call, self.machine.dispatch

        def run() -> object:
            return dispatch(decode(encoded), origin)

        return run

    def __getattr__(self, name: str) -> Any:
        found = {key.lower(): pallet for key, pallet in self.machine.pallets.items()}
        if name not in found:
            raise AttributeError(name)
        return found[name]


def ait(amount: int) -> Balance:
    """Whole tokens."""
    return Balance(amount * AIT)
