"""What a signer refuses, by its own table and independent of the core; and from which epoch on a key may vote at all.

The table knows the votes of the running epoch. It refuses a second NOTARIZE or FINALIZE of another hash in a view (R1),
FINALIZE with NULLIFY in a view (R3), and anything for views up to the final one or for another epoch (R5). The same
vote again is no new signature: ed25519 is deterministic. A core that asks for a forbidden vote is broken, so a refusal
is a `Bug`, not an answer.
"""

from __future__ import annotations

from typing import Final

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


AT_ONCE: Final = 0
"""Returned by `first_epoch_to_vote` for a key that may vote in any epoch."""


def first_epoch_to_vote(
    *, journal_intact: bool, recorded_epoch: int | None, chain_epoch: int, at_genesis: bool, force: bool
) -> int:
    """Return the first epoch in which this key may vote, after a start.

    Args:
        journal_intact: the journal of own votes was found and is undamaged.
        recorded_epoch: the highest epoch in which this key voted, by the signer's record; None without a record.
        chain_epoch: the epoch in which the node wakes up.
        at_genesis: the node holds no final block but genesis.
        force: the operator says that no copy of this key voted elsewhere (a devnet whose disks were all lost).

    The key may have voted in an epoch we know nothing of, so without a journal it waits for the next one. At genesis
    without any record it may vote, provided that no peer has a final block: the caller asks the peers first.
    """
    if journal_intact or force:
        return AT_ONCE
    if recorded_epoch is not None:
        return max(recorded_epoch, chain_epoch) + 1
    return AT_ONCE if at_genesis else chain_epoch + 1
