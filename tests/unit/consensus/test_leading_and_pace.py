"""What a leader does, and when; the timers everybody keeps for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aitoken.proto.votes import FINALIZE, NOTARIZE, NULLIFY
from consensus.effects import Broadcast, Build, SetTimer, WantCertificates
from consensus.inputs import Built, CertificateReceived, TimerKind, WorkChanged
from consensus.messages import Again, Full, Proposal
from consensus.proposing import BACKOFF_PER_MILLE
from consensus.types import Block
from tests.support.agreement import GENESIS, PACE, Bench, certificate, vote


def proposals(bench: Bench) -> list[Proposal]:
    return [effect.message for effect in bench.of(Broadcast) if isinstance(effect.message, Proposal)]


def delay(bench: Bench, kind: TimerKind) -> int:
    return next(effect.delay_ms for effect in reversed(bench.of(SetTimer)) if effect.kind == kind)


def settled(leads: int) -> tuple[Bench, Block]:
    """A bench whose first block is final; it leads the given view."""
    bench = Bench(leads=leads).start()
    block = bench.agree_on(GENESIS, 1)
    bench.finalize(block)
    return bench, block


def test_a_leader_builds_when_the_interval_has_passed_and_not_before() -> None:
    bench = Bench(leads=1)
    bench.now = GENESIS.timestamp_ms + 40
    bench.start()
    assert bench.of(Build) == []
    assert delay(bench, TimerKind.PACE) == PACE.idle_interval_ms - 40

    bench.now = GENESIS.timestamp_ms + PACE.idle_interval_ms
    bench.timer(TimerKind.PACE)

    (build,) = bench.of(Build)
    assert (build.parent, build.slot.view, build.slot.timestamp_ms) == (GENESIS, 1, bench.now)


def test_a_leader_whose_clock_is_an_hour_behind_waits_one_interval_and_stays_valid() -> None:
    bench = Bench(leads=1)
    bench.now = GENESIS.timestamp_ms - 3_600_000
    bench.start()
    assert delay(bench, TimerKind.PACE) == PACE.idle_interval_ms

    bench.now += PACE.idle_interval_ms
    bench.timer(TimerKind.PACE)

    assert bench.of(Build)[0].slot.timestamp_ms == GENESIS.timestamp_ms + PACE.block_time_ms


def test_work_shortens_the_wait_to_the_block_time() -> None:
    bench = Bench(leads=1)
    bench.now = GENESIS.timestamp_ms + 40
    bench.start()

    bench.step(WorkChanged(available=True))
    assert delay(bench, TimerKind.PACE) == PACE.block_time_ms - 40


def test_the_tip_not_being_final_counts_as_work() -> None:
    bench = Bench(leads=2).start()
    bench.now += PACE.block_time_ms
    block = bench.child(GENESIS, 1)
    bench.propose(block)
    bench.verified(block)
    bench.notarize(block)
    assert delay(bench, TimerKind.PACE) == PACE.block_time_ms

    bench.finalize(block)

    assert delay(bench, TimerKind.PACE) == PACE.idle_interval_ms


@pytest.mark.parametrize(("took_ms", "interval_ms"), [(0, 100), (66, 100), (80, 120), (100, 150), (149, 150)])
def test_blocks_keep_a_distance_by_how_long_agreement_takes(took_ms: int, interval_ms: int) -> None:
    bench = Bench(leads=2, pace=replace(PACE, busy_interval_ms=150)).start()
    block = bench.child(GENESIS, 1)
    bench.now = block.timestamp_ms + took_ms
    bench.propose(block)
    bench.verified(block)
    bench.notarize(block)

    bench.now = block.timestamp_ms + interval_ms - 1
    bench.timer(TimerKind.PACE)
    assert bench.of(Build) == []
    bench.now += 1
    bench.timer(TimerKind.PACE)
    assert [build.slot.timestamp_ms for build in bench.of(Build)] == [bench.now]


@pytest.mark.parametrize(("extrinsics", "interval_ms"), [(100, 100), (120, 120), (150, 150), (700, 150)])
def test_blocks_keep_a_distance_by_how_full_they_are(extrinsics: int, interval_ms: int) -> None:
    bench = Bench(leads=2, pace=replace(PACE, busy_interval_ms=150)).start()
    bench.now += PACE.block_time_ms
    block = bench.child(GENESIS, 1, extrinsics=(b"",) * extrinsics)
    bench.propose(block)
    bench.verified(block)

    bench.notarize(block)

    assert delay(bench, TimerKind.PACE) == interval_ms


def test_agreement_that_took_longer_than_blocks_are_apart_is_followed_at_once() -> None:
    bench = Bench(leads=2, pace=replace(PACE, busy_interval_ms=150)).start()
    block = bench.child(GENESIS, 1)
    bench.now = block.timestamp_ms + 150
    bench.propose(block)
    bench.verified(block)

    bench.notarize(block)

    assert [build.parent for build in bench.of(Build)] == [block]


def test_near_the_end_of_an_epoch_nobody_idles() -> None:
    bench = Bench(leads=1, length=2)
    bench.now = GENESIS.timestamp_ms + 40
    bench.start()

    assert delay(bench, TimerKind.PACE) == PACE.block_time_ms - 40


def test_what_was_built_is_sent_with_its_justification() -> None:
    bench = Bench(leads=3).start()
    first = bench.agree_on(GENESIS, 1)
    bench.nullify(2)
    bench.now += PACE.block_time_ms
    bench.timer(TimerKind.PACE)
    block = bench.child(first, 3)

    bench.step(Built(3, block))

    (proposal,) = proposals(bench)
    assert (proposal.view, proposal.parent_view, proposal.body) == (3, 1, Full(b"", ()))
    assert [(c.kind, c.view) for c in proposal.justification] == [(NULLIFY, 2), (NOTARIZE, 1)]
    assert (NOTARIZE, 3, block.hash) in bench.signed


def test_a_leader_prefers_a_notarized_view_even_if_it_was_nullified_too() -> None:
    bench = Bench(leads=2).start()
    first = bench.agree_on(GENESIS, 1)
    bench.step(CertificateReceived(certificate(NULLIFY, 1)))
    bench.now += PACE.block_time_ms

    bench.timer(TimerKind.PACE)

    assert bench.of(Build)[0].parent == first


def test_a_leader_that_misses_a_certificate_asks_for_it() -> None:
    bench = Bench(leads=4).start()
    bench.step(CertificateReceived(certificate(NULLIFY, 3)))

    assert WantCertificates(2, 3, ()) in bench.effects
    assert bench.of(Build) == []


def test_a_leader_that_cannot_build_gives_up_at_once() -> None:
    bench = Bench(leads=1)
    bench.now += PACE.idle_interval_ms
    bench.start()

    bench.step(Built(1, None))

    assert bench.signed == [(NULLIFY, 1, bytes(32))]


def test_a_block_built_for_an_earlier_view_is_dropped() -> None:
    bench = Bench(leads=1)
    bench.now += PACE.idle_interval_ms
    bench.start()
    bench.nullify(1)

    bench.step(Built(1, bench.child(GENESIS, 1)))

    assert proposals(bench) == []


def test_the_terminal_block_is_proposed_again_at_once_and_never_built_upon() -> None:
    bench = Bench(leads=3, length=2).start()
    first = bench.agree_on(GENESIS, 1)
    bench.finalize(first)
    terminal = bench.agree_on(first, 2)

    assert terminal.number == 2
    assert [s for s in bench.signed if s[0] == NOTARIZE][-1] == (NOTARIZE, 3, terminal.hash)
    assert bench.of(Build) == []


def test_the_message_of_a_terminal_block_names_only_its_hash() -> None:
    bench = Bench(leads=3, length=2).start()
    first = bench.agree_on(GENESIS, 1)
    bench.finalize(first)
    bench.now += PACE.block_time_ms
    terminal = bench.child(first, 2)
    bench.propose(terminal)
    bench.verified(terminal)

    bench.notarize(terminal)

    assert [p.body for p in proposals(bench)] == [Again(terminal.hash)]


def test_timers_of_a_view_start_after_what_is_left_of_the_interval() -> None:
    bench, block = settled(leads=3)
    bench.now = block.timestamp_ms + 300
    bench.step(WorkChanged(available=True))

    assert delay(bench, TimerKind.LEADER) == 2 * PACE.delta_ms
    assert delay(bench, TimerKind.VIEW) == 4 * PACE.delta_ms


def test_idle_followers_wait_out_the_idle_interval_before_they_blame_the_leader() -> None:
    bench, block = settled(leads=3)
    left = block.timestamp_ms + PACE.idle_interval_ms - bench.now

    assert delay(bench, TimerKind.LEADER) == left + 2 * PACE.delta_ms


def test_back_off_grows_by_a_quarter_up_to_eight() -> None:
    bench = Bench()
    bench.start()
    for view in range(1, 20):
        bench.nullify(view)
        steps = min(max(0, view + 1 - 2), len(BACKOFF_PER_MILLE) - 1)
        wanted = PACE.delta_ms * BACKOFF_PER_MILLE[steps] // 1000
        assert delay(bench, TimerKind.VIEW) - delay(bench, TimerKind.LEADER) == 2 * wanted
    assert wanted == 8 * PACE.delta_ms


@pytest.mark.parametrize("kind", [TimerKind.LEADER, TimerKind.VIEW])
def test_a_silent_leader_is_given_up(kind: TimerKind) -> None:
    bench = Bench().start()

    bench.timer(kind)

    assert bench.signed == [(NULLIFY, 1, bytes(32))]


def test_the_leader_timer_is_for_leaders_that_say_nothing() -> None:
    bench = Bench().start()
    bench.propose(bench.child(GENESIS, 1))

    bench.timer(TimerKind.LEADER)
    assert bench.signed == []
    bench.timer(TimerKind.VIEW)
    assert bench.signed == [(NULLIFY, 1, bytes(32))]


def test_timers_of_earlier_views_do_nothing() -> None:
    bench = Bench().start()
    bench.step(CertificateReceived(certificate(NULLIFY, 1)))

    bench.timer(TimerKind.VIEW, 1)

    assert bench.signed == []


def test_after_a_restart_the_same_proposal_is_sent_and_nothing_is_built() -> None:
    bench = Bench(leads=1)
    bench.now += PACE.idle_interval_ms
    block = bench.child(GENESIS, 1)

    bench.start(votes=[vote(NOTARIZE, 1, bench.me, block.hash)], blocks=[block])

    assert [p.body for p in proposals(bench)] == [Full(b"", ())]
    assert bench.of(Build) == []
    assert bench.signed == []


def test_after_a_restart_own_votes_count_and_finality_comes_of_them() -> None:
    bench = Bench()
    block = bench.child(GENESIS, 1)
    own = [vote(NOTARIZE, 1, bench.me, block.hash), vote(FINALIZE, 1, bench.me, block.hash)]
    bench.start(certificates=[certificate(NOTARIZE, 1, block.hash)], votes=own, blocks=[block])

    bench.receive(*(vote(FINALIZE, 1, other, block.hash) for other in bench.others[:2]))

    assert bench.core.final.hash == block.hash


def test_after_a_restart_a_given_up_view_is_retried() -> None:
    bench = Bench()

    bench.start(votes=[vote(NULLIFY, 1, bench.me)])

    assert any(effect.kind == TimerKind.RETRY for effect in bench.of(SetTimer))
    bench.receive(*(vote(NULLIFY, 1, other) for other in bench.others[:2]))
    assert bench.core.view == 2
