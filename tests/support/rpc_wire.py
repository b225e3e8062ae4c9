"""A connection without a network: what is written to it is kept."""

from __future__ import annotations

import asyncio

from node.rpc.limits import Backlog, Limits
from node.rpc.outbox import Outbox
from node.rpc.outgoing import Outgoing
from node.rpc.session import Session


class FakeWire:
    """Takes everything until it is `is_full`."""

    def __init__(self) -> None:
        self.is_full = False
        self.fills = False
        """Whether the next write is one too many."""
        self.sent: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        self.is_full = self.is_full or self.fills

    @property
    def messages(self) -> list[bytes]:
        """The payloads of all frames."""
        return payloads(b"".join(self.sent))


def payloads(data: bytes) -> list[bytes]:
    """The payloads of unmasked text frames (RFC 6455)."""
    found = []
    while data:
        assert data[0] == 0x81
        size, start = data[1], 2
        if size >= 126:
            start += 2 if size == 126 else 8
            size = int.from_bytes(data[2:start], "big")
        found.append(data[start : start + size])
        assert len(found[-1]) == size
        data = data[start + size :]
    return found


class Line:
    """A session, what was written to it, and why it was cut; needs a running loop."""

    def __init__(self, limits: Limits | None = None, outbox: Outbox | None = None) -> None:
        limits = limits or Limits()
        self.cuts: list[str] = []
        self.wire = FakeWire()
        self.outbox = outbox or Outbox(asyncio.get_running_loop())
        self.backlog = Backlog(limits.outgoing_total)
        self.out = Outgoing(limits, self.cuts.append, self.backlog, self.wire, self.outbox)
        self.session = Session(limits, self.out)
