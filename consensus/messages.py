"""What validators say to each other: plain frozen values, the limits that bound them, and nothing of the wire.

`node.net` builds its msgpack table from these classes; nothing here is hashed or signed as a whole. What is signed
(votes) or hashed (headers, extrinsics) is carried as its SCALE bytes or as the value of `aitoken.proto.votes`.

Limits that a decoder must enforce before a message reaches anybody are the `*_MAX` constants below. A violated limit
is the sender's fault; everything else a handler may find wrong is judged by the room that handles it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from aitoken.proto.votes import Certificate, Vote
from aitoken.types import Hash32

JUSTIFICATION_BYTES_MAX: Final = 256 * 1024
"""Bytes of certificates in one proposal; the rest is fetched by `GetCertificates`."""
JUSTIFICATION_COUNT_MAX: Final = 1024
CERTIFICATE_RANGE_MAX: Final = 64
"""Most views asked for in one `GetCertificates` (`high - low`)."""
CERTIFICATE_ANSWER_MAX: Final = 24
"""Most certificates sent in answer to one request or status."""
SEEN_HASHES_MAX: Final = 4
"""Most block hashes a view is tallied for, hence listed in a `Status`."""
HEADER_BYTES_MAX: Final = 64 * 1024
BLOCK_BYTES_MAX: Final = 5 * 1024 * 1024
VOTES_BATCH_MAX: Final = 64

WANTS_REPAIR: Final = 1
"""`Status.flags`: send me what I lack (set by a stuck node; a plain notice has it clear)."""
WANTS_RELAY: Final = 2
"""`Status.flags`: I do not hear a quorum directly; pass on what is new."""
LACKS_PROPOSAL: Final = 4
"""`Status.flags`: I hold no proposal for my view."""
WANTS_STATUS: Final = 8
"""`Status.flags`: tell me where you stand, whoever is ahead."""


@dataclass(frozen=True, slots=True)
class Full:
    """A proposed block in full: SCALE header and extrinsics, each with its length prefix."""

    header: bytes
    extrinsics: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Again:
    """The terminal block of the epoch proposed again, until some view makes it final."""

    hash: Hash32


Body: TypeAlias = Full | Again
"""The network room sends large blocks by the hashes of their extrinsics and restores them to `Full`."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A leader's block for a view, with its own NOTARIZE and the certificates that allow voting for it.

    `justification`: the notarization of `parent_view` and the nullification of every view between it and `view`,
    newest first where the byte limit cuts.
    """

    epoch: int
    view: int
    parent_view: int
    vote: Vote
    body: Body
    justification: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """Where a node stands; with `WANTS_REPAIR` also a request for everything it lacks.

    `notarize_seen` and `nullify_seen` are bitmaps over the epoch's validators of the votes held for `view`.
    """

    epoch: int
    view: int
    final_view: int
    final_hash: Hash32
    final_number: int
    notarize_seen: tuple[tuple[Hash32, bytes], ...]
    nullify_seen: bytes
    flags: int


@dataclass(frozen=True, slots=True)
class GetCertificates:
    """Asks for every certificate of the views `low` to `high`, both included."""

    epoch: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class GetBlock:
    """Asks for a block by its hash; answered by `BlockReply` or `NotHave`."""

    hash: Hash32


@dataclass(frozen=True, slots=True)
class BlockReply:
    """A block that was asked for."""

    header: bytes
    extrinsics: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class NotHave:
    """The block asked for is not here."""

    hash: Hash32


@dataclass(frozen=True, slots=True)
class GetExtrinsics:
    """Asks for the extrinsics of a compact block at `indices`; the network room's own business."""

    block_hash: Hash32
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Extrinsics:
    """Answers `GetExtrinsics`."""

    block_hash: Hash32
    items: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two votes of one signer in one view that no honest validator makes both of."""

    first: Vote
    second: Vote


@dataclass(frozen=True, slots=True)
class FinalityNote:
    """Tells nodes without a vote that a block is final."""

    header: bytes
    certificate: Certificate


Message: TypeAlias = (
    Vote
    | Certificate
    | Proposal
    | Status
    | GetCertificates
    | GetBlock
    | BlockReply
    | NotHave
    | Evidence
    | GetExtrinsics
    | Extrinsics
    | FinalityNote
)
"""Everything validators send each other. The last three never reach the consensus driver."""
