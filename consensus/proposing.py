"""What the leader of a view does, and the timers that everybody keeps for it.

Upon entering a view one leads: stand on the highest notarized view since which every view is nullified; wait until the
target interval (`State.target_interval_ms`) after the parent's timestamp has passed; build; NOTARIZE the block and send
it with its justification. A terminal parent is proposed again instead, at once and without execution. What was built
for a view is never built twice: after a restart the same proposal is sent. A leader that cannot build says NULLIFY at
once.

Timers of a view, with d = delta * min(1.25^max(0, view - final view - 2), 8) and rest = what is left of the interval:
LEADER after rest + 2d without a proposal -> NULLIFY; VIEW after rest + 4d -> NULLIFY and start repeating.
When the interval itself changes (work arrives, the tip becomes final) the timers start again from now.
"""

from __future__ import annotations

from typing import Final

from aitoken.proto.votes import NOTARIZE
from aitoken.types import Hash32
from consensus.ancestry import justification, select_parent
from consensus.effects import Barrier, Broadcast, Build, Persist, SetTimer, WantCertificates
from consensus.inputs import TimerKind
from consensus.messages import CERTIFICATE_RANGE_MAX, Again, Full, Proposal
from consensus.state import Offer, Round, State
from consensus.types import Block, Slot
from consensus.voting import count, nullify, persist_block, sign, start_retry

BACKOFF_PER_MILLE: Final = (1000, 1250, 1562, 1953, 2441, 3051, 3814, 4768, 5960, 7450, 8000)
"""1.25^k up to 8. Small on purpose: with 1.5^k up to 30 s, a 50 s outage took another 90 s to recover from."""


def enter(state: State, view: int) -> None:
    """Go to a view for which a certificate of the view before is known."""
    state.view = view
    state.leader = state.epoch.leader(view)
    state.entered_ms = state.now
    state.building = 0
    state.paced = (0, 0, 0)
    found = state.round(view)
    state.emit(SetTimer(TimerKind.PUSH, view, state.pace.certificate_push_ms))
    arm(state)
    if found.my_nullify is not None:
        start_retry(state, found)


def arm(state: State) -> None:
    """Set the timers of the current view from now."""
    tip_view, tip_hash = state.tip()
    tip = state.blocks.get(tip_hash)
    target = state.target_interval_ms(tip_view, tip)
    state.target_ms = target
    rest = target if tip is None else min(max(tip.timestamp_ms + target - state.now, 0), target)
    step = backoff_ms(state)
    state.emit(
        SetTimer(TimerKind.LEADER, state.view, rest + 2 * step),
        SetTimer(TimerKind.VIEW, state.view, rest + 4 * step),
    )


def rearm_if_changed(state: State) -> None:
    """Start the view's timers again when the target interval changed and nothing happened in the view yet."""
    found = state.rounds[state.view]
    if found.offers or found.my_nullify is not None:
        return
    tip_view, tip_hash = state.tip()
    if state.target_interval_ms(tip_view, state.blocks.get(tip_hash)) != state.target_ms:
        arm(state)


def backoff_ms(state: State) -> int:
    """Return the delay assumed for one message in the current view."""
    steps = state.view - state.final.view - 2
    if steps <= 0:
        return state.pace.delta_ms
    return state.pace.delta_ms * BACKOFF_PER_MILLE[min(steps, len(BACKOFF_PER_MILLE) - 1)] // 1000


def try_propose(state: State) -> None:
    """Propose, if this node leads the current view and everything needed is here."""
    view = state.view
    if state.leader != state.me or state.building == view or not state.may_sign(view):
        return
    found = state.round(view)
    if found.my_notarize is not None or found.my_nullify is not None:
        return
    parent_view, parent_hash = select_parent(state, view)
    if parent_hash is None:
        state.emit(WantCertificates(parent_view, min(view - 1, parent_view + CERTIFICATE_RANGE_MAX), ()))
        return
    if not state.have_valid(parent_hash):
        return
    parent = state.blocks[parent_hash]
    if state.is_terminal(parent):
        _propose(state, found, parent_view, parent, again=True)
        return
    target = state.target_interval_ms(parent_view, parent)
    if state.paced[:2] != (view, target):
        # Never longer than the interval itself: a clock that is behind must not hold the chain up.
        rest = min(max(parent.timestamp_ms + target - state.now, 0), target)
        state.paced = (view, target, state.now + rest)
        if rest:
            state.emit(SetTimer(TimerKind.PACE, view, rest))
    if state.now < state.paced[2]:
        return
    state.building = view
    timestamp_ms = max(state.now, parent.timestamp_ms + state.pace.block_time_ms)
    number = parent.number + 1
    slot = Slot(state.epoch.index, view, parent_view, state.me, timestamp_ms, number, state.epoch.is_terminal(number))
    state.emit(Build(parent, slot))


def on_built(state: State, view: int, block: Block | None) -> None:
    """Propose the block that was built for the current view."""
    if view != state.view or state.building != view or state.done:
        return
    state.building = 0
    found = state.round(view)
    if block is None:
        nullify(state, view)
        return
    if not state.may_sign(view) or found.my_notarize is not None or found.my_nullify is not None:
        return
    state.blocks[block.hash] = block
    state.valid[block.hash] = True
    _propose(state, found, block.parent_view, block, again=False)


def propose_again(state: State, found: Round) -> bool:
    """Send the proposal of the current view that this node has already voted for, after a restart or a silence."""
    vote = found.my_notarize
    if vote is None or state.epoch.leader(found.view) != state.me:
        return False
    message = proposal_message(state, found, vote.hash)
    if message is None:
        return False
    state.emit(Broadcast(message))
    return True


def proposal_message(state: State, found: Round, block_hash: Hash32) -> Proposal | None:
    """Return the proposal of `block_hash` in this view, as far as this node holds it."""
    offer = next((offer for offer in found.offers if offer.hash == block_hash), None)
    block = state.blocks.get(block_hash)
    if offer is None or (block is None and not offer.again):
        return None
    body = Again(block_hash) if offer.again or block is None else Full(block.header, block.extrinsics)
    certificates = justification(state, found.view, offer.parent_view)
    return Proposal(state.epoch.index, found.view, offer.parent_view, offer.vote, body, certificates)


def restore_offer(state: State, found: Round) -> None:
    """Find the own proposal of a view again, from the own vote and the block in the journal."""
    vote = found.my_notarize
    if vote is None or found.offers or state.epoch.leader(found.view) != state.me:
        return
    block = state.blocks.get(vote.hash)
    if block is not None and block.view == found.view:
        found.offers.append(Offer(found.view, block.parent_view, vote.hash, again=False, vote=vote))
        return
    parent_view, parent_hash = select_parent(state, found.view)
    if parent_hash == vote.hash:
        found.offers.append(Offer(found.view, parent_view, vote.hash, again=True, vote=vote))


def _propose(state: State, found: Round, parent_view: int, block: Block, *, again: bool) -> None:
    vote = sign(state, NOTARIZE, found.view, block.hash)
    if vote is None:
        state.building = found.view  # not once more in this view
        nullify(state, found.view)
        return
    found.my_notarize = vote
    found.offers.insert(0, Offer(found.view, parent_view, block.hash, again, vote))
    persist_block(state, block)
    state.emit(Persist(vote), Barrier())
    propose_again(state, found)
    count(state, vote)
