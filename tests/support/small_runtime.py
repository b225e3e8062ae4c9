"""A runtime of the first four pallets, for tests of the framework and of those pallets."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from aitoken.crypto.derive import pair_from_uri
from aitoken.proto.digest import Digest, SmpxDigest, leading_items_of
from aitoken.proto.era import IMMORTAL, Era
from aitoken.proto.extrinsic import Extrinsic, additional_signed, sign_extrinsic
from aitoken.proto.header import Header
from aitoken.proto.randomness import UNPROVEN
from aitoken.types import AIT, AccountId, Balance, BlockNumber
from chain.frame.apis import CoreApis
from chain.frame.executive import ExecutedBlock, Executive
from chain.frame.machine import Machine
from chain.frame.schema import Schema
from chain.frame.system import CODE_KEY, System
from chain.frame.types import ZERO_HASH
from chain.frame.weights import PS_PER_US, Cost, Weights
from chain.pallets.balances import Balances
from chain.pallets.fast_transfer import FastTransfer
from chain.pallets.timestamp import Timestamp
from chain.pallets.transaction_payment import CallPaymentApis, TransactionPayment
from chain.params import PRESETS, Params
from chain.state.layer import FinalState
from chain.state.memory import MemoryKeyValue
from chain.state.ordered import ordered_root

ALICE = pair_from_uri("//Alice", "ed25519")
BOB = pair_from_uri("//Bob", "ed25519")
CHARLIE = pair_from_uri("//Charlie", "ed25519")
AUTHOR = AccountId(b"author".ljust(32, b"\x01"))
PALLETS = (System, Timestamp, Balances, TransactionPayment)
WEIGHTS = Weights(
    read=5 * PS_PER_US,
    write=15 * PS_PER_US,
    costs={
        "block": Cost(1000 * PS_PER_US, unit_ps=20 * PS_PER_US),
        "Balances.transfer_keep_alive": Cost(20 * PS_PER_US, reads=1, writes=1),
        "Balances.transfer_allow_death": Cost(20 * PS_PER_US, reads=1, writes=1),
        "System.remark": Cost(5 * PS_PER_US),
    },
)
"""Round figures, the same whatever is measured."""
ROOMY = replace(PRESETS["devnet"], block_weight_ms=100_000, block_length_max=64 * 1024 * 1024)


@cache
def small_schema(params: Params) -> Schema:
    """Resolve the small runtime's declarations; it takes a tenth of a second, so once."""
    return Schema(PALLETS, (CoreApis, CallPaymentApis), params, WEIGHTS, spec_version=100, transaction_version=1)


class Authors:
    """Always the same author."""

    author: AccountId | None = AUTHOR

    def current_author(self) -> AccountId | None:
        return self.author


def account(pair: Any) -> AccountId:
    return AccountId(pair.public)


class Chain:
    """A chain of one node without consensus: builds block after block."""

    def __init__(
        self,
        balances: dict[AccountId, int] | None = None,
        *,
        params: Params = PRESETS["devnet"],
        schema: Schema | None = None,
    ) -> None:
        self.schema = schema or small_schema(params)
        self.machine, self.system, self.balances, self.payment, self.executive = assemble(self.schema)
        given = {account(ALICE): 1000 * AIT, account(BOB): 1000 * AIT} if balances is None else balances
        self.balances.build_genesis((who, Balance(amount)) for who, amount in given.items())
        pairs = {**self.machine.store.changes(), CODE_KEY: self.schema.code}
        self.state: Any = FinalState(MemoryKeyValue(pairs))
        self.header = Header(ZERO_HASH, BlockNumber(0), self.state.root, ordered_root([]), Digest())
        self.genesis_hash = self.header.hash
        self.blocks: list[ExecutedBlock] = []
        self.time_ms = 1_767_225_600_000

    def open(self, executive: Executive | None = None) -> None:
        self.time_ms += 250
        view = self.header.number + 1
        digest = Digest(leading_items_of(SmpxDigest(1, 0, view, view - 1, 0, self.time_ms, *UNPROVEN)))
        (executive or self.executive).open_block(self.state, self.header, digest)

    def seal(self) -> ExecutedBlock:
        block = self.executive.seal()
        self.state, self.header = block.state, block.header
        self.blocks.append(block)
        return block

    def block(self, *extrinsics: Extrinsic) -> ExecutedBlock:
        self.open()
        for extrinsic in extrinsics:
            self.executive.apply(extrinsic)
        return self.seal()

    def sign(
        self,
        pair: Any,
        name: str,
        *args: Any,
        nonce: int,
        tip: int = 0,
        era: Era = IMMORTAL,
        birth: bytes | None = None,
    ) -> Extrinsic:
        call = self.schema.make_call(name, *args).encode()
        version = self.schema.version
        additional = additional_signed(
            version.spec_version, version.transaction_version, self.genesis_hash, birth or self.genesis_hash
        )
        return sign_extrinsic(call, pair, additional, nonce=nonce, tip=tip, era=era)

    def events(self, block: ExecutedBlock | None = None) -> list[Any]:
        block = block or self.blocks[-1]
        raw = block.state.get(self.system.events.raw_key(None))
        return self.schema.decode_events(raw)

    def events_of(self, index: int) -> list[Any]:
        return [row.event for row in self.events() if getattr(row.phase, "index", None) == index]

    def free(self, who: AccountId) -> int:
        raw = self.state.get(self.system.account.raw_key(who))
        return 0 if raw is None else self.system.account.read(raw).free


def assemble(schema: Schema, *, fast: bool = True) -> tuple[Machine, System, Balances, TransactionPayment, Executive]:
    machine = Machine(schema)
    system = System(machine)
    timestamp = Timestamp(machine)
    balances = Balances(machine, system)
    payment = TransactionPayment(machine, system, balances, Authors())
    machine.install(system, timestamp, balances, payment)
    executive = Executive(machine, system, payment)
    if fast:
        executive.use_shortcut(FastTransfer(system, balances, payment, schema))
    return machine, system, balances, payment, executive


def events_of(machine: Machine, since: int = 0) -> list[Any]:
    """What calls have told, from the record of this place on."""
    record, found = machine.schema.event_record, []
    for row in machine.store.events[since:]:
        at = 0
        while at < len(row):
            what, at = record.read(row, at)
            found.append(what.event)
    return found
