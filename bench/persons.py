"""Credentials of persons, by accounts that have nothing: validated, and in blocks with their roots.

Real runtime, state in memory, processor time; the issuer's side by itself. Each credential has a blind signature of
2,048 bits of its own. How many a block takes without a fee is a matter of weights.
"""

from __future__ import annotations

import sys
import time
from functools import partial

from aitoken.credentials import Request
from aitoken.crypto.blind_rsa import IssuerKey
from aitoken.crypto.hashing import blake2_256
from aitoken.proto.extrinsic import Extrinsic, bare_extrinsic
from aitoken.types import AccountId
from bench.row import Row
from bench.weights.world import World, ait
from chain.frame.weights import PS_PER_MS
from chain.pallets.ai.attest_types import Accept, Class
from chain.pallets.ai.free_lane import FREE_PERCENT
from chain.params import PRESETS
from chain.weights import WEIGHTS

SCOPE = b"bench persons".ljust(32)
HOUR_MS = 3_600_000
ROUNDS = 3


def run(quick: bool) -> list[Row]:
    count = 100 if quick else 500
    print(f"persons: {count:,} credentials", file=sys.stderr)
    world, row = World(1_000), partial(Row, "credentials of persons")
    issuer, key = world.person(0), IssuerKey.generate()
    world.timestamp.now.put(world.time_ms)
    world.give(issuer, ait(100_000))
    world.do(issuer, "Attest.register_issuer", Class.Personhood, ait(100), SCOPE)
    world.do("ROOT", "Attest.judge_issuer", issuer, Class.Personhood, Accept(count), SCOPE)
    now = world.time_ms
    world.do(issuer, "Attest.publish_key", SCOPE, key.modulus, now, now + HOUR_MS, count)
    world.settle()
    requests = [Request.make(world.genesis_hash, 0, key.modulus) for _ in range(count)]
    start = time.process_time()
    answers = [key.sign_blind(each.blinded) for each in requests]
    signing = (time.process_time() - start) / count
    raws = []
    for index, (request, answer) in enumerate(zip(requests, answers, strict=True)):
        args = request.finish(answer, AccountId(blake2_256(b"bench person %d" % index)))
        raws.append(bare_extrinsic(world.make("Attest.post_nullifier", *args).encode()).raw)
    validated = min(_validated(world, raws) for _ in range(ROUNDS)) / count
    executed = min(_executed(world, raws) - _executed(world, []) for _ in range(ROUNDS)) / count
    rows = [
        row("signed blindly by the issuer", signing * 1e3, "ms"),
        row("validated, without a block", validated * 1e6, "us"),
        row("checked in a block, with its roots", executed * 1e6, "us"),
        row("both, by one core", 1 / (validated + executed), "persons/s"),
    ]
    for name, params in PRESETS.items():
        free = params.block_weight_ms * PS_PER_MS * FREE_PERCENT // 100 // WEIGHTS.of("Attest.post_nullifier").base
        rows.append(row(f"without a fee, {name}", free * 1000 / params.block_time_ms, "persons/s"))
    return rows


def _validated(world: World, raws: list[bytes]) -> float:
    """Processor seconds of looking at credentials as the pool does."""
    start = time.process_time()
    for each in raws:
        world.runtime.validate(world.state, world.header.number, world.header.hash, Extrinsic(each))
    return time.process_time() - start


def _executed(world: World, raws: list[bytes]) -> float:
    """Processor seconds of a block of them, as large as it has to be."""
    start = time.process_time()
    builder = world.runtime.open_block(world.state, world.header, world.items(2, 1))
    lane = builder._executive._machine.pallets["Attest"]._lane  # type: ignore[union-attr]  # by name it is any pallet
    for each in raws:
        lane.begin_block()
        builder.apply(Extrinsic(each))
    builder.seal()
    return time.process_time() - start
