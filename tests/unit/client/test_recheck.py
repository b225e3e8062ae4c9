"""A purse checked in parts, by several processes, says what one audit of everything in order says."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from aitoken.client.pay import recheck as checking
from aitoken.client.pay.purse import FILE, open_purse
from aitoken.client.pay.recheck import recheck
from aitoken.pay.audit import FINDINGS_MAX, Audit
from aitoken.pay.price import price_list
from tests.support.purses import OPERATOR, PRICES, fill


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "PART", 7)
    monkeypatch.setattr(checking, "ALONE_MAX", 0)


def in_order(folder: Path) -> Audit:
    audit = Audit(OPERATOR.public, {(1, 1): price_list(PRICES)})
    with open_purse(folder, spend=False) as purse:
        for kept in purse.sessions():
            audit.add_all((one.statement, one.signature) for one in purse.receipts(kept.id))
    return audit


def change(folder: Path, sql: str, *values: object) -> None:
    with sqlite3.connect(folder / FILE) as connection:
        assert connection.execute(sql, values).rowcount == 1
    connection.close()


@pytest.mark.parametrize("processes", [1, 2])
def test_parts_add_up_to_the_whole(tmp_path: Path, processes: int) -> None:
    fill(tmp_path, 2, 3, 20).close()
    whole, done = in_order(tmp_path), recheck(tmp_path, processes)
    assert [(one.receipts, one.wrong) for one in done] == [(60, 0), (60, 0)]
    assert sum(one.charged for one in done) == sum(one.total for one in done) == whole.total > 0
    assert [one.total for one in done] == [whole.session_total(one.kept.id) for one in done]


@pytest.mark.parametrize("seq", [1, 7, 8, 14, 20])  # parts end at 7, 14 and 20
@pytest.mark.parametrize("damage", ["gone", "not signed", "no receipt"])
def test_what_is_wrong_is_found_wherever_parts_end(tmp_path: Path, seq: int, damage: str) -> None:
    fill(tmp_path, 1, 2, 20).close()
    if damage == "gone":
        change(tmp_path, "DELETE FROM receipts WHERE lane = 1 AND seq = ?", seq)
    elif damage == "not signed":
        change(tmp_path, "UPDATE receipts SET signature = ? WHERE lane = 1 AND seq = ?", bytes(64), seq)
    else:
        change(tmp_path, "UPDATE receipts SET statement = ? WHERE lane = 1 AND seq = ?", b"x", seq)
    whole, (done,) = in_order(tmp_path), recheck(tmp_path, 1)
    assert (whole.wrong > 0) == (done.wrong > 0) == (damage != "gone" or seq < 20)
    if damage == "not signed":
        assert (1, seq, "not signed by the seller's operator key") in [(f.lane, f.seq, f.what) for f in done.findings]
        assert done.charged <= done.total


def test_findings_are_bounded(tmp_path: Path) -> None:
    fill(tmp_path, 1, 1, FINDINGS_MAX + 20).close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE receipts SET signature = ?", (bytes(64),))
    connection.close()
    (done,) = recheck(tmp_path, 1)
    assert (done.wrong, len(done.findings)) == (FINDINGS_MAX + 20, FINDINGS_MAX)


def test_an_empty_purse_has_nothing_to_check(tmp_path: Path) -> None:
    fill(tmp_path, 1, 0, 0).close()
    assert [(one.receipts, one.total) for one in recheck(tmp_path)] == [(0, 0)]
