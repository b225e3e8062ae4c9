"""Pull repair: nodes say where they stand, and are sent what they lack.

Simplex assumes that no message is ever lost; real connections break. So a node tells its peers its `Status` when it
starts, when a connection comes up, while a view does not go well, and whenever nothing became final for a while. The
answer to one status, at most once per peer in 0.2 s (or two nodes would feed each other without end):

1. our own vote of the peer's view, and our own FINALIZE votes since its final view;
2. our own proposal of its view, if it has none;
3. the last final certificate, if the peer's is older;
4. the certificates of the views from the peer's to ours, both kinds, at most 24;
5. votes of others for its view that it has not seen, and the proposal of another leader;
6. our own status, if the peer is ahead: a request in turn, once for each state of the peer.

A status is read by all, and 3 to 5 would be the same from everybody: n copies of the block and n^2 votes. So in each
second eight validators have the turn to give them; whoever goes on lacking something repeats its status.
"""

from __future__ import annotations

from typing import Final

from aitoken.proto.votes import NO_BLOCK, NOTARIZE, NULLIFY, Certificate, Vote, bitmap_of
from aitoken.types import Hash32
from consensus.effects import Broadcast, Send, SendValidator, SetTimer
from consensus.inputs import TimerKind
from consensus.messages import (
    CERTIFICATE_ANSWER_MAX,
    LACKS_PROPOSAL,
    SEEN_HASHES_MAX,
    WANTS_REPAIR,
    WANTS_STATUS,
    GetCertificates,
    Status,
)
from consensus.proposing import proposal_message, propose_again
from consensus.state import Round, State, Tally
from consensus.types import Peer
from consensus.voting import retry_delay_ms

ANSWER_INTERVAL_MS: Final = 200
PEERS_REMEMBERED_MAX: Final = 1024
HELPERS: Final = 8
TURN_MS: Final = 1000


def status(state: State) -> Status:
    """Return where this node stands."""
    count = len(state.epoch.validators)
    found = state.rounds.get(state.view)
    notarize: tuple[tuple[Hash32, bytes], ...] = ()
    nullify = b""
    flags = WANTS_REPAIR
    if found is not None:
        heaviest = sorted(found.notarize.items(), key=lambda item: (-item[1].weight, item[0]))[:SEEN_HASHES_MAX]
        notarize = tuple((block_hash, bitmap_of(tally.signatures, count)) for block_hash, tally in heaviest)
        nullify = bitmap_of(found.nullify.signatures, count)
    if found is None or not found.offers:
        flags |= LACKS_PROPOSAL
    final = state.final
    return Status(state.epoch.index, state.view, final.view, final.hash, final.number, notarize, nullify, flags)


def on_status(state: State, peer: Peer, theirs: Status) -> None:
    """Answer a status of the same epoch."""
    last = state.answered.get(peer)
    if last is not None and state.now - last < ANSWER_INTERVAL_MS:
        return
    if len(state.answered) >= PEERS_REMEMBERED_MAX:
        state.answered.clear()
        state.told.clear()
    state.answered[peer] = state.now
    if theirs.flags & WANTS_REPAIR:
        _send_missing(state, peer, theirs)
    if theirs.flags & WANTS_STATUS:
        state.emit(Send(peer, status(state)))
        return
    ahead = theirs.view > state.view or theirs.final_view > state.final.view
    if ahead and not state.done and state.told.get(peer) != (theirs.view, theirs.final_view):
        state.told[peer] = (theirs.view, theirs.final_view)
        state.emit(Send(peer, status(state)))


def on_certificates_wanted(state: State, peer: Peer, request: GetCertificates) -> None:
    """Answer with every certificate held of the views asked for."""
    certificates: list[Certificate] = []
    if request.low <= state.final.view and state.final.certificate is not None:
        certificates.append(state.final.certificate)
    certificates.extend(_certificates(state, request.low, request.high + 1))
    state.emit(*(Send(peer, certificate) for certificate in certificates[:CERTIFICATE_ANSWER_MAX]))


def on_retry(state: State, view: int) -> None:
    """Say again what was said in this view, and ask for what is missing."""
    if view != state.view:
        return
    found = state.round(view)
    if not propose_again(state, found) and found.my_notarize is not None:
        state.emit(Broadcast(found.my_notarize))
    if found.my_nullify is not None:
        state.emit(Broadcast(found.my_nullify))
    entry = entry_certificate(state)
    if entry is not None:
        state.emit(Broadcast(entry))
    state.emit(Broadcast(status(state)))
    found.retries += 1
    state.emit(SetTimer(TimerKind.RETRY, view, retry_delay_ms(state, found)))


def push_entry_certificate(state: State, view: int) -> None:
    """Send the certificate of the view before to the validators that have shown no vote of this one."""
    entry = entry_certificate(state)
    if view != state.view or entry is None:
        return
    for index, seen in enumerate(state.seen_views):
        if seen < view and index != state.me:
            state.emit(SendValidator(index, entry))


def entry_certificate(state: State) -> Certificate | None:
    """Return the certificate by which the current view was entered."""
    below = state.view - 1
    if below == state.final.view:
        return state.final.certificate
    found = state.rounds.get(below)
    return None if found is None else found.notarized or found.nullified


def _send_missing(state: State, peer: Peer, theirs: Status) -> None:
    everything = _has_turn(state)
    if everything:
        if theirs.final_view < state.final.view and state.final.certificate is not None:
            state.emit(Send(peer, state.final.certificate))
        low = max(theirs.view, state.final.view + 1)
        certificates = _certificates(state, low, state.view)[:CERTIFICATE_ANSWER_MAX]
        state.emit(*(Send(peer, certificate) for certificate in certificates))
    found = state.rounds.get(theirs.view)
    if found is not None:
        _send_missing_votes(state, peer, theirs, found, everything=everything)
    settled = max(theirs.final_view, state.final.view)
    for view in sorted(state.rounds):
        own = state.rounds[view].my_finalize
        if settled < view < theirs.view and own is not None:
            state.emit(Send(peer, own))


def _has_turn(state: State) -> bool:
    """Whether this node gives more than its own now; one that is no validator has few that ask it."""
    count = len(state.epoch.validators)
    return state.me is None or (state.me - state.now // TURN_MS * HELPERS) % count < HELPERS


def _send_missing_votes(state: State, peer: Peer, theirs: Status, found: Round, *, everything: bool) -> None:
    seen = dict(theirs.notarize_seen)
    epoch = state.epoch.index
    for block_hash, tally in found.notarize.items():
        for signer in _unseen(tally, seen.get(block_hash, b"")):
            if everything or signer == state.me:
                vote = Vote(NOTARIZE, epoch, found.view, block_hash, signer, tally.signatures[signer])
                state.emit(Send(peer, vote))
    for signer in _unseen(found.nullify, theirs.nullify_seen):
        if everything or signer == state.me:
            state.emit(Send(peer, Vote(NULLIFY, epoch, found.view, NO_BLOCK, signer, found.nullify.signatures[signer])))
    ours = everything or state.epoch.leader(found.view) == state.me
    if ours and theirs.flags & LACKS_PROPOSAL and found.offers:
        message = proposal_message(state, found, found.offers[0].hash)
        if message is not None:
            state.emit(Send(peer, message))


def _unseen(tally: Tally, seen: bytes) -> list[int]:
    bits = int.from_bytes(seen, "little")
    return [signer for signer in sorted(tally.signatures) if not bits >> signer & 1]


def _certificates(state: State, low: int, before: int) -> list[Certificate]:
    certificates: list[Certificate] = []
    for view in sorted(state.rounds):
        if low <= view < before:
            found = state.rounds[view]
            certificates.extend(c for c in (found.notarized, found.nullified) if c is not None)
    return certificates
