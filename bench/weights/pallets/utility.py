"""Utility: what it costs besides the calls it carries, which are remarks of nothing here."""

from bench.weights.world import Run, World, ait, scenario
from chain.frame.origin import Signed
from chain.pallets.utility import CALLS_MAX

CALLS = (1, 64, CALLS_MAX)


@scenario("Utility.batch", units=CALLS)
def batch(world: World, calls: int) -> Run:
    return world.call(world.person(0), "Utility.batch", [world.make("System.remark", b"")] * calls)


@scenario("Utility.batch_all", units=CALLS)
def batch_all(world: World, calls: int) -> Run:
    return world.call(world.person(0), "Utility.batch_all", [world.make("System.remark", b"")] * calls)


@scenario("Utility.force_batch", units=CALLS)
def force_batch(world: World, calls: int) -> Run:
    """Each of them fails."""
    return world.call(world.person(0), "Utility.force_batch", [world.make("Sudo.remove_key")] * calls)


@scenario("Utility.as_derivative")
def as_derivative(world: World) -> Run:
    return world.call(world.person(0), "Utility.as_derivative", 7, world.make("System.remark", b""))


@scenario("Utility.dispatch_as")
def dispatch_as(world: World) -> Run:
    who = Signed(world.person(0))
    return world.call("ROOT", "Utility.dispatch_as", who, world.make("System.remark", b""))


@scenario("Utility.if_else")
def if_else(world: World) -> Run:
    """The first call fails."""
    fails = world.make("Balances.burn", ait(10**9), True)
    return world.call(world.person(0), "Utility.if_else", fails, world.make("System.remark", b""))
