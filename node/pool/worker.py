"""The process that checks signatures: frames of checks on standard input, frames of verdicts on standard output.

Started by `node.pool.verify.WorkerVerifier`; ends when its input ends, so it never outlives its node.
"""

from __future__ import annotations

import signal
import sys
from typing import BinaryIO

from node.pool.verify import COUNT, FRAME, unpack


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer frame after frame until the input ends."""
    while len(head := source.read(FRAME.size)) == FRAME.size:
        size, count = FRAME.unpack(head)
        body = source.read(size)
        if len(body) != size:
            return
        sink.write(COUNT.pack(count) + bytes([check.run() for check in unpack(body, count)]))
        sink.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(sys.stdin.buffer, sys.stdout.buffer)
