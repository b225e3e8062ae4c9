"""Submissions over HTTP from a process of its own: one POST a transaction, connections kept alive, and cheap.

    python -m bench.posts --url ws://127.0.0.1:9944 --accounts 20000 --count 20000

Every connection has one request under way. All is signed before the clock starts. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import click
import msgspec

from bench.accounts import transfers
from bench.load import nonces_of, terms_of
from bench.node_client import WsClient

STARTS = "posts: start"
"""Said on standard error when the clock starts."""


class Answer(msgspec.Struct):
    """What a node says."""

    error: dict[str, object] | None = None


decode = msgspec.json.Decoder(Answer).decode


@dataclass(slots=True)
class Outcome:
    """What became of all."""

    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    client_cpu: float = 0.0


class Poster(asyncio.Protocol):
    """One connection."""

    def __init__(self, requests: Iterator[bytes], outcome: Outcome) -> None:
        self._requests = requests
        self._outcome = outcome
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's is none by its class
        self._next()

    def data_received(self, data: bytes) -> None:
        """Count an answer and send what is next."""
        data = self._rest + data
        head, found, body = data.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0]) if found else 0
        if not found or len(body) < size:
            self._rest = data
            return
        self._rest = b""
        answer = decode(body)
        if answer.error is None:
            self._outcome.accepted += 1
        else:
            self._outcome.refused[str(answer.error["code"])] += 1
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """The node may not do that before the end."""
        if not self.over.done():
            self.over.set_exception(exc or ConnectionError("the node closed the connection"))

    def _next(self) -> None:
        request = next(self._requests, None)
        if self._transport is None:
            return
        if request is None:
            self.over.done() or self.over.set_result(None)
            self._transport.close()
        else:
            self._transport.write(request)


def request_of(raw: bytes, host: str) -> bytes:
    """The POST that submits a transaction."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"author_submitExtrinsic","params":["0x%b"]}' % raw.hex().encode()
    head = f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def measure(url: str, accounts: int, count: int, connections: int) -> Outcome:
    watcher = await WsClient.connect(url)
    terms, nonces = await terms_of(watcher), await nonces_of(watcher, accounts)
    print(f"posts: signing {count:,} transfers of {accounts:,} accounts", file=sys.stderr)
    at = urlsplit(url)
    requests = iter([request_of(raw, at.netloc) for raw in transfers(terms, accounts, count, nonces)])
    await watcher.close()
    outcome = Outcome()
    loop = asyncio.get_running_loop()
    print(STARTS, file=sys.stderr, flush=True)
    start, cpu = time.perf_counter(), time.process_time()
    made = [await loop.create_connection(lambda: Poster(requests, outcome), at.hostname, at.port)
            for _ in range(connections)]  # fmt: skip
    await asyncio.gather(*(poster.over for _, poster in made))
    outcome.seconds, outcome.client_cpu = time.perf_counter() - start, time.process_time() - cpu
    return outcome


@click.command()
@click.option("--url", default="ws://127.0.0.1:9944", show_default=True)
@click.option("--accounts", default=1_000, show_default=True, help="Funded accounts of the genesis to send from.")
@click.option("--count", default=10_000, show_default=True)
@click.option("--connections", default=32, show_default=True)
def main(url: str, accounts: int, count: int, connections: int) -> None:
    """Submit, and print what came of it."""
    print(msgspec.json.encode(asyncio.run(measure(url, accounts, count, connections))).decode())


if __name__ == "__main__":
    main()
