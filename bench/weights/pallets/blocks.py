"""What is done at the start of every block: Activity, Authorship, Babe."""

from aitoken.proto.digest import Digest, NextEpoch, SmpxDigest, leading_items_of
from aitoken.proto.randomness import UNPROVEN
from bench.weights.world import Run, World, scenario
from chain.pallets.activity import GAP_MAX
from chain.pallets.staking.types import EraRewardPoints

VALIDATORS = (1, 100, 400)


ABSENT = (0, 10, 64)


@scenario("Activity.on_initialize", units=ABSENT)
def activity(world: World, absent: int) -> Run:
    """So many validators missed views, as many views as count at all for the most of them."""
    missed = GAP_MAX * absent // ABSENT[-1]
    authorities = [(world.person(index), 1) for index in range(absent)]
    world.consensus.current_epoch.put(NextEpoch(0, authorities, bytes(32), 0, 30))
    digest = SmpxDigest(1, 0, missed + 2, 1, 0, world.time_ms + 250, *UNPROVEN)
    world.system.initialize(2, world.header.hash, Digest(leading_items_of(digest)))
    return lambda: world.activity.on_initialize(2)


@scenario("Authorship.on_initialize", units=VALIDATORS)
def authorship(world: World, validators: int) -> Run:
    """An author among so many that have points."""
    everybody = [world.person(index) for index in range(validators)]
    world.session.validators.put(everybody)
    points = EraRewardPoints(20 * validators, dict.fromkeys(everybody, 20))
    world.staking.eras_reward_points.put(0, points)
    return lambda: world.authorship.on_initialize(2)


@scenario("Babe.on_initialize")
def babe(world: World) -> Run:
    return lambda: world.babe.on_initialize(2)
