"""Counting votes, forming and taking in certificates.

Upon a vote: keep it; if its statement now weighs a quorum, form the certificate. Two votes that no honest validator
makes both of (two blocks notarized or finalized in one view, FINALIZE with NULLIFY) are evidence, and both are kept.

A vote inside a certificate counts as heard here too: a liar that shows its two votes to different nodes is found out
when the certificate that one of them helped to make meets the other.

Upon a certificate for a view above the final one: keep it, write it down (without a barrier: any later own vote's
barrier covers it), and go to the next view. A finalization makes its block final. Statements that exclude each other,
both proven, mean that a third of the weight is dishonest or that this program is wrong: stop.

A vote that is only counted wakes no other room: those act upon certificates, and upon NULLIFY votes from the first on.

A node keeps at most two votes per signer and kind in a view, so memory is bounded without a limit on the number of
blocks voted for, which two liars could use up before the honest block is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from aitoken.proto.votes import FINALIZE, NOTARIZE, NULLIFY, Certificate, Vote, bitmap_of
from aitoken.types import Hash32
from consensus.effects import Doppelganger, Finalized, Panic, Persist, Report
from consensus.messages import Evidence
from consensus.state import FinalView, Round, State, Tally
from consensus.types import FUTURE_VIEWS

_NONE: Final[Mapping[int, bytes]] = MappingProxyType({})


def wants_vote(state: State, vote: Vote) -> bool:
    """Whether the vote could change anything; ask before verifying its signature."""
    view = vote.view
    if (
        state.done
        or state.panicked
        or not state.final.view < view <= state.view + FUTURE_VIEWS
        or vote.signer >= len(state.seen_views)
    ):
        return False
    found = state.rounds.get(view)
    if found is None:
        return True
    if vote.kind == NULLIFY:
        return vote.signer not in found.nullify.signatures and (
            found.nullified is None or _signed(found.finalize, vote.signer)
        )
    tallies = found.notarize if vote.kind == NOTARIZE else found.finalize
    tally = tallies.get(vote.hash)
    if tally is not None and vote.signer in tally.signatures:
        return False
    settled = vote.kind == NOTARIZE and found.notarized is not None and found.notarized.hash == vote.hash
    if len(tallies) == (tally is not None):
        return not settled  # nobody voted for anything else
    others = 0
    for held in tallies.values():
        others += vote.signer in held.signatures
    return others == 1 if settled else others < 2


def wants_certificate(state: State, certificate: Certificate) -> bool:
    """Whether the certificate is news; ask before verifying its signatures."""
    if state.done or state.panicked or certificate.view <= state.final.view:
        return False
    found = state.rounds.get(certificate.view)
    if found is None or certificate.kind == FINALIZE:
        return True
    held = found.notarized if certificate.kind == NOTARIZE else found.nullified
    return held is None or held.hash != certificate.hash


def checked_signatures(state: State, certificate: Certificate) -> Mapping[int, bytes]:
    """Return the signatures by signer of the votes counted for the statement of a certificate: all were checked."""
    found = state.rounds.get(certificate.view)
    if found is None:
        return _NONE
    if certificate.kind == NULLIFY:
        return found.nullify.signatures
    tally = (found.notarize if certificate.kind == NOTARIZE else found.finalize).get(certificate.hash)
    return _NONE if tally is None else tally.signatures


def add_vote(state: State, vote: Vote) -> None:
    """Count a vote whose signature is right, an own one included."""
    if not wants_vote(state, vote):
        return
    found = state.round(vote.view)
    signer = vote.signer
    own = (found.my_notarize, found.my_nullify, found.my_finalize)
    if signer == state.me and vote.view > state.floor and vote not in own:
        _meet_doppelganger(state, vote)
    note_seen(state, vote)
    if _may_conflict(found, vote):
        for other in _conflicts(found, vote):
            _accuse(state, found, other, vote)
    for other in _certified_conflicts(found, vote):
        _accuse(state, found, other, vote)
    tally = _tally(found, vote.kind, vote.hash)
    tally.signatures[signer] = vote.signature
    tally.weight += state.epoch.validators.weights[signer]
    if vote.kind == NULLIFY:
        state.dirty = True
    if tally.weight >= state.epoch.validators.quorum:
        _form(state, found, vote, tally)


def note_seen(state: State, vote: Vote) -> None:
    """Note how far the signer of a vote that it sent itself is: it needs no certificate of the views below."""
    seen, at = state.seen_views, vote.view + (vote.kind == FINALIZE)
    if vote.signer < len(seen) and seen[vote.signer] < at:
        seen[vote.signer] = at


def add_certificate(state: State, certificate: Certificate) -> None:
    """Take in a certificate whose weight and signatures are right."""
    if not wants_certificate(state, certificate):
        return
    found = state.round(certificate.view)
    against = _contradiction(found, certificate)
    if against is not None:
        state.panicked = True
        state.voting = False
        state.emit(Panic(f"certificates of view {certificate.view} exclude each other", (against, certificate)))
        return
    _look_for_liars(state, found, certificate)
    state.emit(Persist(certificate))
    state.dirty = True
    state.next_view = max(state.next_view, certificate.view + 1)
    if certificate.kind == NOTARIZE:
        found.notarized = certificate
    elif certificate.kind == NULLIFY:
        found.nullified = certificate
    else:
        finalize(state, certificate)


def finalize(state: State, certificate: Certificate) -> None:
    """Make the certificate's block final and forget what lies below."""
    view = certificate.view
    block = state.blocks.get(certificate.hash)
    number = block.number if block is not None else state.final.number
    state.final = FinalView(view, certificate.hash, number, certificate)
    state.rounds = {at: found for at, found in state.rounds.items() if at > view}
    state.blocks = {
        block_hash: held
        for block_hash, held in state.blocks.items()
        if held.view > view or block_hash == certificate.hash
    }
    state.valid = {h: ok for h, ok in state.valid.items() if h in state.blocks or h == certificate.hash}
    state.persisted &= state.blocks.keys()
    state.verifying &= state.blocks.keys()
    state.emit(Finalized(certificate))
    note_final_block(state)


def note_final_block(state: State) -> None:
    """Learn the height of the final block once it is here; a final terminal block ends the epoch."""
    block = state.blocks.get(state.final.hash)
    if block is None:
        return
    if block.number != state.final.number:
        state.final = FinalView(state.final.view, block.hash, block.number, state.final.certificate)
    if state.is_terminal(block):
        state.done = True


def _form(state: State, found: Round, vote: Vote, tally: Tally) -> None:
    held = found.notarized if vote.kind == NOTARIZE else found.nullified if vote.kind == NULLIFY else None
    if held is not None and held.hash == vote.hash:
        return
    signers = state.epoch.validators.lightest_quorum(tally.signatures)
    bitmap = bitmap_of(signers, len(state.epoch.validators))
    signatures = tuple([tally.signatures[signer] for signer in signers])
    add_certificate(state, Certificate(vote.kind, vote.epoch, vote.view, vote.hash, bitmap, signatures))


def _contradiction(found: Round, certificate: Certificate) -> Certificate | None:
    notarized = found.notarized
    if certificate.kind == NULLIFY:
        return None
    if notarized is not None and notarized.hash != certificate.hash:
        return notarized
    return found.nullified if certificate.kind == FINALIZE else None


def _accuse(state: State, found: Round, first: Vote, second: Vote) -> None:
    offence = (first.signer, min(first.kind, second.kind), max(first.kind, second.kind))
    if first.signer != state.me and offence not in found.reported:
        found.reported.add(offence)
        state.emit(Report(Evidence(first, second)))


def _look_for_liars(state: State, found: Round, certificate: Certificate) -> None:
    """Compare the votes in a certificate with those held."""
    for vote in certificate.votes() if _may_conflict(found, certificate) else ():
        for other in _conflicts(found, vote):
            _accuse(state, found, other, vote)


def _may_conflict(found: Round, statement: Vote | Certificate) -> bool:
    """Whether any vote held excludes this statement, whoever made it: mostly none does."""
    if statement.kind == NULLIFY:
        return bool(found.finalize)
    tallies = found.notarize if statement.kind == NOTARIZE else found.finalize
    nullified = statement.kind == FINALIZE and bool(found.nullify.signatures)
    return nullified or len(tallies) > (statement.hash in tallies)


def _certified_conflicts(found: Round, vote: Vote) -> list[Vote]:
    """The vote of the same signer in a certificate of the view, where it excludes this one."""
    held = found.notarized if vote.kind == NOTARIZE else found.nullified if vote.kind == FINALIZE else None
    if held is None or held.hash == vote.hash:
        return []
    return [other for other in held.votes() if other.signer == vote.signer]


def _conflicts(found: Round, vote: Vote) -> list[Vote]:
    """Held votes of the same signer that exclude this one."""
    signer = vote.signer
    if vote.kind == NULLIFY:
        return _held(found.finalize, FINALIZE, vote, signer)
    tallies = found.notarize if vote.kind == NOTARIZE else found.finalize
    conflicts = _held(tallies, vote.kind, vote, signer)
    if vote.kind == FINALIZE and signer in found.nullify.signatures:
        conflicts.append(
            Vote(NULLIFY, vote.epoch, vote.view, Hash32(bytes(32)), signer, found.nullify.signatures[signer])
        )
    return conflicts


def _held(tallies: dict[Hash32, Tally], kind: int, vote: Vote, signer: int) -> list[Vote]:
    return [
        Vote(kind, vote.epoch, vote.view, block_hash, signer, tally.signatures[signer])
        for block_hash, tally in tallies.items()
        if signer in tally.signatures and (kind != vote.kind or block_hash != vote.hash)
    ]


def _signed(tallies: dict[Hash32, Tally], signer: int) -> bool:
    return any(signer in tally.signatures for tally in tallies.values())


def _tally(found: Round, kind: int, block_hash: Hash32) -> Tally:
    if kind == NULLIFY:
        return found.nullify
    tallies = found.notarize if kind == NOTARIZE else found.finalize
    tally = tallies.get(block_hash)
    if tally is None:
        tally = tallies[block_hash] = Tally()
    return tally


def _meet_doppelganger(state: State, vote: Vote) -> None:
    """Somebody signs with our key: another process, or this one before it lost its journal. Both end our voting."""
    state.voting = False
    if not state.twin:
        state.twin = True
        state.emit(Doppelganger(vote))
