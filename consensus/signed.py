"""The votes of one key that its signer must never forget, whatever else of a node is lost.

A mark that only rises: the epoch, and in it a floor, the view up to which nothing is signed any more. Above the floor
the votes themselves are kept, so that a late FINALIZE is possible and a second, different vote is not:

R1 one hash for each NOTARIZE and each FINALIZE of a view. R3 FINALIZE and NULLIFY of a view exclude each other.
R5 nothing at or below the floor, nothing of an epoch before the highest one. The same vote again is no new signature.

Unlike `consensus.signing.SigningTable` it knows nothing of the journal and trusts nobody: it refuses, and the asker
goes on without that vote. Source: sections 4.1 and 7.3 of the consensus paper; EIP-3076 for the marks.
"""

from __future__ import annotations

from typing import Final

from aitoken.errors import Rejected
from aitoken.proto.votes import FINALIZE, KIND_NAMES, NULLIFY, is_statement

VIEWS_MAX: Final = 64
"""Views whose votes are kept; the oldest gives way and becomes the floor."""

SignedVote = tuple[int, int, bytes]
"""View, kind and block hash of a vote of the highest epoch."""


class VoteRefused(Rejected):
    """The signer does not make this vote: it, or one that excludes it, may have been made before."""

    code = "signer.refused"


class SignedVotes:
    """What one key has signed."""

    __slots__ = ("_signed", "epoch", "floor")

    def __init__(self, epoch: int = 0, floor: int = 0, votes: tuple[SignedVote, ...] = ()) -> None:
        self.epoch = epoch
        self.floor = floor
        self._signed: dict[tuple[int, int], bytes] = {(view, kind): block for view, kind, block in votes}

    def enter(self, kind: int, epoch: int, view: int, block_hash: bytes) -> bool:
        """Note a vote that is about to be signed; False when it was noted before.

        Raises:
            VoteRefused: it breaks R1, R3 or R5, or is no vote at all; nothing changed.
        """
        signed = self._signed if epoch == self.epoch else {}
        floor = self.floor if epoch == self.epoch else 0
        excluded = FINALIZE if kind == NULLIFY else NULLIFY if kind == FINALIZE else None
        if (
            not is_statement(kind, epoch, view, block_hash)
            or epoch < self.epoch
            or view <= floor
            or signed.get((view, kind), block_hash) != block_hash
            or (excluded is not None and (view, excluded) in signed)
        ):
            what = f"{KIND_NAMES.get(kind, kind)} {block_hash.hex()[:12]} in view {view} of epoch {epoch}"
            raise VoteRefused(f"{what}: signed up to view {self.floor} of epoch {self.epoch}, and votes above it")
        if (view, kind) in signed:
            return False
        self.epoch, self.floor, self._signed = epoch, floor, signed
        signed[(view, kind)] = block_hash
        views = sorted({at for at, _ in signed})
        if len(views) > VIEWS_MAX:
            self.settle(epoch, views[-VIEWS_MAX - 1])
        return True

    def settle(self, epoch: int, view: int) -> None:
        """Sign nothing up to this view of this epoch any more; a mark below the present one changes nothing."""
        if epoch > self.epoch:
            self.epoch, self.floor, self._signed = epoch, view, {}
        elif epoch == self.epoch and view > self.floor:
            self.floor = view
            self._signed = {key: block for key, block in self._signed.items() if key[0] > view}

    def knows(self, kind: int, epoch: int, view: int, block_hash: bytes) -> bool:
        """Whether a vote that was made can have been made with this memory; False proves that the memory is older."""
        if epoch != self.epoch:
            return epoch < self.epoch
        return view <= self.floor or self._signed.get((view, kind)) == block_hash

    @property
    def highest_view(self) -> int:
        """The highest view of the epoch in which anything was signed, at least the floor."""
        return max((view for view, _ in self._signed), default=self.floor)

    def votes(self) -> tuple[SignedVote, ...]:
        """The votes above the floor, ascending."""
        return tuple([(view, kind, block) for (view, kind), block in sorted(self._signed.items())])
