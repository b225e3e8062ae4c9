"""What a signer refuses, by its own table and independent of the core.

The table knows the votes of the running epoch. It refuses a second NOTARIZE or FINALIZE of another hash in a view (R1),
FINALIZE with NULLIFY in a view (R3), and anything for views up to the final one or for another epoch (R5). The same
vote again is no new signature: ed25519 is deterministic. A core that asks for a forbidden vote is broken, so a refusal
is a `Bug`, not an answer.
"""

from __future__ import annotations

from aitoken.errors import Bug
from aitoken.proto.votes import FINALIZE, KIND_NAMES, NOTARIZE, NULLIFY, Vote


class ForbiddenVote(Bug):
    """The core asked for a vote that an honest validator never makes."""

    code = "consensus.forbidden_vote"


class SigningTable:
    """The votes made in one epoch, above its final view."""

    __slots__ = ("_epoch", "_final_view", "_signed")

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._final_view = 0
        self._signed: dict[tuple[int, int], bytes] = {}

    def check(self, kind: int, epoch: int, view: int, block_hash: bytes) -> None:
        """Enter the vote into the table, or refuse it.

        Raises:
            ForbiddenVote: it breaks R1, R3 or R5.
        """
        signed = self._signed
        excluded = FINALIZE if kind == NULLIFY else NULLIFY if kind == FINALIZE else None
        if (
            epoch != self._epoch
            or view <= self._final_view
            or signed.get((view, kind), block_hash) != block_hash
            or (excluded is not None and (view, excluded) in signed)
        ):
            what = f"{KIND_NAMES.get(kind)} {block_hash.hex()[:12]} in view {view} of epoch {epoch}"
            raise ForbiddenVote(f"{what}, after final view {self._final_view} of epoch {self._epoch}")
        signed[(view, kind)] = block_hash

    def restore(self, vote: Vote) -> None:
        """Enter a vote found in the journal."""
        if vote.epoch == self._epoch and vote.kind in (NOTARIZE, NULLIFY, FINALIZE):
            self._signed[(vote.view, vote.kind)] = vote.hash

    def settle(self, final_view: int) -> None:
        """Refuse everything up to the final view from now on."""
        if final_view > self._final_view:
            self._final_view = final_view
            self._signed = {key: value for key, value in self._signed.items() if key[0] > final_view}
