"""What a node answers to a status, and what it says again."""

from __future__ import annotations

from unittest import mock

from aitoken.proto.votes import FINALIZE, NOTARIZE, NULLIFY, Certificate, Vote, bitmap_of
from consensus import repair
from consensus.effects import Broadcast, Send, SendValidator, SetTimer
from consensus.inputs import CertificateReceived, CertificatesWanted, Connected, StatusReceived, TimerKind
from consensus.messages import (
    CERTIFICATE_ANSWER_MAX,
    LACKS_PROPOSAL,
    WANTS_REPAIR,
    WANTS_STATUS,
    GetCertificates,
    Proposal,
    Status,
)
from consensus.repair import ANSWER_INTERVAL_MS
from tests.support.agreement import GENESIS, Bench, certificate, status, vote


def answers(bench: Bench) -> list[object]:
    return [effect.message for effect in bench.of(Send)]


def ask(bench: Bench, said: Status, peer: str = "peer") -> list[object]:
    bench.now += ANSWER_INTERVAL_MS
    bench.step(StatusReceived(peer, said))
    return answers(bench)


def test_a_peer_behind_gets_the_final_certificate_and_those_above() -> None:
    bench = Bench().start()
    first = bench.agree_on(GENESIS, 1)
    bench.finalize(first)
    bench.nullify(2)

    sent = ask(bench, status(1))

    assert [(c.kind, c.view) for c in sent if isinstance(c, Certificate)] == [(FINALIZE, 1), (NULLIFY, 2)]


def test_both_kinds_of_certificates_are_sent_but_not_more_than_the_limit() -> None:
    bench = Bench().start()
    for view in range(1, 40):
        bench.step(CertificateReceived(certificate(NULLIFY, view)))
        bench.step(CertificateReceived(certificate(NOTARIZE, view, bytes([view]) * 32)))

    sent = [c for c in ask(bench, status(3)) if isinstance(c, Certificate)]

    assert len(sent) == CERTIFICATE_ANSWER_MAX
    assert [(c.kind, c.view) for c in sent[:3]] == [(NOTARIZE, 3), (NULLIFY, 3), (NOTARIZE, 4)]


def test_votes_the_peer_has_not_seen_are_sent_and_others_not() -> None:
    bench = Bench().start()
    block = bench.child(GENESIS, 1)
    a, b = [other for other in bench.others if other != bench.epoch.leader(1)][:2]
    bench.receive(vote(NOTARIZE, 1, a, block.hash), vote(NOTARIZE, 1, b, block.hash), vote(NULLIFY, 1, b))

    sent = ask(bench, status(1, notarize_seen=((block.hash, bitmap_of([a], 4)),)))

    assert [(v.kind, v.signer) for v in sent if isinstance(v, Vote)] == [(NOTARIZE, b), (NULLIFY, b)]


def test_what_anybody_could_send_only_those_send_whose_turn_it_is() -> None:
    bench = Bench().start()
    block = bench.child(GENESIS, 1)
    bench.propose(block)
    bench.verified(block)
    bench.nullify(1)
    assert bench.core.view == 2
    given = []
    with mock.patch.object(repair, "HELPERS", 1):
        for second in range(4):
            bench.now = 1000 * second + 10_000
            sent = ask(bench, status(1, flags=WANTS_REPAIR | LACKS_PROPOSAL))
            assert [v.kind for v in sent if isinstance(v, Vote) and v.signer == bench.me] == [NOTARIZE, NULLIFY]
            given.append(len([m for m in sent if not isinstance(m, Vote) or m.signer != bench.me]))

    assert sorted(given) == [0, 0, 0, 5]  # three votes of others, a certificate, the proposal


def test_own_finalize_votes_between_are_sent() -> None:
    bench = Bench().start()
    first = bench.agree_on(GENESIS, 1)
    bench.agree_on(first, 2)

    sent = ask(bench, status(3))

    assert [(v.kind, v.view, v.signer) for v in sent if isinstance(v, Vote)] == [
        (FINALIZE, 1, bench.me),
        (FINALIZE, 2, bench.me),
    ]


def test_the_proposal_is_sent_to_a_peer_that_lacks_it() -> None:
    bench = Bench().start()
    block = bench.child(GENESIS, 1)
    bench.propose(block)

    assert not any(isinstance(m, Proposal) for m in ask(bench, status(1)))
    sent = ask(bench, status(1, flags=WANTS_REPAIR | LACKS_PROPOSAL))
    assert [m.vote.hash for m in sent if isinstance(m, Proposal)] == [block.hash]


def test_a_peer_ahead_is_asked_once_for_each_of_its_states() -> None:
    bench = Bench().start()

    assert [type(m) for m in ask(bench, status(5))] == [Status]
    assert ask(bench, status(5)) == []
    assert [type(m) for m in ask(bench, status(6))] == [Status]


def test_a_peer_that_wants_our_status_gets_it_even_if_it_is_not_ahead() -> None:
    bench = Bench().start()

    assert [type(m) for m in ask(bench, status(1, flags=WANTS_STATUS))] == [Status]


def test_one_peer_is_answered_once_in_a_while_and_another_at_once() -> None:
    bench = Bench().start()
    bench.nullify(1)
    assert ask(bench, status(1)) != []

    bench.step(StatusReceived("peer", status(1)))
    assert answers(bench) == []
    bench.step(StatusReceived("other", status(1)))
    assert answers(bench) != []


def test_nothing_is_repaired_unasked() -> None:
    bench = Bench().start()
    bench.nullify(1)

    assert ask(bench, status(1, flags=0)) == []


def test_certificates_asked_for_are_sent_the_final_one_in_place_of_older_ones() -> None:
    bench = Bench().start()
    first = bench.agree_on(GENESIS, 1)
    bench.finalize(first)
    bench.nullify(2)
    bench.nullify(3)

    bench.step(CertificatesWanted("peer", GetCertificates(0, 1, 2)))

    assert [(c.kind, c.view) for c in answers(bench) if isinstance(c, Certificate)] == [(FINALIZE, 1), (NULLIFY, 2)]


def test_a_huge_range_is_answered_with_little_and_quickly() -> None:
    bench = Bench().start()

    bench.step(CertificatesWanted("peer", GetCertificates(0, 0, 2**62)))

    assert answers(bench) == []


def test_retry_says_own_votes_entry_certificate_and_status_again() -> None:
    bench = Bench().start()
    bench.nullify(1)
    bench.timer(TimerKind.VIEW)

    bench.timer(TimerKind.RETRY)

    said = [effect.message for effect in bench.of(Broadcast)]
    assert [type(m) for m in said] == [Vote, Certificate, Status]
    assert any(effect.kind == TimerKind.RETRY for effect in bench.of(SetTimer))


def test_a_new_connection_is_told_where_we_stand() -> None:
    bench = Bench().start()

    bench.step(Connected("new"))

    assert [(effect.peer, effect.message.view) for effect in bench.of(Send)] == [("new", 1)]


def test_silence_is_broken_when_nothing_becomes_final() -> None:
    bench = Bench().start()
    assert bench.of(SetTimer)[-1].kind == TimerKind.STATUS

    bench.timer(TimerKind.STATUS, 0)
    assert [type(effect.message) for effect in bench.of(Broadcast)] == [Status]

    bench.finalize(bench.agree_on(GENESIS, 1))
    bench.timer(TimerKind.STATUS, 0)
    assert bench.of(Broadcast) == []


def test_the_entry_certificate_is_pushed_to_those_that_show_no_later_view() -> None:
    bench = Bench().start()
    block = bench.agree_on(GENESIS, 1)
    ahead = bench.others[0]
    bench.receive(vote(FINALIZE, 1, ahead, block.hash))

    bench.timer(TimerKind.PUSH)

    pushed = bench.of(SendValidator)
    assert [effect.index for effect in pushed] == bench.others[1:]
    assert {(effect.message.kind, effect.message.view) for effect in pushed} == {(NOTARIZE, 1)}
