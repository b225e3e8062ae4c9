"""Allowances: grants as deep as they may be, with full lists of payees."""

from __future__ import annotations

from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment
from bench.weights.world import Run, World, ait, scenario
from chain.pallets.ai.allowances_types import (
    DEPTH_MAX,
    PAYEES_MAX,
    SESSIONS_MAX,
    Limits,
    OpenedSession,
    Purpose,
    Scope,
)
from chain.pallets.ai.pay_types import ToAccount
from chain.pallets.ai.sessions_types import Open, Session

OWNER, OTHER = 0, 50
"""The key of grant n is that of account n + 1."""
FEE = 10**9
HOUR_MS = 3_600_000


def _limits() -> Limits:
    return Limits(ait(100), ait(500), ait(900), HOUR_MS)


def _scope(world: World) -> Scope:
    return Scope(list(Purpose), [ToAccount(world.person(100 + index)) for index in range(PAYEES_MAX)])


def _grants(world: World, depth: int) -> AccountId:
    """One grant from another, up to this depth; returns the key of the last."""
    owner = world.person(OWNER)
    world.give(owner, ait(10_000))
    world.timestamp.now.put(world.time_ms)
    for number in range(depth):
        parent = None if number == 0 else number - 1
        terms = world.person(number + 1), _limits(), _scope(world), Moment(world.time_ms + HOUR_MS), parent
        world.do(owner, "Allowances.grant", *terms)
    return world.person(depth)


@scenario("Allowances.grant")
def grant(world: World) -> Run:
    """To a key that is no account yet."""
    _grants(world, DEPTH_MAX - 1)
    terms = _limits(), _scope(world), Moment(world.time_ms + HOUR_MS), DEPTH_MAX - 2
    return world.call(world.person(OWNER), "Allowances.grant", world.stranger(), *terms)


@scenario("Allowances.update")
def update(world: World) -> Run:
    _grants(world, 1)
    scope = Scope(list(Purpose), _scope(world).payees[1:])
    terms = _limits(), scope, Moment(world.time_ms + 2 * HOUR_MS)
    return world.call(world.person(OWNER), "Allowances.update", 0, *terms)


def _open_sessions(world: World, count: int) -> None:
    """Sessions that were opened with the first grant, each by the key of the deepest."""
    owner, key = world.person(OWNER), world.pair(1).public
    path = list(reversed(range(DEPTH_MAX)))
    for number in range(count):
        session = Hash32(number.to_bytes(32, "little"))
        money = ait(1), ait(1), *(Balance(0),) * 3
        terms = 0, 0, [], Moment(world.time_ms), BlockNumber(5_000), 100, 64, Open(), BlockNumber(5_000)
        world.sessions.sessions.put(session, Session(owner, 0, key, None, 0, 1, *money, *terms))
        world.allowances.sessions.put((owner, session), OpenedSession(path, ait(1)))
    if count:
        world.allowances.session_count.put(owner, count)


@scenario("Allowances.spend")
def spend(world: World) -> Run:
    """With the owner paying for it; what it carries is in the figure, and weighs by itself as well.

    A transfer, and what there is to note when a session is opened.
    """
    key = _grants(world, DEPTH_MAX)
    owner, allowances = world.person(OWNER), world.allowances
    inner = world.make("Balances.transfer_keep_alive", world.person(100 + PAYEES_MAX - 1), Balance(10**9))
    args = (owner, DEPTH_MAX - 1, inner)
    run = world.call(key, "Allowances.spend", *args)

    def all_of_it() -> object:
        allowances.payer(key, args, FEE)
        allowances.charged(args, FEE)
        result = run()
        allowances._opened.opened(owner, Hash32(bytes(32)), range(DEPTH_MAX), 1)
        allowances.settled(args, FEE, FEE - 1)
        return result

    return all_of_it


@scenario("Allowances.revoke", units=(0, 16, SESSIONS_MAX))
def revoke(world: World, sessions: int) -> Run:
    """The deepest, by the key of the first."""
    _grants(world, DEPTH_MAX)
    _open_sessions(world, sessions)
    return world.call(world.person(1), "Allowances.revoke", world.person(OWNER), DEPTH_MAX - 1)


@scenario("Allowances.revoke_all", units=(0, 16, SESSIONS_MAX))
def revoke_all(world: World, sessions: int) -> Run:
    _grants(world, 1)
    _open_sessions(world, sessions)
    return world.call(world.person(OWNER), "Allowances.revoke_all")
