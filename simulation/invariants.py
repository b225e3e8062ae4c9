"""What must hold at every moment, checked over everything that was ever signed, not over what nodes saw.

I1 agreement: one block per height, whoever commits. I2 no honest key signs two things that exclude each other, across
crashes. I3 at most one hash per view can reach a quorum of NOTARIZE; never both a FINALIZE and a NULLIFY quorum; never
two FINALIZE quorums. I4 committed blocks are valid, linked, without a gap. I5 evidence, blame and slashes never name an
honest node. I6 one base block per epoch; nothing is committed but by more than two thirds of its epoch's own set, and
nobody signs as another, or for an epoch whose last block it has committed. I7 memory and traffic are bounded.
I8 liveness after healing. I9 no own vote leaves before it is on disk. I10 whoever holds proof of cheating reports it.
The arithmetic of quorums is written again here, so that a bug in shared code cannot hide itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aitoken.proto.votes import FINALIZE, NOTARIZE, NULLIFY, Certificate, Vote
from consensus.evidence import offence_of
from consensus.messages import Evidence, Message, Proposal
from consensus.types import Block
from simulation.ledger import GENESIS, offence_in

if TYPE_CHECKING:
    from simulation.node import Node
    from simulation.world import World

ROUNDS_MAX = 700
MESSAGES_MAX = 100_000
MESSAGES_BLOCKS = 50
"""A network of a dozen may send so many messages for each so many blocks, and as many again."""
REPORTED_IN_MS = 3000


class Invariants:
    """Watches a run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._chain: dict[int, Block] = {0: GENESIS}
        self._signed: dict[tuple[bytes, int, int, int], bytes] = {}
        self._weight: dict[tuple[int, int, int, bytes], int] = {}
        self._decided: dict[tuple[int, int, int], bytes] = {}
        self._reported: set[tuple[int, int, int, int]] = set()
        self._due: set[tuple[int, int, int, int]] = set()
        self.evidence_seen = 0

    @property
    def height(self) -> int:
        """The highest committed height."""
        return len(self._chain) - 1

    @property
    def tip(self) -> Block:
        """The highest committed block."""
        return self._chain[self.height]

    def chain_from(self, height: int) -> list[Block]:
        """The committed blocks from a height on."""
        return [self._chain[number] for number in range(height, len(self._chain))]

    def signing(self, node: Node, epoch: int) -> None:
        """A node is about to sign a vote."""
        committed = node.disk.committed
        running = self._world.elections.of(committed.epoch).epoch
        over = epoch == committed.epoch and committed.number == running.base.number + running.length
        if node.honest and (over or epoch < committed.epoch):
            self._world.fail("I6", f"node {node.name} signs in epoch {epoch}, which is over for it")

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
        authorities = self._world.elections.of(vote.epoch).authorities
        if vote.signer >= len(authorities) or authorities[vote.signer][0] != key:
            self._world.fail("I6", f"seat {vote.signer} of epoch {vote.epoch} is not the signer's")
            return
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

    def committing(self, node: Node, certificate: Certificate, block: Block) -> None:
        """A node is about to make a block final with a certificate."""
        if not node.honest:
            return
        election = self._world.elections.of(block.epoch)
        total = sum(weight for _, weight in election.authorities)
        signed = 0
        for seat, (key, weight) in enumerate(election.authorities):
            if certificate.bitmap[seat // 8] >> (seat % 8) & 1:
                vote = Vote(FINALIZE, block.epoch, certificate.view, block.hash, seat, b"")
                signed += weight * self._world.registry.is_made(key, vote)
        if certificate.kind != FINALIZE or certificate.epoch != block.epoch or 3 * signed <= 2 * total:
            self._world.fail("I6", f"block {block.number} is committed with {signed} of {total} of its epoch's weight")

    def committed(self, node: Node, path: list[Block]) -> None:
        """A node reported blocks final."""
        if not node.honest:
            return
        for block in path:
            known = self._chain.get(block.number)
            if known is None:
                below = self._chain.get(block.number - 1)
                epoch = self._world.elections.of(block.epoch).epoch
                if below is None or below.hash != block.parent_hash or not self._world.is_valid(block):
                    self._world.fail("I4", f"block {block.number} is invalid or not linked")
                    return
                if block.leader != epoch.leader(block.view):
                    self._world.fail("I4", f"block {block.number} is not by the leader of view {block.view}")
                if block.timestamp_ms < below.timestamp_ms + self._world.scenario.pace.block_time_ms:
                    self._world.fail("I4", f"block {block.number} comes too soon")
                base = epoch.base.number
                if not base < block.number <= base + epoch.length or self._chain[base].hash != epoch.base.hash:
                    self._world.fail("I6", f"block {block.number} belongs to epoch {block.epoch}")
                offence = offence_in(block)
                if offence is not None and offence[0] in self._world.honest_accounts:
                    self._world.fail("I5", f"block {block.number} slashes an honest validator")
                self._chain[block.number] = block
            elif known.hash != block.hash:
                self._world.fail("I1", f"two blocks final at height {block.number}")
        self._world.trace(b"C%d/%d" % (node.name, path[-1].number), path[-1].hash)

    def delivered(self, node: Node, message: Message) -> None:
        """A node has handled a message: if it now holds two votes that exclude each other, it must say so soon."""
        vote = message.vote if isinstance(message, Proposal) else message
        if not isinstance(vote, Vote) or node.driver is None or vote.epoch != node.driver.core.epoch.index:
            return
        seats, found = self._world.elections.of(vote.epoch).seats, node.driver.core.state.rounds.get(vote.view)
        if found is None or vote.signer >= len(seats) or seats[vote.signer] in self._world.honest_accounts:
            return
        notarized = sum(vote.signer in tally.signatures for tally in found.notarize.values())
        finalized = sum(vote.signer in tally.signatures for tally in found.finalize.values())
        if notarized > 1 or finalized > 1 or (finalized and vote.signer in found.nullify.signatures):
            due = (node.name, node.incarnation, vote.epoch, vote.signer)
            if due not in self._due:
                self._due.add(due)
                node.later(REPORTED_IN_MS, self._must_be_reported, due)

    def _must_be_reported(self, due: tuple[int, int, int, int]) -> None:
        if due not in self._reported:
            self._world.fail("I10", f"node {due[0]} keeps proof against seat {due[3]} of epoch {due[2]} to itself")

    def evidence(self, node: Node, evidence: Evidence) -> None:
        """A node found somebody cheating."""
        self.evidence_seen += 1
        first = evidence.first
        self._reported.add((node.name, node.incarnation, first.epoch, first.signer))
        if offence_of(evidence) is None:
            self._world.fail("I5", f"node {node.name} reports evidence that proves nothing")
        for vote in (evidence.first, evidence.second):
            if self._world.elections.of(vote.epoch).seats[vote.signer] in self._world.honest_accounts:
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
