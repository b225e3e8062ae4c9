"""Which pairs of votes prove dishonesty. Always two votes of one signer in one view; nothing else is ever punished.

NOTARIZE with NULLIFY is legal, and so is any vote late, repeated or without justification. If two conflicting blocks
are ever final, a third of the weight signed such a pair (or two thirds are dishonest).

Agreement forms and gossips such pairs, the chain punishes them: both ask here.
"""

from __future__ import annotations

from enum import IntEnum

from aitoken.proto.votes import FINALIZE, NOTARIZE, NULLIFY, Vote


class Offence(IntEnum):
    """What a pair of votes proves."""

    DOUBLE_NOTARIZE = 1
    DOUBLE_FINALIZE = 2
    FINALIZE_AND_NULLIFY = 3


def offence_of(first: Vote, second: Vote) -> Offence | None:
    """Return what two votes prove together, None when they prove nothing. Signatures are not looked at."""
    if (first.epoch, first.view, first.signer) != (second.epoch, second.view, second.signer):
        return None
    if not first.is_well_formed() or not second.is_well_formed():
        return None
    if {first.kind, second.kind} == {FINALIZE, NULLIFY}:
        return Offence.FINALIZE_AND_NULLIFY
    if first.kind != second.kind or first.hash == second.hash:
        return None
    return Offence.DOUBLE_NOTARIZE if first.kind == NOTARIZE else Offence.DOUBLE_FINALIZE
