"""Reputation: receipts with all units, of the last key that is tried, of an author who is a person eight times."""

from __future__ import annotations

from aitoken.credentials import EVERYWHERE
from aitoken.types import Balance, Hash32, Moment
from bench.weights.pallets.providers import OWNER, PROVIDER
from bench.weights.pallets.sessions import PAYER, _open, _receipt, _rotated, _seller, _signed
from bench.weights.world import Run, World, ait, scenario
from chain.pallets.ai.attest_types import KEYS_A_PERSON, Accepted, Class, Issuer, IssuerKey
from chain.pallets.ai.reputation_types import TAGS_MAX, Burned

BYTES = b"x" * 32


def _paid(world: World) -> tuple[Hash32, tuple[object, ...]]:
    """A session that has paid, and feedback on it."""
    _seller(world)
    world.timestamp.now.put(world.time_ms)
    session = _open(world)
    row = world.sessions.sessions.get(session).copy()
    row.claimed = ait(50)
    world.sessions.sessions.put(session, row)
    receipt = _signed(world, _receipt(session, 0, 1, int(ait(50)), world))
    return session, (session, 0, receipt, 80, list(range(TAGS_MAX)), BYTES)


def _person(world: World) -> None:
    for number in range(KEYS_A_PERSON):
        issuer, end = world.person(300 + number), Moment(world.time_ms * 2)
        key = IssuerKey(issuer, EVERYWHERE, bytes(256), Moment(0), end, 9, 1, 1, Balance(0))
        world.attest.keys.put(number, key)
        world.attest.issuers.put((issuer, Class.Personhood), Issuer(ait(100), BYTES, Accepted(9)))
    world.attest.persons.put((EVERYWHERE, world.person(PAYER)), list(range(KEYS_A_PERSON)))


@scenario("Reputation.feedback")
def feedback(world: World) -> Run:
    _, args = _paid(world)
    _rotated(world)
    _person(world)
    world.reputation.burned.put((1, world.person(PAYER)), Burned(ait(1), 3))
    return world.call(world.person(PAYER), "Reputation.feedback", *args)


@scenario("Reputation.respond")
def respond(world: World) -> Run:
    session, args = _paid(world)
    world.do(world.person(PAYER), "Reputation.feedback", *args)
    return world.call(world.person(OWNER), "Reputation.respond", PROVIDER, session, BYTES)


@scenario("Reputation.revoke")
def revoke(world: World) -> Run:
    """Of a session that is forgotten, half a life later."""
    session, args = _paid(world)
    world.do(world.person(PAYER), "Reputation.feedback", *args)
    world.sessions.sessions.remove(session)
    world.timestamp.now.put(world.time_ms + 45 * 86_400_000)
    return world.call(world.person(PAYER), "Reputation.revoke", PROVIDER, session)
