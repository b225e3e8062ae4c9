"""More submissions than a node can take, from a process of its own that waits for no answer.

    python -m bench.flood --url ws://127.0.0.1:9944 --first 1000 --count 50000 --rate 10000

Each transfer has a sender of its own and a tip of its own. Half of the connections are WebSockets, half send one POST
after the other. All is signed beforehand; it says on standard error that it is ready and begins when it is sent a line.
What a connection does not take, because the node reads no more of it, waits. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import click
import msgspec

from bench.accounts import Terms, transfer
from bench.crowd import HANDSHAKE
from bench.load import terms_of
from bench.node_client import WsClient
from bench.posts import request_of

READY = "flood: ready"
TICK = 0.01
HELD_BYTES = 64 << 10
"""A connection that has so much unsent gets no more for now."""
CONNECTIONS = 24
CODE = re.compile(rb'"code":(-?\d+)')
TIP_STEP = 10_000


def tip_of(index: int) -> int:
    """What transfer `index` pays on top: all differ, and their order is not that of sending."""
    return index * 48_271 % 65_537 * TIP_STEP


@dataclass(slots=True)
class Outcome:
    """What became of all."""

    offered: int = 0
    """That were due to be sent."""
    sent: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


class Spout(asyncio.Protocol):
    """One connection: what it has not sent yet waits here."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._rest = b""
        self.transport: asyncio.Transport | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = transport  # type: ignore[assignment]  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        """Count answers by what they must contain."""
        data = self._rest + data
        end = data.rfind(b"}") + 1
        whole, self._rest = data[:end], data[end:]
        self._outcome.accepted += whole.count(b'"result":"0x')
        for code in CODE.findall(whole):
            self._outcome.refused[code.decode()] += 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Say so."""
        self.closed = True

    def send(self, data: bytes) -> bool:
        """Send, unless the node reads too slowly."""
        if self.transport is None or self.closed or self.transport.get_write_buffer_size() > HELD_BYTES:
            return False
        self.transport.write(data)
        self._outcome.sent += 1
        return True


def frame_of(raw: bytes) -> bytes:
    """The WebSocket frame that submits a transaction, masked by zeros."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"author_submitExtrinsic","params":["0x%b"]}' % raw.hex().encode()
    return b"\x81\xfe" + len(body).to_bytes(2, "big") + bytes(4) + body


def signed(terms: Terms, first: int, count: int) -> list[bytes]:
    """One transfer each of `count` senders, to an account that exists."""
    return [transfer(terms, first + index, 0, 0, tip_of(index)) for index in range(count)]


async def flood(url: str, first: int, count: int, rate: float) -> Outcome:
    watcher = await WsClient.connect(url)
    terms = await terms_of(watcher)
    await watcher.close()
    at = urlsplit(url)
    raws = signed(terms, first, count)
    outcome = Outcome()
    loop = asyncio.get_running_loop()
    spouts = [(await loop.create_connection(lambda: Spout(outcome), at.hostname, at.port))[1]
              for _ in range(CONNECTIONS)]  # fmt: skip
    for spout in spouts[::2]:
        if spout.transport is not None:
            spout.transport.write((HANDSHAKE % at.netloc).encode())
    await asyncio.sleep(0.5)
    ready = [frame_of(raw) if index % 2 == 0 else request_of(raw, at.netloc) for index, raw in enumerate(raws)]
    print(READY, file=sys.stderr, flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    waiting: list[list[bytes]] = [[] for _ in spouts]
    start, next_ = time.perf_counter(), 0
    while next_ < count:
        due = min(count, int((time.perf_counter() - start) * rate))
        for index in range(next_, due):
            waiting[index % CONNECTIONS].append(ready[index])
        next_ = due
        outcome.offered = due
        for spout, some in zip(spouts, waiting, strict=True):
            taken = 0
            while taken < len(some) and spout.send(some[taken]):
                taken += 1
            del some[:taken]
        await asyncio.sleep(TICK)
    outcome.seconds = time.perf_counter() - start
    for spout in spouts:
        if spout.transport is not None:
            spout.transport.abort()  # what waits is lost, as when people give up
    return outcome


@click.command()
@click.option("--url", default="ws://127.0.0.1:9944", show_default=True)
@click.option("--first", default=0, show_default=True, help="The first of the accounts that send.")
@click.option("--count", default=20_000, show_default=True)
@click.option("--rate", default=10_000.0, show_default=True, help="Transfers a second.")
def main(url: str, first: int, count: int, rate: float) -> None:
    """Send, and print what came of it."""
    print(msgspec.json.encode(asyncio.run(flood(url, first, count, rate))).decode())


if __name__ == "__main__":
    main()
