"""The pool on the real runtime: what a transfer costs from the door to the block, besides its signature.

Processor time; the state is in memory. "full" is a pool at its bounds: what junk costs then, and memory.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

from aitoken.proto.digest import SmpxDigest, leading_items_of
from aitoken.proto.extrinsic import Extrinsic
from aitoken.proto.header import Header
from aitoken.proto.randomness import UNPROVEN
from aitoken.types import Hash32
from bench.accounts import Terms, transfer, transfers
from bench.row import Row
from bench.states import roomy_spec
from chain.genesis import build_genesis
from chain.runtime import build_runtime
from chain.state.layer import FinalState
from node.clock import SystemClock
from node.pool.pool import Pool
from node.pool.rules import Rules
from node.ports import Block
from node.telemetry.metrics import resident_bytes

ROUNDS = 5
GOSSIP_BATCH = 64


class Head:
    """A chain that stands still (`node.ports.ChainView`, as much as the pool looks at)."""

    def __init__(self, accounts: int) -> None:
        spec = roomy_spec(accounts)
        self.runtime = build_runtime(spec)
        genesis = build_genesis(spec, self.runtime)
        state = FinalState.in_memory(genesis.pairs)
        self.header: Header = genesis.header
        self.best = self.finalized = Block(genesis.header.hash, genesis.header, (), state)
        version = self.runtime.version
        self.terms = Terms(version.spec_version, version.transaction_version, genesis.header.hash)
        self.time_ms = spec.timestamp_ms + 250
        rules = self.runtime.new_instance()
        self.rules = Rules(rules.executive, rules.system)

    def unfinalized(self) -> Sequence[Block]:
        """Nothing."""
        return ()

    def pool(self) -> Pool:
        """A fresh pool."""
        return Pool(self.rules, self, SystemClock())  # type: ignore[arg-type]  # as much of a chain as it asks for

    def child(self, body: Sequence[Extrinsic]) -> Block:
        """The block after the head."""
        items = leading_items_of(SmpxDigest(1, 0, 1, 0, 0, self.time_ms, *UNPROVEN))
        builder = self.runtime.open_block(self.best.state, self.header, items)
        for xt in body:
            builder.apply(xt)
        executed = builder.seal()
        return Block(Hash32(executed.header.hash), executed.header, executed.body, executed.state)


def run(quick: bool) -> list[Row]:
    return asyncio.run(_measure(2_000 if quick else 10_000))


async def _measure(count: int) -> list[Row]:
    print(f"pool: {count:,} transfers", file=sys.stderr)
    head = Head(20_000)
    raws = list(transfers(head.terms, count, count, [0] * count))
    gc.collect()
    gc.freeze()

    def each(what: str, call: Callable[[Any], object], items: Sequence[Any]) -> Row:
        best = min(_timed(lambda: [call(item) for item in items]) for _ in range(ROUNDS))
        return Row("pool", what, best / len(items) * 1e6, "us/transfer")

    extrinsics = [head.rules.parse(raw) for raw in raws]
    rows = [
        each("parse", head.rules.parse, raws),
        each("rules of the runtime", lambda xt: head.rules.check(head.best, xt), extrinsics),
    ]
    rows.append(Row("pool", "the whole door, with the signature", await _door(head, raws), "us/transfer"))
    with patch("node.pool.pool.verify_multi", lambda *_: True):
        rows.append(Row("pool", "the whole door, without", await _door(head, raws), "us/transfer"))
        rows += await _full(head)
    pool = await _filled(head, raws)
    seconds = min(_timed(lambda: list(pool.iter_ready())) for _ in range(ROUNDS))
    rows.append(Row("pool", "order for a block", seconds / count * 1e6, "us/transfer"))
    block = head.child(list(pool.iter_ready()))
    pool.on_block(block)
    start = time.process_time()
    pool.on_best(block)
    pool.on_finalized([block], ())
    seconds = time.process_time() - start
    rows.append(Row("pool", "a block's inclusion and finality", seconds / count * 1e6, "us/transfer"))
    await pool.close()
    gc.unfreeze()
    return rows


async def _filled(head: Head, raws: Sequence[bytes]) -> Pool:
    pool = head.pool()
    pool.start()
    for start in range(0, len(raws), GOSSIP_BATCH):
        await pool.submit_many(raws[start : start + GOSSIP_BATCH], "peer")
    return pool


async def _door(head: Head, raws: Sequence[bytes]) -> float:
    """Microseconds a transfer, the best of some rounds."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        pool = await _filled(head, raws)
        seconds.append(time.process_time() - start)
        await pool.close()
    return min(seconds) / len(raws) * 1e6


async def _full(head: Head) -> list[Row]:
    before = resident_bytes()
    pool = head.pool()
    count = pool.limits.count
    await pool.close()
    raws = list(transfers(head.terms, count, count, [0] * count))
    pool = await _filled(head, raws)
    gc.collect()
    size = (resident_bytes() - before) / 1e6
    late = [transfer(head.terms, count + index, 1, 0) for index in range(1_000)]
    paying = [transfer(head.terms, count + index, 1, 0, tip=10**9) for index in range(1_000)]
    rows = [Row("pool, full", f"memory of {count:,} transfers, raw bytes too", size, "MB")]
    for what, some in (("refusal of one that pays no more", late), ("eviction for one that pays more", paying)):
        start = time.process_time()
        await pool.submit_many(some, "late")
        rows.append(Row("pool, full", what, (time.process_time() - start) / len(some) * 1e6, "us/transfer"))
    await pool.close()
    return rows


def _timed(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start
