"""What nodes say to each other besides the messages of validators, which are those of `consensus.messages`.

Plain frozen values; how they look on the wire and what bounds them is the table in `node.net.wire`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import TypeAlias

from aitoken.proto.votes import Certificate, Vote
from consensus import messages as consensus


class Reason(IntEnum):
    """Why a connection is closed, told to the peer inside the encrypted channel."""

    SHUTDOWN = 0
    OTHER_GENESIS = 1
    OTHER_VERSION = 2
    SELF = 3
    DUPLICATE = 4
    BANNED = 5
    FULL = 6
    PROTOCOL = 7
    TOO_SLOW = 8
    SILENT = 9
    BAD_AUTH = 10
    SCORE = 11


class Role(IntFlag):
    """What a node says it is; a claim until it is proven."""

    FULL = 1
    VALIDATOR = 2


@dataclass(frozen=True, slots=True)
class Hello:
    """The payload of the handshake's second and third message: of which chain, with which versions, doing what.

    Who speaks needs no field: the handshake proves the static key, which names the process.
    """

    genesis: bytes
    version_min: int
    version_max: int
    roles: int
    chain_id: str
    agent: str
    listen_port: int
    final_number: int
    final_hash: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a `Pong` with the same nonce."""

    nonce: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers `Ping`."""

    nonce: int


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The last message of a connection."""

    reason: int
    detail: str


@dataclass(frozen=True, slots=True)
class ValidatorAuth:
    """Proves the session key of a validator for this very connection.

    `signature` covers `b"SMPX-peer-1"`, the genesis hash, the handshake hash and one byte:
    1 from the initiator, 0 from the other side.
    """

    session: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class CompactProposal:
    """A `Proposal` whose block is its header, the hashes of its extrinsics, and the few nobody can have yet."""

    epoch: int
    view: int
    parent_view: int
    vote: Vote
    header: bytes
    hashes: bytes
    prefilled: tuple[tuple[int, bytes], ...]
    justification: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class GetBlocks:
    """Asks for up to `count` final blocks from height `start`."""

    request: int
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """Final blocks, ascending; `certificate` is of the last one, and makes the others final through it.

    Where no certificate of a block in reach is kept, `trail` has the headers from the one after the last block up to
    the certified one. Empty when the server has none of the blocks; then `certificate` is empty as well.
    """

    request: int
    blocks: tuple[tuple[bytes, tuple[bytes, ...]], ...]
    certificate: bytes
    trail: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class GetEpochs:
    """Asks for the ends of epochs from `epoch` on."""

    request: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Epochs:
    """Headers of the last blocks of consecutive epochs, each with its certificate; empty where none is over."""

    request: int
    links: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class GetState:
    """Asks for what lies below a path (hex digits) of the state after a block that ended an epoch."""

    request: int
    block_hash: bytes
    path: str
    budget: int


@dataclass(frozen=True, slots=True)
class StateLeaves:
    """Every pair below the path, ascending."""

    request: int
    leaves: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class StateNode:
    """The trie node at the path, and the value it holds by hash; an empty node says that the state is not served."""

    request: int
    node: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Announce:
    """Hashes of transactions the sender holds and has validated, one after another."""

    hashes: bytes


@dataclass(frozen=True, slots=True)
class GetTransactions:
    """Asks for announced transactions."""

    hashes: bytes


@dataclass(frozen=True, slots=True)
class Transactions:
    """Transactions in full: asked for, or pushed by the node that received them first."""

    transactions: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class GetPeers:
    """Asks for addresses of nodes."""


@dataclass(frozen=True, slots=True)
class Peers:
    """Addresses of nodes the sender reached itself: host and port."""

    addresses: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class ValidatorAddresses:
    """Signed address records of validators (`node.net.mesh`), as opaque bytes."""

    records: tuple[bytes, ...]


Message: TypeAlias = (
    consensus.Message
    | Ping
    | Pong
    | Disconnect
    | ValidatorAuth
    | CompactProposal
    | GetBlocks
    | Blocks
    | GetEpochs
    | Epochs
    | GetState
    | StateLeaves
    | StateNode
    | Announce
    | GetTransactions
    | Transactions
    | GetPeers
    | Peers
    | ValidatorAddresses
)
