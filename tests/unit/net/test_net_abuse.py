"""What a hostile peer can try: every attack ends with its own connection, for a clear reason, and touches nobody else.

Real sockets on loopback; two honest validators stay connected and keep exchanging votes throughout.
"""

from __future__ import annotations

import asyncio
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aitoken.crypto.hashing import blake2_256
from aitoken.crypto.noise import generate_private, public_of
from aitoken.proto.votes import NOTARIZE, Vote
from aitoken.types import Hash32
from consensus.messages import GetBlock
from node.net.channels import DEFLATED, FIN, LIMITS, MIB, Channel
from node.net.messages import Ping, Pong, Reason, Role, ValidatorAuth
from node.net.peer import MAGIC
from node.net.records import CHUNK_SIZE_MAX
from node.net.server import PENDING_MAX
from node.net.wire import encode_hello
from tests.support.attacker import Attacker, closed, dial, hang_up, hello
from tests.support.network import Node, make_node, mesh, session_of, until

VOTE = Vote(NOTARIZE, 0, 1, Hash32(bytes(range(32))), 0, bytes(64))


@pytest.fixture
async def honest() -> AsyncIterator[list[Node]]:
    async with mesh(2, inbound_max=8) as nodes:
        yield nodes
        await hang_up()
        before = len(nodes[1].inbox.messages)
        nodes[0].network.broadcast(VOTE)
        await until(lambda: len(nodes[1].inbox.messages) == before + 1)
        assert all(node.validators == 1 for node in nodes)


async def reason_of(attacker: Attacker) -> tuple[Reason, str]:
    words = await attacker.last_words()
    assert words is not None
    return Reason(words.reason), words.detail


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n", bytes(300), MAGIC + bytes(300), MAGIC + b"\xff\xff" + bytes(300), b"AITP\x02"],
    ids=["http", "zeros", "no key", "huge frame", "version"],
)
async def test_random_bytes_are_cut_off(honest: list[Node], data: bytes) -> None:
    reader, writer = await dial(honest[0].network.port)
    writer.write(data)

    assert await closed(reader)


async def test_silent_and_slow_connections_are_cut_off_in_time(
    honest: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.net.peer.HANDSHAKE_DEADLINE_S", 0.2)
    reader, _ = await dial(honest[0].network.port)
    slow_reader, slow_writer = await dial(honest[0].network.port)
    for byte in MAGIC:
        slow_writer.write(bytes([byte]))
        await asyncio.sleep(0.02)

    assert await closed(reader, 1.0)
    assert await closed(slow_reader, 1.0)


async def test_a_flood_of_silent_connections_locks_nobody_out(honest: list[Node]) -> None:
    port = honest[0].network.port
    for _ in range(3 * PENDING_MAX):
        await dial(port)
    await asyncio.sleep(0.05)

    pending = honest[0].network._server._pending
    assert len(pending) <= PENDING_MAX
    newcomer = await Attacker.connect(port)
    newcomer.say(Ping(7))
    async with asyncio.timeout(2):
        while await newcomer.hear() != Pong(7):
            pass


async def test_a_flood_of_well_behaved_strangers_takes_no_validators_place(honest: list[Node]) -> None:
    port = honest[0].network.port
    strangers = [await Attacker.connect(port) for _ in range(12)]
    words = [await asyncio.wait_for(stranger.last_words(), 2) for stranger in strangers[8:]]

    assert all(word is not None and word.reason == Reason.FULL for word in words)
    assert honest[0].validators == 1
    await honest[1].network.stop()
    back = honest[1] = (await _restart(honest, 1))[1]
    await until(lambda: back.validators == 1)


async def _restart(nodes: list[Node], index: int) -> list[Node]:
    others = [node.address for node in nodes if node is not nodes[index]]
    nodes[index] = make_node(index, others, validator=True, validators=len(nodes))
    await nodes[index].network.start()
    return nodes


async def test_claiming_to_be_a_validator_without_proof_gains_nothing(
    honest: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.net.server.PROOF_DEADLINE_S", 0.1)
    port = honest[0].network.port
    claim = encode_hello(hello(roles=Role.FULL | Role.VALIDATOR))
    strangers = [await Attacker.connect(port, payload=claim) for _ in range(12)]

    words = [await stranger.last_words() for stranger in strangers[8:]]

    assert all(word is not None and word.reason == Reason.FULL for word in words)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"genesis": bytes(32)}, Reason.OTHER_GENESIS),
        ({"version_min": 9, "version_max": 9}, Reason.OTHER_VERSION),
        ({"version_max": 0, "version_min": 0}, Reason.OTHER_VERSION),
    ],
)
async def test_who_does_not_belong_here_is_told_why(
    honest: list[Node], changes: dict[str, Any], reason: Reason
) -> None:
    attacker = await Attacker.connect(honest[0].network.port, payload=encode_hello(hello(**changes)))

    assert (await reason_of(attacker))[0] is reason


async def test_our_own_key_is_recognised(honest: list[Node]) -> None:
    attacker = await Attacker.connect(honest[0].network.port, static=honest[0].network._server.static_key)

    assert (await reason_of(attacker))[0] is Reason.SELF


async def test_an_undecodable_hello_ends_the_handshake(honest: list[Node]) -> None:
    attacker = await Attacker.connect(honest[0].network.port, payload=b"\x93\x01\x02\x03")

    assert (await reason_of(attacker)) == (Reason.PROTOCOL, "net.undecodable: Hello has too few fields")


def oversized(attacker: Attacker) -> None:
    for _ in range(300 * 1024 // CHUNK_SIZE_MAX + 1):
        attacker.record(Channel.PROPOSALS, bytes(CHUNK_SIZE_MAX), flags=0)


def bomb(attacker: Attacker) -> None:
    deflater = zlib.compressobj(9, wbits=-15)
    attacker.record(Channel.SYNC, deflater.compress(bytes(40 * MIB)) + deflater.flush(), FIN | DEFLATED)


def replayed_record(attacker: Attacker) -> None:
    attacker.say(Ping(1))
    attacker.sending.counter -= 1
    attacker.say(Ping(1))


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (oversized, "net.oversized_message"),
        (bomb, "net.bad_compression"),
        (replayed_record, "noise.bad_message"),
        (lambda a: a.record(Channel.VOTES, b"\x91\xcd\x03\xe8"), "net.undecodable"),
        (lambda a: a.record(Channel.VOTES, b"\x91" * 9000), "net.undecodable"),
        (lambda a: a.record(Channel.PEERS, b"\x93\x71\xa1x\x01"), "net.undecodable"),
        (lambda a: a.record(8, b"x"), "net.unknown_channel"),
        (lambda a: a.record(99, b"x"), "net.unknown_channel"),
        (lambda a: a.writer.write(b"\x00\x00"), "net.bad_record"),
        (lambda a: a.writer.write(b"\x00\x20" + bytes(32)), "noise.bad_message"),
    ],
    ids=["oversized", "bomb", "replay", "type", "deep", "fields", "channel 8", "channel 99", "empty", "forged"],
)
async def test_breaking_the_protocol_ends_the_connection_and_bans_the_key(
    honest: list[Node], attack: Any, code: str
) -> None:
    static = generate_private()
    attacker = await Attacker.connect(honest[0].network.port, static=static)
    attack(attacker)

    reason, detail = await reason_of(attacker)
    again = await Attacker.connect(honest[0].network.port, static=static)

    assert reason is Reason.PROTOCOL
    assert detail.startswith(code)
    assert (await reason_of(again))[0] is Reason.BANNED


async def test_a_proof_of_another_connection_or_key_is_refused(honest: list[Node]) -> None:
    port = honest[0].network.port
    key = session_of(7)
    prefix = b"SMPX-peer-1" + honest[0].chain.genesis_hash
    first = await Attacker.connect(port)
    good = ValidatorAuth(key.public, key.sign(prefix + first.session_hash + b"\x01"))
    first.say(good)
    first.say(Ping(3))
    async with asyncio.timeout(2):
        while await first.hear() != Pong(3):
            pass

    replayed = await Attacker.connect(port)
    replayed.say(good)
    mirrored = await Attacker.connect(port)
    mirrored.say(ValidatorAuth(key.public, key.sign(prefix + mirrored.session_hash + b"\x00")))
    stolen = await Attacker.connect(port)
    public = session_of(1).public
    stolen.say(ValidatorAuth(public, key.sign(prefix + stolen.session_hash + b"\x01")))

    for attacker in (replayed, mirrored, stolen):
        assert (await reason_of(attacker))[0] is Reason.BAD_AUTH
    assert honest[0].network.validator(public) == public_of(honest[1].network._server.static_key)


async def test_a_peer_that_talks_too_fast_is_slowed_and_then_cut_and_others_do_not_feel_it(honest: list[Node]) -> None:
    attacker = await Attacker.connect(honest[0].network.port)
    question = GetBlock(Hash32(blake2_256(b"nothing")))
    for _ in range(20 * LIMITS[Channel.PROPOSALS].messages_per_s):
        attacker.say(question)
    await asyncio.sleep(0.2)

    handled = sum(1 for _, message in honest[0].inbox.messages if isinstance(message, GetBlock))
    assert handled <= 4 * LIMITS[Channel.PROPOSALS].messages_per_s
    latencies = []
    for _ in range(20):
        before = len(honest[0].inbox.messages)
        start = asyncio.get_running_loop().time()
        honest[1].network.broadcast(VOTE)
        await until(lambda seen=before: len(honest[0].inbox.messages) > seen)  # type: ignore[misc]
        latencies.append(asyncio.get_running_loop().time() - start)
    assert sorted(latencies)[10] < 0.02


async def test_a_peer_that_reads_nothing_is_given_up_with_bounded_memory(
    honest: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.net.peer.STALLED_DEADLINE_S", 0.3)
    attacker = await Attacker.connect(honest[0].network.port)
    await until(lambda: len(honest[0].network.open_peers()) == 2)
    attacker.writer.transport.pause_reading()
    peer = next(peer for peer in honest[0].network.open_peers() if not peer.session)
    tracemalloc.start()
    for _ in range(200):
        peer.send_encoded(Channel.TRANSACTIONS, bytes(200_000))
        await asyncio.sleep(0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 4 * LIMITS[Channel.TRANSACTIONS].queue_size_max
    await until(lambda: not peer.is_open)
    assert peer.reason is Reason.TOO_SLOW


async def test_unfinished_messages_of_many_strangers_stay_small(honest: list[Node]) -> None:
    attackers = [await Attacker.connect(honest[0].network.port) for _ in range(8)]
    tracemalloc.start()
    for attacker in attackers:
        for channel in LIMITS:
            for _ in range(3):
                attacker.record(channel, bytes(5000), flags=0)
    await asyncio.sleep(0.1)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert held < 8 * len(LIMITS) * 15_000 * 3
