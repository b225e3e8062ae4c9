"""When connections are written to, and what everybody gets of one piece of news."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from node.rpc.frames import text_frame
from node.rpc.limits import Limits
from node.rpc.outbox import FEW, LATELY_S, Outbox
from node.rpc.outgoing import WRITE_BYTES
from node.rpc.registry import Method
from node.rpc.session import Notice, Sink
from tests.support.rpc_fakes import RpcBench, RpcClient
from tests.support.rpc_wire import Line, payloads

METHOD = Method("watch", (), lambda: None, {}, (), notifies="news")
MANY_TURNS = 2 * FEW + 10


class StillLoop(asyncio.AbstractEventLoop):
    """The running loop under a clock that stands still, so that a slice never ends."""

    now = 1_000.0

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[..., object], *args: object, context: object = None) -> asyncio.Handle:
        return asyncio.get_running_loop().call_soon(callback, *args)


def subscribed(line: Line) -> Sink:
    sink = line.session.subscribe(METHOD)
    sink.open()
    return sink


async def turns(count: int = 2) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 70_000])
def test_a_frame_holds_its_payload(size: int) -> None:
    payload = bytes(index % 251 for index in range(size))

    assert payloads(text_frame(payload)) == [payload]


@pytest.mark.parametrize("size", [1, 10, 30, 200, 66_000])
async def test_one_notice_reads_as_if_it_had_been_written_for_each(size: int) -> None:
    line = Line()
    sinks = [subscribed(line) for _ in range(3)]
    notice = Notice("news", msgspec.json.encode("x" * size))

    for sink in sinks:
        sink.tell(notice)
    await turns(8)

    told = [msgspec.json.decode(message) for message in line.wire.messages]
    assert told == [
        {"jsonrpc": "2.0", "method": "news", "params": {"subscription": sink.id, "result": "x" * size}}
        for sink in sinks
    ]


async def test_what_is_queued_in_one_turn_is_written_in_one_piece() -> None:
    line = Line()
    for number in range(5):
        line.session.push(b"%d" % number)
    assert line.wire.sent == []

    await turns()

    assert len(line.wire.sent) == 1
    assert line.wire.messages == [b"0", b"1", b"2", b"3", b"4"]


async def test_long_messages_go_alone_and_in_order() -> None:
    line = Line()
    for number in range(4):
        line.session.push(bytes([number]) * (WRITE_BYTES // 2 - 10 if number < 3 else 2 * WRITE_BYTES))

    await turns()

    assert [len(data) // WRITE_BYTES for data in line.wire.sent] == [0, 0, 2]
    assert [message[0] for message in line.wire.messages] == [0, 1, 2, 3]


async def test_a_crowd_hears_of_a_head_with_its_finality_and_in_order() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    lines = [Line(outbox=outbox) for _ in range(FEW + 1)]
    sinks = [subscribed(line) for line in lines]
    for sink in sinks:
        sink.tell(Notice("news", b"1"), patient=True)
    await turns(MANY_TURNS)
    assert not any(line.wire.sent for line in lines)

    for sink in sinks:
        sink.tell(Notice("news", b"2"))
    outbox.release()
    await turns(MANY_TURNS)

    for line in lines:
        assert len(line.wire.sent) == 1
        assert [msgspec.json.decode(message)["params"]["result"] for message in line.wire.messages] == [1, 2]


async def test_a_crowd_that_waits_hears_of_the_head_without_finality_too() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    lines = [Line(outbox=outbox) for _ in range(FEW + 1)]
    for line in lines:
        subscribed(line).tell(Notice("news", b"1"), patient=True)

    async with asyncio.timeout(5):
        await RpcBench.until(lambda: all(line.wire.sent for line in lines))


async def test_a_few_do_not_wait() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    lines = [Line(outbox=outbox) for _ in range(FEW)]
    for line in lines:
        subscribed(line).tell(Notice("news", b"1"), patient=True)

    await turns(MANY_TURNS)

    assert all(len(line.wire.sent) == 1 for line in lines)


async def test_an_answer_takes_along_what_waits_and_does_not_overtake_it() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    lines = [Line(outbox=outbox) for _ in range(FEW + 1)]
    for line in lines:
        subscribed(line).tell(Notice("news", b"1"), patient=True)

    lines[0].session.push(b"answer")
    await turns(4)

    assert lines[0].wire.messages[1:] == [b"answer"]
    assert not lines[1].wire.sent
    outbox.release()
    await turns(MANY_TURNS)
    assert len(lines[0].wire.sent) == 1


class Recorder:
    """A line that notes when its turn was."""

    due = None

    def __init__(self, order: list[int], number: int, asked_at: float = 0.0) -> None:
        self.order = order
        self.number = number
        self.asked_at = asked_at

    def flush(self) -> None:
        self.order.append(self.number)


async def test_nobody_is_always_first() -> None:
    outbox = Outbox(StillLoop())
    order: list[int] = []
    lines = [Recorder(order, number) for number in range(5)]
    firsts = set()
    for _ in range(5):
        order.clear()
        for line in lines:
            outbox.later(line)
        outbox.release()
        await turns()
        assert sorted(order) == [0, 1, 2, 3, 4]
        firsts.add(order[0])

    assert firsts == {0, 1, 2, 3, 4}


async def test_answers_go_first_then_who_asked_lately_then_the_rest() -> None:
    loop = StillLoop()
    outbox = Outbox(loop)
    order: list[int] = []
    lines = [Recorder(order, number, loop.now - (1 if number == 2 else 2 * LATELY_S)) for number in range(4)]
    answered = Recorder(order, 9)
    for line in lines:
        outbox.later(line)

    outbox.release()
    outbox.soon(answered)
    await turns()

    assert order[:2] == [9, 2]
    assert sorted(order[2:]) == [0, 1, 3]


async def test_a_closed_connection_is_not_written_to() -> None:
    line = Line()
    line.session.push(b"late")
    line.session.close()

    await turns()

    assert line.wire.sent == []
    assert line.backlog.size == 0


async def test_a_reader_that_stops_is_written_to_again_when_it_goes_on() -> None:
    line = Line(Limits(notifications_pending=3))
    line.wire.fills = True
    sink = subscribed(line)
    sink.send(b"1")
    await turns()
    for number in (b"2", b"3"):
        sink.send(number)
    await turns()
    assert len(line.wire.sent) == 1
    assert sink.pending == 3

    line.wire.is_full = line.wire.fills = False
    line.out.resume()
    await turns()

    assert len(line.wire.messages) == 3
    assert (sink.pending, line.out.unread, line.cuts) == (0, 0, [])


async def test_a_connection_that_follows_both_sees_a_block_in_order(bench: RpcBench, client: RpcClient) -> None:
    await client.call("chainHead_v1_follow", False)
    for _ in range(2):
        await client.next()
    for method in ("chain_subscribeNewHeads", "chain_subscribeFinalizedHeads"):
        await client.call(method)
        await client.next()

    bench.chain.finalize(bench.chain.grow())

    told = [(await client.next()) for _ in range(5)]
    names = [each["params"]["result"].get("event") or each["method"] for each in told]
    assert names == ["newBlock", "chain_newHead", "bestBlockChanged", "chain_finalizedHead", "finalized"]
