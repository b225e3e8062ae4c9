"""A crowd of wallets in a process of its own, as cheap as one can be: bare sockets, frames counted and not read.

    python -m bench.crowd --url ws://127.0.0.1:9944 --count 1000

Each follows new heads, final heads and one account. Prints `ready` once all are subscribed; when its input ends it
prints how many notifications came and what processor time receiving them took, as one JSON object.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from urllib.parse import urlsplit

import click

from aitoken.crypto.hashing import blake2_128_concat, twox_128
from bench.accounts import public

ACCOUNT = twox_128(b"System") + twox_128(b"Account")
HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
PING = 0x89
PONG = b"\x8a\x80" + bytes(4)
SUBSCRIPTIONS = 3
ADDRESSES = 200
"""A node takes so many connections of one address only; these are wallets of many people."""


class Wallet:
    """One connection."""

    def __init__(self, url: str, index: int) -> None:
        at = urlsplit(url)
        self.socket = socket.socket()
        self.socket.bind((f"127.0.1.{1 + index % ADDRESSES}", 0))
        self.socket.connect((at.hostname, at.port))
        self.socket.sendall((HANDSHAKE % at.netloc).encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += self.socket.recv(1)
        if b" 101 " not in answer:
            raise ConnectionError(answer.decode())
        self.frames = 0
        self._left = 0
        """Bytes of a frame that are still to come."""
        self._start = b""
        key = "0x" + (ACCOUNT + blake2_128_concat(public(index))).hex()
        self._ask("chain_subscribeNewHeads")
        self._ask("chain_subscribeFinalizedHeads")
        self._ask("state_subscribeStorage", [key])
        while self.frames < 2 * SUBSCRIPTIONS:  # the answers and what is told at once
            self.read()

    def _ask(self, method: str, *params: object) -> None:
        text = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        size = bytes((0x80 | len(text),)) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
        self.socket.sendall(b"\x81" + size + bytes(4) + text)

    def read(self) -> None:
        """Take what is there."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("a node closed a connection of the crowd")
        at, self._left = self._left, 0
        if self._start:
            data, self._start = self._start + data, b""
        while at < len(data):
            if at + 4 > len(data):
                self._start = data[at:]
                return
            size = data[at + 1]
            if data[at] == PING:
                self.socket.sendall(PONG)
            else:
                self.frames += 1
            at += 2 + size if size < 126 else 4 + int.from_bytes(data[at + 2 : at + 4], "big")
        self._left = at - len(data)


@click.command()
@click.option("--url", "urls", multiple=True, required=True, help="A node; several share the crowd.")
@click.option("--count", default=1_000, show_default=True)
def main(urls: tuple[str, ...], count: int) -> None:
    """Follow until the input ends."""
    wallets = [Wallet(urls[index % len(urls)], index) for index in range(count)]
    by_number = {wallet.socket.fileno(): wallet for wallet in wallets}
    poll = select.epoll()
    for number in (*by_number, sys.stdin.fileno()):
        poll.register(number, select.EPOLLIN)
    before, began = sum(wallet.frames for wallet in wallets), time.process_time()
    print("ready", flush=True)
    while True:
        for number, _ in poll.poll():
            wallet = by_number.get(number)
            if wallet is None:
                heard = sum(each.frames for each in wallets) - before
                print(json.dumps({"heard": heard, "seconds": time.process_time() - began}))
                return
            wallet.read()


if __name__ == "__main__":
    main()
