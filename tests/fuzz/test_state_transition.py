"""Random transactions on the whole runtime: everything adds up after each block; `make fuzz-state` goes on longer."""

from __future__ import annotations

from typing import Any

import pytest

from aitoken.errors import Bug, Rejected
from chain.frame.calls import Call
from chain.pallets.balances import Balances
from chain.pallets.fast_transfer import FastTransfer
from chain.pallets.session import Session
from chain.pallets.staking.ledger import Bonds
from tests.fuzz.state import run
from tests.support import staking_chain

SEED, EXTRINSICS = 4, 350


def test_everything_adds_up_whatever_is_sent() -> None:
    fuzzer = run(SEED, EXTRINSICS)

    assert sum(fuzzer.good.values()) > EXTRINSICS // 3
    assert fuzzer.chain.era > 3
    assert fuzzer.chain.header.number > 20


def _no_references(original: Any) -> Any:
    def start(self: Session, validators: Any) -> Any:
        self._system = type("Nobody", (), {"increase_consumers": lambda *_: None})()  # type: ignore[assignment]  # a bug is planted
        return original(self, validators)

    return start


def _pays_one_too_many(original: Any) -> Any:
    def shortcut(self: FastTransfer, extrinsics: Any, block: Any) -> Any:
        for extrinsic in extrinsics:
            call = block.decode(extrinsic)
            if call.info.name in ("transfer_keep_alive", "transfer_allow_death"):
                extrinsic.call = Call(call.info, (call.args[0], call.args[1] + 1))
            unusual = original(self, iter((extrinsic,)), block)
            extrinsic.call = call
            if unusual is not None:
                return unusual
        return None

    return shortcut


def _forgets_the_hold(_: Any) -> Any:
    def compound(self: Bonds, who: Any, amount: Any) -> None:
        ledger = self.of(who)
        ledger.total += amount
        ledger.active += amount
        self._store.ledger.put(who, ledger)

    return compound


def _keeps_a_part(original: Any) -> Any:
    return lambda self, reason, who, amount=None: original(self, reason, who, None if amount is None else amount // 2)


@pytest.mark.parametrize(
    ("owner", "name", "wrong"),
    [
        (Session, "start", _no_references),
        (FastTransfer, "__call__", _pays_one_too_many),
        (Bonds, "compound", _forgets_the_hold),
        (Balances, "release", _keeps_a_part),
    ],
)
def test_what_does_not_add_up_is_found(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, wrong: Any) -> None:
    staking_chain._built.cache_clear()
    monkeypatch.setattr(owner, name, wrong(getattr(owner, name)))
    with pytest.raises((AssertionError, Bug, Rejected)) as caught:  # which law it is depends on what was sent
        run(SEED, 2_000)
    staking_chain._built.cache_clear()
    assert any("seed 4, block" in note for note in caught.value.__notes__)
