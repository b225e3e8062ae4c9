"""Identity: full texts, all registrars, long lists of accounts."""

from __future__ import annotations

from aitoken.crypto.hashing import blake2_256
from aitoken.types import AccountId, Balance, Hash32
from bench.weights.world import Run, World, ait, scenario
from chain.pallets.identity import INFO
from chain.pallets.identity_types import (
    REGISTRARS_MAX,
    SUBS_MAX,
    FeePaid,
    IdentityInfo,
    Judgement,
    Reasonable,
    RegistrarInfo,
    Registration,
    text,
)

WHO, REGISTRAR, SUB = 20, 21, 22
LONG = text("x" * 32)
FULL = IdentityInfo(LONG, LONG, LONG, LONG, LONG, bytes(20), LONG, LONG, LONG, LONG)
SIZES = (2, 20, 2 * SUBS_MAX)


def _registrars(world: World, count: int = REGISTRARS_MAX) -> None:
    rows = [RegistrarInfo(world.person(REGISTRAR), Balance(10**9), 0) for _ in range(count)]
    world.identity.registrars.put(rows)


def _identity(world: World, *, asked: bool = True) -> AccountId:
    """Somebody with an identity that all registrars have been asked about."""
    who = world.person(WHO)
    world.give(who, ait(10_000))
    _registrars(world)
    world.do(who, "Identity.set_identity", FULL)
    for index in range(REGISTRARS_MAX if asked else 0):
        world.do(who, "Identity.request_judgement", index, ait(1))
    return who


def _subs(world: World, count: int, first: int = 100) -> list[tuple[AccountId, bytes]]:
    return [(world.stranger(first + index), LONG) for index in range(count)]


@scenario("Identity.add_registrar")
def add_registrar(world: World) -> Run:
    _registrars(world, REGISTRARS_MAX - 1)
    return world.call("ROOT", "Identity.add_registrar", world.person(REGISTRAR))


@scenario("Identity.set_fee")
def set_fee(world: World) -> Run:
    _registrars(world)
    return world.call(world.person(REGISTRAR), "Identity.set_fee", REGISTRARS_MAX - 1, ait(1))


@scenario("Identity.set_account_id")
def set_account_id(world: World) -> Run:
    _registrars(world)
    return world.call(world.person(REGISTRAR), "Identity.set_account_id", REGISTRARS_MAX - 1, world.person(SUB))


@scenario("Identity.set_fields")
def set_fields(world: World) -> Run:
    _registrars(world)
    return world.call(world.person(REGISTRAR), "Identity.set_fields", REGISTRARS_MAX - 1, 255)


@scenario("Identity.provide_judgement")
def provide_judgement(world: World) -> Run:
    who, said = _identity(world), Hash32(blake2_256(INFO.encode(FULL)))
    args = (REGISTRARS_MAX - 1, who, Reasonable(), said)
    return world.call(world.person(REGISTRAR), "Identity.provide_judgement", *args)


@scenario("Identity.set_identity")
def set_identity(world: World) -> Run:
    who = _identity(world)
    rows: list[tuple[int, Judgement]] = [(index, FeePaid(Balance(10**9))) for index in range(REGISTRARS_MAX)]
    world.identity.identity_of.put(who, Registration(rows, world.identity.identity_of.get(who).deposit, FULL))
    return world.call(who, "Identity.set_identity", FULL)


@scenario("Identity.request_judgement")
def request_judgement(world: World) -> Run:
    who = _identity(world)
    world.do(who, "Identity.cancel_request", 3)
    return world.call(who, "Identity.request_judgement", 3, ait(1))


@scenario("Identity.cancel_request")
def cancel_request(world: World) -> Run:
    return world.call(_identity(world), "Identity.cancel_request", 3)


@scenario("Identity.clear_identity", units=(1, 10, SUBS_MAX))
def clear_identity(world: World, count: int) -> Run:
    who = _identity(world)
    world.do(who, "Identity.set_subs", _subs(world, count))
    return world.call(who, "Identity.clear_identity")


@scenario("Identity.kill_identity", units=(1, 10, SUBS_MAX))
def kill_identity(world: World, count: int) -> Run:
    who = _identity(world)
    world.do(who, "Identity.set_subs", _subs(world, count))
    return world.call("ROOT", "Identity.kill_identity", who)


@scenario("Identity.set_subs", units=SIZES)
def set_subs(world: World, count: int) -> Run:
    """Half of them go, half of them come."""
    who = _identity(world, asked=False)
    world.do(who, "Identity.set_subs", _subs(world, count // 2))
    return world.call(who, "Identity.set_subs", _subs(world, count // 2, 1_000))


@scenario("Identity.add_sub")
def add_sub(world: World) -> Run:
    who = _identity(world, asked=False)
    world.do(who, "Identity.set_subs", _subs(world, SUBS_MAX - 1))
    return world.call(who, "Identity.add_sub", world.person(SUB), LONG)


@scenario("Identity.rename_sub")
def rename_sub(world: World) -> Run:
    who = _identity(world, asked=False)
    world.do(who, "Identity.add_sub", world.person(SUB), LONG)
    return world.call(who, "Identity.rename_sub", world.person(SUB), text("y" * 32))


@scenario("Identity.remove_sub")
def remove_sub(world: World) -> Run:
    who, subs = _identity(world, asked=False), [*_subs(world, SUBS_MAX - 1), (world.person(SUB), LONG)]
    world.do(who, "Identity.set_subs", subs)
    return world.call(who, "Identity.remove_sub", world.person(SUB))


@scenario("Identity.quit_sub")
def quit_sub(world: World) -> Run:
    who, subs = _identity(world, asked=False), [*_subs(world, SUBS_MAX - 1), (world.person(SUB), LONG)]
    world.do(who, "Identity.set_subs", subs)
    return world.call(world.person(SUB), "Identity.quit_sub")
