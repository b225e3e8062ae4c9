"""The outgoing queue of one connection: order, room, and when a subscriber is given up."""

from __future__ import annotations

import asyncio

import pytest

from node.rpc.limits import Limits
from node.rpc.registry import Method
from node.rpc.session import Sink
from tests.support.rpc_wire import Line

METHOD = Method("watch", (), lambda: None, {}, (), notifies="news")


def open_sink(line: Line) -> Sink:
    sink = line.session.subscribe(METHOD)
    sink.open()
    return sink


async def written() -> None:
    """Let what is queued be written: one turn to be asked, one to do it."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_a_subscription_may_be_so_far_behind_and_no_further() -> None:
    line = Line(Limits(notifications_pending=3))
    slow, other = open_sink(line), open_sink(line)

    for _ in range(3):
        slow.send(b"1")
        other.send(b"1")
    assert line.cuts == []
    slow.send(b"1")

    assert line.cuts == ["4 notifications unread"]


async def test_what_was_taken_no_longer_counts() -> None:
    line = Line(Limits(notifications_pending=3))
    sink = open_sink(line)

    for _ in range(5):
        sink.send(b"1")
        await written()

    assert line.cuts == []
    assert len(line.wire.messages) == 5


async def test_too_many_unread_bytes_cut_a_subscriber_but_not_a_caller() -> None:
    line = Line(Limits(outgoing_bytes=1_000))
    line.wire.is_full = True
    sink = open_sink(line)

    line.session.push(b"x" * 2_000)
    assert line.cuts == []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await line.session.out.wait_for_room()
    sink.send(b"1")

    assert len(line.cuts) == 1


async def test_there_is_room_again_once_enough_was_taken() -> None:
    line = Line(Limits(outgoing_bytes=1_000))

    line.wire.is_full = True
    line.session.push(b"x" * 2_000)
    await written()
    assert not line.out._room.is_set()
    line.wire.is_full = False
    line.out.resume()
    await written()

    await line.session.out.wait_for_room()


async def test_what_is_sent_before_the_response_waits_for_it() -> None:
    line = Line(Limits())
    sink = line.session.subscribe(METHOD)

    sink.send(b"1")
    sink.end()
    sink.send(b"2")
    line.session.push(b"response")
    sink.open()
    await written()

    assert line.wire.messages[0] == b"response"
    assert [message.endswith(b'"result":1}}') for message in line.wire.messages[1:]] == [True]
    assert line.session.subscriptions == 0


async def test_ends_are_told_once_whoever_ends_it() -> None:
    line = Line(Limits())
    sink = open_sink(line)
    ends: list[str] = []
    sink.on_release(lambda: ends.append("subscription"))
    line.session.on_close(lambda: ends.append("connection"))

    line.session.close()
    line.session.close()
    sink.close()
    sink.on_release(lambda: ends.append("late"))

    assert ends == ["subscription", "connection", "late"]
    line.session.push(b"nobody reads this")
    assert line.session.out.unread == 0
