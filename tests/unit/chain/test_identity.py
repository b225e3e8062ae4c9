"""Identity: deposits come back, judgements are for what was said, and nobody names what is another's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.codec.base import DecodeError, EncodeError
from aitoken.crypto.hashing import blake2_256
from aitoken.types import Hash32
from chain.frame.errors import BadOrigin, DispatchError, FundsUnavailable
from chain.pallets.identity import BASIC_DEPOSIT, BYTE_DEPOSIT, INFO, SUB_DEPOSIT, Identity
from chain.pallets.identity_types import (
    DATA,
    NOTHING,
    REGISTRARS_MAX,
    SUBS_MAX,
    Erroneous,
    FeePaid,
    IdentityInfo,
    KnownGood,
    LowQuality,
    Reasonable,
    text,
)
from tests.support.identity_chain import IdentityChain
from tests.support.spending_chain import account, ait

Error = Identity.Error


def info(display: str = "Alice", **more: Any) -> IdentityInfo:
    fields = dict.fromkeys(IdentityInfo.scale_fields, NOTHING) | {"display": text(display), "pgp_fingerprint": None}
    return IdentityInfo(**(fields | more))


def said(found: IdentityInfo) -> Hash32:
    return Hash32(blake2_256(INFO.encode(found)))


def cost(found: IdentityInfo) -> int:
    return BASIC_DEPOSIT + BYTE_DEPOSIT * len(INFO.encode(found))


def judged(chain: IdentityChain, who: str = "alice") -> list[tuple[int, str]]:
    found = chain.identity.identity_of.get(account(who))
    assert found is not None
    return [(index, type(judgement).__name__) for index, judgement in found.judgements]


# ------------------------------------------------------------------------------------------------- data


@given(st.one_of(st.binary(max_size=40), st.binary(min_size=32, max_size=34).map(lambda tail: b"\x22" + tail)))
def test_data_is_read_up_to_its_end_and_nothing_else_is_data(raw: bytes) -> None:
    sizes = {0: 1} | {size + 1: size + 1 for size in range(33)} | dict.fromkeys(range(34, 38), 33)
    if raw and raw[0] in sizes and len(raw) >= sizes[raw[0]]:
        value, end = DATA.read(raw, 0)
        assert (value, end) == (raw[: sizes[raw[0]]], sizes[raw[0]])
        assert DATA.encode(value) == value
    else:
        with pytest.raises(DecodeError):
            DATA.read(raw, 0)


def test_a_text_is_its_length_and_itself() -> None:
    assert text("Alice") == b"\x06Alice"
    assert text("") == b"\x01"
    with pytest.raises(EncodeError):
        text("ü" * 17)
    with pytest.raises(EncodeError):
        DATA.encode(b"\x01too long")


# ------------------------------------------------------------------------------------------------- identities


def test_an_identity_holds_a_deposit_for_its_bytes_and_gives_it_back() -> None:
    chain, short, longer = IdentityChain(), info(), info("Alice", web=text("https://example.org"))
    for each in (short, longer, short):
        chain.run("alice", "Identity.set_identity", each)
        assert chain.free("alice") == ait(1000) - cost(each)
        chain.check()
    cleared = chain.run("alice", "Identity.clear_identity")[-1]
    assert (cleared.who, cleared.deposit) == (account("alice"), cost(short))
    assert chain.free("alice") == ait(1000)
    with pytest.raises(Error.NoIdentity):
        chain.run("alice", "Identity.clear_identity")
    chain.check()


def test_who_cannot_pay_the_deposit_has_no_identity() -> None:
    chain = IdentityChain()
    chain.run("alice", "Balances.transfer_allow_death", account("bob"), ait(1000) - BASIC_DEPOSIT)
    with pytest.raises(FundsUnavailable):
        chain.run("alice", "Identity.set_identity", info())
    chain.check()


# ------------------------------------------------------------------------------------------------- judgements


def with_registrar(fee: int = ait(1)) -> IdentityChain:
    """Carol is registrar 0 and takes a fee, Dave is registrar 1 and takes none; Alice has an identity."""
    chain = IdentityChain()
    chain.run("root", "Identity.add_registrar", account("carol"))
    chain.run("root", "Identity.add_registrar", account("dave"))
    chain.run("carol", "Identity.set_fee", 0, fee)
    chain.run("alice", "Identity.set_identity", info())
    return chain


def test_a_judgement_is_asked_for_given_and_paid() -> None:
    chain = with_registrar()
    chain.run("alice", "Identity.request_judgement", 0, ait(1))
    assert judged(chain) == [(0, "FeePaid")]
    assert chain.free("alice") == ait(1000) - cost(info()) - ait(1)
    chain.check()
    with pytest.raises(Error.StickyJudgement):
        chain.run("alice", "Identity.request_judgement", 0, ait(1))

    chain.run("carol", "Identity.provide_judgement", 0, account("alice"), KnownGood(), said(info()))
    chain.run("dave", "Identity.provide_judgement", 1, account("alice"), Reasonable(), said(info()))
    assert judged(chain) == [(0, "KnownGood"), (1, "Reasonable")]
    assert chain.free("carol") == ait(1001)
    with pytest.raises(Error.JudgementGiven):
        chain.run("alice", "Identity.cancel_request", 0)
    chain.check()


def test_a_request_can_be_taken_back() -> None:
    chain = with_registrar()
    chain.run("alice", "Identity.request_judgement", 0, ait(1))
    chain.run("alice", "Identity.cancel_request", 0)
    assert chain.free("alice") == ait(1000) - cost(info())
    with pytest.raises(Error.NotFound):
        chain.run("alice", "Identity.cancel_request", 0)
    chain.check()


def test_another_text_loses_its_judgements_but_the_bad_ones() -> None:
    chain = with_registrar()
    chain.run("carol", "Identity.provide_judgement", 0, account("alice"), Erroneous(), said(info()))
    chain.run("dave", "Identity.provide_judgement", 1, account("alice"), KnownGood(), said(info()))
    chain.run("alice", "Identity.set_identity", info("Alicia"))
    assert judged(chain) == [(0, "Erroneous")]
    with pytest.raises(Error.StickyJudgement):
        chain.run("alice", "Identity.request_judgement", 0, ait(1))
    chain.run("alice", "Identity.clear_identity")
    chain.run("alice", "Identity.set_identity", info("Alicia"))
    assert judged(chain) == []
    chain.check()


def test_root_alone_adds_registrars_and_they_alone_judge() -> None:
    chain = with_registrar()
    hash_of, alice = said(info()), account("alice")
    chain.run("alice", "Identity.request_judgement", 0, ait(1))
    cases: list[tuple[type[DispatchError], str, str, tuple[Any, ...]]] = [
        (BadOrigin, "alice", "add_registrar", (account("eve"),)),
        (BadOrigin, "alice", "kill_identity", (alice,)),
        (Error.InvalidIndex, "eve", "provide_judgement", (0, alice, Reasonable(), hash_of)),
        (Error.InvalidIndex, "carol", "provide_judgement", (1, alice, Reasonable(), hash_of)),
        (Error.InvalidIndex, "carol", "provide_judgement", (2, alice, Reasonable(), hash_of)),
        (Error.InvalidJudgement, "carol", "provide_judgement", (0, alice, FeePaid(ait(1)), hash_of)),
        (Error.InvalidTarget, "carol", "provide_judgement", (0, account("bob"), Reasonable(), hash_of)),
        (Error.JudgementForDifferentIdentity, "carol", "provide_judgement",
         (0, alice, Reasonable(), said(info("Bob")))),
        (Error.InvalidIndex, "eve", "set_fee", (0, 0)),
        (Error.InvalidIndex, "eve", "set_account_id", (0, account("eve"))),
        (Error.InvalidIndex, "eve", "set_fields", (0, 1)),
        (Error.InvalidIndex, "carol", "set_fee", (9, 0)),
        (Error.EmptyIndex, "alice", "request_judgement", (2, ait(9))),
        (Error.FeeChanged, "alice", "request_judgement", (0, ait(1) - 1)),
        (Error.NoIdentity, "bob", "request_judgement", (0, ait(1))),
        (Error.NoIdentity, "bob", "cancel_request", (0,)),
    ]  # fmt: skip
    for error, who, name, args in cases:
        with pytest.raises(error):
            chain.run(who, f"Identity.{name}", *args)
    chain.run("carol", "Identity.set_account_id", 0, account("eve"))
    chain.run("eve", "Identity.set_fields", 0, 7)
    assert chain.identity.registrars.get()[0].fields == 7
    chain.run("eve", "Identity.provide_judgement", 0, alice, LowQuality(), hash_of)
    assert chain.free("eve") == ait(1001), "who judges is paid"
    for _ in range(2, REGISTRARS_MAX):
        chain.run("root", "Identity.add_registrar", account("eve"))
    with pytest.raises(Error.TooManyRegistrars):
        chain.run("root", "Identity.add_registrar", account("eve"))
    chain.check()


def test_a_registrar_that_cannot_be_paid_does_not_judge() -> None:
    chain = with_registrar(fee=1)
    chain.run("alice", "Identity.request_judgement", 0, ait(1))
    chain.run("carol", "Balances.transfer_all", account("bob"), False)
    with pytest.raises(Error.JudgementPaymentFailed):
        chain.run("carol", "Identity.provide_judgement", 0, account("alice"), Reasonable(), said(info()))
    chain.run("alice", "Identity.cancel_request", 0)
    chain.check()


def test_a_killed_identity_costs_all_its_deposits() -> None:
    chain = with_registrar()
    chain.run("alice", "Identity.add_sub", account("bob"), text("bob"))
    chain.run("alice", "Identity.request_judgement", 0, ait(1))
    before = chain.balances.total_issuance.get()
    killed = chain.run("root", "Identity.kill_identity", account("alice"))[-1]
    lost = cost(info()) + ait(1) + SUB_DEPOSIT
    assert killed.deposit == lost
    assert chain.balances.total_issuance.get() == before - lost
    assert chain.free("alice") == ait(1000) - lost
    assert chain.identity.super_of.get(account("bob")) is None
    chain.check()


# ------------------------------------------------------------------------------------------------- sub-accounts


def test_accounts_are_named_one_by_one_or_all_at_once() -> None:
    chain = with_registrar()
    bob, eve, owner = (account(name) for name in ("bob", "eve", "owner"))
    chain.run("alice", "Identity.set_subs", [(bob, text("one")), (eve, NOTHING)])
    chain.run("alice", "Identity.add_sub", owner, text("three"))
    chain.run("alice", "Identity.rename_sub", bob, text("first"))
    assert chain.identity.subs_of.get(account("alice")) == (3 * SUB_DEPOSIT, [bob, eve, owner])
    assert chain.identity.super_of.get(bob) == (account("alice"), text("first"))
    chain.check()
    chain.run("alice", "Identity.remove_sub", owner)
    chain.run("eve", "Identity.quit_sub")
    assert chain.free("eve") == ait(1000) + SUB_DEPOSIT
    chain.check()
    chain.run("alice", "Identity.set_subs", [(owner, NOTHING)])
    assert not chain.identity.super_of.contains(bob)
    chain.check()
    chain.run("alice", "Identity.set_subs", [])
    assert chain.free("alice") == ait(1000) - cost(info()) - SUB_DEPOSIT, "one deposit went with Eve"
    chain.check()


def test_nobody_names_what_is_anothers() -> None:
    chain = with_registrar()
    bob, eve = account("bob"), account("eve")
    chain.run("dave", "Identity.set_identity", info("Dave"))
    chain.run("alice", "Identity.add_sub", bob, text("bob"))
    many = [(account(f"sub {number}"), NOTHING) for number in range(SUBS_MAX + 1)]
    cases: list[tuple[type[DispatchError], str, str, tuple[Any, ...]]] = [
        (Error.AlreadyClaimed, "dave", "add_sub", (bob, NOTHING)),
        (Error.AlreadyClaimed, "alice", "add_sub", (bob, NOTHING)),
        (Error.AlreadyClaimed, "dave", "set_subs", ([(eve, NOTHING), (bob, NOTHING)],)),
        (Error.AlreadyClaimed, "dave", "set_subs", ([(eve, NOTHING), (eve, NOTHING)],)),
        (Error.TooManySubAccounts, "dave", "set_subs", (many,)),
        (Error.NotFound, "carol", "set_subs", ([],)),
        (Error.NoIdentity, "carol", "add_sub", (eve, NOTHING)),
        (Error.NoIdentity, "carol", "rename_sub", (bob, NOTHING)),
        (Error.NoIdentity, "carol", "remove_sub", (bob,)),
        (Error.NotOwned, "dave", "rename_sub", (bob, NOTHING)),
        (Error.NotOwned, "dave", "remove_sub", (bob,)),
        (Error.NotSub, "dave", "remove_sub", (eve,)),
        (Error.NotSub, "eve", "quit_sub", ()),
    ]  # fmt: skip
    for error, who, name, args in cases:
        with pytest.raises(error):
            chain.run(who, f"Identity.{name}", *args)
    chain.run("dave", "Identity.set_subs", many[:SUBS_MAX])
    with pytest.raises(Error.TooManySubAccounts):
        chain.run("dave", "Identity.add_sub", eve, NOTHING)
    chain.check()


# ------------------------------------------------------------------------------------------------- any history

NAMES = ("alice", "bob", "carol", "dave")
WHO = st.sampled_from(NAMES)
DATA_OF = st.sampled_from([NOTHING, text("x"), text("a longer name")])
STEP = st.one_of(
    st.tuples(WHO, st.just("set_identity"), st.tuples(st.sampled_from([info("a"), info("b" * 9)]))),
    st.tuples(WHO, st.just("clear_identity"), st.just(())),
    st.tuples(st.just("root"), st.just("kill_identity"), st.tuples(WHO.map(account))),
    st.tuples(WHO, st.just("set_subs"), st.tuples(st.lists(st.tuples(WHO.map(account), DATA_OF), max_size=4))),
    st.tuples(WHO, st.just("add_sub"), st.tuples(WHO.map(account), DATA_OF)),
    st.tuples(WHO, st.just("remove_sub"), st.tuples(WHO.map(account))),
    st.tuples(WHO, st.just("quit_sub"), st.just(())),
    st.tuples(WHO, st.just("request_judgement"), st.tuples(st.integers(0, 2), st.just(ait(1)))),
    st.tuples(WHO, st.just("cancel_request"), st.tuples(st.integers(0, 2))),
    st.tuples(WHO, st.just("set_fee"), st.tuples(st.integers(0, 1), st.sampled_from([0, 5, ait(1)]))),
    st.tuples(
        st.sampled_from(["carol", "dave"]), st.just("provide_judgement"),
        st.tuples(st.integers(0, 1), WHO.map(account), st.sampled_from([KnownGood(), Erroneous()]),
                  st.sampled_from([said(info("a")), said(info("b" * 9))])),
    ),
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(STEP, max_size=30))
def test_after_any_history_every_deposit_is_a_hold(steps: list[tuple[str, str, tuple[Any, ...]]]) -> None:
    chain = with_registrar()
    for who, name, args in steps:
        mark = chain.machine.store.mark()
        try:
            chain.run(who, f"Identity.{name}", *args)
        except DispatchError:
            chain.machine.store.rollback(mark)
        chain.check()
