"""Codes: claims from the largest batch by strangers, orders of credit, and the end of both kinds of batch."""

from __future__ import annotations

from functools import cache

from aitoken.crypto.hashing import blake2_256
from aitoken.pay import codes as bytes_of
from aitoken.types import AccountId, Hash32, Moment
from bench.weights.pallets.providers import PROVIDER, _provider
from bench.weights.world import Run, World, ait, scenario
from chain.frame.types import Ed25519Signature
from chain.pallets.ai.attest_types import KEYS_A_PERSON, Accepted, Class, Issuer, IssuerKey
from chain.pallets.ai.codes import CREDITS_MAX, SWEPT_A_CALL
from chain.pallets.ai.codes_types import PAGE_CODES, PROVIDERS_MAX, VOIDED_MAX, Credit, ForPersons, Held, Terms, Tokens
from chain.pallets.ai.pay_types import REFERENCE_MAX

SPONSOR, HOLDER, OTHER = range(10, 13)
HOUR_MS = 3_600_000
SCOPE = b"s" * 32
REFERENCE = b"r" * REFERENCE_MAX


@cache
def _tree(key: bytes, count: int) -> tuple[Hash32, list[Hash32]]:
    """The root of codes that all have one key, and the proof of the last of them."""
    row, proof = [bytes_of.leaf_of(index, key) for index in range(count)], []
    while len(row) > 1:
        proof.append(row[-2])
        row = [Hash32(blake2_256(b"\x01" + row[at] + row[at + 1])) for at in range(0, len(row), 2)]
    return row[0], proof


def _batch(world: World, count: int, terms: Terms) -> Moment:
    """Make the batch 0; return its end."""
    sponsor, end = world.person(SPONSOR), Moment(world.time_ms + HOUR_MS)
    world.timestamp.now.put(world.time_ms)
    world.give(sponsor, ait(1_000_000))
    root = _tree(world.pair(OTHER).public, count)[0]
    world.do(sponsor, "Codes.create", root, count, ait(1), end, 0, terms)
    return end


def _credit(world: World) -> Credit:
    providers = [PROVIDER, *range(100, 99 + PROVIDERS_MAX)]
    return Credit(providers, Moment(world.time_ms + HOUR_MS))


@scenario("Codes.create")
def create(world: World) -> Run:
    sponsor, end = world.person(SPONSOR), Moment(world.time_ms + HOUR_MS)
    world.timestamp.now.put(world.time_ms)
    world.give(sponsor, ait(1_000_000))
    return world.call(sponsor, "Codes.create", Hash32(bytes(32)), 8, ait(1), end, 0, _credit(world))


@scenario("Codes.void", units=(1, 16, VOIDED_MAX))
def void(world: World, count: int) -> Run:
    """Each code on another page."""
    _batch(world, bytes_of.COUNT_MAX, Tokens())
    indices = [index * PAGE_CODES for index in range(count)]
    for page in range(count):
        world.codes.pages.put((0, page), b"\xaa" * (PAGE_CODES // 8))
    return world.call(world.person(SPONSOR), "Codes.void", 0, indices)


@scenario("Codes.close", units=(1, 16, SWEPT_A_CALL))
def close(world: World, count: int) -> Run:
    """The last codes of a batch for persons, with its pages."""
    end = _batch(world, CREDITS_MAX, ForPersons(SCOPE, 1))
    row = world.codes.batches.get(0).copy()
    row.used, row.swept = CREDITS_MAX, CREDITS_MAX - count
    world.codes.batches.put(0, row)
    for index in range(row.swept, CREDITS_MAX):
        world.codes.credits.put((0, index), Held(world.person(index), ait(0)))
        world.codes.takers.put((0, world.person(index)), index)
    for page in range(CREDITS_MAX // PAGE_CODES):
        world.codes.pages.put((0, page), b"\xff" * (PAGE_CODES // 8))
    world.timestamp.now.put(end)
    return world.call(world.person(OTHER), "Codes.close", 0)


def _checked(world: World, name: str, *args: object) -> Run:
    """It is checked when it is let in and once more when it is made."""
    checked, run = world.make(name, *args), world.call("NOBODY", name, *args)

    def both() -> object:
        world.codes._verified = ()
        world.codes.check_unsigned(checked)
        return run()

    return both


@scenario("Codes.claim")
def claim(world: World) -> Run:
    """By somebody who has no account."""
    _batch(world, bytes_of.COUNT_MAX, Tokens())
    index, stranger, key = bytes_of.COUNT_MAX - 1, world.stranger(), world.pair(OTHER)
    world.codes.pages.put((0, index // PAGE_CODES), bytes(PAGE_CODES // 8))
    signature = key.sign(bytes_of.claim_bytes(world.genesis_hash, 0, index, stranger))
    proof = _tree(key.public, bytes_of.COUNT_MAX)[1]
    return _checked(world, "Codes.claim", 0, index, key.public, proof, stranger, 0, signature)


@scenario("Codes.spend")
def spend(world: World) -> Run:
    """The payout account is new, and the order is signed as wallets sign bytes."""
    _provider(world)
    _batch(world, 8, _credit(world))
    row = world.providers.providers.get(PROVIDER).copy()
    row.payout = world.stranger()
    world.providers.providers.put(PROVIDER, row)
    holder = AccountId(world.pair(HOLDER).public)
    world.codes.credits.put((0, 0), Held(holder, ait(1)))
    message = bytes_of.spend_bytes(world.genesis_hash, 0, 0, ait(1), PROVIDER, ait(1) // 2, REFERENCE)
    signature = Ed25519Signature(world.pair(HOLDER).sign(message.join((b"<Bytes>", b"</Bytes>"))))
    return _checked(world, "Codes.spend", 0, 0, PROVIDER, ait(1) // 2, REFERENCE, signature)


@scenario("Codes.claim_as_person")
def claim_as_person(world: World) -> Run:
    """By a stranger for whom as many issuers vouch as can, the last of them counting."""
    _batch(world, CREDITS_MAX, ForPersons(SCOPE, KEYS_A_PERSON))
    index, stranger, key = CREDITS_MAX - 1, world.stranger(), world.pair(OTHER)
    for number in range(KEYS_A_PERSON):
        issuer, end = world.person(300 + number), Moment(world.time_ms * 2)
        row = IssuerKey(issuer, SCOPE, bytes(256), Moment(0), end, 9, 1, 1, ait(1))
        world.attest.keys.put(number, row)
        world.attest.issuers.put((issuer, Class.Personhood), Issuer(ait(100), SCOPE, Accepted(9)))
    world.attest.persons.put((SCOPE, stranger), list(range(KEYS_A_PERSON)))
    world.codes.pages.put((0, index // PAGE_CODES), bytes(PAGE_CODES // 8))
    signature = key.sign(bytes_of.claim_bytes(world.genesis_hash, 0, index, stranger))
    proof = _tree(key.public, CREDITS_MAX)[1]
    return _checked(world, "Codes.claim_as_person", 0, index, key.public, proof, stranger, 0, signature)
