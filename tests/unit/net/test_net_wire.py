"""The table of messages: round trip, forward compatibility, and garbage that fails cleanly."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.proto.votes import FINALIZE, NOTARIZE, NULLIFY, Certificate, Vote
from aitoken.types import Hash32
from consensus import messages as consensus
from node.net.channels import Channel
from node.net.checks import DecodeError
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
    Peers,
    Ping,
    Pong,
    StateLeaves,
    StateNode,
    Transactions,
    ValidatorAddresses,
    ValidatorAuth,
)
from node.net.wire import TABLE, _decode, _encode, channel_of, decode, decode_hello, encode, encode_hello

H = Hash32(bytes(range(32)))
VOTE = Vote(NOTARIZE, 1, 2, H, 3, bytes(64))
NULL = Vote(NULLIFY, 1, 2, Hash32(bytes(32)), 3, bytes(64))
CERTIFICATE = Certificate(FINALIZE, 1, 2, H, b"\x07", (bytes(64),) * 3)
BODY = (b"one", b"two" * 50)

SAMPLES: list[Any] = [
    Ping(2**64 - 1),
    Pong(0),
    Disconnect(4, "twice"),
    ValidatorAuth(bytes(32), bytes(64)),
    consensus.Status(1, 2, 3, H, 4, ((H, b"\x01"),), b"\x02", 3),
    VOTE,
    NULL,
    consensus.Evidence(VOTE, NULL),
    CERTIFICATE,
    consensus.GetCertificates(1, 2, 3),
    consensus.FinalityNote(b"header", CERTIFICATE),
    consensus.Proposal(1, 2, 1, VOTE, consensus.Full(b"header", BODY), (CERTIFICATE,)),
    consensus.Proposal(1, 2, 1, VOTE, consensus.Again(H), ()),
    CompactProposal(1, 2, 1, VOTE, b"header", H * 3, ((0, b"inherent"),), (CERTIFICATE, CERTIFICATE)),
    consensus.GetBlock(H),
    consensus.BlockReply(b"header", BODY),
    consensus.NotHave(H),
    consensus.GetExtrinsics(H, (0, 7)),
    consensus.Extrinsics(H, ((0, b"x"),)),
    GetBlocks(1, 2, 3),
    Blocks(1, ((b"header", BODY), (b"header", ())), CERTIFICATE.encode()),
    Blocks(1, ((b"header", BODY),), CERTIFICATE.encode(), (b"above", b"certified")),
    GetEpochs(1, 2**64 - 1),
    Epochs(1, ((b"header", CERTIFICATE.encode()),)),
    GetState(1, H, "00ff1", 512 * 1024),
    StateLeaves(1, ((b"key", b"value"), (b"kez", b""))),
    StateNode(1, b"node", b""),
    Announce(H + H),
    GetTransactions(H),
    Transactions(BODY),
    GetPeers(),
    Peers((("127.0.0.1", 30333),)),
    ValidatorAddresses((b"record",)),
]


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_survives_the_wire(message: Any) -> None:
    assert decode(channel_of(message), encode(message)) == message


def test_every_line_of_the_table_has_a_sample_and_a_number_of_its_own() -> None:
    assert {type(sample) for sample in SAMPLES} == {entry.cls for entry in TABLE}
    assert len({entry.number for entry in TABLE}) == len(TABLE)
    on_the_wire = set(get_args(consensus.Message))
    assert on_the_wire <= {entry.cls for entry in TABLE}


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_unknown_trailing_fields_are_ignored(message: Any) -> None:
    values = msgpack.unpackb(encode(message), use_list=False)

    assert decode(channel_of(message), msgpack.packb((*values, "later", 7))) == message


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_a_missing_field_and_another_channel_are_refused(message: Any) -> None:
    values = msgpack.unpackb(encode(message), use_list=False)
    other = Channel.PEERS if channel_of(message) is not Channel.PEERS else Channel.VOTES

    with pytest.raises(DecodeError):
        decode(channel_of(message), msgpack.packb(values[:-1]))
    with pytest.raises(DecodeError):
        decode(other, encode(message))


BAD_VALUES = [None, -1, 2**64 - 1, 1.5, True, "text", b"", b"x" * 33, (), ((),), [1], {}, {"a": 1}]


@pytest.mark.parametrize("message", [s for s in SAMPLES if fields(s)], ids=lambda message: type(message).__name__)
def test_a_field_of_a_wrong_kind_never_passes_as_another_value(message: Any) -> None:
    values = msgpack.unpackb(encode(message), use_list=False)
    for index in range(1, len(values)):
        for bad in BAD_VALUES:
            spoiled = msgpack.packb((*values[:index], bad, *values[index + 1 :]))
            with contextlib.suppress(DecodeError):
                again = encode(decode(channel_of(message), spoiled))
                assert again == spoiled


@given(st.sampled_from(list(Channel)), st.binary(max_size=300))
def test_garbage_fails_cleanly(channel: Channel, data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode(channel, data)
    with contextlib.suppress(DecodeError):
        decode_hello(data)


@given(st.sampled_from(SAMPLES), st.data())
def test_a_changed_byte_fails_cleanly_or_gives_a_message(message: Any, data: st.DataObject) -> None:
    encoded = bytearray(encode(message))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))

    with contextlib.suppress(DecodeError):
        decode(channel_of(message), bytes(encoded))


def _said(read: Callable[[Channel, bytes], Any], channel: Channel, data: bytes) -> Any:
    try:
        return read(channel, data)
    except DecodeError as bad:
        return str(bad)


@given(
    st.sampled_from([VOTE, NULL, Ping(1), consensus.NotHave(H)]),
    st.sampled_from([Channel.VOTES, Channel.VOTES, Channel.CONTROL]),
    st.lists(st.tuples(st.integers(0, 118), st.integers(0, 255)), max_size=2),
    st.binary(max_size=2),
)
def test_votes_are_written_and_read_as_by_the_table(
    message: Any, channel: Channel, changes: list[tuple[int, int]], tail: bytes
) -> None:
    assert encode(message) == _encode(message)
    encoded = bytearray(encode(message) + tail)
    for at, byte in changes:
        encoded[at % len(encoded)] = byte

    assert _said(decode, channel, bytes(encoded)) == _said(_decode, channel, bytes(encoded))


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 100_000,
        b"\xdc\xff\xff" + b"\x90" * 65_535,
        b"\xc6\xff\xff\xff\xff",
        b"\xd6\xff\x00\x00\x00\x00",
        b"",
        b"\x90",
        b"\x80",
        b"\x91\xc0",
        encode(Ping(1)) + b"\x00",
    ],
    ids=["huge array", "deep", "many", "huge bytes", "timestamp", "empty", "no type", "map", "nil type", "left over"],
)
def test_bombs_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(Channel.CONTROL, data)


def test_the_handshake_payload_survives_and_is_bounded() -> None:
    hello = Hello(H, 1, 1, 3, "devnet", "aitoken/0.1", 30333, 7, H)

    assert decode_hello(encode_hello(hello)) == hello
    assert len(encode_hello(hello)) < 1024
    with pytest.raises(DecodeError):
        decode_hello(msgpack.packb((*msgpack.unpackb(encode_hello(hello), use_list=False), "x" * 1000)))
    with pytest.raises(DecodeError):
        decode_hello(msgpack.packb(()))
