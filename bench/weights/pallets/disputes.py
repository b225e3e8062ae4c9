"""Disputes: as many arbiters as there can be, appeals, panels of nine that all voted, offers that are replaced."""

from __future__ import annotations

from aitoken.pay.seals import commitment
from aitoken.proto.digest import NextEpoch
from aitoken.types import AccountId, Balance, Hash32, Moment
from bench.weights.world import Run, World, ait, scenario
from chain.pallets.ai.agenda import SLOT_MS, SLOTS_A_LOOK
from chain.pallets.ai.arbiters import ARBITERS_MAX, STAKE_MIN
from chain.pallets.ai.calendar import DAY_MS
from chain.pallets.ai.disputes import SWEPT_A_BLOCK
from chain.pallets.ai.disputes_types import RECEIPTS_MAX, Arbiter, OfSubscription
from chain.pallets.ai.plans_types import Entitlements, Mandate, Period, PeriodUnit, PlanTerms, Refund

OWNER, PAYER, OTHER = range(3)
JUDGES = 1000
"""Arbiters are accounts from this number on."""
PROVIDER = 1
ROOT = Hash32(b"e" * 32)
SALT = b"s" * 32
RECEIPTS = [ROOT] * RECEIPTS_MAX
AMOUNT = ait(100)


def _setting(world: World, arbiters: int = ARBITERS_MAX) -> None:
    """A provider that was paid for a period, and arbiters."""
    owner, payer = world.person(OWNER), world.person(PAYER)
    world.give(owner, ait(20_000))
    world.give(payer, ait(20_000))
    world.timestamp.now.put(world.time_ms)
    world.disputes.on_initialize(2)
    world.plans.on_initialize(2)
    world.do(owner, "Providers.register", world.person(OTHER), world.person(OTHER), b"", ait(10_000))
    terms = PlanTerms(0, AMOUNT, Entitlements([], 0, 0, 0, 0), [], 0, Refund.Nothing, transferable=False)
    world.do(owner, "Plans.publish", PROVIDER, None, Period(PeriodUnit.Month, 1), terms)
    stake = Balance(STAKE_MIN)
    for index in range(arbiters):
        who = world.person(JUDGES + index)
        world.give(who, ait(300))
        world.balances.hold(world.disputes.HoldReason.Stake, who, stake)
        world.disputes.arbiters.put(who, Arbiter(stake, 0))
    world.disputes.arbiter_count.put(arbiters)


def _paid(world: World) -> OfSubscription:
    mandate = Mandate(AMOUNT, AMOUNT, Moment(world.time_ms + 300 * DAY_MS), auto_renew=False)
    number: int = world.plans.next_id.get()
    world.do(world.person(PAYER), "Plans.subscribe", 0, 1, mandate, None, False)
    return OfSubscription(number, 1)


def _case(world: World) -> int:
    """A case that was opened."""
    number: int = world.disputes.next_case.get()
    world.do(world.person(PAYER), "Disputes.open", _paid(world), AMOUNT, ROOT, RECEIPTS)
    return number


def _answered(world: World) -> int:
    """A case that waits for its panel, with an offer."""
    number = _case(world)
    world.do(world.person(OWNER), "Disputes.respond", number, ROOT)
    world.do(world.person(OWNER), "Disputes.offer", number, AMOUNT)
    return number


def _later_epoch(world: World) -> None:
    found: NextEpoch = world.consensus.current_epoch.get()
    epoch = NextEpoch(found.epoch + 2, found.authorities, found.seed, found.first_block, found.length)
    world.consensus.current_epoch.put(epoch)


def _drawn(world: World) -> tuple[int, list[AccountId]]:
    number = _answered(world)
    _later_epoch(world)
    world.do(world.person(OTHER), "Disputes.advance", number)
    return number, [seat.arbiter for seat in world.disputes.panels.get(number)]


def _vote(world: World, number: int, seats: list[AccountId], panel: int, but: int = 0) -> None:
    """Let all of a panel vote; the last `but` of them do not reveal."""
    for who in seats:
        world.do(who, "Disputes.commit", number, commitment(number, panel, who, 9_000, SALT))
    for who in seats[: len(seats) - but]:
        world.do(who, "Disputes.reveal", number, 9_000, SALT)


def _ruled(world: World) -> int:
    number, seats = _drawn(world)
    _vote(world, number, seats, 0)
    return number


def _appealed(world: World) -> int:
    """A case whose second panel can be drawn."""
    number = _ruled(world)
    world.do(world.person(OWNER), "Disputes.appeal", number)
    world.do(world.person(OWNER), "Disputes.offer", number, AMOUNT)
    _later_epoch(world)
    return number


def _second(world: World) -> tuple[int, list[AccountId]]:
    number = _appealed(world)
    world.do(world.person(OTHER), "Disputes.advance", number)
    return number, [seat.arbiter for seat in world.disputes.panels.get(number)]


@scenario("Disputes.open")
def open_case(world: World) -> Run:
    _setting(world, 0)
    return world.call(world.person(PAYER), "Disputes.open", _paid(world), AMOUNT, ROOT, RECEIPTS)


@scenario("Disputes.respond")
def respond(world: World) -> Run:
    _setting(world, 0)
    return world.call(world.person(OWNER), "Disputes.respond", _case(world), ROOT)


@scenario("Disputes.offer")
def offer(world: World) -> Run:
    """In place of an earlier one."""
    _setting(world, 0)
    return world.call(world.person(OWNER), "Disputes.offer", _answered(world), Balance(AMOUNT - 1))


@scenario("Disputes.accept")
def accept(world: World) -> Run:
    """With the second panel seated."""
    _setting(world)
    return world.call(world.person(PAYER), "Disputes.accept", _second(world)[0])


@scenario("Disputes.withdraw")
def withdraw(world: World) -> Run:
    _setting(world, 0)
    return world.call(world.person(PAYER), "Disputes.withdraw", _answered(world))


@scenario("Disputes.appeal")
def appeal(world: World) -> Run:
    _setting(world)
    return world.call(world.person(OWNER), "Disputes.appeal", _ruled(world))


@scenario("Disputes.register_arbiter")
def register_arbiter(world: World) -> Run:
    """In place of another."""
    _setting(world)
    return world.call(world.person(OTHER), "Disputes.register_arbiter", Balance(STAKE_MIN + 1))


@scenario("Disputes.retire_arbiter")
def retire_arbiter(world: World) -> Run:
    _setting(world)
    return world.call(world.person(JUDGES), "Disputes.retire_arbiter")


@scenario("Disputes.commit")
def commit(world: World) -> Run:
    """The last of nine."""
    _setting(world)
    number, seats = _second(world)
    for who in seats[:-1]:
        world.do(who, "Disputes.commit", number, commitment(number, 1, who, 9_000, SALT))
    return world.call(seats[-1], "Disputes.commit", number, commitment(number, 1, seats[-1], 9_000, SALT))


@scenario("Disputes.reveal")
def reveal(world: World) -> Run:
    """The last of nine: the votes are counted, bonds shared out and the award paid."""
    _setting(world)
    number, seats = _second(world)
    _vote(world, number, seats, 1, but=1)
    return world.call(seats[-1], "Disputes.reveal", number, 9_000, SALT)


@scenario("Disputes.advance")
def advance(world: World) -> Run:
    """A panel of nine is drawn among all arbiters."""
    _setting(world)
    return world.call(world.person(OTHER), "Disputes.advance", _appealed(world))


@scenario("Disputes.forget")
def forget(world: World) -> Run:
    _setting(world, 0)
    number = _case(world)
    world.do(world.person(PAYER), "Disputes.withdraw", number)
    world.do(world.person(PAYER), "Plans.cancel", world.disputes.cases.get(number).subject.subscription, True)
    return world.call(world.person(OTHER), "Disputes.forget", number)


@scenario("Disputes.on_initialize", units=(0, 1, SWEPT_A_BLOCK))
def on_initialize(world: World, due: int) -> Run:
    """After as many empty slots as one block passes over, second panels are drawn."""
    _setting(world)
    for _ in range(due):
        _appealed(world)
    world.timestamp.now.put(Moment(world.time_ms + SLOTS_A_LOOK * SLOT_MS))
    return lambda: world.disputes.on_initialize(2)
