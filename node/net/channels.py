"""Channels: many conversations over one connection, votes first, each with its own bounds.

A message is cut into chunks, one a record; chunks of different channels interleave, so a vote waits for at most one
record of a block. Channels 0 to 3 have strict priority in that order, the others share in turn what is left.

| channel | largest message | queue, when full |
| --- | --- | --- |
| control | 16 KiB | close |
| votes, certificates | 16 KiB, 64 KiB | drop the oldest (views only grow: the oldest is the lowest) |
| proposals | 5 MiB | close: the peer is too slow to follow |
| block sync | 3 MiB | refuse (the caller is told) |
| transactions | 1 MiB | drop the oldest |
| state | 3 MiB | refuse |
| peer exchange | 64 KiB | drop the oldest |

Until we trust a peer (it proved to be a validator) or asked it for something, its messages stay below
`UNASKED_SIZE_MAX` on every channel, which bounds what a stranger can make us hold.

Source: `docs/spec/p2p.md`.
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from aitoken.errors import Rejected
from node.net.records import CHUNK_SIZE_MAX, HEAD_SIZE

KIB: Final = 1024
MIB: Final = 1024 * KIB

FIN: Final = 1
"""Flag: the last chunk of a message."""
DEFLATED: Final = 2
"""Flag of a last chunk: the whole message is a raw deflate stream."""
DEFLATE_GAIN: Final = 0.88
"""Deflate is used only where it saves more than 12 %."""
DEFLATE_SIZE_MIN: Final = 4 * KIB
DEFLATE_SAMPLE: Final = 16 * KIB
"""From the middle of a longer message: where this gains nothing the rest is not tried. Transfers never gain."""
UNASKED_SIZE_MAX: Final = 256 * KIB
RECORD_CHARGE_MIN: Final = 128
"""What a record costs of the byte rate at least: a stream of empty chunks must not be free."""


class Channel(IntEnum):
    """What a message is about; lower goes first."""

    CONTROL = 0
    VOTES = 1
    CERTIFICATES = 2
    PROPOSALS = 3
    SYNC = 4
    TRANSACTIONS = 5
    STATE = 6
    PEERS = 7


class Overflow(Enum):
    """What happens to a message for which a send queue has no room."""

    CLOSE = "close"
    DROP_OLDEST = "drop oldest"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one channel, for each peer.

    `messages_per_s` and `bytes_per_s` are what a peer may send on average; it may be two seconds ahead.
    """

    message_size_max: int
    messages_per_s: int
    bytes_per_s: int
    queue_count_max: int
    queue_size_max: int
    overflow: Overflow
    may_deflate: bool = False


LIMITS: Final[dict[int, Limits]] = {
    Channel.CONTROL: Limits(16 * KIB, 20, 64 * KIB, 64, 256 * KIB, Overflow.CLOSE),
    Channel.VOTES: Limits(16 * KIB, 400, 128 * KIB, 1024, MIB, Overflow.DROP_OLDEST),
    Channel.CERTIFICATES: Limits(64 * KIB, 100, MIB, 256, 4 * MIB, Overflow.DROP_OLDEST),
    Channel.PROPOSALS: Limits(5 * MIB, 60, 8 * MIB, 512, 8 * MIB, Overflow.CLOSE),
    Channel.SYNC: Limits(3 * MIB, 20, 8 * MIB, 64, 8 * MIB, Overflow.REFUSE, may_deflate=True),
    Channel.TRANSACTIONS: Limits(MIB, 100, 2 * MIB, 1024, 4 * MIB, Overflow.DROP_OLDEST),
    Channel.STATE: Limits(3 * MIB, 60, 8 * MIB, 64, 4 * MIB, Overflow.REFUSE, may_deflate=True),
    Channel.PEERS: Limits(64 * KIB, 2, 64 * KIB, 16, 256 * KIB, Overflow.DROP_OLDEST),
}
STRICT: Final = (Channel.CONTROL, Channel.VOTES, Channel.CERTIFICATES, Channel.PROPOSALS)
WEIGHTED: Final = (Channel.SYNC, Channel.TRANSACTIONS, Channel.STATE, Channel.PEERS)


class UnknownChannel(Rejected):
    """A chunk for a channel that does not exist."""

    code = "net.unknown_channel"


class OversizedMessage(Rejected):
    """A message grew beyond what its channel allows."""

    code = "net.oversized_message"


class BadCompression(Rejected):
    """A deflated message where none may be, a damaged one, or one that inflates beyond the channel's limit."""

    code = "net.bad_compression"


class QueueFull(Rejected):
    """The peer does not take what a channel must deliver."""

    code = "net.queue_full"


class Bucket:
    """A token bucket that looks at the clock only when it seems empty."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, now: float, burst_s: float = 2.0) -> None:
        self._rate = rate
        self._burst = self._tokens = rate * burst_s
        self._updated = now

    def take(self, amount: float) -> bool:
        """Take `amount`; False when the bucket is overdrawn as far as it knows."""
        self._tokens -= amount
        return self._tokens >= 0

    def wait(self, now: float) -> float:
        """Refill for the time passed and return the seconds until it is no longer overdrawn."""
        self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._rate)
        self._updated = now
        return max(0.0, -self._tokens / self._rate)


class _Lane:
    """What arrives on one channel."""

    __slots__ = ("bytes", "channel", "held", "limits", "messages", "size_max")

    def __init__(self, channel: int, limits: Limits, now: float, *, trusted: bool) -> None:
        self.channel = Channel(channel)
        self.limits = limits
        self.size_max = limits.message_size_max if trusted else min(limits.message_size_max, UNASKED_SIZE_MAX)
        self.messages = Bucket(limits.messages_per_s, now)
        self.bytes = Bucket(limits.bytes_per_s, now)
        self.held: bytearray | None = None


class Inbox:
    """Puts chunks together to messages, within the bounds of each channel."""

    def __init__(self, now: float, *, trusted: bool = False, limits: dict[int, Limits] | None = None) -> None:
        self._lanes = {
            channel: _Lane(channel, own, now, trusted=trusted)
            for channel, own in (LIMITS if limits is None else limits).items()
        }
        self.overdrawn: Channel | None = None

    def allow_full(self, channel: Channel | None = None) -> None:
        """Let the peer send messages of full size on `channel`, or on all: we asked it, or trust it."""
        for lane in self._lanes.values() if channel is None else (self._lanes[channel],):
            lane.size_max = lane.limits.message_size_max

    def take(self, plaintext: bytes) -> tuple[Channel, bytes] | None:
        """Add one decrypted record and return the message it completes, if any.

        Raises:
            UnknownChannel, OversizedMessage, BadCompression: the peer broke the rules.
        """
        lane, flags, length = self._lanes.get(plaintext[0]), plaintext[1], len(plaintext)
        if lane is None:
            raise UnknownChannel(f"channel {plaintext[0]}")
        held = lane.held
        size = length - HEAD_SIZE + (len(held) if held else 0)
        if size > lane.size_max:
            raise OversizedMessage(f"{lane.channel.name.lower()} message of more than {lane.size_max} bytes")
        if (flags & FIN and not lane.messages.take(1)) or not lane.bytes.take(max(length, RECORD_CHARGE_MIN)):
            self.overdrawn = lane.channel
        message = plaintext[HEAD_SIZE:]
        if not flags & FIN:
            if held is None:
                lane.held = bytearray(message)
            else:
                held += message
            return None
        if held is not None:
            lane.held = None
            message = bytes(held) + message
        return lane.channel, _inflate(lane, message) if flags & DEFLATED else message

    def wait(self, now: float) -> float:
        """Return how many seconds to stop reading because a rate was exceeded; 0 when none was."""
        if self.overdrawn is None:
            return 0.0
        lane = self._lanes[self.overdrawn]
        delay = max(lane.messages.wait(now), lane.bytes.wait(now))
        if delay == 0:
            self.overdrawn = None
        return delay


class _Queue:
    __slots__ = ("limits", "messages", "offset", "size")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.messages: deque[tuple[bytes, bool]] = deque()
        self.size = 0
        self.offset = 0
        """How much of the first message has been cut off already."""


class Outbox:
    """Messages waiting for one peer, handed out chunk by chunk in order of priority."""

    def __init__(self, limits: dict[int, Limits] | None = None) -> None:
        self._queues = {channel: _Queue(own) for channel, own in (LIMITS if limits is None else limits).items()}
        self._strict = tuple((channel, self._queues[channel]) for channel in STRICT)
        self._turn = 0
        self._waiting = 0
        self.dropped = 0
        self.size = 0
        """Bytes waiting in all queues."""

    def put(self, channel: Channel, message: bytes) -> bool:
        """Queue `message`; False when the channel refuses it.

        Raises:
            QueueFull: the channel must deliver and cannot: the connection is to be closed.
        """
        queue = self._queues[channel]
        limits = queue.limits
        deflated = False
        if limits.may_deflate and len(message) >= DEFLATE_SIZE_MIN:
            message, deflated = _deflate(message)
        if len(queue.messages) >= limits.queue_count_max or queue.size + len(message) > limits.queue_size_max:
            if limits.overflow is Overflow.CLOSE:
                raise QueueFull(f"{channel.name.lower()}: {len(queue.messages)} messages, {queue.size} bytes wait")
            if limits.overflow is Overflow.REFUSE:
                return False
            self._drop_oldest(queue, len(message))
        queue.messages.append((message, deflated))
        self._waiting += 1
        queue.size += len(message)
        self.size += len(message)
        return True

    def next_chunk(self) -> tuple[Channel, int, bytes] | None:
        """Return channel, flags and bytes of the next record to send, or None when nothing waits."""
        if not self._waiting:
            return None
        for channel, queue in self._strict:
            if queue.messages:
                return self._cut(channel, queue)
        for step in range(len(WEIGHTED)):
            channel = WEIGHTED[(self._turn + step) % len(WEIGHTED)]
            queue = self._queues[channel]
            if queue.messages:
                self._turn += step + 1
                return self._cut(channel, queue)
        return None

    def _cut(self, channel: Channel, queue: _Queue) -> tuple[Channel, int, bytes]:
        message, deflated = queue.messages[0]
        start = queue.offset
        end = start + CHUNK_SIZE_MAX
        if end < len(message):
            queue.offset = end
            return channel, 0, message[start:end]
        queue.messages.popleft()
        self._waiting -= 1
        queue.offset = 0
        queue.size -= len(message)
        self.size -= len(message)
        return channel, FIN | DEFLATED if deflated else FIN, message[start:] if start else message

    def _drop_oldest(self, queue: _Queue, needed: int) -> None:
        limits = queue.limits
        started = queue.messages.popleft() if queue.offset else None  # what was begun must be finished
        while queue.messages and (
            len(queue.messages) + 1 >= limits.queue_count_max or queue.size + needed > limits.queue_size_max
        ):
            dropped, _ = queue.messages.popleft()
            self._waiting -= 1
            queue.size -= len(dropped)
            self.size -= len(dropped)
            self.dropped += 1
        if started is not None:
            queue.messages.appendleft(started)


def _inflate(lane: _Lane, message: bytes) -> bytes:
    if not lane.limits.may_deflate:
        raise BadCompression(f"{lane.channel.name.lower()} messages are not compressed")
    inflater = zlib.decompressobj(wbits=-15)
    try:
        inflated = inflater.decompress(message, lane.size_max)
    except zlib.error as bad:
        raise BadCompression("a damaged deflate stream") from bad
    if not inflater.eof or inflater.unconsumed_tail or inflater.unused_data:
        raise BadCompression(f"not exactly one deflate stream of at most {lane.size_max} bytes")
    return inflated


def _deflate(message: bytes) -> tuple[bytes, bool]:
    if len(message) > 4 * DEFLATE_SAMPLE:
        middle = len(message) // 2
        if not _deflate(message[middle : middle + DEFLATE_SAMPLE])[1]:
            return message, False
    deflater = zlib.compressobj(1, wbits=-15)
    deflated = deflater.compress(message) + deflater.flush()
    return (deflated, True) if len(deflated) < len(message) * DEFLATE_GAIN else (message, False)
