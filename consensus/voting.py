"""What this node signs, and when: the only rules safety depends on .

R1 NOTARIZE at most one hash a view. R2 FINALIZE only what is notarized and was validated here, one hash a view.
R3 never FINALIZE and NULLIFY in one view. R4 NOTARIZE only on a parent view since which every view is nullified
(`consensus.ancestry`). R5 nothing for views up to the final one. R6 every vote is on disk before it leaves.
NOTARIZE after NULLIFY is allowed: a network that lost its memory together needs it. None of this reads a clock.

Upon a proposal for the current view: unusable -> NULLIFY; its ancestry not known yet -> fetch it; valid -> NOTARIZE.
Upon a notarized view that this node did not give up, with the block valid here -> FINALIZE.
Upon NULLIFY votes of a third for the current view, or of its leader -> NULLIFY (amplification).
"""

from __future__ import annotations

from aitoken.proto.votes import FINALIZE, NO_BLOCK, NOTARIZE, NULLIFY, Vote
from aitoken.types import Hash32
from consensus.ancestry import BAD, OK, WAIT, judge
from consensus.effects import Barrier, Broadcast, Count, Head, Persist, SetTimer, WantCertificates
from consensus.inputs import TimerKind
from consensus.messages import CERTIFICATE_RANGE_MAX
from consensus.state import Offer, Round, State
from consensus.tally import add_vote
from consensus.types import Block


def nullify(state: State, view: int) -> None:
    """Give up the current view, unless a vote of ours forbids it."""
    if not state.may_sign(view) or view != state.view:
        return
    found = state.round(view)
    if found.my_finalize is not None or found.my_nullify is not None:
        return
    vote = sign(state, NULLIFY, view, NO_BLOCK)
    if vote is None:
        return
    found.my_nullify = vote
    state.emit(Persist(vote), Barrier(), Broadcast(vote))
    count(state, vote)
    start_retry(state, found)


def start_retry(state: State, found: Round) -> None:
    """Begin to repeat ourselves in a view that does not go well; once a view."""
    if found.retries == 0:
        found.retries = 1
        state.emit(SetTimer(TimerKind.RETRY, found.view, retry_delay_ms(state, found)))


def retry_delay_ms(state: State, found: Round) -> int:
    """Return 1.5 delta, growing to four times that, spread by a quarter so that nodes do not repeat in step."""
    base = state.pace.delta_ms * 3 // 2 * min(found.retries, 4)
    spread = ((0 if state.me is None else state.me) * 193 + found.view * 71 + found.retries * 37) % 257
    return base * (768 + 2 * spread) // 1024


def vote_on_proposal(state: State) -> None:
    """Judge the proposal of the current view and vote for it when everything is known and right."""
    found = state.rounds.get(state.view)
    if found is None:
        return
    if found.nullify.weight and state.voting:
        _give_up_with_others(state, found)
    if found.my_notarize is not None or not found.offers:
        return
    offer = found.offers[0]
    verdict = judge(state, offer)
    if verdict == BAD:
        nullify(state, state.view)
    elif verdict > OK:
        leader = state.epoch.leader(state.view)
        state.emit(WantCertificates(verdict, min(state.view - 1, verdict + CERTIFICATE_RANGE_MAX), (leader,)))
    elif verdict != WAIT:
        if state.have_valid(offer.hash):
            _notarize(state, found, offer)
        elif state.valid.get(offer.hash) is False:
            nullify(state, state.view)


def vote_to_finalize(state: State) -> None:
    """Finalize whatever is notarized, valid here and not given up; find the best block on the way."""
    for view in sorted(state.rounds):
        found = state.rounds.get(view)
        if found is None or found.notarized is None or view <= state.final.view:
            continue
        block_hash = found.notarized.hash
        if not state.have_valid(block_hash):
            continue
        if view > state.best_view:
            state.best_view = view
            state.emit(Head(block_hash))
        if (
            state.may_sign(view)
            and found.my_finalize is None
            and found.my_nullify is None
            and found.nullified is None
            and not state.panicked
        ):
            vote = sign(state, FINALIZE, view, block_hash)
            if vote is None:
                continue
            found.my_finalize = vote
            state.emit(Persist(vote), Barrier(), Broadcast(vote))
            count(state, vote)


def sign(state: State, kind: int, view: int, block_hash: Hash32) -> Vote | None:
    """Make an own vote, None without a signature; only to be broadcast behind `Persist` and `Barrier`."""
    epoch = state.epoch.index
    signature = state.sign(kind, epoch, view, block_hash)
    if signature is None:
        return None
    return Vote(kind, epoch, view, block_hash, -1 if state.me is None else state.me, signature)


def count(state: State, vote: Vote) -> None:
    """Count an own vote, just signed and on its way to the disk.

    A vote that is a quorum by itself counts only when it is there. It would otherwise call forth the next ones at once,
    and the signer, who has a memory of its own, could survive a power cut with a FINALIZE of a block that nobody has:
    then it neither votes for another block of the view nor gives the view up.
    """
    validators = state.epoch.validators
    if validators.weights[vote.signer] >= validators.quorum:
        state.emit(Count(vote))
    else:
        add_vote(state, vote)


def persist_block(state: State, block: Block) -> None:
    """Write the block down, once: whoever notarizes a block can serve it after a crash."""
    if block.hash not in state.persisted:
        state.persisted.add(block.hash)
        state.emit(Persist(block))


def _give_up_with_others(state: State, found: Round) -> None:
    leader = state.epoch.leader(found.view)
    if found.nullify.weight >= state.epoch.validators.third or (
        leader in found.nullify.signatures and found.my_notarize is None
    ):
        nullify(state, found.view)


def _notarize(state: State, found: Round, offer: Offer) -> None:
    block = state.blocks[offer.hash]
    ahead = block.timestamp_ms - state.now - state.pace.max_drift_ms
    if ahead > 0:
        state.emit(SetTimer(TimerKind.DRIFT, found.view, ahead))
        return
    if not state.may_sign(found.view):
        return
    vote = sign(state, NOTARIZE, found.view, offer.hash)
    if vote is None:
        return
    found.my_notarize = vote
    persist_block(state, block)
    state.emit(Persist(vote), Barrier(), Broadcast(vote))
    count(state, vote)
