"""The driver among three others: what it takes from peers, what it answers, when it stops."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import pytest

from aitoken.proto.votes import FINALIZE, NO_BLOCK, NOTARIZE, NULLIFY, Certificate, Vote
from aitoken.types import Hash32
from consensus import effects, inputs
from consensus.journal import decode_record
from consensus.messages import (
    WANTS_RELAY,
    BlockReply,
    Evidence,
    FinalityNote,
    Full,
    GetBlock,
    GetCertificates,
    NotHave,
    Proposal,
    Status,
)
from node.driver import driver as driver_module
from node.driver.driver import VoteNotDurable
from node.driver.inbox import EARLY_PER_PEER_MAX
from simulation.campaign import run_seed
from simulation.keys import RealKeys
from simulation.ledger import GENESIS
from simulation.scenario import Scenario
from simulation.world import World
from tests.support.driver_network import ODD, Network


def test_real_signatures_carry_a_chain() -> None:
    outcome = World(Scenario(epoch_length=3, rotations=0.5), keys=RealKeys()).run()

    assert outcome.failure is None
    assert outcome.blocks >= 6


class TestSignatures:
    def test_a_right_vote_counts(self) -> None:
        network = Network()
        view = network.driver.core.view
        vote = network.vote(NULLIFY, view)

        network.receive(vote)

        assert vote.signer in network.driver.core.state.rounds[view].nullify.signatures
        assert network.blamed == []

    @pytest.mark.parametrize(
        "changes",
        [{"signature": bytes(64)}, {"hash": ODD}, {"kind": NOTARIZE}, {"kind": 7}, {"signature": b""}],
    )
    def test_a_wrong_vote_is_its_senders_fault_and_counts_for_nothing(self, changes: dict[str, object]) -> None:
        network = Network()
        view = network.driver.core.view
        vote = replace(network.vote(NULLIFY, view), **changes)  # type: ignore[arg-type]  # fields by name

        network.receive(vote)

        assert network.blamed == [(1, "vote.bad_signature")]
        found = network.driver.core.state.rounds[view]
        assert vote.signer not in found.nullify.signatures
        assert found.notarize == {} or all(vote.signer not in t.signatures for t in found.notarize.values())

    def test_a_certificate_is_taken_whole_or_not_at_all(self) -> None:
        network = Network()
        view = network.driver.core.view
        right = network.certificate(NULLIFY, view)
        wrong = replace(right, signatures=(bytes(64), *right.signatures[1:]))

        network.receive(wrong)
        assert network.blamed == [(1, "vote.bad_signature")]
        assert network.driver.core.view == view
        network.receive(right)
        assert network.blamed == []
        assert network.driver.core.view == view + 1

    @pytest.mark.parametrize("bitmap", [b"\x03", b"\xff", b"\x07\x00", b""])
    def test_a_certificate_of_odd_shape_or_weight_costs_no_signature_check(self, bitmap: bytes) -> None:
        network = Network()
        right = network.certificate(NULLIFY, network.driver.core.view)
        checks: list[bytes] = []
        network.driver.verify = lambda *arguments: bool(checks.append(arguments[2])) or True

        network.receive(replace(right, bitmap=bitmap))

        assert [code for _, code in network.blamed] in ([["certificate.malformed"], ["certificate.too_little_weight"]])
        assert checks == []

    def test_what_is_held_already_is_not_checked_again(self) -> None:
        network = Network()
        certificate = network.certificate(NULLIFY, network.driver.core.view)
        network.receive(certificate)
        checks: list[bytes] = []
        network.driver.verify = lambda *arguments: bool(checks.append(arguments[2])) or True

        network.receive(certificate)
        network.receive(network.vote(NULLIFY, certificate.view))

        assert checks == []

    def test_of_a_certificate_only_what_is_new_is_checked(self) -> None:
        network = Network()
        view = network.driver.core.view
        certificate = network.certificate(NULLIFY, view)
        first, second, _ = certificate.signers()
        network.receive(network.vote(NULLIFY, view, first))
        keys = network.driver.core.epoch.validators.keys
        checks: list[bytes] = []
        network.driver.verify = lambda *arguments: bool(checks.append(arguments[2])) or arguments[0] == arguments[2] * 2

        network.receive(replace(certificate, signatures=(bytes(64), *certificate.signatures[1:])))
        assert checks == [keys[first]]
        assert network.blamed == [(1, "vote.bad_signature")]
        network.receive(certificate)

        assert checks[1:] == [keys[second], keys[certificate.signers()[2]]]
        assert network.blamed == []
        assert network.driver.core.view == view + 1

    def test_a_proposal_with_a_body_that_is_not_its_votes_is_refused(self) -> None:
        network = Network()
        core = network.driver.core
        view = next(v for v in range(core.view, core.view + 9) if core.epoch.leader(v) != network.node.index)
        vote = network.vote(NOTARIZE, view, core.epoch.leader(view), ODD)
        for body in (Full(GENESIS.header, ()), Full(b"junk", ())):
            network.receive(Proposal(vote.epoch, view, 0, vote, body, ()))
            assert len(network.blamed) == 1


class TestAnswers:
    def test_blocks_are_served_from_disk_and_in_play_and_others_are_not_here(self) -> None:
        network = Network()
        committed = network.node.disk.committed

        assert network.receive(GetBlock(committed.hash)) == [BlockReply(committed.header, ())]
        assert network.receive(GetBlock(ODD)) == [NotHave(ODD)]

    def test_a_block_nobody_asked_for_is_dropped(self) -> None:
        network = Network()
        slot_parent = network.node.disk.committed
        block = network.world.blocks.make(slot_parent.hash, _slot(network), bytes(32))

        network.receive(BlockReply(block.header, ()))

        assert network.driver.blocks.get(block.hash) is None

    def test_an_older_epoch_is_answered_with_what_ended_it_but_not_all_the_time(self) -> None:
        network = Network(height=7, epoch_length=3)
        assert network.driver.core.epoch.index >= 2
        old = Status(0, 1, 0, GENESIS.hash, 0, (), b"", 1)
        network.world.loop.now += 1000

        (answer,) = network.receive(old)
        assert isinstance(answer, Certificate)
        assert (answer.kind, answer.epoch) == (FINALIZE, 0)
        assert network.receive(GetCertificates(0, 1, 5)) == []
        assert network.receive(old, peer=2) != []

    def test_votes_of_the_next_epoch_are_kept_and_counted_when_it_begins(self) -> None:
        network = Network(height=4, epoch_length=5)
        core = network.driver.core
        assert core.epoch.index == 0
        early = [replace(network.vote(NULLIFY, view), epoch=1) for view in range(1, 30)]

        for vote in early:
            network.receive(vote)

        assert len(network.driver.inbox._early[1]) == EARLY_PER_PEER_MAX

    def test_a_peer_in_a_later_epoch_is_told_where_we_are(self) -> None:
        network = Network(height=4, epoch_length=1000)
        network.world.loop.now += 1000

        said = network.receive(Status(9, 1, 0, ODD, 99, (), b"", 1))

        assert [type(message) for message in said] == [Status]

    def test_new_votes_are_passed_on_to_those_that_asked_for_it(self) -> None:
        network = Network()
        core = network.driver.core
        network.receive(replace(core.status(), flags=0), peer=2)
        network.receive(replace(core.status(), flags=WANTS_RELAY), peer=3)
        vote = network.vote(NULLIFY, core.view)

        network.receive(vote, peer=1)
        assert (3, vote) in network.sent
        assert (2, vote) not in network.sent

        network.receive(vote, peer=1)
        assert (3, vote) not in network.sent

    def test_a_node_that_knows_no_validator_of_its_epoch_tells_everybody_where_it_stands(self) -> None:
        network = Network()
        driver, told = network.driver, list[object]()
        with mock.patch.object(network.node, "announce", told.append):
            driver.broadcast(driver.core.status())
            assert told == [], "validators are connected: they were told"

            with mock.patch.object(network.node, "validator", return_value=None):
                driver.broadcast(driver.core.status())
                driver.broadcast(network.vote(NULLIFY, driver.core.view))

        [status] = told
        assert isinstance(status, Status)

    def test_a_finality_note_counts_as_its_certificate(self) -> None:
        network = Network()
        behind: list[Certificate] = []
        network.driver.follower._on_missing = behind.append
        certificate = network.certificate(FINALIZE, network.driver.core.view + 3, ODD)

        network.receive(FinalityNote(b"", certificate))

        assert network.driver.core.final.hash == ODD
        assert network.driver.target == certificate
        assert behind == [certificate]
        assert network.driver.round_state().holds_back.startswith("fetching")


class TestDurability:
    def test_an_own_vote_that_is_not_on_disk_does_not_leave(self) -> None:
        network = Network()
        driver = network.driver
        vote = Vote(NULLIFY, 0, driver.core.view, NO_BLOCK, network.node.index or 0, bytes(64))
        driver._persist(driver.core, effects.Persist(vote))

        with pytest.raises(VoteNotDurable):
            driver.broadcast(vote)
        with pytest.raises(VoteNotDurable):
            driver.send(1, vote)

    def test_behind_a_barrier_nothing_moves_until_the_disk_says_so(self) -> None:
        network = Network()
        driver = network.driver
        waiting: list[object] = []
        driver._ports.journal.barrier = waiting.append  # type: ignore[method-assign]  # held back
        network.world.loop.now += 60_000
        network.sent.clear()

        driver.step(inputs.TimerFired(inputs.TimerKind.VIEW, driver.core.view))
        assert len(waiting) == 1
        assert network.sent == []
        waiting[0]()  # type: ignore[operator]  # what was held back
        assert {type(message) for _, message in network.sent} >= {Vote}

    def test_a_long_journal_is_started_anew_with_only_what_is_unsettled(self) -> None:
        network = Network(height=12)
        before = len(network.node.disk.journal or ())
        with mock.patch.object(driver_module, "JOURNAL_BYTES_MAX", 100):
            network.driver.step(inputs.WorkChanged(available=False))
            network.driver.step(inputs.WorkChanged(available=True))
        network.world.loop.run(network.world.loop.now + 100, lambda: False)

        records = [decode_record(data) for data in network.node.disk.journal or ()]
        assert len(records) < before
        assert all(record.view >= network.driver.core.final.view for record in records if isinstance(record, Vote))

    @pytest.mark.parametrize("seed", range(300, 330))
    def test_crashes_are_survived_also_with_a_journal_that_is_often_started_anew(self, seed: int) -> None:
        with mock.patch.object(driver_module, "JOURNAL_BYTES_MAX", 1500):
            assert run_seed(seed).failure is None


class TestStopping:
    def test_certificates_that_exclude_each_other_stop_the_node(self) -> None:
        network = Network()
        network.world.allowed_alarms = frozenset({"consensus.safety"})
        view = network.driver.core.view + 2
        told: list[Evidence] = []
        network.driver.observer.evidence = told.append  # type: ignore[method-assign]  # listens in
        network.receive(network.certificate(NOTARIZE, view, ODD))

        network.receive(network.certificate(NOTARIZE, view, Hash32(b"!" * 32)))

        assert network.node.alarms == ["consensus.safety"]
        assert len({evidence.first.signer for evidence in told}) == 3  # all that signed both
        assert network.driver.round_state().stopped
        assert network.receive(GetBlock(network.node.disk.committed.hash)) == []

    def test_a_final_block_that_execution_refuses_stops_the_node(self) -> None:
        network = Network()
        network.world.allowed_alarms = frozenset({"consensus.safety"})
        parent = network.node.disk.committed
        block = network.world.blocks.make(parent.hash, _slot(network), bytes(32), valid=False)
        network.world._by_hash[block.hash] = block

        network.receive(network.certificate(FINALIZE, network.driver.core.view + 1, block.hash))
        network.receive(BlockReply(block.header, ()))
        network.world.loop.run(network.world.loop.now + 100, lambda: False)

        assert network.node.alarms == ["consensus.safety"]
        assert network.node.disk.committed == parent

    def test_our_key_in_another_process_ends_our_voting_and_says_so(self) -> None:
        network = Network()
        network.world.allowed_alarms = frozenset({"consensus.doppelganger"})

        network.receive(network.vote(NOTARIZE, network.driver.core.view + 1, network.node.index, ODD))

        assert network.node.alarms == ["consensus.doppelganger"]
        assert not network.driver.round_state().voting


def test_the_snapshot_says_what_holds_finality_back() -> None:
    network = Network()
    assert network.driver.round_state().holds_back == "nothing"

    network.world.loop.now += 60_000
    state = network.driver.round_state()

    assert state.holds_back != "nothing"
    assert (state.quorum, state.total, state.voting) == (3, 4, True)
    assert state.committed_number == network.node.disk.committed.number


def _slot(network: Network):  # type: ignore[no-untyped-def]  # private to the driver
    from consensus.types import Slot

    parent = network.node.disk.committed
    core = network.driver.core
    time = parent.timestamp_ms + 100
    return Slot(0, core.view + 1, core.view, core.epoch.leader(core.view + 1), time, parent.number + 1, terminal=False)


def test_a_range_that_ends_below_the_committed_block_is_no_conflict() -> None:
    """Two peers serve overlapping ranges, and the shorter one arrives last."""
    network = Network(height=6)
    committed = network.node.disk.committed
    blocks = sorted(network.node.disk.blocks.values(), key=lambda block: block.number)
    below = [block for block in blocks if 0 < block.number < committed.number]
    network.driver.synced(below, network.certificate(FINALIZE, below[-1].view, below[-1].hash))

    assert network.node.alarms == []
    assert not network.driver.stopped
    assert network.driver.committed == committed
