"""The switch between namespaces loses and delays what passes between nodes, and nothing else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random

from faults.switch import Switch

HOST = 250


def packet(source: int, target: int, number: int = 0) -> bytes:
    """An IPv4 header is all the switch looks at."""
    return bytes([0x45, *bytes(11), 10, 0, 0, source, 10, 0, 0, target]) + number.to_bytes(2, "big")


@contextmanager
def switching(delay_s: float, loss: float) -> Iterator[tuple[Switch, dict[int, socket.socket]]]:
    """A switch between 1, 2 and the host, with sockets in place of devices."""
    pairs = {last: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for last in (1, 2, HOST)}
    for _, inner in pairs.values():
        inner.setblocking(False)
    switch = Switch({last: inner.fileno() for last, (_, inner) in pairs.items()}, delay_s, loss, Random(1))
    thread = threading.Thread(target=switch.run)
    thread.start()
    try:
        for outer, _ in pairs.values():
            outer.settimeout(5)
        yield switch, {last: outer for last, (outer, _) in pairs.items()}
    finally:
        switch.is_over = True
        thread.join()
        for pair in pairs.values():
            for each in pair:
                each.close()


def test_a_packet_comes_where_it_is_addressed_to_and_late() -> None:
    with switching(0.1, 0.0) as (switch, nodes):
        sent = time.monotonic()
        nodes[1].send(packet(1, 2))
        assert nodes[2].recv(100) == packet(1, 2)
        assert time.monotonic() - sent >= 0.1
        nodes[2].send(packet(2, 1))
        assert nodes[1].recv(100) == packet(2, 1)
    assert (switch.counts.sent, switch.counts.lost, switch.counts.delivered) == (2, 0, 2)


def test_packets_are_lost_as_often_as_asked_for_and_the_rest_keeps_its_order() -> None:
    with switching(0.0, 0.2) as (switch, nodes):
        received = []
        nodes[2].setblocking(False)
        for number in range(500):
            nodes[1].send(packet(1, 2, number))
            nodes[1].send(packet(1, HOST, number))
            assert nodes[HOST].recv(100) == packet(1, HOST, number), "the host suffers nothing"
            with suppress(BlockingIOError):  # of two packets without a delay the first is there with the second
                received.append(nodes[2].recv(100))
    assert switch.counts.sent == 500
    assert 70 <= switch.counts.lost <= 130
    assert len(received) == 500 - switch.counts.lost
    assert received == sorted(received)


def test_what_is_no_ipv4_or_for_nobody_goes_nowhere() -> None:
    with switching(0.0, 0.0) as (switch, nodes):
        for odd in (b"", b"short", bytes([0x60]) + bytes(40), packet(1, 99)):
            nodes[1].send(odd)
        nodes[1].send(packet(1, 2))
        assert nodes[2].recv(100) == packet(1, 2)
    assert switch.counts.sent == 1
