"""A core on a bench: four validators, votes and certificates at will, effects by type."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, TypeVar

from aitoken.proto.votes import FINALIZE, NO_BLOCK, NOTARIZE, NULLIFY, Certificate, Vote, bitmap_of
from aitoken.types import Hash32
from consensus import effects, inputs
from consensus.core import Core
from consensus.epochs import Epoch
from consensus.messages import Again, Full, Proposal, Status
from consensus.types import Block, Pace
from consensus.validators import Validators

T = TypeVar("T")

PACE = Pace(block_time_ms=100, idle_interval_ms=1000, delta_ms=200)
GENESIS = Block(Hash32(b"G" * 32), 0, NO_BLOCK, 0, 0, 0, 0, 10_000)
START_MS = 10_100


def signature(signer: int) -> bytes:
    return bytes([signer]) * 64


def vote(kind: int, view: int, signer: int, block_hash: Hash32 = NO_BLOCK, epoch: int = 0) -> Vote:
    return Vote(kind, epoch, view, block_hash, signer, signature(signer))


def certificate(
    kind: int, view: int, block_hash: Hash32 = NO_BLOCK, signers: Sequence[int] = (0, 1, 2), count: int = 4
) -> Certificate:
    return Certificate(kind, 0, view, block_hash, bitmap_of(signers, count), tuple(signature(s) for s in signers))


class Bench:
    """One core under test; `me` is chosen as leader of view 1, or not, by the caller."""

    def __init__(
        self,
        *,
        leads: int | None = None,
        weights: Sequence[int] = (1, 1, 1, 1),
        length: int = 1000,
        voting: bool = True,
        floor: int = 0,
        follower: bool = False,
        pace: Pace = PACE,
    ) -> None:
        validators = Validators([(bytes([i]) * 32, weight) for i, weight in enumerate(weights)])
        self.epoch = Epoch(0, validators, b"seed", GENESIS, length)
        leader = self.epoch.leader(1)
        self.me = leader if leads == 1 else next(i for i in range(len(weights)) if i != leader)
        if leads is not None and leads != 1:
            self.me = self.epoch.leader(leads)
        self.others = [i for i in range(len(weights)) if i != self.me]
        self.now = START_MS
        self.signed: list[tuple[int, int, Hash32]] = []
        self.core = Core(self.epoch, None if follower else self.me, pace, self._sign, voting=voting, floor=floor)
        self.effects: list[effects.Effect] = []

    def _sign(self, kind: int, epoch: int, view: int, block_hash: Hash32) -> bytes:
        assert epoch == 0
        self.signed.append((kind, view, block_hash))
        return signature(self.me)

    def step(self, event: inputs.Input) -> list[effects.Effect]:
        self.effects = self.core.step(self.now, event)
        return self.effects

    def start(
        self,
        certificates: Sequence[Certificate] = (),
        votes: Sequence[Vote] = (),
        blocks: Sequence[Block] = (),
        committed: Block = GENESIS,
    ) -> Bench:
        self.step(inputs.Start(committed, certificates, votes, blocks))
        return self

    def of(self, kind: type[T]) -> list[T]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def sent_votes(self) -> list[tuple[int, int]]:
        """Own votes broadcast by the last step, proposals' ones included."""
        votes = []
        for effect in self.of(effects.Broadcast):
            message = effect.message.vote if isinstance(effect.message, Proposal) else effect.message
            if isinstance(message, Vote):
                votes.append((message.kind, message.view))
        return votes

    def child(self, parent: Block, view: int, parent_view: int | None = None, **changes: Any) -> Block:
        """A block that may be proposed in `view` on `parent`."""
        at = parent.view if parent_view is None else parent_view
        fields: dict[str, Any] = {
            "number": parent.number + 1,
            "parent_hash": parent.hash,
            "epoch": 0,
            "view": view,
            "parent_view": at,
            "leader": self.epoch.leader(view),
            "timestamp_ms": max(self.now, parent.timestamp_ms + PACE.block_time_ms),
            "header": b"",
        } | changes
        block_hash = Hash32(blake2b(repr(sorted(fields.items())).encode(), digest_size=32).digest())
        return Block(hash=block_hash, **fields)

    def propose(self, block: Block, *certificates: Certificate, again_in: int | None = None) -> list[effects.Effect]:
        """The leader's proposal arrives."""
        view = block.view if again_in is None else again_in
        parent_view = block.parent_view if again_in is None else again_in - 1
        body = Full(block.header, ()) if again_in is None else Again(block.hash)
        leader = self.epoch.leader(view)
        message = Proposal(0, view, parent_view, vote(NOTARIZE, view, leader, block.hash), body, certificates)
        return self.step(inputs.ProposalReceived("leader", message, block if again_in is None else None))

    def verified(self, block: Block, *, valid: bool = True) -> list[effects.Effect]:
        return self.step(inputs.Verified(block.hash, valid))

    def receive(self, *votes: Vote) -> list[effects.Effect]:
        collected: list[effects.Effect] = []
        for one in votes:
            collected += self.step(inputs.VoteReceived(one))
        self.effects = collected
        return collected

    def notarize(self, block: Block, view: int | None = None) -> list[effects.Effect]:
        """Enough others notarize it."""
        at = block.view if view is None else view
        return self.receive(*(vote(NOTARIZE, at, other, block.hash) for other in self.others))

    def nullify(self, view: int) -> list[effects.Effect]:
        return self.receive(*(vote(NULLIFY, view, other) for other in self.others))

    def finalize(self, block: Block, view: int | None = None) -> list[effects.Effect]:
        at = block.view if view is None else view
        return self.receive(*(vote(FINALIZE, at, other, block.hash) for other in self.others))

    def timer(self, kind: inputs.TimerKind, view: int | None = None) -> list[effects.Effect]:
        return self.step(inputs.TimerFired(kind, self.core.view if view is None else view))

    def agree_on(self, parent: Block, view: int) -> Block:
        """A block is proposed, found valid and notarized; the core stands in the next view."""
        self.now += PACE.block_time_ms
        block = self.child(parent, view)
        if self.epoch.leader(view) == self.me:
            self.timer(inputs.TimerKind.PACE)
            self.step(inputs.Built(view, block))
        else:
            self.propose(block)
            self.verified(block)
        self.notarize(block)
        return block


def status(view: int, final_view: int = 0, flags: int = 1, **changes: Any) -> Status:
    fields: dict[str, Any] = {
        "epoch": 0,
        "view": view,
        "final_view": final_view,
        "final_hash": GENESIS.hash,
        "final_number": 0,
        "notarize_seen": (),
        "nullify_seen": b"",
        "flags": flags,
    }
    return Status(**(fields | changes))
