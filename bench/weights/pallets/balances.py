"""Balances: the sender dies where it may, and the recipient is new."""

from aitoken.types import AIT
from bench.weights.world import Run, World, ait, scenario


@scenario("Balances.transfer_allow_death")
def transfer_allow_death(world: World) -> Run:
    world.give(world.stranger(1), AIT)
    return world.call(world.stranger(1), "Balances.transfer_allow_death", world.stranger(2), ait(1))


@scenario("Balances.force_transfer")
def force_transfer(world: World) -> Run:
    world.give(world.stranger(1), AIT)
    return world.call("ROOT", "Balances.force_transfer", world.stranger(1), world.stranger(2), ait(1))


@scenario("Balances.transfer_keep_alive")
def transfer_keep_alive(world: World) -> Run:
    return world.call(world.person(0), "Balances.transfer_keep_alive", world.stranger(), ait(1))


@scenario("Balances.transfer_all")
def transfer_all(world: World) -> Run:
    world.give(world.stranger(1), AIT)
    return world.call(world.stranger(1), "Balances.transfer_all", world.stranger(2), False)


@scenario("Balances.force_set_balance")
def force_set_balance(world: World) -> Run:
    return world.call("ROOT", "Balances.force_set_balance", world.stranger(), ait(5))


@scenario("Balances.burn")
def burn(world: World) -> Run:
    return world.call(world.person(0), "Balances.burn", ait(1), True)
