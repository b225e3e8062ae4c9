"""Attest: credentials with keys nobody has read yet, full lists, accounts with many holds behind them."""

from __future__ import annotations

from aitoken.credentials import claim_bytes, statements_bytes, token_bytes
from aitoken.crypto import blind_rsa
from aitoken.crypto.blind_rsa import IssuerKey
from aitoken.types import AccountId, Balance, Moment
from bench.weights.world import Run, World, ait, scenario
from chain.frame.types import Ed25519Signature
from chain.pallets.ai import attest_types as t
from chain.pallets.ai.attest import Attest, uid_of

ISSUER, OTHER, SENDER = 30, 31, 32
BYTES = b"x" * 32
HOUR_MS = 3_600_000
SIZES = (1, 8, t.LIST_MAX)
_KEY = IssuerKey.generate()


def _now(world: World) -> int:
    world.timestamp.now.put(world.time_ms)
    return world.time_ms


def _issuer(world: World, *classes: t.Class) -> AccountId:
    """An issuer with money, accepted for these classes."""
    who = AccountId(world.pair(ISSUER).public)
    _now(world)
    for each in (who, world.person(SENDER)):
        world.give(each, ait(100_000))
    for class_ in classes:
        world.do(who, "Attest.register_issuer", class_, ait(100), BYTES)
        world.do("ROOT", "Attest.judge_issuer", who, class_, t.Accept(1_000), BYTES)
    return who


def _statements(world: World, count: int, who: AccountId) -> list[t.Statement]:
    world.do(who, "Attest.register_schema", b"n" * t.NAME_MAX, BYTES, t.Class.Audit)
    end = Moment(world.time_ms + HOUR_MS)
    return [
        t.Statement(0, t.OfHash(number.to_bytes(32, "big")), BYTES, end, world.genesis_hash) for number in range(count)
    ]


def _published(world: World, cap: int = 100) -> AccountId:
    who = _issuer(world, t.Class.Personhood)
    now = world.time_ms
    world.do(who, "Attest.publish_key", BYTES, _KEY.modulus, now, now + HOUR_MS, cap)
    return who


@scenario("Attest.register_schema")
def register_schema(world: World) -> Run:
    who = _issuer(world)
    return world.call(who, "Attest.register_schema", b"n" * t.NAME_MAX, BYTES, t.Class.Audit)


@scenario("Attest.register_issuer")
def register_issuer(world: World) -> Run:
    who = _issuer(world, t.Class.Kyc)
    return world.call(who, "Attest.register_issuer", t.Class.Kyc, ait(100), b"y" * 32)


@scenario("Attest.judge_issuer")
def judge_issuer(world: World) -> Run:
    who = _issuer(world, t.Class.Kyc)
    return world.call("ROOT", "Attest.judge_issuer", who, t.Class.Kyc, t.Slash(ait(1)), BYTES)


@scenario("Attest.leave")
def leave(world: World) -> Run:
    """And take the stake."""
    who = _issuer(world, t.Class.Kyc)
    world.do(who, "Attest.leave", t.Class.Kyc)
    world.timestamp.now.put(world.time_ms + 1_000 * HOUR_MS)
    return world.call(who, "Attest.leave", t.Class.Kyc)


@scenario("Attest.attest", units=SIZES)
def attest(world: World, count: int) -> Run:
    """Handed in by another, signed as wallets sign bytes."""
    who = _issuer(world, t.Class.Audit)
    said = _statements(world, count, who)
    text = statements_bytes(world.genesis_hash, who, t.STATEMENTS.encode(said))
    signature = Ed25519Signature(world.pair(ISSUER).sign(text.join((b"<Bytes>", b"</Bytes>"))))
    return world.call(world.person(SENDER), "Attest.attest", said, t.SignedBy(who, signature))


@scenario("Attest.revoke", units=SIZES)
def revoke(world: World, count: int) -> Run:
    who = _issuer(world, t.Class.Audit)
    said = _statements(world, count, who)
    world.do(who, "Attest.attest", said, None)
    return world.call(who, "Attest.revoke", [(each.subject, uid_of(who, each)) for each in said])


@scenario("Attest.publish_key")
def publish_key(world: World) -> Run:
    """After another that has ended."""
    who = _published(world)
    world.do(who, "Attest.stop_key", 0)
    now = world.time_ms
    return world.call(who, "Attest.publish_key", BYTES, _KEY.modulus, now, now + HOUR_MS, 100)


@scenario("Attest.stop_key")
def stop_key(world: World) -> Run:
    return world.call(_published(world), "Attest.stop_key", 0)


@scenario("Attest.post_nullifier")
def post_nullifier(world: World) -> Run:
    """By somebody who counts by seven other keys; checked when it is let in and once more when it is made."""
    who = _published(world)
    attest: Attest = world.attest
    nullifier, stranger = world.pair(OTHER), world.stranger()
    others = list(range(1, t.KEYS_A_PERSON))
    found = attest.keys.get(0)
    assert found is not None
    for number in others:
        row = found.copy()
        row.issuer = world.person(100 + number)
        attest.keys.put(number, row)
    attest.persons.put((BYTES, stranger), others)
    blinded, secret = blind_rsa.blind(text := token_bytes(world.genesis_hash, 0, nullifier.public), _KEY.modulus)
    token = blind_rsa.finalize(text, _KEY.sign_blind(blinded), secret, _KEY.modulus)
    signature = nullifier.sign(claim_bytes(world.genesis_hash, 0, stranger))
    args = 0, nullifier.public, token, stranger, signature
    checked, run = world.make("Attest.post_nullifier", *args), world.call("NOBODY", "Attest.post_nullifier", *args)

    def both() -> object:
        attest._verified = ()
        blind_rsa._public.cache_clear()
        attest.check_unsigned(checked)
        return run()

    assert who
    return both


@scenario("Attest.prune", units=SIZES)
def prune(world: World, count: int) -> Run:
    """Attestations that others handed in; forgetting persons touches as many keys."""
    who = _issuer(world, t.Class.Audit)
    said = _statements(world, count, who)
    world.do(who, "Attest.attest", said, None)
    for number, each in enumerate(said):
        place = (each.subject, uid_of(who, each))
        row = world.attest.attestations.get(place).copy()
        row.depositor = world.person(200 + number)
        world.give(row.depositor, ait(100))
        world.balances.hold(t.AttestHoldReason.Deposit, row.depositor, Balance(ait(1)))
        world.attest.attestations.put(place, row)
    world.timestamp.now.put(world.time_ms + HOUR_MS)
    places = [(each.subject, uid_of(who, each)) for each in said]
    return world.call(world.person(OTHER), "Attest.prune", t.PastAttestations(places))
