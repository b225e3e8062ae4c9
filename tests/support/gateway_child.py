"""A gateway in a process of its own that kills itself where it is told: FOLDER SESSIONS POINT:NTH."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from aitoken.pay.seller import SellerSession
from aitoken.types import AccountId, Balance, Hash32
from gateway import paid as paid_module
from gateway import serve, store
from gateway.catalogue import catalogue_of
from gateway.claimer import ClaimPolicy
from gateway.door import Door
from gateway.ports import SessionFacts
from gateway.server import Gateway, Settings
from gateway.store import open_store
from gateway.upstreams.builtin import BuiltinUpstream
from tests.support.gateways import GENESIS, OPERATOR, PRICES, FakeChain, FakeClock

COUNT = 0


def after(owner: Any, name: str, nth: int, *, first: bool = False) -> None:
    """Kill this process when a method was called the nth time, after it or before."""
    method = getattr(owner, name)

    def counted() -> bool:
        global COUNT
        COUNT += 1
        return nth == COUNT

    def whole(*arguments: Any, **named: Any) -> Any:
        now = counted()
        if now and first:
            os.kill(os.getpid(), signal.SIGKILL)
        result = method(*arguments, **named)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, whole)


def arm(crash: str) -> None:
    point, _, nth = crash.partition(":")
    number = int(nth or 0)
    places: dict[str, tuple[Any, str, bool]] = {
        "admitted": (Door, "_admit", False),
        "answered": (serve, "_object", False),
        "signed": (SellerSession, "settle", False),
        "before_commit": (store, "_write", True),
        "after_commit": (store, "_write", False),
        "before_send": (paid_module, "receipt_headers", False),
    }
    if point:
        owner, name, first = places[point]
        after(owner, name, number, first=first)


async def main(folder: Path, sessions: list[dict[str, Any]], crash: str) -> None:
    chain = FakeChain()
    for told in sessions:
        session, payer, key = (bytes.fromhex(told[name]) for name in ("id", "payer", "key"))
        chain.open(SessionFacts(Hash32(session), AccountId(payer), key, 3, Balance(told["deposit"]), 64))
    async with open_store(folder, GENESIS, OPERATOR.public) as kept:
        settings = Settings(
            catalogue_of(PRICES), OPERATOR, chain, kept,
            {"builtin": BuiltinUpstream(), "script": BuiltinUpstream(), "second": BuiltinUpstream()}, FakeClock(),
            claims=ClaimPolicy(every_s=3600),
        )  # fmt: skip
        async with Gateway(settings) as gateway:
            await kept.synced()
            arm(crash)
            print(gateway.port, flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2]), sys.argv[3]))
