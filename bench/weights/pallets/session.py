"""Session: keys, and the end of a session that ends an era too."""

from bench.weights.world import Run, World, ait, scenario
from chain.pallets.session import POSSESSION_PREFIX, SessionKeys
from chain.pallets.staking.types import EraRewardPoints, PagedExposureMetadata, ValidatorPrefs

VALIDATORS = (4, 50, 200)


@scenario("Session.set_keys")
def set_keys(world: World) -> Run:
    """Keys take the place of others."""
    for first in (10, 20):
        run = world.call(world.person(0), "Session.set_keys", *_keys_of(world, first))
        if first == 10:
            run()
    return run


@scenario("Session.purge_keys")
def purge_keys(world: World) -> Run:
    world.do(world.person(0), "Session.set_keys", *_keys_of(world, 10))
    return world.call(world.person(0), "Session.purge_keys")


def _keys_of(world: World, first: int) -> tuple[SessionKeys, bytes]:
    pairs = [world.pair(first), world.pair(first + 1)]
    proof = b"".join(pair.sign(POSSESSION_PREFIX + world.person(0)) for pair in pairs)
    return SessionKeys(pairs[0].public, pairs[1].public), proof


@scenario("Session.rotate", units=VALIDATORS)
def rotate(world: World, validators: int) -> Run:
    """The last block of an era: all were absent, all have points and are queued for the next."""
    everybody = [world.person(index) for index in range(validators)]
    queued = [(who, SessionKeys(who, who)) for who in everybody]
    session, staking = world.session, world.staking
    for who, keys in queued:
        session._own(who, keys)
        world.activity.slots.put(len(list(world.activity.slots.original)), (0, 9))
        staking.eras_stakers_overview.put((1, who), PagedExposureMetadata(ait(10), ait(10), 0, 0))
        staking.eras_validator_prefs.put((1, who), ValidatorPrefs(0, blocked=False))
    session.validators.put(everybody)
    session.queued_keys.put(queued)
    index = session.current_index.get()
    staking.current_era.put(1)
    staking.eras_start_session_index.put(1, index + 1)
    staking.eras_reward_points.put(0, EraRewardPoints(20 * validators, dict.fromkeys(everybody, 20)))
    return session._rotate
