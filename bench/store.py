"""The database: what a final block costs on disk, and what reading it costs.

A state of N accounts as in `bench/state.py`. A block changes 2,000 of them at random and has a body of 2,000
extrinsics of 147 bytes. "commit" is everything between a finished block and its durability: flat state, past values,
body, header, one synced batch. Wall time, because it waits for the disk.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from aitoken.proto.digest import Digest
from aitoken.proto.header import Header
from aitoken.types import BlockNumber, Hash32
from bench.row import Row
from bench.state import account_key
from chain.state.layer import FinalState
from chain.state.nodes import EMPTY_ROOT
from node.store.database import CommittedBlock, Database
from node.store.files import DiskFiles
from node.store.flat import FlatState
from node.store.journal import Journal

_BLOCKS = 12
_PER_BLOCK = 2_000
_READS = 20_000


def run(quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory() as directory:
        rows = _journal(Path(directory))
        for accounts in (20_000,) if quick else (100_000, 1_000_000):
            rows += _database(Path(directory) / str(accounts), accounts)
        return rows


def _database(path: Path, accounts: int) -> list[Row]:
    name = f"database {accounts:,}"
    print(f"store: {accounts:,} accounts", file=sys.stderr)
    rng = random.Random(accounts)
    keys = [account_key(rng) for _ in range(accounts)]
    pairs = {key: rng.randbytes(80) for key in keys}
    head = _header(0, Hash32(bytes(32)), FinalState.in_memory(pairs).root)
    rows = []
    start = time.perf_counter()
    Database.create(path, head.hash, head.encode(), pairs.items())
    rows.append(Row(name, "create", time.perf_counter() - start, "s"))
    pairs.clear()
    start = time.perf_counter()
    database = Database.open(path, head.hash, history_blocks=_BLOCKS // 2)
    rows.append(Row(name, "open: scan, trie, root check", time.perf_counter() - start, "s"))

    commits = []
    for _ in range(_BLOCKS):
        layer = database.state.child({key: rng.randbytes(80) for key in rng.sample(keys, _PER_BLOCK)})
        parent, head = head, _header(head.number + 1, head.hash, layer.root)
        body = [rng.randbytes(147) for _ in range(_PER_BLOCK)]
        block = CommittedBlock(head.number, head.hash, head.encode(), body, b"", layer.changes, layer.before)
        start = time.perf_counter()
        database.commit([block], {b"certificate": rng.randbytes(500)})
        database.state.absorb(layer, database.view_at(parent.number))
        commits.append(time.perf_counter() - start)
    commits.sort()
    rows.append(Row(name, "commit of 2,000 changes, median", commits[_BLOCKS // 2] * 1e3, "ms"))
    rows.append(Row(name, "commit of 2,000 changes, worst", commits[-1] * 1e3, "ms"))
    rows.append(Row(name, "commit per changed key", commits[_BLOCKS // 2] / _PER_BLOCK * 1e6, "us"))

    some = [rng.choice(keys) for _ in range(_READS)]
    rows.append(Row(name, "read from disk", _per(some, FlatState(database._db, 10).get), "us"))
    warm = FlatState(database._db)
    _per(some, warm.get)
    rows.append(Row(name, "read from the cache", _per(some, warm.get), "us"))
    past = database.view_at(BlockNumber(head.number - 3))
    rows.append(Row(name, "read of an old state", _per(some[:2_000], past.get), "us"))
    start = time.perf_counter()
    count = sum(1 for _ in database.state.iterate(b""))
    rows.append(Row(name, "iterate", (time.perf_counter() - start) / count * 1e6, "us/pair"))
    start = time.perf_counter()
    database.state_at(BlockNumber(head.number - 3)).prove([keys[0]])
    rows.append(Row(name, "proof three blocks back", (time.perf_counter() - start) * 1e3, "ms"))
    database.close()
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    rows.append(Row(name, "size on disk", size / 1e6, "MB"))
    return rows


def _journal(directory: Path) -> list[Row]:
    journal = Journal(DiskFiles(directory / "consensus"))
    journal.restart([b"\x01opening"])
    vote = bytes(115)
    syncs = []
    for _ in range(300):
        start = time.perf_counter()
        journal.append(vote)
        journal.flush()
        syncs.append(time.perf_counter() - start)
    syncs.sort()
    append = _per(range(5_000), lambda _: journal.append(vote))
    journal.close()
    return [
        Row("journal", "a vote and its barrier, median", syncs[150] * 1e3, "ms"),
        Row("journal", "a vote and its barrier, 99 %", syncs[297] * 1e3, "ms"),
        Row("journal", "append", append, "us"),
    ]


def _header(number: int, parent: Hash32, root: Hash32) -> Header:
    return Header(parent, BlockNumber(number), root, EMPTY_ROOT, Digest(()))


def _per(items: Iterable[Any], call: Callable[[Any], object]) -> float:
    start = time.perf_counter()
    count = 0
    for item in items:
        call(item)
        count += 1
    return (time.perf_counter() - start) / count * 1e6
