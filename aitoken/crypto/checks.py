"""Signature checks as messages, and the process that makes them: `python -m aitoken.crypto.checks`.

Whoever has an event loop to keep free starts the process, writes messages to its input and reads one byte a check from
its output, in order. It ends when its input does, so it never outlives who started it.

    message  bytes that follow u32 | checks to answer together u32 | check*
    check    kind u8 | signature length u8 | public key 32 | payload length u32 | signature | payload
"""

from __future__ import annotations

import signal
import struct
import sys
from collections.abc import Sequence
from typing import BinaryIO, Final, NamedTuple

from aitoken.crypto.signature import verify_multi

_HEAD: Final = struct.Struct("<II")
_CHECK: Final = struct.Struct("<BB32sI")


class Check(NamedTuple):
    """One signature to check: the arguments of `verify_multi`."""

    kind: int
    signature: bytes
    payload: bytes
    public: bytes

    def run(self) -> bool:
        """Check it here and now."""
        return verify_multi(self.kind, self.signature, self.payload, self.public)


def pack(checks: Sequence[Check], together: int) -> bytes:
    """Return a message; `together` says after how many checks the process answers."""
    parts: list[bytes] = [b""]
    for kind, signature, payload, public in checks:
        parts += (_CHECK.pack(kind, len(signature), public, len(payload)), signature, payload)
    parts[0] = _HEAD.pack(sum(map(len, parts)), together)
    return b"".join(parts)


def unpack(body: bytes) -> list[Check]:
    """Return the checks of a message, which our own process wrote and which so is well-formed."""
    checks: list[Check] = []
    at = 0
    while at < len(body):
        kind, signature_size, public, payload_size = _CHECK.unpack_from(body, at)
        signature = at + _CHECK.size
        payload = signature + signature_size
        at = payload + payload_size
        checks.append(Check(kind, body[signature:payload], body[payload:at], public))
    return checks


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer message after message until the input ends."""
    while len(head := source.read(_HEAD.size)) == _HEAD.size:
        size, together = _HEAD.unpack(head)
        body = source.read(size)
        if len(body) != size:
            return
        checks = unpack(body)
        for start in range(0, len(checks), together):
            sink.write(bytes([verify_multi(*check) for check in checks[start : start + together]]))
            sink.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(sys.stdin.buffer, sys.stdout.buffer)
