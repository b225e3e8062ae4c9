"""Evidence reaches the chain once: sent, sent again when lost, forgotten when settled, bounded whatever is heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aitoken.proto.votes import FINALIZE, NO_BLOCK, NOTARIZE, NULLIFY, Vote, sign_bytes
from aitoken.types import Hash32
from chain.pallets.equivocations import ReportStatus
from consensus.messages import Evidence
from node import reports
from node.pool.errors import ImmediatelyDropped
from node.pool.pool import Pool
from node.pool.rules import Rules
from node.ports import Block
from node.reports import AGAIN_AFTER, LOOKS, PENDING_MAX, Reports, RuntimeCourt
from node.store.evidence_file import EvidenceFile
from tests.support.pool_fakes import FakeChain, FakeClock
from tests.support.staking_chain import StakingChain, account, pair

ONE, OTHER = Hash32(b"\x01" * 32), Hash32(b"\x02" * 32)


def evidence(signer: int = 0, view: int = 7, epoch: int = 0) -> Evidence:
    first, second = (Vote(NOTARIZE, epoch, view, block, signer, bytes(64)) for block in (ONE, OTHER))
    return Evidence(first, second)


@dataclass
class Surroundings:
    """A court that says what a test wants, a pool that notes, a chain that is a height."""

    verdict: ReportStatus = ReportStatus.Open
    verdicts: dict[int, ReportStatus] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    saved: list[Evidence] = field(default_factory=list)
    saves: int = 0
    full: bool = False
    behind: bool = False
    height: int = 0

    @property
    def finalized(self) -> Any:
        return Block(Hash32(bytes(32)), FakeHeader(self.height), (), None)  # type: ignore[arg-type]

    def status(self, state: Any, proof: Any) -> ReportStatus:
        del state
        self.asked.append(proof.signer)
        return self.verdicts.get(proof.signer, self.verdict)

    def report(self, proof: Any) -> bytes:
        return b"%d/%d" % (proof.epoch, proof.signer)

    def submit_then(self, raw: bytes, source: str, done: Any) -> None:
        del source
        self.sent.append(raw)
        done(ImmediatelyDropped() if self.full else Hash32(bytes(32)))

    def load(self) -> list[Evidence]:
        return list(self.saved)

    def save(self, evidence: Sequence[Evidence]) -> None:
        self.saves += 1
        self.saved = list(evidence)


@dataclass
class FakeHeader:
    number: int


class Desk:
    """Reports in such surroundings."""

    def __init__(self, around: Surroundings | None = None) -> None:
        self.around = around or Surroundings()
        self.reports = Reports(self.around, self.around, self.around, self.around, lambda: self.around.behind)  # type: ignore[arg-type]

    def grow(self, count: int = 1) -> None:
        for _ in range(count):
            self.around.height += 1
            self.reports.on_finalized([self.around.finalized], [])


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_evidence_is_sent_at_once_and_kept(desk: Desk) -> None:
    desk.reports.take(evidence())
    assert desk.around.sent == [b"0/0"]
    assert desk.around.saved == [evidence()]


def test_a_second_offence_of_the_epoch_is_not_looked_at(desk: Desk) -> None:
    desk.reports.take(evidence())
    for view in range(100):
        desk.reports.take(evidence(view=view))
    assert (desk.around.asked, desk.around.saves, len(desk.reports)) == ([0], 1, 1)
    desk.reports.take(evidence(epoch=1))
    assert desk.around.sent == [b"0/0", b"1/0"]


@pytest.mark.parametrize("verdict", [ReportStatus.Punished, ReportStatus.TooOld, ReportStatus.Invalid])
def test_what_the_chain_would_refuse_is_dropped(desk: Desk, verdict: ReportStatus) -> None:
    desk.around.verdict = verdict
    desk.reports.take(evidence())
    desk.grow()
    assert (desk.around.sent, desk.around.saves, len(desk.reports)) == ([], 0, 0)


def test_a_report_that_is_not_final_after_a_while_is_sent_again(desk: Desk) -> None:
    desk.reports.take(evidence())
    desk.grow(AGAIN_AFTER - 1)
    assert len(desk.around.sent) == 1
    desk.grow()
    assert len(desk.around.sent) == 2
    desk.grow(AGAIN_AFTER)
    assert len(desk.around.sent) == 3


def test_a_report_for_which_the_pool_had_no_room_is_sent_with_the_next_block(desk: Desk) -> None:
    desk.around.full = True
    desk.reports.take(evidence())
    desk.around.full = False
    desk.grow()
    assert len(desk.around.sent) == 2
    desk.grow()
    assert len(desk.around.sent) == 2


def test_what_is_punished_is_forgotten_and_never_sent_again(desk: Desk) -> None:
    desk.reports.take(evidence())
    desk.around.verdict = ReportStatus.Punished
    desk.grow(3 * AGAIN_AFTER)
    assert (len(desk.around.sent), desk.around.saved, len(desk.reports)) == (1, [], 0)
    desk.reports.take(evidence(view=9))
    assert len(desk.around.sent) == 1


def test_evidence_of_an_epoch_to_come_waits_for_it(desk: Desk) -> None:
    desk.around.verdict = ReportStatus.Early
    desk.reports.take(evidence())
    desk.grow()
    assert (desk.around.sent, desk.around.saved) == ([], [evidence()])
    desk.around.verdict = ReportStatus.Open
    desk.grow()
    assert desk.around.sent == [b"0/0"]


def test_a_node_that_is_behind_sends_nothing(desk: Desk) -> None:
    desk.around.behind = True
    desk.reports.take(evidence())
    desk.grow(2)
    assert (desk.around.sent, desk.around.saved) == ([], [evidence()])
    desk.around.behind = False
    desk.grow()
    assert desk.around.sent == [b"0/0"]


def test_a_restarted_node_goes_on_and_does_not_repeat_what_is_punished(desk: Desk) -> None:
    for signer in range(3):
        desk.reports.take(evidence(signer))
    desk.around.verdicts[0] = ReportStatus.Punished
    desk.around.verdicts[1] = ReportStatus.TooOld
    desk.around.sent.clear()

    restarted = Desk(desk.around)
    assert desk.around.sent == []
    restarted.grow()
    assert (desk.around.sent, desk.around.saved) == ([b"0/2"], [evidence(2)])


def test_offences_are_bounded_and_so_is_the_work_for_a_block(desk: Desk) -> None:
    for signer in range(PENDING_MAX + 10):
        desk.reports.take(evidence(signer))
    assert len(desk.reports) == PENDING_MAX
    assert len(desk.around.asked) == LOOKS
    desk.around.asked.clear()
    desk.grow(PENDING_MAX // LOOKS)
    assert sorted(desk.around.asked) == list(range(PENDING_MAX))  # each in its turn


# The file


def test_the_file_gives_back_what_it_took(tmp_path: Path) -> None:
    file = EvidenceFile(tmp_path / "evidence.json")
    assert file.load() == []
    null, final = Vote(NULLIFY, 3, 9, NO_BLOCK, 5, b"\xff" * 64), Vote(FINALIZE, 3, 9, ONE, 5, b"\x80" * 64)
    pairs = [evidence(), Evidence(null, final)]
    file.save(pairs)
    assert EvidenceFile(tmp_path / "evidence.json").load() == pairs


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"version":2,"pairs":[]}', b'{"version":1,"pairs":[["",""]]}', b"\xff"]
)
def test_a_file_that_does_not_read_is_left_behind(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "evidence.json"
    path.write_bytes(content)
    assert EvidenceFile(path).load() == []
    EvidenceFile(path).save([evidence()])
    assert EvidenceFile(path).load() == [evidence()]


def test_a_disk_that_refuses_stops_nobody(tmp_path: Path) -> None:
    EvidenceFile(tmp_path / "missing" / "evidence.json").save([evidence()])


# Several nodes, the real rules


class Member:
    """The pool and the reports of one of several nodes on one chain."""

    def __init__(self, chain: StakingChain, folder: Path, name: str) -> None:
        self.chain = chain
        self.head = Block(chain.header.hash, chain.header, (), chain.state)
        self.view = FakeChain(self.head, self.head)
        instance = chain.runtime.new_instance()
        self.pool = Pool(Rules(instance.executive, instance.system), self.view, FakeClock())  # type: ignore[arg-type]
        self.file = EvidenceFile(folder / name)
        self.reports = self.restarted()

    def restarted(self) -> Reports:
        self.reports = Reports(self.view, RuntimeCourt(self.chain.runtime), self.pool, self.file, lambda: False)  # type: ignore[arg-type]
        return self.reports

    def serve(self) -> None:
        """What the pool's task does."""
        self.pool._inline_slice()
        self.pool.work(100)

    def follow(self, block: Block) -> None:
        self.view.best = self.view.finalized = block
        self.pool.on_block(block)
        self.pool.on_best(block)
        self.pool.on_finalized([block], [])
        self.reports.on_finalized([block], [])
        self.serve()


async def test_reported_by_all_at_once_it_is_punished_once(tmp_path: Path) -> None:
    chain = StakingChain()
    chain.block()
    members = [Member(chain, tmp_path, f"{index}") for index in range(3)]
    epoch = chain.session.current_index.get()
    liar = [row.validator for row in chain.historical.members_of(epoch)].index(account("B"))
    votes = [
        Vote(NOTARIZE, epoch, 7, block, liar, pair("B").sign(sign_bytes(chain.genesis_hash, NOTARIZE, epoch, 7, block)))
        for block in (ONE, OTHER)
    ]
    for member, (first, second) in zip(members, ((0, 1), (1, 0), (0, 1)), strict=True):
        member.reports.take(Evidence(votes[first], votes[second]))
        member.serve()
    assert {raw for member in members for raw in member.pool.ready()} == {members[0].pool.ready()[0]}

    def lead(member: Member) -> list[Any]:
        before = len(chain.blocks)
        chain.block(*member.pool.iter_ready())
        executed = chain.blocks[before]
        block = Block(executed.header.hash, executed.header, tuple(executed.body), executed.state)
        for each in members:
            each.follow(block)
        return chain.named("Equivocated")

    assert [event.validator for event in lead(members[1])] == [account("B")]
    assert [len(member.reports) for member in members] == [0, 0, 0]
    assert [member.pool.ready_count for member in members] == [0, 0, 0]
    members[0].reports.take(Evidence(votes[0], votes[1]))
    members[0].serve()
    members[2].restarted()
    for member in members:
        assert lead(member) == []
    assert len(chain.consensus.offences().offenders) == 1


def test_what_is_logged_says_who_and_what() -> None:
    null, final = Vote(NULLIFY, 3, 9, NO_BLOCK, 5, bytes(64)), Vote(FINALIZE, 3, 9, ONE, 5, bytes(64))
    votes = "nullify 000000000000, finalize 010101010101"
    assert reports.described(Evidence(null, final)) == {"epoch": 3, "view": 9, "validator": 5, "votes": votes}
