"""R4: on which parent a block may be proposed and voted for, and the certificates that show it.

A block for view v may stand on the block notarized (or final) at view p < v when every view between is nullified.
It is fresh: its header says (epoch, v, p, that block) and that block is not terminal; or it is the terminal block of
the epoch itself, notarized at p and proposed again.
"""

from __future__ import annotations

from typing import Final

from aitoken.proto.votes import Certificate
from aitoken.types import Hash32
from consensus.messages import JUSTIFICATION_BYTES_MAX, JUSTIFICATION_COUNT_MAX
from consensus.state import Offer, State

OK: Final = 0
BAD: Final = -1
WAIT: Final = -2
"""Verdicts of `judge`; a positive one is the lowest view whose certificate is missing."""

NO_PARENT_VIEW: Final = -1
"""The parent view of an offer whose header contradicts the proposal."""


def judge(state: State, offer: Offer) -> int:
    """Return OK, BAD, WAIT (block data is being fetched), or a view whose certificate is missing."""
    parent_view, view = offer.parent_view, offer.view
    if not 0 <= parent_view < view or parent_view < state.final.view:
        return BAD
    for between in range(parent_view + 1, view):
        if not state.is_nullified(between):
            return between
    parent_hash = state.settled_hash(parent_view)
    if parent_hash is None:
        return parent_view
    if offer.hash == parent_hash:
        block = state.blocks.get(parent_hash)
        if block is None:
            state.have_valid(parent_hash)
            return WAIT
        return OK if offer.again and state.is_terminal(block) else BAD
    return BAD if offer.again else _judge_fresh(state, offer, parent_hash)


def _judge_fresh(state: State, offer: Offer, parent_hash: Hash32) -> int:
    block = state.blocks.get(offer.hash)
    if block is None:
        state.have_valid(offer.hash)
        return WAIT
    if (
        block.epoch != state.epoch.index
        or block.view != offer.view
        or block.parent_view != offer.parent_view
        or block.parent_hash != parent_hash
        or block.leader != state.epoch.leader(offer.view)
    ):
        return BAD
    parent = state.blocks.get(parent_hash)
    if parent is None:
        state.have_valid(parent_hash)
        return WAIT
    if (
        state.is_terminal(parent)
        or block.number != parent.number + 1
        or block.timestamp_ms < parent.timestamp_ms + state.pace.block_time_ms
    ):
        return BAD
    return OK


def select_parent(state: State, view: int) -> tuple[int, Hash32 | None]:
    """Return the highest usable parent view and its block; with None, the view whose certificate is missing.

    A notarized view is preferred even if it was nullified as well.
    """
    for below in range(view - 1, state.final.view, -1):
        found = state.rounds.get(below)
        if found is not None and found.notarized is not None:
            return below, found.notarized.hash
        if found is None or found.nullified is None:
            return below, None
    return state.final.view, state.final.hash


def justification(state: State, view: int, parent_view: int) -> tuple[Certificate, ...]:
    """Return the certificates a proposal for `view` on `parent_view` travels with, newest first where they are cut.

    This is what heals networks whose honest nodes hold different certificates for the same views.
    """
    certificates: list[Certificate] = []
    size = 0
    for at in range(view - 1, parent_view - 1, -1):
        found = state.rounds.get(at)
        if at == state.final.view:
            certificate = state.final.certificate
        elif found is None:
            certificate = None
        else:
            certificate = found.notarized if at == parent_view else found.nullified
        if certificate is None:
            continue
        size += 64 * len(certificate.signatures) + len(certificate.bitmap) + 64
        if size > JUSTIFICATION_BYTES_MAX or len(certificates) >= JUSTIFICATION_COUNT_MAX:
            break
        certificates.append(certificate)
    return tuple(certificates)
