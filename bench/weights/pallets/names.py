"""Names: the longest there are, in the way of others that expired, with challenges, badges and warnings."""

from __future__ import annotations

from aitoken.crypto.hashing import blake2_256
from aitoken.names import LENGTH_MAX, commitment_of, skeleton_of
from aitoken.types import BlockNumber, Hash32, Moment
from bench.weights.world import Run, World, ait, scenario
from chain.pallets.ai.agenda import SLOT_MS, SLOTS_A_LOOK
from chain.pallets.ai.attest import uid_of
from chain.pallets.ai.attest_types import Accept, Class, Statement
from chain.pallets.ai.attest_types import OfProvider as AttestedProvider
from chain.pallets.ai.names_storage import (
    COMMIT_BLOCKS,
    GRACE_MS,
    SWEPT_A_BLOCK,
    YEAR_MS,
)
from chain.pallets.ai.names_types import (
    ATTESTATIONS_MAX,
    DOMAIN_MAX,
    RESERVED_MAX,
    Badge,
    Danger,
    For,
    NameCase,
    OfName,
    Reserved,
    Vouched,
)
from chain.pallets.ai.pay_types import ToProvider

OWNER, OTHER, BUYER = range(10, 13)
SALT = b"s" * 32
PROOF = Hash32(b"p" * 32)
LONGEST = b"m" * LENGTH_MAX


def _setting(world: World) -> None:
    world.timestamp.now.put(world.time_ms)
    world.system.number.put(BlockNumber(100))
    world.names.on_initialize(2)
    for who in (OWNER, OTHER, BUYER):
        world.give(world.person(who), ait(100_000))


def _commit(world: World, who: int, name: bytes) -> None:
    world.do(world.person(who), "Names.commit", commitment_of(world.person(who), SALT, name))
    found = world.names.commitments.get(world.person(who)).copy()
    found.number -= COMMIT_BLOCKS
    world.names.commitments.put(world.person(who), found)


def _registered(world: World, name: bytes = LONGEST) -> None:
    _setting(world)
    _commit(world, OWNER, name)
    world.do(world.person(OWNER), "Names.register", name, 1, SALT)


def _challenged(world: World, name: bytes = LONGEST) -> None:
    _registered(world, name)
    found = world.names.names.get(name).copy()
    found.badge = Badge(Vouched(b"d" * DOMAIN_MAX, [PROOF] * ATTESTATIONS_MAX), Moment(world.time_ms))
    world.names.names.put(name, found)
    world.do(world.person(OTHER), "Names.challenge", NameCase(name), PROOF)


@scenario("Names.commit")
def commit(world: World) -> Run:
    """In place of another."""
    _setting(world)
    _commit(world, OWNER, LONGEST)
    return world.call(world.person(OWNER), "Names.commit", PROOF)


@scenario("Names.register")
def register(world: World) -> Run:
    """In place of one that expired; reserved for who registers it."""
    _registered(world)
    world.names.reserved.put(skeleton_of(LONGEST), Reserved(LONGEST, world.person(OTHER)))
    world.timestamp.now.put(Moment(world.time_ms + YEAR_MS + GRACE_MS))
    _commit(world, OTHER, LONGEST)
    return world.call(world.person(OTHER), "Names.register", LONGEST, 1, SALT)


@scenario("Names.renew")
def renew(world: World) -> Run:
    _registered(world)
    return world.call(world.person(OTHER), "Names.renew", LONGEST, 1)


@scenario("Names.transfer")
def transfer(world: World) -> Run:
    _registered(world)
    return world.call(world.person(OWNER), "Names.transfer", LONGEST, world.person(BUYER))


@scenario("Names.set_target")
def set_target(world: World) -> Run:
    _registered(world)
    return world.call(world.person(OWNER), "Names.set_target", LONGEST, ToProvider(7))


@scenario("Names.release")
def release(world: World) -> Run:
    _registered(world)
    return world.call(world.person(OWNER), "Names.release", LONGEST)


@scenario("Names.reserve", units=(1, 8, RESERVED_MAX))
def reserve(world: World, count: int) -> Run:
    """Each of them is frozen."""
    names = [b"m" * 20 + b"abcefghj"[at // 8 : at // 8 + 1] + b"abcefghj"[at % 8 : at % 8 + 1] for at in range(count)]
    for name in names:
        _challenged(world, name)
        world.do("ROOT", "Names.rule", NameCase(name), True)
    return world.call("ROOT", "Names.reserve", names, For(world.person(OTHER)))


@scenario("Names.warn")
def warn(world: World) -> Run:
    """Anew."""
    _registered(world)
    world.do("ROOT", "Names.warn", OfName(LONGEST), Danger.Fraud, PROOF)
    return world.call("ROOT", "Names.warn", OfName(LONGEST), Danger.Fraud, PROOF)


@scenario("Names.rule")
def rule(world: World) -> Run:
    _challenged(world)
    return world.call("ROOT", "Names.rule", NameCase(LONGEST), True)


@scenario("Names.challenge")
def challenge(world: World) -> Run:
    _registered(world)
    return world.call(world.person(OTHER), "Names.challenge", NameCase(LONGEST), PROOF)


@scenario("Names.mark_verified")
def mark_verified(world: World) -> Run:
    """Shown by as many issuers as there can be, of the provider that the name means."""
    _registered(world)
    world.do(world.person(OWNER), "Names.set_target", LONGEST, ToProvider(7))
    domain = b"d" * DOMAIN_MAX
    world.do(world.person(OTHER), "Attest.register_schema", b"domain", PROOF, Class.Domain)
    said = Statement(0, AttestedProvider(7), blake2_256(domain), Moment(world.time_ms + YEAR_MS), None)
    for issuer in range(20, 20 + ATTESTATIONS_MAX):
        world.give(world.person(issuer), ait(1_000))
        world.do(world.person(issuer), "Attest.register_issuer", Class.Domain, ait(100), PROOF)
        world.do("ROOT", "Attest.judge_issuer", world.person(issuer), Class.Domain, Accept(1), PROOF)
        world.do(world.person(issuer), "Attest.attest", [said], None)
    uids = [uid_of(world.person(issuer), said) for issuer in range(20, 20 + ATTESTATIONS_MAX)]
    return world.call(world.person(BUYER), "Names.mark_verified", LONGEST, Vouched(domain, uids))


@scenario("Names.settle")
def settle(world: World) -> Run:
    """A challenge nobody decided, of a name nobody renewed."""
    _challenged(world)
    world.timestamp.now.put(Moment(world.time_ms + YEAR_MS + GRACE_MS))
    return world.call(world.person(BUYER), "Names.settle", NameCase(LONGEST))


@scenario("Names.on_initialize", units=(0, 1, SWEPT_A_BLOCK))
def on_initialize(world: World, due: int) -> Run:
    """After as many empty slots as one block passes over, the same."""
    for letter in b"abc"[:due]:
        _challenged(world, b"m" * 20 + bytes((letter,)))
    if not due:
        _setting(world)
    later = Moment(world.time_ms + SLOTS_A_LOOK * SLOT_MS)
    for name, found in list(world.names.names.items()):
        row = found.copy()
        row.expires = Moment(later - GRACE_MS)
        row.challenge.until = later
        world.names._agenda.cross_out(row.place)
        row.place = world.names._agenda.enter(later, NameCase(name))
        world.names.names.put(name, row)
    world.timestamp.now.put(later)
    return lambda: world.names.on_initialize(2)
