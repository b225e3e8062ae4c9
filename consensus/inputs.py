"""What the core is told. Signatures are already checked; times come with the call of `Core.step`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from aitoken.proto.votes import Certificate, Vote
from aitoken.types import Hash32
from consensus.messages import GetCertificates, Proposal, Status
from consensus.types import Block, Peer


class TimerKind(IntEnum):
    """What a timer is for; a newly set timer replaces the pending one of its kind."""

    LEADER = 1
    VIEW = 2
    RETRY = 3
    PACE = 4
    DRIFT = 5
    PUSH = 6
    STATUS = 7


@dataclass(frozen=True, slots=True)
class Start:
    """The first input: everything durable above the final block, in the order it was written.

    `committed` is the last committed block: executed, and the base of the epoch or a final block of it.
    `certificates` begins with the certificate of the final block where there is one.
    """

    committed: Block
    certificates: Sequence[Certificate]
    own_votes: Sequence[Vote]
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class VoteReceived:
    """A vote whose signature is right."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class CertificateReceived:
    """A certificate whose weight and signatures are right."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class ProposalReceived:
    """A proposal whose vote and justification are right; `block` is its body, None when proposed again."""

    peer: Peer
    proposal: Proposal
    block: Block | None


@dataclass(frozen=True, slots=True)
class StatusReceived:
    """A peer says where it stands."""

    peer: Peer
    status: Status


@dataclass(frozen=True, slots=True)
class CertificatesWanted:
    """A peer asks for certificates."""

    peer: Peer
    request: GetCertificates


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection to a peer came up (or came back)."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer set by `SetTimer` ran out."""

    kind: TimerKind
    view: int


@dataclass(frozen=True, slots=True)
class Built:
    """The block asked for by `Build`; None when none could be built."""

    view: int
    block: Block | None


@dataclass(frozen=True, slots=True)
class Verified:
    """The verdict of executing a block on its parent."""

    hash: Hash32
    valid: bool


@dataclass(frozen=True, slots=True)
class BlockReceived:
    """A block that was asked for by `WantBlock`."""

    block: Block


@dataclass(frozen=True, slots=True)
class WorkChanged:
    """Whether there is something to put into a block."""

    available: bool


@dataclass(frozen=True, slots=True)
class VotingSuspended:
    """The signer is gone: no votes until `VotingAllowed`."""


@dataclass(frozen=True, slots=True)
class VotingAllowed:
    """The reasons not to vote are gone (see `consensus.permission`), above the view `floor`."""

    floor: int


Input: TypeAlias = (
    Start
    | VoteReceived
    | CertificateReceived
    | ProposalReceived
    | StatusReceived
    | CertificatesWanted
    | Connected
    | TimerFired
    | Built
    | Verified
    | BlockReceived
    | WorkChanged
    | VotingAllowed
    | VotingSuspended
)
