"""The agreement machine: one input to completion, effects out in order. It reads no clock, disk or random source.

Simplex (Chan & Pass 2023, "Simplex Consensus: A Simple and Fast Consensus Protocol") with stake, three-vote form.
Upon entering view v, its leader proposes a block on the highest notarized view below; validators NOTARIZE it once
valid. Upon a quorum of NOTARIZE or of NULLIFY, go to v + 1. Upon a notarized block in a view not given up, FINALIZE it.
Upon a quorum of FINALIZE, the block and its ancestors are final.

The rooms: `tally` counts and certifies, `ancestry` says what may stand on what, `voting` signs, `proposing` leads and
keeps the time, `repair` heals losses. This module only says which input wakes which room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from aitoken.proto.votes import NOTARIZE, NULLIFY, Certificate, Vote
from aitoken.types import Hash32
from consensus import inputs, tally
from consensus.ancestry import NO_PARENT_VIEW, select_parent
from consensus.effects import Broadcast, Effect, Finalized, Panic, Send, SetTimer
from consensus.epochs import Epoch
from consensus.inputs import Input, TimerKind
from consensus.messages import Status
from consensus.proposing import arm, enter, on_built, propose_again, rearm_if_changed, restore_offer, try_propose
from consensus.repair import on_certificates_wanted, on_retry, on_status, push_entry_certificate, status
from consensus.state import FinalView, Offer, SignVote, State
from consensus.types import OFFERS_MAX, Block, Pace
from consensus.voting import nullify, start_retry, vote_on_proposal, vote_to_finalize


class Core:
    """One epoch of agreement, seen by one node.

    Args:
        epoch: the validators, seed, base block and length.
        me: index of the own key, None for a node that only follows.
        pace: times of the protocol.
        sign: makes a signature, refusing what the signing rules forbid.
        voting: False holds all votes back until `VotingAllowed`.
        floor: nothing is signed for views up to this one.

    Attributes:
        epoch: the epoch this core runs.
        state: the memory, for reading by snapshots and invariants.
    """

    def __init__(
        self, epoch: Epoch, me: int | None, pace: Pace, sign: SignVote, *, voting: bool = True, floor: int = 0
    ) -> None:
        self.epoch: Final = epoch
        self.state: Final = State(epoch, me, pace, sign, voting=voting, floor=floor)

    def step(self, now_ms: int, event: Input) -> list[Effect]:
        """Apply one input and return what must now be done, in order."""
        state = self.state
        state.now = now_ms
        if state.panicked:
            return []
        state.effects = []
        _HANDLERS[type(event)](state, event)
        if state.dirty:
            _settle(state)
        return state.effects

    @property
    def view(self) -> int:
        """The current view."""
        return self.state.view

    @property
    def final(self) -> FinalView:
        """The last final view and its block."""
        return self.state.final

    @property
    def done(self) -> bool:
        """Whether the terminal block is final: nothing more happens in this epoch."""
        return self.state.done

    @property
    def voting(self) -> bool:
        """Whether this node signs."""
        return self.state.voting

    def wants_vote(self, vote: Vote) -> bool:
        """Whether a vote could change anything; its signature need not be checked otherwise."""
        return tally.wants_vote(self.state, vote)

    def note_seen(self, vote: Vote) -> None:
        """Take from a vote that changes nothing, and that its signer sent itself, how far that one is."""
        tally.note_seen(self.state, vote)

    def wants_certificate(self, certificate: Certificate) -> bool:
        """Whether a certificate is news; its signatures need not be checked otherwise."""
        return tally.wants_certificate(self.state, certificate)

    def checked_signatures(self, certificate: Certificate) -> Mapping[int, bytes]:
        """Return the signatures that were checked of votes for the statement of a certificate, by signer."""
        return tally.checked_signatures(self.state, certificate)

    def wants_proposal(self, view: int, vote: Vote) -> bool:
        """Whether a proposal for this view, with this vote of its leader, is news."""
        state = self.state
        return _is_leaders(state, view, vote) and _has_room(state, view, vote.hash)

    def holds(self, block_hash: Hash32) -> bool:
        """Whether a block is here: to give it once more changes nothing."""
        return block_hash in self.state.blocks

    def lacks_certificates(self, low: int, high: int) -> bool:
        """Whether a view of the range, above the final one, has no certificate here."""
        state = self.state
        for view in range(max(low, state.final.view + 1), high + 1):
            found = state.rounds.get(view)
            if found is None or (found.notarized is None and found.nullified is None):
                return True
        return False

    @property
    def open_view(self) -> int:
        """The current view if nothing below it can have ended the epoch, as the certificates held prove; else 0."""
        state = self.state
        _, tip_hash = select_parent(state, state.view)
        tip = None if tip_hash is None else state.blocks.get(tip_hash)
        return 0 if tip is None or state.done or state.is_terminal(tip) else state.view

    def status(self) -> Status:
        """Return where this node stands."""
        return status(self.state)

    def unsettled(self) -> tuple[list[Certificate], list[Vote], list[Block]]:
        """Return what a fresh journal must hold: the final certificate; certificates, own votes and blocks above it."""
        state = self.state
        certificates = [] if state.final.certificate is None else [state.final.certificate]
        votes: list[Vote] = []
        for view in sorted(state.rounds):
            found = state.rounds[view]
            certificates += [c for c in (found.notarized, found.nullified) if c is not None]
            votes += [v for v in (found.my_notarize, found.my_nullify, found.my_finalize) if v is not None]
        return certificates, votes, [state.blocks[h] for h in state.blocks if h in state.persisted]


def _settle(state: State) -> None:
    """Let every room act until none has anything left to do."""
    while state.dirty and not state.done and not state.panicked:
        state.dirty = False
        if state.next_view > state.view:
            enter(state, state.next_view)
        vote_on_proposal(state)
        try_propose(state)
        vote_to_finalize(state)
    if state.view in state.rounds and not state.done and not state.panicked:
        rearm_if_changed(state)


def _on_start(state: State, event: inputs.Start) -> None:
    for block in event.blocks:
        state.blocks[block.hash] = block
        state.persisted.add(block.hash)
    for vote in event.own_votes:
        if vote.view > state.final.view and vote.epoch == state.epoch.index:
            found = state.round(vote.view)
            if vote.kind == NOTARIZE:
                found.my_notarize = vote
            elif vote.kind == NULLIFY:
                found.my_nullify = vote
            else:
                found.my_finalize = vote
            state.next_view = max(state.next_view, vote.view)
    state.blocks[event.committed.hash] = event.committed
    state.valid[event.committed.hash] = True
    for certificate in event.certificates:
        tally.add_certificate(state, certificate)
    finalized = [effect for effect in state.effects if isinstance(effect, Finalized)]
    state.effects = [*finalized[-1:], *(effect for effect in state.effects if isinstance(effect, Panic))]
    state.view = state.next_view  # own votes may be tallied for any view up to the one we stood in
    for vote in event.own_votes:
        if vote.epoch == state.epoch.index:
            tally.add_vote(state, vote)
    state.view = 0
    for view in sorted(state.rounds):
        restore_offer(state, state.rounds[view])
    if not state.done:
        enter(state, state.next_view)
        for view in sorted(state.rounds):
            _repeat_own(state, view)
    state.emit(Broadcast(status(state)), SetTimer(TimerKind.STATUS, state.final.view, state.pace.status_interval_ms))
    state.dirty = True


def _repeat_own(state: State, view: int) -> None:
    """After a restart, send again what was signed: it may never have left."""
    found = state.rounds[view]
    if not propose_again(state, found) and found.my_notarize is not None:
        state.emit(Broadcast(found.my_notarize))
    for vote in (found.my_nullify, found.my_finalize):
        if vote is not None:
            state.emit(Broadcast(vote))


def _on_vote(state: State, event: inputs.VoteReceived) -> None:
    tally.add_vote(state, event.vote)


def _on_certificate(state: State, event: inputs.CertificateReceived) -> None:
    tally.add_certificate(state, event.certificate)


def _on_proposal(state: State, event: inputs.ProposalReceived) -> None:
    proposal, block = event.proposal, event.block
    for certificate in reversed(proposal.justification):
        tally.add_certificate(state, certificate)
    view, vote = proposal.view, proposal.vote
    if not _is_leaders(state, view, vote) or (block is not None and block.hash != vote.hash):
        return
    tally.add_vote(state, vote)
    if _has_room(state, view, vote.hash):
        parent_view = proposal.parent_view
        if block is not None and (block.epoch, block.view, block.parent_view) != (proposal.epoch, view, parent_view):
            parent_view = NO_PARENT_VIEW  # not kept: by what its header claims it might never be forgotten
        elif block is not None:
            state.blocks.setdefault(block.hash, block)
        state.round(view).offers.append(Offer(view, parent_view, vote.hash, block is None, vote))
        state.dirty = True


def _is_leaders(state: State, view: int, vote: Vote) -> bool:
    return view >= 1 and (vote.kind, vote.view, vote.signer) == (NOTARIZE, view, state.epoch.leader(view))


def _has_room(state: State, view: int, block_hash: Hash32) -> bool:
    if state.done or not state.in_window(view):
        return False
    found = state.rounds.get(view)
    return found is None or (len(found.offers) < OFFERS_MAX and all(held.hash != block_hash for held in found.offers))


def _on_status(state: State, event: inputs.StatusReceived) -> None:
    on_status(state, event.peer, event.status)


def _on_certificates_wanted(state: State, event: inputs.CertificatesWanted) -> None:
    on_certificates_wanted(state, event.peer, event.request)


def _on_connected(state: State, event: inputs.Connected) -> None:
    state.answered.pop(event.peer, None)
    state.told.pop(event.peer, None)
    state.emit(Send(event.peer, status(state)))


def _on_timer(state: State, event: inputs.TimerFired) -> None:
    view = event.view
    if event.kind == TimerKind.STATUS:
        if state.final.view == view and not state.done:
            state.emit(Broadcast(status(state)))
        state.emit(SetTimer(TimerKind.STATUS, state.final.view, state.pace.status_interval_ms))
        return
    if view != state.view or state.done:
        return
    found = state.round(view)
    state.dirty = True
    if event.kind == TimerKind.LEADER:
        if not found.offers:
            nullify(state, view)
    elif event.kind == TimerKind.VIEW:
        nullify(state, view)
        start_retry(state, found)
    elif event.kind == TimerKind.RETRY:
        on_retry(state, view)
    elif event.kind == TimerKind.PUSH:
        push_entry_certificate(state, view)


def _on_built(state: State, event: inputs.Built) -> None:
    on_built(state, event.view, event.block)
    state.dirty = True


def _on_verified(state: State, event: inputs.Verified) -> None:
    state.verifying.discard(event.hash)
    if event.hash in state.blocks:
        state.valid[event.hash] = event.valid
        state.dirty = True


def _on_block(state: State, event: inputs.BlockReceived) -> None:
    block = event.block
    if block.hash not in state.blocks and (block.view > state.final.view or block.hash == state.final.hash):
        state.blocks[block.hash] = block
        tally.note_final_block(state)
        state.dirty = True


def _on_work(state: State, event: inputs.WorkChanged) -> None:
    if state.work != event.available:
        state.work = event.available
        state.dirty = True


def _on_voting_allowed(state: State, event: inputs.VotingAllowed) -> None:
    if state.me is not None and not state.twin and not state.voting:
        state.voting = True
        state.floor = event.floor
        arm(state)
        state.dirty = True


def _on_voting_suspended(state: State, event: inputs.VotingSuspended) -> None:
    del event
    state.voting = False


_HANDLERS: Final[dict[type[Any], Callable[[State, Any], None]]] = {
    inputs.Start: _on_start,
    inputs.VoteReceived: _on_vote,
    inputs.CertificateReceived: _on_certificate,
    inputs.ProposalReceived: _on_proposal,
    inputs.StatusReceived: _on_status,
    inputs.CertificatesWanted: _on_certificates_wanted,
    inputs.Connected: _on_connected,
    inputs.TimerFired: _on_timer,
    inputs.Built: _on_built,
    inputs.Verified: _on_verified,
    inputs.BlockReceived: _on_block,
    inputs.WorkChanged: _on_work,
    inputs.VotingAllowed: _on_voting_allowed,
    inputs.VotingSuspended: _on_voting_suspended,
}
