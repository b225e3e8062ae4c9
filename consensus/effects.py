"""What the driver must do, strictly in the order given.

`Barrier` ends only when everything persisted so far is on disk; nothing behind it may happen before. No list of effects
contains the broadcast of an own vote without `Persist(vote), Barrier` before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from aitoken.proto.votes import Certificate, Vote
from aitoken.types import Hash32
from consensus.inputs import TimerKind
from consensus.journal import Record
from consensus.messages import Evidence, Message
from consensus.types import Block, Peer, Slot


@dataclass(frozen=True, slots=True)
class Persist:
    """Append a record to the journal."""

    record: Record


@dataclass(frozen=True, slots=True)
class Barrier:
    """Wait until every record is on disk."""


@dataclass(frozen=True, slots=True)
class Count:
    """Answer with `VoteReceived`: an own vote that counts once it is on disk."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send to every validator."""

    message: Message


@dataclass(frozen=True, slots=True)
class Send:
    """Send to one peer, as an answer."""

    peer: Peer
    message: Message


@dataclass(frozen=True, slots=True)
class SendValidator:
    """Send to the validator with this index, where it is connected."""

    index: int
    message: Message


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Fire `TimerFired(kind, view)` after `delay_ms`, instead of the pending timer of this kind."""

    kind: TimerKind
    view: int
    delay_ms: int


@dataclass(frozen=True, slots=True)
class Build:
    """Build a block on `parent`, which is executed and valid; answer with `Built`."""

    parent: Block
    slot: Slot


@dataclass(frozen=True, slots=True)
class Verify:
    """Execute `block` on its parent, which is executed and valid; answer with `Verified`."""

    block: Block


@dataclass(frozen=True, slots=True)
class WantBlock:
    """Fetch a block, best from the validators of `holders`; answer with `BlockReceived`. May be repeated."""

    hash: Hash32
    holders: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WantCertificates:
    """Fetch the certificates of views `low` to `high`, best from the validators of `holders`. May be repeated."""

    low: int
    high: int
    holders: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The block is the best one now: notarized in the highest view, and executed."""

    hash: Hash32


@dataclass(frozen=True, slots=True)
class Finalized:
    """The certificate's block and all its ancestors are final. The block may be unknown or not executed yet."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Report:
    """Somebody made two votes that no honest validator makes."""

    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Doppelganger:
    """A vote by our key that is not among our votes: nothing is signed in this epoch any more."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class Panic:
    """Two statements that exclude each other are proven: stop signing and committing, keep everything."""

    reason: str
    certificates: tuple[Certificate, Certificate]


Effect: TypeAlias = (
    Persist
    | Barrier
    | Count
    | Broadcast
    | Send
    | SendValidator
    | SetTimer
    | Build
    | Verify
    | WantBlock
    | WantCertificates
    | Head
    | Finalized
    | Report
    | Doppelganger
    | Panic
)
