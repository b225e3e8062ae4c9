"""Rewards: campaigns with as many attesters as there can be, all of whom vote and lose."""

from __future__ import annotations

from aitoken.crypto.blind_rsa import SIZE
from aitoken.pay.seals import juror_seal, seal_of, vote_of
from aitoken.types import AccountId, Balance, Hash32, Moment
from bench.weights.pallets.disputes import JUDGES, _later_epoch
from bench.weights.world import Run, World, ait, scenario
from chain.pallets.ai.arbiters import ARBITERS_MAX, STAKE_MIN
from chain.pallets.ai.attest_types import KEYS_A_PERSON, Accept, Class, IssuerKey
from chain.pallets.ai.disputes_types import Arbiter
from chain.pallets.ai.rewards_court import JURORS
from chain.pallets.ai.rewards_rules import stake_for
from chain.pallets.ai.rewards_storage import JUDGE_MS, UNVEIL_MS
from chain.pallets.ai.rewards_types import ATTESTERS_MAX, Decay, Kind, Persons, Terms
from chain.pallets.staking.eras import REWARDS_POT

OWNER, SPONSOR, PERSON, OTHER = range(4)
FIRST = 100
"""Attesters are accounts from this number on."""
HOUR_MS = 3_600_000
CONTENT, SALT = Hash32(b"c" * 32), b"s" * 32
CAMPAIGN = 0
WORK = 1


def _terms(world: World, vesting: int = 0) -> Terms:
    until = Moment(world.time_ms + 100 * HOUR_MS)
    decay = Decay(10, 100, 100)
    return Terms(
        Kind.Tool, CONTENT, ait(2), decay, 5, 100, ait(1), ATTESTERS_MAX // 2 + 1, HOUR_MS, vesting, until,
        Persons(SALT, KEYS_A_PERSON),
    )  # fmt: skip


def _attesters(world: World) -> list[AccountId]:
    return [world.person(FIRST + index) for index in range(ATTESTERS_MAX)]


def _persons(world: World) -> None:
    """As many issuers as can be vouch for all who work."""
    numbers = list(range(KEYS_A_PERSON))
    for number in numbers:
        issuer = world.person(50 + number)
        world.do(issuer, "Attest.register_issuer", Class.Personhood, ait(200), CONTENT)
        world.do("ROOT", "Attest.judge_issuer", issuer, Class.Personhood, Accept(1), CONTENT)
        world.attest.keys.put(number, IssuerKey(issuer, SALT, bytes(SIZE), Moment(0), Moment(2**60), 1, 1, 1, ait(1)))
    for who in (PERSON, OTHER):
        world.attest.persons.put((SALT, world.person(who)), numbers)


def _wait(world: World, steps: int) -> None:
    world.timestamp.now.put(Moment(world.time_ms + steps * HOUR_MS))


def _staked(world: World) -> None:
    _wait(world, 0)
    for who in (*_attesters(world), world.person(OWNER)):
        world.give(who, ait(100_000))
    for who in _attesters(world):
        world.do(who, "Rewards.stake", stake_for(_terms(world)))


def _campaign(world: World, vesting: int = 0, joined: int = ATTESTERS_MAX) -> None:
    _staked(world)
    world.do(world.person(OWNER), "Rewards.create", _terms(world, vesting), _attesters(world), ait(1_000))
    world.do(world.person(SPONSOR), "Rewards.fund", CAMPAIGN, ait(10))
    _persons(world)
    for who in _attesters(world)[:joined]:
        world.do(who, "Rewards.join", CAMPAIGN)


def _work(world: World, phase: int, *, vesting: int = 0, votes: int = ATTESTERS_MAX, revealed: int = 8) -> None:
    """Work that has come to a phase, with so many votes."""
    _campaign(world, vesting)
    person = world.person(PERSON)
    world.do(person, "Rewards.submit", CAMPAIGN, seal_of(CAMPAIGN, person, CONTENT, SALT))
    if phase == 0:
        return
    world.do(person, "Rewards.disclose", WORK, CONTENT, SALT)
    _wait(world, 1)
    for who in _attesters(world)[:votes]:
        world.do(who, "Rewards.vote", WORK, vote_of(WORK, who, SALT, accepts=True))
    if phase == 1:
        return
    _wait(world, 2)
    for who in _attesters(world)[:revealed]:
        world.do(who, "Rewards.reveal", WORK, True, SALT)
    _wait(world, phase)


@scenario("Rewards.stake")
def stake(world: World) -> Run:
    _staked(world)
    return world.call(world.person(FIRST), "Rewards.stake", ait(1))


@scenario("Rewards.retire")
def retire(world: World) -> Run:
    _staked(world)
    return world.call(world.person(FIRST), "Rewards.retire")


@scenario("Rewards.create")
def create(world: World) -> Run:
    _staked(world)
    return world.call(world.person(OWNER), "Rewards.create", _terms(world), _attesters(world), ait(1_000))


@scenario("Rewards.fund")
def fund(world: World) -> Run:
    _campaign(world)
    return world.call(world.person(OTHER), "Rewards.fund", CAMPAIGN, ait(1))


@scenario("Rewards.join")
def join(world: World) -> Run:
    _campaign(world, joined=ATTESTERS_MAX - 1)
    return world.call(_attesters(world)[-1], "Rewards.join", CAMPAIGN)


@scenario("Rewards.end")
def end(world: World) -> Run:
    _campaign(world)
    return world.call(world.person(OWNER), "Rewards.end", CAMPAIGN)


@scenario("Rewards.withdraw")
def withdraw(world: World) -> Run:
    """The first part: the attesters are free with it."""
    _campaign(world)
    world.do(world.person(OWNER), "Rewards.end", CAMPAIGN)
    return world.call(world.person(OTHER), "Rewards.withdraw", CAMPAIGN, world.person(SPONSOR))


@scenario("Rewards.submit")
def submit(world: World) -> Run:
    _campaign(world)
    return world.call(world.person(PERSON), "Rewards.submit", CAMPAIGN, CONTENT)


@scenario("Rewards.disclose")
def disclose(world: World) -> Run:
    """It displaces work that was sealed later."""
    _work(world, 0)
    other = world.person(OTHER)
    world.do(other, "Rewards.submit", CAMPAIGN, seal_of(CAMPAIGN, other, CONTENT, SALT))
    world.do(other, "Rewards.disclose", WORK + 1, CONTENT, SALT)
    return world.call(world.person(PERSON), "Rewards.disclose", WORK, CONTENT, SALT)


@scenario("Rewards.vote")
def vote(world: World) -> Run:
    _work(world, 1, votes=ATTESTERS_MAX - 1)
    return world.call(_attesters(world)[-1], "Rewards.vote", WORK, CONTENT)


@scenario("Rewards.reveal")
def reveal(world: World) -> Run:
    _work(world, 2, revealed=ATTESTERS_MAX - 1)
    return world.call(_attesters(world)[-1], "Rewards.reveal", WORK, True, SALT)


def _challenged(world: World, arbiters: int) -> None:
    """Work that somebody has challenged, and whose panel may be drawn."""
    for index in range(arbiters):
        who, stake = world.person(JUDGES + index), Balance(STAKE_MIN)
        world.balances.hold(world.disputes.HoldReason.Stake, who, stake)
        world.disputes.arbiters.put(who, Arbiter(stake, 0))
    world.disputes.arbiter_count.put(arbiters)
    _work(world, 3)
    world.do(world.person(SPONSOR), "Rewards.challenge", WORK, CONTENT)
    _later_epoch(world)


def _panel(world: World) -> list[AccountId]:
    """The panel on it, in the order of its seats."""
    _challenged(world, JURORS)
    world.do(world.person(OTHER), "Rewards.seat", WORK)
    return [seat.arbiter for seat in world.rewards.panels.get(WORK)]


def _said(world: World, *, fraud: bool, silent: int = 0) -> list[AccountId]:
    """A panel that has said what it thinks, but for some; its time is over if all have."""
    panel, start = _panel(world), world.timestamp.now.get()
    for who in panel:
        world.do(who, "Rewards.judge", WORK, juror_seal(WORK, who, SALT, fraud=fraud))
    world.timestamp.now.put(Moment(start + JUDGE_MS))
    for who in panel[silent:]:
        world.do(who, "Rewards.unveil", WORK, fraud, SALT)
    if not silent:
        world.timestamp.now.put(Moment(start + JUDGE_MS + UNVEIL_MS))
    return panel


@scenario("Rewards.settle", units=(0, 1))
def settle(world: World, challenged: int) -> Run:
    """The reward is paid at once, and if there was a challenge, a panel said that it was not right."""
    if challenged:
        _said(world, fraud=False)
    else:
        _work(world, 4)
    return world.call(world.person(OTHER), "Rewards.settle", WORK)


@scenario("Rewards.seat")
def seat(world: World) -> Run:
    _challenged(world, ARBITERS_MAX)
    return world.call(world.person(OTHER), "Rewards.seat", WORK)


@scenario("Rewards.judge")
def judge(world: World) -> Run:
    return world.call(_panel(world)[-1], "Rewards.judge", WORK, CONTENT)


@scenario("Rewards.unveil")
def unveil(world: World) -> Run:
    return world.call(_said(world, fraud=True, silent=1)[0], "Rewards.unveil", WORK, True, SALT)


@scenario("Rewards.challenge")
def challenge(world: World) -> Run:
    _work(world, 3)
    return world.call(world.person(SPONSOR), "Rewards.challenge", WORK, CONTENT)


@scenario("Rewards.rule")
def rule(world: World) -> Run:
    """All attesters lose their stakes, and the whole panel shares the bounties."""
    _said(world, fraud=True)
    return world.call(world.person(OTHER), "Rewards.rule", WORK, True)


@scenario("Rewards.forget")
def forget(world: World) -> Run:
    _work(world, 4)
    world.do(world.person(OTHER), "Rewards.settle", WORK)
    world.do(world.person(OWNER), "Rewards.end", CAMPAIGN)
    for who in (OWNER, SPONSOR):
        world.do(world.person(OTHER), "Rewards.withdraw", CAMPAIGN, world.person(who))
    return world.call(world.person(OTHER), "Rewards.forget", WORK)


@scenario("Rewards.refer")
def refer(world: World) -> Run:
    return world.call(world.person(PERSON), "Rewards.refer", world.person(OTHER))


@scenario("Rewards.share")
def share(world: World) -> Run:
    """Both get something."""
    world.give(REWARDS_POT, ait(10))
    world.do(world.person(PERSON), "Rewards.refer", world.person(OTHER))
    world.rewards.note_burned(world.person(PERSON), ait(1))
    return world.call(world.person(SPONSOR), "Rewards.share", world.person(PERSON))


@scenario("Rewards.leave")
def leave(world: World) -> Run:
    world.do(world.person(PERSON), "Rewards.refer", world.person(OTHER))
    world.timestamp.now.put(Moment(world.timestamp.now.get() + world.rewards.term))
    return world.call(world.person(PERSON), "Rewards.leave")


@scenario("Rewards.grant")
def grant(world: World) -> Run:
    _campaign(world)
    world.give(REWARDS_POT, ait(100))
    return world.call("ROOT", "Rewards.grant", CAMPAIGN, ait(1))
