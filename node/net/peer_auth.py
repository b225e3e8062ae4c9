"""What a validator signs to show that one end of one connection is its own."""

from __future__ import annotations

from typing import Final

PREFIX: Final = b"SMPX-peer-1"


def peer_statement(genesis: bytes, handshake_hash: bytes, *, initiator: bool) -> bytes:
    """Return the bytes to sign: the handshake hash names the connection, the flag the end that dialled."""
    return PREFIX + genesis + handshake_hash + bytes([initiator])
