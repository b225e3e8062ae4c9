"""The farmers: each strategy plays on a farm, returns the profit it expects, and says what would have to be loosened.

After the list of the payments paper (A15), for what there is on this chain.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any
from unittest.mock import patch

from aitoken.pay import codes
from aitoken.types import AIT, AccountId, Balance, Moment
from chain.pallets.ai import rewards, rewards_court, rewards_rules
from chain.pallets.ai.codes_types import Tokens
from chain.pallets.ai.rewards_storage import RULING_MS
from chain.pallets.ai.rewards_types import Decay, Part
from chain.params import DAY_MS
from tests.support.staking_chain import account, pair
from tests.zoo.farm import CROWD, FOUND, HONEST, HOUR, WRONG, Campaign, Farm, Timeline, binomial, text

Loose = Callable[[Farm], AbstractContextManager[Any]]
ATTESTERS = tuple(who for who in HONEST if who.startswith("h"))


@dataclass(frozen=True)
class Strategy:
    """How somebody farms; `loosened` says what of the chain is loosened where that pays."""

    name: str
    play: Callable[[Farm], Fraction]
    loosen: Loose
    loosened: str


STRATEGIES: list[Strategy] = []


def strategy(loosen: Loose, loosened: str) -> Callable[[Callable[[Farm], Any]], Callable[[Farm], Any]]:
    def register(play: Callable[[Farm], Any]) -> Callable[[Farm], Any]:
        name = play.__name__.replace("_", " ")
        STRATEGIES.append(Strategy(name, lambda farm: Fraction(play(farm)), loosen, loosened))
        return play

    return register


# ------------------------------------------------------------------------------------------------- what is loosened


def shared_twice(farm: Farm) -> AbstractContextManager[Any]:
    """Shares of 200 % each: no call can set that."""
    for index in (0, 1):
        farm.chain.parameters.parameters.put((48, index), (48, index, 200))
    return nullcontext()


def frauds_taken_for_found(_: Farm) -> AbstractContextManager[Any]:
    return patch.object(rewards_rules, "AUDIT_PERCENT", 100)


def nothing_at_risk(_: Farm) -> AbstractContextManager[Any]:
    return patch.object(rewards_rules, "ERROR_PERCENT", 0)


def careless_attesters(farm: Farm) -> AbstractContextManager[Any]:
    farm.errs = Fraction(1, 2)
    return nullcontext()


def unbound(farm: Farm) -> AbstractContextManager[Any]:
    farm.loose.add("bound")
    return nullcontext()


def large_bounty(_: Farm) -> AbstractContextManager[Any]:
    return patch.object(rewards_court, "bounty_of", lambda stake: Balance(stake * 99 // 100))


class Forgetful:
    """Storage that knows nothing."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def get(self, _: Any) -> None:
        return None


def cheap_challenges(_: Farm) -> AbstractContextManager[Any]:
    return patch.object(rewards, "bond_for", lambda _: Balance(AIT // 1000))


def no_memory_of_works(farm: Farm) -> AbstractContextManager[Any]:
    return patch.object(farm.chain.rewards, "works", Forgetful(farm.chain.rewards.works))


def by_parts(farm: Farm) -> AbstractContextManager[Any]:
    """What is left goes back in proportion to what was put in, as it was once."""

    def left_of(parts: list[Part], paid: Balance) -> Balance:
        (total,) = (each.shares + farm_settled[0] for _, each in farm.chain.rewards.campaigns.items())
        mine = sum(part.amount for part in parts)
        farm_settled[0] += mine
        return Balance(mine * (total - paid) // total)

    farm_settled = [0]
    return patch.object(rewards, "left_of", left_of)


def short_codes(farm: Farm) -> AbstractContextManager[Any]:
    farm.loose.add("codes")
    return nullcontext()


# ------------------------------------------------------------------------------------------------- burned fees


@strategy(shared_twice, "shares of 200 % of what was burned")
def sybil_referral_ring(farm: Farm) -> int:
    """Accounts refer each other in a ring, buy from their own provider in their own validator's blocks, and share."""
    ring = CROWD[: farm.random.randrange(2, 6)]
    amounts = [farm.random.randrange(AIT, 500 * AIT) for _ in ring]

    def play() -> None:
        for at, who in enumerate(ring):
            farm.do(who, "Rewards.refer", account(ring[at - 1]))
        for at, who in enumerate(ring):
            farm.buy(who, amounts[at], at)
            farm.do(ring[0], "Rewards.share", account(who))

    return farm.gain(play)


@strategy(shared_twice, "shares of 200 % of what was burned")
def wash_sales(farm: Farm) -> int:
    """One buys from itself as much as it can."""
    amounts = [farm.random.randrange(AIT, 20_000 * AIT) for _ in range(farm.random.randrange(1, 4))]

    def play() -> None:
        farm.do("c0", "Rewards.refer", account("owner"))
        for salt, amount in enumerate(amounts):
            farm.buy("c0", amount, salt)
        farm.do("c0", "Rewards.share", account("c0"))

    return farm.gain(play)


@strategy(shared_twice, "shares of 200 % of what was burned")
def rebate_loop(farm: Farm) -> int:
    """What comes back is spent again, round by round."""
    rounds, amount = farm.random.randrange(2, 6), farm.random.randrange(AIT, 1_000 * AIT)

    def play() -> None:
        farm.do("c0", "Rewards.refer", None)
        spent = amount
        for salt in range(rounds):
            before = farm.chain.free("c0")
            farm.buy("c0", spent, salt)
            farm.do("c1", "Rewards.share", account("c0"))
            spent += max(0, farm.chain.free("c0") - before + spent)

    return farm.gain(play)


# ------------------------------------------------------------------------------------------------- attesters


def _terms(farm: Farm) -> dict[str, Any]:
    choose = farm.random
    return {
        "reward": Balance(choose.randrange(AIT // 2, 5 * AIT)), "per_day": choose.randrange(1, 4),
        "step_ms": choose.choice((60_000, HOUR, 5 * HOUR, DAY_MS, 2 * DAY_MS)),
        "vesting_ms": choose.choice((0, 0, 7 * DAY_MS)),
    }  # fmt: skip


def _owned(farm: Farm) -> tuple[list[str], int]:
    """Attesters of whom a threshold belongs to the farmers."""
    threshold = farm.random.randrange(1, 4)
    honest = farm.random.randrange(threshold)
    return [*CROWD[:threshold], *ATTESTERS[:honest]], threshold


def _fraud(farm: Farm, campaigns: list[Campaign], days: int, found: int | None, wait: int) -> None:
    """Take all that can be taken in so many days; the fraud of one is challenged, by a friend, and ruled on later."""
    line, first = Timeline(farm), farm.now

    def day(each: Campaign, today: int) -> None:
        for index in range(each.terms.per_day):
            begin(each, today, f"{today} {index}", challenged=today == found and not index)

    def begin(each: Campaign, today: int, content: str, *, challenged: bool) -> None:
        number = each.submit(CROWD[-1 - today % 4], content)
        if number is None:
            return
        each.disclose(CROWD[-1 - today % 4], number, content)
        since, step = farm.now, each.terms.step_ms
        verdicts = each.verdicts(each.terms.threshold)
        line.add(since + step, lambda: each.vote(number, verdicts))
        line.add(since + 2 * step, lambda: each.reveal(number, verdicts))
        if challenged:
            line.add(since + 3 * step, lambda: farm.tries("friend", "Rewards.challenge", number, text("why")))
            line.add(since + 3 * step + wait, lambda: farm.tries("ROOT", "Rewards.rule", number, True))
        line.add(since + 4 * step, lambda: farm.tries("friend", "Rewards.settle", number))
        line.add(since + 4 * step + each.terms.vesting_ms, lambda: farm.tries("friend", "Rewards.settle", number))

    for each in campaigns:
        for today in range(days):
            line.add(first + today * DAY_MS, partial(day, each, today))
    line.run()


def _expected(farm: Farm, play: Callable[[int | None], object], days: int) -> Fraction:
    """The profit of a fraud that is found on the first, second, ... day or never."""
    total, left = Fraction(0), Fraction(1)
    for today in range(days):
        total += left * FOUND * farm.gain(partial(play, today))
        left *= 1 - FOUND
    return total + left * farm.gain(partial(play, None))


@strategy(frauds_taken_for_found, "every fraud taken for found")
def attester_capture(farm: Farm) -> Fraction:
    """A threshold of the attesters accepts whatever its friends submit, day by day, until it is found out."""
    attesters, threshold = _owned(farm)
    campaign = Campaign(farm, attesters, threshold=threshold, **_terms(farm))
    days, wait = farm.random.randrange(1, 8), farm.random.randrange(RULING_MS)
    return _expected(farm, lambda found: _fraud(farm, [campaign], days, found, wait), days)


@strategy(unbound, "stakes not bound to campaigns")
def one_stake_for_many_campaigns(farm: Farm) -> Fraction:
    """The same attesters stand for several campaigns with what one of them needs."""
    attesters, threshold = _owned(farm)
    terms, campaigns = _terms(farm), []
    for index in range(farm.random.randrange(4, 6)):
        made = Campaign(farm, attesters, threshold=threshold, stake=not index, **terms)
        campaigns += [made] if made.exists else []
    wait = farm.random.randrange(RULING_MS)
    return _expected(farm, lambda found: _fraud(farm, campaigns, 5, found, wait), 5)


@strategy(unbound, "stakes not bound to campaigns")
def attesters_that_flee(farm: Farm) -> Fraction:
    """As one day's fraud is challenged, its attesters take their stakes and go."""
    attesters, threshold = _owned(farm)
    campaign = Campaign(farm, attesters, threshold=threshold, **_terms(farm))
    since = farm.now

    def play(found: int | None) -> None:
        number = campaign.submit("c9", "work")
        assert number is not None
        campaign.disclose("c9", number, "work")
        campaign.judged(number, campaign.verdicts(threshold), since)
        if found is not None:
            farm.do("friend", "Rewards.challenge", number, text("why"))
            for who in attesters[:threshold]:
                farm.tries(who, "Rewards.retire")
            farm.tries("ROOT", "Rewards.rule", number, True)
        campaign.settle(number, since)

    return _expected(farm, play, 1)


@strategy(large_bounty, "a bounty of 99 % of what is slashed")
def friends_that_challenge(farm: Farm) -> Fraction:
    """One's own fraud is challenged by oneself, always, for the bounty; what others submit meanwhile is paid."""
    attesters, threshold = _owned(farm)
    campaign = Campaign(farm, attesters, threshold=threshold, **_terms(farm) | {"per_day": 3})
    days, wait = farm.random.randrange(4, 9), farm.random.randrange(RULING_MS // 2, RULING_MS)
    return Fraction(farm.gain(lambda: _fraud(farm, [campaign], days, 0, wait)))


@strategy(cheap_challenges, "challenges for a thousandth of an AIT")
def challenges_of_good_work(farm: Farm) -> Fraction:
    """Every good work is challenged, in the hope that a ruling is wrong; the bounty is the attesters' money."""
    threshold = farm.random.randrange(1, 4)
    campaign = Campaign(farm, ATTESTERS[:threshold], threshold=threshold, **_terms(farm) | {"per_day": 8})
    since = farm.now

    def play(*, wrong: bool) -> None:
        number = campaign.submit("worker", "good")
        assert number is not None
        campaign.disclose("worker", number, "good")
        campaign.judged(number, campaign.verdicts(threshold), since)
        farm.do("friend", "Rewards.challenge", number, text("why"))
        farm.tries("ROOT", "Rewards.rule", number, wrong)

    return WRONG * farm.gain(partial(play, wrong=True)) + (1 - WRONG) * farm.gain(partial(play, wrong=False))


@strategy(frauds_taken_for_found, "every fraud taken for found")
def review_ring(farm: Farm) -> Fraction:
    """Reviews of one's own provider, and one attester less than the threshold: an honest one has to err."""
    threshold = farm.random.randrange(2, 4)
    honest = farm.random.randrange(1, threshold + 1)
    attesters = [*CROWD[: threshold - 1], *ATTESTERS[:honest]]
    campaign = Campaign(farm, attesters, threshold=threshold, **_terms(farm))
    works, since = campaign.terms.per_day, farm.now
    accepts = 1 - farm.errors(honest)[0]

    def play(accepted: int, *, found: bool) -> None:
        numbers = []
        for index in range(works):
            number = campaign.submit("c9", f"review {index}")
            assert number is not None
            campaign.disclose("c9", number, f"review {index}")
            numbers.append(number)
        verdicts = [campaign.verdicts(threshold - (index >= accepted)) for index in range(works)]
        step = campaign.terms.step_ms
        for act, moment in ((campaign.vote, since + step), (campaign.reveal, since + 2 * step)):
            farm.at(moment)
            for number, verdict in zip(numbers, verdicts, strict=True):
                act(number, verdict)
        farm.at(since + 3 * step)
        if found:
            farm.do("friend", "Rewards.challenge", numbers[0], text("why"))
            farm.do("ROOT", "Rewards.rule", numbers[0], True)
        for number in numbers:
            campaign.settle(number, since)

    total = Fraction(0)
    for accepted in range(works + 1):
        chance = binomial(works, accepted, accepts)
        for found in (False, True) if accepted else (False,):
            part = (FOUND if found else 1 - FOUND) if accepted else Fraction(1)
            total += chance * part * farm.gain(partial(play, accepted, found=found))
    return total


# ------------------------------------------------------------------------------------------------- works


def _junk(farm: Farm, campaign: Campaign, authors: list[str]) -> Fraction:
    """Submit bad work, judged by honest attesters who err now and then."""
    total, threshold, honest = Fraction(0), campaign.terms.threshold, len(campaign.attesters)

    def play(who: str, content: str, accepting: int) -> None:
        since = farm.now
        number = campaign.submit(who, content)
        if number is None:
            return
        campaign.disclose(who, number, content)
        campaign.judged(number, campaign.verdicts(accepting), since)
        campaign.settle(number, since)

    for index, who in enumerate(authors):
        lapse = honest - threshold + 1
        ways = {threshold: Fraction(0), 0: Fraction(0), lapse: Fraction(0)}
        for accepting, chance in enumerate(farm.errors(honest)):
            rejected = honest - accepting >= threshold
            ways[threshold if accepting >= threshold else 0 if rejected else lapse] += chance
        for accepting, chance in ways.items():
            if chance:
                total += chance * farm.gain(partial(play, who, f"junk {index}", accepting))
        play(who, f"junk {index}", 0)
    return total


@strategy(nothing_at_risk, "works that risk nothing")
def fake_bug_reports(farm: Farm) -> Fraction:
    """Reports of bugs that are none, as many as go."""
    threshold = farm.random.randrange(1, 4)
    attesters = ATTESTERS[: farm.random.randrange(threshold, 2 * threshold)]
    campaign = Campaign(farm, attesters, threshold=threshold, **_terms(farm) | {"per_day": 3})
    return _junk(farm, campaign, ["c0", "c0", "c1"])


@strategy(careless_attesters, "attesters that accept every second bad work")
def early_adopter_sybils(farm: Farm) -> Fraction:
    """Who comes first gets more, once a person: many persons come at once, with nothing."""
    threshold = farm.random.randrange(1, 3)
    attesters = ATTESTERS[: 2 * threshold - 1]
    decay = Decay(farm.random.randrange(1, 4), 2_000, 1_000)
    campaign = Campaign(
        farm, attesters, threshold=threshold, per_person=1, **_terms(farm) | {"per_day": 8}, decay=decay
    )
    return _junk(farm, campaign, list(CROWD[:8]))


@strategy(no_memory_of_works, "no memory of what was disclosed")
def data_registered_again(farm: Farm) -> int:
    """Work that somebody else did is submitted again: its seal, its content, at once and on the next day."""
    threshold = farm.random.randrange(1, 4)
    campaign = Campaign(farm, ATTESTERS[:threshold], threshold=threshold, **_terms(farm) | {"per_day": 8})
    copies = farm.random.randrange(1, 5)

    def play() -> None:
        since = farm.now
        good = campaign.submit("worker", "good")
        assert good is not None
        seal = farm.chain.rewards.submissions.get(good).seal
        numbers = {who: campaign.submit(who, "good", seal if at % 2 else None) for at, who in enumerate(CROWD[:copies])}
        campaign.disclose("worker", good, "good")
        taken = [(who, number) for who, number in numbers.items() if number is not None]
        for who, number in taken:
            campaign.disclose(who, number, "good")
        farm.at(since + campaign.terms.step_ms)
        for _, number in taken:
            campaign.vote(number, campaign.verdicts(threshold))  # it is good
        farm.at(since + 2 * campaign.terms.step_ms)
        for _, number in taken:
            campaign.reveal(number, campaign.verdicts(threshold))
        for _, number in taken:
            campaign.settle(number, since)

    return farm.gain(play)


# ------------------------------------------------------------------------------------------------- money of others


@strategy(by_parts, "leftovers that go back by parts")
def friends_paid_before_sponsors_come(farm: Farm) -> int:
    """An owner pays its friends out of its own money, waits for a sponsor, ends, and takes its part."""
    terms = _terms(farm) | {"per_day": farm.random.randrange(1, 4), "vesting_ms": 0}
    budget = terms["reward"] * terms["per_day"] + AIT
    campaign = Campaign(farm, ["c0"], owner="c1", budget=budget, threshold=1, **terms)
    others = farm.random.randrange(AIT, 1_000 * AIT)
    early = farm.random.random() < 0.5

    def play() -> None:
        since, step = farm.now, campaign.terms.step_ms
        numbers = [campaign.submit("c2", f"{index}") for index in range(campaign.terms.per_day)]
        if early:
            farm.do("sponsor", "Rewards.fund", campaign.number, others)
        for index, number in enumerate(numbers):
            assert number is not None
            campaign.disclose("c2", number, f"{index}")
        for act, moment in ((campaign.vote, since + step), (campaign.reveal, since + 2 * step)):
            farm.at(moment)
            for number in numbers:
                act(number, campaign.verdicts(1))  # type: ignore[arg-type]  # none is None, see above
        for number in numbers:
            campaign.settle(number, since)  # type: ignore[arg-type]  # none is None, see above
        if not early:
            farm.do("sponsor", "Rewards.fund", campaign.number, others)
        campaign.close()

    return farm.gain(play)


@strategy(short_codes, "codes of four bits")
def coupon_bots(farm: Farm) -> int:
    """Bots copy claims from the pool, claim again, for others, by other numbers, and guess codes."""
    space = 16 if "codes" in farm.loose else 2**80
    secrets = [farm.random.randrange(space) for _ in range(4)]
    keys = [pair(f"printed {secret}") for secret in secrets]
    public = [key.public for key in keys]
    proofs, expires = codes.proofs_of(public), Moment(farm.now + DAY_MS)
    number = int(farm.chain.codes.next_batch.get())
    farm.do("sponsor", "Codes.create", codes.root_of(public), 4, AIT, expires, 0, Tokens())

    def claim(index: int, who: str, named: str, key: Any) -> bool:
        message = codes.claim_bytes(farm.chain.genesis_hash, number, index, AccountId(account(named)))
        signature = key.sign(message)
        call = number, index, key.public, proofs[index % 4], account(who), 0, signature
        return farm.tries(who, "Codes.claim", *call)

    def play() -> None:
        for index, bot in enumerate(CROWD[:4]):
            claim(index, bot, "worker", keys[index])  # copied from the pool
            guess = pair(f"printed {farm.random.randrange(16)}")
            claim(index, bot, bot, guess)
            claim((index + 1) % 4, bot, bot, guess)
        claim(0, "worker", "worker", keys[0])
        claim(0, "c5", "worker", keys[0])
        claim(0, "c5", "c5", pair("c5"))

    return farm.gain(play)
