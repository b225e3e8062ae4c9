"""Claims of codes by accounts that have nothing: the door of the pool, a block full of them, and those that wait.

Real runtime and pool, state in memory, processor time. A batch of codes is as large as batches get, so proofs are as
long as they get. "of its weight" compares a block of claims with the weight it announces, both on the machine that
defines weights; more than 100 % would mean that blocks of claims come late.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from functools import partial

from aitoken.crypto import ed25519
from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.codes import COUNT_MAX, claim_bytes, proofs_of, root_of
from aitoken.proto.digest import SmpxDigest, leading_items_of
from aitoken.proto.extrinsic import bare_extrinsic, sign_extrinsic
from aitoken.proto.randomness import UNPROVEN
from aitoken.types import AccountId, Hash32, Moment
from bench import accounts, raw
from bench.pool import GOSSIP_BATCH, Head
from bench.row import Row
from chain.frame.builder import BlockBuilder
from chain.frame.errors import InvalidTransaction
from chain.frame.weights import PS_PER_MS, REFERENCE_RATE
from chain.pallets.ai.codes_types import Tokens
from chain.pallets.ai.free_lane import FREE_PERCENT
from chain.params import PRESETS
from chain.weights import WEIGHTS
from node.pool.pool import Pool
from node.ports import Block

VALUE = 10**10
HOUR_MS = 3_600_000
ROUNDS = 3
PS_A_SECOND = 10**12


class Sheet(Head):
    """A chain with one batch of as many codes as there can be, and claims of some of them."""

    def __init__(self, count: int) -> None:
        super().__init__(2_000)
        key = Pair(blake2_256(b"bench codes"))
        proofs = proofs_of([key.public] * COUNT_MAX)
        schema, sponsor, expires = self.runtime.schema, accounts.pair(0), Moment(self.time_ms + HOUR_MS)
        create = schema.make_call(
            "Codes.create", root_of([key.public] * COUNT_MAX), COUNT_MAX, VALUE, expires, 0, Tokens()
        )
        raw_create = sign_extrinsic(create.encode(), sponsor, self.terms.additional, nonce=0).raw
        self.best = self.finalized = self.child([self.rules.parse(raw_create)])
        self.header = self.best.header
        self.claims: list[bytes] = []
        for index in range(count):
            who = AccountId(blake2_256(b"bench holder %d" % index))
            message = claim_bytes(Hash32(self.terms.genesis_hash), 0, index, who)
            args = (0, index, key.public, proofs[index], who, 0, key.sign(message))
            self.claims.append(bare_extrinsic(schema.make_call("Codes.claim", *args).encode()).raw)

    def open(self) -> BlockBuilder:
        """Begin the block after the one with the batch."""
        number = self.header.number + 1
        digest = SmpxDigest(1, 0, number, number - 1, 0, self.time_ms + 250 * number, *UNPROVEN)
        return self.runtime.open_block(self.best.state, self.header, leading_items_of(digest))

    def execute(self, raws: Sequence[bytes]) -> float:
        """Processor seconds of a block of claims, with its roots."""
        start, builder = time.process_time(), self.open()
        for each in raws:
            builder.apply(self.rules.parse(each))
        builder.seal()
        return time.process_time() - start


def run(quick: bool) -> list[Row]:
    return asyncio.run(_measure(500 if quick else 2_000))


async def _measure(count: int) -> list[Row]:
    print(f"coupons: {count:,} claims", file=sys.stderr)
    sheet = Sheet(count)
    row = partial(Row, "claims of codes")
    door = [await _door(sheet) for _ in range(ROUNDS)]
    pool = door[-1][1]
    for _, other in door[:-1]:
        await other.close()
    at_door = min(seconds for seconds, _ in door) / count
    executions = [sheet.execute(sheet.claims) - sheet.execute(()) for _ in range(ROUNDS)]
    executed = min(executions) / count
    rate = raw.rate(Pair, ed25519.verify, 500)
    again = _again(sheet, pool)
    passed = _passed_over(sheet, pool)
    await pool.close()
    weight = (WEIGHTS.of("Codes.claim").base + WEIGHTS.of("block").unit) / PS_A_SECOND
    rows = [
        row("the whole door of the pool", at_door * 1e6, "us/claim"),
        row("in a block, with its roots", executed * 1e6, "us/claim"),
        row("both, by one core", 1 / (at_door + executed), "claims/s"),
        row("a block of them, of its weight", executed * rate / REFERENCE_RATE / weight * 100, "%"),
        row(f"{count:,} that wait: what a block makes the pool do", again * 1e3, "ms"),
        row(f"{count:,} that wait: passed over by a full block", passed * 1e3, "ms"),
    ]
    for name, params in PRESETS.items():
        free = params.block_weight_ms * PS_PER_MS * FREE_PERCENT // 100 // WEIGHTS.of("Codes.claim").base
        rows.append(row(f"without a fee, {name}", free * 1000 / params.block_time_ms, "claims/s"))
    return rows


async def _door(sheet: Sheet) -> tuple[float, Pool]:
    pool = sheet.pool()
    pool.start()
    start = time.process_time()
    for first in range(0, len(sheet.claims), GOSSIP_BATCH):
        await pool.submit_many(sheet.claims[first : first + GOSSIP_BATCH], "peer")
    return time.process_time() - start, pool


def _again(sheet: Sheet, pool: Pool) -> float:
    """Seconds for what an empty block makes the pool do with all that wait."""
    empty = sheet.open().seal()
    block = Block(Hash32(empty.header.hash), empty.header, empty.body, empty.state)
    pool.on_block(block)
    start = time.process_time()
    pool.on_best(block)
    while pool.has_work:
        pool.work(1_000)
    return time.process_time() - start


def _passed_over(sheet: Sheet, pool: Pool) -> float:
    """Seconds a builder spends on claims for which there is no room left."""
    builder = sheet.open()
    lane = builder._executive._machine.pallets["Codes"]._lane  # type: ignore[union-attr]  # by name it is any pallet
    lane._used = lane._most
    walk = pool.iter_ready()
    start = time.process_time()
    for xt in walk:
        try:
            builder.apply(xt)
        except InvalidTransaction:
            walk.skip()
    return time.process_time() - start
