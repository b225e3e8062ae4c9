"""Which pairs of votes prove dishonesty. Always two votes of one signer in one view; nothing else is ever punished.

NOTARIZE with NULLIFY is legal, and so is any vote late, repeated or without justification. If two conflicting blocks
are ever final, a third of the weight signed such a pair (or two thirds are dishonest).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from aitoken.proto.votes import FINALIZE, NOTARIZE, NULLIFY, Certificate, Vote
from consensus.messages import Evidence


class Offence(IntEnum):
    """What a pair of votes proves."""

    DOUBLE_NOTARIZE = 1
    DOUBLE_FINALIZE = 2
    FINALIZE_AND_NULLIFY = 3


def offence_of(evidence: Evidence) -> Offence | None:
    """Return what the two votes prove together, None when they prove nothing. Signatures are not looked at."""
    first, second = evidence.first, evidence.second
    if (first.epoch, first.view, first.signer) != (second.epoch, second.view, second.signer):
        return None
    if not first.is_well_formed() or not second.is_well_formed():
        return None
    if {first.kind, second.kind} == {FINALIZE, NULLIFY}:
        return Offence.FINALIZE_AND_NULLIFY
    if first.kind != second.kind or first.hash == second.hash:
        return None
    return Offence.DOUBLE_NOTARIZE if first.kind == NOTARIZE else Offence.DOUBLE_FINALIZE


def proves(evidence: Evidence, verify: Callable[[Vote], bool]) -> Offence | None:
    """Return what the evidence proves once every signature in it is checked."""
    offence = offence_of(evidence)
    return offence if offence is not None and verify(evidence.first) and verify(evidence.second) else None


def from_certificates(first: Certificate, second: Certificate) -> list[Evidence]:
    """Return what two certificates that exclude each other prove: an offence of more than a third of the weight."""
    votes = {vote.signer: vote for vote in first.votes()}
    pairs = [Evidence(votes[vote.signer], vote) for vote in second.votes() if vote.signer in votes]
    return [pair for pair in pairs if offence_of(pair) is not None]
