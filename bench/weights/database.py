"""What a key costs: read from a database of realistic size, or written into state root and final batch."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from pathlib import Path

from aitoken.proto.digest import Digest
from aitoken.proto.header import Header
from aitoken.types import BlockNumber, Hash32
from bench.state import account_key
from bench.weights.measure import Signatures, rounded
from chain.frame.weights import REFERENCE_RATE
from chain.state.layer import FinalState
from chain.state.nodes import EMPTY_ROOT
from node.store.database import CommittedBlock, Database
from node.store.flat import FlatState

ACCOUNTS = 200_000
ROUNDS = 9
READS = 2_000
WRITES = 1_000


def measure(signatures: Signatures) -> tuple[int, int]:
    """Return picoseconds of the reference machine for a read past the cache, and for a write."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "db"
        rng = random.Random(ACCOUNTS)
        keys = [account_key(rng) for _ in range(ACCOUNTS)]
        pairs = {key: rng.randbytes(80) for key in keys}
        head = _header(0, Hash32(bytes(32)), FinalState.in_memory(pairs).root)
        Database.create(path, head.hash, head.encode(), pairs.items())
        database = Database.open(path, head.hash, history_blocks=4)
        reads, writes = [], []
        for _ in range(ROUNDS):
            before = signatures.seconds()
            flat = FlatState(database._db, 10)
            some = rng.sample(keys, READS)
            start = time.process_time()
            for key in some:
                flat.get(key)
            read = (time.process_time() - start) / READS
            changes = {key: rng.randbytes(80) for key in rng.sample(keys, WRITES)}
            start = time.process_time()
            layer = database.state.child(changes)
            parent, head = head, _header(head.number + 1, head.hash, layer.root)
            block = CommittedBlock(head.number, head.hash, head.encode(), [], b"", layer.changes, layer.before)
            database.commit([block], {})
            database.state.absorb(layer, database.view_at(parent.number))
            write = (time.process_time() - start) / WRITES
            unit = (before + signatures.seconds()) / 2
            reads.append(read / unit)
            writes.append(write / unit)
        database.close()
    scale = 1e12 / REFERENCE_RATE
    return rounded(statistics.median(reads) * scale), rounded(statistics.median(writes) * scale)


def _header(number: int, parent: Hash32, root: Hash32) -> Header:
    return Header(parent, BlockNumber(number), root, EMPTY_ROOT, Digest(()))
