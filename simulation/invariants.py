"""What must hold at every moment, checked over everything that was ever signed, not over what nodes saw.

I1 agreement: one block per height, whoever commits. I2 no honest key signs two things that exclude each other, across
crashes. I3 at most one hash per view can reach a quorum of NOTARIZE; never both a FINALIZE and a NULLIFY quorum; never
two FINALIZE quorums. I4 committed blocks are valid, linked, without a gap. I5 evidence and blame never name an honest
node. I6 one base block per epoch. I7 memory and traffic are bounded. I8 liveness after healing. I9 no own vote leaves
before it is on disk. The arithmetic of quorums is written again here, so that a bug in shared code cannot hide itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aitoken.proto.votes import FINALIZE, NOTARIZE, NULLIFY, Vote
from consensus.evidence import offence_of
from consensus.messages import Evidence
from consensus.types import Block
from simulation.ledger import GENESIS, is_valid

if TYPE_CHECKING:
    from simulation.node import Node
    from simulation.world import World

ROUNDS_MAX = 700
MESSAGES_MAX = 100_000


class Invariants:
    """Watches a run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._chain: dict[int, Block] = {0: GENESIS}
        self._signed: dict[tuple[bytes, int, int, int], bytes] = {}
        self._weight: dict[tuple[int, int, int, bytes], int] = {}
        self._decided: dict[tuple[int, int, int], bytes] = {}
        self._reported: set[tuple[int, int, int, int]] = set()
        self.evidence_seen = 0

    @property
    def height(self) -> int:
        """The highest committed height."""
        return len(self._chain) - 1

    def leaving(self, node: Node, vote: Vote) -> None:
        """An own vote is being sent."""
        if node.honest and b"\x02" + vote.encode() not in node.disk.durable_votes:
            self._world.fail("I9", f"node {node.name} sends {vote.kind} of view {vote.view} before it is on disk")

    def made(self, key: bytes, vote: Vote, *, honest: bool) -> None:
        """A vote exists from now on."""
        where = (vote.epoch, vote.view)
        if honest:
            signed = self._signed
            other = signed.setdefault((key, *where, vote.kind), vote.hash)
            excluded = {NULLIFY: FINALIZE, FINALIZE: NULLIFY}.get(vote.kind)
            if other != vote.hash or (excluded is not None and (key, *where, excluded) in signed):
                self._world.fail("I2", f"honest key signs twice in view {vote.view} of epoch {vote.epoch}")
        authorities = self._world.scenario.authorities(vote.epoch)
        total = sum(weight for _, weight in authorities)
        statement = (*where, vote.kind, vote.hash)
        weight = self._weight.get(statement, 0) + authorities[vote.signer][1]
        self._weight[statement] = weight
        if weight * 3 > total * 2:
            self._decide(vote)

    def _decide(self, vote: Vote) -> None:
        where = (vote.epoch, vote.view)
        decided = self._decided
        if decided.setdefault((*where, vote.kind), vote.hash) != vote.hash:
            self._world.fail("I3", f"two quorums of kind {vote.kind} in view {where}")
        final, notarized = decided.get((*where, FINALIZE)), decided.get((*where, NOTARIZE))
        if final is not None and (where[0], where[1], NULLIFY) in decided:
            self._world.fail("I3", f"view {where} is final and nullified")
        if final is not None and notarized is not None and final != notarized:
            self._world.fail("I3", f"view {where} finalizes what is not notarized")

    def committed(self, node: Node, path: list[Block]) -> None:
        """A node reported blocks final."""
        if not node.honest:
            return
        for block in path:
            known = self._chain.get(block.number)
            if known is None:
                below = self._chain.get(block.number - 1)
                if below is None or below.hash != block.parent_hash or not is_valid(block):
                    self._world.fail("I4", f"block {block.number} is invalid or not linked")
                    return
                if block.leader != self._leader(block):
                    self._world.fail("I4", f"block {block.number} is not by the leader of view {block.view}")
                if block.timestamp_ms < below.timestamp_ms + self._world.scenario.pace.block_time_ms:
                    self._world.fail("I4", f"block {block.number} comes too soon")
                length = self._world.scenario.epoch_length
                if block.epoch != (block.number - 1) // length:
                    self._world.fail("I6", f"block {block.number} belongs to epoch {block.epoch}")
                self._chain[block.number] = block
            elif known.hash != block.hash:
                self._world.fail("I1", f"two blocks final at height {block.number}")
        self._world.trace(b"C%d/%d" % (node.name, path[-1].number), path[-1].hash)

    def _leader(self, block: Block) -> int:
        epoch = self._world.scenario.epoch(block.epoch, GENESIS)
        return epoch.leader(block.view)

    def evidence(self, node: Node, evidence: Evidence) -> None:
        """A node found somebody cheating."""
        self.evidence_seen += 1
        if offence_of(evidence) is None:
            self._world.fail("I5", f"node {node.name} reports evidence that proves nothing")
        for vote in (evidence.first, evidence.second):
            key = self._world.scenario.authorities(vote.epoch)[vote.signer][0]
            if key in self._world.honest_keys:
                self._world.fail("I5", f"node {node.name} accuses an honest key")

    def guilty(self) -> set[bytes]:
        """Return the keys against which the votes ever made are evidence."""
        found: set[bytes] = set()
        by_view: dict[tuple[bytes, int, int], list[Vote]] = {}
        for key, vote in self._world.registry.votes:
            earlier = by_view.setdefault((key, vote.epoch, vote.view), [])
            if any(offence_of(Evidence(other, vote)) is not None for other in earlier):
                found.add(key)
            earlier.append(vote)
        return found

    def bounds(self) -> None:
        """Check what grows."""
        for node in self._world.nodes:
            if node.honest and node.driver is not None and len(node.driver.core.state.rounds) > ROUNDS_MAX:
                self._world.fail("I7", f"node {node.name} keeps {len(node.driver.core.state.rounds)} rounds")
