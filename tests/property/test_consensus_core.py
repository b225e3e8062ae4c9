"""Any input in any state: the core never raises, and never signs what excludes an earlier vote."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.proto.votes import FINALIZE, NO_BLOCK, NOTARIZE, NULLIFY, Vote
from consensus import core, inputs, tally
from consensus.effects import Barrier, Broadcast, Persist, SetTimer, WantBlock, WantCertificates
from consensus.inputs import TimerKind
from consensus.messages import Again, Full, GetCertificates, Proposal
from consensus.signing import SigningTable
from consensus.types import Block
from tests.support.agreement import GENESIS, Bench, certificate, status, vote

VIEWS = st.integers(1, 6)
HASHES = st.integers(0, 5)


@st.composite
def moves(draw: st.DrawFn) -> tuple[str, int, int, int, int]:
    what = draw(st.sampled_from(["vote", "certificate", "proposal", "timer", "verified", "built", "status", "other"]))
    return what, draw(VIEWS), draw(st.integers(0, 7)), draw(HASHES), draw(st.integers(0, 3))


def play(bench: Bench, blocks: list[Block], what: str, view: int, pick: int, which: int, signer: int) -> None:
    """Give the core one input; numbers choose the details."""
    block = blocks[which]
    kind = (NOTARIZE, NULLIFY, FINALIZE)[pick % 3]
    named = NO_BLOCK if kind == NULLIFY else block.hash
    leader = bench.epoch.leader(view)
    fresh = pick % 2 == 1
    proposed = Proposal(
        0,
        view,
        pick % view,
        vote(NOTARIZE, view, leader, block.hash),
        Full(b"", ()) if fresh else Again(block.hash),
        (),
    )
    others: list[inputs.Input] = [
        inputs.BlockReceived(block),
        inputs.WorkChanged(which > 2),
        inputs.CertificatesWanted(1, GetCertificates(0, which, which + view)),
        inputs.Connected(pick),
    ]
    events: dict[str, inputs.Input] = {
        "vote": inputs.VoteReceived(vote(kind, view, signer, named)),
        "certificate": inputs.CertificateReceived(certificate(kind, view, named)),
        "proposal": inputs.ProposalReceived(1, proposed, block if fresh else None),
        "timer": inputs.TimerFired(TimerKind(1 + pick % 7), view),
        "verified": inputs.Verified(block.hash, pick < 6),
        "built": inputs.Built(view, None if pick == 0 else block),
        "status": inputs.StatusReceived(pick, status(view, pick % 3, flags=pick)),
        "other": others[pick % 4],
    }
    forged = (what == "vote" and signer == bench.me) or (what == "proposal" and leader == bench.me)
    if not forged:
        bench.step(events[what])


class Watch:
    """Own votes: durable before they are sent, and none excludes another. Certificates prove themselves."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.table = SigningTable(0)
        self.durable: set[object] = set()
        self.waiting: set[object] = set()

    def check(self) -> None:
        for effect in self.bench.effects:
            if isinstance(effect, Persist):
                self.waiting.add(effect.record)
            elif isinstance(effect, Barrier):
                self.durable |= self.waiting
            elif isinstance(effect, Broadcast):
                said = effect.message.vote if isinstance(effect.message, Proposal) else effect.message
                assert not isinstance(said, Vote) or said not in self.waiting - self.durable
        for kind, view, block_hash in self.bench.signed:
            self.table.check(kind, 0, view, block_hash)
        self.bench.signed.clear()


@settings(max_examples=60)
@given(st.lists(moves(), max_size=50), st.integers(1, 4), st.booleans())
def test_any_sequence_of_inputs_is_survived_and_no_vote_excludes_another(
    steps: list[tuple[str, int, int, int, int]], leads: int, short: bool
) -> None:
    bench = Bench(leads=leads, length=2 if short else 1000)
    watch = Watch(bench)
    blocks = [GENESIS]
    for number in range(1, 6):
        blocks.append(bench.child(blocks[number % max(1, number - 1)] if number > 2 else GENESIS, number))
    bench.start()
    watch.check()
    for what, view, pick, which, signer in steps:
        bench.now += pick * 37
        bench.effects = []
        play(bench, blocks, what, view, pick, which, signer)
        watch.check()
        bench.core.status()
        bench.core.unsettled()
        bench.core.lacks_certificates(1, view)


@settings(max_examples=60)
@given(st.lists(moves(), max_size=40), st.integers(1, 4))
def test_no_input_leaves_anything_for_the_rooms_to_do(steps: list[tuple[str, int, int, int, int]], leads: int) -> None:
    bench = Bench(leads=leads)
    bench.now += 10_000  # whatever waits for a time has waited
    blocks = [GENESIS]
    for number in range(1, 6):
        blocks.append(bench.child(blocks[number - 1], number, timestamp_ms=bench.now - 5_000 + number * 100))
    bench.start()
    state = bench.core.state
    for step in steps:
        play(bench, blocks, *step)
        if state.panicked:
            return
        state.effects, state.dirty = [], True
        core._settle(state)
        again = [e for e in state.effects if not isinstance(e, WantBlock | WantCertificates | SetTimer)]
        assert again == []
        for view, found in state.rounds.items():
            for kind, signer in ((NOTARIZE, 0), (NULLIFY, 1), (FINALIZE, 2)):
                some = vote(kind, view, signer, NO_BLOCK if kind == NULLIFY else blocks[1].hash)
                assert tally._may_conflict(found, some) or tally._conflicts(found, some) == []
