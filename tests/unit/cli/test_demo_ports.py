"""The demo takes ports nobody has, and says so when there are none."""

from __future__ import annotations

import socket

import pytest

from aitoken.errors import Unavailable
from cli import demo


def test_a_taken_port_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PEERS", 4)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(demo, "PORTS", range(port, port + 1))
        with pytest.raises(Unavailable):
            demo.free_port()
        monkeypatch.setattr(demo, "PORTS", range(port - 3, 65_000, 8))  # the first one's ports include the taken one
        assert demo.free_port() > port
