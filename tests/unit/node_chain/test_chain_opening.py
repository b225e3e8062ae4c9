"""A genesis file is read whole once; after that its balances, which may be millions, are left out."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from aitoken.errors import Bug
from chain.genesis import build_genesis
from chain.spec import parse_spec
from node.chain.opening import load_spec, open_chain
from node.store.errors import WrongGenesis
from tests.support.devnet import GENESIS


def opened(file: Path, folder: Path) -> tuple[bytes, int]:
    found = open_chain(file, folder, history_blocks=None)
    try:
        return found.genesis_hash, len(found.spec.balances)
    finally:
        found.database.close()


def test_the_second_start_has_the_same_genesis_without_the_balances(tmp_path: Path) -> None:
    first = opened(GENESIS, tmp_path)
    second = opened(GENESIS, tmp_path)
    assert first[1] > 0
    assert second == (first[0], 0)


def test_another_file_is_read_whole_and_is_another_chain(tmp_path: Path) -> None:
    opened(GENESIS, tmp_path)
    spec = msgspec.json.decode(GENESIS.read_bytes())
    spec["genesis"]["timestampMs"] += 1
    other = tmp_path / "other.json"
    other.write_bytes(msgspec.json.encode(spec))
    with pytest.raises(WrongGenesis):
        opened(other, tmp_path)


def test_what_a_file_says_besides_balances_is_read_in_full() -> None:
    data = msgspec.json.decode(GENESIS.read_bytes())
    whole, short = parse_spec(data), parse_spec(data, checked=True)
    for name in whole.__dataclass_fields__:
        assert (getattr(whole, name) == getattr(short, name)) is (name not in {"balances", "partial"}), name
    with pytest.raises(Bug):
        build_genesis(short)
    _, digest = load_spec(GENESIS)
    assert load_spec(GENESIS, digest) == (short, digest)
