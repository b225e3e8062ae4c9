"""Records: how the encrypted stream is cut.

    record = u16be length | ciphertext          plaintext = u8 channel | u8 flags | chunk

A length is judged when its two bytes are there, before anything is kept for it, and no more than one unfinished
record is ever held. A record that does not authenticate ends the connection: counters cannot be resynchronised.

Source: the transport part of `docs/spec/p2p.md`.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    """Cuts a byte stream at its lengths, whatever pieces it arrives in."""

    __slots__ = ("_rest", "_size_max", "_size_min")

    def __init__(self, size_min: int, size_max: int) -> None:
        self._rest = b""
        self._size_min = size_min
        self._size_max = size_max

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the frames that `data` completes; what is yielded is used up even if the caller stops there.

        Raises:
            BadRecord: a length out of bounds, before the frame itself has arrived.
        """
        held = self._rest + data if self._rest else data
        self._rest = b""
        offset, total = 0, len(held)
        try:
            while total - offset >= LENGTH_SIZE:
                size = held[offset] << 8 | held[offset + 1]
                if not self._size_min <= size <= self._size_max:
                    raise BadRecord(f"a frame of {size} bytes")
                end = offset + LENGTH_SIZE + size
                if end > total:
                    break
                frame_bytes = held[offset + LENGTH_SIZE : end]
                offset = end
                yield frame_bytes
        finally:
            self._rest = held[offset:]

    def take_rest(self) -> bytes:
        """Return and forget the bytes that belong to no whole frame yet."""
        rest, self._rest = self._rest, b""
        return rest


def open_records() -> Frames:
    """Return the cutter for encrypted records."""
    return Frames(HEAD_SIZE + TAG_SIZE, RECORD_SIZE_MAX)


def seal(cipher: CipherState, channel: int, flags: int, chunk: bytes) -> bytes:
    """Return one record on the wire.

    Raises:
        SessionUsedUp: the key has served its time.
    """
    if cipher.counter >= COUNTER_MAX:
        raise SessionUsedUp("a record counter reached its limit")
    sealed = cipher.encrypt(bytes((channel, flags)) + chunk)
    return len(sealed).to_bytes(LENGTH_SIZE, "big") + sealed
