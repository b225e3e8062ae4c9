"""Attest: words count while a stake stands behind them; persons count once in a scope, and nobody gains from copies."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.credentials import Request, claim_bytes, statements_bytes
from aitoken.crypto.ed25519 import Pair
from aitoken.types import AccountId, Hash32
from chain.frame.errors import BadOrigin, BadProof, DispatchError, FundsUnavailable, InvalidTransaction, Stale
from chain.frame.types import Ed25519Signature
from chain.pallets.ai import attest_types as t
from chain.pallets.ai.attest import (
    ATTESTATION_DEPOSIT,
    FEE,
    KEY_MS,
    LIFETIME_MS,
    SCHEMA_BYTES,
    STAKE_MIN,
    Attest,
    CredentialRefused,
    key_deposit,
    uid_of,
)
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.free_lane import LaneFull
from tests.support.identity_chain import KEYS, METHOD, SCOPE, WHY, IdentityChain
from tests.support.spending_chain import DAY, GENESIS, account, ait, pair

Error = Attest.Error
NOBODY = AccountId(b"nobody".ljust(32, b"\x07"))
FIELDS = b"fields".ljust(32)
EXAMPLE = b"hash of example.org".ljust(32)
UNBONDING = 120_000


def schema(chain: IdentityChain, class_: t.Class | None = None) -> int:
    return int(chain.run("owner", "Attest.register_schema", b"a schema", FIELDS, class_)[-1].schema)


def statement(chain: IdentityChain, number: int, **changes: Any) -> t.Statement:
    said = t.Statement(number, t.OfAccount(account("bob")), EXAMPLE, chain.now + 30 * DAY, None)
    for name, value in changes.items():
        setattr(said, name, value)
    return said


def credential(key: int, to: AccountId | str, number: int = 0) -> tuple[Any, ...]:
    """What a person who asked the issuer hands in."""
    request = Request.make(GENESIS, key, KEYS[number].modulus)
    answer = KEYS[number].sign_blind(request.blinded)
    return request.finish(answer, account(to) if isinstance(to, str) else to)


# ------------------------------------------------------------------------------------------------- issuers


def test_an_issuers_word_counts_from_roots_acceptance_until_it_leaves_and_the_stake_waits() -> None:
    chain = IdentityChain()
    number = schema(chain, t.Class.Audit)
    bob = account("bob")
    with pytest.raises(Error.StakeTooLow):
        chain.run("bob", "Attest.register_issuer", t.Class.Audit, STAKE_MIN - 1, METHOD)
    chain.run("bob", "Attest.register_issuer", t.Class.Audit, STAKE_MIN, METHOD)
    with pytest.raises(Error.NotAccepted):
        chain.run("bob", "Attest.attest", [statement(chain, number)], None)
    with pytest.raises(Error.MethodChanged):
        chain.run("root", "Attest.judge_issuer", bob, t.Class.Audit, t.Accept(0), WHY)
    chain.run("root", "Attest.judge_issuer", bob, t.Class.Audit, t.Accept(0), METHOD)
    chain.run("bob", "Attest.attest", [statement(chain, number)], None)
    chain.check()

    chain.run("bob", "Attest.register_issuer", t.Class.Audit, ait(5), METHOD)
    chain.run("bob", "Attest.leave", t.Class.Audit)
    for name, *args in (("leave", t.Class.Audit), ("attest", [statement(chain, number, data=FIELDS)], None)):
        with pytest.raises((Error.NotYet, Error.NotAccepted)):
            chain.run("bob", f"Attest.{name}", *args)
    with pytest.raises(Error.IsLeaving):
        chain.run("bob", "Attest.register_issuer", t.Class.Audit, ait(1), METHOD)
    with pytest.raises(Error.IsLeaving):
        chain.run("root", "Attest.judge_issuer", bob, t.Class.Audit, t.Accept(0), METHOD)
    slashed = chain.run("root", "Attest.judge_issuer", bob, t.Class.Audit, t.Slash(ait(1)), WHY)[-1]
    assert slashed.burned == ait(1), "what it did before can still be punished"
    chain.set_time(chain.now + UNBONDING)
    chain.run("bob", "Attest.leave", t.Class.Audit)
    assert chain.free("bob") == ait(999) - ATTESTATION_DEPOSIT
    with pytest.raises(Error.NoIssuer):
        chain.run("bob", "Attest.leave", t.Class.Audit)
    chain.check()


def test_another_method_has_to_be_accepted_anew() -> None:
    chain = IdentityChain()
    chain.accept("bob", t.Class.Kyc)
    chain.run("bob", "Attest.register_issuer", t.Class.Kyc, 0, METHOD)
    assert chain.attest._counts(account("bob"), t.Class.Kyc)
    chain.run("bob", "Attest.register_issuer", t.Class.Kyc, 0, WHY)
    assert not chain.attest._counts(account("bob"), t.Class.Kyc)
    chain.check()


def test_a_slash_burns_at_most_the_stake_of_its_class_and_suspends() -> None:
    chain = IdentityChain()
    chain.accept("bob", t.Class.Kyc)
    chain.accept("bob", t.Class.Quality)
    before = chain.balances.total_issuance.get()
    told = chain.run("root", "Attest.judge_issuer", account("bob"), t.Class.Kyc, t.Slash(ait(500)), WHY)[-1]
    assert told.burned == STAKE_MIN
    assert chain.balances.total_issuance.get() == before - STAKE_MIN
    assert not chain.attest._counts(account("bob"), t.Class.Kyc)
    assert chain.attest._counts(account("bob"), t.Class.Quality)
    with pytest.raises(Error.StakeTooLow):
        chain.run("root", "Attest.judge_issuer", account("bob"), t.Class.Kyc, t.Accept(0), METHOD)
    with pytest.raises(BadOrigin):
        chain.run("bob", "Attest.judge_issuer", account("bob"), t.Class.Kyc, t.Accept(0), METHOD)
    with pytest.raises(Error.NoIssuer):
        chain.run("root", "Attest.judge_issuer", account("eve"), t.Class.Kyc, t.Suspend(), WHY)
    chain.check()


# ------------------------------------------------------------------------------------------------- attestations


def test_anybody_may_speak_under_a_schema_without_a_class_and_gets_the_deposit_back_in_the_end() -> None:
    chain = IdentityChain()
    number = schema(chain)
    said = [statement(chain, number), statement(chain, number, subject=t.OfProvider(7)),
            statement(chain, number, subject=t.OfHash(EXAMPLE), reference=Hash32(FIELDS))]  # fmt: skip
    told = chain.run("carol", "Attest.attest", said, None)
    places = [(each.subject, uid_of(account("carol"), each)) for each in said]
    assert [(event.subject, event.uid) for event in told if type(event).__name__ == "Attested"] == places
    assert chain.free("carol") == ait(1000) - 3 * ATTESTATION_DEPOSIT
    chain.check()
    with pytest.raises(Error.AlreadyAttested):
        chain.run("carol", "Attest.attest", said[1:], None)
    with pytest.raises(Error.NotOver):
        chain.run("eve", "Attest.prune", t.PastAttestations(places))
    with pytest.raises(Error.SchemaInUse):
        chain.run("owner", "Attest.prune", t.PastSchema(number))

    chain.set_time(said[0].expires)
    with pytest.raises(Error.BadTime):
        chain.run("carol", "Attest.attest", said[:1], None)
    chain.run("eve", "Attest.prune", t.PastAttestations(places))
    assert chain.free("carol") == ait(1000)
    with pytest.raises(Error.NotIssuer):
        chain.run("carol", "Attest.prune", t.PastSchema(number))
    chain.run("owner", "Attest.prune", t.PastSchema(number))
    assert chain.free("owner") == ait(1000)
    with pytest.raises(Error.UnknownSchema):
        chain.run("owner", "Attest.prune", t.PastSchema(number))
    chain.check()


def test_bad_statements_are_refused_by_name_and_leave_nothing() -> None:
    chain = IdentityChain()
    number, audits = schema(chain), schema(chain, t.Class.Audit)
    assert chain.free("owner") == ait(1000) - 2 * deposit(SCHEMA_BYTES + len(b"a schema"))
    cases: list[tuple[type[DispatchError], str, tuple[Any, ...]]] = [
        (Error.BadSchema, "register_schema", (b"", FIELDS, None)),
        (Error.UnknownSchema, "attest", ([statement(chain, 99)], None)),
        (Error.NotAccepted, "attest", ([statement(chain, audits)], None)),
        (Error.BadTime, "attest", ([statement(chain, number, expires=chain.now)], None)),
        (Error.BadTime, "attest", ([statement(chain, number, expires=chain.now + LIFETIME_MS + 1)], None)),
        (Error.AlreadyAttested, "attest", ([statement(chain, number)] * 2, None)),
        (Error.NoAttestation, "revoke", ([(t.OfProvider(1), FIELDS)],)),
        (Error.NoAttestation, "prune", (t.PastAttestations([(t.OfProvider(1), Hash32(FIELDS))]),)),
    ]
    for error, name, args in cases:
        mark = chain.machine.store.mark()
        with pytest.raises(error):
            chain.run("carol", f"Attest.{name}", *args)
        chain.machine.store.rollback(mark)
        chain.check()
    chain.run("eve", "Balances.transfer_all", account("carol"), True)
    with pytest.raises(FundsUnavailable):
        chain.run("eve", "Attest.attest", [statement(chain, number)], None)


@pytest.mark.parametrize("framed", [False, True])
def test_what_an_issuer_signed_is_handed_in_by_anybody_once_and_stays_revoked(framed: bool) -> None:
    chain = IdentityChain()
    chain.accept("bob", t.Class.Education)
    number = schema(chain, t.Class.Education)
    said = [statement(chain, number), statement(chain, number, data=FIELDS)]
    text = statements_bytes(GENESIS, account("bob"), t.STATEMENTS.encode(said))
    signed = pair("bob").sign(text.join((b"<Bytes>", b"</Bytes>")) if framed else text)
    by = t.SignedBy(account("bob"), Ed25519Signature(signed))
    forged = t.SignedBy(account("bob"), Ed25519Signature(pair("eve").sign(text)))
    other_chain = statements_bytes(Hash32(bytes(32)), account("bob"), t.STATEMENTS.encode(said))
    for error, statements, sender in (
        (Error.BadSignature, said, forged),
        (Error.BadSignature, said[:1], by),
        (Error.BadSignature, said, t.SignedBy(account("bob"), Ed25519Signature(pair("bob").sign(other_chain)))),
        (Error.BadSignature, said, t.SignedBy(account("carol"), by.signature)),
    ):
        with pytest.raises(error):
            chain.run("eve", "Attest.attest", statements, sender)
    chain.run("eve", "Attest.attest", said, by)
    assert chain.free("eve") == ait(1000) - 2 * ATTESTATION_DEPOSIT, "who hands it in pays"
    place = (said[0].subject, uid_of(account("bob"), said[0]))
    for who, error in (("eve", Error.NotIssuer), ("bob", None), ("bob", Error.AlreadyRevoked)):
        if error is None:
            assert chain.attest.vouched(*place, t.Class.Education) == EXAMPLE
            chain.run(who, "Attest.revoke", [place])
            assert chain.attest.vouched(*place, t.Class.Education) is None
        else:
            with pytest.raises(error):
                chain.run(who, "Attest.revoke", [place])
    with pytest.raises(Error.AlreadyAttested):
        chain.run("carol", "Attest.attest", said, by)
    chain.check()


def test_a_domain_is_verified_by_two_issuers_that_agree_and_as_long_as_both_count() -> None:
    chain = IdentityChain()
    number, other = schema(chain, t.Class.Domain), schema(chain, t.Class.Quality)
    for who in ("bob", "carol", "dave"):
        chain.accept(who, t.Class.Domain)
    chain.accept("bob", t.Class.Quality)
    provider = t.OfProvider(7)
    uids = {}
    for who, kind, data in (("bob", number, EXAMPLE), ("carol", number, EXAMPLE), ("dave", number, FIELDS),
                            ("bob", other, EXAMPLE)):  # fmt: skip
        said = statement(chain, kind, subject=provider, data=data)
        chain.run(who, "Attest.attest", [said], None)
        uids[who, kind] = uid_of(account(who), said)
    bob, carol, dave, quality = uids.values()

    def agreed(*found: Hash32) -> bytes | None:
        return chain.attest.agreed(provider, found, t.Class.Domain)

    assert agreed(bob, carol) == EXAMPLE
    for wrong in ((), (bob,), (bob, bob), (bob, dave), (bob, carol, dave), (bob, quality), (bob, Hash32(bytes(32)))):
        assert agreed(*wrong) is None
    assert chain.attest.agreed(t.OfProvider(8), (bob, carol), t.Class.Domain) is None
    chain.run("root", "Attest.judge_issuer", account("carol"), t.Class.Domain, t.Suspend(), WHY)
    assert agreed(bob, carol) is None
    chain.run("root", "Attest.judge_issuer", account("carol"), t.Class.Domain, t.Accept(0), METHOD)
    assert agreed(bob, carol) == EXAMPLE
    chain.set_time(chain.now + 30 * DAY)
    assert agreed(bob, carol) is None
    chain.check()


# ------------------------------------------------------------------------------------------------- persons


def with_issuers() -> IdentityChain:
    """Bob and Carol let in persons, ten with a key."""
    chain = IdentityChain()
    chain.accept("bob", t.Class.Personhood)
    chain.accept("carol", t.Class.Personhood)
    return chain


def test_an_account_that_does_not_exist_becomes_a_person_without_a_fee_once() -> None:
    chain = with_issuers()
    key = chain.publish("bob")
    assert chain.free("bob") == ait(900) - key_deposit(10) - 10 * FEE
    good, before = credential(key, NOBODY), chain.balances.total_issuance.get()

    told = chain.send("Attest.post_nullifier", *good)[-1]

    assert (told.key, told.account) == (key, NOBODY)
    assert chain.attest.is_person(NOBODY, SCOPE)
    assert not chain.attest.is_person(NOBODY, SCOPE, issuers=2)
    assert not chain.attest.is_person(NOBODY, b"another scope".ljust(32))
    assert chain.balances.total_issuance.get() == before - FEE, "the issuer's fee is burned"
    assert chain.free(NOBODY) == 0
    chain.check()
    with pytest.raises(Stale):
        chain.send("Attest.post_nullifier", *good)
    with pytest.raises(Error.NullifierUsed):
        chain.run("eve", "Attest.post_nullifier", *good)
    with pytest.raises(CredentialRefused, match=r"Attest\.AlreadyPerson"):
        chain.send("Attest.post_nullifier", *credential(key, NOBODY))


def test_two_issuers_make_a_person_twice_as_sure() -> None:
    chain = with_issuers()
    keys = chain.publish("bob"), chain.publish("carol", 1)
    for number, key in enumerate(keys):
        chain.send("Attest.post_nullifier", *credential(key, "dave", number))
    dave = account("dave")
    assert chain.attest.is_person(dave, SCOPE, issuers=2)
    chain.run("root", "Attest.judge_issuer", account("bob"), t.Class.Personhood, t.Suspend(), WHY)
    assert chain.attest.issuers_of_person(dave, SCOPE) == 1
    with pytest.raises(CredentialRefused, match=r"Attest\.NotAccepted"):
        chain.send("Attest.post_nullifier", *credential(keys[0], "eve"))
    chain.run("carol", "Attest.stop_key", keys[1])
    assert not chain.attest.is_person(dave, SCOPE)
    chain.check()


def test_who_copies_a_credential_can_only_hand_it_in() -> None:
    """Every field changed, with whatever the copier can sign itself: refused, and nothing of it enters a block."""
    chain = with_issuers()
    key, other = chain.publish("bob"), chain.publish("carol", 1)
    good = credential(key, NOBODY)
    fields = dict(zip(("key", "nullifier", "token", "account", "signature"), good, strict=True))
    thief, own = account("eve"), Pair(b"t" * 32)
    mine = own.sign(claim_bytes(GENESIS, key, thief))
    elsewhere = Request.make(Hash32(bytes(32)), key, KEYS[0].modulus)
    cases: list[tuple[type[DispatchError], dict[str, Any]]] = [
        (Error.BadSignature, {"account": thief}),
        (Error.BadSignature, {"account": thief, "signature": mine}),
        (Error.BadToken, {"account": thief, "nullifier": own.public, "signature": mine}),
        (Error.BadToken, {"key": other}),
        (Error.NoKey, {"key": 99}),
        (Error.BadToken, {"token": bytes(256)}),
        (Error.BadSignature, {"signature": bytes(64)}),
        (Error.BadToken, {"nullifier": elsewhere.nullifier.public,
                          "token": elsewhere.finish(KEYS[0].sign_blind(elsewhere.blinded), thief)[2]}),
    ]  # fmt: skip
    for error, changes in cases:
        args = tuple((fields | changes).values())
        with pytest.raises(error):
            chain.run("eve", "Attest.post_nullifier", *args)
        with pytest.raises(InvalidTransaction) as refused:
            chain.send("Attest.post_nullifier", *args)
        expected = CredentialRefused if error is Error.NoKey else BadProof
        assert type(refused.value) is expected
    chain.run("eve", "Attest.post_nullifier", *good)  # all that is left to do with it: paying the fee for the person
    assert chain.attest.is_person(NOBODY, SCOPE)
    with pytest.raises(BadOrigin):
        chain.run("root", "Attest.post_nullifier", *credential(key, "eve"))
    chain.check()


def test_keys_are_published_by_accepted_issuers_within_their_caps_and_times() -> None:
    chain = with_issuers()
    chain.run("dave", "Attest.register_issuer", t.Class.Personhood, ait(100), METHOD)
    now, modulus = chain.now, KEYS[0].modulus
    cases: list[tuple[type[DispatchError], str, tuple[Any, ...]]] = [
        (Error.NoIssuer, "eve", (SCOPE, modulus, now, now + DAY, 1)),
        (Error.NotAccepted, "dave", (SCOPE, modulus, now, now + DAY, 1)),
        (Error.BadKey, "bob", (SCOPE, modulus, now, now + DAY, 0)),
        (Error.BadKey, "bob", (SCOPE, modulus, now, now + DAY, 11)),
        (Error.BadKey, "bob", (SCOPE, modulus[:-1] + b"\x02", now, now + DAY, 1)),
        (Error.BadKey, "bob", (SCOPE, b"\x7f" + modulus[1:], now, now + DAY, 1)),
        (Error.BadTime, "bob", (SCOPE, modulus, now - DAY, now, 1)),
        (Error.BadTime, "bob", (SCOPE, modulus, now + DAY, now + DAY, 1)),
        (Error.BadTime, "bob", (SCOPE, modulus, now, now + KEY_MS + 1, 1)),
        (Error.BadTime, "bob", (SCOPE, modulus, now + KEY_MS + 1, now + 2 * KEY_MS + 1, 1)),
    ]
    for error, who, args in cases:
        with pytest.raises(error):
            chain.run(who, "Attest.publish_key", *args)
    key = chain.publish("bob", days=30)
    with pytest.raises(Error.KeysOverlap):
        chain.run("bob", "Attest.publish_key", SCOPE, modulus, now + 30 * DAY - 1, now + 40 * DAY, 1)
    later = chain.run("bob", "Attest.publish_key", SCOPE, modulus, now + 30 * DAY, now + 40 * DAY, 1)[-1].key
    chain.publish("bob", scope=b"another".ljust(32))
    with pytest.raises(Error.NotIssuer):
        chain.run("eve", "Attest.stop_key", key)
    with pytest.raises(CredentialRefused, match=r"Attest\.KeyNotValid"):
        chain.send("Attest.post_nullifier", *credential(later, "dave"))
    chain.check()


def test_a_key_lets_in_as_many_as_its_cap_and_is_forgotten_when_it_is_over() -> None:
    chain = with_issuers()
    key = chain.publish("bob", cap=2, days=30)
    good = [credential(key, who) for who in ("dave", "eve", "owner")]
    for args in good[:2]:
        chain.send("Attest.post_nullifier", *args)
    with pytest.raises(CredentialRefused, match=r"Attest\.CapReached"):
        chain.send("Attest.post_nullifier", *good[2])
    nullifiers = [args[1] for args in good[:2]]
    with pytest.raises(Error.NotOver):
        chain.run("eve", "Attest.prune", t.PastPersons(key, nullifiers))
    chain.set_time(chain.now + 30 * DAY)
    assert not chain.attest.is_person(account("dave"), SCOPE)
    with pytest.raises(CredentialRefused, match=r"Attest\.KeyNotValid"):
        chain.send("Attest.post_nullifier", *good[2])

    after = chain.publish("bob", cap=3)
    chain.send("Attest.post_nullifier", *credential(after, "dave"))
    with pytest.raises(Error.NoNullifier):
        chain.run("eve", "Attest.prune", t.PastPersons(key, [good[2][1]]))
    chain.run("eve", "Attest.prune", t.PastPersons(key, nullifiers[:1]))
    chain.check()
    chain.run("eve", "Attest.prune", t.PastPersons(key, nullifiers[1:]))
    with pytest.raises(Error.NoKey):
        chain.run("eve", "Attest.prune", t.PastPersons(key, []))
    assert chain.attest.is_person(account("dave"), SCOPE)
    chain.check()
    chain.run("root", "Attest.stop_key", after)
    held = [args for args, _ in chain.attest.nullifiers.items()]
    chain.run("eve", "Attest.prune", t.PastPersons(after, [nullifier for _, nullifier in held]))
    assert chain.free("bob") == ait(900) - 3 * FEE, "all that was not used comes back"
    assert not list(chain.attest.persons.items())
    assert not list(chain.attest.last_key.items())
    chain.check()


def test_a_stolen_key_is_stopped_and_replaced_at_once() -> None:
    chain = with_issuers()
    key = chain.publish("bob", days=30)
    chain.send("Attest.post_nullifier", *credential(key, "dave"))
    chain.run("bob", "Attest.stop_key", key)
    assert not chain.attest.is_person(account("dave"), SCOPE)
    fresh = chain.publish("bob", 1)
    chain.send("Attest.post_nullifier", *credential(fresh, "dave", 1))
    assert chain.attest.is_person(account("dave"), SCOPE)
    chain.check()


def test_a_block_takes_a_share_of_credentials_without_a_fee_and_more_for_a_fee() -> None:
    chain = IdentityChain()
    chain.accept("bob", t.Class.Personhood, cap=200)
    key = chain.publish("bob", cap=200)
    most = chain.attest._lane._most // chain.attest.cost_of("post_nullifier").base
    assert 3 < most < 190
    chain.open_block()
    chain.attest._lane._used = (most - 2) * chain.attest.cost_of("post_nullifier").base
    good = [credential(key, who) for who in ("dave", "eve", "owner", "payout")]
    for args in good[:2]:
        chain.executive.apply(chain.bare("Attest.post_nullifier", *args))
    with pytest.raises(LaneFull):
        chain.executive.apply(chain.bare("Attest.post_nullifier", *good[2]))
    chain.run("eve", "Attest.post_nullifier", *good[2])
    chain.send("Attest.post_nullifier", *good[3])
    chain.check()


def test_nothing_but_credentials_comes_without_a_signature() -> None:
    chain = with_issuers()
    with pytest.raises(InvalidTransaction):
        chain.send("Attest.leave", t.Class.Personhood)


# ------------------------------------------------------------------------------------------------- any history

WHO = st.sampled_from(["bob", "carol", "dave", "eve"])
ISSUER = st.sampled_from(["bob", "carol"])
AHEAD = st.sampled_from([1, 5, 20])
STEP = st.one_of(
    st.tuples(st.just("person"), st.integers(0, 3), WHO),
    st.tuples(st.just("again"), st.integers(0, 9), WHO),
    st.tuples(st.just("publish"), ISSUER, AHEAD),
    st.tuples(st.just("stop"), ISSUER, st.integers(0, 3)),
    st.tuples(st.just("judge"), ISSUER, st.sampled_from([t.Accept(2), t.Suspend(), t.Slash(ait(3))])),
    st.tuples(st.just("wait"), AHEAD, st.none()),
    st.tuples(st.just("forget"), st.integers(0, 3), st.booleans()),
)


def play(chain: IdentityChain, made: list[tuple[Any, ...]], step: tuple[Any, ...]) -> list[Any]:
    """Do a step; return what it told of persons."""
    told: list[Any] = []
    match step:
        case "person", key, who:
            issuer = chain.attest.keys.get(key)
            made.append(credential(key, who, int(issuer is not None and issuer.modulus == KEYS[1].modulus)))
            told = chain.send("Attest.post_nullifier", *made[-1])
        case "again", number, who if made:
            key, nullifier, token, to, signature = made[number % len(made)]
            told = chain.run(who, "Attest.post_nullifier", key, nullifier, token, to, signature)
        case "publish", who, days:
            chain.publish(who, int(who == "carol"), days=days, cap=2)
        case "stop", who, key:
            chain.run(who, "Attest.stop_key", key)
        case "judge", who, verdict:
            evidence = METHOD if isinstance(verdict, t.Accept) else WHY
            chain.run("root", "Attest.judge_issuer", account(who), t.Class.Personhood, verdict, evidence)
        case "wait", days, _:
            chain.set_time(chain.now + days * DAY)
        case "forget", key, everything:
            kept = [nullifier for (number, nullifier), _ in chain.attest.nullifiers.items() if number == key]
            chain.run("eve", "Attest.prune", t.PastPersons(key, kept if everything else kept[:1]))
    return [event for event in told if type(event).__name__ == "NullifierUsed"]


@settings(max_examples=25)
@given(st.lists(STEP, max_size=14))
def test_after_any_history_nobody_is_a_person_twice_by_one_nullifier_and_all_money_is_held(steps: list[Any]) -> None:
    chain, made = with_issuers(), list[tuple[Any, ...]]()
    chain.publish("bob", cap=2)
    seen: set[bytes] = set()
    for step in steps:
        mark = chain.machine.store.mark()
        try:
            told = play(chain, made, step)
        except (DispatchError, InvalidTransaction):
            chain.machine.store.rollback(mark)
            continue
        for event in told:
            assert event.nullifier not in seen
            seen.add(event.nullifier)
        chain.check()
