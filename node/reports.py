"""Evidence on its way to the chain: whoever forms or hears it reports it, and the chain punishes once.

Upon evidence       -> unless the last final state says that it is punished, too old or proves nothing, it is kept on
                       disk and sent to the own pool as an unsigned report, which tells the peers.
Upon a final block  -> what is punished or too old is forgotten; what was sent `AGAIN_AFTER` blocks ago and is still not
                       final is sent again: a full pool or a restart may have lost it.

All nodes send the same bytes, and pools hold one report for each validator and epoch, so it does not matter how many
report. While the node is behind, nothing is sent: its state does not know yet what was punished.

Bounded by `PENDING_MAX`, and by `LOOKS` a block in work. Source: section 13.2 of the consensus paper, ADR 17.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from aitoken.codec.hints import codec_of
from aitoken.proto.extrinsic import bare_extrinsic
from aitoken.proto.votes import KIND_NAMES
from aitoken.types import Hash32
from chain.pallets.consensus import EquivocationProof, proof_of
from chain.pallets.equivocations import ReportStatus
from consensus.messages import Evidence
from node.pool.errors import ImmediatelyDropped, PoolRejected
from node.ports import Block, ChainView

if TYPE_CHECKING:
    from chain.frame.runtime import Runtime
    from chain.state.base import State

AGAIN_AFTER: Final = 16
"""Final blocks until a report that is not final is sent again."""
PENDING_MAX: Final = 1024
"""Offences that wait; each cost somebody a validator of this or the last epoch."""
LOOKS: Final = 16
"""Offences looked at, and so reported, for each final block: half a millisecond each."""
GONE: Final = (ReportStatus.Punished, ReportStatus.TooOld, ReportStatus.Invalid)

_PROOF = codec_of(EquivocationProof)
_STATUS = codec_of(ReportStatus)

log = logging.getLogger(__name__)


class Court(Protocol):
    """The chain's rules on reports."""

    def status(self, state: State, proof: EquivocationProof) -> ReportStatus:
        """What a report would meet in the block after this state."""

    def report(self, proof: EquivocationProof) -> bytes:
        """The unsigned report, with its length prefix."""


class Door(Protocol):
    """Where reports go; the pool."""

    def submit_then(self, raw: bytes, source: str, done: Callable[[Hash32 | PoolRejected], None]) -> None:
        """Take a transaction; `done` is called once with its hash, or with why it is not in the pool."""


class Shelf(Protocol):
    """Where evidence outlives the process."""

    def load(self) -> list[Evidence]:
        """What was saved last."""

    def save(self, evidence: Sequence[Evidence]) -> None:
        """Keep exactly this."""


class RuntimeCourt:
    """The rules of a runtime (`Court`)."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def status(self, state: State, proof: EquivocationProof) -> ReportStatus:
        """What a report would meet in the block after this state."""
        answer = self._runtime.call(state, "ConsensusApi_report_status", _PROOF.encode(proof))
        return ReportStatus(_STATUS.decode(answer))

    def report(self, proof: EquivocationProof) -> bytes:
        """The unsigned report, with its length prefix."""
        call = self._runtime.schema.make_call("Consensus.report_equivocation_unsigned", proof)
        return bare_extrinsic(call.encode()).raw


@dataclass(slots=True)
class _Offence:
    evidence: Evidence
    proof: EquivocationProof
    sent_at: int | None = None
    """The final height when it was sent last."""


class Reports:
    """Offences not yet punished (`node.ports.ChainListener`)."""

    def __init__(self, chain: ChainView, court: Court, door: Door, shelf: Shelf, is_behind: Callable[[], bool]) -> None:
        """Take up what an earlier process left; it is looked at when the next block becomes final."""
        self._chain = chain
        self._court = court
        self._door = door
        self._shelf = shelf
        self._is_behind = is_behind
        self._looks = LOOKS
        self._pending: OrderedDict[tuple[int, int], _Offence] = OrderedDict()
        for evidence in shelf.load():
            self._add(evidence)

    def __len__(self) -> int:
        return len(self._pending)

    def take(self, evidence: Evidence) -> None:
        """Report evidence whose signatures are right, unless that validator's offence of that epoch is known."""
        key = self._add(evidence)
        if key is None:
            return
        if not self._look(key):
            self._save()

    def on_block(self, block: Block) -> None:
        """Nothing is final by it."""

    def on_best(self, block: Block) -> None:
        """Nothing is final by it."""

    def on_finalized(self, blocks: Sequence[Block], pruned: Sequence[Hash32]) -> None:  # noqa: ARG002 - the port's
        """See what was punished; send again what was lost. Those looked at longest ago come first."""
        self._looks = LOOKS
        if not self._pending:
            return
        gone = [self._look(key) for key in list(self._pending)[:LOOKS]]
        if any(gone):
            self._save()

    def _add(self, evidence: Evidence) -> tuple[int, int] | None:
        key = (evidence.first.epoch, evidence.first.signer)
        if key in self._pending or len(self._pending) >= PENDING_MAX:
            return None
        self._pending[key] = _Offence(evidence, proof_of(evidence.first, evidence.second))
        return key

    def _look(self, key: tuple[int, int]) -> bool:
        """Report an offence if it is time to; whether it is over."""
        if self._is_behind() or not self._looks:
            return False
        self._looks -= 1
        offence, final = self._pending[key], self._chain.finalized
        status = self._court.status(final.state, offence.proof)
        if status in GONE:
            del self._pending[key]
            log.info("evidence is settled: %s", status.name, extra=described(offence.evidence))
            return True
        self._pending.move_to_end(key)
        if status is ReportStatus.Open and (offence.sent_at is None or final.number >= offence.sent_at + AGAIN_AFTER):
            offence.sent_at = final.number
            self._door.submit_then(self._court.report(offence.proof), "evidence", lambda told: _sent(offence, told))
        return False

    def _save(self) -> None:
        self._shelf.save([offence.evidence for offence in self._pending.values()])


def _sent(offence: _Offence, told: Hash32 | PoolRejected) -> None:
    if isinstance(told, ImmediatelyDropped):
        offence.sent_at = None  # no room: with the next block
    outcome = told.code if isinstance(told, PoolRejected) else "in the pool"
    log.info("evidence is reported: %s", outcome, extra=described(offence.evidence))


def described(evidence: Evidence) -> dict[str, object]:
    """What people need to know of evidence, as fields of a log line."""
    first = evidence.first
    votes = [f"{KIND_NAMES[vote.kind]} {vote.hash.hex()[:12]}" for vote in (first, evidence.second)]
    return {"epoch": first.epoch, "view": first.view, "validator": first.signer, "votes": ", ".join(votes)}
