"""Oracle: a hundred validators report, and the last of them finds a window to be closed."""

from __future__ import annotations

from aitoken.pay.book import Price
from aitoken.types import Hash32
from bench.weights.world import Run, World, scenario
from chain.pallets.ai.oracle import FEEDS_MAX, RING, Feed, Point, Report, Reports
from chain.pallets.historical import Member, ValidatorSet

VALIDATORS = 100
USD = 840
PRICE = 10**12


def _feed(world: World) -> Feed:
    members = [Member(world.person(index), bytes(32), 10) for index in range(VALIDATORS)]
    world.historical.sets.put(Hash32(bytes(32)), ValidatorSet(1, members))
    world.historical.historical_sessions.put(world.session.current_index.get(), (Hash32(bytes(32)), VALIDATORS))
    world.timestamp.now.put(world.time_ms)
    settings = Feed(6_000, 1_000, 40 * world.oracle.window_ms)
    for feed in range(USD, USD + FEEDS_MAX - 1):
        world.do("ROOT", "Oracle.set_feed", feed, settings)
    return settings


@scenario("Oracle.submit")
def submit(world: World) -> Run:
    """The price of the window before is made on the way."""
    _feed(world)
    oracle, window = world.oracle, world.time_ms // world.oracle.window_ms
    reports = [Report(world.person(index), PRICE + index) for index in range(VALIDATORS)]
    oracle.running.put(USD, Reports(window - 1, reports))
    point = Point(window - 2, PRICE, world.time_ms - oracle.window_ms, 10_000, 0)
    oracle.last.put(USD, point)
    oracle.history.put((USD, (window - 1) % RING), point)
    who = world.person(5_000)
    oracle._set_feeder(world.person(VALIDATORS - 1), who)
    return world.call(who, "Oracle.submit", USD, Price(5, 1), world.time_ms)


@scenario("Oracle.set_feed")
def set_feed(world: World) -> Run:
    return world.call("ROOT", "Oracle.set_feed", USD - 1, _feed(world))


@scenario("Oracle.set_feeder")
def set_feeder(world: World) -> Run:
    """It takes the place of another."""
    _feed(world)
    world.oracle._set_feeder(world.person(0), world.person(5_000))
    return world.call(world.person(0), "Oracle.set_feeder", world.person(5_001))
