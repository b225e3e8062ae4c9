"""Importing blocks of transfers, stage by stage: what a node that syncs does on one core, and what a validator does.

Real runtime, real state, real database. Senders and recipients are drawn at random from a few ten thousand keys among
all accounts, so trie paths do not repeat. "pre-verified" is a block whose transactions waited in the pool. Processor
time, and wall time for the commit, which waits for the disk.
"""

from __future__ import annotations

import gc
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import msgspec

from aitoken.collector import collect_rarely
from aitoken.crypto import ed25519
from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.signature import verify_multi
from aitoken.proto import randomness
from aitoken.proto.digest import SmpxDigest, leading_items_of
from aitoken.proto.extrinsic import Extrinsic
from aitoken.proto.header import Header
from aitoken.types import AIT, AccountId, Balance
from bench.accounts import Terms, public, transfer
from bench.network import GENESIS
from bench.raw import rate
from bench.row import Row
from chain.frame.executive import ExecutedBlock
from chain.frame.runtime import Runtime
from chain.genesis import build_genesis
from chain.runtime import build_runtime
from chain.spec import ChainSpec, parse_spec
from chain.state.base import State
from chain.state.layer import Layer
from chain.state.ordered import ordered_root
from node.store.database import CommittedBlock, Database

SENDERS = 20_000
BLOCKS = 5
STAGES = ("decode", "signatures", "execution", "extrinsics root", "state root and events", "commit")


class Importer:
    """A chain of one database."""

    def __init__(self, folder: Path, accounts: int) -> None:
        spec = roomy_spec(accounts)
        self.runtime: Runtime = build_runtime(spec)
        genesis = build_genesis(spec, self.runtime)
        self.header: Header = genesis.header
        Database.create(folder, genesis.header.hash, genesis.header.encode(), genesis.pairs)
        self.database = Database.open(folder, genesis.header.hash, history_blocks=64)
        version = self.runtime.version
        self.decoder = self.runtime.new_instance().executive
        self.terms = Terms(version.spec_version, version.transaction_version, genesis.header.hash)
        self.senders = min(SENDERS, accounts)
        self.nonces = [0] * self.senders
        self.rng = random.Random(accounts)
        self.time_ms = spec.timestamp_ms
        self.epoch = genesis.epoch
        self.leader = pair_from_uri("//Alice", "ed25519")
        self.place = [bytes(key) for key, _ in self.epoch.authorities].index(self.leader.public)

    def build(self, count: int) -> ExecutedBlock:
        """A block of `count` transfers by somebody else."""
        self.time_ms += 250
        view = self.header.number + 1
        proof = randomness.prove(self.leader, self.terms.genesis_hash, bytes(self.epoch.seed), 0, view)
        output = randomness.output_of(proof)
        items = leading_items_of(SmpxDigest(1, 0, view, view - 1, self.place, self.time_ms, output, proof))
        builder = self.runtime.open_block(self.database.state, self.header, items)
        for sender in self.rng.sample(range(self.senders), count):
            raw = transfer(self.terms, sender, self.rng.randrange(self.senders), self.nonces[sender])
            self.nonces[sender] += 1
            xt = Extrinsic(raw)
            xt.verified_for = self.terms.additional
            builder.apply(xt)
        return builder.seal()

    def import_block(self, header: Header, body: list[bytes]) -> tuple[dict[str, float], float]:
        """Import a block; processor seconds by stage, and wall seconds of the commit."""
        clock, spent = time.process_time, {}
        start = clock()
        extrinsics = [Extrinsic(raw) for raw in body]
        for xt in extrinsics:
            self.decoder.decode(xt)
        spent["decode"] = clock() - start

        start = clock()
        additional = self.terms.additional
        for xt in extrinsics[1:]:
            if xt.signer is not None and verify_multi(
                xt.signature_kind, xt.signature, xt.payload(additional), xt.signer
            ):
                xt.verified_for = additional
        spent["signatures"] = clock() - start

        start = clock()
        state: State = self.database.state
        builder = self.runtime.open_block(state, self.header, header.digest.logs[:2], given=len(extrinsics))
        for xt in extrinsics:
            builder.apply_given(xt)
        spent["execution"] = clock() - start

        start = clock()
        executed = builder.seal()
        sealed = clock() - start
        start = clock()
        ordered_root(body)
        spent["extrinsics root"] = clock() - start
        spent["state root and events"] = sealed - spent["extrinsics root"]
        if executed.header != header:
            raise RuntimeError("the imported block differs from the built one")
        spent["commit"], wall = self._commit(executed, body)
        return spent, wall

    def _commit(self, executed: ExecutedBlock, body: list[bytes]) -> tuple[float, float]:
        layer = cast("Layer", executed.state)
        start, wall = time.process_time(), time.perf_counter()
        header, parent = executed.header, self.header
        block = CommittedBlock(header.number, header.hash, header.encode(), body, b"", layer.changes, layer.before)
        self.database.commit([block], {})
        self.database.state.absorb(layer, self.database.view_at(parent.number))
        self.header = header
        return time.process_time() - start, time.perf_counter() - wall


def run(quick: bool) -> list[Row]:
    rows: list[Row] = []
    for accounts in (20_000,) if quick else (100_000, 1_000_000):
        print(f"import_blocks: {accounts:,} accounts", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            importer = Importer(Path(folder) / "db", accounts)
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
    runs: list[tuple[dict[str, float], float]] = []
    for _ in range(BLOCKS):
        built = importer.build(size)
        runs.append(importer.import_block(built.header, [xt.raw for xt in built.body]))
    raw = rate(ed25519.Pair, ed25519.verify, 1_000)

    def median(value: Callable[[tuple[dict[str, float], float]], float]) -> float:
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


def roomy_spec(accounts: int) -> ChainSpec:
    """The devnet's chain with `accounts` funded ones and no bound on a block."""
    spec = parse_spec(msgspec.json.decode(GENESIS.read_bytes()))
    rng = random.Random(1)
    funded = [AccountId(public(index)) for index in range(min(SENDERS, accounts))]
    funded += [AccountId(rng.randbytes(32)) for _ in range(accounts - len(funded))]
    balances = spec.balances + tuple((who, Balance(1_000 * AIT)) for who in funded)
    params = replace(
        spec.params,
        block_weight_ms=100_000,
        block_length_max=64 * 1024 * 1024,
        max_issuance=Balance(spec.params.max_issuance * 100),
    )
    return replace(spec, balances=balances, params=params)
