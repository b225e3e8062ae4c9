"""What a node and a signer of its own say to each other over a local socket.

    frame     length u32be, at most 4 KiB | msgpack array
    request   [method, argument ...]                    answers come in the order of the requests
    answer    [OK, value] | [REFUSED, reason] | [FAILED, reason]

Methods, each for one kind of statement whose bytes the signer puts together itself; nothing signs raw bytes:

    hello     [version]                                            -> [version, genesis hash, [public key ...]]
    vote      [public, kind, epoch, view, block hash, final view]  -> signature
    view      [public, epoch, view, seed of the epoch]             -> VRF proof
    knows     [public, kind, epoch, view, block hash]              -> bool
    peer      [public, handshake hash, initiator]                  -> signature
    address   [public, address record with an empty signature]     -> signature
"""

from __future__ import annotations

from typing import Any, Final

import msgpack

from aitoken.errors import Rejected

VERSION: Final = 2
FRAME_BYTES_MAX: Final = 4096
LENGTH_BYTES: Final = 4
OK: Final = 0
REFUSED: Final = 1
FAILED: Final = 2


class BadFrame(Rejected):
    """What came over the signer's socket is no frame of ours."""

    code = "signer.bad_frame"


def pack(values: list[Any]) -> bytes:
    """Return a frame."""
    body = msgpack.packb(values)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def length_of(head: bytes) -> int:
    """Return how many bytes follow a frame's head.

    Raises:
        BadFrame: more than a frame may have, or none.
    """
    length = int.from_bytes(head, "big")
    if not 0 < length <= FRAME_BYTES_MAX:
        raise BadFrame(f"a frame of {length} bytes")
    return length


def unpack(body: bytes) -> list[Any]:
    """Return the array of a frame.

    Raises:
        BadFrame: it is none.
    """
    try:
        values = msgpack.unpackb(body, max_array_len=16, max_map_len=0, max_ext_len=0)
    except (ValueError, msgpack.UnpackException) as error:
        raise BadFrame(f"no msgpack: {error}") from None
    if not isinstance(values, list) or not values:
        raise BadFrame("not an array")
    return values
