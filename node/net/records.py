"""Records: how the encrypted stream is cut.

    record = u16be length | ciphertext          plaintext = u8 channel | u8 flags | chunk

A length is judged when its two bytes are there, before anything is kept for it, and no more than one unfinished
record is ever held. A record that does not authenticate ends the connection: counters cannot be resynchronised.

Source: the transport part of `docs/spec/p2p.md`.
"""

from __future__ import annotations

from typing import Final

from aitoken.crypto.noise import TAG_SIZE, CipherState
from aitoken.errors import Rejected, Unavailable

LENGTH_SIZE: Final = 2
HEAD_SIZE: Final = 2
RECORD_SIZE_MAX: Final = 65_535
CHUNK_SIZE_MAX: Final = RECORD_SIZE_MAX - TAG_SIZE - HEAD_SIZE
COUNTER_MAX: Final = 2**48
"""A connection ends long before a 64-bit counter could wrap."""


class BadRecord(Rejected):
    """A record is too short to carry anything."""

    code = "net.bad_record"


class SessionUsedUp(Unavailable):
    """So much went over this connection that new keys are due: dial again."""

    code = "net.session_used_up"


def frame(message: bytes) -> bytes:
    """Put the length before a handshake message or a ciphertext."""
    return len(message).to_bytes(LENGTH_SIZE, "big") + message


class Frames:
    """Cuts a byte stream at its lengths, whatever pieces it arrives in: `push`, then `pop` until None."""

    __slots__ = ("_end", "_held", "_offset", "_size_max", "_size_min")

    def __init__(self, size_min: int, size_max: int) -> None:
        self._held = b""
        self._offset = self._end = 0
        self.expect(size_min, size_max)

    def expect(self, size_min: int, size_max: int) -> None:
        """Set the bounds of the frames from the next one on."""
        self._size_min = size_min
        self._size_max = size_max

    def expect_records(self) -> None:
        """From now on the frames are encrypted records."""
        self.expect(HEAD_SIZE + TAG_SIZE, RECORD_SIZE_MAX)

    def push(self, data: bytes) -> None:
        """Add what arrived."""
        self._held = self._held[self._offset :] + data if self._end > self._offset else data
        self._offset, self._end = 0, len(self._held)

    def pop(self) -> bytes | None:
        """Return the next whole frame.

        Raises:
            BadRecord: a length out of bounds, before the frame itself has arrived.
        """
        held, offset = self._held, self._offset
        if self._end - offset < LENGTH_SIZE:
            return None
        size = held[offset] << 8 | held[offset + 1]
        if not self._size_min <= size <= self._size_max:
            raise BadRecord(f"a frame of {size} bytes")
        end = offset + LENGTH_SIZE + size
        if end > self._end:
            return None
        self._offset = end
        return held[offset + LENGTH_SIZE : end]


def seal(cipher: CipherState, channel: int, flags: int, chunk: bytes) -> bytes:
    """Return one record on the wire.

    Raises:
        SessionUsedUp: the key has served its time.
    """
    if cipher.counter >= COUNTER_MAX:
        raise SessionUsedUp("a record counter reached its limit")
    sealed = cipher.encrypt(bytes((channel, flags)) + chunk)
    return len(sealed).to_bytes(LENGTH_SIZE, "big") + sealed
