"""WebSocket text frames as a server sends them: unmasked, whole, never compressed.

Source: RFC 6455, section 5.2.
"""

from __future__ import annotations

import struct
from typing import Final

_TEXT: Final = 0x81
"""FIN and the opcode of text."""
_MEDIUM: Final = struct.Struct(">BBH").pack
_LONG: Final = struct.Struct(">BBQ").pack


def header(size: int) -> bytes:
    """Return what stands before a text of `size` bytes."""
    if size < 126:
        return bytes((_TEXT, size))
    return _MEDIUM(_TEXT, 126, size) if size < 65_536 else _LONG(_TEXT, 127, size)


def text_frame(payload: bytes) -> bytes:
    """Return the frame of one message."""
    return header(len(payload)) + payload
