"""One connection, from its first byte to its last: handshake, records, channels, deadlines.

    initiator: b"AITP" | version, message 1      both: u16be length before every message, then records
    responder: message 2 with its `Hello`
    initiator: message 3 with its `Hello`        from here on both may say `Disconnect(reason)`, encrypted

All of it is callbacks on the event loop; what arrives is handed to the `Host` at once, what is sent waits in bounded
queues. A stranger can make us hold one handshake message until it is authenticated, and little until it is trusted.

Source: `docs/spec/p2p.md`; deadlines from the network goals of the reliability paper (a silent peer is cut in 10 s).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, Protocol, cast

from aitoken.crypto.noise import CipherState
from aitoken.errors import Rejected
from node.net.channels import FIN, KIB, Channel, Inbox, Outbox, QueueFull
from node.net.messages import Disconnect, Hello, Message, Ping, Pong, Reason
from node.net.noise import Handshake
from node.net.records import CHUNK_SIZE_MAX, Frames, SessionUsedUp, frame, seal
from node.net.wire import channel_of, decode, decode_hello, encode, encode_hello

MAGIC: Final = b"AITP\x01"
PROLOGUE: Final = MAGIC + b"aitk-p2p"
HANDSHAKE_MESSAGE_MAX: Final = KIB + 96
HANDSHAKE_DEADLINE_S: Final = 5.0
CLOSE_DEADLINE_S: Final = 1.0
"""How long a last word may take to leave before the connection is cut."""
STALLED_DEADLINE_S: Final = 20.0
"""How long a peer may leave our writes unread."""
PING_INTERVAL_S: Final = 15.0
SILENT_TICKS_MAX: Final = 2
"""A peer heard nothing of for so many ping intervals is gone."""
PAUSE_MIN_S: Final = 0.05
"""A peer that is too fast is read again after so long at the earliest: in slices, not message by message."""
WRITE_BUFFER_HIGH: Final = 128 * KIB
"""What is beyond our control once written: a vote may wait behind it."""
FLUSH_SIZE: Final = 64 * KIB
ARRIVED: Final = memoryview(bytearray(256 * KIB))
"""Where bytes of all connections are put, because they are taken out at once; asyncio else makes room for 256 KiB for
each read, which takes longer than the system call."""
AT_ONCE: Final = frozenset({Channel.VOTES, Channel.PROPOSALS})
"""What is written as soon as it is queued: others wait for it. The rest goes out together, once a turn of the loop."""


class State(Enum):
    """Where a connection is."""

    SHAKING = "shaking hands"
    OPEN = "open"
    CLOSED = "closed"


class Host(Protocol):
    """What a connection asks of the node it belongs to."""

    @property
    def static_key(self) -> bytes:
        """Our private X25519 key."""

    def hello(self) -> Hello:
        """What we say about ourselves."""

    def began(self, peer: Peer) -> bool:
        """A connection exists; whether it may go on at all."""

    def judge(self, peer: Peer) -> Reason | None:
        """The peer said who it is: why it is turned away, or None."""

    def opened(self, peer: Peer) -> None:
        """Messages flow from now on."""

    def received(self, peer: Peer, message: Message, /) -> None:
        """A message arrived. Raising `Rejected` ends the connection."""

    def throttled(self, peer: Peer) -> None:
        """The peer exceeded a rate in this second and is not read for a moment."""

    def closed(self, peer: Peer) -> None:
        """The connection is over; told once, whatever state it was in."""


class Peer(asyncio.BufferedProtocol):
    """A connection to one peer.

    Attributes:
        initiator: whether we dialled.
        identity: the peer's static key, its name; empty until the handshake proved it.
        hello: what it said about itself.
        session: its validator session key once proven for this connection, else empty.
        handshake_hash: names this very connection.
        reason, detail: why it closed, and whether the peer said so (`told`).
    """

    def __init__(self, host: Host, *, initiator: bool) -> None:
        self._host = host
        self.initiator = initiator
        self.state = State.SHAKING
        self.identity = b""
        self.hello: Hello | None = None
        self.session = b""
        self.handshake_hash = b""
        self.reason: Reason | None = None
        self.detail = ""
        self.told = False
        self.address: tuple[str, int] = ("", 0)
        self.opened_at = 0.0
        self.offence: Rejected | None = None
        """What the peer did wrong, when that ended the connection."""
        self._loop = asyncio.get_running_loop()
        self._handshake = Handshake(initiator=initiator, static=host.static_key, prologue=PROLOGUE)
        self._frames = Frames(32, HANDSHAKE_MESSAGE_MAX)
        self._magic_left = b"" if initiator else MAGIC
        self._inbox = Inbox(self._loop.time())
        self._outbox = Outbox()
        self._transport: asyncio.Transport | None = None
        self._sending: CipherState | None = None
        self._receiving: CipherState | None = None
        self._flush_due = False
        self._write_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._resume_timer: asyncio.TimerHandle | None = None
        self._heard = True
        self._silent_ticks = 0
        self._throttled_at = -1.0
        self.sent_bytes = 0
        self.received_bytes = 0
        self.settled: asyncio.Future[bool] = self._loop.create_future()
        """Whether the handshake ended well."""
        self.over: asyncio.Future[bool] = self._loop.create_future()

    def __repr__(self) -> str:
        name = self.identity.hex()[:8] or "unknown"
        return f"<peer {name} {'to' if self.initiator else 'from'} {self.address[0]}:{self.address[1]}>"

    # -- what the node does with it

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self.state is State.OPEN

    @property
    def waiting_bytes(self) -> int:
        """What waits in our queues for this peer."""
        return self._outbox.size

    def send(self, message: Message) -> bool:
        """Queue a message; False when the connection is over or the channel refuses."""
        return self.send_encoded(channel_of(message), encode(message))

    def send_encoded(self, channel: Channel, data: bytes) -> bool:
        """Queue an encoded message: encode once, send to many."""
        transport, sending = self._transport, self._sending
        if self.state is not State.OPEN or transport is None or sending is None:
            return False
        if channel in AT_ONCE and not (self._outbox.size or self._write_paused) and len(data) <= CHUNK_SIZE_MAX:
            return self._write(transport, sending, ((channel, FIN, data),))
        try:
            queued = self._outbox.put(channel, data)
        except QueueFull as full:
            self.disconnect(Reason.TOO_SLOW, str(full))
            return False
        if channel in AT_ONCE:
            self._flush()
        elif not self._flush_due and not self._write_paused:
            self._flush_due = True
            self._loop.call_soon(self._flush)
        return queued

    def allow_full(self, channel: Channel | None = None) -> None:
        """Accept messages of full size on `channel` (or all): we asked for them, or trust the peer."""
        self._inbox.allow_full(channel)

    def disconnect(self, reason: Reason, detail: str = "") -> None:
        """End the connection, telling the peer why if it can be told inside the encrypted channel."""
        if self.state is State.CLOSED:
            return
        if self._sending is not None and self._transport is not None and not self._write_paused:
            words = "".join(c for c in detail if c.isascii() and c.isprintable())[:128]
            last = encode(Disconnect(reason, words))
            if self.state is State.OPEN:
                self._flush()
            self._transport.write(seal(self._sending, Channel.CONTROL, 1, last))
            self._end(reason, detail, now=False)
        else:
            self._end(reason, detail, now=True)

    # -- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there: the handshake begins and has a deadline."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_HIGH)
        name = self._transport.get_extra_info("peername")
        if name:
            self.address = (str(name[0]), int(name[1]))
        if not self._host.began(self):
            self._end(Reason.FULL, "too many connections", now=True)
            return
        self._timer = self._loop.call_later(HANDSHAKE_DEADLINE_S, self._end_late)
        if self.initiator:
            self._transport.write(MAGIC + frame(self._handshake.write(b"")))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - there is one
        """Return where bytes are to be put."""
        return ARRIVED

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes arrived."""
        self._heard = True
        self.received_bytes += nbytes
        self._take(bytes(ARRIVED[:nbytes]))

    def pause_writing(self) -> None:
        """The peer does not read as fast as we write."""
        self._write_paused = True
        self._stall_timer = self._loop.call_later(
            STALLED_DEADLINE_S, self.disconnect, Reason.TOO_SLOW, "does not read what is sent"
        )

    def resume_writing(self) -> None:
        """There is room again."""
        self._write_paused = False
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        if self.state is State.OPEN:
            self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        detail = "connection lost" if exc is None else f"connection lost: {exc}"
        self._end(self.reason or Reason.SHUTDOWN, self.detail or detail, now=True)

    # -- handshake

    def _take(self, data: bytes) -> None:
        try:
            self._read(data)
        except Rejected as bad:
            self.offence = bad
            self.disconnect(Reason.PROTOCOL, f"{bad.code}: {bad}")

    def _read(self, data: bytes) -> None:
        if self._magic_left:
            size = min(len(data), len(self._magic_left))
            if data[:size] != self._magic_left[:size]:
                self._end(Reason.PROTOCOL, "another protocol", now=True)
                return
            self._magic_left = self._magic_left[size:]
            data = data[size:]
        frames, inbox = self._frames, self._inbox
        frames.push(data)
        while self.state is not State.CLOSED and (message := frames.pop()) is not None:
            receiving = self._receiving
            if receiving is None:
                self._step(message)
                continue
            done = inbox.take(receiving.decrypt(message))
            if done is not None and done[0] is Channel.CONTROL:
                self._dispatch(decode(*done))
            elif done is not None:
                self._host.received(self, decode(*done))
            if inbox.overdrawn is not None and self._throttle():
                return  # the rest waits

    def _step(self, message: bytes) -> None:
        shake = self._handshake
        payload = shake.read(message)
        if not shake.done:
            cast(asyncio.Transport, self._transport).write(frame(shake.write(encode_hello(self._host.hello()))))
        if not shake.done:
            return
        # From here on the peer can be told, encrypted, why it is turned away.
        self._sending, self._receiving = shake.split()
        self.identity = shake.remote_static
        self.handshake_hash = shake.hash
        self.hello = decode_hello(payload)
        refused = self._host.judge(self)
        if refused is not None:
            self.disconnect(refused)
            return
        self.state = State.OPEN
        self.opened_at = self._loop.time()
        self._rearm(PING_INTERVAL_S, self._tick)
        self._frames.expect_records()
        _settle(self.settled, result=True)
        self._host.opened(self)

    # -- messages

    def _dispatch(self, message: Message) -> None:
        if type(message) is Ping:
            self.send(Pong(message.nonce))
        elif type(message) is Pong:
            pass
        elif type(message) is Disconnect:
            self.told = True
            self._end(_reason(message.reason), message.detail, now=True)
        else:
            self._host.received(self, message)

    def _throttle(self) -> bool:
        """Stop reading until the peer is within its rate again; False when it is."""
        delay = self._inbox.wait(self._loop.time())
        if delay <= 0 or self._transport is None or self.state is not State.OPEN:
            return False
        now = self._loop.time()
        if now - self._throttled_at >= 1.0:
            self._throttled_at = now
            self._host.throttled(self)
        if self.is_open:
            self._transport.pause_reading()
            self._resume_timer = self._loop.call_later(max(delay, PAUSE_MIN_S), self._resume_reading)
        return True

    def _resume_reading(self) -> None:
        self._resume_timer = None
        self._heard = True
        self._inbox.wait(self._loop.time())
        self._take(b"")
        if self._transport is not None and self.is_open and self._resume_timer is None:
            self._transport.resume_reading()

    def _flush(self) -> None:
        self._flush_due = False
        transport, sending = self._transport, self._sending
        if transport is None or sending is None:
            return
        while self.state is State.OPEN and not self._write_paused:
            chunks, size = [], 0
            while size < FLUSH_SIZE and (chunk := self._outbox.next_chunk()) is not None:
                chunks.append(chunk)
                size += len(chunk[2])
            if not chunks:
                return
            self._write(transport, sending, chunks)

    def _write(
        self, transport: asyncio.Transport, sending: CipherState, chunks: Sequence[tuple[Channel, int, bytes]]
    ) -> bool:
        """Write records; False where the session is used up, which ends the connection."""
        try:
            data = b"".join([seal(sending, *chunk) for chunk in chunks])
        except SessionUsedUp as over:
            self._end(Reason.SHUTDOWN, str(over), now=True)
            return False
        self.sent_bytes += len(data)
        transport.write(data)
        return True

    # -- time and the end

    def _rearm(self, delay: float, call: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay, call)

    def _tick(self) -> None:
        self._silent_ticks = 0 if self._heard else self._silent_ticks + 1
        self._heard = False
        if self._silent_ticks >= SILENT_TICKS_MAX:
            self.disconnect(Reason.SILENT, "nothing heard")
            return
        self.send(Ping(0))
        self._rearm(PING_INTERVAL_S, self._tick)

    def _end_late(self) -> None:
        self._end(Reason.SILENT, "no handshake in time", now=True)

    def _end(self, reason: Reason, detail: str, *, now: bool) -> None:
        if self._transport is not None:
            if now:
                self._transport.abort()
            else:
                self._transport.close()
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self.reason, self.detail = reason, detail
        for timer in (self._timer, self._stall_timer, self._resume_timer):
            if timer is not None:
                timer.cancel()
        self._timer = None
        if not now and self._transport is not None:
            self._timer = self._loop.call_later(CLOSE_DEADLINE_S, self._transport.abort)
        self._outbox = Outbox()
        _settle(self.settled, result=False)
        _settle(self.over, result=True)
        self._host.closed(self)


def _settle(future: asyncio.Future[bool], *, result: bool) -> None:
    if not future.done():  # whoever waited may have been cancelled, and the future with it
        future.set_result(result)


def _reason(number: int) -> Reason:
    try:
        return Reason(number)
    except ValueError:  # a later version's
        return Reason.PROTOCOL
