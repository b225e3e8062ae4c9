"""The state: what a new root costs per modified key, what a whole build costs, and what is held of the trie.

A state of N accounts as the runtime keeps them (key: two twox-128, blake2-128 and the account; value: 80 bytes), 200
other keys. A block changes 2,000 accounts at random; "new" ones do not exist before. CPU time, the flat state in
memory, so that it is the trie that is measured.
"""

from __future__ import annotations

import gc
import random
import sys
import time
from collections.abc import Iterator

from aitoken.crypto.hashing import blake2_128_concat, twox_128
from bench.row import Row
from chain.state.layer import FinalState
from chain.state.memory import MemoryKeyValue
from chain.state.ordered import ordered_root

_ACCOUNT = twox_128(b"System") + twox_128(b"Account")
_BLOCKS = 12
_PER_BLOCK = 2_000


def run(quick: bool) -> list[Row]:
    rows = list(_lists())
    for accounts in (10_000, 100_000) if quick else (100_000, 1_000_000):
        rows += _trie(accounts)
    return rows


def _trie(accounts: int) -> Iterator[Row]:
    say(f"state: {accounts:,} accounts")
    rng = random.Random(accounts)
    keys = [account_key(rng) for _ in range(accounts)]
    flat = MemoryKeyValue({**{key: rng.randbytes(80) for key in keys}, **{rng.randbytes(32): b"x" for _ in range(200)}})
    start = time.process_time()
    final = FinalState(flat)
    build = time.process_time() - start
    name = f"state {accounts:,}"
    yield Row(name, "build from sorted pairs", build / accounts * 1e6, "us/key")
    yield from _held(name, "built", final)
    gc.collect()
    gc.freeze()
    for share in (0, 10, 100):
        best = []
        for _ in range(_BLOCKS):
            new = _PER_BLOCK * share // 100
            picked = rng.sample(keys, _PER_BLOCK - new) + [account_key(rng) for _ in range(new)]
            changes = {key: rng.randbytes(80) for key in picked}
            start = time.process_time()
            layer = final.child(changes)
            best.append(time.process_time() - start)
            flat.apply(layer.changes)
            final.absorb(layer)
        yield Row(name, f"root, {share} % new accounts", sorted(best)[_BLOCKS // 2] / _PER_BLOCK * 1e6, "us/key")
    yield from _held(name, "at the end", final)
    say("state: layers")
    layer = final.child({keys[0]: b"x"})
    for _ in range(3):
        layer = layer.child({key: rng.randbytes(80) for key in rng.sample(keys, _PER_BLOCK)})
    changes = {key: rng.randbytes(80) for key in rng.sample(keys, _PER_BLOCK)}
    start = time.process_time()
    layer.child(changes)
    yield Row(name, "root, four layers up", (time.process_time() - start) / _PER_BLOCK * 1e6, "us/key")
    start = time.process_time()
    final.prove(keys[:1000])
    yield Row(name, "proof of one key", (time.process_time() - start) / 1000 * 1e6, "us")


def _held(name: str, what: str, final: FinalState) -> Iterator[Row]:
    count = size = 0
    waiting = [] if final.top is None else [final.top]
    while waiting:
        node = waiting.pop()
        count += 1
        size += sys.getsizeof(node)
        if type(node) is tuple:
            size += sys.getsizeof(node[0])
            waiting += node[1:]
    yield Row(name, f"{what}, branches", count / 1e3, "thousand")
    yield Row(name, f"{what}, size", size / 1e6, "MB")


def _lists() -> Iterator[Row]:
    rng = random.Random(1)
    values = [rng.randbytes(147) for _ in range(5_000)]
    best = []
    for _ in range(5):
        start = time.process_time()
        ordered_root(values)
        best.append(time.process_time() - start)
    yield Row("extrinsics root", "5,000 of 147 bytes", min(best) / len(values) * 1e6, "us/extrinsic")


def account_key(rng: random.Random) -> bytes:
    return _ACCOUNT + blake2_128_concat(rng.randbytes(32))


def say(text: str) -> None:
    print(text, file=sys.stderr)
