"""The court of Rewards: arbiters drawn by chance say whether challenged work is a fraud, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from aitoken.pay.seals import juror_seal
from aitoken.types import AccountId
from chain.pallets.ai.agenda import SLOT_MS
from chain.pallets.ai.rewards import Rewards
from chain.pallets.ai.rewards_court import JURORS
from chain.pallets.ai.rewards_rules import bounty_of, stake_for
from chain.pallets.ai.rewards_storage import BOND, JUDGE_MS, RULING_MS, UNVEIL_MS
from chain.pallets.ai.rewards_types import Over
from tests.support.earn_chain import EarnChain
from tests.support.spending_chain import account, ait
from tests.unit.chain.ai.test_rewards import ATTESTERS, SALT, SPENT, TASK, Work

Error = Rewards.Error
ARBITERS = [AccountId(bytes([200 + index]) * 32) for index in range(6)]
PARTIES = ("alice", "bob", "carol", *ATTESTERS)


class Trial(Work):
    """Bob's work, accepted by two attesters and challenged by Carol; strangers may judge."""

    def __init__(self, arbiters: int = 6) -> None:
        super().__init__(EarnChain())
        for who in ARBITERS[:arbiters]:
            self.chain.run("dave", "Balances.transfer_keep_alive", who, ait(110))
            self.chain.run(who, "Disputes.register_arbiter", ait(100))
        for each in PARTIES:  # they would sit if they were not barred
            self.chain.run(each, "Disputes.register_arbiter", ait(100))
        self.work = self.done()
        self.chain.run("carol", "Rewards.challenge", self.work, TASK)
        self.free = {who: self.chain.free(who) for who in ("bob", "carol", *ARBITERS)}

    def seated(self) -> list[AccountId]:
        self.chain.set_time(self.chain.now + 2 * SLOT_MS)
        self.chain.run("eve", "Rewards.seat", self.work)
        self.chain.check()
        return [seat.arbiter for seat in self.chain.rewards.panels.get(self.work)]

    def said(self, *votes: bool | None) -> list[AccountId]:
        """A panel that has said this, None for nothing; its time is over."""
        panel = self.seated()
        spoken = [(who, vote) for who, vote in zip(panel, votes, strict=True) if vote is not None]
        for who, vote in spoken:
            self.chain.run(who, "Rewards.judge", self.work, juror_seal(self.work, who, SALT, fraud=vote))
        self.chain.set_time(self.chain.now + JUDGE_MS)
        for who, vote in spoken:
            self.chain.run(who, "Rewards.unveil", self.work, vote, SALT)
        self.chain.set_time(self.chain.now + UNVEIL_MS)
        self.chain.check()
        return panel

    def gained(self, who: Any) -> int:
        return self.chain.free(who) - self.free[who]


def test_a_panel_is_drawn_from_a_later_seed_and_no_party_sits() -> None:
    trial = Trial()
    trial.refused(Error.WrongPhase, "eve", "seat", trial.work)

    panel = trial.seated()

    assert len(panel) == JURORS
    assert set(panel) <= set(ARBITERS)
    trial.refused(Error.AlreadySeated, "eve", "seat", trial.work)
    trial.refused(Error.NotSeated, "carol", "judge", trial.work, TASK)


def test_what_most_of_a_panel_call_a_fraud_is_one_and_they_share_the_bounty() -> None:
    trial = Trial()
    panel = trial.said(True, False, True)
    bounty = bounty_of(stake_for(trial.terms))
    trial.refused(Error.NotRuled, "eve", "rule", trial.work, False)
    trial.refused(Error.NothingDue, "eve", "settle", trial.work)

    trial.chain.run("eve", "Rewards.rule", trial.work, True)
    trial.chain.check()

    fee = bounty // 2 // 2
    assert [trial.gained(who) for who in panel] == [2 * fee, 0, 2 * fee]  # two attesters accepted it
    assert trial.gained("carol") == BOND + 2 * (bounty - 2 * fee)
    stakes = [trial.chain.rewards.attesters.get(account(who)).stake for who in ATTESTERS]
    assert stakes == [0, 0, stake_for(trial.terms)]
    assert trial.chain.rewards.submissions.get(trial.work).stage == Over(0)
    assert trial.chain.free("bob") == ait(1000) - ait(100) - SPENT - trial.terms.stake


@pytest.mark.parametrize("votes", [(False, False, True), (True, False, None), (False, None, None)])
def test_a_challenge_without_a_majority_is_dismissed_and_who_said_so_shares_the_bond(votes: Any) -> None:
    trial = Trial()
    panel = trial.said(*votes)
    trial.refused(Error.NotRuled, "eve", "rule", trial.work, True)

    trial.settle(trial.work)

    right = [who for who, vote in zip(panel, votes, strict=True) if vote is False]
    fee = BOND // 2 // len(right)
    assert [trial.gained(who) for who in panel] == [fee if vote is False else 0 for vote in votes]
    assert trial.gained("bob") == BOND - fee * len(right) + trial.terms.reward + trial.terms.stake
    stakes = [trial.chain.disputes.arbiters.get(who).stake for who in panel]
    assert stakes == [ait(95) if vote is None else ait(100) for vote in votes]
    assert not list(trial.chain.rewards.panels.keys())


def test_a_panel_that_says_nothing_or_never_sits_leaves_the_work_good() -> None:
    silent, absent, nobody = Trial(), Trial(), Trial(arbiters=0)
    silent.said(None, None, None)
    absent.chain.set_time(absent.chain.now + RULING_MS - JUDGE_MS - UNVEIL_MS + 1)
    absent.refused(Error.WrongPhase, "eve", "seat", absent.work)
    nobody.chain.set_time(nobody.chain.now + 2 * SLOT_MS)
    nobody.refused(Error.NoArbiters, "eve", "seat", nobody.work)
    for trial in (absent, nobody):
        trial.chain.set_time(trial.chain.now + RULING_MS)
    for trial in (silent, absent, nobody):
        trial.settle(trial.work)
        assert trial.gained("bob") == BOND + trial.terms.reward + trial.terms.stake


def test_jurors_vote_once_sealed_and_in_their_time() -> None:
    trial = Trial()
    first, second, third = trial.seated()
    seal = juror_seal(trial.work, first, SALT, fraud=True)

    def refused(error: Any, who: AccountId, name: str, *args: Any) -> None:
        with pytest.raises(error):
            trial.chain.run(who, f"Rewards.{name}", *args)

    refused(Error.WrongPhase, first, "unveil", trial.work, True, SALT)
    trial.chain.run(first, "Rewards.judge", trial.work, seal)
    trial.chain.run(second, "Rewards.judge", trial.work, seal)  # copied
    refused(Error.AlreadyVoted, first, "judge", trial.work, seal)
    trial.chain.set_time(trial.chain.now + JUDGE_MS)
    refused(Error.WrongPhase, third, "judge", trial.work, seal)
    refused(Error.WrongSeal, first, "unveil", trial.work, False, SALT)
    refused(Error.WrongSeal, second, "unveil", trial.work, True, SALT)
    refused(Error.WrongSeal, third, "unveil", trial.work, True, SALT)
    trial.chain.run(first, "Rewards.unveil", trial.work, True, SALT)
    refused(Error.AlreadyVoted, first, "unveil", trial.work, True, SALT)
    refused(Error.NotRuled, first, "rule", trial.work, True)
    trial.chain.set_time(trial.chain.now + UNVEIL_MS)
    refused(Error.WrongPhase, third, "unveil", trial.work, True, SALT)
    trial.chain.run(first, "Rewards.rule", trial.work, True)
    trial.chain.check()


def test_root_rules_in_the_place_of_a_panel_and_lets_it_go() -> None:
    trial = Trial()
    trial.seated()

    trial.chain.run("root", "Rewards.rule", trial.work, False)

    trial.chain.check()
    assert not list(trial.chain.rewards.panels.keys())
    assert all(trial.chain.disputes.arbiters.get(who).seats == 0 for who in ARBITERS)
    trial.refused(Error.NotChallenged, "eve", "seat", trial.work)


def test_a_seal_of_a_juror_is_good_for_one_work_and_juror() -> None:
    seals = {
        juror_seal(number, who, salt, fraud=fraud)
        for number in (1, 2)
        for who in ARBITERS[:2]
        for salt in (SALT, bytes(32))
        for fraud in (False, True)
    }
    assert len(seals) == 16
