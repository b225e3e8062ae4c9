"""Records and channels: any cut of the stream gives the same messages, and every bound holds."""

from __future__ import annotations

import hashlib
import zlib
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.crypto.noise import BadNoiseMessage, CipherState
from node.net.channels import (
    DEFLATED,
    FIN,
    LIMITS,
    MIB,
    UNASKED_SIZE_MAX,
    BadCompression,
    Bucket,
    Channel,
    Inbox,
    Outbox,
    OversizedMessage,
    QueueFull,
    UnknownChannel,
)
from node.net.records import CHUNK_SIZE_MAX, BadRecord, Frames, seal

KEY = bytes(range(32))


def records() -> Frames:
    frames = Frames(0, 0)
    frames.expect_records()
    return frames


def cut(frames: Frames, data: bytes) -> list[bytes]:
    frames.push(data)
    return list(iter(frames.pop, None))


def drain(outbox: Outbox) -> list[tuple[int, int, bytes]]:
    chunks = []
    while (chunk := outbox.next_chunk()) is not None:
        chunks.append(chunk)
    return chunks


@given(
    st.lists(st.binary(max_size=300), max_size=20),
    st.lists(st.integers(min_value=1, max_value=400), min_size=1, max_size=20),
)
def test_records_come_out_whole_however_the_stream_is_cut(chunks: list[bytes], cuts: list[int]) -> None:
    sender, receiver = CipherState(KEY), CipherState(KEY)
    stream = b"".join(seal(sender, 1, FIN, chunk) for chunk in chunks)
    frames = records()

    received = []
    offset = turn = 0
    while offset < len(stream):
        size = cuts[turn % len(cuts)]
        received += [receiver.decrypt(frame)[2:] for frame in cut(frames, stream[offset : offset + size])]
        offset, turn = offset + size, turn + 1

    assert received == chunks


@pytest.mark.parametrize("head", [b"\x00\x00", b"\x00\x11"])
def test_a_length_that_cannot_hold_a_record_is_refused_at_once(head: bytes) -> None:
    with pytest.raises(BadRecord):
        cut(records(), head)


def test_a_replayed_record_does_not_authenticate() -> None:
    sender, receiver = CipherState(KEY), CipherState(KEY)
    frames = records()
    record = seal(sender, 1, FIN, b"once")
    receiver.decrypt(cut(frames, record)[0])

    with pytest.raises(BadNoiseMessage):
        receiver.decrypt(cut(frames, record)[0])


def test_a_vote_overtakes_a_block_after_one_record() -> None:
    outbox = Outbox()
    outbox.put(Channel.PROPOSALS, bytes(3 * CHUNK_SIZE_MAX))
    first = outbox.next_chunk()
    outbox.put(Channel.VOTES, b"vote")

    order = [channel for channel, _, _ in drain(outbox)]

    assert first is not None
    assert order == [Channel.VOTES, Channel.PROPOSALS, Channel.PROPOSALS]


def test_bulk_channels_take_turns() -> None:
    outbox = Outbox()
    outbox.put(Channel.SYNC, bytes(range(256)) * 1024)
    for _ in range(3):
        outbox.put(Channel.TRANSACTIONS, b"x")

    order = [channel for channel, _, _ in drain(outbox)]

    assert order[:2] == [Channel.SYNC, Channel.TRANSACTIONS]
    assert outbox.size == 0


@given(st.lists(st.tuples(st.sampled_from(list(Channel)), st.binary(max_size=3000)), max_size=30))
def test_what_goes_in_comes_out_in_order_per_channel(messages: list[tuple[Channel, bytes]]) -> None:
    outbox, inbox = Outbox(), Inbox(0.0, trusted=True)
    expected: dict[Channel, list[bytes]] = {}
    for channel, message in messages:
        try:
            if outbox.put(channel, message):
                expected.setdefault(channel, []).append(message)
        except QueueFull:
            pass
    outbox_dropped = outbox.dropped

    received: dict[Channel, list[bytes]] = {}
    for channel, flags, chunk in drain(outbox):
        done = inbox.take(bytes((channel, flags)) + chunk)
        if done is not None:
            received.setdefault(done[0], []).append(done[1])

    for channel, own in expected.items():
        assert received.get(channel, []) == own[-len(received.get(channel, [])) :]
    assert sum(map(len, received.values())) == sum(map(len, expected.values())) - outbox_dropped


@pytest.mark.parametrize("channel", list(Channel))
def test_a_message_over_the_limit_is_refused_while_it_grows(channel: Channel) -> None:
    inbox = Inbox(0.0, trusted=True)
    chunk = bytes((channel, 0)) + bytes(CHUNK_SIZE_MAX)

    for _ in range(LIMITS[channel].message_size_max // CHUNK_SIZE_MAX):
        inbox.take(chunk)
    with pytest.raises(OversizedMessage):
        inbox.take(chunk)


def test_a_stranger_is_held_to_small_messages_until_asked() -> None:
    inbox = Inbox(0.0)
    chunk = bytes((Channel.PROPOSALS, 0)) + bytes(CHUNK_SIZE_MAX)
    for _ in range(UNASKED_SIZE_MAX // CHUNK_SIZE_MAX):
        inbox.take(chunk)
    with pytest.raises(OversizedMessage):
        inbox.take(chunk)

    inbox.allow_full(Channel.PROPOSALS)

    assert inbox.take(bytes((Channel.PROPOSALS, FIN)) + bytes(CHUNK_SIZE_MAX)) is not None


def test_an_unknown_channel_is_refused() -> None:
    with pytest.raises(UnknownChannel):
        Inbox(0.0).take(bytes((8, FIN)) + b"x")


def deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, wbits=-15)
    return deflater.compress(data) + deflater.flush()


def test_sync_messages_are_deflated_where_it_pays_and_arrive_the_same() -> None:
    outbox, inbox = Outbox(), Inbox(0.0, trusted=True)
    message = b"header" * 20_000

    outbox.put(Channel.SYNC, message)
    chunks = drain(outbox)

    assert sum(len(chunk) for _, _, chunk in chunks) < len(message) // 10
    assert chunks[-1][1] == FIN | DEFLATED
    assert inbox.take(bytes(chunks[0][:2]) + chunks[0][2]) == (Channel.SYNC, message)


def test_a_long_message_whose_middle_gains_nothing_is_sent_as_it_is() -> None:
    outbox = Outbox()
    middle = b"".join(blake2b(number.to_bytes(4, "little")).digest() for number in range(2_000))

    outbox.put(Channel.SYNC, bytes(100_000) + middle + bytes(100_000))
    whole = drain(outbox)
    outbox.put(Channel.SYNC, middle[:20_000] + bytes(200_000) + middle[:20_000])

    assert b"".join(chunk for _, _, chunk in whole) == bytes(100_000) + middle + bytes(100_000)
    assert whole[-1][1] == FIN
    assert drain(outbox)[-1][1] == FIN | DEFLATED


@pytest.mark.parametrize(
    ("channel", "data"),
    [
        (Channel.SYNC, deflate(bytes(50 * MIB))),
        (Channel.SYNC, deflate(b"good") + b"rest"),
        (Channel.SYNC, deflate(b"good")[:-1]),
        (Channel.SYNC, b"\xff\xff\xff"),
        (Channel.VOTES, deflate(b"vote")),
    ],
    ids=["bomb", "left over", "cut", "garbage", "not allowed here"],
)
def test_bad_compression_is_refused(channel: Channel, data: bytes) -> None:
    with pytest.raises(BadCompression):
        Inbox(0.0, trusted=True).take(bytes((channel, FIN | DEFLATED)) + data)


def test_full_queues_follow_the_rule_of_their_channel() -> None:
    outbox = Outbox()
    for number in range(LIMITS[Channel.VOTES].queue_count_max + 10):
        outbox.put(Channel.VOTES, number.to_bytes(2, "big"))
    assert outbox.dropped > 0
    votes = drain(outbox)
    assert votes[-1][2] == (LIMITS[Channel.VOTES].queue_count_max + 9).to_bytes(2, "big")

    noise = hashlib.shake_128(b"noise").digest(2 * MIB)
    assert [outbox.put(Channel.SYNC, noise) for _ in range(5)] == [True] * 4 + [False]

    for _ in range(8):
        outbox.put(Channel.PROPOSALS, bytes(MIB))
    with pytest.raises(QueueFull):
        outbox.put(Channel.PROPOSALS, bytes(MIB))


def test_a_message_begun_is_never_dropped_half_way() -> None:
    outbox = Outbox()
    outbox.put(Channel.TRANSACTIONS, b"a" * (CHUNK_SIZE_MAX + 5))
    first = outbox.next_chunk()
    for _ in range(2000):
        outbox.put(Channel.TRANSACTIONS, b"b")

    rest = drain(outbox)

    assert first is not None
    assert rest[0] == (Channel.TRANSACTIONS, FIN, b"a" * 5)
    assert outbox.size == 0


def test_a_bucket_refills_with_time_and_never_beyond_its_burst() -> None:
    bucket = Bucket(rate=10, now=0.0, burst_s=2.0)

    assert all(bucket.take(1) for _ in range(20))
    assert not bucket.take(1)
    assert bucket.wait(0.0) == pytest.approx(0.1)
    assert bucket.wait(100.0) == 0
    assert all(bucket.take(1) for _ in range(20))
    assert not bucket.take(1)


def test_exceeding_a_rate_asks_for_a_pause_that_ends() -> None:
    inbox = Inbox(0.0)
    ping = bytes((Channel.CONTROL, FIN)) + b"x"
    for _ in range(LIMITS[Channel.CONTROL].messages_per_s * 2 + 5):
        inbox.take(ping)

    delay = inbox.wait(0.0)

    assert 0 < delay < 1
    assert inbox.wait(delay + 0.01) == 0
