"""What a transaction costs, what comes back, where the money goes, how the price moves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aitoken.types import AIT, AccountId
from chain.frame.calls import CallInfo, PostInfo
from chain.frame.types import FIXED_ONE, DispatchClass, Pays
from chain.pallets.transaction_payment import MULTIPLIER_MAX, MULTIPLIER_MIN, TREASURY
from tests.support import small_runtime as small
from tests.support.small_runtime import ALICE, BOB, Chain, account

A, B = account(ALICE), account(BOB)


def remark(chain: Chain, nonce: int, size: int = 0) -> Any:
    return chain.sign(ALICE, "System.remark", bytes(size), nonce=nonce)


def paid(chain: Chain, index: int = 1) -> Any:
    return next(event for event in chain.events_of(index) if type(event).__name__ == "TransactionFeePaid")


def test_a_transfer_costs_about_a_thousandth_of_a_token() -> None:
    chain = Chain()
    extrinsic = chain.sign(ALICE, "Balances.transfer_keep_alive", B, AIT, nonce=0)
    chain.block(extrinsic)

    length = len(extrinsic.raw)
    assert paid(chain).actual_fee == AIT // 2000 + length * AIT // 1_000_000 + 350_000_000
    assert 900_000_000 < paid(chain).actual_fee < 1_100_000_000


def test_every_byte_costs() -> None:
    chain = Chain()
    chain.block(remark(chain, 0, 0), remark(chain, 1, 10))

    assert paid(chain, 2).actual_fee - paid(chain, 1).actual_fee == 10 * AIT // 1_000_000


@pytest.mark.parametrize(
    ("post", "share"),
    [(PostInfo(weight=2_000_000), 2), (PostInfo(pays=Pays.No), 0), (PostInfo(weight=10**12), 5), (None, 5)],
)
def test_what_was_not_used_comes_back(monkeypatch: pytest.MonkeyPatch, post: PostInfo | None, share: int) -> None:
    monkeypatch.setattr(small.System, "remark", _keeping_declaration(small.System.remark, lambda *_: post))
    chain = Chain()
    extrinsic = remark(chain, 0)
    before = chain.free(A)
    chain.block(extrinsic)
    full = AIT // 2000 + len(extrinsic.raw) * AIT // 1_000_000
    expected = 0 if share == 0 else full + share * 1_000_000 * 35 // 4

    assert paid(chain).actual_fee == expected
    assert chain.free(A) == before - expected
    names = [type(event).__name__ for event in chain.events_of(1)]
    assert ("Deposit" in names) == (share < 5)


def _keeping_declaration(original: Any, replacement: Any) -> Any:
    replacement.scale_call = original.scale_call
    replacement.__annotations__ = original.__annotations__
    return replacement


def test_the_treasury_gets_its_share_where_it_exists() -> None:
    chain = Chain({A: 10 * AIT, TREASURY: AIT, small.AUTHOR: AIT})
    chain.block(chain.sign(ALICE, "System.remark", b"", nonce=0, tip=7))
    fee = paid(chain).actual_fee - 7

    burned, treasury = fee * 50 // 100, fee * 30 // 100
    assert chain.free(TREASURY) == AIT + treasury
    assert chain.free(small.AUTHOR) == AIT + fee - burned - treasury + 7
    assert chain.balances.total_issuance.get() == 12 * AIT - burned


def test_without_an_author_its_share_goes_to_the_treasury(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small.Authors, "author", None)
    chain = Chain({A: 10 * AIT, TREASURY: AIT})
    chain.block(remark(chain, 0))
    fee = paid(chain).actual_fee

    assert chain.free(TREASURY) == AIT + fee - fee * 50 // 100


def test_the_multiplier_falls_when_blocks_are_empty_and_not_below_its_floor() -> None:
    chain = Chain()
    chain.block()
    once = chain.payment.next_fee_multiplier.get()
    step = -FIXED_ONE * 3 // 4000
    assert once == FIXED_ONE + step + step * step // (2 * FIXED_ONE)
    chain.payment.next_fee_multiplier.put(MULTIPLIER_MIN)
    assert chain.payment._moved_multiplier() == MULTIPLIER_MIN


def test_the_multiplier_rises_when_blocks_are_full_and_not_above_its_ceiling() -> None:
    chain = Chain()
    chain.payment.note_usage(chain.payment._capacity)
    assert chain.payment._moved_multiplier() > FIXED_ONE * 1002 // 1000
    chain.payment.next_fee_multiplier.put(MULTIPLIER_MAX)
    assert chain.payment._moved_multiplier() == MULTIPLIER_MAX


def test_a_dearer_block_charges_more_for_weight_only() -> None:
    chain = Chain()
    cheap = chain.payment.fee(100, 1_000_000)
    chain.payment.next_fee_multiplier.put(3 * FIXED_ONE)

    assert chain.payment.fee(100, 1_000_000) - cheap == 2 * (1_000_000 * 35 // 4)
    assert chain.payment.fee(100, 0) == cheap - 1_000_000 * 35 // 4


def test_operational_calls_go_first() -> None:
    chain = Chain()
    info: CallInfo = chain.schema.make_call("System.kill_storage", []).info
    normal = chain.payment.priority(100, 10**8, small_class("Normal"), 0)

    assert info.dispatch_class == small_class("Operational")
    assert chain.payment.priority(100, 10**8, info.dispatch_class, 0) > normal
    assert chain.payment.priority(100, 10**8, small_class("Normal"), 2**128 - 1) == 2**64 - 1


def small_class(name: str) -> Any:
    return DispatchClass[name]


def test_fees_never_take_the_last_of_an_account() -> None:
    deposit = small.PRESETS["devnet"].existential_deposit
    chain = Chain({A: deposit + 10**9, AccountId(b"x" * 32): AIT})
    fee = chain.payment.fee(len(remark(chain, 0).raw), 5_000_000)
    poor = Chain({A: deposit + fee - 1})
    exact = Chain({A: deposit + fee})
    exact.block(remark(exact, 0))

    assert exact.free(A) == deposit
    poor.open()
    with pytest.raises(Exception, match="Inability to pay"):
        poor.executive.apply(remark(poor, 0))


def test_presets_differ_in_what_is_charged_only_where_said() -> None:
    dear = Chain(params=replace(small.PRESETS["devnet"], fee_base=AIT))
    dear.block(remark(dear, 0))

    assert paid(dear).actual_fee > AIT
