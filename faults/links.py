"""The wires between nodes: one TCP proxy for each ordered pair, so that a link can be cut, slowed or broken.

Node `a` reaches node `b` only through the port `port(a, b)`. A connection carries both ways, `a -> b` and `b -> a`,
and each way has a state of its own, shared by whoever dialled. As on a real network, a cut way loses nothing of a
connection that lives: bytes and ends of connections are held until it heals; a new connection comes up only while
both ways are open. `drop` ends connections as a restarted router does.

Runs on the event loop of whoever injures; nothing here needs root.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final

from node.tasks import cancel, spawn

CHUNK: Final = 64 * 1024
UNDER_WAY_MAX: Final = 64
"""Chunks held for one way of one connection; behind them the sender waits, as behind a full socket buffer."""

RETRANSMIT_S: Final = 0.2
"""Linux sends again no sooner than this, on top of a round trip, what was not acknowledged."""

End = None
"""Stands in a queue for the end of a connection."""


@dataclass(slots=True)
class Way:
    """One direction between two nodes."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    delay_s: float = 0.0
    bytes_per_s: float = 0.0
    """0: as fast as it goes."""
    loss: float = 0.0
    """Probability that a chunk waits for its retransmission; those behind it wait as well."""

    def __post_init__(self) -> None:
        self.open.set()


class Links:
    """All wires of a network."""

    def __init__(self, targets: Sequence[int], host: str = "127.0.0.1", seed: int = 1) -> None:
        """Prepare the wires to nodes that listen on the ports `targets`; nothing listens before `start`."""
        self._random = Random(seed)  # noqa: S311 - which chunks are late
        self._targets = tuple(targets)
        self._host = host
        pairs = [(a, b) for a in range(len(targets)) for b in range(len(targets)) if a != b]
        self._ways = {pair: Way() for pair in pairs}
        self._servers: dict[tuple[int, int], asyncio.Server] = {}
        self._live: dict[asyncio.Task[None], tuple[int, int]] = {}
        self.injected: Counter[str] = Counter()
        """Faults by kind."""
        self.felt: Counter[str] = Counter()
        """What came of them: chunks held back and slowed, connections turned away and dropped. Nothing: no fault."""

    # -- life

    async def start(self) -> None:
        """Listen for every pair."""
        for pair in self._ways:
            self._servers[pair] = await asyncio.start_server(partial(self._accept, pair), self._host, 0)

    async def close(self) -> None:
        """End everything."""
        for server in self._servers.values():
            server.close()
        await cancel(list(self._live))

    def port(self, dialler: int, target: int) -> int:
        """Where `dialler` reaches `target`."""
        return int(self._servers[dialler, target].sockets[0].getsockname()[1])

    def addresses(self, dialler: int) -> list[str]:
        """Where `dialler` reaches each of the others."""
        others = (target for target in range(len(self._targets)) if target != dialler)
        return [f"{self._host}:{self.port(dialler, target)}" for target in others]

    # -- faults

    def cut(self, a: int, b: int) -> None:
        """Let nothing pass between two nodes."""
        self.injected["cut"] += 1
        self._ways[a, b].open.clear()
        self._ways[b, a].open.clear()

    def cut_way(self, source: int, target: int) -> None:
        """Let nothing pass from `source` to `target`; the other way stays."""
        self.injected["one-way cut"] += 1
        self._ways[source, target].open.clear()

    def split(self, *sides: Iterable[int]) -> None:
        """Cut every link between nodes of different sides."""
        parts = [list(side) for side in sides]
        for index, side in enumerate(parts):
            for other in parts[index + 1 :]:
                for a in side:
                    for b in other:
                        self.cut(a, b)

    def slow(self, a: int, b: int, *, delay_s: float = 0.0, bytes_per_s: float = 0.0) -> None:
        """Delay both ways between two nodes, and let only so many bytes pass in a second."""
        self.injected["slow"] += 1
        for way in (self._ways[a, b], self._ways[b, a]):
            way.delay_s, way.bytes_per_s = delay_s, bytes_per_s

    def lose(self, a: int, b: int, loss: float) -> None:
        """Let chunks between two nodes wait as long as a lost packet does: a proxy of TCP cannot lose one."""
        self.injected["lossy"] += 1
        for way in (self._ways[a, b], self._ways[b, a]):
            way.loss = loss

    def drop(self, a: int, b: int) -> None:
        """End the connections between two nodes at once."""
        self.injected["drop"] += 1
        for task, pair in self._live.items():
            if pair in ((a, b), (b, a)):
                self.felt["dropped"] += 1
                task.cancel()

    def heal(self) -> None:
        """Make every link good."""
        for way in self._ways.values():
            way.open.set()
            way.delay_s = way.bytes_per_s = way.loss = 0.0

    def pairs_of(self, node: int) -> Iterator[tuple[int, int]]:
        """The links of one node, each once."""
        return ((node, other) for other in range(len(self._targets)) if other != node)

    # -- forwarding

    async def _accept(self, pair: tuple[int, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = spawn(self._connect(pair, reader, writer), f"link {pair[0]} -> {pair[1]}")
        self._live[task] = pair
        task.add_done_callback(self._live.pop)

    async def _connect(self, pair: tuple[int, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection, from its dial to the end of both its ways."""
        there, back = self._ways[pair], self._ways[pair[::-1]]
        onward: asyncio.StreamWriter | None = None
        pumps: list[asyncio.Task[None]] = []
        try:
            if not (there.open.is_set() and back.open.is_set()):
                self.felt["held dial"] += 1
            await there.open.wait()
            await back.open.wait()
            if writer.is_closing() or reader.at_eof():
                return  # it gave up waiting
            answer, onward = await asyncio.open_connection(self._host, self._targets[pair[1]])
            pumps = [
                spawn(self._pump(there, reader, onward), "link there"),
                spawn(self._pump(back, answer, writer), "link back"),
            ]
            await asyncio.wait(pumps)
        except OSError:
            pass  # nobody listens there: the dialler sees its connection end
        finally:
            await cancel(pumps)
            for end in (writer, onward):
                if end is not None:
                    end.transport.abort()

    async def _pump(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one way of a connection to its end."""
        under_way: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(UNDER_WAY_MAX)
        reading = spawn(_read(reader, under_way), "link reader")
        loop = asyncio.get_running_loop()
        try:
            while True:
                since, data = await under_way.get()
                if way.delay_s > 0:
                    self.felt["slowed"] += 1
                    await asyncio.sleep(since + way.delay_s - loop.time())
                if way.loss > 0 and self._random.random() < way.loss:
                    self.felt["retransmitted"] += 1
                    await asyncio.sleep(RETRANSMIT_S + 2 * way.delay_s)
                if not way.open.is_set():
                    self.felt["held"] += 1
                    await way.open.wait()
                if data is End:
                    return
                if way.bytes_per_s > 0:
                    self.felt["slowed"] += 1
                    await asyncio.sleep(len(data) / way.bytes_per_s)
                writer.write(data)
                await writer.drain()
        except OSError:
            return  # the receiver is gone, which the other way tells the sender
        finally:
            await cancel([reading])
            with contextlib.suppress(OSError):
                writer.close()


async def _read(reader: asyncio.StreamReader, under_way: asyncio.Queue[tuple[float, bytes | None]]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            data = await reader.read(CHUNK)
        except OSError:
            data = b""
        await under_way.put((loop.time(), data or End))
        if not data:
            return
