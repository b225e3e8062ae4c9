"""What a transfer costs as the chain grows: the same blocks on states of ten thousand to ten million accounts.

Blocks of 1,000 transfers are imported one after the other (signatures, execution, both roots, synced commit, the trunk
written when it is time to), with senders and recipients drawn from all accounts. Nothing has looked at a block before
it is imported, so an account that was not in use lately is read from LevelDB and its bough is unpacked. The two small
states are in the node's caches before it is measured, as they are in a node that has run for a while; of ten million
accounts next to nothing is in them, ever. The files are in the system's memory where there is room for them.

Each state has a process, for its memory, and the processes take turns, in every other round the largest first: a
machine that gets slower or faster meanwhile does so for all. None works while another does. "all" is processor time:
the median block, and, averaged over all, what LevelDB does in its own thread and the writing of the trunk.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NamedTuple

from aitoken.collector import collect_rarely
from aitoken.crypto import ed25519
from bench.accounts import account, account_key
from bench.import_blocks import STAGES, Importer, Spent
from bench.raw import rate
from bench.row import Row
from bench.states import open_copy

SIZES: Final = (10_000, 100_000, 1_000_000, 10_000_000)
TRANSFERS: Final = 1_000
"""In a block."""
ROUNDS: Final = 8
BLOCKS: Final = 5
"""Of each state in a round."""
WARMED_UP_TO: Final = 100_000
SENDERS: Final = 50_000
"""At most; whoever has a key may send."""


class Measured(NamedTuple):
    """Some blocks of one state."""

    blocks: list[tuple[Spent, float]]
    """Of each: processor seconds by stage, and wall seconds of all of it."""
    beside: float
    """Processor seconds of LevelDB's own thread, and of writing the trunk."""
    memory: float
    """MB the process holds."""


def run(quick: bool) -> list[Row]:
    sizes = SIZES[:2] if quick else SIZES
    context = multiprocessing.get_context("spawn")
    workers = []
    found: dict[int, list[Measured]] = {size: [] for size in sizes}
    raw = []
    rows = []
    with tempfile.TemporaryDirectory(prefix="aitoken-bench-") as folder:
        for size in sizes:
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(size, Path(folder) / str(size), theirs))
            process.start()
            theirs.close()
            seconds, memory = ours.recv()
            rows.append(Row(_name(size), "opened in", seconds, "s"))
            print(f"growth: {size:,} accounts, opened in {seconds:.1f} s, {memory:.0f} MB", file=sys.stderr)
            workers.append((size, process, ours))
        for round_ in range(1 if quick else ROUNDS):
            print(f"growth: round {round_ + 1}", file=sys.stderr)
            raw.append(rate(ed25519.Pair, ed25519.verify, 500))
            for size, _, pipe in workers[:: 1 - 2 * (round_ % 2)]:
                pipe.send(BLOCKS)
                found[size].append(pipe.recv())
        for _, process, pipe in workers:
            pipe.send(0)
            process.join()
    for size in sizes:
        rows += _rows(_name(size), found[size], statistics.median(raw))
    return rows


def _name(size: int) -> str:
    return f"growth, {size:,} accounts"


def _rows(name: str, rounds: list[Measured], raw: float) -> list[Row]:
    blocks = [block for each in rounds for block in each.blocks]
    us = 1e6 / TRANSFERS
    rows = [
        Row(name, stage, us * statistics.median(spent[stage] for spent, _ in blocks), "us/transfer") for stage in STAGES
    ]
    beside = us * sum(each.beside for each in rounds) / len(blocks)
    whole = us * statistics.median(sum(spent.values()) for spent, _ in blocks) + beside
    return [
        *rows,
        Row(name, "LevelDB beside it, and the trunk", beside, "us/transfer"),
        Row(name, "all", whole, "us/transfer"),
        Row(name, "all, in ed25519 verifications", whole / 1e6 * raw, ""),
        Row(name, "all, wall", us * statistics.median(wall for _, wall in blocks), "us/transfer"),
        Row(name, "memory", rounds[-1].memory, "MB"),
    ]


def _work(accounts: int, folder: Path, pipe: Connection) -> None:
    """Import as many blocks as the other end asks for, until it asks for none."""
    chain = open_copy(accounts, folder)
    importer = Importer(chain, accounts, SENDERS)
    collect_rarely()  # as a node does
    if accounts <= WARMED_UP_TO:
        _warm_up(importer)
    _some_blocks(importer, 2)
    pipe.send((chain.opened_in, _memory()))
    while count := pipe.recv():
        pipe.send(_some_blocks(importer, count))
    chain.database.close()


def _warm_up(importer: Importer) -> None:
    """Let the node have seen every account, as one that has run for a while."""
    state = importer.database.state
    keys = [account_key(account(index)) for index in range(importer.accounts)]
    for key in keys:
        state.get(key)
    for at in range(0, len(keys), 5_000):
        state.child(dict.fromkeys(keys[at : at + 5000], b""))


def _some_blocks(importer: Importer, count: int) -> Measured:
    """Import blocks; the time it takes to make them does not count."""
    before = time.process_time()
    making = 0.0
    blocks = []
    in_stages = 0.0
    for _ in range(count):
        start = time.thread_time()
        items, body = importer.begin(), _transfers(importer)
        making += time.thread_time() - start
        wall = time.perf_counter()
        _, spent, _ = importer.import_block(items, body)
        if (write := importer.database.trunk_to_write()) is not None:
            write()
        blocks.append((spent, time.perf_counter() - wall))
        in_stages += sum(spent.values())
    beside = time.process_time() - before - making - in_stages
    return Measured(blocks, beside, _memory())


def _memory() -> float:
    """MB of this process that are no pages of files, which the system takes back as it likes."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _transfers(importer: Importer) -> list[bytes]:
    senders = importer.rng.sample(range(importer.senders), TRANSFERS)
    return [importer.transfer(sender, importer.rng.randrange(importer.accounts)) for sender in senders]
