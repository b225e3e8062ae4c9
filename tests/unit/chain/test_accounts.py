"""Accounts in their plain form: nobody who reads or writes them as objects can tell."""

from __future__ import annotations

from typing import Any

import pytest

from aitoken.codec.base import EncodeError
from aitoken.types import AIT, AccountId, Balance
from chain.frame.accounts import AccountMap, PlainAccount
from chain.frame.types import NEW_LOGIC, AccountInfo
from chain.state.memory import MemoryKeyValue
from tests.support import small_runtime as small
from tests.support.small_runtime import ALICE, BOB, CHARLIE, Chain, account

A, B, C = account(ALICE), account(BOB), account(CHARLIE)
HELD = AccountInfo(7, 1, 1, 0, 1 << 70, 5, 6, NEW_LOGIC | 3)


def accounts_of(infos: dict[AccountId, AccountInfo]) -> AccountMap:
    """Return a map over a state of these accounts."""
    system = Chain().system
    accounts: AccountMap = system.account
    accounts.store.load(MemoryKeyValue({accounts.raw_key(who): accounts.encode(info) for who, info in infos.items()}))
    return accounts


def move(accounts: AccountMap, who: AccountId, nonce: int) -> None:
    """Do what a straight line does: give an account another nonce."""
    raw_key = accounts.raw_key(who)
    plain = accounts.plain.get(raw_key) or load_plain(accounts, who)
    assert plain is not None
    accounts.plain[raw_key] = accounts.moved[raw_key] = (nonce, *plain[1:])  # type: ignore[assignment]  # a star hides the length


def load_plain(accounts: AccountMap, who: AccountId) -> PlainAccount | None:
    """Have an account in the plain form."""
    return accounts.load_plain(who, accounts.raw_key(who))


def changes(accounts: AccountMap) -> dict[bytes, Any]:
    """Return what the accounts of a block come to, decoded."""
    return {
        raw[-32:]: None if value is None else accounts.read(value)
        for raw, value in accounts.store.changes().items()
        if raw.startswith(accounts.info.prefix)
    }


def with_nonce(info: AccountInfo, nonce: int) -> AccountInfo:
    new = info.copy()
    new.nonce = nonce
    return new


def test_both_forms_say_the_same() -> None:
    accounts = accounts_of({A: HELD})

    assert load_plain(accounts, A) is not None
    assert accounts.get(A) == HELD
    assert load_plain(accounts, A) is not None
    assert accounts.get(A) == HELD
    assert changes(accounts) == {}
    assert load_plain(accounts, B) is None
    assert accounts.find(B) is None


def test_a_plain_change_is_seen_by_every_way_to_read_and_write() -> None:
    accounts = accounts_of({A: HELD, B: HELD, C: HELD})
    for who in (A, B, C):
        move(accounts, who, 8)

    assert dict(accounts.items())[A] == with_nonce(HELD, 8)
    move(accounts, A, 9)
    assert accounts.get(A) == with_nonce(HELD, 9)
    accounts.remove(C)
    assert changes(accounts) == {A: with_nonce(HELD, 9), B: with_nonce(HELD, 8), C: None}


def test_what_fails_after_a_plain_change_falls_back_to_it() -> None:
    accounts = accounts_of({A: HELD})
    move(accounts, A, 8)

    mark = accounts.store.mark()
    accounts.put(A, with_nonce(HELD, 100))
    accounts.store.rollback(mark)

    assert changes(accounts) == {A: with_nonce(HELD, 8)}


def test_an_object_written_before_stays_a_change_when_it_becomes_plain() -> None:
    accounts = accounts_of({A: HELD})
    accounts.put(A, with_nonce(HELD, 8))
    accounts.put(B, HELD)

    assert load_plain(accounts, A) is not None
    assert load_plain(accounts, B) is not None

    assert changes(accounts) == {A: with_nonce(HELD, 8), B: HELD}


def test_the_next_block_starts_from_a_plain_change_and_a_new_state_forgets_it() -> None:
    accounts = accounts_of({A: HELD})
    old = accounts.store.state
    move(accounts, A, 8)
    accounts.store.settle(MemoryKeyValue(dict(accounts.store.changes())))

    assert changes(accounts) == {}
    assert accounts.get(A).nonce == 8
    assert load_plain(accounts, A) is not None
    accounts.store.state = old
    accounts.forget(accounts.raw_key(A))
    assert accounts.get(A).nonce == 7
    move(accounts, A, 8)
    accounts.store.load(old)
    assert accounts.get(A).nonce == 7
    assert changes(accounts) == {}


@pytest.mark.parametrize("plain", [True, False])
def test_what_does_not_fit_its_type_is_named(*, plain: bool) -> None:
    accounts = accounts_of({A: HELD})
    if plain:
        move(accounts, A, 1 << 32)
    else:
        accounts.put(A, with_nonce(HELD, 1 << 32))

    with pytest.raises(EncodeError):
        accounts.store.changes()


def test_usual_and_other_calls_share_accounts_within_a_block() -> None:
    chain = Chain()
    state, parent = chain.state, chain.header
    chain.open()
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("transfer_keep_alive", (B, AIT)),
        ("burn", (Balance(1), True)),
        ("transfer_keep_alive", (B, AIT)),
        ("transfer_all", (C, True)),
    ]
    for nonce, (name, arguments) in enumerate(calls):
        chain.executive.apply(chain.sign(ALICE, f"Balances.{name}", *arguments, nonce=nonce))
    block = chain.seal()

    _, _, _, _, executive = small.assemble(chain.schema, fast=False)
    executive.open_block(state, parent, block.header.digest)
    for extrinsic in block.body[1:]:
        executive.apply(extrinsic)
    assert executive.seal().header == block.header
