"""Rewards: honest work is paid once and in time, nothing is promised that is not there, and farming does not pay."""

from __future__ import annotations

from random import Random
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.codec.hints import MaxLen, codec_of
from aitoken.pay.seals import seal_of, vote_of
from aitoken.types import AIT, Balance, Hash32
from chain.frame.errors import DispatchError, FundsUnavailable
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.rewards import SUBMISSION_BYTES, Rewards
from chain.pallets.ai.rewards_rules import reward_after, stake_for, work_stake_for
from chain.pallets.ai.rewards_storage import (
    AUDIT_PERCENT,
    BOND,
    BOUNTY_PERCENT,
    ERROR_PERCENT,
    RULING_MS,
    WRONG_PERCENT,
)
from chain.pallets.ai.rewards_types import BPS, PARTS_MAX, Decay, Kind, Over, Persons, Shortfall, Terms
from tests.support.earn_chain import EarnChain
from tests.support.spending_chain import DAY, HOUR, START_MS, account, ait

Error = Rewards.Error
SALT = b"s" * 32
TASK = Hash32(b"T" * 32)
ATTESTERS = ("owner", "operator", "payout")
NO_DECAY = Decay(0, 0, 0)
SPENT = deposit(SUBMISSION_BYTES)


def terms(**changes: Any) -> Terms:
    fields: dict[str, Any] = {
        "kind": Kind.BugReport, "task_hash": TASK, "reward": ait(2), "decay": NO_DECAY, "per_person": 2, "per_day": 4,
        "stake": ait(1), "threshold": 2, "step_ms": HOUR, "vesting_ms": 0, "until": START_MS + 30 * DAY,
        "persons": None,
    }  # fmt: skip
    return Terms(**(fields | changes))


def names(*who: str) -> list[Any]:
    return [account(name) for name in who]


class Work:
    """A campaign of Alice's on a chain, and how people take part in it."""

    def __init__(self, chain: EarnChain | None = None, budget: int = ait(20), stake: int = 0, **changes: Any) -> None:
        self.chain = chain or EarnChain()
        self.terms = terms(**changes)
        for who in ATTESTERS:
            self.chain.run(who, "Rewards.stake", stake or stake_for(self.terms))
        told = self.chain.run("alice", "Rewards.create", self.terms, names(*ATTESTERS), budget)
        self.number = next(each.campaign for each in told if type(each).__name__ == "CampaignCreated")
        for who in ATTESTERS:
            self.chain.run(who, "Rewards.join", self.number)

    def content(self, text: str) -> Hash32:
        return Hash32(text.encode().ljust(32, b"."))

    def submit(self, who: str, text: str = "work") -> int:
        seal = seal_of(self.number, account(who), self.content(text), SALT)
        number: int = self.chain.run(who, "Rewards.submit", self.number, seal)[-1].submission
        return number

    def disclose(self, who: str, number: int, text: str = "work") -> None:
        self.chain.run(who, "Rewards.disclose", number, self.content(text), SALT)

    def judge(self, number: int, *verdicts: bool) -> None:
        """Let attesters vote and reveal; time passes to the fourth step."""
        self.step()
        for who, accepts in zip(ATTESTERS, verdicts, strict=False):
            self.chain.run(who, "Rewards.vote", number, vote_of(number, account(who), SALT, accepts=accepts))
        self.step()
        for who, accepts in zip(ATTESTERS, verdicts, strict=False):
            self.chain.run(who, "Rewards.reveal", number, accepts, SALT)
        self.step()

    def step(self) -> None:
        self.chain.set_time(self.chain.now + self.terms.step_ms)

    def done(self, who: str = "bob", *verdicts: bool) -> int:
        """Work that has been judged and not settled."""
        number = self.submit(who)
        self.disclose(who, number)
        self.judge(number, *(verdicts or (True, True)))
        return number

    def settle(self, number: int) -> list[Any]:
        self.chain.run("eve", "Rewards.settle", number)
        self.chain.check()
        return self.chain.events()

    def refused(self, error: type[DispatchError], who: str, name: str, *args: Any) -> None:
        with pytest.raises(error):
            self.chain.run(who, f"Rewards.{name}", *args)
        self.chain.check()


# ------------------------------------------------------------------------------------------------- honest work


def test_work_that_attesters_accept_is_paid_once_and_its_stake_goes_back() -> None:
    work = Work()
    number = work.done()
    work.refused(Error.NothingDue, "eve", "settle", number)  # it can still be challenged
    work.step()

    work.settle(number)

    assert work.chain.free("bob") == ait(1002) - SPENT
    assert work.chain.rewards.submissions.get(number).stage == Over(ait(2))
    assert work.chain.rewards.campaigns.get(work.number).left == ait(18)
    work.refused(Error.NothingDue, "eve", "settle", number)


@pytest.mark.parametrize(("verdicts", "lost"), [((False, False), ait(1)), ((True, False), 0), ((True,), 0), ((), 0)])
def test_work_that_is_not_accepted_is_not_paid_and_only_rejected_work_costs(verdicts: Any, lost: int) -> None:
    work = Work()
    number = work.submit("bob")
    work.disclose("bob", number)
    work.judge(number, *verdicts)
    work.step()

    work.settle(number)

    assert work.chain.free("bob") == ait(1000) - SPENT - lost
    campaign = work.chain.rewards.campaigns.get(work.number)
    assert (campaign.left, campaign.promised, campaign.pending) == (ait(20), 0, 0)


def test_a_reward_vests_and_what_is_paid_is_paid() -> None:
    work = Work(vesting_ms=10 * DAY)
    number = work.done()
    work.step()
    work.settle(number)
    accepted = work.chain.now
    assert work.chain.free("bob") == ait(1000) - SPENT
    for days, paid in ((1, 2 * AIT // 10), (4, 8 * AIT // 10), (10, ait(2))):
        work.chain.set_time(accepted + days * DAY)
        work.settle(number)
        assert work.chain.free("bob") == ait(1000) + paid - SPENT
    work.refused(Error.NothingDue, "eve", "settle", number)


def test_who_comes_first_gets_more() -> None:
    decay = terms(decay=Decay(every=2, fall=3000, least=1500))

    assert [reward_after(decay, count) * 10 // AIT for count in range(10)] == [20, 20, 14, 14, 8, 8, 3, 3, 3, 3]
    work = Work(decay=Decay(1, 5000, 2500), per_person=4)
    rewards = [work.chain.rewards.submissions.get(work.submit("bob", str(each))).reward for each in range(3)]
    assert rewards == [ait(2), ait(1), AIT // 2]


def test_sponsors_get_back_what_nobody_earned_and_what_came_first_is_paid_out_first() -> None:
    work = Work(budget=ait(10))
    work.refused(Error.BudgetExhausted, "carol", "fund", work.number, AIT - 1)
    work.refused(Error.StakeTooLow, "eve", "stake", ait(10) - 1)
    work.chain.run("carol", "Rewards.fund", work.number, ait(30))
    number = work.done()
    work.step()
    work.settle(number)
    work.refused(Error.NotOwner, "carol", "end", work.number)
    work.refused(Error.StillPending, "carol", "withdraw", work.number, account("carol"))
    work.chain.run("alice", "Rewards.end", work.number)
    work.refused(Error.NotOpen, "carol", "fund", work.number, ait(1))
    work.refused(Error.NoShare, "carol", "withdraw", work.number, account("eve"))
    work.refused(Error.StakeBound, "owner", "retire")
    work.refused(Error.StillPending, "eve", "forget", number)

    work.chain.run("eve", "Rewards.withdraw", work.number, account("carol"))
    work.chain.check()
    work.refused(Error.NoShare, "carol", "withdraw", work.number, account("carol"))
    work.chain.run("eve", "Rewards.withdraw", work.number, account("alice"))
    work.chain.check()

    assert (work.chain.free("carol"), work.chain.free("alice")) == (ait(1000), ait(998))
    work.chain.run("eve", "Rewards.forget", number)
    for who in ATTESTERS:
        work.chain.run(who, "Rewards.retire")
        assert work.chain.free(who) == ait(1000)
    assert work.chain.free("bob") == ait(1002)
    for item in ("campaigns", "submissions", "works", "people", "shares", "attesters"):
        assert not list(getattr(work.chain.rewards, item).items())
    work.chain.check()


def test_a_late_sponsor_does_not_pay_for_what_was_promised_before_it_came() -> None:
    """Else an owner would pay its friends first, and take its part of what others put in later."""
    work = Work(budget=ait(4))
    numbers = [work.submit("bob", text) for text in ("first", "second")]
    work.chain.run("carol", "Rewards.fund", work.number, ait(100))
    work.chain.run("alice", "Rewards.fund", work.number, ait(1))
    work.chain.run("alice", "Rewards.fund", work.number, ait(1))
    for number, text in zip(numbers, ("first", "second"), strict=True):
        work.disclose("bob", number, text)
    work.step()
    for number in numbers:
        for who in ATTESTERS[:2]:
            work.chain.run(who, "Rewards.vote", number, vote_of(number, account(who), SALT, accepts=True))
    work.step()
    for number in numbers:
        for who in ATTESTERS[:2]:
            work.chain.run(who, "Rewards.reveal", number, True, SALT)
    work.chain.set_time(work.chain.now + 2 * HOUR)
    for number in numbers:
        work.settle(number)
    work.chain.run("alice", "Rewards.end", work.number)
    for who in ("alice", "carol"):
        work.chain.run("eve", "Rewards.withdraw", work.number, account(who))
        work.chain.check()

    assert (work.chain.free("alice"), work.chain.free("carol")) == (ait(996), ait(1000))


def test_a_sponsor_has_few_parts_between_others() -> None:
    work = Work()
    for _ in range(PARTS_MAX - 1):
        work.chain.run("carol", "Rewards.fund", work.number, ait(1))
        work.chain.run("carol", "Rewards.fund", work.number, ait(1))  # the same part
        work.chain.run("alice", "Rewards.fund", work.number, ait(1))
    work.chain.run("carol", "Rewards.fund", work.number, ait(1))
    work.refused(Error.TooManyParts, "alice", "fund", work.number, ait(1))
    work.chain.run("carol", "Rewards.fund", work.number, ait(1))
    work.chain.check()


# ------------------------------------------------------------------------------------------------- limits


def test_a_campaign_that_breaks_the_inequality_is_refused_with_the_numbers_that_break_it() -> None:
    chain, offered = EarnChain(), terms()
    need = stake_for(offered)
    most_a_day = offered.per_day * offered.reward
    assert need * AUDIT_PERCENT * (100 - BOUNTY_PERCENT) >= most_a_day * 100 * 100
    for who in ATTESTERS:
        chain.run(who, "Rewards.stake", need - (who == "payout"))

    with pytest.raises(Error.StakeTooLow):
        chain.run("alice", "Rewards.create", offered, names(*ATTESTERS), ait(20))
    (short,) = chain.rewards.shortfalls(offered, names(*ATTESTERS))
    assert (short.attester, short.needed, short.stake) == (account("payout"), need, need - 1)

    chain.run("payout", "Rewards.stake", short.needed - short.stake)
    first = Work(chain, stake=1)
    assert [row.needed for row in chain.rewards.shortfalls(offered, names(*ATTESTERS))] == [2 * need] * 3
    with pytest.raises(Error.StakeTooLow):  # the same stake does not stand for two campaigns
        chain.run("alice", "Rewards.create", offered, names(*ATTESTERS), ait(20))
    assert first.submit("bob") > first.number
    chain.check()


def test_bad_work_risks_what_it_gains_by_attesters_that_err() -> None:
    chain, least = EarnChain(), work_stake_for(terms())
    assert least * (100 - ERROR_PERCENT) >= terms().reward * ERROR_PERCENT
    for who in ATTESTERS:
        chain.run(who, "Rewards.stake", ait(900))
    with pytest.raises(Error.WorkStakeTooLow):
        chain.run("alice", "Rewards.create", terms(stake=Balance(least - 1)), names(*ATTESTERS), ait(20))
    chain.run("alice", "Rewards.create", terms(stake=least), names(*ATTESTERS), ait(20))
    chain.check()


def test_a_campaign_for_persons_takes_work_of_those_whom_enough_issuers_vouch_for() -> None:
    scope = b"P" * 32
    work = Work(persons=Persons(scope, 2), per_person=1)
    vouched = work.chain.vouchers.persons
    work.refused(Error.NotPerson, "bob", "submit", work.number, TASK)
    vouched[account("bob"), scope] = 1
    vouched[account("bob"), b"Q" * 32] = 2
    work.refused(Error.NotPerson, "bob", "submit", work.number, TASK)
    vouched[account("bob"), scope] = 2

    work.submit("bob")

    work.refused(Error.PersonCapReached, "bob", "submit", work.number, TASK)


def test_a_challenge_risks_what_a_wrong_ruling_would_bring() -> None:
    chain = EarnChain(money=100_000)
    work = Work(chain, stake=ait(60_000))
    number = work.done()
    free = chain.free("carol")

    chain.run("carol", "Rewards.challenge", number, TASK)

    bounty, bond = 2 * ait(6_000), free - chain.free("carol")
    assert bond * (100 - WRONG_PERCENT) >= bounty * WRONG_PERCENT > (bond - 1) * (100 - WRONG_PERCENT)
    assert chain.rewards.submissions.get(number).challenge.bond == bond > BOND
    chain.run("root", "Rewards.rule", number, False)
    chain.check()
    assert chain.free("carol") == free - bond


def test_a_place_that_was_taken_for_nothing_costs_its_stake() -> None:
    work = Work()
    number = work.submit("bob")
    work.chain.set_time(work.chain.now + 4 * HOUR)
    work.settle(number)

    assert work.chain.free("bob") == ait(999) - SPENT


def test_what_no_stake_could_cover_is_still_answered() -> None:
    chain, wild = EarnChain(), terms(reward=2**128 - 1, per_day=2**32 - 1, threshold=0, step_ms=2**64 - 1)
    answer = codec_of(Annotated[list[Shortfall], MaxLen(8)]).encode(chain.rewards.shortfalls(wild, names(*ATTESTERS)))
    assert len(answer) == 1 + 3 * 64
    most = terms(reward=2**128 - 1, per_day=2**32 - 1, stake=2**128 - 1)
    with pytest.raises(Error.StakeTooLow):
        chain.run("alice", "Rewards.create", most, names(*ATTESTERS), 2**128 - 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"reward": 0}, {"per_person": 0}, {"per_day": 0}, {"threshold": 0}, {"threshold": 1}, {"threshold": 4},
        {"step_ms": 59_999}, {"step_ms": 31 * DAY}, {"vesting_ms": 366 * DAY}, {"until": START_MS},
        {"until": START_MS + 366 * DAY}, {"decay": Decay(1, BPS + 1, 1)},
        {"persons": Persons(bytes(32), 0)}, {"persons": Persons(bytes(32), 9)}, {"decay": Decay(1, 1, 0)},
        {"decay": Decay(1, 1, BPS + 1)},
    ],
)  # fmt: skip
def test_terms_out_of_bounds_are_refused(changes: dict[str, Any]) -> None:
    chain = EarnChain()
    for who in ATTESTERS:
        chain.run(who, "Rewards.stake", ait(900))
    for given_terms, attesters in ((terms(**changes), ATTESTERS), (terms(), ("owner", "owner", "payout"))):
        with pytest.raises(Error.BadTerms):
            chain.run("alice", "Rewards.create", given_terms, names(*attesters), ait(20))
    with pytest.raises(Error.BudgetExhausted):
        chain.run("alice", "Rewards.create", terms(), names(*ATTESTERS), ait(2) - 1)
    with pytest.raises(FundsUnavailable):
        chain.run("alice", "Rewards.create", terms(), names(*ATTESTERS), ait(1000))
    chain.check()


def test_caps_of_a_person_of_a_day_and_of_the_budget_hold() -> None:
    work = Work(budget=ait(10), per_person=2, per_day=4)
    for who in ("bob", "bob", "carol"):
        work.submit(who)
    work.refused(Error.PersonCapReached, "bob", "submit", work.number, TASK)
    work.submit("dave")
    work.refused(Error.DayCapReached, "eve", "submit", work.number, TASK)
    work.chain.set_time(work.chain.now + DAY)
    work.submit("eve")
    work.refused(Error.BudgetExhausted, "carol", "submit", work.number, TASK)
    work.chain.set_time(work.terms.until)
    work.refused(Error.NotOpen, "carol", "submit", work.number, TASK)


def test_a_campaign_opens_when_all_its_attesters_have_joined() -> None:
    chain = EarnChain()
    for who in ATTESTERS:
        chain.run(who, "Rewards.stake", stake_for(terms()))
    chain.run("alice", "Rewards.create", terms(), names(*ATTESTERS), ait(20))
    for who in ATTESTERS:
        with pytest.raises(Error.NotOpen):
            chain.run("bob", "Rewards.submit", 0, TASK)
        chain.run(who, "Rewards.join", 0)
        with pytest.raises(Error.NotOpen):
            chain.run(who, "Rewards.join", 0)
    with pytest.raises(Error.NotAttester):
        chain.run("eve", "Rewards.join", 0)
    chain.run("bob", "Rewards.submit", 0, TASK)
    chain.check()


# ------------------------------------------------------------------------------------------------- cheats


def test_copied_work_is_of_no_use_whoever_discloses_first() -> None:
    """Eve sees the seal, later the content: her seal is another, and the same content sealed later does not count."""
    work = Work()
    first = work.submit("bob")
    copied = work.chain.rewards.submissions.get(first).seal
    stolen = work.chain.run("eve", "Rewards.submit", work.number, copied)[-1].submission
    work.refused(Error.WrongSeal, "eve", "disclose", stolen, work.content("work"), SALT)
    later = work.submit("eve")  # she guessed it
    work.disclose("eve", later)

    work.disclose("bob", first)

    assert work.chain.rewards.submissions.get(later).content is None
    latest = work.submit("carol")
    work.refused(Error.Duplicate, "carol", "disclose", latest, work.content("work"), SALT)
    work.refused(Error.Duplicate, "bob", "disclose", first, work.content("work"), SALT)
    work.step()
    work.refused(Error.WrongPhase, "owner", "vote", later, TASK)  # it is over
    work.refused(Error.NotDisclosed, "owner", "vote", latest, TASK)
    work.refused(Error.WrongPhase, "bob", "disclose", first, work.content("work"), SALT)


def test_attesters_vote_once_sealed_in_their_time_and_not_on_their_own_work() -> None:
    work = Work()
    work.refused(Error.OwnWork, "owner", "submit", work.number, TASK)
    number = work.submit("bob")
    work.disclose("bob", number)
    seal = vote_of(number, account("owner"), SALT, accepts=True)
    work.refused(Error.WrongPhase, "owner", "vote", number, seal)
    work.step()
    work.refused(Error.NotAttester, "eve", "vote", number, seal)
    work.chain.run("owner", "Rewards.vote", number, seal)
    work.chain.run("operator", "Rewards.vote", number, seal)  # copied
    work.refused(Error.AlreadyVoted, "owner", "vote", number, seal)
    work.refused(Error.WrongPhase, "owner", "reveal", number, True, SALT)
    work.step()
    work.refused(Error.WrongSeal, "owner", "reveal", number, False, SALT)
    work.refused(Error.WrongSeal, "operator", "reveal", number, True, SALT)
    work.refused(Error.NotAttester, "payout", "reveal", number, True, SALT)
    work.refused(Error.WrongPhase, "payout", "vote", number, seal)
    work.chain.run("owner", "Rewards.reveal", number, True, SALT)
    work.refused(Error.AlreadyVoted, "owner", "reveal", number, True, SALT)


def test_a_fraud_costs_its_author_the_rest_and_its_attesters_everything() -> None:
    work = Work(vesting_ms=10 * DAY)
    stake = stake_for(work.terms)
    number = work.done()
    work.step()
    work.settle(number)
    work.chain.set_time(work.chain.now + 5 * DAY)
    work.settle(number)

    work.chain.run("carol", "Rewards.challenge", number, TASK)
    work.refused(Error.AlreadyChallenged, "dave", "challenge", number, TASK)
    work.chain.set_time(work.chain.now + DAY)
    work.refused(Error.NothingDue, "eve", "settle", number)
    work.refused(Error.NotRuled, "alice", "rule", number, True)
    work.chain.run("root", "Rewards.rule", number, True)
    work.chain.check()

    assert work.chain.rewards.submissions.get(number).stage == Over(ait(1))
    assert work.chain.free("bob") == ait(1001) - SPENT
    assert work.chain.free("carol") == ait(1000) + 2 * (stake * BOUNTY_PERCENT // 100)
    assert [work.chain.rewards.attesters.get(account(who)).stake for who in ATTESTERS] == [0, 0, stake]
    work.refused(Error.NotOpen, "dave", "submit", work.number, TASK)  # until they have as much at stake again
    work.refused(Error.NotChallenged, "root", "rule", number, True)
    work.refused(Error.WrongPhase, "carol", "challenge", number, TASK)
    for who in ATTESTERS[:2]:
        work.chain.run(who, "Rewards.stake", stake)
    work.submit("dave")
    assert work.chain.rewards.campaigns.get(work.number).left == ait(19)


def test_a_fraud_found_before_it_is_paid_burns_the_stake_in_it() -> None:
    work = Work()
    number = work.done()
    work.chain.run("carol", "Rewards.challenge", number, TASK)
    work.step()
    work.chain.run("root", "Rewards.rule", number, True)
    work.refused(Error.NothingDue, "eve", "settle", number)
    assert work.chain.free("bob") == ait(999) - SPENT


@pytest.mark.parametrize("ruled", [True, False])
def test_a_challenge_that_is_not_right_pays_who_had_to_wait(ruled: bool) -> None:
    work = Work()
    number = work.done()
    work.chain.run("carol", "Rewards.challenge", number, TASK)
    if ruled:
        work.chain.run("root", "Rewards.rule", number, False)
        work.step()
    else:
        work.chain.set_time(work.chain.now + RULING_MS)

    work.settle(number)

    assert work.chain.free("bob") == ait(1002) + BOND - SPENT
    assert work.chain.free("carol") == ait(1000) - BOND


@pytest.mark.parametrize(("owned", "threshold"), [(1, 1), (2, 2), (1, 2), (3, 3), (2, 3)])
def test_what_is_at_stake_outweighs_what_can_be_taken_until_the_ruling(owned: int, threshold: int) -> None:
    """One day in twenty is found out; with one attester less than the threshold an honest one has to err."""
    offered = terms(per_day=7, reward=Balance(3 * AIT + 1), threshold=threshold)
    days = 100 // AUDIT_PERCENT + (RULING_MS + 4 * offered.step_ms) / DAY
    lost = owned * stake_for(offered) * (100 - BOUNTY_PERCENT) // 100

    assert days * offered.per_day * offered.reward <= lost


# ------------------------------------------------------------------------------------------------- whatever happens


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([0, 2 * HOUR, 3 * DAY]))
def test_any_history_pays_each_work_at_most_once_and_never_beyond_the_budget(seed: int, vesting: int) -> None:
    """Random people do random things; money, promises, caps and counts are checked after each."""
    random = Random(seed)
    work = Work(budget=ait(11), vesting_ms=vesting, per_person=3, per_day=5)
    chain, rewards = work.chain, work.chain.rewards
    people = ("bob", "carol", "dave", "eve", *ATTESTERS)
    sealed: dict[int, tuple[str, str]] = {}
    paid: dict[int, int] = {}

    def some() -> int:
        return random.choice([*sealed, 10**6])

    def act(who: str) -> tuple[Any, ...]:
        number, accepts = some(), random.random() < 0.7
        return random.choice((
            ("submit", work.number, seal_of(work.number, account(who), work.content(who[0]), SALT)),
            ("disclose", number, work.content(sealed.get(number, ("", "x"))[1]), SALT),
            ("vote", number, vote_of(number, account(who), SALT, accepts=accepts)),
            ("reveal", number, accepts, SALT),
            ("settle", number), ("settle", number), ("challenge", number, TASK), ("rule", number, accepts),
            ("fund", work.number, ait(1)), ("stake", ait(1)), ("forget", number),
            ("withdraw", work.number, account(who)), ("end", work.number) if random.random() < 0.1 else ("retire",),
        ))  # fmt: skip

    for _ in range(120):
        who = random.choice(people)
        name, *args = act(who)
        if name == "disclose" and args[0] in sealed:
            who = sealed[args[0]][0]
        try:
            told = chain.run("root" if name == "rule" else who, f"Rewards.{name}", *args)
        except DispatchError:
            told = []
        for event in told:
            kind = type(event).__name__
            if kind == "Submitted":
                sealed[event.submission] = (who, who[0])
            elif kind == "Paid":
                paid[event.submission] = paid.get(event.submission, 0) + event.amount
                assert paid[event.submission] == event.paid <= work.terms.reward
        if random.random() < 0.35:
            chain.set_time(chain.now + random.choice((HOUR // 2, HOUR, 5 * HOUR)))
        chain.check()
    put_in = ait(11) + sum(ait(1) for event in chain.events() if type(event).__name__ == "Funded") - ait(1)
    out = sum(event.amount for event in chain.events() if type(event).__name__ == "Withdrawn")
    campaign = rewards.campaigns.get(work.number)
    assert sum(paid.values()) + out + (campaign.left if campaign else 0) == put_in
