"""Validators that lie, each in its own way. They run the real driver for what they know, and send what they like."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from aitoken.proto.votes import FINALIZE, NO_BLOCK, NOTARIZE, NULLIFY, Certificate, Vote
from aitoken.types import Hash32
from consensus.messages import Again, BlockReply, Evidence, Full, GetBlock, GetCertificates, Message, Proposal, Status
from consensus.types import Block, Slot

if TYPE_CHECKING:
    from simulation.node import Node


class Liar:
    """A strategy. `broadcast` returns True when it has sent something of its own instead."""

    runs = True

    def __init__(self, node: Node) -> None:
        self.node = node
        self.rng = node.world.rng

    def begin(self) -> None:
        """Called once, before the start."""

    def broadcast(self, message: Message) -> bool:
        """Called for everything the driver broadcasts."""
        del message
        return False

    def everybody(self) -> list[int]:
        """Return the connected nodes in random order."""
        others = list(self.node.neighbours)
        self.rng.shuffle(others)
        return others

    def vote(self, kind: int, view: int, block_hash: Hash32) -> Vote | None:
        """Return any vote as oneself, valid for everybody."""
        node = self.node
        if node.driver is None or node.index is None or view < 1:
            return None
        epoch = node.driver.core.epoch.index
        vote = Vote(kind, epoch, view, block_hash, node.index, node.sign_vote(kind, epoch, view, block_hash, 0))
        node.world.registry.make(node.key, vote, honest=False)
        return vote

    def slot(self, view: int, parent_view: int, parent: Block) -> Slot | None:
        """Return a slot for a block of one's own."""
        node = self.node
        if node.driver is None or node.index is None:
            return None
        epoch = node.driver.core.epoch
        pace = node.world.scenario.pace
        timestamp = max(node.now_ms(), parent.timestamp_ms + pace.block_time_ms)
        number = parent.number + 1
        return Slot(epoch.index, view, parent_view, node.index, timestamp, number, epoch.is_terminal(number))

    def proof(self, slot: Slot) -> bytes:
        """Return the VRF proof for a block of one's own."""
        node = self.node
        return node.prove_view(slot.epoch, slot.view, node.world.elections.of(slot.epoch).epoch.seed)


class Silent(Liar):
    """Is never there."""

    runs = False


class Twins(Liar):
    """Two honest processes with one key; each alone is honest, together they are not."""


class Withholder(Liar):
    """Sends to a random subset."""

    def broadcast(self, message: Message) -> bool:
        """Send to some."""
        for other in self.everybody():
            if self.rng.random() < 0.5:
                self.node.transmit(other, message)
        return True


class Late(Liar):
    """Sends everything late."""

    def broadcast(self, message: Message) -> bool:
        """Send later."""
        for other in self.everybody():
            self.node.later(self.rng.randint(100, 3000), self.node.transmit, other, message)
        return True


class Equivocator(Liar):
    """As leader splits the others by two blocks, perhaps one with another view's proof, and votes for both."""

    def broadcast(self, message: Message) -> bool:
        """Split proposals."""
        node = self.node
        if not isinstance(message, Proposal) or not isinstance(message.body, Full) or node.driver is None:
            return False
        block = node.world.blocks.read(message.body.header)
        slot = Slot(
            block.epoch, block.view, block.parent_view, block.leader, block.timestamp_ms, block.number, terminal=False
        )
        right = self.rng.random() < 0.7
        proof = self.proof(slot if right else replace(slot, view=slot.view + 1))
        other = node.world.make_block(block.parent_hash, slot, proof)
        vote = self.vote(NOTARIZE, message.view, other.hash)
        if vote is None:
            return False
        second = Proposal(
            message.epoch,
            message.view,
            message.parent_view,
            vote,
            Full(other.header, ()),
            message.justification,
        )
        others = self.everybody()
        half = self.rng.randint(0, len(others))
        for at, neighbour in enumerate(others):
            node.transmit(neighbour, message if at < half else second)
            if self.rng.random() < 0.5:
                node.transmit(neighbour, message.vote if at >= half else vote)
        for block_hash in (block.hash, other.hash):
            final = self.vote(FINALIZE, message.view, block_hash)
            if final is not None and self.rng.random() < 0.5:
                for neighbour in others:
                    node.transmit(neighbour, final)
        return True


class DoubleVoter(Liar):
    """Votes everything for everything."""

    def broadcast(self, message: Message) -> bool:
        """Add the votes that exclude the real one."""
        if not isinstance(message, Vote) or self.node.driver is None:
            return False
        found = self.node.driver.core.state.rounds.get(message.view)
        hashes = [offer.hash for offer in found.offers] if found is not None else []
        hashes += list(found.notarize) if found is not None else []
        votes = [self.vote(NULLIFY, message.view, NO_BLOCK)]
        for block_hash in dict.fromkeys(hashes):
            votes.append(self.vote(NOTARIZE, message.view, block_hash))
            votes.append(self.vote(FINALIZE, message.view, block_hash))
        for vote in votes:
            for other in self.everybody():
                if vote is not None and self.rng.random() < 0.7:
                    self.node.transmit(other, vote)
        return False


class Forker(Liar):
    """As leader proposes on an older notarized parent, with or without justification."""

    def broadcast(self, message: Message) -> bool:
        """Replace the own proposal."""
        node = self.node
        if not isinstance(message, Proposal) or node.driver is None:
            return False
        state = node.driver.core.state
        older = [
            (view, found.notarized.hash)
            for view, found in state.rounds.items()
            if view < message.view and found.notarized is not None and found.notarized.hash in state.blocks
        ]
        older.append((state.final.view, state.final.hash))
        parent_view, parent_hash = self.rng.choice(older)
        parent = state.blocks.get(parent_hash)
        slot = None if parent is None else self.slot(message.view, parent_view, parent)
        if slot is None:
            return False
        if self.rng.random() < 0.2:  # stands on one block and claims the view of another
            slot = replace(slot, parent_view=message.parent_view)
            parent_view = message.parent_view
        block = node.world.make_block(parent_hash, slot, self.proof(slot))
        vote = self.vote(NOTARIZE, message.view, block.hash)
        if vote is None:
            return False
        just = message.justification if self.rng.random() < 0.5 else ()
        fork = Proposal(message.epoch, message.view, parent_view, vote, Full(block.header, ()), just)
        final = self.vote(FINALIZE, message.view, block.hash)
        for other in self.everybody():
            node.transmit(other, fork)
            if final is not None:
                node.transmit(other, final)
        return True


class Usurper(Liar):
    """Proposes in views that are others'."""

    def broadcast(self, message: Message) -> bool:
        """Add a proposal of one's own to every vote."""
        node = self.node
        if not isinstance(message, Vote) or message.kind != FINALIZE or node.driver is None:
            return False
        state = node.driver.core.state
        parent = state.blocks.get(message.hash)
        slot = None if parent is None else self.slot(message.view + 1, message.view, parent)
        if slot is None:
            return False
        block = node.world.make_block(message.hash, slot, self.proof(slot))
        vote = self.vote(NOTARIZE, message.view + 1, block.hash)
        found = state.rounds.get(message.view)
        if vote is not None and found is not None and found.notarized is not None:
            body = Full(block.header, ())
            mine = Proposal(message.epoch, message.view + 1, message.view, vote, body, (found.notarized,))
            for other in self.everybody():
                node.transmit(other, mine)
        return False


class Garbage(Liar):
    """Sends what no honest node sends, all the time."""

    def begin(self) -> None:
        """Start throwing."""
        self.node.world.loop.at(200, self._throw)

    def _throw(self) -> None:
        node = self.node
        if node.driver is not None and node.index is not None and node.neighbours:
            for _ in range(3):
                node.guard(node.transmit, self.rng.choice(node.neighbours), self._junk())
                if node.driver is None:
                    break
        node.world.loop.at(self.rng.randint(50, 300), self._throw)

    def _junk(self) -> Message:
        rng = self.rng
        assert self.node.driver is not None
        core = self.node.driver.core
        epoch = core.epoch.index + rng.choice((-1, 0, 0, 0, 1, 2))
        epoch = max(epoch, 0)
        view = rng.choice((1, core.view, core.view + 1, core.view + 10, core.view + 1000, 2**63))
        block_hash = Hash32(rng.randbytes(32))
        signer = rng.randrange(len(core.epoch.validators) + 2)
        kind = rng.choice((NOTARIZE, NULLIFY, FINALIZE))
        vote = Vote(kind, epoch, view, NO_BLOCK if kind == NULLIFY else block_hash, signer, rng.randbytes(64))
        own = self.vote(NOTARIZE, min(view, core.view + 20), block_hash)
        bitmap = rng.randbytes(rng.choice((1, 2)))
        certificate = Certificate(kind, epoch, view, vote.hash, bitmap, (rng.randbytes(64),) * rng.randint(0, 4))
        choices: list[Message] = [
            vote,
            certificate,
            Status(epoch, view, rng.randrange(2**40), block_hash, rng.randrange(2**32), (), b"", 3),
            Status(epoch, view, 0, block_hash, 0, ((block_hash, bitmap),), bitmap, 1),
            GetCertificates(epoch, 0, 2**62),
            GetBlock(block_hash),
            BlockReply(rng.randbytes(8), ()),
            Proposal(epoch, view, max(view - 1, 0), vote, Full(rng.randbytes(rng.choice((3, 85))), ()), (certificate,)),
        ]
        if own is not None:
            choices += [own, Proposal(epoch, own.view, 0, own, Again(block_hash), ()), Evidence(own, vote)]
        return rng.choice(choices)


LIARS: Final[dict[str, type[Liar]]] = {
    "silent": Silent,
    "twins": Twins,
    "withholder": Withholder,
    "late": Late,
    "equivocator": Equivocator,
    "double-voter": DoubleVoter,
    "forker": Forker,
    "usurper": Usurper,
    "garbage": Garbage,
}
