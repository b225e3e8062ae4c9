"""The straight line for transfers gives the same block as the general way, whatever the accounts look like."""

from __future__ import annotations

from typing import Any

import pytest

from aitoken.proto.digest import Digest, SmpxDigest, leading_items_of
from aitoken.proto.extrinsic import Extrinsic
from aitoken.proto.randomness import UNPROVEN
from aitoken.types import AIT, AccountId, Balance
from chain.frame.errors import BadSigner, CannotPay
from chain.frame.executive import ZERO_ACCOUNT, ExecutedBlock
from chain.frame.types import AccountInfo
from chain.pallets.fast_transfer import FastTransfer
from tests.support import small_runtime as small
from tests.support.small_runtime import ALICE, BOB, CHARLIE, Chain, account

A, B, C = account(ALICE), account(BOB), account(CHARLIE)
ED = small.PRESETS["devnet"].existential_deposit


class Situation(Chain):
    """A chain whose genesis accounts a test may shape."""

    def __init__(self, shape: dict[AccountId, dict[str, int]]) -> None:
        super().__init__({A: 100 * AIT, B: 100 * AIT})
        machine, system, balances, _, _ = small.assemble(self.schema)
        balances.build_genesis([(A, Balance(100 * AIT)), (B, Balance(100 * AIT))])
        for who, fields in shape.items():
            changed: AccountInfo = system.account.get(who).copy()
            for name, number in fields.items():
                setattr(changed, name, number)
            machine.store.imbalance = 0
            balances.total_issuance.put(
                Balance(
                    balances.total_issuance.get()
                    + changed.free
                    + changed.reserved
                    - system.account.get(who).free
                    - system.account.get(who).reserved
                )
            )
            system.account.put(who, changed)
        self.state = self.state.child(machine.store.changes())
        self.header = small.Header(
            small.ZERO_HASH, small.BlockNumber(0), self.state.root, self.header.extrinsics_root, Digest()
        )
        self.genesis_hash = self.header.hash

    def run(self, extrinsic: Any, *, fast: bool) -> tuple[ExecutedBlock | None, list[Any]]:
        _, system, _, _, executive = small.assemble(self.schema, fast=fast)
        executive.open_block(
            self.state, self.header, Digest(leading_items_of(SmpxDigest(1, 0, 1, 0, 0, self.time_ms, *UNPROVEN)))
        )
        try:
            executive.apply(extrinsic)
        except CannotPay:
            return None, []
        block = executive.seal()
        raw = block.state.get(system.events.raw_key(None))
        assert raw is not None
        return block, self.schema.decode_events(raw)


FEE = 1_100_000_000
CASES: dict[str, tuple[dict[AccountId, dict[str, int]], AccountId, int]] = {
    "plain": ({}, B, AIT),
    "nothing": ({}, B, 0),
    "to oneself": ({}, A, AIT),
    "new account": ({}, C, AIT),
    "new account, too little": ({}, C, ED - 1),
    "too much": ({}, B, 101 * AIT),
    "all but fee": ({}, B, 100 * AIT - FEE),
    "just below the deposit": ({A: {"free": AIT + ED + FEE}}, B, AIT + FEE // 2),
    "frozen, enough left": ({A: {"frozen": 50 * AIT}}, B, AIT),
    "frozen, not enough": ({A: {"frozen": 99 * AIT}}, B, 2 * AIT),
    "frozen but held": ({A: {"frozen": 50 * AIT, "reserved": 60 * AIT, "consumers": 1}}, B, 90 * AIT),
    "frozen receiver": ({B: {"frozen": 50 * AIT}}, B, AIT),
    "held": ({A: {"reserved": 60 * AIT, "consumers": 1}}, B, 99 * AIT),
    "huge": ({A: {"free": 1 << 100}}, B, 1 << 99),
    "used nonce": ({A: {"nonce": 0}, B: {"nonce": 77, "sufficients": 1}}, B, AIT),
    "receiver without provider": ({B: {"providers": 0, "sufficients": 1}}, B, AIT),
    "poor": ({A: {"free": ED + 5}}, B, 1),
}


@pytest.mark.parametrize("call", ["transfer_keep_alive", "transfer_allow_death"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("tip", [0, 3 * 10**12])
def test_the_fast_way_gives_the_same_block(name: str, call: str, tip: int) -> None:
    shape, dest, amount = CASES[name]
    chain = Situation(shape)
    extrinsic = chain.sign(ALICE, f"Balances.{call}", dest, amount, nonce=0, tip=tip)

    fast, fast_events = chain.run(extrinsic, fast=True)
    slow, slow_events = chain.run(extrinsic, fast=False)

    assert fast_events == slow_events
    assert (fast and fast.header) == (slow and slow.header)


def test_the_usual_transfer_does_take_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[Any] = []
    original = FastTransfer.__call__

    def spy(self: FastTransfer, *args: Any) -> Any:
        left.append(original(self, *args))
        return left[-1]

    monkeypatch.setattr(FastTransfer, "__call__", spy)
    chain = Chain()
    extrinsics = [
        chain.sign(ALICE, "Balances.transfer_keep_alive", B, AIT, nonce=0),
        chain.sign(ALICE, "Balances.transfer_allow_death", B, AIT, nonce=1),
        chain.sign(ALICE, "Balances.transfer_keep_alive", C, AIT, nonce=2),
        chain.sign(ALICE, "Balances.transfer_keep_alive", C, AIT, nonce=3),
    ]
    chain.open()
    chain.executive.apply_all(iter(extrinsics))
    chain.seal()

    assert left == [extrinsics[2], None]


def test_nobody_signs_for_the_account_of_zeros() -> None:
    chain = Chain({A: 100 * AIT, ZERO_ACCOUNT: 100 * AIT})
    honest = chain.sign(ALICE, "Balances.transfer_keep_alive", A, AIT, nonce=0)
    extrinsic = Extrinsic(honest.raw.replace(A, ZERO_ACCOUNT, 1))
    chain.open()
    extrinsic.verified_for = chain.executive.additional(extrinsic, 1)

    with pytest.raises(BadSigner):
        chain.executive.apply(extrinsic)
