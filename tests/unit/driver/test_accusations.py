"""Evidence at a node: checked whole, told and passed on once for a validator and epoch, never against itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aitoken.proto.votes import FINALIZE, NOTARIZE, NULLIFY, Vote
from aitoken.types import Hash32
from consensus.messages import WANTS_RELAY, Evidence
from simulation.ledger import GENESIS
from tests.support.driver_network import ODD, Network


class Court(Network):
    """A network whose node 0 notes what evidence it tells of."""

    def __init__(self, height: int = 4, epoch_length: int = 1000) -> None:
        super().__init__(height, epoch_length)
        self.told: list[Evidence] = []
        self.driver.observer.evidence = self.told.append  # type: ignore[method-assign]

    def evidence(self, ahead: int = 1, signer: int | None = None) -> Evidence:
        """Two votes of one view, both made by their owner."""
        view = self.driver.core.view + ahead
        first, second = (self.vote(NOTARIZE, view, signer, block) for block in (ODD, Hash32(GENESIS.hash)))
        return Evidence(first, second)

    def stranger(self, epoch: int) -> int:
        """A seat that is another's than node 0's."""
        return next(i for i in range(4) if self.world.elections.of(epoch).seats[i] != self.node.account)

    def of_epoch(self, epoch: int, signer: int) -> Evidence:
        """The same of any epoch that has begun."""
        key = self.world.elections.of(epoch).authorities[signer][0]
        votes = [Vote(NOTARIZE, epoch, 1, block, signer, key * 2) for block in (ODD, Hash32(GENESIS.hash))]
        for vote in votes:
            self.world.registry.make(key, vote, honest=False)
        return Evidence(*votes)


def test_evidence_is_checked_and_told_and_passed_on_once() -> None:
    court = Court()
    court.receive(replace(court.driver.core.status(), flags=WANTS_RELAY), peer=3)
    evidence = court.evidence()

    court.receive(replace(evidence, second=replace(evidence.second, signature=bytes(64))))
    assert (court.told, court.blamed) == ([], [(1, "vote.bad_signature")])
    court.receive(evidence)
    assert court.told == [evidence]
    assert (3, evidence) in court.sent
    court.receive(evidence)
    assert court.told == [evidence]
    assert (3, evidence) not in court.sent


def test_a_liar_that_signs_thousands_of_votes_is_news_once_and_costs_no_checks() -> None:
    court = Court()
    first = court.evidence()
    court.receive(first)
    court.driver.verify = lambda *_: pytest.fail("a signature was checked for no news")
    for ahead in range(2, 300):
        court.receive(court.evidence(ahead, first.first.signer))
    assert court.told == [first]
    assert court.blamed == []


def test_what_a_node_sees_itself_is_not_told_again_when_others_tell_it() -> None:
    court = Court()
    evidence = court.evidence()
    court.receive(evidence.first)
    court.receive(evidence.second)
    assert court.told == [evidence]
    assert evidence in [message for _, message in court.sent]
    court.receive(evidence)
    assert court.told == [evidence]


@pytest.mark.parametrize("kinds", [(NOTARIZE, NULLIFY), (NULLIFY, NULLIFY)])
def test_votes_that_may_be_made_together_cost_their_sender(kinds: tuple[int, int]) -> None:
    court = Court()
    view = court.driver.core.view + 1
    first, second = (court.vote(kind, view, None, *([ODD] if kind != NULLIFY else [])) for kind in kinds)
    court.receive(Evidence(first, second))
    assert (court.told, court.blamed) == ([], [(1, "vote.bad_signature")])


def test_evidence_against_nobody_costs_its_sender() -> None:
    court = Court()
    evidence = court.evidence()
    court.receive(Evidence(*(replace(vote, signer=4) for vote in (evidence.first, evidence.second))))
    assert (court.told, court.blamed) == ([], [(1, "vote.bad_signature")])


def test_the_last_epoch_counts_and_those_before_or_to_come_do_not() -> None:
    court = Court(height=7, epoch_length=3)
    running = court.driver.core.epoch.index
    assert running == 2
    made = {epoch: court.of_epoch(epoch, court.stranger(epoch)) for epoch in range(3)}
    made[3] = Evidence(*(replace(vote, epoch=3) for vote in (made[2].first, made[2].second)))
    for epoch, told in ((0, 0), (1, 1), (3, 1), (2, 2)):
        court.receive(made[epoch])
        assert len(court.told) == told
        assert court.blamed == []


def test_what_is_remembered_goes_with_its_epoch() -> None:
    court = Court(height=4, epoch_length=3)
    accusations = court.driver.inbox.accusations
    signer = court.stranger(1)
    court.receive(court.of_epoch(1, signer))
    assert accusations._known == {(1, signer)}
    accusations.begin_epoch(replace(court.driver.core.epoch, index=2))
    assert accusations._known == {(1, signer)}
    accusations.begin_epoch(replace(court.driver.core.epoch, index=3))
    assert accusations._known == set()


def test_evidence_against_ourselves_ends_our_voting_and_accuses_nobody() -> None:
    court = Court()
    court.world.allowed_alarms = frozenset({"consensus.doppelganger"})
    court.receive(court.evidence(signer=court.node.index))

    assert court.node.alarms == ["consensus.doppelganger"]
    assert (court.told, court.blamed) == ([], [])
    assert not court.driver.round_state().voting


def test_finalize_and_nullify_are_evidence_too() -> None:
    court = Court()
    view = court.driver.core.view + 1
    evidence = Evidence(court.vote(FINALIZE, view, None, ODD), court.vote(NULLIFY, view))
    court.receive(evidence)
    assert court.told == [evidence]
