"""The core's memory: one `Round` per view above the final one, the blocks in play, and the effects of this step.

Bounds: rounds live from the final view (exclusive) to 16 views ahead, further only where a certificate proves the view,
and then at most 4096; a round holds two votes per signer and kind and two proposals; a block is held only as part of a
proposal or because it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aitoken.proto.votes import Certificate, Vote
from aitoken.types import Hash32
from consensus.effects import Effect, Verify, WantBlock
from consensus.epochs import Epoch
from consensus.types import CERTIFIED_ROUNDS_MAX, FUTURE_VIEWS, Block, Pace, Peer

SignVote = Callable[[int, int, int, Hash32], bytes | None]
"""(kind, epoch, view, hash) -> signature; None where the signer is not there or refuses: the vote is not made."""


class Tally:
    """The votes for one statement."""

    __slots__ = ("signatures", "weight")

    def __init__(self) -> None:
        self.signatures: dict[int, bytes] = {}
        self.weight = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """A proposal as the voting rules see it."""

    view: int
    parent_view: int
    hash: Hash32
    again: bool
    vote: Vote


class Round:
    """Everything about one view."""

    __slots__ = (
        "finalize",
        "my_finalize",
        "my_notarize",
        "my_nullify",
        "notarize",
        "notarized",
        "nullified",
        "nullify",
        "offers",
        "reported",
        "retries",
        "view",
    )

    def __init__(self, view: int) -> None:
        self.view = view
        self.offers: list[Offer] = []
        self.notarize: dict[Hash32, Tally] = {}
        self.nullify = Tally()
        self.finalize: dict[Hash32, Tally] = {}
        self.notarized: Certificate | None = None
        self.nullified: Certificate | None = None
        self.my_notarize: Vote | None = None
        self.my_nullify: Vote | None = None
        self.my_finalize: Vote | None = None
        self.reported: set[tuple[int, int, int]] = set()
        self.retries = 0


@dataclass(frozen=True, slots=True)
class FinalView:
    """The last final view: view 0 is the epoch's base block, which needs no certificate."""

    view: int
    hash: Hash32
    number: int
    certificate: Certificate | None


class State:
    """All that the rules read and change. Only the modules of this package touch it."""

    __slots__ = (
        "answered",
        "best_view",
        "blocks",
        "building",
        "dirty",
        "done",
        "effects",
        "entered_ms",
        "epoch",
        "final",
        "floor",
        "leader",
        "me",
        "next_view",
        "now",
        "pace",
        "paced",
        "panicked",
        "peer_views",
        "persisted",
        "rounds",
        "seen_views",
        "sign",
        "target_ms",
        "told",
        "twin",
        "valid",
        "verifying",
        "view",
        "voting",
        "work",
    )

    def __init__(
        self, epoch: Epoch, me: int | None, pace: Pace, sign: SignVote, *, voting: bool, floor: int = 0
    ) -> None:
        self.epoch = epoch
        self.me = me
        self.pace = pace
        self.sign = sign
        self.voting = voting and me is not None
        self.floor = floor
        self.now = 0
        self.effects: list[Effect] = []
        self.dirty = False
        self.done = False
        self.panicked = False
        self.twin = False

        base = epoch.base
        self.final = FinalView(0, base.hash, base.number, None)
        self.view = 0
        self.next_view = 1
        self.leader = -1
        self.best_view = 0
        self.entered_ms = 0
        self.target_ms = -1
        self.rounds: dict[int, Round] = {}
        self.seen_views = [0] * len(epoch.validators)

        self.blocks: dict[Hash32, Block] = {base.hash: base}
        self.valid: dict[Hash32, bool] = {base.hash: True}
        self.verifying: set[Hash32] = set()
        self.persisted: set[Hash32] = set()
        self.building = 0
        self.paced = (0, 0, 0)
        self.work = False

        self.answered: dict[Peer, int] = {}
        self.told: dict[Peer, tuple[int, int]] = {}

    def emit(self, *effects: Effect) -> None:
        """Append to the effects of this step."""
        self.effects.extend(effects)

    def round(self, view: int) -> Round:
        """Return the round of a view above the final one, made where it is new."""
        found = self.rounds.get(view)
        if found is None:
            found = self.rounds[view] = Round(view)
            if len(self.rounds) > CERTIFIED_ROUNDS_MAX:
                del self.rounds[min(self.rounds)]
        return found

    def may_sign(self, view: int) -> bool:
        """Whether this node votes in this view at all."""
        return self.voting and view > self.floor

    def in_window(self, view: int) -> bool:
        """Whether votes and proposals of this view are kept."""
        return self.final.view < view <= self.view + FUTURE_VIEWS

    def settled_hash(self, view: int) -> Hash32 | None:
        """Return the block notarized at `view`, or final where it is the final view; None when neither is known."""
        if view == self.final.view:
            return self.final.hash
        found = self.rounds.get(view)
        return found.notarized.hash if found is not None and found.notarized is not None else None

    def is_nullified(self, view: int) -> bool:
        """Whether the nullification of `view` is known."""
        found = self.rounds.get(view)
        return found is not None and found.nullified is not None

    def tip(self) -> tuple[int, Hash32]:
        """Return the highest view below the current one with a notarized or final block, and the block."""
        for view in range(self.view - 1, max(self.final.view, self.view - CERTIFIED_ROUNDS_MAX), -1):
            found = self.rounds.get(view)
            if found is not None and found.notarized is not None:
                return view, found.notarized.hash
        return self.final.view, self.final.hash

    def is_terminal(self, block: Block) -> bool:
        """Whether the block ends the epoch."""
        return self.epoch.is_terminal(block.number)

    def target_interval_ms(self, tip_view: int, tip: Block | None) -> int:
        """Return the distance wanted between the tip and its child.

        Short while anything waits: work, a tip that is notarized but not final, or the epoch's end within two blocks.
        Then it is longer after a tip that took long to agree on (half as long again as it took here) or that is full (a
        millisecond an extrinsic): what a block costs, however empty, is to be shared by many then.
        """
        pace = self.pace
        if tip is None:
            return pace.block_time_ms
        if self.work or tip_view > self.final.view or tip.number >= self.epoch.last_number - 2:
            took_ms = self.entered_ms - tip.timestamp_ms
            wanted_ms = max(took_ms * 3 // 2, len(tip.extrinsics))
            return max(min(wanted_ms, pace.busy_interval_ms), pace.block_time_ms)
        return pace.idle_interval_ms

    def have_valid(self, block_hash: Hash32) -> bool:
        """Whether the block is here, executed and valid; otherwise set going whatever is missing.

        Asks for data or execution of the lowest ancestor that lacks it, so that a chain of any length needs no
        recursion. An invalid parent makes a block invalid.
        """
        verdict = self.valid.get(block_hash)
        if verdict is not None:
            return verdict
        path: list[Block] = []
        at = block_hash
        while True:
            verdict = self.valid.get(at)
            if verdict is not None:
                break
            block = self.blocks.get(at)
            if block is None:
                self._want_block(at)
                return False
            path.append(block)
            at = block.parent_hash
        if not verdict:
            for block in path:
                self.valid[block.hash] = False
            self.dirty = True
            return False
        lowest = path[-1]
        if lowest.hash not in self.verifying:
            self.verifying.add(lowest.hash)
            self.emit(Verify(lowest))
        return False

    def _want_block(self, block_hash: Hash32) -> None:
        holders: set[int] = set()
        for found in self.rounds.values():
            tally = found.notarize.get(block_hash)
            if tally is not None:
                holders.update(tally.signatures)
            if found.notarized is not None and found.notarized.hash == block_hash:
                holders.update(found.notarized.signers())
        if self.final.hash == block_hash and self.final.certificate is not None:
            holders.update(self.final.certificate.signers())
        holders.discard(-1 if self.me is None else self.me)
        self.emit(WantBlock(block_hash, tuple(sorted(holders))))
