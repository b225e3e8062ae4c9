"""The outgoing queue of one connection: order, room, and when a subscriber is given up."""

from __future__ import annotations

import asyncio

import pytest

from node.rpc.limits import Limits
from node.rpc.registry import Method
from node.rpc.session import Session, Sink

METHOD = Method("watch", (), lambda: None, {}, (), notifies="news")


class Line:
    """A session and why it was cut."""

    def __init__(self, limits: Limits) -> None:
        self.cuts: list[str] = []
        self.session = Session(limits, self.cuts.append)
        self.sent: list[bytes] = []

    def open_sink(self) -> Sink:
        sink = self.session.subscribe(METHOD)
        sink.open()
        return sink

    async def send(self, message: bytes) -> None:
        self.sent.append(message)

    async def drain(self) -> None:
        writer = asyncio.ensure_future(self.session.write_out(self.send))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writer.cancel()


async def test_a_subscription_may_be_so_far_behind_and_no_further() -> None:
    line = Line(Limits(notifications_pending=3))
    slow, other = line.open_sink(), line.open_sink()

    for _ in range(3):
        slow.send(b"1")
        other.send(b"1")
    assert line.cuts == []
    slow.send(b"1")

    assert line.cuts == ["4 notifications unread"]


async def test_what_was_taken_no_longer_counts() -> None:
    line = Line(Limits(notifications_pending=3))
    sink = line.open_sink()

    for _ in range(5):
        sink.send(b"1")
        await line.drain()

    assert line.cuts == []
    assert len(line.sent) == 5


async def test_too_many_unread_bytes_cut_a_subscriber_but_not_a_caller() -> None:
    line = Line(Limits(outgoing_bytes=1_000))
    sink = line.open_sink()

    line.session.push(b"x" * 2_000)
    assert line.cuts == []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await line.session.wait_for_room()
    sink.send(b"1")

    assert len(line.cuts) == 1


async def test_there_is_room_again_once_enough_was_taken() -> None:
    line = Line(Limits(outgoing_bytes=1_000))

    line.session.push(b"x" * 2_000)
    await line.drain()

    await line.session.wait_for_room()


async def test_what_is_sent_before_the_response_waits_for_it() -> None:
    line = Line(Limits())
    sink = line.session.subscribe(METHOD)

    sink.send(b"1")
    sink.end()
    sink.send(b"2")
    line.session.push(b"response")
    sink.open()
    await line.drain()

    assert line.sent[0] == b"response"
    assert [message.endswith(b'"result":1}}') for message in line.sent[1:]] == [True]
    assert line.session.subscriptions == 0


async def test_ends_are_told_once_whoever_ends_it() -> None:
    line = Line(Limits())
    sink = line.open_sink()
    ends: list[str] = []
    sink.on_release(lambda: ends.append("subscription"))
    line.session.on_close(lambda: ends.append("connection"))

    line.session.close()
    line.session.close()
    sink.close()
    sink.on_release(lambda: ends.append("late"))

    assert ends == ["subscription", "connection", "late"]
    line.session.push(b"nobody reads this")
    assert line.session._queued_bytes == 0
