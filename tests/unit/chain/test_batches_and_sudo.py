"""Utility and Sudo: what a batch keeps and undoes, who may act as whom."""

from __future__ import annotations

from typing import Any

import pytest

from aitoken.types import AIT, AccountId, Balance
from chain.frame import errors
from chain.frame.calls import Call, PostInfo
from chain.frame.machine import Machine
from chain.frame.origin import ROOT, Signed
from chain.frame.system import System
from chain.pallets.balances import Balances
from chain.pallets.sudo import Sudo
from chain.pallets.utility import derivative_account
from chain.params import PRESETS
from chain.runtime import assemble, build_schema

SCHEMA = build_schema(PRESETS["devnet"])
A, B, C = (AccountId(bytes([number]) * 32) for number in (1, 2, 3))


class Desk:
    """A runtime with two rich accounts; A is sudo."""

    def __init__(self) -> None:
        self.machine: Machine = assemble(SCHEMA, {}).machine
        self.system, self.balances, self.sudo = (self.machine.pallets[name] for name in ("System", "Balances", "Sudo"))  # type: ignore[assignment]
        assert isinstance(self.system, System)
        assert isinstance(self.balances, Balances)
        assert isinstance(self.sudo, Sudo)
        self.balances.build_genesis([(A, Balance(100 * AIT)), (B, Balance(100 * AIT))])
        self.machine.store.imbalance = 0
        self.sudo.key.put(A)

    def make(self, name: str, *args: Any, origin: Any = None) -> PostInfo | None:
        return self.machine.dispatch(SCHEMA.make_call(name, *args), origin or Signed(A))

    def events(self) -> list[str]:
        return [type(SCHEMA.event_record.decode(raw).event).__name__ for raw in self.machine.store.events]

    def last(self, name: str) -> Any:
        rows = [SCHEMA.event_record.decode(raw).event for raw in self.machine.store.events]
        return [event for event in rows if type(event).__name__ == name][-1]

    def free(self, who: AccountId) -> int:
        assert isinstance(self.system, System)
        return self.system.account.get(who).free


@pytest.fixture
def desk() -> Desk:
    return Desk()


def pay(amount: int, to: AccountId = C) -> Call:
    return SCHEMA.make_call("Balances.transfer_keep_alive", to, amount)


TOO_MUCH = pay(10**6 * AIT)


def test_batch_stops_at_the_first_failure_and_keeps_what_was_done(desk: Desk) -> None:
    post = desk.make("Utility.batch", [pay(AIT), TOO_MUCH, pay(AIT)])

    assert desk.free(C) == AIT
    assert desk.events()[-2:] == ["ItemCompleted", "BatchInterrupted"]
    assert desk.last("BatchInterrupted").index == 1
    assert desk.last("BatchInterrupted").error == errors.FundsUnavailable()
    announced = SCHEMA.make_call("Utility.batch", [pay(AIT), TOO_MUCH, pay(AIT)]).weight
    assert post is not None
    assert post.weight is not None
    assert post.weight < announced


def test_batch_all_undoes_everything(desk: Desk) -> None:
    before = desk.machine.store.changes()
    with pytest.raises(errors.FundsUnavailable):
        desk.make("Utility.batch_all", [pay(AIT), TOO_MUCH])

    assert desk.machine.store.changes() == before
    assert desk.events() == []
    desk.make("Utility.batch_all", [pay(AIT), pay(AIT)])
    assert desk.free(C) == 2 * AIT
    assert desk.events()[-1] == "BatchCompleted"


def test_force_batch_goes_on(desk: Desk) -> None:
    desk.make("Utility.force_batch", [TOO_MUCH, pay(AIT), TOO_MUCH])

    assert desk.free(C) == AIT
    assert desk.events()[-1] == "BatchCompletedWithErrors"
    assert desk.events().count("ItemFailed") == 2


def test_if_else_takes_the_second_way_when_the_first_fails(desk: Desk) -> None:
    desk.make("Utility.if_else", TOO_MUCH, pay(AIT))
    assert desk.free(C) == AIT
    assert "IfElseFallbackCalled" in desk.events()
    with pytest.raises(errors.FundsUnavailable):
        desk.make("Utility.if_else", TOO_MUCH, TOO_MUCH)
    desk.make("Utility.if_else", pay(AIT), TOO_MUCH)
    assert desk.free(C) == 2 * AIT


def test_a_pseudonym_has_money_of_its_own(desk: Desk) -> None:
    other = derivative_account(A, 7)
    desk.make("Balances.transfer_keep_alive", other, 10 * AIT)
    desk.make("Utility.as_derivative", 7, pay(AIT))

    assert (desk.free(C), desk.free(other)) == (AIT, 9 * AIT)


def test_a_batch_is_limited_in_length(desk: Desk) -> None:
    remark = SCHEMA.make_call("System.remark", b"")
    with pytest.raises(errors.ModuleError) as caught:
        desk.make("Utility.batch", [remark] * 1025)

    assert caught.value.code == "Utility.TooManyCalls"


def test_only_root_dispatches_as_others(desk: Desk) -> None:
    with pytest.raises(errors.BadOrigin):
        desk.make("Utility.dispatch_as", Signed(B), pay(AIT))
    desk.make("Utility.dispatch_as", Signed(B), pay(AIT), origin=ROOT)

    assert (desk.free(B), desk.free(C)) == (99 * AIT, AIT)


def test_sudo_acts_as_root_for_its_key_only_and_reports_failure(desk: Desk) -> None:
    forced = SCHEMA.make_call("Balances.force_transfer", B, C, AIT)
    with pytest.raises(errors.ModuleError) as caught:
        desk.make("Sudo.sudo", forced, origin=Signed(B))
    assert caught.value.code == "Sudo.RequireSudo"

    desk.make("Sudo.sudo", forced)
    assert desk.free(C) == AIT
    desk.make("Sudo.sudo", SCHEMA.make_call("Balances.force_transfer", B, C, 10**6 * AIT))
    assert desk.last("Sudid").sudo_result[0] == errors.FundsUnavailable()
    desk.make("Sudo.sudo_as", B, pay(AIT))
    assert desk.free(C) == 2 * AIT
    desk.make("Sudo.set_key", B)
    with pytest.raises(errors.ModuleError):
        desk.make("Sudo.remove_key")
    desk.make("Sudo.remove_key", origin=Signed(B))
    with pytest.raises(errors.ModuleError):
        desk.make("Sudo.sudo", forced, origin=Signed(B))


def test_forced_money_is_booked_by_reason(desk: Desk) -> None:
    desk.make("Sudo.sudo", SCHEMA.make_call("Balances.force_set_balance", C, 5 * AIT))
    desk.make("Sudo.sudo", SCHEMA.make_call("Balances.force_set_balance", B, 98 * AIT))
    desk.make("Balances.burn", AIT, True)
    supply: Any = desk.machine.pallets["Supply"]

    assert {int(reason): amount for reason, amount in supply.minted_for.items()} == {3: 5 * AIT}
    assert {int(reason): amount for reason, amount in supply.burned_for.items()} == {3: AIT, 4: 2 * AIT}
