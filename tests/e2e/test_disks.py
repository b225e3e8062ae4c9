"""Disks fill up, turn read-only, lose and garble files: a node stops with a clear reason, and never answers wrongly."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.wallet import account_of
from faults.nodes import EVIDENCE
from tests.support.devnet import AITOKEN, Net, answer_of, client_of, final_head, wait_final
from tests.support.disks import MIB, as_ordinary_user, fill, flip, make_read_only, small_disk

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(300)]

UNUSABLE, FAILED = 5, 70


@pytest.fixture
def four(tmp_path: Path) -> Iterator[Net]:
    net = Net.make(tmp_path / "net", 4)
    yield net
    net.close()


@pytest.fixture(scope="module")
def ran_twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a lone validator left that ran twice: its database has tables and a log."""
    net = Net.make(tmp_path_factory.mktemp("kept") / "net", 1)
    try:
        for height in (2, 3):
            net.start()
            asyncio.run(_final(net, height))
            assert net.stop(0)[0] == 0
    finally:
        net.close()
    return net.plan.nodes[0].folder


async def _final(net: Net, height: int) -> None:
    await wait_final(net.url(0), height)


@pytest.fixture
def alone(tmp_path: Path, ran_twice: Path) -> Iterator[Net]:
    """A lone validator that ran before and is stopped."""
    net = Net.make(tmp_path / "net", 1)
    shutil.copytree(ran_twice, net.plan.nodes[0].folder)
    yield net
    net.close()


async def ended(net: Net, index: int, seconds: float = 20) -> tuple[int, float]:
    """Wait for a node to end by itself; its exit code and how long that took."""
    started = time.monotonic()
    process = net.processes.pop(index)
    code = await asyncio.to_thread(process.wait, seconds)
    return code, time.monotonic() - started


async def test_a_full_disk_stops_one_node_and_nothing_is_lost(four: Net) -> None:
    home = four.plan.nodes[3].folder
    with small_disk(home, 64 * MIB):
        four.start()
        await wait_final(four.url(3), 3)

        filler = fill(home)
        code, seconds = await ended(four, 3)
        log = four.log(3)
        assert code == FAILED, log[-3_000:]
        assert seconds < 10
        assert re.search(r"critical .*no space left", log, re.IGNORECASE), log[-3_000:]
        assert "Traceback" not in log

        receipt = answer_of("transfer", "//Alice", "//Eve", "1", "--url", four.url(0))
        stood, _ = await final_head(four.url(0))
        await wait_final(four.url(0), stood + 2)

        refused(four.plan.arguments(four.plan.nodes[3]), "no space left")
        filler.unlink()
        four.start(3)
        assert await wait_final(four.url(3), receipt["block_number"]) == receipt["block_hash"]
        target, found = await final_head(four.url(0))
        assert await wait_final(four.url(3), target) == found
        for height in range(target):
            assert await wait_final(four.url(3), height) == await wait_final(four.url(0), height)
        assert EVIDENCE.search("".join(four.log(index) for index in range(4))) is None
        four.kill(3)


async def test_a_database_that_takes_no_more_stops_the_node(alone: Net) -> None:
    """Only the database lies on the full disk: the journal of votes could go on."""
    home = database(alone).parent
    away = home.rename(home.with_name("away"))
    with small_disk(home, 16 * MIB):
        shutil.copytree(away, home, dirs_exist_ok=True)
        alone.start()
        number, _ = await final_head(alone.url(0))
        await wait_final(alone.url(0), number + 1)
        filler = fill(home)

        code, seconds = await ended(alone, 0)

        text = alone.log(0)
        assert code == FAILED, text[-3_000:]
        assert seconds < 10
        assert re.search(r"critical .*no space left to write .*leveldb", text), text[-3_000:]
        assert "Traceback" not in text
        told = int(re.findall(r"final number=(\d+)", text)[-1])
        filler.unlink()
        alone.start()
        await wait_final(alone.url(0), told + 1)
        alone.kill(0)


def refused(arguments: list[str], words: str, prefix: list[str] | None = None) -> str:
    """A node must not start with these arguments: exit code 5 and one clear line."""
    done = subprocess.run(
        [*(prefix or []), *AITOKEN, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == UNUSABLE, done.stderr[-3_000:]
    assert re.search(words, done.stderr, re.IGNORECASE), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


async def test_a_disk_that_turned_read_only_stops_a_node_and_is_named_at_the_next_start(tmp_path: Path) -> None:
    net = Net.make(tmp_path / "net", 1)
    home = net.plan.nodes[0].folder
    with small_disk(home, 64 * MIB):
        try:
            net.start()
            await wait_final(net.url(0), 2)
            net.kill(0)
            make_read_only(home)
            refused(net.plan.arguments(net.plan.nodes[0]), "read-only")
        finally:
            net.close()


@pytest.mark.parametrize("mode", [0o500, 0o000], ids=["not-writable", "not-readable"])
def test_a_folder_without_permission_is_named(tmp_path: Path, mode: int) -> None:
    net = Net.make(tmp_path / "net", 1)
    home = net.plan.nodes[0].folder
    home.mkdir()
    home.chmod(mode)
    try:
        words = refused(net.plan.arguments(net.plan.nodes[0]), "permission denied", as_ordinary_user())
        assert str(home) in words
    finally:
        home.chmod(0o700)


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    net = Net.make(tmp_path / "net", 1)
    home = net.plan.nodes[0].folder
    home.write_text("not a folder")

    assert str(home) in refused(net.plan.arguments(net.plan.nodes[0]), "exists|not a directory")


def database(net: Net) -> Path:
    return net.plan.nodes[0].folder / "db" / "leveldb"


@pytest.mark.parametrize("lost", ["CURRENT", "MANIFEST-*", "*.ldb", "*.log"])
async def test_a_lost_file_of_the_database_is_noticed_at_the_start(alone: Net, lost: str) -> None:
    files = sorted(database(alone).glob(lost))
    assert files, f"no {lost} in {[file.name for file in database(alone).iterdir()]}"
    for file in files:
        file.unlink()

    refused(alone.plan.arguments(alone.plan.nodes[0]), "damaged|missing|was final")


async def test_a_flipped_bit_is_noticed_or_harms_nobody(alone: Net) -> None:
    """Wherever it lies, the node refuses to start, or what it tells of the chain is what it told before."""
    net, kept = alone, alone.plan.nodes[0].folder.with_suffix(".kept")
    net.start()
    number = 4
    await wait_final(net.url(0), number)
    before = await story(net, number)
    assert net.stop(0)[0] == 0
    shutil.copytree(net.plan.nodes[0].folder, kept)
    [table, *_] = sorted(database(net).glob("*.ldb"), key=lambda file: -file.stat().st_size)

    noticed = 0
    for share in (1, 3, 5, 7):
        flip(table, table.stat().st_size * share // 8)
        net.start()
        try:
            code, _ = await ended_or_serves(net)
            if code is None:
                assert await story(net, number) == before
            else:
                noticed += 1
                assert code == UNUSABLE
                assert re.search(r"damaged|was final|root", net.log(0)[-2_000:]), net.log(0)[-2_000:]
        finally:
            net.kill()
        shutil.rmtree(net.plan.nodes[0].folder)
        shutil.copytree(kept, net.plan.nodes[0].folder)
    print(f"noticed at the start: {noticed} of 4")
    assert noticed >= 1, "or nothing was damaged"


async def ended_or_serves(net: Net) -> tuple[int | None, float]:
    """Wait until a node has ended (its code) or answers (None)."""
    started = time.monotonic()
    while net.processes[0].poll() is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", net.plan.nodes[0].rpc_port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return None, time.monotonic() - started
    return net.processes[0].returncode, time.monotonic() - started


async def story(net: Net, height: int) -> list[object]:
    """Everything a node tells of its chain up to a height."""
    told: list[object] = []
    async with client_of(net.url(0)) as client:
        for number in range(height + 1):
            block_hash = await client.request("chain_getBlockHash", [number])
            told.append((block_hash, await client.request("chain_getBlock", [block_hash])))
            for name in ("//Alice", "//Bob", "//Alice//stash"):
                told += [await client.account(account_of(name), at=block_hash)]
    return told


def garble(journal: Path) -> None:
    """The head of the opening that counts, wherever it is: all that is in the file is made wrong."""
    journal.write_bytes(bytes(byte ^ 0x10 for byte in journal.read_bytes()))


def cut_short(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes()[:20])


def empty(journal: Path) -> None:
    journal.write_bytes(b"")


async def test_a_damaged_journal_of_votes_is_told_and_no_vote_is_risked(four: Net) -> None:
    four.start()
    await wait_final(four.url(3), 3)
    for times, damage in enumerate((garble, cut_short, empty), 1):
        four.kill(3)
        damage(four.plan.nodes[3].folder / "journal" / "votes.log")

        written = len(four.log(3))
        four.start(3)
        target, found = await final_head(four.url(0))
        assert await wait_final(four.url(3), target + 1) == await wait_final(four.url(0), target + 1)
        assert await wait_final(four.url(3), target) == found

        log = four.log(3)[written:]
        assert re.search(r"error .*journal of votes is damaged", log), log[:2_000]
        kept = list((four.plan.nodes[3].folder / "journal").glob("*.damaged-*"))
        assert len(kept) == times, "a damaged one is kept for people"
        assert EVIDENCE.search("".join(four.log(index) for index in range(4))) is None
