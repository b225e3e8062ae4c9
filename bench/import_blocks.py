"""Importing blocks of transfers, stage by stage: what a node that syncs does on one core, and what a validator does.

Real runtime, real state, real database. Senders and recipients are drawn at random from a few ten thousand keys among
all accounts, so trie paths do not repeat. "pre-verified" is a block whose transactions waited in the pool. Processor
time, and wall time for the commit, which waits for the disk.

Every account of a block was in use just now, as in a validator whose pool has looked at all of them. What it costs
where they were not, `growth` measures.
"""

from __future__ import annotations

import gc
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from aitoken.collector import collect_rarely
from aitoken.crypto import ed25519
from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.signature import verify_multi
from aitoken.proto import randomness
from aitoken.proto.digest import LEADING_ITEMS, DigestItem, SmpxDigest, leading_items_of, next_epoch_of
from aitoken.proto.extrinsic import Extrinsic
from bench.accounts import Terms, transfer
from bench.raw import rate
from bench.row import Row
from bench.states import Chain, open_copy
from chain.frame.executive import ExecutedBlock
from chain.state.base import State
from chain.state.layer import Layer
from chain.state.ordered import ordered_root
from node.chain.executor import YIELD_EVERY
from node.store.database import CommittedBlock

SENDERS = 20_000
BLOCKS = 15
"""Of each size: some seconds, in which a machine that changes its pace shows more than one."""
Spent = dict[str, float]
"""Processor seconds of this thread by stage."""
STAGES = ("decode", "signatures", "execution", "extrinsics root", "state root and events", "commit")


class Importer:
    """A chain of one database."""

    def __init__(self, chain: Chain, accounts: int, senders: int = SENDERS) -> None:
        self.runtime = chain.runtime
        self.header = chain.header
        self.database = chain.database
        version = self.runtime.version
        self.decoder = self.runtime.new_instance().executive
        self.terms = Terms(version.spec_version, version.transaction_version, chain.header.hash)
        self.accounts = accounts
        self.senders = min(senders, accounts)
        self.nonces = [0] * self.senders
        self.rng = random.Random(accounts)
        self.time_ms = chain.spec.timestamp_ms
        self.epoch = chain.epoch
        self.leader = pair_from_uri("//Alice", "ed25519")

    def begin(self) -> tuple[DigestItem, ...]:
        """What the next block begins with."""
        self.time_ms += 250
        epoch = self.epoch
        view = self.header.number + 1 - epoch.first_block
        place = [bytes(key) for key, _ in epoch.authorities].index(self.leader.public)
        proof = randomness.prove(self.leader, self.terms.genesis_hash, bytes(epoch.seed), epoch.epoch, view)
        output = randomness.output_of(proof)
        return leading_items_of(SmpxDigest(1, epoch.epoch, view, view - 1, place, self.time_ms, output, proof))

    def build(self, count: int) -> ExecutedBlock:
        """A block of `count` transfers by somebody else, among those who can sign."""
        builder = self.runtime.open_block(self.database.state, self.header, self.begin())
        for sender in self.rng.sample(range(self.senders), count):
            xt = Extrinsic(self.transfer(sender, self.rng.randrange(self.senders)))
            xt.verified_for = self.terms.additional
            builder.apply(xt)
        return builder.seal()

    def transfer(self, sender: int, recipient: int) -> bytes:
        """The next transfer of `sender`."""
        raw = transfer(self.terms, sender, recipient, self.nonces[sender])
        self.nonces[sender] += 1
        return raw

    def import_block(self, items: Sequence[DigestItem], body: Sequence[bytes]) -> tuple[ExecutedBlock, Spent, float]:
        """Import a block with these transfers; processor seconds by stage, and wall seconds of the commit."""
        clock, spent = time.thread_time, {}
        start = clock()
        extrinsics = [Extrinsic(raw) for raw in body]
        for xt in extrinsics:
            self.decoder.decode(xt)
        spent["decode"] = clock() - start

        start = clock()
        additional = self.terms.additional
        for xt in extrinsics:
            if xt.signer is not None and verify_multi(
                xt.signature_kind, xt.signature, xt.payload(additional), xt.signer
            ):
                xt.verified_for = additional
        spent["signatures"] = clock() - start

        start = clock()
        state: State = self.database.state
        builder = self.runtime.open_block(state, self.header, items, given=len(body) + 1)
        extrinsics = [builder.extrinsics[0], *extrinsics]
        for _ in self.database.read_ahead(builder.keys_of(extrinsics)):
            pass
        for at in range(0, len(extrinsics), YIELD_EVERY):
            builder.apply_given(extrinsics[at : at + YIELD_EVERY])
        spent["execution"] = clock() - start

        start = clock()
        executed = builder.seal()
        sealed = clock() - start
        start = clock()
        raws = [xt.raw for xt in extrinsics]
        ordered_root(raws)
        spent["extrinsics root"] = clock() - start
        spent["state root and events"] = sealed - spent["extrinsics root"]
        spent["commit"], wall = self._commit(executed, raws)
        return executed, spent, wall

    def _commit(self, executed: ExecutedBlock, body: list[bytes]) -> tuple[float, float]:
        layer = cast("Layer", executed.state)
        start, wall = time.thread_time(), time.perf_counter()
        header, parent = executed.header, self.header
        block = CommittedBlock(header.number, header.hash, header.encode(), body, b"", layer.changes, layer.before)
        self.database.commit([block], {})
        self.database.state.absorb(layer, self.database.view_at(parent.number))
        self.header = header
        self.epoch = next_epoch_of(header.digest) or self.epoch
        return time.thread_time() - start, time.perf_counter() - wall


def run(quick: bool) -> list[Row]:
    rows: list[Row] = []
    for accounts in (20_000,) if quick else (100_000, 1_000_000):
        print(f"import_blocks: {accounts:,} accounts", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            importer = Importer(open_copy(accounts, Path(folder) / "db"), accounts)
            thresholds = gc.get_threshold()
            collect_rarely()  # as a node does
            for size in (1_000,) if quick else (1_000, 5_000):
                rows += _block_size(importer, accounts, size)
            importer.database.close()
            gc.unfreeze()
            gc.set_threshold(*thresholds)
    return rows


def _block_size(importer: Importer, accounts: int, size: int) -> list[Row]:
    name = f"import {accounts:,}, {size:,} a block"
    runs: list[tuple[Spent, float]] = []
    for _ in range(BLOCKS):
        built = importer.build(size)
        executed, *spent = importer.import_block(
            built.header.digest.logs[:LEADING_ITEMS], [xt.raw for xt in built.body[1:]]
        )
        if executed.header != built.header:
            raise RuntimeError("the imported block differs from the built one")
        runs.append((spent[0], spent[1]))
    raw = rate(ed25519.Pair, ed25519.verify, 1_000)

    def median(value: Callable[[tuple[Spent, float]], float]) -> float:
        return sorted(value(each) for each in runs)[BLOCKS // 2] / size * 1e6

    def of(stage: str) -> float:
        return median(lambda each: each[0][stage])

    rows = [Row(name, stage, of(stage), "us/transfer") for stage in STAGES]
    rows.append(Row(name, "commit, wall", median(lambda each: each[1]), "us/transfer"))
    whole = median(lambda each: sum(each[0].values()))
    known = median(lambda each: sum(each[0].values()) - each[0]["signatures"])
    rows.append(Row(name, "all", whole, "us/transfer"))
    rows.append(Row(name, "all, pre-verified", known, "us/transfer"))
    rows.append(Row(name, "transfers", 1e6 / whole, "per second and core"))
    rows.append(Row(name, "transfers over ed25519 verifications", 1e6 / whole / raw, "ratio"))
    return rows
