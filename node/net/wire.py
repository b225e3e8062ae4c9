"""The one table of messages: what each is made of, on which channel it travels, what bounds it.

A message is a msgpack array `[type, field, ...]`. Decoding checks every field against the table before any handler
sees the message; more fields than the table knows are ignored, so that a later version may append some. Votes,
certificates and headers are carried as their SCALE bytes: msgpack is an envelope, nothing in it is signed or hashed
as msgpack.

Source: `docs/spec/p2p.md`; the limits of validators' messages are those of `consensus.messages`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final

import msgpack

from aitoken.errors import Rejected
from aitoken.proto.votes import VOTE_BYTES, Certificate, Vote
from aitoken.types import Hash32
from consensus import messages as consensus
from node.net.channels import KIB, MIB, Channel
from node.net.checks import Check, DecodeError, blob, blobs, digits, fixed, many, row, scale, text, unsigned
from node.net.messages import (
    Announce,
    Blocks,
    CompactProposal,
    Disconnect,
    Epochs,
    GetBlocks,
    GetEpochs,
    GetPeers,
    GetState,
    GetTransactions,
    Hello,
    Message,
    Peers,
    Ping,
    Pong,
    StateLeaves,
    StateNode,
    Transactions,
    ValidatorAddresses,
    ValidatorAuth,
)

TRANSACTION_SIZE_MAX: Final = 256 * KIB
ANNOUNCED_MAX: Final = 1024
"""Most transactions in one announcement or request."""
PUSHED_MAX: Final = 4096
EXTRINSICS_MAX: Final = 65_536
"""Most extrinsics of a block, whatever their size."""
BLOCKS_MAX: Final = 128
"""Most blocks in one answer of block sync."""
TRAIL_MAX: Final = 1024
"""Most headers from the last block of an answer to the next certified one."""
LINKS_MAX: Final = 64
"""Most ends of epochs in one answer."""
PATH_LENGTH_MAX: Final = 2 * KIB
PEERS_MAX: Final = 64
CERTIFICATE_SIZE_MAX: Final = 68 * KIB
ARRAY_LENGTH_MAX: Final = EXTRINSICS_MAX
HASH_SIZE: Final = 32

U8, U16, U32, U64 = unsigned(8), unsigned(16), unsigned(32), unsigned(64)
HASH = fixed(HASH_SIZE)
VOTE = scale(Vote, 128)
CERTIFICATE = scale(Certificate, CERTIFICATE_SIZE_MAX)
HEADER = blob(consensus.HEADER_BYTES_MAX)
BODY = blobs(consensus.BLOCK_BYTES_MAX, EXTRINSICS_MAX)
BITMAP = blob(128)
JUSTIFICATION = many(CERTIFICATE, consensus.JUSTIFICATION_COUNT_MAX)
INDEXED = many(row(U32, blob(consensus.BLOCK_BYTES_MAX)), EXTRINSICS_MAX)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the table."""

    number: int
    cls: type[Any]
    channel: Channel
    checks: tuple[Check, ...]
    names: tuple[str, ...]
    wrap: Callable[[Any], tuple[Any, ...]] | None = None
    unwrap: Callable[..., Any] | None = None


def _entry(number: int, cls: type[Any], channel: Channel, **checks: Check) -> Entry:
    names = tuple(checks)
    if names != tuple(field.name for field in fields(cls)):
        raise TypeError(f"the table does not describe the fields of {cls.__name__} in their order")
    return Entry(number, cls, channel, tuple(checks.values()), names)


def _scale_entry(number: int, cls: type[Vote] | type[Certificate], channel: Channel, check: Check) -> Entry:
    return Entry(number, cls, channel, (check,), ("scale",), lambda own: (own.encode(),), lambda own: own)


def _body_to_wire(body: consensus.Body) -> tuple[Any, ...]:
    if isinstance(body, consensus.Full):
        return (0, body.header, body.extrinsics)
    return (1, body.hash)


def _body(value: Any) -> consensus.Body:
    if type(value) is tuple and len(value) == 3 and value[0] == 0:
        return consensus.Full(HEADER(value[1]), BODY(value[2]))
    if type(value) is tuple and len(value) == 2 and value[0] == 1:
        return consensus.Again(Hash32(HASH(value[1])))
    raise DecodeError("not the body of a proposal")


TABLE: Final[tuple[Entry, ...]] = (
    _entry(1, Ping, Channel.CONTROL, nonce=U64),
    _entry(2, Pong, Channel.CONTROL, nonce=U64),
    _entry(3, Disconnect, Channel.CONTROL, reason=U8, detail=text(128)),
    _entry(4, ValidatorAuth, Channel.CONTROL, session=fixed(32), signature=fixed(64)),
    _entry(
        5,
        consensus.Status,
        Channel.CONTROL,
        epoch=U64,
        view=U64,
        final_view=U64,
        final_hash=HASH,
        final_number=U32,
        notarize_seen=many(row(HASH, BITMAP), consensus.SEEN_HASHES_MAX),
        nullify_seen=BITMAP,
        flags=U8,
    ),
    _scale_entry(16, Vote, Channel.VOTES, VOTE),
    _entry(17, consensus.Evidence, Channel.VOTES, first=VOTE, second=VOTE),
    _scale_entry(32, Certificate, Channel.CERTIFICATES, CERTIFICATE),
    _entry(33, consensus.GetCertificates, Channel.CERTIFICATES, epoch=U64, low=U64, high=U64),
    _entry(34, consensus.FinalityNote, Channel.CERTIFICATES, header=HEADER, certificate=CERTIFICATE),
    _entry(
        48,
        consensus.Proposal,
        Channel.PROPOSALS,
        epoch=U64,
        view=U64,
        parent_view=U64,
        vote=VOTE,
        body=_body,
        justification=JUSTIFICATION,
    ),
    _entry(
        49,
        CompactProposal,
        Channel.PROPOSALS,
        epoch=U64,
        view=U64,
        parent_view=U64,
        vote=VOTE,
        header=HEADER,
        hashes=blob(EXTRINSICS_MAX * HASH_SIZE, HASH_SIZE),
        prefilled=INDEXED,
        justification=JUSTIFICATION,
    ),
    _entry(50, consensus.GetBlock, Channel.PROPOSALS, hash=HASH),
    _entry(51, consensus.BlockReply, Channel.PROPOSALS, header=HEADER, extrinsics=BODY),
    _entry(52, consensus.NotHave, Channel.PROPOSALS, hash=HASH),
    _entry(
        53, consensus.GetExtrinsics, Channel.PROPOSALS, block_hash=HASH, indices=many(unsigned(16), EXTRINSICS_MAX, 1)
    ),
    _entry(54, consensus.Extrinsics, Channel.PROPOSALS, block_hash=HASH, items=INDEXED),
    _entry(64, GetBlocks, Channel.SYNC, request=U32, start=U32, count=unsigned(8)),
    _entry(
        65,
        Blocks,
        Channel.SYNC,
        request=U32,
        blocks=many(row(HEADER, BODY), BLOCKS_MAX),
        certificate=blob(CERTIFICATE_SIZE_MAX),
        trail=many(HEADER, TRAIL_MAX),
    ),
    _entry(80, Announce, Channel.TRANSACTIONS, hashes=blob(ANNOUNCED_MAX * HASH_SIZE, HASH_SIZE)),
    _entry(81, GetTransactions, Channel.TRANSACTIONS, hashes=blob(ANNOUNCED_MAX * HASH_SIZE, HASH_SIZE)),
    _entry(82, Transactions, Channel.TRANSACTIONS, transactions=blobs(TRANSACTION_SIZE_MAX, PUSHED_MAX)),
    _entry(96, GetEpochs, Channel.STATE, request=U32, epoch=U64),
    _entry(
        97,
        Epochs,
        Channel.STATE,
        request=U32,
        links=many(row(HEADER, blob(CERTIFICATE_SIZE_MAX)), LINKS_MAX),
    ),
    _entry(98, GetState, Channel.STATE, request=U32, block_hash=HASH, path=digits(PATH_LENGTH_MAX), budget=U32),
    _entry(99, StateLeaves, Channel.STATE, request=U32, leaves=many(row(blob(KIB), blob(3 * MIB)), EXTRINSICS_MAX)),
    _entry(100, StateNode, Channel.STATE, request=U32, node=blob(2 * KIB), value=blob(3 * MIB)),
    _entry(112, GetPeers, Channel.PEERS),
    _entry(113, Peers, Channel.PEERS, addresses=many(row(text(255), unsigned(16)), PEERS_MAX)),
    _entry(114, ValidatorAddresses, Channel.PEERS, records=blobs(KIB, PEERS_MAX)),
)
_BY_NUMBER: Final = {entry.number: entry for entry in TABLE}
_BY_CLASS: Final = {entry.cls: entry for entry in TABLE}
_VOTE_HEAD: Final[bytes] = msgpack.packb((_BY_CLASS[Vote].number, bytes(VOTE_BYTES)))[:-VOTE_BYTES]
_VOTE_AT: Final = len(_VOTE_HEAD)
_VOTE_SIZE: Final = _VOTE_AT + VOTE_BYTES
"""Most of what a large set of validators says is votes: known by their first bytes and length."""
_HELLO: Final = _entry(
    0,
    Hello,
    Channel.CONTROL,
    genesis=HASH,
    version_min=U8,
    version_max=U8,
    roles=U8,
    chain_id=text(32),
    agent=text(64),
    listen_port=U16,
    final_number=U32,
    final_hash=HASH,
)


def channel_of(message: Message) -> Channel:
    """Return the channel a message travels on."""
    return _BY_CLASS[type(message)].channel


def encode(message: Message) -> bytes:
    """Return the msgpack bytes of a message of ours."""
    if type(message) is Vote:
        return _VOTE_HEAD + message.encode()
    return _encode(message)


def _encode(message: Message) -> bytes:
    """Write any message by the table: the plain way."""
    entry = _BY_CLASS[type(message)]
    if entry.wrap is not None:
        values = entry.wrap(message)
    else:
        values = tuple(_plain(getattr(message, name)) for name in entry.names)
    return _pack((entry.number, *values))


def decode(channel: Channel, data: bytes) -> Message:
    """Return the message in `data`, which arrived on `channel`.

    Raises:
        DecodeError: not msgpack, not of the table, on another channel than its own, or a field out of bounds.
    """
    if channel is Channel.VOTES and len(data) == _VOTE_SIZE and data.startswith(_VOTE_HEAD):
        try:
            return Vote.decode(data[_VOTE_AT:])
        except Rejected as bad:
            raise DecodeError(f"Vote: {bad}") from bad
    return _decode(channel, data)


def _decode(channel: Channel, data: bytes) -> Message:
    """Read any message by the table: the plain way."""
    values = _unpack(data, len(data))
    entry = _BY_NUMBER.get(values[0]) if values and type(values[0]) is int else None
    if entry is None:
        raise DecodeError("an unknown message type")
    if entry.channel is not channel:
        raise DecodeError(f"{entry.cls.__name__} on channel {channel.name.lower()}")
    message: Message = _build(entry, values)
    return message


def encode_hello(hello: Hello) -> bytes:
    """Return the handshake payload."""
    return _pack(tuple(getattr(hello, name) for name in _HELLO.names))


def decode_hello(data: bytes) -> Hello:
    """Return the peer's handshake payload.

    Raises:
        DecodeError: not what a handshake carries.
    """
    hello: Hello = _build(_HELLO, (0, *_unpack(data, KIB)))
    return hello


def _build(entry: Entry, values: tuple[Any, ...]) -> Any:
    if len(values) <= len(entry.checks):
        raise DecodeError(f"{entry.cls.__name__} has too few fields")
    try:
        checked = [check(value) for check, value in zip(entry.checks, values[1:], strict=False)]
    except DecodeError as bad:
        raise DecodeError(f"{entry.cls.__name__}: {bad}") from None
    except Rejected as bad:  # a vote or certificate inside
        raise DecodeError(f"{entry.cls.__name__}: {bad}") from bad
    return checked[0] if entry.unwrap is not None else entry.cls(*checked)


def _plain(value: Any) -> Any:
    """Turn what the dataclasses hold into what msgpack knows."""
    match value:
        case Vote() | Certificate():
            return value.encode()
        case consensus.Full() | consensus.Again():
            return _body_to_wire(value)
        case (Certificate(), *_):
            return tuple([certificate.encode() for certificate in value])
        case _:
            return value


def _pack(values: tuple[Any, ...]) -> bytes:
    packed: bytes = msgpack.packb(values)
    return packed


def _unpack(data: bytes, size_max: int) -> tuple[Any, ...]:
    if len(data) > size_max:
        raise DecodeError(f"{len(data)} bytes")
    try:
        values = msgpack.unpackb(
            data,
            use_list=False,
            strict_map_key=True,
            max_array_len=ARRAY_LENGTH_MAX,
            max_bin_len=6 * MIB,
            max_str_len=KIB,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, msgpack.exceptions.UnpackException, OverflowError) as bad:
        raise DecodeError(f"not msgpack: {type(bad).__name__}") from bad
    if type(values) is not tuple:
        raise DecodeError("not an array")
    return values
