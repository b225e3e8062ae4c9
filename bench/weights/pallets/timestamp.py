"""Timestamp."""

from bench.weights.world import Run, World, scenario


@scenario("Timestamp.set")
def set_time(world: World) -> Run:
    return world.call("NOBODY", "Timestamp.set", world.time_ms + 10_000)
