"""Coupons as people use them: made, printed again from their file, claimed by who has nothing, and taken back."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.ss58 import encode
from aitoken.types import AIT
from cli.exits import Exit
from cli.main import main
from tests.support.devnet import Net, quick_chain, wait_final

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(300)]

NOBODY = encode(pair_from_uri("//Nobody").public)


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    net = Net.make(tmp_path / "net", 1, quick_chain(tmp_path))
    net.start()
    yield net
    net.close()


def test_coupons_are_printed_claimed_without_a_fee_once_and_taken_back(net: Net, tmp_path: Path) -> None:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, "--url", net.url(0), "--output", "json"])

    def told(*arguments: str) -> Any:
        done = run(*arguments)
        assert done.exit_code == 0, done.stderr
        return msgspec.json.decode(done.stdout)

    asyncio.run(wait_final(net.url(0), 1))
    file, by_alice = tmp_path / "summer.codes", ("--from", "//Alice")
    before = told("balance", "//Alice")
    made = told("coupon", "make", "5", "2", str(file), *by_alice)
    printed = told("coupon", "print", str(file), "--page", "https://example.org/claim")
    again = run("coupon", "make", "5", "2", str(file), *by_alice)
    code = tmp_path / "code"
    code.write_text(printed[3]["link"])
    code.chmod(0o600)
    claim = ("coupon", "claim", "--code-file", str(code), "--to", NOBODY)
    claimed, twice = told(*claim), run(*claim)
    standing = told("coupon", "status", str(file))
    gone = told("coupon", "cancel", str(file), *by_alice)
    after = told("balance", "//Alice")

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [row["number"] for row in printed] == [1, 2, 3, 4, 5]
    assert (again.exit_code, "never overwritten" in again.stderr) == (Exit.USAGE, True)
    assert (claimed["index"], claimed["value"], "fee" in claimed) == (3, 2 * AIT, False)
    assert told("balance", NOBODY)["free"] == 2 * AIT
    assert (twice.exit_code, "[coupon.refused]" in twice.stderr) == (Exit.REFUSED, True)
    assert (standing["batch"], standing["used"], standing["unused"]) == (made["batch"], 1, 4)
    assert gone == {"batch": made["batch"], "void": 4, "closed": True}
    assert after["reserved"] == before["reserved"]
    paid = before["free"] - after["free"] - 2 * AIT
    assert 0 < paid < AIT // 10, "fees, and nothing but fees beside what was claimed"
