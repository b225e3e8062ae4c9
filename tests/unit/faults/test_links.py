"""The proxies between nodes do what they are told, and nothing else: a fault that is none would prove nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from faults.links import Links

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Node:
    """Listens, and keeps what it accepted."""

    def __init__(self) -> None:
        self.accepted: asyncio.Queue[Wire] = asyncio.Queue()
        self.wires: list[Wire] = []
        self.server: asyncio.Server | None = None

    async def listen(self) -> int:
        self.server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        return int(self.server.sockets[0].getsockname()[1])

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.wires.append((reader, writer))
        self.accepted.put_nowait((reader, writer))


@pytest.fixture
async def nodes() -> AsyncIterator[list[Node]]:
    nodes = [Node(), Node()]
    yield nodes
    for node in nodes:
        for _, writer in node.wires:
            writer.transport.abort()
        if node.server is not None:
            node.server.close()
    await asyncio.sleep(0.01)


@pytest.fixture
async def links(nodes: list[Node]) -> AsyncIterator[Links]:
    links = Links([await node.listen() for node in nodes])
    await links.start()
    yield links
    await links.close()
    await asyncio.sleep(0.01)


@pytest.fixture
async def dial(links: Links, nodes: list[Node]) -> AsyncIterator[Callable[[], Awaitable[Wire]]]:
    """Connects node 0 to node 1."""
    wires: list[Wire] = []

    async def dial() -> Wire:
        wires.append(await asyncio.open_connection("127.0.0.1", links.port(0, 1)))
        return wires[-1]

    yield dial
    for _, writer in wires:
        writer.transport.abort()
    await asyncio.sleep(0.01)


async def comes(reader: asyncio.StreamReader, data: bytes) -> None:
    async with asyncio.timeout(5):
        assert await reader.readexactly(len(data)) == data


async def stays_away(reader: asyncio.StreamReader) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)


async def test_a_good_link_carries_both_ways_and_its_end(dial, nodes: list[Node]) -> None:
    reader, writer = await dial()
    writer.write(b"there")
    there, back = await nodes[1].accepted.get()
    await comes(there, b"there")
    back.write(b"and back")
    await comes(reader, b"and back")

    writer.close()

    async with asyncio.timeout(5):
        assert await there.read() == b""


async def test_a_cut_holds_everything_and_loses_nothing(dial, links: Links, nodes: list[Node]) -> None:
    reader, writer = await dial()
    there, back = await nodes[1].accepted.get()
    links.cut(1, 0)
    writer.write(b"held")
    back.write(b"held too")
    await stays_away(there)
    await stays_away(reader)

    links.heal()

    await comes(there, b"held")
    await comes(reader, b"held too")
    assert links.felt["held"] == 2
    assert links.injected["cut"] == 1


async def test_the_end_of_a_connection_does_not_pass_a_cut(dial, links: Links, nodes: list[Node]) -> None:
    _, writer = await dial()
    there, _ = await nodes[1].accepted.get()
    links.cut(0, 1)
    writer.close()
    await stays_away(there)

    links.heal()

    async with asyncio.timeout(5):
        assert await there.read() == b""


async def test_a_one_way_cut_leaves_the_other_way(dial, links: Links, nodes: list[Node]) -> None:
    reader, writer = await dial()
    there, back = await nodes[1].accepted.get()
    links.cut_way(0, 1)
    writer.write(b"held")
    back.write(b"passes")

    await comes(reader, b"passes")
    await stays_away(there)


async def test_nobody_is_reached_while_a_link_is_cut(dial, links: Links, nodes: list[Node]) -> None:
    links.cut_way(1, 0)
    await dial()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(nodes[1].accepted.get(), 0.1)

    links.heal()

    async with asyncio.timeout(5):
        await nodes[1].accepted.get()
    assert links.felt["held dial"] == 1


async def test_dropped_connections_end_on_both_sides_and_new_ones_come_up(
    dial, links: Links, nodes: list[Node]
) -> None:
    reader, _ = await dial()
    there, _ = await nodes[1].accepted.get()

    links.drop(1, 0)

    async with asyncio.timeout(5):
        for end in (reader, there):
            try:
                assert await end.read() == b""
            except ConnectionError:
                pass
    await dial()
    await nodes[1].accepted.get()
    assert links.felt["dropped"] == 1


async def test_a_slow_link_is_slow(dial, links: Links, nodes: list[Node]) -> None:
    _, writer = await dial()
    there, _ = await nodes[1].accepted.get()
    links.slow(0, 1, delay_s=0.15)
    writer.write(b"late")
    await stays_away(there)

    await comes(there, b"late")
    assert links.felt["slowed"] == 1


async def test_on_a_lossy_link_chunks_are_late_and_complete(dial, links: Links, nodes: list[Node]) -> None:
    _, writer = await dial()
    there, _ = await nodes[1].accepted.get()
    links.lose(0, 1, 1.0)
    writer.write(b"sent again")
    await stays_away(there)

    await comes(there, b"sent again")
    assert links.felt["retransmitted"] == 1


async def test_a_dead_node_refuses(dial, links: Links, nodes: list[Node]) -> None:
    assert nodes[1].server is not None
    nodes[1].server.close()

    reader, _ = await dial()

    async with asyncio.timeout(5):
        try:
            assert await reader.read() == b""
        except ConnectionError:
            pass
