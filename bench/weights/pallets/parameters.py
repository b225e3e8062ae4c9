"""Parameters."""

from bench.weights.world import Run, World, scenario
from chain.pallets.ai.sessions import Sessions


@scenario("Parameters.set_parameter")
def set_parameter(world: World) -> Run:
    key = (Sessions.index, 0)
    world.do("ROOT", "Parameters.set_parameter", (*key, 2_000))
    return world.call("ROOT", "Parameters.set_parameter", (*key, 2_500))
