"""Free runs of TCP ports for tests that start servers; workers that run side by side get different ones."""

import itertools
import os
import socket
from typing import Final

FIRST: Final = 20_000
LAST: Final = 32_000  # below the range the system hands out to outgoing connections
RUN: Final = 40
_calls = itertools.count()


def free_ports(count: int) -> int:
    """Return the first of `count` neighbouring ports nobody listens on.

    Args:
        count: at most 40.
    """
    assert count <= RUN
    runs = (LAST - FIRST) // RUN
    start = os.getpid() * 7 + next(_calls)
    for step in range(runs):
        first = FIRST + (start + step) % runs * RUN
        if all(_is_free(first + index) for index in range(count)):
            return first
    raise RuntimeError("no free ports on this machine")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
