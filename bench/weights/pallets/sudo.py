"""Sudo."""

from bench.weights.world import Run, World, scenario
from chain.frame.types import Weight


def _sudo(world: World, name: str, *args: object) -> Run:
    world.sudo.key.put(world.person(0))
    return world.call(world.person(0), name, *args)


@scenario("Sudo.sudo")
def sudo(world: World) -> Run:
    return _sudo(world, "Sudo.sudo", world.make("System.remark", b""))


@scenario("Sudo.sudo_unchecked_weight")
def sudo_unchecked_weight(world: World) -> Run:
    return _sudo(world, "Sudo.sudo_unchecked_weight", world.make("System.remark", b""), Weight(0, 0))


@scenario("Sudo.sudo_as")
def sudo_as(world: World) -> Run:
    return _sudo(world, "Sudo.sudo_as", world.person(1), world.make("System.remark", b""))


@scenario("Sudo.set_key")
def set_key(world: World) -> Run:
    return _sudo(world, "Sudo.set_key", world.person(1))


@scenario("Sudo.remove_key")
def remove_key(world: World) -> Run:
    return _sudo(world, "Sudo.remove_key")
