"""Which certificates stay, and that every block stays provable by one that does."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitoken.proto.digest import Digest, NextEpoch, SmpxDigest, leading_items_of, next_epoch_item
from aitoken.proto.header import Header
from aitoken.proto.randomness import UNPROVEN
from aitoken.types import BlockNumber
from chain.state.ordered import ordered_root
from node.store import retention
from node.store.database import CommittedBlock, Database
from tests.support.chains import genesis

GENESIS = genesis({b"a": b"1"})
RECENT, PERIOD = 8, 5


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setattr(retention, "RECENT", RECENT)
    monkeypatch.setattr(retention, "PERIOD", PERIOD)
    Database.create(tmp_path / "db", GENESIS.hash, GENESIS.encode(), {b"a": b"1"}.items())
    return Database.open(tmp_path / "db", GENESIS.hash)


def grow(database: Database, count: int, *, ends: frozenset[int], bare: frozenset[int] = frozenset()) -> None:
    parent = GENESIS
    for number in range(1, count + 1):
        end = (next_epoch_item(NextEpoch(1, [], bytes(32), number, 1)),) if number in ends else ()
        digest = Digest((*leading_items_of(SmpxDigest(1, 0, number, number - 1, 0, number, *UNPROVEN)), *end))
        parent = Header(parent.hash, BlockNumber(number), GENESIS.state_root, ordered_root([]), digest)
        certificate = None if number in bare else b"certificate"
        database.commit([CommittedBlock(parent.number, parent.hash, parent.encode(), (), certificate, {}, {})], {})


def kept(database: Database, last: int) -> list[int]:
    return [n for n in range(last + 1) if database.justification(BlockNumber(n)) is not None]


def test_the_last_ones_one_in_each_period_and_ends_of_epochs_are_kept(database: Database) -> None:
    grow(database, 30, ends=frozenset({7, 13}), bare=frozenset({10, 11, 20, 21, 22, 23, 24}))

    recent = list(range(30 - RECENT + 1, 31))
    recent = [number for number in recent if number not in {23, 24}]
    assert kept(database, 30) == [1, 5, 7, 12, 13, 15, *recent]
    database.close()


def test_every_block_has_a_kept_certificate_less_than_two_periods_above_it(database: Database) -> None:
    grow(database, 40, ends=frozenset())

    for number in range(1, 41):
        found = database.certified_from(number, 2 * PERIOD)
        assert found is not None
        assert number <= found < number + 2 * PERIOD
    assert database.certified_from(6, 4) is None
    assert database.certified_from(41, 10) is None
    assert database.certified_from(2**32 - 1, 10) is None
    database.close()
