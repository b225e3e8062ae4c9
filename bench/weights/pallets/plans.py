"""Plans: full lists of models and units, money held and earned, versions that go with their last subscriber."""

from __future__ import annotations

from aitoken.pay.units import UNITS
from aitoken.types import AccountId, Hash32, Moment
from bench.weights.world import Run, World, ait, scenario
from chain.pallets.ai.agenda import SLOT_MS, SLOTS_A_LOOK
from chain.pallets.ai.calendar import DAY_MS
from chain.pallets.ai.plans import SWEPT_A_BLOCK
from chain.pallets.ai.plans_types import (
    MODELS_MAX,
    UNITS_MAX,
    Entitlements,
    Mandate,
    Period,
    PeriodUnit,
    PlanTerms,
    Refund,
)

OWNER, PAYER, HOLDER, OTHER = range(4)
PROVIDER, PLAN = 1, 0
DAY = Period(PeriodUnit.Day, 1)
USED = [(unit, 10) for unit in sorted(UNITS)[:UNITS_MAX]]


def _terms() -> PlanTerms:
    models = [Hash32(bytes([index]) * 32) for index in range(MODELS_MAX)]
    included = [(unit, 1000) for unit, _ in USED]
    return PlanTerms(0, ait(1), Entitlements(models, 1, 60, 4, 1), included, 7, Refund.ProRata, transferable=True)


def _mandate(world: World) -> Mandate:
    return Mandate(ait(9), ait(9), Moment(world.time_ms + 365 * DAY_MS), auto_renew=True)


def _plan(world: World) -> AccountId:
    """A provider whose payout is no account yet, with a plan of two versions; returns its owner."""
    owner = world.person(OWNER)
    world.give(owner, ait(20_000))
    world.timestamp.now.put(world.time_ms)
    world.plans.on_initialize(2)
    world.do(owner, "Providers.register", world.person(OTHER), world.stranger(), b"", ait(1_000))
    world.do(owner, "Plans.publish", PROVIDER, None, DAY, _terms())
    return owner


def _subscriptions(world: World, count: int = 1) -> int:
    """Subscriptions of as many payers to the first version, which is not the latest any more; returns the first."""
    owner = _plan(world)
    first: int = world.plans.next_id.get()
    for index in range(count):
        args = (PLAN, 1, _mandate(world), world.person(HOLDER), False)
        world.do(world.person(PAYER + 100 * index), "Plans.subscribe", *args)
    world.do(owner, "Plans.publish", PROVIDER, PLAN, DAY, _terms())
    return first


def _pass_time(world: World, ms: int) -> None:
    world.timestamp.now.put(Moment(world.time_ms + ms))


@scenario("Plans.publish")
def publish(world: World) -> Run:
    """The version before goes."""
    return world.call(_plan(world), "Plans.publish", PROVIDER, PLAN, DAY, _terms())


@scenario("Plans.retire")
def retire(world: World) -> Run:
    return world.call(_plan(world), "Plans.retire", PLAN)


@scenario("Plans.redeem")
def redeem(world: World) -> Run:
    number = _subscriptions(world)
    owner = world.person(OWNER)
    world.do(owner, "Plans.redeem", number, 1, [(unit, 1) for unit, _ in USED], bytes(32))
    return world.call(owner, "Plans.redeem", number, 1, USED, bytes(32))


@scenario("Plans.subscribe")
def subscribe(world: World) -> Run:
    """With the trial, which is remembered."""
    _plan(world)
    args = (PLAN, 1, _mandate(world), world.person(HOLDER), True)
    return world.call(world.person(PAYER), "Plans.subscribe", *args)


@scenario("Plans.renew")
def renew(world: World) -> Run:
    """The last of its version, to another version; the provider's payout becomes an account."""
    number = _subscriptions(world)
    _pass_time(world, DAY_MS)
    return world.call(world.person(OTHER), "Plans.renew", number)


@scenario("Plans.cancel")
def cancel(world: World) -> Run:
    """At once, in the middle of a period."""
    number = _subscriptions(world)
    _pass_time(world, DAY_MS // 2)
    return world.call(world.person(PAYER), "Plans.cancel", number, True)


@scenario("Plans.transfer")
def transfer(world: World) -> Run:
    return world.call(world.person(HOLDER), "Plans.transfer", _subscriptions(world), world.stranger())


@scenario("Plans.settle")
def settle(world: World) -> Run:
    """What is over and the last of a plan that is retired."""
    number = _subscriptions(world)
    world.do(world.person(OWNER), "Plans.retire", PLAN)
    _pass_time(world, DAY_MS)
    return world.call(world.person(OTHER), "Plans.settle", number)


@scenario("Plans.forget_trial")
def forget_trial(world: World) -> Run:
    owner = _plan(world)
    world.do(world.person(PAYER), "Plans.subscribe", PLAN, 1, _mandate(world), None, True)
    world.do(owner, "Plans.retire", PLAN)
    world.do(world.person(PAYER), "Plans.cancel", PLAN + 1, True)
    return world.call(world.person(OTHER), "Plans.forget_trial", PLAN, world.person(PAYER))


@scenario("Plans.on_initialize", units=(0, 1, SWEPT_A_BLOCK))
def on_initialize(world: World, due: int) -> Run:
    """After as many empty slots as one block passes over, renewals by themselves."""
    _subscriptions(world, due)
    ends = world.time_ms + DAY_MS
    _pass_time(world, ends - world.time_ms - SLOTS_A_LOOK * SLOT_MS)
    for _ in range(DAY_MS // SLOT_MS // SLOTS_A_LOOK + 1):
        world.plans.on_initialize(2)
    _pass_time(world, ends - world.time_ms + SLOT_MS)
    return lambda: world.plans.on_initialize(2)
