"""What peers send: handshakes, records, chunks, messages, address records; what a signer is asked."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from aitoken.crypto.noise import CipherState
from aitoken.proto.votes import FINALIZE, NOTARIZE, NULLIFY, Certificate, Vote
from aitoken.types import Hash32
from consensus import messages as consensus
from node.net import messages as m
from node.net.address_record import AddressRecord
from node.net.addresses import parse
from node.net.channels import Channel, Inbox
from node.net.noise import Handshake
from node.net.records import Frames, seal
from node.net.wire import TABLE, decode, decode_hello, encode, encode_hello
from node.signer.wire import length_of, pack, unpack
from tests.fuzz.engine import Target
from tests.support.proven_chain import ProvenChain

HASH = Hash32(b"h" * 32)
KEY = bytes(range(32))
STATIC = (b"a" * 32, b"b" * 32)


def targets() -> Iterator[Target]:
    """All of them."""
    chain = ProvenChain(8)
    vote = Vote(NOTARIZE, 3, 7, HASH, 2, b"s" * 64)
    certificate = chain.certificates[5]
    assert certificate is not None
    votes = [
        vote,
        Vote(NULLIFY, 0, 1, Hash32(bytes(32)), 0, bytes(64)),
        Vote(FINALIZE, 2**40, 2**50, HASH, 9, b"x" * 64),
    ]
    yield Target("proto.vote", [each.encode() for each in votes], Vote.decode, again=lambda each: each.encode())
    yield Target("proto.certificate", [certificate.encode()], _certificate, again=lambda each: each.encode())
    messages = list(_messages(chain, vote, certificate))
    yield Target("p2p.message", [bytes([_channel(each)]) + encode(each) for each in messages], _message)
    hello = m.Hello(HASH, 1, 1, 3, "aitoken", "test/1", 30333, 7, HASH)
    yield Target("p2p.hello", [encode_hello(hello)], decode_hello)
    yield Target("p2p.handshake", _handshakes(), _read_handshake)
    yield Target("p2p.records", _streams(messages), _read_stream)
    yield Target("p2p.chunks", _chunks(messages), _read_chunks)
    record = AddressRecord(b"k" * 32, b"n" * 32, 5, (("10.0.0.1", 30333), ("example.org", 1)), b"s" * 64)
    yield Target("p2p.address_record", [record.encode()], AddressRecord.decode, again=lambda each: each.encode())
    yield Target(
        "p2p.address", [b"10.0.0.1:30333", b"[::1]:9", b"example.org:30333"], lambda data: parse(data.decode("latin1"))
    )
    asked = [pack(["hello", [1]]), pack(["vote", [b"k" * 32, 1, 0, 5, HASH, 0]])]
    yield Target("signer.frame", asked, lambda data: (length_of(data[:4]), unpack(data[4:])))


def _certificate(data: bytes) -> Certificate:
    certificate = Certificate.decode(data)
    certificate.sign_bytes(HASH)
    return certificate


def _channel(message: Any) -> int:
    return next(entry.channel for entry in TABLE if entry.cls is type(message))


def _messages(chain: ProvenChain, vote: Vote, certificate: Certificate) -> Iterator[Any]:
    header, body = chain.headers[5].encode(), (b"\x08ab", b"\x0cabc")
    yield from (m.Ping(5), m.Pong(2**64 - 1), m.Disconnect(1, "bye"), m.ValidatorAuth(b"k" * 32, b"s" * 64), vote)
    yield consensus.Status(1, 2, 3, HASH, 4, ((HASH, b"\x03"),), b"\x01", 1)
    yield consensus.Evidence(vote, vote)
    yield certificate
    yield consensus.GetCertificates(1, 2, 3)
    yield consensus.FinalityNote(header, certificate)
    yield consensus.Proposal(1, 2, 1, vote, consensus.Full(header, body), (certificate,))
    yield consensus.Proposal(1, 2, 1, vote, consensus.Again(HASH), ())
    yield m.CompactProposal(1, 2, 1, vote, header, bytes(HASH) * 2, ((0, body[0]),), (certificate,))
    yield from (consensus.GetBlock(HASH), consensus.BlockReply(header, body), consensus.NotHave(HASH))
    yield from (consensus.GetExtrinsics(HASH, (0, 1)), consensus.Extrinsics(HASH, ((0, body[0]),)))
    yield m.GetBlocks(1, 2, 3)
    yield m.Blocks(1, ((header, body),), certificate.encode(), (header,))
    yield from (m.Announce(bytes(HASH)), m.GetTransactions(bytes(HASH) * 2), m.Transactions(body))
    yield from (m.GetEpochs(1, 2), m.Epochs(1, ((header, certificate.encode()),)), m.GetState(1, HASH, "0a", 1000))
    yield from (m.StateLeaves(1, ((b"k", b"v"), (b"l", b"w"))), m.StateNode(1, b"node", b"value"))
    yield from (m.GetPeers(), m.Peers((("10.0.0.1", 30333),)), m.ValidatorAddresses((b"r" * 150,)))


def _message(data: bytes) -> Any:
    channels = list(Channel)
    return decode(channels[data[0] % len(channels)], data[1:]) if data else decode(Channel.CONTROL, data)


def _pair() -> tuple[Handshake, Handshake]:
    sides = [
        Handshake(initiator=initiator, static=static, prologue=b"p", ephemeral=static[::-1])
        for initiator, static in zip((True, False), STATIC, strict=True)
    ]
    return sides[0], sides[1]


def _handshakes() -> list[bytes]:
    """The three messages; the first byte says which it is."""
    ours, theirs = _pair()
    first = ours.write(b"hello")
    theirs.read(first)
    second = theirs.write(b"hello")
    ours.read(second)
    return [b"\x00" + first, b"\x01" + second, b"\x02" + ours.write(b"hello")]


def _read_handshake(data: bytes) -> bytes:
    ours, theirs = _pair()
    turn = data[0] % 3 if data else 0
    for spoken in range(turn):
        talker, hearer = (ours, theirs) if spoken % 2 == 0 else (theirs, ours)
        hearer.read(talker.write(b"hello"))
    return (theirs if turn % 2 == 0 else ours).read(data[1:])


def _streams(messages: list[Any]) -> list[bytes]:
    cipher = CipherState(KEY)
    records = [seal(cipher, _channel(each), 1, encode(each)) for each in messages]
    return [b"".join(records[:3]), b"".join(records)]


def _read_stream(data: bytes) -> int:
    """Bytes off the wire: cut into records, decrypted, put together, decoded."""
    cipher, frames, inbox, count = CipherState(KEY), Frames(2, 65_535), Inbox(0.0), 0
    frames.expect_records()
    for start in range(0, len(data), 1000):
        frames.push(data[start : start + 1000])
        while (record := frames.pop()) is not None:
            message = inbox.take(cipher.decrypt(record))
            if message is not None:
                decode(*message)
                count += 1
    return count


def _chunks(messages: list[Any]) -> list[bytes]:
    """Plaintexts of records as a peer with the right keys may send them: length u16, channel, flags, chunk."""
    packed = [(each, encode(each)) for each in messages]
    plain = [bytes([_channel(each), 1]) + data for each, data in packed]
    halves = [part for each, data in packed for part in (bytes([_channel(each), 0]) + data[:9], b"")]
    deflater = zlib.compressobj(9, wbits=-15)
    bomb = bytes([Channel.SYNC, 3]) + deflater.compress(bytes(1 << 20)) + deflater.flush()
    return [_joined(plain), _joined([part for part in halves if part]), _joined([bomb])]


def _joined(parts: list[bytes]) -> bytes:
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def _read_chunks(data: bytes) -> int:
    inbox, at, count = Inbox(0.0, trusted=True), 0, 0
    while at + 4 <= len(data):
        size = max(2, int.from_bytes(data[at : at + 2], "big"))
        plaintext = data[at + 2 : at + 2 + size]
        at += 2 + size
        if len(plaintext) >= 2 and inbox.take(plaintext) is not None:
            count += 1
        inbox.wait(1.0)
    return count
