"""Rewards on the whole runtime, by signed transactions in blocks: who cheats is refused by name and loses its fee."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aitoken.pay.seals import juror_seal, seal_of, vote_of
from aitoken.proto.extrinsic import Extrinsic, additional_signed, sign_extrinsic
from aitoken.types import AIT, AccountId, Balance, Hash32, Moment
from chain.frame.errors import BadOrigin, BadProof, InvalidBlock, Stale
from chain.pallets.ai.rewards_events import RewardsErrors as Error
from chain.pallets.ai.rewards_rules import stake_for
from chain.pallets.ai.rewards_storage import JUDGE_MS, UNVEIL_MS
from chain.pallets.ai.rewards_types import Decay, Kind, Terms
from tests.support.pay_chain import PayChain
from tests.support.staking_chain import account, pair

STEP = 60_000
SALT = b"s" * 32
WORK = Hash32(b"w" * 32)
ATTESTERS = ("owner", "operator", "payout")
Case = Callable[["Market"], tuple[Any, ...]]


class Market(PayChain):
    """A campaign of the payer's that is open; everything by transactions."""

    def __init__(self) -> None:
        super().__init__(proven=True)
        self.block()
        self.terms = Terms(
            Kind.Testing, Hash32(b"t" * 32), Balance(2 * AIT), Decay(0, 0, 0), 1, 2, Balance(AIT), 2, STEP, 0,
            Moment(self.time_ms + 100 * STEP), None,
        )  # fmt: skip
        for who in ATTESTERS:
            self.run(who, "Rewards.stake", 2 * stake_for(self.terms))
        self.first, self.second = self.campaign(), self.campaign()

    def campaign(self) -> int:
        told = self.run("payer", "Rewards.create", self.terms, [account(who) for who in ATTESTERS], 4 * AIT)
        number = next(int(event.campaign) for event in told if type(event).__name__ == "CampaignCreated")
        for who in ATTESTERS:
            self.run(who, "Rewards.join", number)
        return number

    def seal(self, who: str, campaign: int | None = None) -> Hash32:
        return seal_of(self.first if campaign is None else campaign, account(who), WORK, SALT)

    def submit(self, who: str, seal: Hash32 | None = None, campaign: int | None = None) -> int:
        number = self.first if campaign is None else campaign
        told = self.run(who, "Rewards.submit", number, seal or self.seal(who, number))
        return next(int(event.submission) for event in told if type(event).__name__ == "Submitted")

    def judged(self, who: str, *, pass_last: bool = True) -> int:
        """Work that two attesters have accepted."""
        number = self.submit(who)
        self.run(who, "Rewards.disclose", number, WORK, SALT)
        self.block(step_ms=STEP)
        for each in ATTESTERS[:2]:
            seal = vote_of(number, AccountId(account(each)), SALT, accepts=True)
            self.run(each, "Rewards.vote", number, seal)
        self.block(step_ms=STEP)
        for each in ATTESTERS[:2]:
            self.run(each, "Rewards.reveal", number, True, SALT)
        self.block(step_ms=STEP)
        if pass_last:
            self.block(step_ms=STEP)
        return number


@pytest.fixture(scope="module")
def start() -> Market:
    return Market()


@pytest.fixture
def market(start: Market) -> Iterator[Market]:
    """The same chain each time, put back."""
    kept = start.state, start.header, start.view, start.time_ms
    start.look()
    yield start
    start.state, start.header, start.view, start.time_ms = kept
    start.look()


def test_work_is_paid_in_blocks_that_whoever_checks_them_agrees_with(market: Market) -> None:
    number = market.judged("other")
    free = market.free("other")
    parent, header = market.state, market.header
    market.run("stranger", "Rewards.settle", number)
    block = market.blocks[-1]

    assert market.runtime.execute_block(parent, header, block.header, block.body).header == block.header
    assert market.free("other") == free + 3 * AIT  # the reward and its stake
    twice = (*block.body, block.body[-1])
    with pytest.raises(InvalidBlock):
        market.runtime.execute_block(parent, header, block.header, twice)
    market.check_money()


def test_a_panel_is_drawn_from_the_seed_of_a_later_epoch_and_rules(market: Market) -> None:
    market.run("root", "Sudo.sudo", market.schema.make_call("Parameters.set_parameter", (46, 0, AIT)))
    for who in "BCD":
        market.run(who, "Disputes.register_arbiter", 50 * AIT)
    number = market.judged("other", pass_last=False)
    market.run("stranger", "Rewards.challenge", number, WORK)
    challenge = market.rewards.submissions.get(number).challenge
    assert [type(event).__name__ for event in market.run("stranger", "Rewards.seat", number)][-1] == "ExtrinsicFailed"
    while market.epoch().epoch < challenge.epoch:
        market.block()
    market.run("stranger", "Rewards.seat", number)
    assert sorted(seat.arbiter for seat in market.rewards.panels.get(number)) == sorted(map(account, "BCD"))
    for who in "BCD":
        market.run(who, "Rewards.judge", number, juror_seal(number, AccountId(account(who)), SALT, fraud=who != "B"))
    market.block(step_ms=JUDGE_MS)
    for who in "BCD":
        market.run(who, "Rewards.unveil", number, who != "B", SALT)
    market.block(step_ms=UNVEIL_MS)
    parent, header = market.state, market.header

    told = market.run("payer", "Rewards.rule", number, True)

    block = market.blocks[-1]
    assert market.runtime.execute_block(parent, header, block.header, block.body).header == block.header
    assert {"Clawed", "Slashed"} <= {type(event).__name__ for event in told}
    assert [market.rewards.attesters.get(account(who)).stake for who in ATTESTERS[:2]] == [0, 0]
    market.check_money()


def forged_seal(market: Market) -> tuple[Any, ...]:
    number = market.submit("other", Hash32(b"x" * 32))
    return "other", "disclose", (number, WORK, SALT), Error.WrongSeal


def copied_seal(market: Market) -> tuple[Any, ...]:
    number = market.submit("stranger", market.seal("other"))
    return "stranger", "disclose", (number, WORK, SALT), Error.WrongSeal


def seal_of_another_campaign(market: Market) -> tuple[Any, ...]:
    number = market.submit("other", market.seal("other", market.second))
    return "other", "disclose", (number, WORK, SALT), Error.WrongSeal


def work_of_another(market: Market) -> tuple[Any, ...]:
    number = market.submit("other")
    return "stranger", "disclose", (number, WORK, SALT), Error.WrongSeal


def the_same_work_twice(market: Market) -> tuple[Any, ...]:
    first, second = market.submit("other"), market.submit("stranger")
    market.run("other", "Rewards.disclose", first, WORK, SALT)
    return "stranger", "disclose", (second, WORK, SALT), Error.Duplicate


def disclosed_twice(market: Market) -> tuple[Any, ...]:
    number = market.submit("other")
    market.run("other", "Rewards.disclose", number, WORK, SALT)
    return "other", "disclose", (number, WORK, SALT), Error.Duplicate


def over_the_cap_of_a_person(market: Market) -> tuple[Any, ...]:
    market.submit("other")
    return "other", "submit", (market.first, WORK), Error.PersonCapReached


def over_the_cap_of_a_day(market: Market) -> tuple[Any, ...]:
    market.submit("other")
    market.submit("stranger")
    return "A", "submit", (market.first, WORK), Error.DayCapReached


def no_such_campaign(_: Market) -> tuple[Any, ...]:
    return "other", "submit", (2**64 - 1, WORK), Error.NoCampaign


def a_vote_of_nobody(market: Market) -> tuple[Any, ...]:
    number = market.submit("other")
    market.run("other", "Rewards.disclose", number, WORK, SALT)
    market.block(step_ms=STEP)
    return "stranger", "vote", (number, WORK), Error.NotAttester


def a_copied_vote(market: Market) -> tuple[Any, ...]:
    number = market.submit("other")
    market.run("other", "Rewards.disclose", number, WORK, SALT)
    market.block(step_ms=STEP)
    seal = vote_of(number, AccountId(account("owner")), SALT, accepts=True)
    for who in ("owner", "operator"):
        market.run(who, "Rewards.vote", number, seal)
    market.block(step_ms=STEP)
    return "operator", "reveal", (number, True, SALT), Error.WrongSeal


def a_vote_on_other_work(market: Market) -> tuple[Any, ...]:
    first, second = market.submit("other"), market.submit("stranger", campaign=market.second)
    market.run("other", "Rewards.disclose", first, WORK, SALT)
    market.run("stranger", "Rewards.disclose", second, WORK, SALT)
    market.block(step_ms=STEP)
    seal = vote_of(first, AccountId(account("owner")), SALT, accepts=True)
    for number in (first, second):
        market.run("owner", "Rewards.vote", number, seal)
    market.block(step_ms=STEP)
    return "owner", "reveal", (second, True, SALT), Error.WrongSeal


def paid_twice(market: Market) -> tuple[Any, ...]:
    number = market.judged("other")
    market.run("stranger", "Rewards.settle", number)
    return "other", "settle", (number,), Error.NothingDue


def paid_too_early(market: Market) -> tuple[Any, ...]:
    return "other", "settle", (market.judged("other", pass_last=False),), Error.NothingDue


def a_ruling_by_nobody(market: Market) -> tuple[Any, ...]:
    number = market.judged("other", pass_last=False)
    market.run("stranger", "Rewards.challenge", number, WORK)
    return "stranger", "rule", (number, True), Error.NotRuled


def money_of_a_campaign_that_runs(market: Market) -> tuple[Any, ...]:
    return "payer", "withdraw", (market.first, account("payer")), Error.StillPending


def a_grant_by_nobody(market: Market) -> tuple[Any, ...]:
    return "payer", "grant", (market.first, AIT), BadOrigin


CASES = (
    forged_seal, copied_seal, seal_of_another_campaign, work_of_another, the_same_work_twice, disclosed_twice,
    over_the_cap_of_a_person, over_the_cap_of_a_day, no_such_campaign, a_vote_of_nobody, a_copied_vote,
    a_vote_on_other_work, paid_twice, paid_too_early, a_ruling_by_nobody, money_of_a_campaign_that_runs,
    a_grant_by_nobody,
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_bad_input_is_refused_by_name_and_costs_its_fee_alone(market: Market, case: Case) -> None:
    who, name, args, error = case(market)
    row = market.system.account.get(account(who))

    told = market.run(who, f"Rewards.{name}", *args)

    (failed,) = [event for event in told if type(event).__name__ == "ExtrinsicFailed"]
    assert failed.dispatch_error == error
    (fee,) = [event.actual_fee for event in told if type(event).__name__ == "TransactionFeePaid"]
    now = market.system.account.get(account(who))
    assert (now.free, now.reserved, now.nonce) == (row.free - fee, row.reserved, row.nonce + 1)
    market.check_money()


def test_forged_replayed_and_foreign_transactions_do_not_enter_a_block(market: Market) -> None:
    good = market.signed("other", "Rewards.submit", market.first, market.seal("other"))
    state, number, block_hash = market.state, market.header.number, market.header.hash
    broken = bytearray(good.raw)
    broken[-1] ^= 1
    version = market.schema.version
    elsewhere = additional_signed(version.spec_version, version.transaction_version, WORK, WORK)
    call = market.schema.make_call("Rewards.submit", market.first, market.seal("other")).encode()
    foreign = sign_extrinsic(call, pair("other"), elsewhere, nonce=good.nonce)
    for bad in (Extrinsic(bytes(broken)), foreign):
        with pytest.raises(BadProof):
            market.runtime.validate(state, number, block_hash, bad)
    market.block(good)
    with pytest.raises(Stale):
        market.runtime.validate(market.state, market.header.number, market.header.hash, good)
