"""A gateway in a process of its own that kills itself where it is told: PLACE SESSIONS POINT:NTH [LEASE]."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
from typing import Any

import msgspec

from aitoken.pay.seller import SellerSession
from aitoken.types import AccountId, Balance, Hash32
from gateway import paid as paid_module
from gateway import serve, store_sqlite
from gateway.catalogue import catalogue_of
from gateway.claimer import ClaimPolicy
from gateway.ports import SessionFacts
from gateway.server import Gateway, Limits, Settings
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

    async def later(*arguments: Any, **named: Any) -> Any:
        now = counted()
        if now and first:
            os.kill(os.getpid(), signal.SIGKILL)
        result = await method(*arguments, **named)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, later if inspect.iscoroutinefunction(method) else whole)


def arm(crash: str, *, shared: bool) -> None:
    point, _, nth = crash.partition(":")
    number = int(nth or 0)
    if not point:
        return None
    commits: tuple[Any, str] = (store_sqlite, "write")
    if shared:
        from gateway import store_postgres

        commits = (store_postgres.PostgresStore, "_write_once")
        if point == "held":
            return after(store_postgres._Turn, "_end", number)
    places: dict[str, tuple[Any, str, bool]] = {
        "admitted": (SellerSession, "admit", False),
        "held": (SellerSession, "admit", False),
        "answered": (serve, "_object", False),
        "signed": (SellerSession, "settle", False),
        "before_commit": (*commits, True),
        "after_commit": (*commits, False),
        "before_send": (paid_module, "receipt_headers", False),
    }
    owner, name, first = places[point]
    return after(owner, name, number, first=first)


async def main(place: str, sessions: list[dict[str, Any]], crash: str, lease: float) -> None:
    chain = FakeChain()
    for told in sessions:
        session, payer, key = (bytes.fromhex(told[name]) for name in ("id", "payer", "key"))
        chain.open(SessionFacts(Hash32(session), AccountId(payer), key, 3, Balance(told["deposit"]), told["lanes"]))
    async with open_store(place, GENESIS, OPERATOR.public, lease_s=lease) as kept:
        settings = Settings(
            catalogue_of(PRICES), OPERATOR, chain, kept,
            {"builtin": BuiltinUpstream(), "script": BuiltinUpstream(), "second": BuiltinUpstream()}, FakeClock(),
            claims=ClaimPolicy(every_s=3600), limits=Limits(queue=20_000),
        )  # fmt: skip
        async with Gateway(settings) as gateway:
            await kept.synced()
            arm(crash, shared=kept.shared)
            print(gateway.port, flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    lease_s = float(sys.argv[4]) if len(sys.argv) > 4 else 10.0
    asyncio.run(main(sys.argv[1], msgspec.json.decode(sys.argv[2]), sys.argv[3], lease_s))
