"""Buyers that keep a gateway busy, in a process of their own: `python -m bench.payers PORT LANES SECONDS [uvloop]`.

Each lane has one connection and one request at a time: a voucher, a request, its receipt checked, the next voucher. No
HTTP library is between, so that it is the gateway that is measured; the bytes are those any client sends. Prints how
many requests were answered and paid, and the processor time that took here.
"""

from __future__ import annotations

import asyncio
import sys
import time
from functools import partial

from aitoken.collector import collect_rarely
from aitoken.pay.buyer import BuyerSession, Promise
from aitoken.pay.headers import decode_signed, encode_signed
from aitoken.pay.seller import Signed
from aitoken.types import Balance, Moment
from bench.shop import BODY, PATH, buyer_of

COST: Balance = Balance(10**9)
_RECEIPT, _LENGTH = b"\r\nAI-Receipt: ", b"\r\nContent-Length: "


class Payer(asyncio.BufferedProtocol):
    """One lane and its connection."""

    served = 0
    buffer = memoryview(bytearray(64 << 10))

    def __init__(self, buyer: BuyerSession, ends: float, port: int, over: asyncio.Future[None]) -> None:
        self._buyer = buyer
        self._ends = ends
        self._over = over
        self._head = (
            f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(BODY)}\r\nAI-Voucher: "
        ).encode()
        self._got = b""
        self._transport: asyncio.Transport | None = None
        self._promise: Promise | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = transport  # type: ignore[assignment] # uvloop's is none by its class
        self._ask()

    def _ask(self) -> None:
        if self._transport is None or time.monotonic() > self._ends:
            if not self._over.done():
                self._over.set_result(None)
            return
        promise = self._promise = self._buyer.promise(COST, Moment(time.time_ns() // 1_000_000))
        voucher = encode_signed(promise.signed.statement, promise.signed.signature)
        self._transport.write(b"".join((self._head, voucher.encode(), b"\r\n\r\n", BODY)))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - there is one, which is read out at once
        """Return where bytes are to be put."""
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take an answer, check its receipt, and ask again."""
        data = bytes(self.buffer[:nbytes])
        got = self._got = self._got + data if self._got else data
        end = got.find(b"\r\n\r\n")
        if end < 0:
            return
        length = got.index(_LENGTH) + len(_LENGTH)
        if len(got) < end + 4 + int(got[length : got.index(b"\r\n", length)]):
            return
        self._got = b""
        if not got.startswith(b"HTTP/1.1 200 "):
            self._over.set_exception(RuntimeError(got.decode("utf-8", "replace")))
            return
        receipt = got.index(_RECEIPT) + len(_RECEIPT)
        self._buyer.accept(Signed(*decode_signed(got[receipt : got.index(b"\r\n", receipt)].decode("ascii"))))
        Payer.served += 1
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if not self._over.done():
            self._over.set_exception(exc or ConnectionError("the gateway hung up"))


async def pay(port: int, lanes: int, seconds: float) -> None:
    """Keep all lanes busy."""
    buyer, loop = buyer_of(lanes), asyncio.get_running_loop()
    collect_rarely()
    begun, ends = time.process_time(), time.monotonic() + seconds
    waits = []
    for _ in range(lanes):
        over: asyncio.Future[None] = loop.create_future()
        waits.append(over)
        await loop.create_connection(partial(Payer, buyer, ends, port, over), "127.0.0.1", port)
    await asyncio.gather(*waits)
    print(Payer.served, time.process_time() - begun)


if __name__ == "__main__":
    work = pay(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    if sys.argv[4:] == ["uvloop"]:
        import uvloop

        uvloop.run(work)
    else:
        asyncio.run(work)
