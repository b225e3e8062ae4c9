"""R1 to R5: what a validator signs, and what it never does."""

from __future__ import annotations

import pytest

from aitoken.proto.votes import FINALIZE, NOTARIZE, NULLIFY, Certificate, Vote
from consensus.effects import (
    Barrier,
    Broadcast,
    Doppelganger,
    Effect,
    Finalized,
    Head,
    Panic,
    Persist,
    Report,
    SetTimer,
    Verify,
    WantBlock,
    WantCertificates,
)
from consensus.inputs import (
    BlockReceived,
    CertificateReceived,
    ProposalReceived,
    TimerKind,
    VoteReceived,
    VotingAllowed,
)
from consensus.messages import Full, Proposal
from consensus.types import FUTURE_VIEWS, Block
from tests.support.agreement import GENESIS, PACE, Bench, certificate, vote


def voting_order(effects: list[Effect]) -> list[str]:
    """The effects that concern durability and votes, in order."""
    names = []
    for effect in effects:
        if isinstance(effect, Persist):
            names.append(f"persist {type(effect.record).__name__}")
        elif isinstance(effect, Barrier):
            names.append("barrier")
        elif isinstance(effect, Broadcast) and isinstance(effect.message, Vote):
            names.append("broadcast Vote")
    return names


def test_a_valid_proposal_is_notarized_after_block_and_vote_are_durable() -> None:
    bench = Bench().start()
    block = bench.child(GENESIS, 1)

    bench.propose(block)
    assert bench.of(Verify) == [Verify(block)]
    assert bench.sent_votes() == []

    effects = bench.verified(block)

    assert voting_order(effects) == ["persist Block", "persist Vote", "barrier", "broadcast Vote"]
    assert bench.sent_votes() == [(NOTARIZE, 1)]


def test_r1_a_second_proposal_of_the_view_gets_no_vote() -> None:
    bench = Bench().start()
    first, second = bench.child(GENESIS, 1), bench.child(GENESIS, 1, header=b"other")
    bench.propose(first)
    bench.verified(first)

    bench.propose(second)
    bench.verified(second)

    assert [s[0] for s in bench.signed] == [NOTARIZE]


def test_r2_notarized_but_unknown_block_is_fetched_and_not_finalized() -> None:
    bench = Bench().start()
    block = bench.child(GENESIS, 1)

    bench.notarize(block)
    assert bench.core.view == 2
    assert bench.of(WantBlock)[0].hash == block.hash
    assert set(bench.of(WantBlock)[0].holders) == set(bench.others)
    assert bench.signed == []

    bench.step(BlockReceived(block))
    bench.verified(block)
    assert bench.signed == [(FINALIZE, 1, block.hash)]


def test_r2_a_block_found_invalid_is_never_finalized_whatever_others_say() -> None:
    bench = Bench().start()
    block = bench.child(GENESIS, 1)
    bench.propose(block)
    bench.verified(block, valid=False)

    bench.notarize(block)

    assert bench.signed == [(NULLIFY, 1, bytes(32))]


def test_r3_no_finalize_after_nullify() -> None:
    bench = Bench().start()
    block = bench.child(GENESIS, 1)
    bench.propose(block)
    bench.timer(TimerKind.VIEW)

    bench.verified(block)
    bench.notarize(block)

    assert [s[0] for s in bench.signed] == [NULLIFY, NOTARIZE]  # NOTARIZE after NULLIFY is allowed and needed
    assert bench.core.view == 2


def test_r3_no_nullify_after_finalize() -> None:
    bench = Bench().start()
    block = bench.child(GENESIS, 1)
    bench.propose(block)
    bench.verified(block)
    bench.notarize(block)
    assert bench.sent_votes() == [(FINALIZE, 1)]

    bench.nullify(1)
    bench.timer(TimerKind.VIEW, 1)

    assert NULLIFY not in [s[0] for s in bench.signed]


def test_a_nullified_view_is_not_finalized_later() -> None:
    bench = Bench().start()
    block = bench.child(GENESIS, 1)
    bench.nullify(1)

    bench.propose(block)
    bench.verified(block)
    bench.notarize(block)

    assert FINALIZE not in [s[0] for s in bench.signed]


def test_r4_missing_nullification_is_fetched_and_the_vote_waits() -> None:
    bench = Bench().start()
    first = bench.agree_on(GENESIS, 1)
    bench.step(CertificateReceived(certificate(NOTARIZE, 3, bench.child(first, 3).hash)))
    assert bench.core.view == 4
    block = bench.child(first, 4)

    bench.propose(block)

    assert WantCertificates(2, 3, (bench.epoch.leader(4),)) in bench.effects
    assert all(s[1] != 4 for s in bench.signed)


def test_r4_with_the_nullifications_an_older_parent_is_fine() -> None:
    bench = Bench().start()
    first = bench.agree_on(GENESIS, 1)
    bench.nullify(2)
    block = bench.child(first, 3)

    bench.propose(block)
    bench.verified(block)

    assert (NOTARIZE, 3, block.hash) in bench.signed


def test_justification_in_the_proposal_is_enough() -> None:
    bench = Bench().start()
    block = bench.child(GENESIS, 3, 0)

    bench.propose(block, certificate(NULLIFY, 2), certificate(NULLIFY, 1))
    bench.verified(block)

    assert bench.core.view == 3
    assert bench.signed == [(NOTARIZE, 3, block.hash)]


@pytest.mark.parametrize(
    "changes",
    [
        {"parent_hash": b"x" * 32},
        {"number": 7},
        {"epoch": 1},
        {"timestamp_ms": GENESIS.timestamp_ms + PACE.block_time_ms - 1},
        {"leader": 9},
    ],
)
def test_a_proposal_with_a_wrong_header_is_nullified_without_being_executed(changes: dict[str, object]) -> None:
    bench = Bench().start()
    block = bench.child(GENESIS, 1, **changes)

    bench.propose(block)

    assert bench.of(Verify) == []
    assert bench.signed == [(NULLIFY, 1, bytes(32))]


def test_a_block_that_claims_another_view_is_given_up_and_not_kept() -> None:
    bench = Bench().start()
    block = bench.child(GENESIS, 2**60, 0)
    leader = bench.epoch.leader(1)
    message = Proposal(0, 1, 0, vote(NOTARIZE, 1, leader, block.hash), Full(b"", ()), ())

    bench.step(ProposalReceived("leader", message, block))

    assert bench.signed == [(NULLIFY, 1, bytes(32))]
    assert block.hash not in bench.core.state.blocks


def test_a_proposal_of_somebody_who_does_not_lead_is_ignored() -> None:
    bench = Bench().start()
    block = bench.child(GENESIS, 1)
    wrong = (bench.epoch.leader(1) + 1) % 4

    assert not bench.core.wants_proposal(1, vote(NOTARIZE, 1, wrong, block.hash))
    assert bench.core.wants_proposal(1, vote(NOTARIZE, 1, bench.epoch.leader(1), block.hash))


def test_a_parent_below_the_final_view_is_bad_and_above_what_is_known_is_missing() -> None:
    bench = Bench().start()
    first = bench.agree_on(GENESIS, 1)
    second = bench.agree_on(first, 2)
    bench.finalize(second)

    bench.propose(bench.child(first, 3))
    assert bench.signed[-1][0] == NULLIFY


def test_r5_nothing_is_wanted_up_to_the_final_view() -> None:
    bench = Bench().start()
    block = bench.agree_on(GENESIS, 1)
    bench.finalize(block)

    assert bench.of(Finalized)[0].certificate.hash == block.hash
    assert not bench.core.wants_vote(vote(NULLIFY, 1, bench.others[0]))
    assert not bench.core.wants_certificate(certificate(NULLIFY, 1))


def test_votes_of_far_views_and_of_nobody_are_not_wanted() -> None:
    bench = Bench().start()

    assert bench.core.wants_vote(vote(NULLIFY, 1 + FUTURE_VIEWS, 0))
    assert not bench.core.wants_vote(vote(NULLIFY, 2 + FUTURE_VIEWS, 0))
    assert not bench.core.wants_vote(vote(NULLIFY, 1, 4))


def test_amplification_a_third_of_nullify_is_joined_at_once() -> None:
    bench = Bench().start()
    a, b = [other for other in bench.others if other != bench.epoch.leader(1)][:2]

    bench.receive(vote(NULLIFY, 1, a))
    assert bench.signed == []
    bench.receive(vote(NULLIFY, 1, b))

    assert bench.signed == [(NULLIFY, 1, bytes(32))]


def test_amplification_also_for_votes_that_came_before_the_view_was_entered() -> None:
    bench = Bench().start()
    a, b = [other for other in bench.others if other != bench.epoch.leader(2)][:2]
    bench.receive(vote(NULLIFY, 2, a), vote(NULLIFY, 2, b))
    assert bench.signed == []

    bench.nullify(1)

    assert (NULLIFY, 2, bytes(32)) in bench.signed


def test_the_leaders_own_nullify_is_followed_at_once() -> None:
    bench = Bench().start()

    bench.receive(vote(NULLIFY, 1, bench.epoch.leader(1)))

    assert bench.signed == [(NULLIFY, 1, bytes(32))]


def test_a_block_from_the_future_waits_and_is_not_nullified() -> None:
    bench = Bench().start()
    block = bench.child(GENESIS, 1, timestamp_ms=bench.now + PACE.max_drift_ms + 70)

    bench.propose(block)
    bench.verified(block)
    assert SetTimer(TimerKind.DRIFT, 1, 70) in bench.effects
    assert bench.signed == []

    bench.now += 70
    bench.timer(TimerKind.DRIFT)
    assert bench.signed == [(NOTARIZE, 1, block.hash)]


def test_weights_decide_and_numbers_do_not() -> None:
    bench = Bench(weights=(10, 1, 1, 1), follower=True).start()
    block = bench.child(GENESIS, 1)

    bench.receive(*(vote(NOTARIZE, 1, light, block.hash) for light in (1, 2, 3)))
    assert bench.core.view == 1
    bench.receive(vote(NOTARIZE, 1, 0, block.hash))
    assert bench.core.view == 2


def test_the_head_follows_notarized_and_executed_blocks() -> None:
    bench = Bench().start()

    block = bench.agree_on(GENESIS, 1)

    assert bench.of(Head) == [Head(block.hash)]


@pytest.mark.parametrize(
    ("first", "second"),
    [((NOTARIZE, b"a"), (NOTARIZE, b"b")), ((FINALIZE, b"a"), (FINALIZE, b"b")), ((FINALIZE, b"a"), (NULLIFY, b""))],
)
@pytest.mark.parametrize("swap", [False, True])
def test_votes_that_exclude_each_other_are_reported_once(first: tuple, second: tuple, swap: bool) -> None:
    bench = Bench().start()
    cheat = bench.others[0]
    pair = [vote(kind, 2, cheat, (text * 32)[:32] or bytes(32)) for kind, text in (first, second)]
    if swap:
        pair.reverse()

    bench.receive(*pair, *pair)

    assert [report.evidence.first for report in bench.of(Report)] == [pair[0]]
    assert [report.evidence.second for report in bench.of(Report)] == [pair[1]]


def test_notarize_and_nullify_together_are_legal() -> None:
    bench = Bench().start()
    other = bench.others[0]

    bench.receive(vote(NULLIFY, 2, other), vote(NOTARIZE, 2, other, GENESIS.hash))

    assert bench.of(Report) == []


def test_a_liar_cannot_fill_a_view_with_blocks_of_its_own() -> None:
    bench = Bench().start()
    cheat = bench.others[0]
    for at in range(50):
        bench.receive(vote(NOTARIZE, 1, cheat, bytes([at + 1]) * 32))

    held = bench.core.state.rounds[1].notarize
    assert len(held) == 2
    block = bench.child(GENESIS, 1)
    bench.receive(*(vote(NOTARIZE, 1, other, block.hash) for other in bench.others[1:]))
    assert block.hash in held


@pytest.mark.parametrize("kinds", [(NOTARIZE, NOTARIZE), (NOTARIZE, FINALIZE), (NULLIFY, FINALIZE)])
def test_certificates_that_exclude_each_other_stop_the_core(kinds: tuple[int, int]) -> None:
    bench = Bench().start()
    first = certificate(kinds[0], 1, bytes(32) if kinds[0] == NULLIFY else b"a" * 32)
    bench.step(CertificateReceived(first))

    bench.step(CertificateReceived(certificate(kinds[1], 1, b"b" * 32)))

    assert len(bench.of(Panic)) == 1
    assert bench.nullify(2) == []
    assert not bench.core.voting


def test_a_vote_with_our_key_that_is_not_ours_ends_our_voting() -> None:
    bench = Bench().start()

    bench.receive(vote(NULLIFY, 1, bench.me))

    assert len(bench.of(Doppelganger)) == 1
    bench.timer(TimerKind.VIEW)
    bench.step(VotingAllowed(0))
    assert bench.signed == []


def test_our_own_vote_coming_back_is_no_doppelganger() -> None:
    bench = Bench().start()
    bench.timer(TimerKind.VIEW)

    bench.step(VoteReceived(vote(NULLIFY, 1, bench.me)))

    assert bench.of(Doppelganger) == []
    assert bench.core.voting


def test_that_the_epoch_goes_on_is_known_up_to_the_own_view_and_only_by_proof() -> None:
    bench = Bench(length=2).start()
    assert bench.core.open_view == 1

    first = bench.agree_on(GENESIS, 1)
    assert bench.core.open_view == bench.core.view == 2
    bench.step(CertificateReceived(certificate(NULLIFY, 4)))
    assert (bench.core.view, bench.core.open_view) == (5, 0)  # what happened in view 2 and 3 is not known
    bench.nullify(2)
    bench.nullify(3)
    assert bench.core.open_view == 5

    bench.agree_on(first, 5)
    assert (bench.core.view, bench.core.open_view) == (6, 0)  # the last block of the epoch is notarized


def test_nothing_is_signed_up_to_the_floor() -> None:
    bench = Bench(floor=2).start()
    bench.agree_on(GENESIS, 1)
    bench.timer(TimerKind.VIEW)
    assert bench.signed == []

    bench.nullify(2)
    bench.timer(TimerKind.VIEW)

    assert bench.signed == [(NULLIFY, 3, bytes(32))]


def test_a_follower_executes_and_follows_and_signs_nothing() -> None:
    bench = Bench(follower=True).start()
    block = bench.child(GENESIS, 1)
    bench.propose(block)
    assert bench.of(Verify) == [Verify(block)]
    bench.verified(block)
    bench.notarize(block)
    bench.finalize(block)

    assert bench.core.final.hash == block.hash
    assert bench.signed == []


class TestTerminal:
    def reach(self) -> tuple[Bench, Block]:
        bench = Bench(length=2).start()
        first = bench.agree_on(GENESIS, 1)
        bench.finalize(first)
        return bench, bench.agree_on(first, 2)

    def test_a_child_of_the_terminal_block_is_bad(self) -> None:
        bench, terminal = self.reach()

        bench.propose(bench.child(terminal, 3))

        assert bench.signed[-1] == (NULLIFY, 3, bytes(32))

    def test_the_terminal_block_is_voted_for_again(self) -> None:
        bench, terminal = self.reach()

        bench.propose(terminal, again_in=3)

        assert bench.signed[-1] == (NOTARIZE, 3, terminal.hash)

    def test_its_finalization_in_any_view_ends_the_epoch(self) -> None:
        bench, terminal = self.reach()
        bench.propose(terminal, again_in=3)
        bench.notarize(terminal, 3)

        bench.finalize(terminal, 3)

        assert bench.core.done
        assert bench.of(Finalized)[0].certificate.view == 3
        assert bench.timer(TimerKind.VIEW, 4) == []

    def test_another_block_is_not_proposed_again(self) -> None:
        bench = Bench().start()
        block = bench.agree_on(GENESIS, 1)

        bench.propose(block, again_in=2)

        assert bench.signed[-1] == (NULLIFY, 2, bytes(32))


def split(kind: int, other_kind: int) -> tuple[Vote, Certificate]:
    """A vote of a liar, and a certificate that its other vote helped to make."""
    cheat, *honest = Bench().others
    first = vote(kind, 1, cheat, b"a" * 32 if kind != NULLIFY else bytes(32))
    hash_of_other = b"b" * 32 if other_kind != NULLIFY else bytes(32)
    return first, certificate(other_kind, 1, hash_of_other, sorted((cheat, Bench().me, *honest))[:4])


@pytest.mark.parametrize(
    ("kind", "other"), [(NOTARIZE, NOTARIZE), (FINALIZE, FINALIZE), (NULLIFY, FINALIZE), (FINALIZE, NULLIFY)]
)
def test_a_liar_that_shows_each_node_another_vote_is_found_by_the_certificate(kind: int, other: int) -> None:
    first, proof = split(kind, other)
    bench = Bench().start()
    bench.receive(first)
    bench.step(CertificateReceived(proof))

    (report,) = bench.of(Report)
    assert (report.evidence.first, report.evidence.second.kind) == (first, other)
    assert report.evidence.second in proof.votes()


@pytest.mark.parametrize(("kind", "other"), [(NOTARIZE, NOTARIZE), (FINALIZE, NULLIFY)])
def test_and_also_when_the_certificate_came_first(kind: int, other: int) -> None:
    first, proof = split(kind, other)
    bench = Bench().start()
    bench.step(CertificateReceived(proof))
    bench.receive(first, first)

    (report,) = bench.of(Report)
    assert (report.evidence.first.kind, report.evidence.second) == (other, first)


def test_a_certificate_accuses_nobody_whose_votes_go_together() -> None:
    bench = Bench().start()
    cheat, honest, _ = bench.others
    bench.receive(vote(NOTARIZE, 1, honest, b"a" * 32), vote(NULLIFY, 1, honest), vote(NOTARIZE, 1, cheat, b"b" * 32))
    bench.step(CertificateReceived(certificate(NULLIFY, 1, bytes(32), (0, 1, 2, 3))))
    assert bench.of(Report) == []
    bench.step(CertificateReceived(certificate(NOTARIZE, 1, b"a" * 32, (0, 1, 2, 3))))
    assert [report.evidence.first.signer for report in bench.of(Report)] == [cheat]
