"""States of up to ten million accounts in real databases, made once and kept for later runs.

What a genesis of that many accounts would give, without holding it: accounts are sorted by the hash in their keys by
way of files, and stream in order into the trie and into LevelDB. Ten million take some minutes, 2.5 GB of disk and 1.3
GB of memory, so they are kept in `AITOKEN_BENCH_STATES`, or `aitoken-bench-states` in the system's temporary folder;
whoever deletes that loses time only. Nobody works on what is kept: a run gets a copy that shares the files LevelDB
never changes.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from heapq import merge
from pathlib import Path
from typing import Final

import msgspec

from aitoken.crypto.hashing import blake2_128
from aitoken.proto.digest import NextEpoch
from aitoken.proto.header import Header
from aitoken.types import AIT, AccountId, Balance
from bench.accounts import WITH_KEYS, account, account_key
from bench.network import GENESIS
from chain.frame.runtime import Runtime
from chain.genesis import Genesis, build_genesis
from chain.runtime import build_runtime
from chain.spec import ChainSpec, parse_spec
from chain.state.build import build
from chain.state.nodes import HASHED_FROM, Leaf, root_hash
from chain.state.tree import encoding_of
from node.store import schema, trunk
from node.store.database import Database

FUNDS: Final = Balance(1_000 * AIT)
HISTORY_BLOCKS: Final = 64
_ACCOUNTS: Final = account_key(b"")[:32]
_FILES: Final = 256
_RECORD: Final = 48  # the hash in the key, and the account
_SPARE: Final = 400  # bytes of disk for each account


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of which nothing but block 0 exists."""

    spec: ChainSpec
    runtime: Runtime
    header: Header
    epoch: NextEpoch
    database: Database
    opened_in: float
    """Seconds."""


def roomy_spec(accounts: int) -> ChainSpec:
    """The devnet's chain with `accounts` funded ones and no bound on a block."""
    spec = parse_spec(msgspec.json.decode(GENESIS.read_bytes()))
    funded = tuple((AccountId(account(index)), FUNDS) for index in range(accounts))
    params = replace(
        spec.params,
        block_weight_ms=100_000,
        block_length_max=64 * 1024 * 1024,
        max_issuance=Balance(spec.params.max_issuance * 100),
    )
    return replace(spec, balances=spec.balances + funded, params=params)


def open_copy(accounts: int, folder: Path) -> Chain:
    """The chain of `roomy_spec(accounts)` in `folder`, to work on."""
    few = _Few()
    kept = few.kept(accounts)
    if not kept.exists():
        few.make(accounts, kept)
    header = Header.decode(kept.joinpath("header").read_bytes())
    _copy(kept / "db", folder)
    start = time.perf_counter()
    database = Database.open(folder, header.hash, history_blocks=HISTORY_BLOCKS)
    return Chain(few.spec, few.runtime, header, few.genesis.epoch, database, time.perf_counter() - start)


class _Few:
    """The chain with one account, from which all larger ones follow."""

    def __init__(self) -> None:
        self.spec = roomy_spec(1)
        self.runtime = build_runtime(self.spec)
        self.genesis: Genesis = build_genesis(self.spec, self.runtime)

    def kept(self, accounts: int) -> Path:
        """Where the state is; another one where anything of the chain is different."""
        default = Path(tempfile.gettempdir()) / "aitoken-bench-states"
        version = schema.number(schema.SCHEMA_VERSION) + trunk.MAGIC
        content = self.genesis.header.hash + account(WITH_KEYS) + version
        name = f"{accounts}-{blake2_128(content).hex()[:16]}"
        return Path(os.environ.get("AITOKEN_BENCH_STATES", default)) / name

    def make(self, accounts: int, kept: Path) -> None:
        """Make it, and show how far that is."""
        kept.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(kept.parent).free < _SPARE * accounts:
            raise RuntimeError(f"{accounts:,} accounts need {_SPARE * accounts / 1e9:.1f} GB in {kept.parent}")
        with tempfile.TemporaryDirectory(prefix="making-", dir=kept.parent) as name:
            making = Path(name)
            _sort(accounts, making)
            pairs = self._others(accounts)
            value = self.genesis.pairs[account_key(account(0))]
            print(f"states: the trie of {accounts:,} accounts", file=sys.stderr)
            trie = build(_all(pairs, value, making), 0, HASHED_FROM[1])
            empty = self.genesis.header
            root = root_hash(encoding_of(trie, 0, HASHED_FROM[1]))
            header = Header(empty.parent_hash, empty.number, root, empty.extrinsics_root, empty.digest)
            print(f"states: the database of {accounts:,} accounts", file=sys.stderr)
            done = making / "done"
            done.mkdir()
            coming = _all(pairs, value, making)
            Database.create(
                done / "db", header.hash, header.encode(), coming, top=None if isinstance(trie, Leaf) else trie
            )
            done.joinpath("header").write_bytes(header.encode())
            done.rename(kept)

    def _others(self, accounts: int) -> dict[bytes, bytes]:
        """What is in the state besides the accounts; pallets that note what was issued note that of all."""
        others = {**self.genesis.pairs}
        del others[account_key(account(0))]
        few, many = (_amount(self.genesis.issuance + more * FUNDS) for more in (0, accounts - 1))
        return others | {key: many for key, value in others.items() if value == few}


def _amount(amount: int) -> bytes:
    return amount.to_bytes(16, "little")


def _sort(accounts: int, folder: Path) -> None:
    """Write every account into one of many files, by the first byte of the hash in its key."""
    with ExitStack() as stack:
        writes = [stack.enter_context(_file(folder, number).open("wb")).write for number in range(_FILES)]
        for index in range(accounts):
            if index and index % 1_000_000 == 0:
                print(f"states: {index:,} of {accounts:,} accounts", file=sys.stderr)
            who = account(index)
            hashed = blake2_128(who)
            writes[hashed[0]](hashed + who)


def _all(others: dict[bytes, bytes], value: bytes, folder: Path) -> Iterator[tuple[bytes, bytes]]:
    return merge(sorted(others.items()), _sorted(value, folder))


def _sorted(value: bytes, folder: Path) -> Iterator[tuple[bytes, bytes]]:
    for number in range(_FILES):
        data = _file(folder, number).read_bytes()
        for record in sorted([data[at : at + _RECORD] for at in range(0, len(data), _RECORD)]):
            yield _ACCOUNTS + record, value


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:02x}"


def _copy(source: Path, target: Path) -> None:
    """Tables and trunk are never written again, so both may have them; everything else is copied."""
    (target / "leveldb").mkdir(parents=True)
    for file in (*source.iterdir(), *(source / "leveldb").iterdir()):
        if file.is_file():
            to = target / file.relative_to(source)
            if file.suffix in (".ldb", ".sst") or file.name == "trunk":
                _link(file, to)
            else:
                shutil.copyfile(file, to)


def _link(file: Path, to: Path) -> None:
    try:
        to.hardlink_to(file)
    except OSError:  # another file system
        shutil.copyfile(file, to)
