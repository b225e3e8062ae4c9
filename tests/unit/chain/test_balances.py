"""The rules of money: who may spend what, who lives, what is held, frozen, burned."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import pytest

from aitoken.codec.records import plain_enum
from aitoken.types import AIT, AccountId, Balance
from chain.frame import errors
from chain.frame.calls import Call
from chain.frame.origin import ROOT, Signed
from chain.frame.pallet import Pallet
from chain.frame.schema import Schema
from chain.pallets.balances import BurnReason, Hold, MintReason
from chain.params import PRESETS
from tests.support import small_runtime as small
from tests.support.small_runtime import ALICE, BOB, CHARLIE, account

A, B, C = account(ALICE), account(BOB), account(CHARLIE)
ED = PRESETS["devnet"].existential_deposit


@plain_enum("pallet_holder::HoldReason")
class Reason(IntEnum):
    Escrow = 0
    Deposit = 1


@plain_enum("pallet_other::HoldReason")
class OtherReason(IntEnum):
    Escrow = 0


class Holder(Pallet, index=40, crate="pallet_holder"):
    """Gives the tests reasons to hold."""

    HoldReason = Reason


class Other(Pallet, index=41, crate="pallet_other"):
    """Another pallet with a reason of the same number."""

    HoldReason = OtherReason


SCHEMA = Schema(
    (*small.PALLETS, Holder, Other), (), PRESETS["devnet"], small.WEIGHTS, spec_version=1, transaction_version=1
)


class Money:
    """Balances, with the calls as they are dispatched."""

    def __init__(self) -> None:
        machine = small.Machine(SCHEMA)
        system = small.System(machine)
        self.balances = small.Balances(machine, system)
        payment = small.TransactionPayment(machine, system, self.balances, small.Authors())
        machine.install(system, small.Timestamp(machine), self.balances, payment, Holder(machine), Other(machine))
        self.machine, self.system = machine, system
        self.balances.build_genesis([(A, Balance(100 * AIT)), (B, Balance(100 * AIT))])
        machine.store.imbalance = 0

    def call(self, name: str, *args: Any, origin: Any = None) -> None:
        call: Call = SCHEMA.make_call(f"Balances.{name}", *args)
        self.machine.dispatch(call, origin or Signed(A))
        self.check()

    def check(self) -> None:
        accounts = dict(self.system.account.items())
        assert sum(each.free + each.reserved for each in accounts.values()) == self.balances.total_issuance.get()
        assert self.machine.store.imbalance == 0
        for who, each in accounts.items():
            assert each.reserved == sum(hold.amount for hold in self.balances.holds.get(who))
            assert each.frozen == max((lock.amount for lock in self.balances.locks.get(who)), default=0)
            assert each.free >= ED

    def free(self, who: AccountId) -> int:
        return self.system.account.get(who).free

    def events(self) -> list[str]:
        return [type(SCHEMA.event_record.decode(raw).event).__name__ for raw in self.machine.store.events]


@pytest.fixture
def money() -> Money:
    return Money()


def test_allow_death_reaps_the_sender_and_burns_its_dust(money: Money) -> None:
    money.call("transfer_allow_death", B, 100 * AIT - 7)

    assert money.system.account.find(A) is None
    assert money.balances.total_issuance.get() == 200 * AIT - 7
    assert money.events() == ["KilledAccount", "DustLost", "Transfer"]


def test_keep_alive_leaves_the_existential_deposit(money: Money) -> None:
    with pytest.raises(errors.NotExpendable):
        money.call("transfer_keep_alive", B, 100 * AIT - ED + 1)
    money.call("transfer_keep_alive", B, 100 * AIT - ED)

    assert money.free(A) == ED


@pytest.mark.parametrize(
    ("amount", "dest", "error"),
    [
        (100 * AIT + 1, B, errors.FundsUnavailable),
        (ED - 1, C, errors.BelowMinimum),
        (2**128 - 1, B, errors.FundsUnavailable),
    ],
)
def test_impossible_transfers_change_nothing(money: Money, amount: int, dest: AccountId, error: Any) -> None:
    before = money.machine.store.changes()
    with pytest.raises(error):
        money.call("transfer_allow_death", dest, amount)

    assert money.machine.store.changes() == before
    assert money.events() == []


def test_a_transfer_to_oneself_changes_nothing_but_needs_the_money(money: Money) -> None:
    money.call("transfer_keep_alive", A, 5 * AIT)
    with pytest.raises(errors.FundsUnavailable):
        money.call("transfer_keep_alive", A, 101 * AIT)

    assert money.free(A) == 100 * AIT


def test_transfer_all_takes_what_is_usable(money: Money) -> None:
    money.call("transfer_all", C, True)
    assert (money.free(A), money.free(C)) == (ED, 100 * AIT - ED)

    money.call("transfer_all", C, False, origin=Signed(B))
    assert money.system.account.find(B) is None


def test_only_root_forces(money: Money) -> None:
    for name, args in [("force_transfer", (A, B, AIT)), ("force_set_balance", (A, AIT))]:
        with pytest.raises(errors.BadOrigin):
            money.call(name, *args)
    money.call("force_transfer", A, B, AIT, origin=ROOT)
    money.call("force_set_balance", C, 3 * AIT, origin=ROOT)
    money.call("force_set_balance", A, ED - 1, origin=ROOT)
    money.call("force_set_balance", B, AIT, origin=ROOT)

    assert money.system.account.find(A) is None
    assert (money.free(B), money.free(C)) == (AIT, 3 * AIT)
    assert money.balances.total_issuance.get() == 4 * AIT


def test_burning_is_booked_with_its_reason(money: Money) -> None:
    booked: list[tuple[str, int, Any]] = []

    class Ledger:
        def minted(self, amount: Balance, reason: MintReason) -> None:
            booked.append(("minted", amount, reason))

        def burned(self, amount: Balance, reason: BurnReason) -> None:
            booked.append(("burned", amount, reason))

    money.balances.book_with(Ledger())
    money.call("burn", AIT, True)
    money.balances.mint(B, Balance(5), MintReason.Rewards)
    money.call("transfer_allow_death", B, 99 * AIT - 3)

    assert booked == [
        ("burned", AIT, BurnReason.Explicit),
        ("minted", 5, MintReason.Rewards),
        ("burned", 3, BurnReason.Dust),
    ]


def test_an_address_that_is_no_account_is_refused(money: Money) -> None:
    other = SCHEMA.decode_call(b"\x04\x00\x01\x04")

    with pytest.raises(errors.CannotLookup):
        money.machine.dispatch(other, Signed(A))


def test_held_money_is_set_aside_by_reason(money: Money) -> None:
    money.balances.hold(Reason.Escrow, A, Balance(10 * AIT))
    money.balances.hold(OtherReason.Escrow, A, Balance(5 * AIT))
    money.balances.hold(Reason.Escrow, A, Balance(AIT))
    money.check()

    assert money.balances.held(Reason.Escrow, A) == 11 * AIT
    assert money.balances.held(OtherReason.Escrow, A) == 5 * AIT
    assert money.free(A) == 84 * AIT
    with pytest.raises(errors.OnlyProvider):
        money.call("transfer_allow_death", B, 84 * AIT)
    raw = money.balances.holds.encode(money.balances.holds.get(A))
    assert money.balances.holds.read(raw) == money.balances.holds.get(A)
    assert raw[1:3] == bytes((41, 0)) or raw[1:3] == bytes((40, 0))

    assert money.balances.release(Reason.Escrow, A, Balance(AIT)) == AIT
    money.check()
    money.balances.transfer_held(Reason.Escrow, A, C, Balance(4 * AIT))
    money.check()
    assert money.balances.burn_held(Reason.Escrow, A, Balance(50 * AIT), BurnReason.Slash) == 6 * AIT
    money.check()
    assert money.balances.release(OtherReason.Escrow, A) == 5 * AIT
    money.check()

    assert (money.free(A), money.free(C)) == (90 * AIT, 4 * AIT)
    assert money.system.account.get(A).consumers == 0
    assert not money.balances.holds.contains(A)


def test_holding_more_than_there_is_changes_nothing(money: Money) -> None:
    before = money.machine.store.changes()
    with pytest.raises(errors.FundsUnavailable):
        money.balances.hold(Reason.Escrow, A, Balance(100 * AIT - ED + 1))
    with pytest.raises(errors.FundsUnavailable):
        money.balances.transfer_held(Reason.Escrow, A, B, Balance(1))

    assert money.machine.store.changes() == before
    assert money.balances.release(Reason.Deposit, A) == 0


def test_money_can_be_given_into_what_is_held_of_another_and_taken_out_to_go_elsewhere(money: Money) -> None:
    money.balances.transfer_into_hold(Reason.Escrow, A, B, Balance(5 * AIT))
    money.check()
    money.balances.transfer_into_hold(Reason.Escrow, B, B, Balance(AIT))
    money.check()
    assert (money.free(A), money.balances.held(Reason.Escrow, B)) == (95 * AIT, 6 * AIT)

    money.balances.take_held(Reason.Escrow, B, Balance(6 * AIT))
    money.balances.deposit(C, Balance(6 * AIT))
    money.check()
    assert money.free(C) == 6 * AIT
    assert money.system.account.get(B).consumers == 0
    for refused in (
        lambda: money.balances.take_held(Reason.Escrow, B, Balance(1)),
        lambda: money.balances.transfer_into_hold(Reason.Escrow, A, B, Balance(96 * AIT)),
        lambda: money.balances.transfer_into_hold(Reason.Escrow, A, AccountId(bytes(32)), Balance(AIT)),
    ):
        mark = money.machine.store.mark()
        with pytest.raises(errors.DispatchError):
            refused()
        money.machine.store.rollback(mark)
    money.check()


def test_frozen_money_can_be_held_but_not_spent(money: Money) -> None:
    money.balances.set_lock(b"vesting ", A, Balance(60 * AIT))
    money.check()
    with pytest.raises(errors.Frozen):
        money.call("transfer_keep_alive", B, 41 * AIT)
    money.balances.hold(Reason.Escrow, A, Balance(60 * AIT))
    money.check()
    assert money.balances.usable(money.system.account.get(A), keep_alive=True) == 40 * AIT - ED

    money.call("transfer_keep_alive", B, 40 * AIT - ED)
    money.call("transfer_keep_alive", A, 40 * AIT - ED, origin=Signed(B))
    money.balances.release(Reason.Escrow, A)
    money.balances.set_lock(b"pyconvot", A, Balance(70 * AIT))
    money.balances.remove_lock(b"vesting ", A)
    money.check()
    assert money.system.account.get(A).frozen == 70 * AIT
    money.balances.remove_lock(b"pyconvot", A)
    money.check()
    assert (money.system.account.get(A).frozen, money.system.account.get(A).consumers) == (0, 0)


def test_a_call_that_makes_money_from_nothing_is_undone(money: Money, monkeypatch: pytest.MonkeyPatch) -> None:
    def generous(self: Any, who: AccountId, *_: Any, **__: Any) -> None:
        rich = self._accounts.get(who).copy()
        rich.free += 1
        self._accounts.put(who, rich)

    monkeypatch.setattr(small.Balances, "burn_from", generous)
    with pytest.raises(errors.DispatchError) as caught:
        money.call("burn", 1, True)

    assert caught.value.code == "dispatch.corruption"
    money.check()


def test_a_value_that_does_not_fit_fails_the_call(money: Money, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(self: Any, who: AccountId, *_: Any, **__: Any) -> None:
        self.holds.put(who, [small_hold(-1)])

    monkeypatch.setattr(small.Balances, "burn_from", careless)
    with pytest.raises(errors.Overflow):
        money.call("burn", 1, True)

    assert not money.balances.holds.contains(A)


def small_hold(amount: int) -> Hold:
    return Hold(Reason.Escrow, Balance(amount))


def test_a_fault_inside_a_call_is_undone_and_reported(money: Money, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, who: AccountId, *_: Any, **__: Any) -> None:
        self._accounts.remove(who)
        raise ZeroDivisionError

    monkeypatch.setattr(small.Balances, "burn_from", broken)
    with pytest.raises(errors.Other):
        money.call("burn", 1, True)

    assert money.free(A) == 100 * AIT
    assert [type(fault) for fault in money.machine.faults] == [ZeroDivisionError]
