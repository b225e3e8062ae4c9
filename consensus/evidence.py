"""Evidence: two votes of one signer that prove dishonesty, formed here and punished on chain.

Which pairs prove what is said in `aitoken.proto.offences`.
"""

from __future__ import annotations

from collections.abc import Callable

from aitoken.proto import offences
from aitoken.proto.offences import Offence
from aitoken.proto.votes import Certificate, Vote
from consensus.messages import Evidence


def offence_of(evidence: Evidence) -> Offence | None:
    """Return what the two votes prove together, None when they prove nothing. Signatures are not looked at."""
    return offences.offence_of(evidence.first, evidence.second)


def proves(evidence: Evidence, verify: Callable[[Vote], bool]) -> Offence | None:
    """Return what the evidence proves once every signature in it is checked."""
    offence = offence_of(evidence)
    return offence if offence is not None and verify(evidence.first) and verify(evidence.second) else None


def from_certificates(first: Certificate, second: Certificate) -> list[Evidence]:
    """Return what two certificates that exclude each other prove: an offence of more than a third of the weight."""
    votes = {vote.signer: vote for vote in first.votes()}
    pairs = [Evidence(votes[vote.signer], vote) for vote in second.votes() if vote.signer in votes]
    return [pair for pair in pairs if offence_of(pair) is not None]
